package ops

import (
	"fmt"
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestCast(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	tiny := math.Ldexp(1, -24) // the smallest float16
	for _, c := range []struct {
		name string
		x    *model.Tensor
		want *model.Tensor
	}{
		{"float to int cuts", vec(2.9, -2.9, 0.5, -0.5), tensor(model.Int32, []int{4}, 2, -2, 0, 0)},
		{"NaN to int is 0", vec(nan), tensor(model.Int64, []int{1}, 0)},
		{"int keeps the low bits", tensor(model.Int32, []int{3}, 300, -1, 255), tensor(model.Uint8, []int{3}, 44, 255, 255)},
		{"float to bool", vec(0, -0.0, 0.1, nan), tensor(model.Bool, []int{4}, 0, 0, 1, 1)},
		{"bool to float", tensor(model.Bool, []int{2}, 1, 0), vec(1, 0)},
		{"float16 subnormals, ties to even", vec(tiny, tiny/2, tiny*1.5, tiny*2.5, tiny*0.51), tensor(model.Float16, []int{5}, tiny, 0, 2*tiny, 2*tiny, tiny)},
		{"float16 overflow", vec(65519, 65520, -1e9), tensor(model.Float16, []int{3}, 65504, inf, -inf)},
		{"float64 to float16 rounds once", tensor(model.Float64, []int{1}, 1+math.Ldexp(1, -11)+math.Ldexp(1, -40)), tensor(model.Float16, []int{1}, 1+math.Ldexp(1, -10))},
		{"int64 to float32 rounds once", model.Int64s(1<<53+1<<29+1, 1<<24+1), vec(math.Ldexp(1, 53)+math.Ldexp(1, 30), 1<<24)},
		{"uint64 to float", model.FromSlice(model.Uint64, []uint64{math.MaxUint64}, 1), vec(math.Ldexp(1, 64))},
		{"float to uint64", vec(math.Ldexp(1, 63), math.Ldexp(1, 70)), model.FromSlice(model.Uint64, []uint64{1 << 63, math.MaxUint64}, 2)},
		{"int to int4 keeps the low bits", tensor(model.Int32, []int{3}, -9, 9, 3), tensor(model.Int4, []int{3}, 7, -7, 3)},
		{"float to uint4 cuts", vec(2.5, 3.9, 20, -1), tensor(model.Uint4, []int{4}, 2, 3, 4, 15)},
		{"float to a power of two", vec(0, 1, 1.01, 3, nan, inf, 1e-40), tensor(model.Float8E8M0, []int{7}, 0x1p-127, 1, 2, 4, nan, 0x1p127, 0x1p-127)},
		{"power of two to float", tensor(model.Float8E8M0, []int{2}, 0.25, 64), vec(0.25, 64)},
		{"text to a power of two", model.Strings([]string{"3", "0.5"}, 2), tensor(model.Float8E8M0, []int{2}, 4, 0.5)},
		{"int4 to float", tensor(model.Int4, []int{3}, -8, 7, -1), vec(-8, 7, -1)},
		{"bfloat16 ties to even", vec(1+math.Ldexp(1, -8), 1+3*math.Ldexp(1, -8)), tensor(model.BFloat16, []int{2}, 1, 1+math.Ldexp(1, -6))},
		{"float to float4", vec(0.25, 0.75, 5, -100), tensor(model.Float4E2M1, []int{4}, 0, 1, 4, -6)},
		{"numbers to text", vec(1, 0.1, 1e-5, 1e20, nan, inf, -inf, -2.5), model.Strings([]string{"1.0", "0.1", "1e-05", "1e+20", "NaN", "INF", "-INF", "-2.5"}, 8)},
		{"integers to text", model.Int64s(-5, 0), model.Strings([]string{"-5", "0"}, 2)},
		{"text to integers", model.Strings([]string{"12", " -3 ", "4.7", "1e2"}, 4), tensor(model.Int32, []int{4}, 12, -3, 4, 100)},
		{"text to float", model.Strings([]string{"1e-3", "+INF", "-inf", "NaN", "1e999"}, 5), vec(1e-3, inf, -inf, nan, inf)},
		{"text to bool", model.Strings([]string{"True", "false", "1", "0"}, 4), tensor(model.Bool, []int{4}, 1, 0, 1, 0)},
		{"nothing", vec(), tensor(model.Int8, []int{0})},
		{"a scalar", tensor(model.Float32, nil, 3.7), tensor(model.Int8, nil, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := apply(applied{op: "Cast", attrs: map[string]any{"to": c.want.DType}}, c.x)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], c.want, 0)
			like, err := apply(applied{op: "CastLike"}, c.x, model.NewTensor(c.want.DType, 1))
			if err != nil {
				t.Fatal(err)
			}
			near(t, like[0], c.want, 0)
		})
	}
}

// TestCastFloat8 follows the specification's table for values beyond the range.
func TestCastFloat8(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		d                    model.DType
		saturate             int
		large, infinite, neg float64
	}{
		{model.Float8E4M3FN, 1, 448, 448, -448}, {model.Float8E4M3FN, 0, nan, nan, nan},
		{model.Float8E4M3FNUZ, 1, 240, 240, -240}, {model.Float8E4M3FNUZ, 0, nan, nan, nan},
		{model.Float8E5M2, 1, 57344, 57344, -57344}, {model.Float8E5M2, 0, inf, inf, -inf},
		{model.Float8E5M2FNUZ, 1, 57344, 57344, -57344}, {model.Float8E5M2FNUZ, 0, nan, nan, nan},
	} {
		t.Run(fmt.Sprint(c.d, " saturate ", c.saturate), func(t *testing.T) {
			out, err := apply(applied{op: "Cast", attrs: map[string]any{"to": c.d, "saturate": c.saturate}}, vec(1e6, inf, -1e6, 1, nan))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []float64{c.large, c.infinite, c.neg, 1, nan} {
				if got := out[0].Float64At(i); got != want && !(got != got && want != want) {
					t.Errorf("element %d is %g, want %g", i, got, want)
				}
			}
		})
	}
}

// TestCastPairs goes through every pair of types: small whole numbers survive, whatever is between.
func TestCastPairs(t *testing.T) {
	for from := model.DType(1); from.Valid(); from++ {
		for to := model.DType(1); to.Valid(); to++ {
			if !castable.Has(from) || !castable.Has(to) || from == model.Bool || to == model.Bool {
				continue
			}
			x := tensor(model.Float32, []int{3}, 0, 1, 2)
			if from == model.Float8E8M0 || to == model.Float8E8M0 { // which has no zero
				x = vec(4, 1, 2)
			}
			a, err := apply(applied{op: "Cast", attrs: map[string]any{"to": from}}, x)
			if err != nil {
				t.Fatal(err)
			}
			b, err := apply(applied{op: "Cast", attrs: map[string]any{"to": to}}, a[0])
			if err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			if b[0].DType != to {
				t.Fatalf("%s to %s gives %s", from, to, b[0].DType)
			}
			y, err := apply(applied{op: "Cast", attrs: map[string]any{"to": model.Float32}}, b[0])
			if err != nil {
				t.Fatal(err)
			}
			near(t, y[0], x, 0)
		}
	}
}

func TestCastToPowers(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		mode     string
		saturate int
		want     []float64 // of 0, 1.2, 1.5, 1.9, infinity, -1
	}{
		{"up", 1, []float64{0x1p-127, 2, 2, 2, 0x1p127, nan}},
		{"down", 1, []float64{0x1p-127, 1, 1, 1, 0x1p127, nan}},
		{"nearest", 1, []float64{0x1p-127, 1, 2, 2, 0x1p127, nan}},
		{"nearest", 0, []float64{nan, 1, 2, 2, nan, nan}},
	} {
		t.Run(fmt.Sprint(c.mode, c.saturate), func(t *testing.T) {
			out, err := apply(applied{op: "Cast", opset: 24, attrs: map[string]any{"to": model.Float8E8M0, "round_mode": c.mode, "saturate": c.saturate}}, vec(0, 1.2, 1.5, 1.9, math.Inf(1), -1))
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], tensor(model.Float8E8M0, []int{6}, c.want...), 0)
		})
	}
}

func TestCastRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		to int
		x  *model.Tensor
	}{
		"no number":       {int(model.Float32), model.Strings([]string{"four"}, 1)},
		"an empty text":   {int(model.Int32), model.Strings([]string{""}, 1)},
		"a hexadecimal":   {int(model.Float32), model.Strings([]string{"0x10"}, 1)},
		"to complex":      {int(model.Complex64), vec(1)},
		"to no type":      {99, vec(1)},
		"to undefined":    {0, vec(1)},
		"to a huge type":  {1 << 30, vec(1)},
		"from a sequence": {int(model.Float32), sequenceOf(model.Float32)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(applied{op: "Cast", attrs: map[string]any{"to": c.to}}, c.x)
			refused(t, err, fail.Invalid)
		})
	}
}
