package prune

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/ops"
	"fettle/optimizer"
)

// maker of test networks with seeded weights.
type net struct {
	*model.Builder
	r *rand.Rand
}

func newNet(seed uint64) *net {
	return &net{model.NewBuilder("net", 17), rand.New(rand.NewPCG(seed, 1))}
}

func (n *net) weight(name string, shape ...int) string {
	t := model.NewTensor(model.Float32, shape...)
	for i := range t.Len() {
		model.Data[float32](t)[i] = float32(n.r.NormFloat64()) * 0.4
	}
	return n.Const(name, t)
}

func (n *net) conv(name, x string, in, out, k int, attrs ...model.Attr) string {
	p := int64(k / 2)
	return n.Node("Conv", name, []string{x, n.weight(name+".w", out, in, k, k)}, append(attrs, model.IntsAttr("pads", p, p, p, p))...)
}

func (n *net) norm(name, x string, c int) string {
	v := model.NewTensor(model.Float32, c)
	for i := range c {
		model.Data[float32](v)[i] = 0.5 + n.r.Float32()
	}
	return n.Node("BatchNormalization", name, []string{x, n.weight(name+".s", c), n.weight(name+".b", c), n.weight(name+".m", c), n.Const(name+".v", v)})
}

// residual is a block with a sum, a depthwise convolution, a concatenation and a classifier.
func residual(t *testing.T) *model.Model {
	n := newNet(1)
	x := n.Input("x", model.Float32, model.FixedShape(1, 3, 8, 8))
	a := n.Node("Relu", "relu0", []string{n.norm("bn0", n.conv("stem", x, 3, 8, 3), 8)})
	b := n.Node("Relu", "relu1", []string{n.norm("bn1", n.conv("inner", a, 8, 8, 3), 8)})
	b = n.conv("dw", b, 1, 8, 3, model.IntAttr("group", 8))
	b = n.norm("bn2", n.conv("outer", b, 8, 8, 1), 8)
	a = n.Node("Relu", "relu2", []string{n.Node("Add", "sum", []string{a, b})})
	l, r := n.conv("left", a, 8, 4, 1), n.conv("right", a, 8, 6, 3)
	c := n.Node("Concat", "concat", []string{n.Node("Relu", "relu3", []string{l}), n.Node("Relu", "relu4", []string{r})}, model.IntAttr("axis", 1))
	c = n.Node("MaxPool", "pool", []string{c}, model.IntsAttr("kernel_shape", 4, 4), model.IntsAttr("strides", 4, 4))
	f := n.Node("Flatten", "flatten", []string{c})
	y := n.Node("Gemm", "fc", []string{f, n.weight("fc.w", 5, 40), n.weight("fc.b", 5)}, model.IntAttr("transB", 1))
	n.Output(y, model.Float32, model.FixedShape(1, 5))
	m, err := n.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGroups(t *testing.T) {
	gs, err := Groups(residual(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range gs {
		got = append(got, g.String())
	}
	want := []string{
		"8 channels of stem, outer, read by inner, left, right, joined by sum",
		"8 channels of inner, read by outer",
		"4 channels of left, read by fc",
		"6 channels of right, read by fc",
		"5 channels of fc; 5 stay: the value " + residual(t).Graph.Outputs[0].Name + " is an output of the model",
	}
	if !slices.Equal(got, want) {
		t.Errorf("groups\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLocks(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(n *net, y string) string
		why   string
	}{
		{"unknown operator", func(n *net, y string) string { return n.Node("LRN", "lrn", []string{y}, model.IntAttr("size", 3)) }, "lrn is a LRN"},
		{"groups", func(n *net, y string) string { return n.conv("g", y, 2, 4, 1, model.IntAttr("group", 2)) }, "g is a convolution in groups"},
		{"slice of channels", func(n *net, y string) string {
			return n.Node("Slice", "cut", []string{y, n.Const("s", model.Int64s(0)), n.Const("e", model.Int64s(2)), n.Const("a", model.Int64s(1))})
		}, "cut takes a part of the channels"},
		{"pad of channels", func(n *net, y string) string {
			z := n.Node("Pad", "fill", []string{y, n.Const("p", model.Int64s(0, 1, 0, 0, 0, 0, 0, 0))})
			return n.Node("Add", "add", []string{z, n.conv("wide", y, 4, 5, 1)})
		}, "fill fills these channels"},
		{"shared weight", func(n *net, y string) string { return n.Node("Conv", "again", []string{y, "first.w"}) }, "shared with again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNet(2)
			x := n.Input("x", model.Float32, model.FixedShape(1, 4, 4, 4))
			y := n.Node("Conv", "first", []string{x, n.weight("first.w", 4, 4, 1, 1)})
			y = c.after(n, y)
			n.OutputOf(model.Value{Name: y, Type: model.Type{DType: model.Float32}})
			m, err := n.Model()
			if err != nil {
				t.Fatal(err)
			}
			gs, err := Groups(m)
			if err != nil {
				t.Fatal(err)
			}
			all := ""
			for _, g := range gs {
				all += g.String() + "\n"
			}
			if !strings.Contains(all, c.why) {
				t.Errorf("no group is locked because %q:\n%s", c.why, all)
			}
		})
	}
}

// TestMaskEquivalence cuts random channels and compares with the original whose cut channels give and take nothing.
func TestMaskEquivalence(t *testing.T) {
	maskEquivalent(t, residual(t), 30)
	for _, name := range []string{"resnet20_cifar10", "mlperf_tiny_vww_mobilenetv1_025_96"} {
		t.Run(name, func(t *testing.T) {
			m, err := onnx.ReadFile(context.Background(), filepath.Join("../../../shared/data/models", name+".onnx"), onnx.DefaultBudget())
			if err != nil {
				t.Skipf("no trained network at hand: %v", err)
			}
			maskEquivalent(t, m, 2)
		})
	}
}

func maskEquivalent(t *testing.T, m *model.Model, rounds int) {
	t.Helper()
	in, err := optimizer.RandomInputs(m, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(9, 9))
	for range rounds {
		s, err := newSpace(m)
		if err != nil {
			t.Fatal(err)
		}
		gone := map[int]bool{}
		for _, g := range s.groups() {
			for _, c := range g.classes[1:] {
				if c.why == "" && r.IntN(3) == 0 {
					gone[c.root] = true
				}
			}
		}
		cut, err := s.cut(gone)
		if err != nil {
			t.Fatal(err)
		}
		masked := map[string]*model.Tensor{}
		for _, rd := range s.reads { // what reads a cut channel multiplies it by nothing
			w := masked[rd.weight]
			if w == nil {
				w = m.Graph.Init(rd.weight).Clone()
			}
			inner := w.Len() / w.Shape[0] / w.Shape[1]
			for i := range w.Len() {
				if gone[find(s.same, rd.atoms[i/inner%w.Shape[1]])] {
					model.Data[float32](w)[i] = 0
				}
			}
			masked[rd.weight] = w
		}
		mask, err := rewrite(m, masked, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range in {
			a, err := ops.Evaluate(context.Background(), cut, x)
			if err != nil {
				t.Fatalf("%v\ncut %v", err, gone)
			}
			b, err := ops.Evaluate(context.Background(), mask, x)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range model.Data[float32](a[0]) {
				if d := math.Abs(float64(v - model.Data[float32](b[0])[i])); d > 1e-4*(1+math.Abs(float64(v))) {
					t.Fatalf("output %d: %g cut, %g masked", i, v, model.Data[float32](b[0])[i])
				}
			}
		}
	}
}

// items are random inputs as data.
type items []map[string]*model.Tensor

func (d items) Len() int     { return len(d) }
func (d items) Hash() string { return "items" }
func (d items) Each(_ context.Context, limit int, visit func(int, map[string]*model.Tensor) error) error {
	for i, x := range d[:min(limit, len(d))] {
		if err := visit(i, x); err != nil {
			return err
		}
	}
	return nil
}

func TestRefitBringsOutputsCloser(t *testing.T) {
	m := residual(t)
	in, err := optimizer.RandomInputs(m, 60, 3)
	if err != nil {
		t.Fatal(err)
	}
	env := &optimizer.Env{Data: items(in[:48]), Seed: 1}
	distance := func(p *model.Model) float64 {
		sum := 0.0
		for _, x := range in[48:] {
			a, err := ops.Evaluate(context.Background(), m, x)
			if err != nil {
				t.Fatal(err)
			}
			b, err := ops.Evaluate(context.Background(), p, x)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range model.Data[float32](a[0]) {
				d := float64(v - model.Data[float32](b[0])[i])
				sum += d * d
			}
		}
		return sum
	}
	run := func(set func(*Options)) (*model.Model, []optimizer.Finding) {
		p := New().(*pass)
		p.o.Ratio, p.o.Samples = 0.5, 48
		set(&p.o)
		out, found, err := p.Apply(context.Background(), env, m)
		if err != nil {
			t.Fatal(err)
		}
		return out, found
	}
	plain, _ := run(func(o *Options) { o.Refit = "none" })
	fitted, found := run(func(o *Options) {})
	if a, b := distance(plain), distance(fitted); !(b < 0.7*a) {
		t.Errorf("squared distance %.3g just cut, %.3g refitted", a, b)
	}
	if n := plain.Graph.Init("inner.w").Shape[0]; n != 4 {
		t.Errorf("%d of 8 inner channels are left, want 4", n)
	}
	if g := plain.Graph.Node("dw").Int("group", 0); g != 4 {
		t.Errorf("the depthwise convolution has %d groups, want 4", g)
	}
	for _, c := range []string{"l2", "bn", "geometric-median"} {
		if p, _ := run(func(o *Options) { o.Refit, o.Criterion = "none", c }); p.Graph.Init("inner.w").Shape[0] != 4 {
			t.Errorf("%s cuts another number", c)
		}
	}
	if p, _ := run(func(o *Options) { o.Refit, o.Multiple = "none", 8 }); p.Graph.Init("inner.w").Shape[0] != 8 {
		t.Error("channels were not rounded up to the multiple")
	}
	if p, _ := run(func(o *Options) { o.Refit, o.Sums = "none", true }); p.Graph.Init("stem.w").Shape[0] != 4 || p.Graph.Init("outer.w").Shape[0] != 4 {
		t.Error("sums = true does not cut channels of sums")
	}
	if p, _ := run(func(o *Options) { o.Refit, o.Skip = "none", []string{"inner"} }); p.Graph.Init("inner.w").Shape[0] != 8 {
		t.Error("a layer that is skipped was cut")
	}
	p, _ := run(func(o *Options) {
		o.Refit, o.Allocation, o.Ratios = "none", "list", map[string]float64{"right": 0.5}
	})
	if p.Graph.Init("right.w").Shape[0] != 3 || p.Graph.Init("left.w").Shape[0] != 4 {
		t.Error("the list of ratios is not followed")
	}
	anew, ledger := run(func(o *Options) { o.Refit, o.Statistics = "none", true })
	if f := ledger[len(ledger)-1]; f.Rule != "statistics" || !strings.Contains(f.Reason, "held-out") {
		t.Errorf("the ledger says %q of the statistics", f.Reason)
	} else if changed := anew.Hash() != plain.Hash(); changed != (f.Outcome == optimizer.Applied) {
		t.Errorf("statistics %s, the model changed: %v", f.Outcome, changed)
	}
	told := false
	for _, f := range found {
		told = told || f.Rule == "refit" && strings.Contains(f.Reason, "held-out")
	}
	if !told {
		t.Error("the ledger does not say how the refit went")
	}
	env.Data = nil
	if _, _, err := New().Apply(context.Background(), env, m); !fail.Is(err, fail.Usage) {
		t.Errorf("without data: %v", err)
	}
}

// TestNormalEquations: at the solution the gradient of squared error and pull vanishes.
func TestNormalEquations(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	const width, outs, n = 7, 3, 50
	x, y, old := make([]float32, n*width), make([]float32, n*outs), make([]float64, width*outs)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	for i := range y {
		y[i] = float32(r.NormFloat64())
	}
	for i := range old {
		old[i] = r.NormFloat64()
	}
	e := newEquations(width, outs)
	e.add(x[:20*width], y[:20*outs])
	e.add(x[20*width:], y[20*outs:])
	w, b, err := e.solve(old)
	if err != nil {
		t.Fatal(err)
	}
	mean, lambda := make([]float64, width), 0.0
	for k := range width {
		sq := 0.0
		for i := range n {
			mean[k] += float64(x[i*width+k]) / n
		}
		for i := range n {
			d := float64(x[i*width+k]) - mean[k]
			sq += d * d
		}
		lambda += ridge * sq / width
	}
	for c := range outs {
		sum := 0.0
		for k := range width {
			g, scale := lambda*(w[c*width+k]-old[c*width+k]), 0.0
			for i := range n {
				res := b[c] - float64(y[i*outs+c])
				for j := range width {
					res += w[c*width+j] * float64(x[i*width+j])
				}
				g += res * float64(x[i*width+k])
				scale += math.Abs(res * float64(x[i*width+k]))
				if k == 0 {
					sum += res
				}
			}
			if math.Abs(g) > 1e-6*scale {
				t.Errorf("output %d, weight %d: gradient %g of %g", c, k, g, scale)
			}
		}
		if math.Abs(sum) > 1e-6*n {
			t.Errorf("output %d: gradient of the bias %g", c, sum)
		}
	}
}
