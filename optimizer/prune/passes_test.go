package prune

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// thin is a network whose layers use few directions: products of two thin matrices.
func thin(t *testing.T, rank int) *model.Model {
	n := newNet(21)
	product := func(name string, outs, width int, shape ...int) string {
		a, b := mat.NewDense(outs, rank, nil), mat.NewDense(rank, width, nil)
		for _, m := range []*mat.Dense{a, b} {
			for i := range m.RawMatrix().Data {
				m.RawMatrix().Data[i] = n.r.NormFloat64() * 0.4
			}
		}
		var ab mat.Dense
		ab.Mul(a, b)
		w := model.NewTensor(model.Float32, shape...)
		for i, v := range ab.RawMatrix().Data {
			model.Data[float32](w)[i] = float32(v)
		}
		return n.Const(name, w)
	}
	x := n.Input("x", model.Float32, model.FixedShape(1, 3, 6, 6))
	y := n.Node("Conv", "wide", []string{x, product("wide.w", 16, 27, 16, 3, 3, 3), n.weight("wide.b", 16)}, model.IntsAttr("pads", 1, 1, 1, 1), model.IntsAttr("strides", 2, 2))
	y = n.Node("Relu", "relu", []string{y})
	y = n.Node("Conv", "point", []string{y, product("point.w", 12, 16, 12, 16, 1, 1)})
	y = n.Node("Flatten", "flat", []string{n.Node("Relu", "relu2", []string{y})})
	y = n.Node("Gemm", "fc", []string{y, product("fc.w", 20, 108, 20, 108), n.weight("fc.b", 20)}, model.IntAttr("transB", 1))
	y = n.Node("MatMul", "mm", []string{y, product("mm.w", 20, 24, 20, 24)})
	n.Output(y, model.Float32, model.FixedShape(1, 24))
	m, err := n.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func apart(t *testing.T, a, b *model.Model, judge items) float64 {
	t.Helper()
	s, env := &space{}, &optimizer.Env{}
	want, err := s.answers(context.Background(), env, a, judge)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.answers(context.Background(), env, b, judge)
	if err != nil {
		t.Fatal(err)
	}
	return distance(want, got)
}

// TestFactorize: layers of a low rank become two of that rank and the outputs stay; layers of full rank are refused with the rank.
func TestFactorize(t *testing.T) {
	env := &optimizer.Env{Data: randomItems(64, 1, 3, 6, 6)}
	p := NewLowRank().(*lowRank)
	p.o.Error = 1e-4
	m := thin(t, 3)
	out, found, err := p.Apply(context.Background(), env, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Outcome != optimizer.Applied || !strings.Contains(f.Reason, "rank 3 of") && !strings.Contains(f.Reason, "rank 2 of") {
			t.Errorf("%s: %s %s", f.Label, f.Outcome, f.Reason)
		}
	}
	if d := apart(t, m, out, randomItems(8, 1, 3, 6, 6)); d > 1e-3 {
		t.Errorf("the outputs moved by %g of their size", d)
	}
	before, _ := optimizer.Measure(m)
	if after, _ := optimizer.Measure(out); after.MACs >= before.MACs || after.Parameters >= before.Parameters {
		t.Errorf("%d multiply-adds before, %d after", before.MACs, after.MACs)
	}
	full := residual(t)
	out, found, err = p.Apply(context.Background(), &optimizer.Env{Data: randomItems(32, 1, 3, 8, 8)}, full)
	if err != nil || out != full {
		t.Errorf("a network of full rank was changed (%v)", err)
	}
	if !strings.Contains(fmt.Sprint(found), "would be needed") || !strings.Contains(fmt.Sprint(found), "in groups") {
		t.Errorf("the reasons do not tell the rank and the groups: %v", found)
	}
	if _, _, err := p.Apply(context.Background(), &optimizer.Env{}, m); !fail.Is(err, fail.Usage) {
		t.Errorf("without data: %v", err)
	}
}

// TestSparsify: the zeros are as many as asked for and stand as asked for, and the fitted rest is closer than zeros alone.
func TestSparsify(t *testing.T) {
	m := residual(t)
	env := &optimizer.Env{Data: randomItems(48, 1, 3, 8, 8)}
	judge := randomItems(8, 1, 3, 8, 8)
	for _, pattern := range []string{"any", "2:4"} {
		p := NewSparsify().(*sparsify)
		p.o.Pattern, p.o.Skip = pattern, []string{"first", "outer"}
		out, found, err := p.Apply(context.Background(), env, m)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(fmt.Sprint(found), "smaller file, same speed") {
			t.Error("the ledger does not say that the speed stays")
		}
		w := model.Data[float32](out.Graph.Init("right.w"))
		zero := 0
		for i, v := range w {
			if v == 0 {
				zero++
			}
			if pattern == "2:4" && i%4 == 3 && !(zerosIn(w[i-3:i+1]) == 2) {
				t.Fatalf("weights %d to %d have %d zeros", i-3, i, zerosIn(w[i-3:i+1]))
			}
		}
		if math.Abs(float64(zero)/float64(len(w))-0.5) > 0.01 {
			t.Errorf("%s: %d of %d weights are zero", pattern, zero, len(w))
		}
		inits := map[string]*model.Tensor{}
		for _, name := range []string{"inner.w", "left.w", "right.w"} {
			masked := m.Graph.Init(name).Clone()
			for i, v := range model.Data[float32](out.Graph.Init(name)) {
				if v == 0 {
					model.Data[float32](masked)[i] = 0
				}
			}
			inits[name] = masked
		}
		bare, err := rewrite(m, inits, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := apart(t, m, bare, judge), apart(t, m, out, judge); !(b < a) {
			t.Errorf("%s: squared distance %g with zeros alone, %g fitted", pattern, a, b)
		}
	}
}

func zerosIn(l []float32) (zeros int) {
	for _, v := range l {
		if v == 0 {
			zeros++
		}
	}
	return zeros
}

// TestRemoveBlocks: the block that adds nearly nothing goes, and no block whose inside others read.
func TestRemoveBlocks(t *testing.T) {
	n := newNet(31)
	x := n.Input("x", model.Float32, model.FixedShape(1, 3, 6, 6))
	y := n.Node("Relu", "r", []string{n.conv("stem", x, 3, 6, 3)})
	for _, name := range []string{"a", "b", "c"} {
		w := n.weight(name+".w", 6, 6, 3, 3)
		z := n.Node("Conv", name+".conv", []string{y, w}, model.IntsAttr("pads", 1, 1, 1, 1))
		if name == "b" {
			z = n.Node("Mul", name+".small", []string{z, n.Const("small", model.Scalar32(0.001))})
		}
		y = n.Node("Relu", name+".relu", []string{n.Node("Add", name+".sum", []string{z, y})})
	}
	y = n.Node("Flatten", "flat", []string{n.Node("GlobalAveragePool", "gap", []string{y})})
	n.Output(y, model.Float32, model.FixedShape(1, 6))
	m, err := n.Model()
	if err != nil {
		t.Fatal(err)
	}
	env := &optimizer.Env{Data: randomItems(16, 1, 3, 6, 6)}
	p := NewRemoveBlocks().(*removeBlocks)
	out, found, err := p.Apply(context.Background(), env, m)
	if err != nil {
		t.Fatal(err)
	}
	if out.Graph.Node("b.sum") != nil || out.Graph.Node("a.sum") == nil || found[0].Label != "b.sum" {
		t.Errorf("another block than b went: %v", found)
	}
	if d := apart(t, m, out, randomItems(4, 1, 3, 6, 6)); d > 1e-4 {
		t.Errorf("the outputs moved by %g", d)
	}
	p.o.Count, p.o.Distance = 3, 1e-3
	if out, found, err = p.Apply(context.Background(), env, m); err != nil || out.Graph.Node("a.sum") == nil || !strings.Contains(found[1].Reason, "more than") {
		t.Errorf("the bound did not hold: %v, %v", found, err)
	}
	if out, found, _ := p.Apply(context.Background(), env, thin(t, 3)); out == nil || found[0].Outcome != optimizer.Nothing {
		t.Errorf("a network without sums: %v", found)
	}
}
