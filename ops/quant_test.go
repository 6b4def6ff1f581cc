package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestQuantizeLinear(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name  string
		attrs map[string]any
		in    []*model.Tensor
		want  *model.Tensor
	}{
		{"ties go to even", nil, []*model.Tensor{vec(0.5, 1.5, 2.5, -0.5, -1.5, -2.5), vec(1), tensor(model.Int8, []int{1}, 0)},
			tensor(model.Int8, []int{6}, 0, 2, 2, 0, -2, -2)},
		{"the zero point is added after rounding", nil, []*model.Tensor{vec(0.5, 1.5), vec(1), tensor(model.Uint8, []int{1}, 1)}, tensor(model.Uint8, []int{2}, 1, 3)},
		{"saturation, infinities and NaN", nil, []*model.Tensor{vec(1000, -1000, inf, -inf, nan), vec(0.5), tensor(model.Uint8, []int{1}, 100)},
			tensor(model.Uint8, []int{5}, 255, 0, 255, 0, 100)},
		{"without a zero point uint8", nil, []*model.Tensor{vec(-1, 3), vec(1)}, tensor(model.Uint8, []int{2}, 0, 3)},
		{"a tie after a division in float32", nil, []*model.Tensor{vec(float64(float32(0.1) * 2.5)), vec(float64(float32(0.1))), tensor(model.Int8, []int{}, 0)},
			tensor(model.Int8, []int{1}, 2)},
		{"int16", nil, []*model.Tensor{vec(1e6, -1e6, 3.4), vec(2), tensor(model.Int16, []int{1}, 1)}, tensor(model.Int16, []int{3}, 32767, -32768, 3)},
		{"int4, an odd number of elements", map[string]any{"output_dtype": model.Int4}, []*model.Tensor{vec(-20, 7.5, 3), vec(1)}, tensor(model.Int4, []int{3}, -8, 7, 3)},
		{"uint4", nil, []*model.Tensor{vec(-20, 7.5, 300), vec(1), tensor(model.Uint4, []int{}, 2)}, tensor(model.Uint4, []int{3}, 0, 10, 15)},
		{"int32 input", nil, []*model.Tensor{tensor(model.Int32, []int{2}, 7, -9), vec(2), tensor(model.Int8, []int{1}, 0)}, tensor(model.Int8, []int{2}, 4, -4)},
		{"one scale a row", map[string]any{"axis": 0}, []*model.Tensor{tensor(model.Float32, []int{2, 2}, 1, 2, 3, 4), vec(1, 2), tensor(model.Int8, []int{2}, 0, 10)},
			tensor(model.Int8, []int{2, 2}, 1, 2, 12, 12)},
		{"a negative axis", map[string]any{"axis": -1}, []*model.Tensor{tensor(model.Float32, []int{2, 2}, 1, 2, 3, 4), vec(1, 2), tensor(model.Int8, []int{2}, 0, 10)},
			tensor(model.Int8, []int{2, 2}, 1, 11, 3, 12)},
		{"blocks of 2, the last is cut", map[string]any{"axis": 1, "block_size": 2, "output_dtype": model.Int8},
			[]*model.Tensor{tensor(model.Float32, []int{2, 3}, 1, 2, 3, 4, 5, 6), tensor(model.Float32, []int{2, 2}, 1, 0.5, 2, 1)},
			tensor(model.Int8, []int{2, 3}, 1, 2, 6, 2, 2, 6)},
		{"blocks along the first axis", map[string]any{"axis": 0, "block_size": 2, "output_dtype": model.Int8},
			[]*model.Tensor{tensor(model.Float32, []int{3, 2}, 1, 2, 3, 4, 5, 6), tensor(model.Float32, []int{2, 2}, 1, 0.5, 2, 1)},
			tensor(model.Int8, []int{3, 2}, 1, 4, 3, 8, 2, 6)},
		{"float8 saturates", map[string]any{"output_dtype": model.Float8E4M3FN}, []*model.Tensor{vec(1e4, 17, 1), vec(2)}, tensor(model.Float8E4M3FN, []int{3}, 448, 8, 0.5)},
		{"float8 does not saturate", map[string]any{"output_dtype": model.Float8E5M2, "saturate": 0}, []*model.Tensor{vec(1e6, 1), vec(2)}, tensor(model.Float8E5M2, []int{2}, 0, 0.5)},
		{"no elements", nil, []*model.Tensor{tensor(model.Float32, []int{0, 3}), vec(1), tensor(model.Int8, []int{1}, 0)}, tensor(model.Int8, []int{0, 3})},
		{"a scalar", nil, []*model.Tensor{tensor(model.Float32, nil, 2.6), vec(1), tensor(model.Int8, []int{1}, 0)}, tensor(model.Int8, nil, 3)},
		{"float16 divides in float16", nil, []*model.Tensor{tensor(model.Float16, []int{1}, 2.5), tensor(model.Float16, nil, 1), tensor(model.Int8, nil, 0)}, tensor(model.Int8, []int{1}, 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := apply(applied{op: "QuantizeLinear", attrs: c.attrs}, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			if c.name == "float8 does not saturate" {
				if v := out[0].Float64At(0); !math.IsInf(v, 1) {
					t.Fatalf("got %g, want infinity", v)
				}
				return
			}
			near(t, out[0], c.want, 0)
		})
	}
}

func TestQuantizeRefuses(t *testing.T) {
	x := tensor(model.Float32, []int{2, 3}, 1, 2, 3, 4, 5, 6)
	for _, c := range []struct {
		name  string
		op    string
		attrs map[string]any
		in    []*model.Tensor
	}{
		{"as many scales as no axis has", "QuantizeLinear", nil, []*model.Tensor{x, vec(1, 2)}},
		{"an axis outside", "QuantizeLinear", map[string]any{"axis": 2}, []*model.Tensor{x, vec(1, 2)}},
		{"zero points of another number", "QuantizeLinear", nil, []*model.Tensor{x, vec(1, 2, 3), tensor(model.Int8, []int{2}, 0, 0)}},
		{"zero point and output_dtype differ", "QuantizeLinear", map[string]any{"output_dtype": model.Int8}, []*model.Tensor{x, vec(1), tensor(model.Uint8, nil, 0)}},
		{"output_dtype no quantized type", "QuantizeLinear", map[string]any{"output_dtype": model.Int64}, []*model.Tensor{x, vec(1)}},
		{"a block of negative size", "QuantizeLinear", map[string]any{"block_size": -1}, []*model.Tensor{x, vec(1, 2)}},
		{"blocked scale of the wrong shape", "QuantizeLinear", map[string]any{"block_size": 2}, []*model.Tensor{x, tensor(model.Float32, []int{2, 3}, 1, 1, 1, 1, 1, 1)}},
		{"text", "QuantizeLinear", nil, []*model.Tensor{model.Strings([]string{"a"}, 1), vec(1)}},
		{"zero point of another type", "DequantizeLinear", nil, []*model.Tensor{tensor(model.Int8, []int{1}, 1), vec(1), tensor(model.Uint8, []int{1}, 1)}},
		{"integers as scale", "DequantizeLinear", nil, []*model.Tensor{tensor(model.Int8, []int{1}, 1), tensor(model.Int32, []int{1}, 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := apply(applied{op: c.op, attrs: c.attrs}, c.in...)
			refused(t, err, fail.Invalid)
		})
	}
}

func TestDequantizeLinear(t *testing.T) {
	for _, c := range []struct {
		name  string
		attrs map[string]any
		in    []*model.Tensor
		want  *model.Tensor
	}{
		{"int4", nil, []*model.Tensor{tensor(model.Int4, []int{3}, -8, 7, 0), vec(0.5), tensor(model.Int4, nil, 1)}, vec(-4.5, 3, -0.5)},
		{"the scale's type comes out", nil, []*model.Tensor{tensor(model.Int8, []int{1}, 3), tensor(model.Float16, nil, 0.5)}, tensor(model.Float16, []int{1}, 1.5)},
		{"blocks", map[string]any{"axis": 1, "block_size": 2}, []*model.Tensor{tensor(model.Int8, []int{1, 3}, 1, 2, 3), tensor(model.Float32, []int{1, 2}, 2, 10)},
			tensor(model.Float32, []int{1, 3}, 2, 4, 30)},
		{"int32 of a bias", nil, []*model.Tensor{tensor(model.Int32, []int{2}, 1000000, -7), vec(0.25)}, vec(250000, -1.75)},
		{"float8", nil, []*model.Tensor{tensor(model.Float8E4M3FN, []int{2}, 448, -0.5), vec(2)}, vec(896, -1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := apply(applied{op: "DequantizeLinear", attrs: c.attrs}, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], c.want, 0)
		})
	}
}

// TestQuantizationError: to the grid and back is at most half a step away, wherever the grid covers the numbers.
func TestQuantizationError(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, d := range []model.DType{model.Int8, model.Uint8, model.Int16, model.Uint16, model.Int4, model.Uint4} {
		for _, block := range []int{0, 3} {
			t.Run(fmt.Sprint(d, " block ", block), func(t *testing.T) {
				lo, hi := intRange(d)
				x := model.NewTensor(model.Float32, 4, 7)
				scale := model.NewTensor(model.Float32, 7)
				if block > 0 {
					scale = model.NewTensor(model.Float32, 4, 3)
				}
				for i := range scale.Len() {
					scale.SetFloat64(i, 0.01+r.Float64())
				}
				zero := model.NewTensor(d, scale.Shape...)
				for i := range zero.Len() {
					zero.SetInt64(i, int64(math.Round(lo+(hi-lo)*r.Float64())))
				}
				at := func(i int) int {
					if block > 0 {
						return i/7*3 + i%7/3
					}
					return i % 7
				}
				for i := range x.Len() {
					q := lo + (hi-lo)*r.Float64()
					x.SetFloat64(i, (q-zero.Float64At(at(i)))*scale.Float64At(at(i)))
				}
				attrs := map[string]any{"axis": 1, "block_size": block}
				q, err := apply(applied{op: "QuantizeLinear", attrs: attrs}, x, scale, zero)
				if err != nil {
					t.Fatal(err)
				}
				y, err := apply(applied{op: "DequantizeLinear", attrs: attrs}, q[0], scale, zero)
				if err != nil {
					t.Fatal(err)
				}
				for i := range x.Len() {
					if e := math.Abs(y[0].Float64At(i) - x.Float64At(i)); e > scale.Float64At(at(i))*0.5001 {
						t.Errorf("element %d: %g became %g with a step of %g", i, x.Float64At(i), y[0].Float64At(i), scale.Float64At(at(i)))
					}
				}
			})
		}
	}
}

func TestDynamicQuantizeLinear(t *testing.T) {
	for _, c := range []struct {
		name  string
		x     *model.Tensor
		q     *model.Tensor
		scale float64
		zero  float64
	}{
		{"only positive: zero is in the range", vec(255, 127.5, 0.5), tensor(model.Uint8, []int{3}, 255, 128, 0), 1, 0},
		{"only negative", vec(-255, -1), tensor(model.Uint8, []int{2}, 0, 254), 1, 255},
		{"zeros", vec(0, 0), tensor(model.Uint8, []int{2}, 0, 0), 1, 0},
		{"nothing", vec(), tensor(model.Uint8, []int{0}), 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := apply(applied{op: "DynamicQuantizeLinear", outs: 3}, c.x)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], c.q, 0)
			near(t, out[1], tensor(model.Float32, nil, c.scale), 1e-6)
			near(t, out[2], tensor(model.Uint8, nil, c.zero), 0)
		})
	}
}

func TestQLinear(t *testing.T) {
	u8 := func(v ...float64) *model.Tensor { return tensor(model.Uint8, []int{len(v)}, v...) }
	s := func(v float64) *model.Tensor { return tensor(model.Float32, nil, v) }
	z := func(v float64) *model.Tensor { return tensor(model.Uint8, nil, v) }
	for _, c := range []struct {
		op    string
		attrs map[string]any
		in    []*model.Tensor
		want  *model.Tensor
	}{
		// (10-5)*0.5 + (4-4)*2 = 2.5; (20-5)*0.5 + 2 = 9.5; steps of 0.25 from 3
		{"QLinearAdd", nil, []*model.Tensor{u8(10, 20), s(0.5), z(5), u8(4, 5), s(2), z(4), s(0.25), z(3)}, u8(13, 41)},
		{"QLinearAdd", nil, []*model.Tensor{u8(10), s(1), nil, tensor(model.Uint8, []int{2, 1}, 1, 2), s(1), nil, s(1)}, tensor(model.Uint8, []int{2, 1}, 11, 12)},
		{"QLinearMul", nil, []*model.Tensor{u8(10, 0), s(0.5), z(5), u8(8), s(2), z(4), s(1), z(100)}, u8(120, 80)},
		{"QLinearSigmoid", nil, []*model.Tensor{u8(128, 255), s(0.1), z(128), s(1.0 / 256), z(0)}, u8(128, 255)},
		{"QLinearLeakyRelu", map[string]any{"alpha": 0.5}, []*model.Tensor{u8(100, 120, 90), s(1), z(100), s(1), z(10)}, u8(10, 30, 5)},
		{"QLinearSoftmax", map[string]any{"axis": -1, "opset": 13}, []*model.Tensor{u8(1, 1, 1, 1), s(1), z(0), s(1.0 / 256), z(0)}, u8(64, 64, 64, 64)},
		{"QLinearGlobalAveragePool", nil, []*model.Tensor{tensor(model.Uint8, []int{1, 1, 2, 2}, 1, 2, 3, 6), s(1), z(0), s(0.5), z(1)}, tensor(model.Uint8, []int{1, 1, 1, 1}, 7)},
		{"QLinearAveragePool", map[string]any{"kernel_shape": []int64{2}}, []*model.Tensor{tensor(model.Uint8, []int{1, 1, 3}, 2, 4, 8), s(1), z(0), s(1), z(0)}, tensor(model.Uint8, []int{1, 1, 2}, 3, 6)},
		{"QLinearReduceMean", map[string]any{"axes": []int64{1}, "keepdims": 0}, []*model.Tensor{tensor(model.Uint8, []int{1, 3}, 2, 4, 6), s(1), z(2), s(1), z(0)}, u8(2)},
		{"QLinearWhere", nil, []*model.Tensor{tensor(model.Bool, []int{2}, 1, 0), u8(3, 3), s(1), z(1), u8(9, 9), s(2), z(5), s(1), z(0)}, u8(2, 8)},
		{"QLinearConcat", map[string]any{"axis": 0}, []*model.Tensor{s(1), z(0), u8(4), s(0.5), z(0), u8(4, 6), s(2), z(3)}, u8(2, 2, 6)},
	} {
		t.Run(c.op, func(t *testing.T) {
			out, err := apply(applied{op: c.op, domain: "com.microsoft", attrs: c.attrs}, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], c.want, 0)
		})
	}
	out, err := apply(applied{op: "QLinearGlobalAveragePool", domain: "com.microsoft", attrs: map[string]any{"channels_last": 1}},
		tensor(model.Uint8, []int{1, 2, 2, 2}, 1, 10, 2, 20, 3, 30, 6, 60), s(1), z(0), s(1), z(0))
	if err != nil {
		t.Fatal(err)
	}
	near(t, out[0], tensor(model.Uint8, []int{1, 1, 1, 2}, 3, 30), 0)
}

// TestPowersOfTwoScale: scales of Float8E8M0 divide and multiply exactly; what comes out is said by output_dtype.
func TestPowersOfTwoScale(t *testing.T) {
	x, scale := vec(1, -3, 8, 5), tensor(model.Float8E8M0, []int{}, 2)
	out, err := apply(applied{op: "QuantizeLinear", opset: 24, attrs: map[string]any{"output_dtype": model.Int8}}, x, scale)
	if err != nil {
		t.Fatal(err)
	}
	near(t, out[0], tensor(model.Int8, []int{4}, 0, -2, 4, 2), 0)
	out, err = apply(applied{op: "DequantizeLinear", opset: 24, attrs: map[string]any{"output_dtype": model.Float32}}, out[0], scale)
	if err != nil {
		t.Fatal(err)
	}
	near(t, out[0], vec(0, -4, 8, 4), 0)
	_, err = apply(applied{op: "DequantizeLinear", opset: 24}, tensor(model.Int8, []int{1}, 3), scale)
	refused(t, err, fail.Invalid)
}
