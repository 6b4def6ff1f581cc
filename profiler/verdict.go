package profiler

import (
	"fmt"
	"math"

	"fettle/internal/stats"
)

const (
	level      = 0.05  // of all verdicts on layers together
	leastFloor = 0.005 // no smaller change is called one, whatever the statistics say
	// launchBias is how much two launches of the same program differ for reasons of placement alone: up to 1 % has been
	// measured. One launch a side cannot show it, so it widens the interval instead.
	launchBias = 0.01
)

// plan is how two runs are compared: by which units, and what an interval must clear.
type plan struct {
	name         string
	paired       bool
	blocks       bool
	a, b         []float64 // medians of the units of the whole, ns
	keepA, keepB []int     // paired: which units of each side make the pairs, in order
	floor        float64
	notes        []string
	inconclusive string
}

// method chooses the units. Launches that ran as interleaved pairs are compared pair by pair; other launches as two samples;
// where a side has one launch only, blocks of its consecutive samples stand in.
func method(a, b *Profile) plan {
	m := plan{floor: leastFloor}
	for _, p := range []*Profile{a, b} {
		if p.Target.NoiseFloor != nil {
			m.floor = max(m.floor, *p.Target.NoiseFloor)
		}
	}
	ua, ub := used(a), used(b)
	switch {
	case min(len(ua), len(ub)) < 2:
		m.name, m.blocks = "blocks of one launch", true
		m.a, m.b = blockMedians(a, blockCount(a.Clean.N)), blockMedians(b, blockCount(b.Clean.N))
		m.notes = append(m.notes, fmt.Sprintf("one launch a side: the interval comes from blocks of samples and is widened by %.0f %% for what a new start may change; compare with 8 launches or more", 100*launchBias))
		if min(len(m.a), len(m.b)) < 2 {
			m.inconclusive = "too few samples for an interval; take 20 runs or more"
		}
	case a.Schedule != "" && a.Schedule == b.Schedule && len(a.Launches) == len(b.Launches):
		m.name, m.paired = "paired launches", true
		m.a, m.b = medians(ua), medians(ub)
		m.pair(a, b)
		if len(m.keepA) < 2 {
			m.inconclusive = "fewer than two pairs of launches were left undisturbed; run it again"
		}
	default:
		m.name = "launches"
		m.a, m.b = medians(ua), medians(ub)
		m.notes = append(m.notes, "the runs were not interleaved: what the target changed between them counts as a difference")
	}
	m.distrust(a, b)
	return m
}

// distrust raises the floor by what the canary moved where no launch of a run was undisturbed, and where the same machine was faster
// in one run than in the other: the machine may explain that much.
func (m *plan) distrust(a, b *Profile) {
	lo, hi := math.Inf(1), 0.0
	for _, l := range append(used(a), used(b)...) {
		if l.Canary > 0 {
			lo, hi = min(lo, l.Canary), max(hi, l.Canary)
		}
	}
	red := a.Conditions.Seal == Red || b.Conditions.Seal == Red
	switch same := a.Target.Name == b.Target.Name && a.Target.CPU == b.Target.CPU && a.Target.AgentSHA == b.Target.AgentSHA; {
	case red && hi == 0:
		m.inconclusive = "a run was disturbed, and no canary says by how much; run it again"
	case red:
		// Within a launch the canary may have moved both ways; between launches it shows here.
		m.raise(max(hi/lo-1, canaryMove), "a run was disturbed: only a change of more than %.1f %%, by which the canary moved, counts")
	case same && !m.paired && hi > 0:
		// Each run is steady in itself, but nobody held the machine between them.
		x, y := canary(a), canary(b)
		if move := max(x, y)/min(x, y) - 1; move > canaryMove {
			m.raise(move, "the machine was not the same in both runs: only a change of more than %.1f %%, by which the canary differs, counts")
		}
	}
}

func (m *plan) raise(floor float64, note string) {
	if floor = bounded(floor); floor > m.floor {
		m.floor = floor
		m.notes = append(m.notes, fmt.Sprintf(note, 100*floor))
	}
}

// canary is the median over the used launches that have one; NaN without.
func canary(p *Profile) float64 {
	var v []float64
	for _, l := range used(p) {
		if l.Canary > 0 {
			v = append(v, l.Canary)
		}
	}
	return stats.Median(v)
}

func used(p *Profile) []LaunchResult {
	var out []LaunchResult
	for _, l := range p.Launches {
		if l.Used && l.P50Ns > 0 {
			out = append(out, l)
		}
	}
	return out
}

func medians(ls []LaunchResult) []float64 {
	out := make([]float64, len(ls))
	for i, l := range ls {
		out[i] = l.P50Ns
	}
	return out
}

// pair keeps the launches that were undisturbed on both sides, while the machine was the same for both. How fast it was then is all one: a
// machine whose speed wanders from pair to pair meets both sides alike.
func (m *plan) pair(a, b *Profile) {
	ia, ib, same := 0, 0, alike(a.Launches, b.Launches)
	for i := range a.Launches {
		x, y := a.Launches[i], b.Launches[i]
		okA, okB := x.Used && x.P50Ns > 0, y.Used && y.P50Ns > 0
		if okA && okB && same[i] {
			m.keepA, m.keepB = append(m.keepA, ia), append(m.keepB, ib)
		}
		if okA {
			ia++
		}
		if okB {
			ib++
		}
	}
	if n := len(a.Launches) - len(m.keepA); n > 0 {
		m.notes = append(m.notes, fmt.Sprintf("%d of %d pairs were left out: the machine changed during one of them", n, len(a.Launches)))
	}
}

// blockMedians cuts the clean samples into n blocks of consecutive ones. A block without samples gets the median of all.
func blockMedians(p *Profile, n int) []float64 {
	s := floats(p.Clean.SamplesNs)
	out := make([]float64, n)
	for i := range out {
		if part := s[i*len(s)/n : (i+1)*len(s)/n]; len(part) > 0 {
			out[i] = stats.Median(part)
		} else {
			out[i] = *p.Clean.P50Ns
		}
	}
	return out
}

// effect is the logarithm of time of B over time of A with its 95 % interval.
type effect struct {
	mid, lo, hi float64
	se          float64
	df          int
	reach       float64   // how far beyond the floor a change must lie to be found four times in five
	wider       float64   // added to the interval on both sides
	pairs       []float64 // differences of the pairs; nil: there are none
}

// effect compares units of A with units of B by their logarithms: of pairs the centre of the differences (see centre), of two samples
// the difference of the means by Welch.
func (m plan) effect(a, b []float64) effect {
	a, b, paired := m.pairs(a, b)
	la, lb := logs(a), logs(b)
	e := effect{lo: math.Inf(-1), hi: math.Inf(1), reach: math.Inf(1)}
	switch {
	case len(la) == 0 || len(lb) == 0:
		return appeared(a, b)
	case paired:
		d := make([]float64, len(la))
		for i := range d {
			d[i] = lb[i] - la[i]
		}
		e = centre(d)
	default:
		w := stats.Welch(la, lb)
		e.mid, e.se, e.df = w.Diff, w.SE, w.DF
	}
	if m.blocks {
		e.mid = math.Log(stats.Median(b)) - math.Log(stats.Median(a))
		e.wider = math.Log1p(launchBias)
	}
	if e.df < 1 {
		return e
	}
	h := stats.TQuantile(0.975, e.df)*e.se + e.wider
	if !paired {
		e.lo, e.hi = e.mid-h, e.mid+h
	}
	e.reach = h + stats.TQuantile(0.8, e.df)*e.se
	return e
}

// centre estimates the centre of the differences of pairs. From six pairs on it is Hodges and Lehmann's with Wilcoxon's interval: other work
// hits single launches, and where it makes one launch in ten 10 % longer, the interval of a mean is twice as wide as it has to be. Half of
// that interval stands for a t quantile of standard errors.
func centre(d []float64) effect {
	e := effect{df: len(d) - 1, lo: math.Inf(-1), hi: math.Inf(1), reach: math.Inf(1)}
	switch {
	case e.df < 1:
		e.mid = stats.Mean(d)
	case len(d) < stats.LeastSigned:
		iv := stats.MeanInterval(d)
		e.mid, e.lo, e.hi = stats.Mean(d), iv.Lo, iv.Hi
		e.se = stats.Std(d) / math.Sqrt(float64(len(d)))
	default:
		mid, iv := stats.SignedRank(d)
		e.mid, e.lo, e.hi = mid, iv.Lo, iv.Hi
		e.se = (iv.Hi - iv.Lo) / 2 / stats.TQuantile(0.975, e.df)
		e.pairs = d
	}
	return e
}

// appeared is the effect of a layer that one side lacks: no ratio, but no doubt either.
func appeared(a, b []float64) effect {
	x, y := stats.Mean(a), stats.Mean(b)
	e := effect{df: 1}
	switch {
	case y > 0 && !(x > 0):
		e.mid, e.lo, e.hi = math.Inf(1), math.Inf(1), math.Inf(1)
	case x > 0 && !(y > 0):
		e.mid, e.lo, e.hi = math.Inf(-1), math.Inf(-1), math.Inf(-1)
	}
	return e
}

// p is the p value of "the change is no larger than the floor", two-sided, for one of so many layers. Wilcoxon's test gives it where there
// are pairs enough to name a layer among them: eight cannot say less than 1 in 128, and Holm asks for 1 in 160 of the first of
// eight layers. With fewer it is that of the t statistic, which a few steps of a coarse clock can deceive.
func (e effect) p(floor float64, layers int) float64 {
	if math.IsInf(e.mid, 0) {
		return 0
	}
	if n := len(e.pairs); math.Ldexp(2, -n)*float64(layers) <= level {
		if math.Abs(e.mid) <= floor {
			return 1
		}
		d := make([]float64, n)
		for i, x := range e.pairs {
			d[i] = x - math.Copysign(floor, e.mid)
		}
		return stats.SignedRankP(d)
	}
	far := math.Abs(e.mid) - floor - e.wider
	if far <= 0 || e.df < 1 {
		return 1
	}
	if e.se == 0 {
		return 0
	}
	return stats.TwoSided(far/e.se, e.df)
}

// difference is the 95 % interval of the difference in nanoseconds, around the difference of the medians that the bar shows.
func (m plan) difference(a, b []float64, mid float64) (lo, hi float64) {
	a, b, paired := m.pairs(a, b)
	h := math.Inf(1)
	switch {
	case paired && len(a) > 1:
		d := make([]float64, len(a))
		for i := range d {
			d[i] = b[i] - a[i]
		}
		e := centre(d)
		h = (e.hi - e.lo) / 2
	case len(a) > 1 && len(b) > 1:
		w := stats.Welch(a, b)
		h = stats.TQuantile(0.975, max(1, w.DF)) * w.SE
	}
	if m.blocks {
		h += launchBias * math.Max(stats.Mean(a), stats.Mean(b))
	}
	if math.IsInf(h, 0) || math.IsNaN(h) {
		return -Unbounded, Unbounded
	}
	return mid - h, mid + h
}

// pairs takes the kept units of both sides. A layer that lacks a unit (a launch without instruments) cannot be paired.
func (m plan) pairs(a, b []float64) (x, y []float64, paired bool) {
	if !m.paired || len(a) != len(m.a) || len(b) != len(m.b) {
		return a, b, false
	}
	for i := range m.keepA {
		x, y = append(x, a[m.keepA[i]]), append(y, b[m.keepB[i]])
	}
	return x, y, true
}

// logs is nil where a value has no logarithm: the side is absent.
func logs(v []float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		if !(x > 0) {
			return nil
		}
		out[i] = math.Log(x)
	}
	return out
}
