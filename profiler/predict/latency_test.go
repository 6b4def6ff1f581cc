package predict

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/internal/stats"
	"fettle/model"
	"fettle/profiler/trace"
)

// fake is a target whose times are known: a convolution, its activation function and what it is summed with are one step, two convolutions
// where little lies between them are one as well, channels come in tiles of 16, and what is measured errs by a few percent.
type fake struct{ r *rand.Rand }

const fakeStripe = 20_000 // bytes between a depthwise and a 1x1 convolution, up to which they are one step

func (f fake) ns(u Unit) float64 {
	w := u.work
	return 2000 + 0.03*w[wTiles+1] + 0.02*(w[wIn]+w[wOut]) + 0.1*w[wWeights] + 0.5*w[wSilu]
}

func (f fake) run(g *Graph) *trace.Trace {
	step := map[*part]int{}
	var groups [][]*part
	for _, p := range g.parts {
		step[p] = len(groups)
		groups = append(groups, []*part{p})
	}
	g.edges(func(from, to *part, sizes [hints]float64) {
		act := to.node.Op == "Relu" || to.node.Op == "Clip"
		stripe := strings.Contains(from.kind, "depthwise") && strings.HasPrefix(to.kind, "Conv 1x1") && sizes[0] <= fakeStripe
		if from.node.Op == "Conv" && (act || stripe) || step[from] != g.index(from) && act {
			a, b := step[from], step[to]
			for _, p := range groups[b] {
				step[p] = a
			}
			groups[a] = append(groups[a], groups[b]...)
			groups[b] = nil
		}
	})
	t := &trace.Trace{Launches: []trace.Launch{{}}}
	var ns []int64
	whole := int64(0)
	for _, parts := range groups {
		if parts == nil {
			continue
		}
		s := trace.Step{}
		sum := 0.0
		for _, p := range parts {
			for _, o := range p.node.Origin {
				s.Origin = append(s.Origin, string(o))
			}
			if p.node.Op == "Conv" || len(parts) == 1 {
				sum += f.ns(unit([]*part{p}))
			}
		}
		t.Steps = append(t.Steps, s)
		ns = append(ns, int64(sum*math.Exp(0.03*f.r.NormFloat64())))
		whole += ns[len(ns)-1]
	}
	l := &t.Launches[0]
	for range 4 {
		l.Clean, l.Whole, l.Instrumented = append(l.Clean, whole), append(l.Whole, whole), append(l.Instrumented, ns)
	}
	return t
}

func (g *Graph) index(p *part) int {
	for i, x := range g.parts {
		if x == p {
			return i
		}
	}
	return -1
}

func learn(t *testing.T, nets int, spoil func(*trace.Trace)) *Table {
	t.Helper()
	f := fake{rand.New(rand.NewPCG(3, 4))}
	tb := &Table{Schema: TableSchema, Target: "fake", Threads: 1}
	for i := range nets {
		g := probeGraph(t, 1, uint64(i))
		tr := f.run(g)
		if spoil != nil {
			spoil(tr)
		}
		if err := tb.Add(g, tr, 0); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(tb) // as it is kept
	if err != nil {
		t.Fatal(err)
	}
	var back Table
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return &back
}

func probeGraph(t *testing.T, seed, i uint64) *Graph {
	t.Helper()
	m, err := NewProbe(seed, i).Build()
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGraph(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// foretell gives the median error of whole networks and of layers that the table has not seen, the share of steps that the rules foretold and
// of networks in their interval.
func foretell(t *testing.T, tb *Table, nets int) (whole, layer, same, within float64, told int) {
	t.Helper()
	p := NewPredictor(tb)
	f := fake{rand.New(rand.NewPCG(5, 6))}
	var wholes, layers, sames []float64
	in := 0
	for i := range nets {
		g := probeGraph(t, 99, uint64(i))
		pr, err := p.Predict(g)
		if fail.Is(err, fail.Unsupported) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		units, ns, err := g.Split(f.run(g))
		if err != nil {
			t.Fatal(err)
		}
		c := Hold("", pr, units, ns)
		wholes, layers, sames = append(wholes, c.Error), append(layers, c.LayerError), append(sames, c.Same)
		in += b2i(c.Within)
	}
	if len(wholes) == 0 {
		return 1, 1, 0, 0, 0
	}
	return stats.Median(wholes), stats.Median(layers), stats.Mean(sames), float64(in) / float64(len(wholes)), len(wholes)
}

func TestForetells(t *testing.T) {
	whole, layer, same, within, told := foretell(t, learn(t, 60, nil), 20)
	t.Logf("%d of 20 networks told: whole %.1f %%, layers %.1f %%, steps %.0f %%, in the interval %.0f %%", told, 100*whole, 100*layer, 100*same, 100*within)
	if told < 6 || whole > 0.05 || layer > 0.05 || same < 0.95 || within < 0.8 {
		t.Error("the table foretells too little")
	}
	t.Run("control", func(t *testing.T) { // times that have nothing to do with the layers
		r := rand.New(rand.NewPCG(7, 8))
		whole, layer, _, _, _ := foretell(t, learn(t, 40, func(tr *trace.Trace) {
			for _, l := range tr.Launches {
				r.Shuffle(len(l.Instrumented[0]), func(i, j int) {
					v := l.Instrumented[0]
					v[i], v[j] = v[j], v[i]
				})
			}
		}), 16)
		if whole < 0.05 && layer < 0.10 {
			t.Errorf("shuffled times foretell as well: whole %.1f %%, layers %.1f %%", 100*whole, 100*layer)
		}
	})
}

// A disturbed network must not spoil the table.
func TestDisturbed(t *testing.T) {
	n := 0
	tb := learn(t, 60, func(tr *trace.Trace) {
		if n++; n%6 != 0 {
			return
		}
		l := tr.Launches[0]
		seen := map[*int64]bool{}
		for i := range l.Clean {
			l.Clean[i] *= 2
			l.Whole[i] *= 2
			if v := l.Instrumented[i]; !seen[&v[0]] {
				seen[&v[0]] = true
				for k := range v {
					v[k] *= 2
				}
			}
		}
	})
	whole, layer, _, _, told := foretell(t, tb, 16)
	if told < 5 || whole > 0.10 || layer > 0.10 {
		t.Errorf("with every sixth network disturbed: %d told, whole %.1f %%, layers %.1f %%", told, 100*whole, 100*layer)
	}
}

func TestRefusesToExtrapolate(t *testing.T) {
	p := NewPredictor(learn(t, 30, nil))
	for name, g := range map[string]*Graph{"too wide": small(t, 64, 9000, 1), "an unknown kind": small(t, 64, 32, 9)} {
		_, err := p.Predict(g)
		if !fail.Is(err, fail.Unsupported) || !strings.Contains(err.Error(), "the layer") || !strings.Contains(err.Error(), "64×") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where channels come in tiles, 33 take as long as 48 and longer than 32.
func TestStaircaseShows(t *testing.T) {
	g := small(t, 64, 96, 3)
	id := g.Convolutions()[0]
	f := fake{rand.New(rand.NewPCG(1, 2))}
	tb := &Table{Target: "fake"}
	for range 150 {
		u, _ := g.Resize(id, 8+f.r.IntN(120), 1+f.r.IntN(140))
		tb.Points = append(tb.Points, point{Kind: u.Kind, Dims: u.Dims, Work: u.work, Ns: f.ns(u) * math.Exp(0.03*f.r.NormFloat64())})
	}
	s, err := g.NewStaircase(id)
	if err != nil {
		t.Fatal(err)
	}
	NewPredictor(tb).Fill(g, s)
	at := map[int]Tread{}
	for _, x := range s.Treads {
		at[x.Channels] = x
	}
	if a, b, c := at[32], at[33], at[48]; b.Ns < 1.15*a.Ns || math.Abs(c.Ns/b.Ns-1) > 0.15 || !a.Edge || b.Edge || at[40].Edge {
		t.Errorf("32, 33 and 48 channels: %+v, %+v and %+v", a, b, c)
	}
	if s.Now != 96 || s.Why != "" {
		t.Errorf("%d channels, %s", s.Now, s.Why)
	}
}

// A ladder holds each tread once.
func TestLadder(t *testing.T) {
	g := small(t, 24, 32, 3)
	s, err := g.NewStaircase(g.Convolutions()[0])
	if err != nil {
		t.Fatal(err)
	}
	m, by, err := g.Ladder(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(by) != len(s.Treads) || len(by) < 8 {
		t.Fatalf("%d of %d treads", len(by), len(s.Treads))
	}
	lg, err := NewGraph(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, i := range by {
		if _, out := lg.Channels(id); out != s.Treads[i].Channels {
			t.Errorf("tread %d has %d channels", s.Treads[i].Channels, out)
		}
	}
	units, _, err := lg.Split(fake{rand.New(rand.NewPCG(1, 2))}.run(lg))
	if err != nil {
		t.Fatal(err)
	}
	s.Take(by, units)
	for _, x := range s.Treads {
		if x.Measured == nil {
			t.Errorf("%d channels were not measured", x.Channels)
		}
	}
}

// small is a convolution of k x k behind an activation function.
func small(t *testing.T, in, out, k int) *Graph {
	t.Helper()
	b := model.NewBuilder("m", 17)
	x := b.Node("Relu", "before", []string{b.Input("x", model.Float32, model.FixedShape(1, in, 14, 14))})
	w := b.Const("w", model.NewTensor(model.Float32, out, in, k, k))
	y := b.Node("Conv", "the layer", []string{x, w}, model.IntsAttr("kernel_shape", int64(k), int64(k)))
	z := b.Node("Relu", "after", []string{y})
	b.Output(z, model.Float32, model.FixedShape(1, out, 15-k, 15-k))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGraph(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
