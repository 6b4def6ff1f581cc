package chart

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"fettle/profiler"
)

// Words translates the few words of a chart from English; nil leaves them.
type Words map[string]string

// T is the translation of an English text, with its arguments.
func (w Words) T(s string, args ...any) string {
	if t, ok := w[s]; ok {
		s = t
	}
	if len(args) == 0 {
		return s
	}
	return fmt.Sprintf(s, args...)
}

const (
	mostBars  = 40   // rows of a layer chart; the rest are summed
	mostFalls = 12   // moves of a waterfall
	smallFall = 0.01 // of the total: moves below it are summed
)

// Bars is the layer chart of a profile: the longest layers, the sum of the others, what no layer explains.
func Bars(p *profiler.Profile) *Chart { return Words(nil).Bars(p) }

// Waterfall leads from run A to run B by what each set of layers changed. Its moves add up to the difference.
func Waterfall(c *profiler.Comparison) *Chart { return Words(nil).Waterfall(c) }

// Samples is the histogram of all clean inferences of a profile, outliers too.
func Samples(p *profiler.Profile) *Chart { return Words(nil).Samples(p) }

// Bars is the layer chart with translated words.
func (w Words) Bars(p *profiler.Profile) *Chart {
	layers := append([]profiler.Layer(nil), p.Layers...)
	sort.SliceStable(layers, func(i, j int) bool { return layers[i].P50Ns > layers[j].P50Ns })
	top := 0.0
	if len(layers) > 0 {
		top = layers[0].P50Ns
	}
	c := &Chart{Kind: HBars, Title: w.T("Layers of %s", p.Model.Name), Subtitle: w.whole(p), Notes: w.notes(p), X: Axis{Label: w.T("time of one inference"), Zero: true}}
	c.X.Unit, c.X.Scale = timeUnit(top)
	var pts []Point
	rest, restN := 0.0, 0
	for i, l := range layers {
		if i >= mostBars {
			rest, restN = rest+l.P50Ns, restN+1
			continue
		}
		pts = append(pts, Point{ID: l.ID, Label: l.Name, Detail: strings.Trim(l.Op+" "+l.DType, " "), Y: l.P50Ns, Lo: l.Interval[0], Hi: l.Interval[1], Floor: l.FloorNs,
			Text: Time(l.P50Ns) + NoBrk + NoBrk + Percent(l.Share), Tip: w.layerTip(l), Color: opColor(l.Op)})
	}
	if restN > 0 {
		pts = append(pts, Point{Label: w.T("%d shorter layers", restN), Y: rest, Text: Time(rest), State: Sum})
	}
	if p.Complete && len(p.Layers) > 0 {
		pts = append(pts, Point{Label: w.T("unattributed"), Y: math.Max(0, p.UnattributedNs), Text: Time(p.UnattributedNs), State: Rest})
	}
	c.Series = []Series{{Color: "line3", Points: pts}}
	if len(pts) == 0 {
		c.Notes = append([]string{w.T("no layer was measured")}, c.Notes...)
	}
	return c
}

// whole is the sentence about the whole inference, with n and interval.
func (w Words) whole(p *profiler.Profile) string {
	if p.Clean.P50Ns == nil {
		return w.T("interrupted: no times")
	}
	parts := []string{w.T("median %s", TimeInterval(*p.Clean.P50Ns, p.Clean.IntervalP50))}
	for _, q := range []struct {
		name string
		ns   *float64
	}{{"p90", p.Clean.P90Ns}, {"p99", p.Clean.P99Ns}} {
		if q.ns != nil {
			parts = append(parts, q.name+" "+Time(*q.ns))
		}
	}
	parts = append(parts, w.T("n = %d in %d launches", p.Clean.N, p.Clean.Launches))
	return strings.Join(parts, " · ")
}

func (w Words) notes(p *profiler.Profile) []string {
	where := []string{p.Target.Name, p.Target.CPU, p.Runtime.Name + " " + p.Runtime.Version, w.T("%d threads", p.Plan.Threads), p.Plan.Precision}
	var known []string
	for _, s := range where {
		if strings.TrimSpace(s) != "" {
			known = append(known, s)
		}
	}
	out := []string{strings.Join(known, " · ")}
	if p.Conditions.Seal != "" {
		out = append(out, w.T("seal: "+p.Conditions.Seal))
	}
	if p.Complete && len(p.Layers) > 0 {
		out = append(out, w.T("closure %s, observer cost %s", Percent(p.Closure), Percent(p.ObserverCost)))
	}
	return append(out, p.Conditions.Why...)
}

func (w Words) layerTip(l profiler.Layer) string {
	t := l.Name + "\n" + l.Op + " " + l.Kernel + " " + l.DType + "\n" + TimeInterval(l.P50Ns, l.Interval)
	if l.FloorNs != nil {
		t += "\n" + w.T("floor %s", Time(*l.FloorNs))
	}
	return t
}

// Waterfall is the comparison with translated words.
func (w Words) Waterfall(c *profiler.Comparison) *Chart {
	ch := &Chart{Kind: Falls, Title: w.T("From %s to %s", runName(c.A), runName(c.B)), Subtitle: w.Verdict(c), Y: Axis{Label: w.T("time of one inference"), Zero: true}}
	ch.Y.Unit, ch.Y.Scale = timeUnit(math.Max(c.A.P50Ns, c.B.P50Ns))
	level := c.A.P50Ns
	pts := []Point{{ID: c.A.ID, Label: "A", Detail: c.A.Model, To: c.A.P50Ns, Text: Time(c.A.P50Ns), Color: "runA"}}
	move := func(label, detail, id string, delta float64, iv [2]float64, state State) {
		p := Point{ID: id, Label: label, Detail: detail, From: level, To: level + delta, Text: Delta(delta), State: state, Tip: label + "\n" + Delta(delta) + "\n" + detail, Color: "gain"}
		if delta > 0 {
			p.Color = "loss"
		}
		if iv[1] > iv[0] && math.Abs(iv[0]) < profiler.Unbounded && math.Abs(iv[1]) < profiler.Unbounded {
			p.Lo, p.Hi = level+iv[0], level+iv[1]
		}
		level += delta
		pts = append(pts, p)
	}
	small, smallN, shown := 0.0, 0, 0
	var rest *profiler.Bar
	for i := range c.Bars {
		b := &c.Bars[i]
		switch {
		case b.Kind == "unattributed":
			rest = b
		case shown >= mostFalls || math.Abs(b.DeltaNs) < smallFall*math.Max(c.A.P50Ns, c.B.P50Ns):
			small, smallN = small+b.DeltaNs, smallN+1
		default:
			shown++
			id := ""
			if len(b.Origin) > 0 {
				id = b.Origin[0]
			}
			why, _, _ := strings.Cut(b.Why, ", ")
			move(shortName(b.Label, b.Op), why, id, b.DeltaNs, b.Interval, Measured)
			pts[len(pts)-1].Tip = b.Label + "\n" + Delta(b.DeltaNs) + "\n" + b.Why
		}
	}
	if smallN > 0 {
		name := w.T("small")
		if shown == mostFalls {
			name = w.T("others")
		}
		move(name, w.T("%d more", smallN), "", small, [2]float64{}, Sum)
	}
	if rest != nil {
		move(w.T("unattributed"), "", "", rest.DeltaNs, [2]float64{}, Rest)
	}
	pts = append(pts, Point{ID: c.B.ID, Label: "B", Detail: c.B.Model, To: c.B.P50Ns, Text: Time(c.B.P50Ns), Color: "runB"})
	ch.Series = []Series{{Color: "line3", Points: pts}}
	ch.CutNote = w.T("The axis begins above zero: the zig-zag in A and B marks the cut.")
	ch.Notes = append(ch.Notes, w.T("The moves add up to %s exactly.", Delta(c.DeltaNs)))
	ch.Notes = append(ch.Notes, c.Conditions...)
	return ch
}

// shortName keeps what tells a layer apart under a narrow column: of a path made by an exporter the last two parts, without the
// operator's own name. "/layer3/layer3.0/conv1/Conv +3" is "layer3.0/conv1 +3". The tip has the whole name.
func shortName(name, op string) string {
	path, more, _ := strings.Cut(name, " +")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if n := len(parts); n > 1 && op != "" && strings.HasPrefix(parts[n-1], op) {
		parts = parts[:n-1]
	}
	short := strings.Join(parts[max(0, len(parts)-2):], "/")
	if more != "" {
		short += " +" + more
	}
	return short
}

func runName(r profiler.RunRef) string {
	if r.Target == "" {
		return r.Model
	}
	return r.Model + " @ " + r.Target
}

// Verdict is the sentence of a comparison: never "faster" without by how much and how sure.
func (w Words) Verdict(c *profiler.Comparison) string {
	if c.Inconclusive != "" {
		return w.T("no verdict: %s", c.Inconclusive)
	}
	mid, lo, hi := Change(c.Ratio[1]), Change(c.Ratio[0]), Change(c.Ratio[2])
	switch c.Verdict {
	case profiler.Faster:
		return w.T("B is faster: %s of the time of A (95 %% interval: %s to %s)", mid, lo, hi)
	case profiler.Slower:
		return w.T("B is slower: %s of the time of A (95 %% interval: %s to %s)", mid, lo, hi)
	}
	return w.T("no difference shown; %s or more would have been seen", Percent(c.Detectable))
}

// Samples is the histogram with translated words.
func (w Words) Samples(p *profiler.Profile) *Chart {
	c := &Chart{Kind: Histogram, Title: w.T("Inferences of %s", p.Model.Name), Subtitle: w.whole(p), Notes: w.notes(p),
		X: Axis{Label: w.T("time of one inference")}, Y: Axis{Label: w.T("inferences"), Zero: true, Whole: true}}
	v := p.Clean.SamplesNs
	if len(v) == 0 {
		return c
	}
	lo, hi := float64(v[0]), float64(v[0])
	for _, x := range v {
		lo, hi = math.Min(lo, float64(x)), math.Max(hi, float64(x))
	}
	c.X.Unit, c.X.Scale = timeUnit(hi)
	hi = math.Max(hi, lo+math.Max(1, math.Abs(lo)*1e-9))
	n := max(5, min(60, int(2*math.Sqrt(float64(len(v))))))
	width := (hi - lo) / float64(n)
	counts := make([]int, n)
	for _, x := range v {
		counts[max(0, min(n-1, int((float64(x)-lo)/width)))]++
	}
	s := Series{Color: "runB"}
	for i, k := range counts {
		a := lo + float64(i)*width
		s.Points = append(s.Points, Point{X: a, To: a + width, Y: float64(k), Tip: fmt.Sprintf("%s%s%s: %d", Time(a), Dash, Time(a+width), k)})
	}
	c.Series = []Series{s}
	return c
}

// opColor is the colour of an operator's kind; names decide where colours are alike.
func opColor(op string) Token {
	for _, k := range []struct {
		token Token
		words string
	}{
		{"opCast", "QuantizeLinear DequantizeLinear Cast Quant"},
		{"opConv", "Conv"}, {"opMat", "MatMul Gemm Attention Linear"}, {"opNorm", "Norm"}, {"opPool", "Pool Reduce"},
		{"opAct", "Relu Clip Sigmoid Swish Gelu Softmax Tanh Elu"}, {"opElem", "Add Mul Sub Div Sum"},
		{"opShape", "Reshape Transpose Concat Slice Pad Gather Flatten Split Squeeze Resize Copy"},
	} {
		for _, s := range strings.Fields(k.words) {
			if strings.Contains(op, s) {
				return k.token
			}
		}
	}
	return "opOther"
}
