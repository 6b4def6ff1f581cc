package predict

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Where two kernels share a kind, the tree tells which one runs and each has times of its own; one surface over both cannot.
func TestKernelsApart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kernel := func(in, out int) (string, float64) {
		if in%16 == 0 && out%16 == 0 {
			return "blocks", 0.25
		}
		return "rows", 1
	}
	g := small(t, 64, 96, 3)
	id := g.Convolutions()[0]
	draw := func() (Unit, string, float64) {
		in, out := 1+r.IntN(130), 1+r.IntN(130)
		if r.IntN(2) == 0 {
			in, out = 16*(1+r.IntN(8)), 16*(1+r.IntN(8))
		}
		u, _ := g.Resize(id, in, out)
		k, slow := kernel(in, out)
		return u, k, 1000 + slow*0.02*u.work[wMACs]
	}
	table := func(named bool) *Table {
		tb := &Table{Target: "fake"}
		for range 200 {
			u, k, ns := draw()
			x := point{Kind: u.Kind, Dims: u.Dims, Work: u.work, Ns: ns * math.Exp(0.02*r.NormFloat64())}
			if named {
				x.Kernel = k
			}
			tb.Points = append(tb.Points, x)
		}
		return tb
	}
	far := func(p *Predictor) int {
		n := 0
		for range 100 {
			u, _, ns := draw()
			if got, _, err := p.One(u); err != nil || math.Abs(got/ns-1) > 0.10 {
				n++
			}
		}
		return n
	}
	apart, together := far(NewPredictor(table(true))), far(NewPredictor(table(false)))
	t.Logf("of 100 layers %d are told more than 10 %% off with kernels known, %d without", apart, together)
	if apart > 10 || together < 2*apart+10 {
		t.Errorf("of 100 layers %d are told more than 10 %% off with kernels known, %d without", apart, together)
	}
}

// A slow moment is taken out by the network that is measured beside each; without it the table is slow.
func TestGauge(t *testing.T) {
	slowed := func(looked bool) float64 {
		r := rand.New(rand.NewPCG(3, 4))
		f := fake{rand.New(rand.NewPCG(5, 6))}
		tb := &Table{Schema: TableSchema, Target: "fake", Threads: 1}
		for i := range 30 {
			g := probeGraph(t, 1, uint64(i))
			tr := f.run(g)
			slow := math.Exp(0.6 * r.Float64() * float64(b2i(i%5 > 0))) // four of five are slowed by up to 1.8 times
			l := &tr.Launches[0]
			for k := range l.Clean {
				l.Clean[k] = int64(float64(l.Clean[k]) * slow)
			}
			gauge := 0.0
			if looked {
				gauge = 1e6 * slow
			}
			if err := tb.Add(g, tr, gauge); err != nil {
				t.Fatal(err)
			}
		}
		whole, _, _, _, told := foretell(t, tb, 12)
		if told < 3 {
			t.Fatalf("only %d were told", told)
		}
		return whole
	}
	with, without := slowed(true), slowed(false)
	t.Logf("whole models are %.1f %% off with the gauge, %.1f %% without", 100*with, 100*without)
	if with > 0.06 || without < 1.5*with {
		t.Errorf("whole models are %.1f %% off with the gauge, %.1f %% without", 100*with, 100*without)
	}
}

// Of two hints that tell all pairs right the one with the wider gap is believed.
func TestRuleByTheWiderGap(t *testing.T) {
	tb := &Table{}
	for i, x := range [][hints]float64{{1000, 1e6, 0.001}, {60_000, 1e5, 0.6}, {70_000, 100, 700}, {90_000, 100, 900}} {
		tb.Joins = append(tb.Joins, joint{"A > B", x, i > 1})
	}
	r := tb.Rules()["A > B"]
	if r.Wrong != 0 || r.Hint == 0 || r.holds([hints]float64{400_000, 1e6, 0.4}) {
		t.Errorf("%+v", r)
	}
}

// Every style builds, can be taken apart, and is drawn.
func TestProbes(t *testing.T) {
	seen := map[Style]bool{}
	kinds := map[string]bool{}
	for i := range 30 {
		p := NewProbe(1, uint64(i))
		seen[p.Style] = true
		for _, x := range probeGraph(t, 1, uint64(i)).parts {
			kinds[x.kind] = true
		}
	}
	for s := Residual; s <= OddEnds; s++ {
		if !seen[s] {
			t.Errorf("style %d is not drawn", s)
		}
	}
	for _, k := range []string{"Conv kxk", "Conv 3x3 in groups", "AveragePool", "Pad", "Slice", "Transpose 0x1x4x2x5x3", "Transpose 0x2x3x1", "MatMul of values", "LayerNormalization last axis", "Softmax last axis"} {
		if !kinds[k] {
			t.Errorf("no probe has %q", k)
		}
	}
	if _, err := Gauge(); err != nil {
		t.Error(err)
	}
}
