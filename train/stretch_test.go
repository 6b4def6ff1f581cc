package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/kernels/team"
	"fettle/model"
)

// normed is a network of residual blocks with normalisations that learn: sums with a convolved and with a plain other side, a value with
// three readers, pictures that shrink.
func normed(t testing.TB, width, size int) *model.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, 12))
	b := model.NewBuilder("net", 17)
	vector := func(name string, n int, mean, by float64) string {
		x := model.NewTensor(model.Float32, n)
		for i := range model.Data[float32](x) {
			model.Data[float32](x)[i] = float32(mean + by*rng.NormFloat64())
		}
		return b.Const(name, x)
	}
	conv := func(name, x string, in, out, k, stride int) string {
		w := model.NewTensor(model.Float32, out, in, k, k)
		for i := range model.Data[float32](w) {
			model.Data[float32](w)[i] = float32(rng.NormFloat64() * math.Sqrt(2/float64(k*k*in)))
		}
		p := int64(k / 2)
		y := b.Node("Conv", name, []string{x, b.Const(name+".w", w)}, model.IntsAttr("pads", p, p, p, p), model.IntsAttr("strides", int64(stride), int64(stride)), model.IntsAttr("kernel_shape", int64(k), int64(k)))
		return b.Node("BatchNormalization", name+".bn", []string{y, vector(name+".s", out, 1, 0.1), vector(name+".h", out, 0, 0.2), vector(name+".m", out, 0, 0.1), vector(name+".v", out, 1, 0)})
	}
	relu := func(x string) string { return b.Node("Relu", x+".relu", []string{x}) }
	x := b.Input("x", model.Float32, model.Shape{model.Sym("n"), model.Fixed(3), model.Fixed(size), model.Fixed(size)})
	x = relu(conv("stem", x, 3, width, 3, 1))
	in := width
	for stage := range 3 {
		out := width << stage
		for k := range 2 {
			name, stride, short := fmt.Sprintf("s%d.%d", stage, k), 1, x
			if in != out {
				stride, short = 2, conv(name+".d", x, in, out, 1, 2)
			}
			y := relu(conv(name+".a", x, in, out, 3, stride))
			y = conv(name+".c", y, out, out, 3, 1)
			x = relu(b.Node("Add", name+".add", []string{y, short}))
			in = out
		}
	}
	x = b.Node("Add", "twice", []string{x, x})
	x = b.Node("GlobalAveragePool", "pool", []string{x})
	x = b.Node("Flatten", "flat", []string{x})
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

// TestStretches holds the gradients of image by image passes against plain loops in float64, and one worker against three: the same bits.
func TestStretches(t *testing.T) {
	for _, c := range []struct {
		name         string
		m            *model.Model
		n, size, cut int
		fuse, frozen bool
	}{
		{"fused", normed(t, 8, 16), 13, 16, 4, true, false},
		{"not fused", normed(t, 8, 16), 8, 16, 4, false, false},
		{"odd widths", normed(t, 6, 12), 5, 12, 8, true, false},
		{"odd sizes", normed(t, 3, 12), 5, 12, 2, false, false},
		{"frozen", normed(t, 8, 16), 6, 16, 1, false, true},
		{"frozen, fused", normed(t, 8, 16), 6, 16, 3, true, true},
		{"small", build(t, 1, 1), 16, 0, 8, true, false},
		{"grouped", build(t, 4, 2), 16, 0, 8, true, false},
		{"bounded", other(t), 9, 0, 2, true, false},
		{"folded", resnet(t, 1, 8, 16), 6, 16, 2, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			shape := []int{c.n, 3, c.size, c.size}
			if c.size == 0 {
				shape = []int{c.n, 2, 7, 6}
			}
			rng := rand.New(rand.NewPCG(13, 14))
			x32, x64 := newArray[float32](shape...), newArray[float64](shape...)
			for i := range x32.v {
				x32.v[i] = float32(rng.NormFloat64())
				x64.v[i] = float64(x32.v[i])
			}
			labels := make([]int, c.n)
			for i := range labels {
				labels[i] = i % 3
			}
			plain, err := newTape[float64](c.m)
			if err != nil {
				t.Fatal(err)
			}
			plain.frozen = c.frozen
			want := gradientsOf(t, plain, x64, labels)
			var first map[string][]float32
			for _, workers := range []int{1, 3} {
				fast, err := newTape[float32](c.m)
				if err != nil {
					t.Fatal(err)
				}
				if fast.fast == nil {
					t.Skip("no vector kernels for training on this computer")
				}
				fast.frozen, fast.fast.cuts, fast.fast.crew = c.frozen, c.cut, team.New(workers)
				defer fast.fast.crew.Close()
				if c.fuse {
					fast.fuse()
				}
				got := gradientsOf(t, fast, x32, labels)
				for range 2 { // memory is used again
					for i, p := range fast.params {
						if !p.learn {
							copy(p.v.v, narrow(widen(model.Data[float32](c.m.Graph.Init(fast.params[i].name)))))
						}
					}
					got = gradientsOf(t, fast, x32, labels)
				}
				if !fast.inner[0] {
					t.Fatal("the first convolution did not run image by image")
				}
				for name, w := range want {
					most, worst := 0.0, 0.0
					for k, v := range w {
						most = math.Max(most, math.Abs(v))
						worst = math.Max(worst, math.Abs(v-float64(got[name][k])))
					}
					if worst > 3e-4*most+1e-6 {
						t.Errorf("%d workers, %s: off by %g of %g", workers, name, worst, most)
					}
				}
				if first == nil {
					first = got
				}
				for name, v := range first {
					for k := range v {
						if v[k] != got[name][k] {
							t.Fatalf("%s[%d] is %g with one worker, %g with %d", name, k, v[k], got[name][k], workers)
						}
					}
				}
			}
		})
	}
}

func widen(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// gradientsOf gives the gradients of all parameters, and what running statistics became.
func gradientsOf[T float](t *testing.T, tp *tape[T], x *array[T], labels []int) map[string][]T {
	t.Helper()
	y, err := tp.forward(x)
	if err != nil {
		t.Fatal(err)
	}
	_, _, dy, err := crossEntropy(y, labels)
	if err != nil {
		t.Fatal(err)
	}
	if err := tp.backward(map[string]*array[T]{tp.output: dy}); err != nil {
		t.Fatal(err)
	}
	out := map[string][]T{}
	for _, p := range tp.params {
		switch {
		case p.grad != nil:
			out[p.name] = append([]T(nil), p.grad.v...)
		case !p.learn:
			out[p.name] = append([]T(nil), p.v.v...)
		}
	}
	return out
}
