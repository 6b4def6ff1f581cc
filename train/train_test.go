package train

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// build makes a small network that uses every operator with a rule.
func build(t *testing.T, group int64, stride int64) *model.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, uint64(group)))
	b := model.NewBuilder("net", 17)
	w := func(name string, scale float64, dims ...int) string {
		x := model.NewTensor(model.Float32, dims...)
		d := model.Data[float32](x)
		for i := range d {
			d[i] = float32(rng.NormFloat64() * scale)
		}
		return b.Const(name, x)
	}
	ones := func(name string, n int) string {
		x := model.NewTensor(model.Float32, n)
		for i := range model.Data[float32](x) {
			model.Data[float32](x)[i] = 1 + float32(rng.NormFloat64())*0.1
		}
		return b.Const(name, x)
	}
	x := b.Input("x", model.Float32, model.Shape{model.Sym("n"), model.Fixed(2), model.Fixed(7), model.Fixed(6)})
	y := b.Node("Conv", "c1", []string{x, w("w1", 0.4, 4, 2, 3, 3), w("b1", 0.1, 4)}, model.IntsAttr("pads", 1, 1, 1, 1), model.IntsAttr("kernel_shape", 3, 3))
	y = b.Node("BatchNormalization", "bn", []string{y, ones("s", 4), w("h", 0.1, 4), w("m", 0.1, 4), ones("v", 4)})
	y = b.Node("Relu", "r", []string{y})
	z := b.Node("Conv", "c2", []string{y, w("w2", 0.4, 4, 4/int(group), 3, 3)}, model.IntAttr("group", group), model.IntsAttr("pads", 1, 1, 1, 1), model.IntsAttr("kernel_shape", 3, 3))
	y = b.Node("Add", "a", []string{y, z})
	y = b.Node("Conv", "c3", []string{y, w("w3", 0.4, 5, 4, 3, 2)}, model.IntsAttr("strides", stride, stride), model.IntsAttr("pads", 0, 1, 1, 0), model.IntsAttr("kernel_shape", 3, 2))
	p := b.Node("MaxPool", "p", []string{y}, model.IntsAttr("kernel_shape", 2, 2), model.IntsAttr("strides", 1, 1), model.IntsAttr("pads", 0, 0, 1, 1))
	y = b.Node("GlobalAveragePool", "g", []string{p})
	y = b.Node("Flatten", "f", []string{y})
	y = b.Node("Gemm", "fc", []string{y, w("wf", 0.5, 3, 5), w("bf", 0.1, 3)}, model.IntAttr("transB", 1))
	b.Output(y, model.Float32, model.Shape{model.Sym("n"), model.Fixed(3)})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// other makes a small network of the operators that build leaves out.
func other(t *testing.T) *model.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(4, 4))
	b := model.NewBuilder("net", 17)
	w := func(name string, shift float64, dims ...int) string {
		x := model.NewTensor(model.Float32, dims...)
		for i := range model.Data[float32](x) {
			model.Data[float32](x)[i] = float32(rng.NormFloat64()*0.4 + shift)
		}
		return b.Const(name, x)
	}
	x := b.Input("x", model.Float32, model.Shape{model.Sym("n"), model.Fixed(2), model.Fixed(7), model.Fixed(6)})
	y := b.Node("Conv", "dilated", []string{x, w("w1", 0, 4, 2, 3, 2), w("b1", 0, 4)}, model.IntsAttr("pads", 2, 1, 2, 0), model.IntsAttr("dilations", 2, 1), model.IntsAttr("kernel_shape", 3, 2))
	y = b.Node("BatchNormalization", "bn", []string{y, w("s", 1, 4), w("h", 0, 4), w("m", 0, 4), b.Const("v", model.Float32s([]float32{0.5, 1, 1.5, 2}, 4))})
	y = b.Node("Clip", "clip", []string{y, b.Const("lo", model.Scalar32(-0.5)), b.Const("hi", model.Scalar32(0.9))})
	z := b.Node("Conv", "point", []string{y, w("w2", 0, 6, 4, 1, 1)}, model.IntsAttr("kernel_shape", 1, 1))
	y = b.Node("Concat", "cat", []string{y, b.Node("Identity", "same", []string{z})}, model.IntAttr("axis", 1))
	y = b.Node("Slice", "slice", []string{y, b.Const("from", model.Int64s(1, 0)), b.Const("to", model.Int64s(8, 1000)), b.Const("axes", model.Int64s(1, 2)), b.Const("step", model.Int64s(1, 2))})
	y = b.Node("Pad", "pad", []string{y, b.Const("pads", model.Int64s(0, 1, 0, 1, 0, 0, 1, 0))})
	y = b.Node("AveragePool", "avg", []string{y}, model.IntsAttr("kernel_shape", 2, 3), model.IntsAttr("strides", 2, 2), model.IntsAttr("pads", 0, 1, 1, 1))
	y = b.Node("Flatten", "f", []string{y})
	y = b.Node("Gemm", "fc", []string{y, w("wf", 0, 96, 3), w("bf", 0, 3)})
	b.Output(y, model.Float32, model.Shape{model.Sym("n"), model.Fixed(3)})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestGradients holds every parameter's gradient against central differences in float64.
func TestGradients(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      *model.Model
		frozen bool
	}{{"plain", build(t, 1, 1), false}, {"depthwise, stride 2", build(t, 4, 2), false}, {"two groups", build(t, 2, 1), false},
		{"frozen statistics", build(t, 1, 1), true}, {"other operators", other(t), false}, {"other operators, frozen", other(t), true}} {
		t.Run(c.name, func(t *testing.T) {
			tp, err := newTape[float64](c.m)
			if err != nil {
				t.Fatal(err)
			}
			tp.frozen = c.frozen
			rng := rand.New(rand.NewPCG(5, 5))
			x := newArray[float64](3, 2, 7, 6)
			for i := range x.v {
				x.v[i] = rng.NormFloat64()
			}
			labels := []int{0, 2, 1}
			loss := func() float64 {
				y, err := tp.forward(x)
				if err != nil {
					t.Fatal(err)
				}
				l, _, _, err := crossEntropy(y, labels)
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
			y, _ := tp.forward(x)
			_, _, dy, _ := crossEntropy(y, labels)
			tp.keepInput = true
			if err := tp.backward(map[string]*array[float64]{tp.output: dy}); err != nil {
				t.Fatal(err)
			}
			dx := &array[float64]{x.shape, append([]float64(nil), tp.grads["x"].v...)}
			check := func(name string, v []float64, grad []float64) {
				const h = 1e-7 // small, so that few maxima and kinks lie between the two points
				for i := range v {
					old := v[i]
					v[i] = old + h
					up := loss()
					v[i] = old - h
					down := loss()
					v[i] = old
					want := (up - down) / (2 * h)
					if math.Abs(grad[i]-want) > 1e-6+1e-4*math.Abs(want) {
						t.Fatalf("%s[%d]: gradient %g, central difference %g", name, i, grad[i], want)
					}
				}
			}
			for _, p := range tp.params { // the memory of gradients is taken back by the next pass
				if p.grad != nil {
					p.grad = &array[float64]{p.grad.shape, append([]float64(nil), p.grad.v...)}
				}
			}
			check("x", x.v, dx.v)
			for _, p := range tp.params {
				if p.learn && p.grad != nil {
					check(p.name, p.v.v, p.grad.v)
				}
			}
		})
	}
}

func TestFitLearnsAndRepeats(t *testing.T) {
	m := build(t, 1, 1)
	rng := rand.New(rand.NewPCG(7, 7))
	d := Data{Shape: []int{2, 7, 6}}
	for range 96 {
		label := rng.IntN(3)
		for i := range 84 {
			v := rng.NormFloat64() * 0.3
			if i%3 == label {
				v++
			}
			d.Items = append(d.Items, float32(v))
		}
		d.Labels = append(d.Labels, label)
	}
	o := NewOptions()
	o.Epochs, o.Batch = 15, 16
	var last Report
	a, err := Fit(context.Background(), m, d, o, nil, func(r Report) { last = r })
	if err != nil {
		t.Fatal(err)
	}
	if last.Accuracy < 0.95 {
		t.Errorf("accuracy %.2f after %d epochs, want 0.95", last.Accuracy, o.Epochs)
	}
	b, err := Fit(context.Background(), m, d, o, nil, nil)
	if err != nil || a.Hash() != b.Hash() {
		t.Errorf("the same seed gave other weights (%v)", err)
	}
	threads := runtime.GOMAXPROCS(1)
	c, err := Fit(context.Background(), m, d, o, nil, nil)
	runtime.GOMAXPROCS(threads)
	if err != nil || a.Hash() != c.Hash() {
		t.Errorf("one thread gave other weights than %d (%v)", threads, err)
	}
	if m.Hash() == a.Hash() {
		t.Error("the base model was changed, or nothing was learned")
	}
}

func TestUnsupportedIsNamed(t *testing.T) {
	b := model.NewBuilder("net", 17)
	y := b.Node("Det", "e", []string{b.Input("x", model.Float32, model.FixedShape(1, 3, 3))})
	b.Output(y, model.Float32, model.FixedShape(1))
	m, _ := b.Model()
	_, err := Fit(context.Background(), m, Data{Shape: []int{3, 3}, Items: make([]float32, 9), Labels: []int{0}}, NewOptions(), nil, nil)
	if !fail.Is(err, fail.Unsupported) {
		t.Errorf("got %v", err)
	}
}

// TestEstimate: the statistics are those of the data, whatever they were.
func TestEstimate(t *testing.T) {
	m := build(t, 1, 1)
	rng := rand.New(rand.NewPCG(9, 9))
	var items [][]float32
	for range 64 {
		x := make([]float32, 84)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		items = append(items, x)
	}
	a, err := Estimate(context.Background(), m, items, [][]int{{2, 7, 6}}, 16)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Estimate(context.Background(), m, items, [][]int{{2, 7, 6}}, 64)
	if err != nil {
		t.Fatal(err)
	}
	w, bias := model.Data[float32](m.Graph.Init("w1")), model.Data[float32](m.Graph.Init("b1"))
	for c := range 4 { // the input has mean 0 and variance 1; a window in the middle sums over all weights, one at the border over fewer
		all := 0.0
		for _, v := range w[c*18 : (c+1)*18] {
			all += float64(v) * float64(v)
		}
		mean, variance := a.Graph.Init("m").Float64At(c), a.Graph.Init("v").Float64At(c)
		if math.Abs(mean-float64(bias[c])) > 0.15 || variance < 0.6*all || variance > 1.1*all {
			t.Errorf("channel %d: mean %g, variance %g; the bias is %g, the weights squared are %g", c, mean, variance, bias[c], all)
		}
		if math.Abs(mean-b.Graph.Init("m").Float64At(c)) > 1e-4 {
			t.Errorf("channel %d: the mean depends on the size of the batch", c)
		}
	}
}
