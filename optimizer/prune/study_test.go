package prune

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// chain is residual blocks behind each other, with normalisations.
func chain(t *testing.T, blocks int) *model.Model {
	t.Helper()
	n := newNet(7)
	x := n.Node("Relu", "relu", []string{n.norm("bn", n.conv("stem", n.Input("x", model.Float32, model.FixedShape(1, 3, 8, 8)), 3, 8, 3), 8)})
	for i := range blocks {
		k := fmt.Sprint(i)
		y := n.Node("Relu", "in"+k, []string{n.norm("a.bn"+k, n.conv("a"+k, x, 8, 8, 3), 8)})
		y = n.norm("b.bn"+k, n.conv("b"+k, y, 8, 8, 3), 8)
		x = n.Node("Relu", "out"+k, []string{n.Node("Add", "sum"+k, []string{y, x})})
	}
	f := n.Node("Flatten", "flatten", []string{n.Node("GlobalAveragePool", "pool", []string{x})})
	n.Output(n.Node("Gemm", "fc", []string{f, n.weight("fc.w", 5, 8), n.weight("fc.b", 5)}, model.IntAttr("transB", 1)), model.Float32, model.FixedShape(1, 5))
	m, err := n.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func studied(t *testing.T, m *model.Model, set func(*StudyOptions)) (*Study, []map[string]*model.Tensor) {
	t.Helper()
	in, err := optimizer.RandomInputs(m, 40, 3)
	if err != nil {
		t.Fatal(err)
	}
	o := NewStudyOptions()
	o.Samples = 40
	set(&o)
	st, err := Examine(context.Background(), &optimizer.Env{Data: items(in), Seed: 1}, m, o)
	if err != nil {
		t.Fatal(err)
	}
	return st, in
}

// TestStudySaysTheTruth: what the study says of a cut is what the whole model does with it, and weighs.
func TestStudySaysTheTruth(t *testing.T) {
	m := chain(t, 3)
	st, in := studied(t, m, func(o *StudyOptions) { o.Tier, o.Ratios = 2, []float64{0.25, 0.5} })
	loaded, err := load(context.Background(), items(in), 40)
	if err != nil {
		t.Fatal(err)
	}
	judge := loaded[len(loaded)-held(len(loaded)):]
	answers := func(m *model.Model, x map[string]*model.Tensor) []float32 {
		out, err := ops.Evaluate(context.Background(), m, x)
		if err != nil {
			t.Fatal(err)
		}
		return model.Data[float32](out[0])
	}
	cuts := 0
	for _, g := range st.Groups {
		if g.Problem != "" {
			continue
		}
		var truth []Cut
		for _, c := range g.Cuts {
			p, err := rewrite(m, c.weights, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			sum := 0.0
			for _, x := range judge {
				sum += divergence(answers(m, x), answers(p, x)) / float64(len(judge))
			}
			truth = append(truth, Cut{Damage: sum})
		}
		rising(truth)
		for i, c := range g.Cuts {
			if cuts++; math.Abs(truth[i].Damage-c.Damage) > 1e-5*(1+truth[i].Damage) {
				t.Errorf("%s, %d gone: damage %g, the whole model says %g", g.Group.Makers[0], c.Gone, c.Damage, truth[i].Damage)
			}
		}
		p := New().(*pass)
		p.o.Allocation, p.o.Refit = "list", "none"
		p.o.Ratios = map[string]float64{g.Group.Makers[0]: 0.5}
		out, _, err := p.Apply(context.Background(), &optimizer.Env{Seed: 1}, m)
		if err != nil {
			t.Fatal(err)
		}
		if size, _ := optimizer.Measure(out); float64(size.MACs) != g.Cuts[2].MACs || g.Cuts[2].MACs >= st.MACs {
			t.Errorf("%s: %g multiply-adds expected, the cut model has %d of %g", g.Group.Makers[0], g.Cuts[2].MACs, size.MACs, st.MACs)
		}
	}
	if cuts != 9 || st.Unit != "KL of the answers" {
		t.Errorf("%d cuts, %s", cuts, st.Unit)
	}
}

// TestStudyPredictsManyCuts: the law ranks joint cuts that it has not seen.
func TestStudyPredictsManyCuts(t *testing.T) {
	st, _ := studied(t, chain(t, 4), func(o *StudyOptions) { o.Test, o.Ratios = 50, []float64{0.25, 0.5, 0.75} })
	l := st.Law
	if l == nil || l.Tested != 50 || l.Rank < 0.8 {
		t.Fatalf("the law is %+v", l)
	}
	mid, low, high := l.Joint(0.3)
	if !(low < mid && mid < high) {
		t.Errorf("%g in %g to %g", mid, low, high)
	}
}

func TestLawIsFound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var sums, truth []float64
	for range 40 {
		s := math.Exp(3*r.Float64() - 4)
		sums, truth = append(sums, s), append(truth, 1.7*math.Pow(s, 1.3)*math.Exp(0.1*r.NormFloat64()))
	}
	if l := fitLaw(sums, truth); math.Abs(l.Factor-1.7) > 0.2 || math.Abs(l.Power-1.3) > 0.05 || math.Abs(l.Spread-0.1) > 0.04 {
		t.Errorf("%+v", *l)
	}
	if l := fitLaw([]float64{1, 2, 0}, []float64{1, 2, 3}); l != nil {
		t.Errorf("a law from two points: %+v", *l)
	}
}

func TestRising(t *testing.T) {
	c := []Cut{{Damage: 0}, {Damage: 3}, {Damage: 1}, {Damage: 2}, {Damage: 5}, {Damage: 4}}
	rising(c)
	for i, want := range []float64{0, 2, 2, 2, 4.5, 4.5} {
		if c[i].Damage != want {
			t.Errorf("damage %d is %g, want %g", i, c[i].Damage, want)
		}
	}
}

func TestStudyRefuses(t *testing.T) {
	m := chain(t, 1)
	if _, err := Examine(context.Background(), &optimizer.Env{}, m, NewStudyOptions()); !fail.Is(err, fail.Usage) {
		t.Errorf("without data: %v", err)
	}
	in, _ := optimizer.RandomInputs(m, 20, 3)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Examine(ctx, &optimizer.Env{Data: items(in)}, m, NewStudyOptions()); !fail.Is(err, fail.Cancelled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestBranchesMakeSumsRight: what a branch is fitted to gives the sum of the original, whatever goes past it now.
func TestBranchesMakeSumsRight(t *testing.T) {
	m := chain(t, 2)
	s, err := newSpace(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		node  string
		value string // "": no sum
	}{{"b0", "out"}, {"b1", "out0"}, {"a0", ""}, {"fc", ""}, {"stem", ""}} {
		p := s.pastOf(m.Graph.Node(model.NodeID(c.node)))
		if (p != nil) != (c.value != "") {
			t.Errorf("%s: a sum was found: %v", c.node, p != nil)
		}
	}
	p := s.pastOf(m.Graph.Node("b1"))
	if p.value != m.Graph.Node("out0").Outputs[0] || len(p.scale) != 8 {
		t.Fatalf("past b1 goes %q, %d factors", p.value, len(p.scale))
	}
	want, old, now := []float32{1, -2, 3, 0.5, 1, 1, 1, 1}, make([]float32, 8), make([]float32, 8)
	for i := range old {
		old[i], now[i] = float32(i)/3, float32(i*i)/9
	}
	for i, v := range p.corrected(want, old, now) {
		if a, b := p.scale[i]*float64(want[i])+float64(old[i]), p.scale[i]*float64(v)+float64(now[i]); math.Abs(a-b) > 1e-5 {
			t.Errorf("output %d: the sum is %g, was %g", i, b, a)
		}
	}
}

// TestLongNetworksKeepTheirAnswers: half of the inner channels of six blocks gone, the refit leaves a small part of what the cut did.
func TestLongNetworksKeepTheirAnswers(t *testing.T) {
	m := chain(t, 6)
	in, err := optimizer.RandomInputs(m, 60, 3)
	if err != nil {
		t.Fatal(err)
	}
	far := func(refit string) float64 {
		p := New().(*pass)
		p.o.Ratio, p.o.Refit, p.o.Samples = 0.5, refit, 48
		out, _, err := p.Apply(context.Background(), &optimizer.Env{Data: items(in[:48]), Seed: 1}, m)
		if err != nil {
			t.Fatal(err)
		}
		d, size := 0.0, 0.0
		for _, x := range in[48:] {
			a, _ := ops.Evaluate(context.Background(), m, x)
			b, err := ops.Evaluate(context.Background(), out, x)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range model.Data[float32](a[0]) {
				e := float64(v - model.Data[float32](b[0])[i])
				d, size = d+e*e, size+float64(v)*float64(v)
			}
		}
		return d / size
	}
	cut, fitted := far("none"), far("least-squares")
	t.Logf("cut %.3g, fitted %.3g of the squared answers", cut, fitted)
	if !(fitted < 0.02*cut) {
		t.Errorf("cut %.3g, fitted %.3g of the squared answers", cut, fitted)
	}
}
