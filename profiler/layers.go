package profiler

import (
	"math"
	"slices"

	"fettle/internal/stats"
	"fettle/profiler/trace"
)

// shares are, for one instrumented inference, what each step took of the whole, and what no step took.
type shares struct {
	step [][]float64 // by step, then by inference
	gap  []float64   // by inference
	unit []int       // unit of each inference
	// clean is the clean median of each unit. A unit's layers are scaled to it and not to that of the run: otherwise what moves
	// whole launches would be missing from the spread of the layers, and chance would pass for a verdict.
	clean []float64
}

// layers scales what the instrumented inferences show to the clean total.
//
// A share is a step's time over the whole of its own inference, so that a slow inference counts no more than a fast one. The
// layer's share is the median; medians of shares do not add up to one, so all, with the gap between the steps, are
// divided by their sum. Then layers and unattributed add up to the clean median, and only the gap is left as closure.
func (p *Profile) layers(t *trace.Trace, rounds int) {
	sh, ok := p.shares(t)
	if !ok {
		if len(t.Steps) > 0 {
			p.warn("no instrumented inference: the layers have no times")
		}
		return
	}
	clean := *p.Clean.P50Ns
	units := unitCount(sh.unit)
	mid, slow := make([]float64, len(t.Steps)), make([]*float64, len(t.Steps))
	gap, total := stats.Median(sh.gap), 0.0
	sorted := make([]float64, len(sh.gap))
	for j := range mid {
		copy(sorted, sh.step[j])
		slices.Sort(sorted)
		mid[j], slow[j] = stats.Sorted(sorted, 0.5), percentile(sorted, 0.9)
		total += mid[j]
	}
	total += gap
	if total <= 0 {
		p.warn("every layer is shorter than one step of the clock: the layers have no times")
		return
	}
	sum := 0.0
	perLayer := max(60, min(rounds, 8_000_000/(1+min(len(sh.gap), 4*thin)*len(mid))))
	for j, st := range t.Steps {
		l := Layer{ID: st.ID, Name: st.Name, Op: st.Op, Origin: st.Origin, Kernel: st.Kernel, Why: st.Why, DType: st.DType, Device: st.Device,
			Threads: st.Threads, MACs: st.MACs, Bytes: st.Bytes, Window: st.Window, Strides: st.Strides}
		if l.Origin == nil {
			l.Origin = []string{}
		}
		l.Share = mid[j] / total
		l.P50Ns = clean * l.Share
		if q := slow[j]; q != nil {
			v := clean * *q / total
			l.P90Ns = &v
		}
		groups := split(sh.step[j], sh.unit, units)
		l.UnitsNs = make([]float64, len(groups))
		for k, g := range groups {
			part := sorted[:copy(sorted, g)]
			slices.Sort(part)
			l.UnitsNs[k] = sh.clean[k] * stats.Sorted(part, 0.5) / total
		}
		l.Interval = [2]float64{l.P50Ns, l.P50Ns}
		if rounds > 0 {
			iv := interval(groups, mid[j], perLayer, seed+uint64(j))
			l.Interval = [2]float64{clean * iv.Lo / total, clean * iv.Hi / total}
		}
		sum += l.P50Ns
		p.Layers = append(p.Layers, l)
	}
	p.UnattributedNs = clean - sum
	p.Closure = math.Abs(sum-clean) / clean
	p.observe(t)
}

// thin is how many values of a unit the bootstrap of a layer draws from.
const thin = 100

// interval is that of a layer's share. With five units or more it is the t interval of their medians; with fewer a bootstrap over the
// units, which for a thousand layers of many inferences takes evenly spaced values of each unit: that makes it wider, never narrower.
func interval(groups [][]float64, mid float64, rounds int, seed uint64) stats.Interval {
	if len(groups) >= 5 {
		m := make([]float64, len(groups))
		for i, g := range groups {
			m[i] = stats.Median(g)
		}
		h := stats.TQuantile(0.975, len(m)-1) * stats.Std(m) / math.Sqrt(float64(len(m)))
		return stats.Interval{Lo: math.Max(0, mid-h), Hi: mid + h}
	}
	some := make([][]float64, len(groups))
	for i, g := range groups {
		if some[i] = g; len(g) > thin {
			sorted := slices.Sorted(slices.Values(g))
			some[i] = make([]float64, thin)
			for k := range some[i] {
				some[i][k] = sorted[(2*k+1)*len(sorted)/(2*thin)]
			}
		}
	}
	iv := stats.Bootstrap(some, stats.Median, rounds, seed)
	return stats.Interval{Lo: math.Min(iv.Lo, mid), Hi: math.Max(iv.Hi, mid)}
}

// shares gathers the instrumented inferences of the used launches. With one launch the units are blocks of consecutive inferences.
func (p *Profile) shares(t *trace.Trace) (shares, bool) {
	sh := shares{step: make([][]float64, len(t.Steps))}
	n := 0
	for i, r := range p.Launches {
		if r.Used {
			n += len(t.Launches[i].Instrumented)
		}
	}
	sh.gap, sh.unit = make([]float64, 0, n), make([]int, 0, n)
	for j := range sh.step {
		sh.step[j] = make([]float64, 0, n)
	}
	for i, r := range p.Launches {
		l := &t.Launches[i]
		if !r.Used {
			continue
		}
		before := len(sh.gap)
		for k, row := range l.Instrumented {
			sum := 0.0
			for _, v := range row {
				sum += float64(v)
			}
			whole := sum
			if len(l.Whole) > 0 {
				whole = float64(l.Whole[k])
			} else if p.Clean.P50Ns != nil {
				whole = *p.Clean.P50Ns // the recorder did not time the whole: what the layers lack of the clean total is the gap
			}
			if whole <= 0 {
				continue
			}
			for j, v := range row {
				sh.step[j] = append(sh.step[j], float64(v)/whole)
			}
			sh.gap = append(sh.gap, (whole-sum)/whole)
			sh.unit = append(sh.unit, i)
		}
		if len(sh.gap) > before {
			sh.clean = append(sh.clean, r.P50Ns)
		}
	}
	p.Unit = "launch"
	if unitCount(sh.unit) == 1 {
		p.Unit = "block"
		n := len(sh.unit)
		blocks := blockCount(n)
		for k := range sh.unit {
			sh.unit[k] = k * blocks / n
		}
		sh.clean = blockMedians(p, blocks)
	}
	return sh, len(sh.gap) > 0 && len(t.Steps) > 0
}

// blockCount is how many blocks n consecutive samples make: of five at least, ten blocks at most.
func blockCount(n int) int { return max(1, min(10, n/5)) }

func unitCount(unit []int) int {
	n, last := 0, -1
	for _, u := range unit {
		if u != last {
			n++
		}
		last = u
	}
	return n
}

// split cuts v where the unit changes.
func split(v []float64, unit []int, units int) [][]float64 {
	out := make([][]float64, 0, units)
	start := 0
	for i := 1; i <= len(v); i++ {
		if i == len(v) || unit[i] != unit[start] {
			out = append(out, v[start:i])
			start = i
		}
	}
	return out
}

// observe says what the instruments cost and whether they can be believed.
func (p *Profile) observe(t *trace.Trace) {
	var whole, sums []float64
	var steps [][]int64
	for i, r := range p.Launches {
		if !r.Used {
			continue
		}
		whole = append(whole, floats(t.Launches[i].Whole)...)
		steps = append(steps, t.Launches[i].Instrumented...)
	}
	for _, row := range steps {
		s := 0.0
		for _, v := range row {
			s += float64(v)
		}
		sums = append(sums, s)
	}
	clean := *p.Clean.P50Ns
	if m, ok := median(whole); ok {
		p.ObserverCost = m/clean - 1
	}
	if m, ok := median(sums); ok {
		p.ClosureRaw = math.Abs(m-clean) / clean
	}
	if p.Closure > maxClosure {
		p.warn("the layers explain %.1f %% of the total: %.1f %% lies between them (bar \"unattributed\")", 100*(1-p.UnattributedNs/clean), 100*p.UnattributedNs/clean)
	}
	if p.ObserverCost > maxClosure {
		p.warn("recording the layers makes an inference %.1f %% longer; their shares may be off by as much", 100*p.ObserverCost)
	}
	res := resolution(steps)
	short := 0
	for _, l := range p.Layers {
		if res > 0 && l.P50Ns < ticks*res {
			short++
		}
	}
	if short > 0 && res > 1 {
		p.warn("%d layers are shorter than %d steps of the clock (%.0f ns): their times are rough", short, ticks, res)
	}
}

// resolution is the step of the clock as the times show it: the largest number that divides them all.
func resolution(rows [][]int64) float64 {
	g := int64(0)
	for _, row := range rows {
		for _, v := range row {
			for a, b := v, g; ; a, b = b, a%b {
				if b == 0 {
					g = a
					break
				}
			}
			if g == 1 {
				return 1
			}
		}
	}
	return float64(g)
}
