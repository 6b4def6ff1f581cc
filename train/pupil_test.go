package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/model"
)

// resnet is a network of the form of ResNet-20 for pictures of size x size, with folded normalisations; width is that of the first stage.
func resnet(t testing.TB, blocks, width, size int) *model.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	b := model.NewBuilder("net", 17)
	conv := func(name, x string, in, out, stride int) string {
		w := model.NewTensor(model.Float32, out, in, 3, 3)
		for i := range model.Data[float32](w) {
			model.Data[float32](w)[i] = float32(rng.NormFloat64() * math.Sqrt(2/float64(9*in)))
		}
		return b.Node("Conv", name, []string{x, b.Const(name+".w", w), b.Const(name+".b", model.NewTensor(model.Float32, out))},
			model.IntsAttr("pads", 1, 1, 1, 1), model.IntsAttr("strides", int64(stride), int64(stride)), model.IntsAttr("kernel_shape", 3, 3))
	}
	relu := func(x string) string { return b.Node("Relu", x+".relu", []string{x}) }
	x := b.Input("x", model.Float32, model.Shape{model.Sym("n"), model.Fixed(3), model.Fixed(size), model.Fixed(size)})
	x = relu(conv("stem", x, 3, width, 1))
	in := width
	for stage := range 3 {
		out := width << stage
		for k := range blocks {
			name, stride, short := fmt.Sprintf("s%d.%d", stage, k), 1, x
			if in != out {
				stride = 2
				short = b.Node("Slice", name+".slice", []string{x, b.Const(name+".from", model.Int64s(0, 0)), b.Const(name+".to", model.Int64s(1000, 1000)), b.Const(name+".axes", model.Int64s(2, 3)), b.Const(name+".step", model.Int64s(2, 2))})
				d := int64(out-in) / 2
				short = b.Node("Pad", name+".pad", []string{short, b.Const(name+".pads", model.Int64s(0, d, 0, 0, 0, d, 0, 0))})
			}
			y := relu(conv(name+".a", x, in, out, stride))
			y = conv(name+".c", y, out, out, 1)
			x = relu(b.Node("Add", name+".add", []string{y, short}))
			in = out
		}
	}
	last := int64(size / 4)
	x = b.Node("AveragePool", "pool", []string{x}, model.IntsAttr("kernel_shape", last, last))
	x = b.Node("Reshape", "flat", []string{x, b.Const("flat.to", model.Int64s(0, -1))})
	w := model.NewTensor(model.Float32, 10, in)
	for i := range model.Data[float32](w) {
		model.Data[float32](w)[i] = float32(rng.NormFloat64() * 0.3)
	}
	y := b.Node("Gemm", "fc", []string{x, b.Const("fc.w", w), b.Const("fc.b", model.NewTensor(model.Float32, 10))}, model.IntAttr("transB", 1))
	b.Output(y, model.Float32, model.Shape{model.Sym("n"), model.Fixed(10)})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func pictures(n, size int) [][]float32 {
	rng := rand.New(rand.NewPCG(3, 4))
	out := make([][]float32, n)
	for i := range out {
		out[i] = make([]float32, 3*size*size)
		for k := range out[i] {
			out[i][k] = float32(rng.NormFloat64())
		}
	}
	return out
}

// BenchmarkPupil reports the pictures a second of ResNet-20, forward, backward and step.
func BenchmarkPupil(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("resnet20/32x32/workers=%d", workers), func(b *testing.B) {
			p, err := NewPupil(resnet(b, 3, 16, 32), workers, How{})
			if err != nil {
				b.Fatal(err)
			}
			items := pictures(64, 32)
			want := Want{Output: make([]float32, 10)}
			for b.Loop() {
				if _, err := p.Step(context.Background(), items, [][]int{{3, 32, 32}}, Lesson{Temperature: 4}, 1e-3, func(context.Context, int, int) (Want, error) { return want, nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(64*b.N)/b.Elapsed().Seconds(), "pictures/s")
		})
	}
}

// TestVectorGradients holds the gradients of the vector kernels against plain loops in float64.
func TestVectorGradients(t *testing.T) {
	for _, c := range []struct {
		name string
		m    *model.Model
		size int
	}{{"resnet", resnet(t, 1, 8, 16), 16}, {"odd widths", resnet(t, 1, 6, 12), 12}} {
		t.Run(c.name, func(t *testing.T) {
			fast, err := newTape[float32](c.m)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := newTape[float64](c.m)
			if err != nil {
				t.Fatal(err)
			}
			const n = 3
			x32, x64 := newArray[float32](n, 3, c.size, c.size), newArray[float64](n, 3, c.size, c.size)
			for i, p := range pictures(n, c.size) {
				for k, v := range p {
					x32.v[i*len(p)+k], x64.v[i*len(p)+k] = v, float64(v)
				}
			}
			y32, err := fast.forward(x32)
			if err != nil {
				t.Fatal(err)
			}
			y64, err := plain.forward(x64)
			if err != nil {
				t.Fatal(err)
			}
			_, _, d32, err := crossEntropy(y32, []int{1, 2, 3})
			if err != nil {
				t.Fatal(err)
			}
			_, _, d64, _ := crossEntropy(y64, []int{1, 2, 3})
			if err := fast.backward(map[string]*array[float32]{fast.output: d32}); err != nil {
				t.Fatal(err)
			}
			if err := plain.backward(map[string]*array[float64]{plain.output: d64}); err != nil {
				t.Fatal(err)
			}
			for i, p := range plain.params {
				if p.grad == nil {
					continue
				}
				most, worst := 0.0, 0.0
				for k, v := range p.grad.v {
					most = math.Max(most, math.Abs(v))
					worst = math.Max(worst, math.Abs(v-float64(fast.params[i].grad.v[k])))
				}
				if worst > 1e-4*most+1e-7 {
					t.Errorf("%s: off by %g of %g", p.name, worst, most)
				}
			}
		})
	}
}

// TestLossGradients holds the losses of a pupil, with inner values, against central differences.
func TestLossGradients(t *testing.T) {
	tp, err := newTape[float64](resnet(t, 1, 4, 8))
	if err != nil {
		t.Fatal(err)
	}
	x := newArray[float64](2, 3, 8, 8)
	for i, p := range pictures(2, 8) {
		for k, v := range p {
			x.v[i*len(p)+k] = float64(v)
		}
	}
	rng := rand.New(rand.NewPCG(8, 8))
	random := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(rng.NormFloat64())
		}
		return out
	}
	inner := tp.g.Node("s1.0.add").Outputs[0]
	answers, values := [][]float32{random(10), random(10)}, [][]float32{random(8 * 16), random(8 * 16)}
	loss := func(grads bool) float64 {
		y, err := tp.forward(x)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		dy, f := tp.zeros(y.shape...), tp.values[inner]
		df := tp.zeros(f.shape...)
		for i := range answers {
			a, err := divergence(y, dy, i, answers[i], 4, 2)
			if err != nil {
				t.Fatal(err)
			}
			b, err := squares(tp, f, df, i, values[i], 0.5)
			if err != nil {
				t.Fatal(err)
			}
			sum += a + b
		}
		if grads {
			if err := tp.backward(map[string]*array[float64]{tp.output: dy, inner: df}); err != nil {
				t.Fatal(err)
			}
		}
		return sum
	}
	loss(true)
	got := map[string][]float64{}
	for _, p := range tp.params {
		if p.grad != nil {
			got[p.name] = append([]float64(nil), p.grad.v...)
		}
	}
	if len(got) < 10 {
		t.Fatalf("%d parameters have gradients", len(got))
	}
	for _, p := range tp.params {
		for i := 0; i < len(got[p.name]); i += max(1, len(got[p.name])/7) {
			const h = 1e-6
			old := p.v.v[i]
			p.v.v[i] = old + h
			up := loss(false)
			p.v.v[i] = old - h
			down := loss(false)
			p.v.v[i] = old
			if want := (up - down) / (2 * h); math.Abs(got[p.name][i]-want) > 1e-6+1e-4*math.Abs(want) {
				t.Errorf("%s[%d]: gradient %g, central difference %g", p.name, i, got[p.name][i], want)
			}
		}
	}
}

// TestPupilLearnsAndRepeats: a pupil with other weights comes closer to its teacher, to the same bits with one and two workers.
func TestPupilLearnsAndRepeats(t *testing.T) {
	teacher := resnet(t, 1, 4, 8)
	ask, err := newTape[float32](teacher)
	if err != nil {
		t.Fatal(err)
	}
	items := pictures(32, 8)
	var wants []Want
	for _, it := range items {
		x := newArray[float32](1, 3, 8, 8)
		toPixels(x.v, it, x.shape)
		y, err := ask.forward(x)
		if err != nil {
			t.Fatal(err)
		}
		wants = append(wants, Want{Output: append([]float32(nil), y.v...)})
	}
	w := teacher.Graph.Init("s1.0.a.w").Clone()
	for i := range model.Data[float32](w) {
		model.Data[float32](w)[i] *= 0.3
	}
	worse, err := teacher.Apply(&model.Patch{Inits: []*model.Init{{Name: "s1.0.a.w", Tensor: w}}})
	if err != nil {
		t.Fatal(err)
	}
	run := func(workers int, optimizer string, rate float64) (first, last float64, hash string) {
		p, err := NewPupil(worse, workers, How{Optimizer: optimizer})
		if err != nil {
			t.Fatal(err)
		}
		for k := range 40 {
			loss, err := p.Step(context.Background(), items, [][]int{{3, 8, 8}}, Lesson{Temperature: 2}, rate, func(_ context.Context, _, i int) (Want, error) { return wants[i], nil })
			if err != nil {
				t.Fatal(err)
			}
			if k == 0 {
				first = loss
			}
			last = loss
		}
		m, err := p.Model()
		if err != nil {
			t.Fatal(err)
		}
		return first, last, m.Hash()
	}
	first, last, one := run(1, "adamw", 2e-3)
	if !(last < 0.3*first) {
		t.Errorf("adamw: loss %g, then %g", first, last)
	}
	if _, _, two := run(2, "adamw", 2e-3); one != two {
		t.Error("one and two workers give other bits")
	}
	if first, last, _ := run(2, "sgd", 2e-3); !(last < 0.5*first) {
		t.Errorf("sgd: loss %g, then %g", first, last)
	}
}
