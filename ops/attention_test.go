package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// TestAttention holds the operator against the same in MatMul, Softmax and friends, over forms, masks and pasts.
func TestAttention(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	random := func(dims ...int) *model.Tensor {
		x := model.NewTensor(model.Float64, dims...)
		for i := range x.Len() {
			x.SetFloat64(i, 2*r.Float64()-1)
		}
		return x
	}
	of := func(t *testing.T, op string, attrs map[string]any, in ...*model.Tensor) *model.Tensor {
		t.Helper()
		out, err := apply(applied{op: op, opset: 23, attrs: attrs}, in...)
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	const batch, heads, length, keys, past, size, vsize = 2, 4, 3, 5, 2, 6, 3
	for _, kvHeads := range []int{4, 2, 1} {
		for _, mask := range []string{"none", "float", "bool", "short", "causal"} {
			for _, withPast := range []bool{false, true} {
				for _, softcap := range []float64{0, 0.5} {
					t.Run(fmt.Sprint(kvHeads, " heads of keys, mask ", mask, ", past ", withPast, ", cap ", softcap), func(t *testing.T) {
						q, k, v := random(batch, heads, length, size), random(batch, kvHeads, keys, size), random(batch, kvHeads, keys, vsize)
						in := []*model.Tensor{q, k, v, nil}
						attrs := map[string]any{"softcap": softcap}
						total, before := keys, 0
						allK, allV := k, v
						if withPast {
							pk, pv := random(batch, kvHeads, past, size), random(batch, kvHeads, past, vsize)
							in = append(in, pk, pv)
							allK, allV = of(t, "Concat", map[string]any{"axis": 2}, pk, k), of(t, "Concat", map[string]any{"axis": 2}, pv, v)
							total, before = keys+past, past
						}
						bias := model.NewTensor(model.Float64, 1, 1, length, total)
						hide := func(i, j int) { bias.SetFloat64(i*total+j, math.Inf(-1)) }
						switch mask {
						case "float":
							in[3] = random(length, total)
							bias = in[3].Reshaped(1, 1, length, total)
						case "bool":
							in[3] = model.NewTensor(model.Bool, length, total)
							for i := range length {
								for j := range total {
									if j == i || r.Float64() < 0.5 {
										in[3].Raw[i*total+j] = 1
									} else {
										hide(i, j)
									}
								}
							}
						case "short":
							in[3] = model.NewTensor(model.Float64, length, total-2)
							for i := range length {
								hide(i, total-1)
								hide(i, total-2)
							}
						case "causal":
							attrs["is_causal"] = 1
							for i := range length {
								for j := i + before + 1; j < total; j++ {
									hide(i, j)
								}
							}
						}
						got, err := apply(applied{op: "Attention", opset: 23, attrs: attrs, outs: 4}, in...)
						if err != nil {
							t.Fatal(err)
						}
						// Each head of keys serves heads/kvHeads heads in a row.
						grow := func(x *model.Tensor) *model.Tensor {
							d := x.Shape
							y := of(t, "Expand", nil, x.Reshaped(batch, kvHeads, 1, d[2], d[3]), model.Int64s(batch, int64(kvHeads), int64(heads/kvHeads), int64(d[2]), int64(d[3])))
							return y.Reshaped(batch, heads, d[2], d[3])
						}
						qk := of(t, "MatMul", nil, q, of(t, "Transpose", map[string]any{"perm": []int64{0, 1, 3, 2}}, grow(allK)))
						qk = of(t, "Div", nil, qk, tensor(model.Float64, nil, math.Sqrt(size)))
						scaled := qk
						if softcap > 0 {
							c := tensor(model.Float64, nil, softcap)
							qk = of(t, "Mul", nil, of(t, "Tanh", nil, of(t, "Div", nil, qk, c)), c)
						}
						p := of(t, "Softmax", map[string]any{"axis": -1}, of(t, "Add", nil, qk, bias))
						near(t, got[0], of(t, "MatMul", nil, p, grow(allV)), 1e-12)
						near(t, got[1], allK, 0)
						near(t, got[2], allV, 0)
						near(t, got[3], scaled, 1e-12)
						if withPast || in[3] != nil {
							return
						}
						// The joined form is the same numbers in another order.
						join := func(x *model.Tensor) *model.Tensor {
							y := of(t, "Transpose", map[string]any{"perm": []int64{0, 2, 1, 3}}, x)
							return y.Reshaped(y.Shape[0], y.Shape[1], y.Shape[2]*y.Shape[3])
						}
						attrs["q_num_heads"], attrs["kv_num_heads"] = heads, kvHeads
						flat := of(t, "Attention", attrs, join(q), join(k), join(v))
						near(t, flat, join(got[0]), 1e-12)
					})
				}
			}
		}
	}
	q, k := random(1, 2, 3, 4), random(1, 2, 5, 4)
	for name, in := range map[string][]*model.Tensor{
		"rank 3 without heads":    {random(1, 3, 8), random(1, 5, 8), random(1, 5, 8)},
		"keys of another size":    {q, random(1, 2, 5, 3), k},
		"fewer values than keys":  {q, k, random(1, 2, 4, 4)},
		"heads that do not share": {random(1, 3, 3, 4), k, k},
		"a past of keys only":     {q, k, k, nil, k},
		"a mask too large":        {q, k, k, random(3, 6)},
		"another batch":           {q, random(2, 2, 5, 4), random(2, 2, 5, 4)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(applied{op: "Attention", opset: 23}, in...)
			refused(t, err, fail.Invalid)
		})
	}
}

// TestRotaryEmbedding: a rotation keeps the length of each pair and turns it by the angle of its position.
func TestRotaryEmbedding(t *testing.T) {
	const positions, half = 7, 2
	cos, sin := model.NewTensor(model.Float64, positions, half), model.NewTensor(model.Float64, positions, half)
	angle := func(p, j int) float64 { return float64(p) * math.Pow(10, -float64(j)) }
	for p := range positions {
		for j := range half {
			cos.SetFloat64(p*half+j, math.Cos(angle(p, j)))
			sin.SetFloat64(p*half+j, math.Sin(angle(p, j)))
		}
	}
	x := model.NewTensor(model.Float64, 1, 2, 3, 5) // heads of 5: the last number does not turn
	for i := range x.Len() {
		x.SetFloat64(i, float64(i%7)-3)
	}
	ids := tensor(model.Int64, []int{1, 3}, 6, 0, 2)
	for _, interleaved := range []int{0, 1} {
		out, err := apply(applied{op: "RotaryEmbedding", opset: 23, attrs: map[string]any{"interleaved": interleaved, "rotary_embedding_dim": 4}}, x, cos, sin, ids)
		if err != nil {
			t.Fatal(err)
		}
		want := x.Clone()
		for head := range 2 {
			for i := range 3 {
				for j := range half {
					a, b := j, half+j
					if interleaved == 1 {
						a, b = 2*j, 2*j+1
					}
					at := (head*3 + i) * 5
					re, im := x.Float64At(at+a), x.Float64At(at+b)
					r, phi := math.Hypot(re, im), math.Atan2(im, re)+angle(int(ids.Int64At(i)), j)
					want.SetFloat64(at+a, r*math.Cos(phi))
					want.SetFloat64(at+b, r*math.Sin(phi))
				}
			}
		}
		near(t, out[0], want, 1e-12)
	}
	_, err := apply(applied{op: "RotaryEmbedding", opset: 23, attrs: map[string]any{"rotary_embedding_dim": 4}}, x, cos, sin, tensor(model.Int64, []int{1, 3}, 7, 0, 2))
	refused(t, err, fail.Invalid)
	_, err = apply(applied{op: "RotaryEmbedding", opset: 23, attrs: map[string]any{"rotary_embedding_dim": 3}}, x, cos, sin, ids)
	refused(t, err, fail.Invalid)
}

func TestTensorScatter(t *testing.T) {
	cache, update := tensor(model.Float32, []int{2, 4, 1}, 0, 1, 2, 3, 4, 5, 6, 7), tensor(model.Float32, []int{2, 2, 1}, -1, -2, -3, -4)
	at := func(a, b float64) *model.Tensor { return tensor(model.Int64, []int{2}, a, b) }
	for _, c := range []struct {
		name string
		mode string
		in   []*model.Tensor
		want []float64
	}{
		{"from the front", "linear", []*model.Tensor{cache, update}, []float64{-1, -2, 2, 3, -3, -4, 6, 7}},
		{"from a place each", "linear", []*model.Tensor{cache, update, at(1, 2)}, []float64{0, -1, -2, 3, 4, 5, -3, -4}},
		{"around the end", "circular", []*model.Tensor{cache, update, at(3, 0)}, []float64{-2, 1, 2, -1, -3, -4, 6, 7}},
		{"over the end", "linear", []*model.Tensor{cache, update, at(3, 0)}, nil},
		{"before the front", "circular", []*model.Tensor{cache, update, at(-1, 0)}, nil},
		{"an update of another batch", "linear", []*model.Tensor{cache, tensor(model.Float32, []int{1, 2, 1}, 1, 2)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := apply(applied{op: "TensorScatter", opset: 24, attrs: map[string]any{"mode": c.mode}}, c.in...)
			if c.want == nil {
				refused(t, err, fail.Invalid)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], tensor(model.Float32, []int{2, 4, 1}, c.want...), 0)
		})
	}
}
