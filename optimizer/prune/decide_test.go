package prune

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// TestRemover: what a removal costs is what the least squares without the columns lose against those with them, one after another.
func TestRemover(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	const width, outs, rows = 12, 4, 200
	x := mat.NewDense(rows, width, nil)
	for i := range rows {
		for j := range width {
			x.Set(i, j, r.NormFloat64()+0.5*float64(j%3)*r.NormFloat64())
		}
	}
	var h mat.Dense
	h.Mul(x.T(), x)
	w := mat.NewDense(outs, width, nil)
	for i := range outs {
		for j := range width {
			w.Set(i, j, r.NormFloat64())
		}
	}
	e := &evidence{w: w, h: &h, columns: map[int][]int{}}
	for j := range width {
		e.columns[j/3] = append(e.columns[j/3], j)
	}
	rem, err := newRemover(e)
	if err != nil {
		t.Fatal(err)
	}
	var y mat.Dense
	y.Mul(x, w.T())
	lost := func(gone map[int]bool) float64 { // least squares from the rows themselves
		var keep []int
		for j := range width {
			if !gone[j/3] {
				keep = append(keep, j)
			}
		}
		part := mat.NewDense(rows, len(keep), nil)
		for i := range rows {
			for k, j := range keep {
				part.Set(i, k, x.At(i, j))
			}
		}
		var b, res mat.Dense
		if err := b.Solve(part, &y); err != nil {
			t.Fatal(err)
		}
		res.Mul(part, &b)
		res.Sub(&res, &y)
		return dot(&res, &res)
	}
	gone, sum := map[int]bool{}, 0.0
	for _, root := range []int{2, 0, 3} {
		cost, _, _ := rem.price(root)
		rem.remove(root)
		gone[root] = true
		sum += cost
		if want := lost(gone); math.Abs(sum-want) > 1e-6*want {
			t.Errorf("without %v the squared error is %g, least squares give %g", gone, sum, want)
		}
	}
}

// twoLayers has 8 inner channels, of which dead ones are read by zeros and all others matter.
func twoLayers(t *testing.T, dead ...int) *model.Model {
	n := newNet(11)
	x := n.Input("x", model.Float32, model.FixedShape(1, 2, 6, 6))
	y := n.Node("Relu", "relu", []string{n.conv("first", x, 2, 8, 3)})
	w := model.NewTensor(model.Float32, 5, 8, 3, 3)
	for i := range w.Len() {
		c := i / 9 % 8
		v := 0.3 + n.r.Float32()
		for _, d := range dead {
			if c == d {
				v = 0
			}
		}
		model.Data[float32](w)[i] = v * float32(1-2*(i%2))
	}
	y = n.Node("Conv", "second", []string{y, n.Const("second.w", w)}, model.IntsAttr("pads", 1, 1, 1, 1))
	y = n.Node("Flatten", "flat", []string{n.Node("GlobalAveragePool", "gap", []string{y})})
	n.Output(y, model.Float32, model.FixedShape(1, 5))
	m, err := n.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func randomItems(n int, shape ...int) items {
	r := rand.New(rand.NewPCG(5, 6))
	var l items
	for range n {
		x := model.NewTensor(model.Float32, shape...)
		for i := range x.Len() {
			model.Data[float32](x)[i] = float32(r.NormFloat64())
		}
		l = append(l, map[string]*model.Tensor{"x": x})
	}
	return l
}

// TestCriteriaByData: channels that nobody needs go first, whatever the criterion that looks behind.
func TestCriteriaByData(t *testing.T) {
	m := twoLayers(t, 1, 4, 6)
	for _, c := range []string{"activation", "obc", "lasso", "taylor", "fisher", "discriminant", "best"} {
		t.Run(c, func(t *testing.T) {
			p := New().(*pass)
			p.o.Criterion, p.o.Ratio, p.o.Samples = c, 0.375, 24
			env := &optimizer.Env{Data: randomItems(24, 1, 2, 6, 6)}
			out, found, err := p.Apply(context.Background(), env, m)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newSpace(m)
			if err != nil {
				t.Fatal(err)
			}
			judge := randomItems(8, 1, 2, 6, 6)
			want, _ := s.answers(context.Background(), env, m, judge)
			got, err := s.answers(context.Background(), env, out, judge)
			if err != nil {
				t.Fatal(err)
			}
			if k := out.Graph.Init("first.w").Shape[0]; k != 5 {
				t.Fatalf("%d channels are left, want 5", k)
			}
			if d := distance(want, got); d > 1e-6 {
				t.Errorf("the outputs moved by %g of their size: a channel that matters went (%v)", d, found[0].Reason)
			}
		})
	}
}

// TestDiscriminant: of two channels that add as much behind, the one that tells classes apart stays.
func TestDiscriminant(t *testing.T) {
	b := model.NewBuilder("net", 17)
	x := b.Input("x", model.Float32, model.FixedShape(1, 2, 4, 4))
	first := model.Float32s([]float32{1, 0, 0, 1}, 2, 2, 1, 1)
	second := model.Float32s([]float32{1, 0, 0, 1}, 2, 2, 1, 1)
	y := b.Node("Relu", "relu", []string{b.Node("Conv", "first", []string{x, b.Const("first.w", first)})})
	y = b.Node("Conv", "second", []string{y, b.Const("second.w", second)})
	y = b.Node("Flatten", "flat", []string{b.Node("GlobalAveragePool", "pool", []string{y})})
	y = b.Node("Gemm", "fc", []string{y, b.Const("fc.w", model.Float32s([]float32{0, 9, 0, -9}, 2, 2)), b.Const("fc.b", model.Float32s([]float32{-4.5, 4.5}, 2))}, model.IntAttr("transB", 1))
	b.Output(y, model.Float32, model.FixedShape(1, 2))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 1))
	var in items
	for range 64 {
		x := model.NewTensor(model.Float32, 1, 2, 4, 4)
		d, level := model.Data[float32](x), r.Float32()
		for i := range 16 {
			d[i], d[16+i] = 2*r.Float32(), level // loud, but the same in the mean; and quiet, but the answer
		}
		in = append(in, map[string]*model.Tensor{"x": x})
	}
	for criterion, want := range map[string]float32{"activation": 1, "discriminant": 0} {
		p := New().(*pass)
		p.o.Criterion, p.o.Ratio, p.o.Samples, p.o.Refit = criterion, 0.5, 64, "none"
		out, _, err := p.Apply(context.Background(), &optimizer.Env{Data: in}, m)
		if err != nil {
			t.Fatal(err)
		}
		if w := out.Graph.Init("first.w"); w.Len() != 2 || model.Data[float32](w)[0] != want {
			t.Errorf("%s: weights %v are left", criterion, model.Data[float32](w))
		}
	}
}

// byMACs is a board that takes a hundred nanoseconds for each multiply-add.
type byMACs struct{}

func (byMACs) PredictNs(m *model.Model) (float64, error) {
	s, err := optimizer.Measure(m)
	return 100 * float64(s.MACs), err
}

// TestAllotment: a budget is met, never passed by more than a step, and impossible ones say so.
func TestAllotment(t *testing.T) {
	m := residual(t)
	before, err := optimizer.Measure(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, share := range []float64{0.9, 0.7, 0.5} {
		p := New().(*pass)
		p.o.Allocation, p.o.MACs, p.o.Sums, p.o.Samples = "damage", share, true, 24
		out, found, err := p.Apply(context.Background(), &optimizer.Env{Data: randomItems(24, 1, 3, 8, 8)}, m)
		if err != nil {
			t.Fatal(err)
		}
		after, _ := optimizer.Measure(out)
		if got := float64(after.MACs) / float64(before.MACs); got > share || got < share-0.25 {
			t.Errorf("%.2f of the multiply-adds are left, want at most %.2f and not much less: %v", got, share, found[len(found)-1].Reason)
		}
	}
	p := New().(*pass)
	p.o.Allocation, p.o.MACs, p.o.Samples = "damage", 0.01, 24
	_, _, err = p.Apply(context.Background(), &optimizer.Env{Data: randomItems(24, 1, 3, 8, 8)}, m)
	if !fail.Is(err, fail.Invalid) || !strings.Contains(fmt.Sprint(err), "impossible") {
		t.Errorf("a budget that cannot be met: %v", err)
	}
	p.o.MACs, p.o.Ms = 0, 1e-6
	if _, _, err = p.Apply(context.Background(), &optimizer.Env{Data: randomItems(24, 1, 3, 8, 8)}, m); !fail.Is(err, fail.Invalid) {
		t.Errorf("a millionth of a millisecond on this computer: %v", err)
	}
	p.o.Ms = 5
	quick, _, err := p.Apply(context.Background(), &optimizer.Env{Data: randomItems(24, 1, 3, 8, 8), Cost: byMACs{}}, m)
	if err != nil {
		t.Fatal(err)
	}
	if ns, _ := (byMACs{}).PredictNs(quick); ns > 5e6 {
		t.Errorf("%g ms are predicted, 5 were allowed", ns/1e6)
	}
	p.o.Ms, p.o.KB = 0, 2.5
	out, _, err := p.Apply(context.Background(), &optimizer.Env{Data: randomItems(24, 1, 3, 8, 8)}, m)
	if err != nil {
		t.Fatal(err)
	}
	if size, _ := optimizer.Measure(out); size.WeightBytes > 2500 {
		t.Errorf("%d bytes, 2500 were allowed", size.WeightBytes)
	}
}

// TestCurves: curves begin at 0, rise, and are flat for channels that nobody needs.
func TestCurves(t *testing.T) {
	l, err := Curves(context.Background(), &optimizer.Env{Data: randomItems(24, 1, 2, 6, 6)}, twoLayers(t, 1, 4, 6), 24)
	if err != nil {
		t.Fatal(err)
	}
	if len(l) != 2 || len(l[0].Damage) != 8 || l[1].Problem == "" {
		t.Fatalf("got %+v", l)
	}
	d := l[0].Damage
	for i := range d[1:] {
		if d[i+1] < d[i] {
			t.Errorf("the damage falls from %g to %g", d[i], d[i+1])
		}
	}
	if d[3] > 1e-9 || d[4] < 1e-3 {
		t.Errorf("three channels matter nothing, the fourth does: %v", d)
	}
	if _, err := Curves(context.Background(), &optimizer.Env{}, twoLayers(t), 24); !fail.Is(err, fail.Usage) {
		t.Errorf("without data: %v", err)
	}
}
