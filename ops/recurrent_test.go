package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// unit is the plain definition for one hidden unit at a time, written from the specification's formulas.
type unit struct {
	kind                string
	hidden, in          int
	w, r                func(gate, unit, k int) float64
	wb, rb              func(gate, unit int) float64
	peep                func(gate, unit int) float64
	linear, coupled     bool
	clip                float64
	f, g, hOut          func(float64) float64
	state, cellState, x []float64
}

func (u *unit) sum(gate, i int, h []float64) (fromX, fromH float64) {
	fromX, fromH = u.wb(gate, i), u.rb(gate, i)
	for k := range u.in {
		fromX += u.x[k] * u.w(gate, i, k)
	}
	for k := range u.hidden {
		fromH += h[k] * u.r(gate, i, k)
	}
	return
}

func (u *unit) cut(v float64) float64 {
	if u.clip > 0 {
		return math.Max(-u.clip, math.Min(u.clip, v))
	}
	return v
}

func (u *unit) step() {
	h, c := make([]float64, u.hidden), make([]float64, u.hidden)
	pre := func(gate, i int) float64 {
		a, b := u.sum(gate, i, u.state)
		return a + b
	}
	switch u.kind {
	case "RNN":
		for i := range h {
			h[i] = u.f(u.cut(pre(0, i)))
		}
	case "GRU":
		reset := make([]float64, u.hidden)
		for i := range h {
			reset[i] = u.f(u.cut(pre(1, i)))
		}
		scaled := make([]float64, u.hidden)
		for i := range h {
			scaled[i] = reset[i] * u.state[i]
		}
		for i := range h {
			z := u.f(u.cut(pre(0, i)))
			var v float64
			if u.linear {
				a, b := u.sum(2, i, u.state)
				v = a + reset[i]*b
			} else {
				a, b := u.sum(2, i, scaled)
				v = a + b
			}
			h[i] = (1-z)*u.g(u.cut(v)) + z*u.state[i]
		}
	case "LSTM":
		for i := range h {
			in := u.f(u.cut(pre(0, i) + u.peep(0, i)*u.cellState[i]))
			forget := u.f(u.cut(pre(2, i) + u.peep(2, i)*u.cellState[i]))
			if u.coupled {
				forget = 1 - in
			}
			c[i] = forget*u.cellState[i] + in*u.g(u.cut(pre(3, i)))
			out := u.f(u.cut(pre(1, i) + u.peep(1, i)*c[i]))
			h[i] = out * u.hOut(c[i])
		}
	}
	u.state, u.cellState = h, c
}

func TestRecurrent(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	gates := map[string]int{"RNN": 1, "GRU": 3, "LSTM": 4}
	const steps, batch, in, hidden = 4, 3, 2, 3
	for _, kind := range []string{"RNN", "GRU", "LSTM"} {
		for _, direction := range []string{"forward", "reverse", "bidirectional"} {
			for _, layout := range []int{0, 1} {
				for _, variant := range []string{"plain", "everything", "variant", "clip", "functions"} {
					t.Run(fmt.Sprint(kind, " ", direction, " layout ", layout, " ", variant), func(t *testing.T) {
						r := rand.New(rand.NewPCG(7, uint64(len(kind)+layout)))
						random := func(dims ...int) *model.Tensor {
							x := model.NewTensor(model.Float32, dims...)
							for i := range x.Len() {
								x.SetFloat64(i, 2*r.Float64()-1)
							}
							return x
						}
						g, dirs := gates[kind], 1
						if direction == "bidirectional" {
							dirs = 2
						}
						full := variant != "plain"
						x := random(steps, batch, in)
						w, rw := random(dirs, g*hidden, in), random(dirs, g*hidden, hidden)
						bias, h0, c0, peep := random(dirs, 2*g*hidden), random(dirs, batch, hidden), random(dirs, batch, hidden), random(dirs, 3*hidden)
						lens := tensor(model.Int32, []int{batch}, 4, 2, 0)
						attrs := map[string]any{"direction": direction, "hidden_size": hidden, "layout": layout}
						f, gf, hf := sigmoid, math.Tanh, math.Tanh
						if kind == "RNN" {
							f = math.Tanh
						}
						clip := 0.0
						switch variant {
						case "variant":
							switch kind {
							case "GRU":
								attrs["linear_before_reset"] = 1
							case "LSTM":
								attrs["input_forget"] = 1
							}
						case "clip":
							clip = 0.3
							attrs["clip"] = 0.3
						case "functions":
							relu := func(x float64) float64 { return math.Max(0, x) }
							leaky := func(x float64) float64 { return math.Max(x, 0) + 0.25*math.Min(x, 0) }
							affine := func(x float64) float64 { return 0.5*x + 0.125 }
							names, alpha, beta := []string{"Affine"}, []float32{0.5}, []float32{0.125}
							f = affine
							if kind != "RNN" {
								names, alpha = append(names, "LeakyRelu"), append(alpha, 0.25)
								gf = leaky
							}
							if kind == "LSTM" {
								names, hf = append(names, "relu"), relu
							}
							for range dirs - 1 {
								names, alpha, beta = append(names, names...), append(alpha, alpha...), append(beta, beta...)
							}
							attrs["activations"], attrs["activation_alpha"], attrs["activation_beta"] = names, alpha, beta
						}
						swap := func(t *model.Tensor) *model.Tensor { // the first two axes, for layout 1
							if layout == 0 {
								return t
							}
							y := model.NewTensor(t.DType, t.Shape[1], t.Shape[0], t.Shape[2])
							for a := range t.Shape[0] {
								for b := range t.Shape[1] {
									for k := range t.Shape[2] {
										y.SetFloat64((b*t.Shape[0]+a)*t.Shape[2]+k, t.Float64At((a*t.Shape[1]+b)*t.Shape[2]+k))
									}
								}
							}
							return y
						}
						inputs := []*model.Tensor{swap(x), w, rw}
						if full {
							inputs = append(inputs, bias, lens, swap(h0))
							if kind == "LSTM" {
								inputs = append(inputs, swap(c0), peep)
							}
						}
						outs := 2
						if kind == "LSTM" {
							outs = 3
						}
						got, err := apply(applied{op: kind, attrs: attrs, outs: outs}, inputs...)
						if err != nil {
							t.Fatal(err)
						}
						y := model.NewTensor(model.Float32, steps, dirs, batch, hidden)
						yh, yc := model.NewTensor(model.Float32, dirs, batch, hidden), model.NewTensor(model.Float32, dirs, batch, hidden)
						for d := range dirs {
							zero := func(int, int) float64 { return 0 }
							u := unit{kind: kind, hidden: hidden, in: in, clip: clip, f: f, g: gf, hOut: hf, wb: zero, rb: zero, peep: zero,
								linear: attrs["linear_before_reset"] != nil, coupled: attrs["input_forget"] != nil,
								w: func(g2, i, k int) float64 { return w.Float64At(((d*g+g2)*hidden+i)*in + k) },
								r: func(g2, i, k int) float64 { return rw.Float64At(((d*g+g2)*hidden+i)*hidden + k) }}
							if full {
								u.wb = func(g2, i int) float64 { return bias.Float64At(d*2*g*hidden + g2*hidden + i) }
								u.rb = func(g2, i int) float64 { return bias.Float64At(d*2*g*hidden + (g+g2)*hidden + i) }
								u.peep = func(g2, i int) float64 { return peep.Float64At(d*3*hidden + g2*hidden + i) }
							}
							for b := range batch {
								u.state, u.cellState = make([]float64, hidden), make([]float64, hidden)
								n := steps
								if full {
									n = int(lens.Int64At(b))
									for i := range hidden {
										u.state[i], u.cellState[i] = h0.Float64At((d*batch+b)*hidden+i), c0.Float64At((d*batch+b)*hidden+i)
									}
								}
								for s := range n {
									at := s
									if direction == "reverse" || d == 1 {
										at = n - 1 - s
									}
									u.x = []float64{x.Float64At((at*batch + b) * in), x.Float64At((at*batch+b)*in + 1)}
									u.step()
									for i := range hidden {
										y.SetFloat64(((at*dirs+d)*batch+b)*hidden+i, u.state[i])
									}
								}
								for i := range hidden {
									yh.SetFloat64((d*batch+b)*hidden+i, u.state[i])
									yc.SetFloat64((d*batch+b)*hidden+i, u.cellState[i])
								}
							}
						}
						if layout == 1 { // [batch, steps, dirs, hidden]
							z := model.NewTensor(model.Float32, batch, steps, dirs, hidden)
							for s := range steps {
								for d := range dirs {
									for b := range batch {
										for i := range hidden {
											z.SetFloat64(((b*steps+s)*dirs+d)*hidden+i, y.Float64At(((s*dirs+d)*batch+b)*hidden+i))
										}
									}
								}
							}
							y = z
						}
						near(t, got[0], y, 1e-6)
						near(t, got[1], swap(yh), 1e-6)
						if kind == "LSTM" {
							near(t, got[2], swap(yc), 1e-6)
						}
					})
				}
			}
		}
	}
}

func TestRecurrentRefuses(t *testing.T) {
	x, w, r := model.NewTensor(model.Float32, 2, 1, 3), model.NewTensor(model.Float32, 1, 8, 3), model.NewTensor(model.Float32, 1, 8, 2)
	for _, c := range []struct {
		name  string
		attrs map[string]any
		in    []*model.Tensor
	}{
		{"input of rank 2", nil, []*model.Tensor{model.NewTensor(model.Float32, 2, 3), w, r}},
		{"weights of other inputs", nil, []*model.Tensor{x, model.NewTensor(model.Float32, 1, 8, 4), r}},
		{"weights of one direction for two", map[string]any{"direction": "bidirectional"}, []*model.Tensor{x, w, r}},
		{"hidden_size of other weights", map[string]any{"hidden_size": 5}, []*model.Tensor{x, w, r}},
		{"a direction of no name", map[string]any{"direction": "sideways"}, []*model.Tensor{x, w, r}},
		{"two activations", map[string]any{"activations": []string{"Tanh", "Relu"}}, []*model.Tensor{x, w, r}},
		{"an unknown activation", map[string]any{"activations": []string{"Tanh", "Relu", "Sine"}}, []*model.Tensor{x, w, r}},
		{"a bias of half the size", nil, []*model.Tensor{x, w, r, model.NewTensor(model.Float32, 1, 8)}},
		{"a sequence longer than the input", nil, []*model.Tensor{x, w, r, nil, tensor(model.Int32, []int{1}, 3)}},
		{"a negative length", nil, []*model.Tensor{x, w, r, nil, tensor(model.Int32, []int{1}, -1)}},
		{"layout 2", map[string]any{"layout": 2}, []*model.Tensor{x, w, r}},
		{"peepholes of one gate", nil, []*model.Tensor{x, w, r, nil, nil, nil, nil, model.NewTensor(model.Float32, 1, 2)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := apply(applied{op: "LSTM", attrs: c.attrs}, c.in...)
			refused(t, err, fail.Invalid)
		})
	}
	out, err := apply(applied{op: "LSTM", outs: 3}, model.NewTensor(model.Float32, 0, 2, 3), w, r)
	if err != nil {
		t.Fatalf("no steps: %v", err)
	}
	near(t, out[0], model.NewTensor(model.Float32, 0, 1, 2, 2), 0)
	near(t, out[1], model.NewTensor(model.Float32, 1, 2, 2), 0)
}
