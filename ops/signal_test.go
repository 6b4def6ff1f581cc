package ops

import (
	"fmt"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// TestFourier holds the fast transforms against the definition, for lengths with and without factors of two.
func TestFourier(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 12, 31, 64, 100, 127} {
		for _, inverse := range []bool{false, true} {
			t.Run(fmt.Sprint(n, inverse), func(t *testing.T) {
				v := make([]complex128, n)
				for i := range v {
					v[i] = complex(r.Float64(), r.Float64())
				}
				sign := -1.0
				if inverse {
					sign = 1
				}
				for k, got := range fourier(v, inverse) {
					want := complex128(0)
					for i := range v {
						want += v[i] * cmplx.Rect(1, sign*2*math.Pi*float64(i*k%n)/float64(n))
					}
					if cmplx.Abs(got-want) > 1e-11*float64(n) {
						t.Fatalf("bin %d is %v, want %v", k, got, want)
					}
				}
			})
		}
	}
}

func TestDFT(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	x := model.NewTensor(model.Float32, 2, 6, 3, 1)
	for i := range x.Len() {
		x.SetFloat64(i, r.Float64())
	}
	all, err := apply(applied{op: "DFT", opset: 17, attrs: map[string]any{"axis": 1}}, x)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("there and back", func(t *testing.T) {
		back, err := apply(applied{op: "DFT", opset: 17, attrs: map[string]any{"axis": 1, "inverse": 1}}, all[0])
		if err != nil {
			t.Fatal(err)
		}
		for i := range x.Len() {
			if got := back[0].Float64At(2 * i); math.Abs(got-x.Float64At(i)) > 1e-6 || math.Abs(back[0].Float64At(2*i+1)) > 1e-6 {
				t.Fatalf("element %d is %g, want %g", i, got, x.Float64At(i))
			}
		}
	})
	t.Run("one side is the front of both", func(t *testing.T) {
		one, err := apply(applied{op: "DFT", opset: 20, attrs: map[string]any{"onesided": 1}}, x, nil, model.FromSlice(model.Int64, []int64{1}))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(one[0].Shape) != "[2 4 3 2]" {
			t.Fatalf("shape %v", one[0].Shape)
		}
		for b := range 2 {
			for i := range 4 * 3 * 2 {
				if g, w := one[0].Float64At(b*24+i), all[0].Float64At(b*36+i); math.Abs(g-w) > 1e-6 {
					t.Fatalf("element %d of %d is %g, want %g", i, b, g, w)
				}
			}
		}
	})
	t.Run("a longer transform pads with zeros", func(t *testing.T) {
		got, err := apply(applied{op: "DFT", opset: 17}, tensor(model.Float32, []int{1, 2, 1}, 1, 1), tensor(model.Int64, nil, 4))
		if err != nil {
			t.Fatal(err)
		}
		near(t, got[0], tensor(model.Float32, []int{1, 4, 2}, 2, 0, 1, -1, 0, 0, 1, 1), 1e-6)
	})
	for name, c := range map[string]struct {
		opset int
		attrs map[string]any
		in    []*model.Tensor
	}{
		"the axis of the parts":        {17, map[string]any{"axis": 3}, []*model.Tensor{x}},
		"a length of 0":                {17, nil, []*model.Tensor{x, tensor(model.Int64, nil, 0)}},
		"inverse and onesided":         {17, map[string]any{"inverse": 1, "onesided": 1}, []*model.Tensor{x}},
		"three parts":                  {17, nil, []*model.Tensor{model.NewTensor(model.Float32, 1, 2, 3)}},
		"an axis that is no dimension": {20, nil, []*model.Tensor{x, nil, tensor(model.Int64, nil, 7)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(applied{op: "DFT", opset: c.opset, attrs: c.attrs}, c.in...)
			refused(t, err, fail.Invalid)
		})
	}
}

func TestSTFT(t *testing.T) {
	signal := tensor(model.Float32, []int{1, 6, 1}, 1, 2, 3, 4, 5, 6)
	step, window := tensor(model.Int64, nil, 2), vec(1, 0.5, 0.25, 0)
	got, err := apply(applied{op: "STFT", opset: 17}, signal, step, window)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got[0].Shape) != "[1 2 3 2]" {
		t.Fatalf("shape %v", got[0].Shape)
	}
	for f := range 2 {
		line := tensor(model.Float32, []int{1, 4, 1}, 0, 0, 0, 0)
		for k := range 4 {
			line.SetFloat64(k, signal.Float64At(2*f+k)*window.Float64At(k))
		}
		want, err := apply(applied{op: "DFT", opset: 17, attrs: map[string]any{"onesided": 1}}, line)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			if g, w := got[0].Float64At(6*f+i), want[0].Float64At(i); math.Abs(g-w) > 1e-6 {
				t.Fatalf("frame %d, number %d is %g, want %g", f, i, g, w)
			}
		}
	}
	for name, in := range map[string][]*model.Tensor{
		"frames longer than the signal": {signal, step, nil, tensor(model.Int64, nil, 9)},
		"a step of 0":                   {signal, tensor(model.Int64, nil, 0), window},
		"a window of another length":    {signal, step, window, tensor(model.Int64, nil, 3)},
		"one side of a complex signal":  {model.NewTensor(model.Float32, 1, 6, 2), step, window},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(applied{op: "STFT", opset: 17}, in...)
			refused(t, err, fail.Invalid)
		})
	}
}

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		op       string
		periodic int
		n        float64
		want     []float64
	}{
		{"HannWindow", 1, 4, []float64{0, 0.5, 1, 0.5}},
		{"HannWindow", 0, 5, []float64{0, 0.5, 1, 0.5, 0}},
		{"HammingWindow", 1, 2, []float64{4.0 / 46, 1}},
		{"BlackmanWindow", 0, 3, []float64{0, 1, 0}},
		{"HannWindow", 0, 1, []float64{1}},
		{"HannWindow", 1, 0, []float64{}},
	} {
		t.Run(fmt.Sprint(c.op, c.periodic, c.n), func(t *testing.T) {
			out, err := apply(applied{op: c.op, attrs: map[string]any{"periodic": c.periodic}}, tensor(model.Int32, nil, c.n))
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], vec(c.want...), 1e-7)
		})
	}
	_, err := apply(applied{op: "HannWindow"}, tensor(model.Int64, nil, -1))
	refused(t, err, fail.Invalid)
}

// TestMelWeightMatrix: triangles that begin where their neighbour peaks.
func TestMelWeightMatrix(t *testing.T) {
	n := func(v float64) *model.Tensor { return tensor(model.Int64, nil, v) }
	out, err := apply(applied{op: "MelWeightMatrix"}, n(8), n(256), n(8192), tensor(model.Float32, nil, 0), tensor(model.Float32, nil, 4096))
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(out[0].Shape) != "[129 8]" {
		t.Fatalf("shape %v", out[0].Shape)
	}
	peak := -1
	for m := range 8 {
		at, top := 0, 0.0
		for k := range 129 {
			if v := out[0].Float64At(k*8 + m); v > top {
				at, top = k, v
			}
		}
		if top != 1 || at <= peak {
			t.Errorf("triangle %d peaks with %g at %d, the one before at %d", m, top, at, peak)
		}
		if m > 0 && out[0].Float64At(peak*8+m) != 0 {
			t.Errorf("triangle %d is %g where the one before peaks", m, out[0].Float64At(peak*8+m))
		}
		peak = at
	}
}
