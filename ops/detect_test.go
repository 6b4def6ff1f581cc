package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestNonMaxSuppression(t *testing.T) {
	boxes := tensor(model.Float32, []int{1, 4, 4}, 0, 0, 1, 1, 0, 0, 1, 0.9, 1, 1, 0, 0, 5, 5, 6, 6)
	scores := tensor(model.Float32, []int{1, 1, 4}, 0.5, 0.9, 0.9, 0.1)
	n := func(v float64) *model.Tensor { return tensor(model.Int64, []int{1}, v) }
	for _, c := range []struct {
		name string
		in   []*model.Tensor
		want []float64
	}{
		{"overlapping boxes go, equal scores by place", []*model.Tensor{boxes, scores, n(9), vec(0.5)}, []float64{0, 0, 1, 0, 0, 3}},
		{"corners in any order", []*model.Tensor{boxes, scores, n(9), vec(0.95)}, []float64{0, 0, 1, 0, 0, 2, 0, 0, 3}},
		{"no count means none", []*model.Tensor{boxes, scores}, nil},
		{"the best one", []*model.Tensor{boxes, scores, n(1), vec(0.5)}, []float64{0, 0, 1}},
		{"a least score, not reached by equal ones", []*model.Tensor{boxes, scores, n(9), vec(0.5), vec(0.1)}, []float64{0, 0, 1}},
		{"no boxes", []*model.Tensor{model.NewTensor(model.Float32, 1, 0, 4), model.NewTensor(model.Float32, 1, 2, 0), n(9)}, nil},
		{"no overlap allowed, touching boxes stay", []*model.Tensor{tensor(model.Float32, []int{1, 2, 4}, 0, 0, 1, 1, 0, 1, 1, 2), tensor(model.Float32, []int{1, 1, 2}, 1, 2), n(9), vec(0)}, []float64{0, 0, 1, 0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := apply(applied{op: "NonMaxSuppression"}, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], tensor(model.Int64, []int{len(c.want) / 3, 3}, c.want...), 0)
		})
	}
	_, err := apply(applied{op: "NonMaxSuppression"}, boxes, model.NewTensor(model.Float32, 1, 1, 5), n(1))
	refused(t, err, fail.Invalid)
}

func TestRoiAlign(t *testing.T) {
	// A plane that rises along x: means of a region are its middle.
	x := model.NewTensor(model.Float32, 1, 1, 8, 8)
	for i := range 64 {
		x.SetFloat64(i, float64(i%8))
	}
	roi, zero := tensor(model.Float32, []int{1, 4}, 2, 2, 6, 6), tensor(model.Int64, []int{1}, 0)
	attrs := func(mode, how string, ratio int) map[string]any {
		return map[string]any{"mode": mode, "coordinate_transformation_mode": how, "output_height": 1, "output_width": 2, "sampling_ratio": ratio}
	}
	for _, c := range []struct {
		name  string
		attrs map[string]any
		want  []float64
	}{
		{"half a pixel", attrs("avg", "half_pixel", 2), []float64{2.5, 4.5}},
		{"the old way", attrs("avg", "output_half_pixel", 2), []float64{3, 5}},
		{"samples by size", attrs("avg", "half_pixel", 0), []float64{2.5, 4.5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := apply(applied{op: "RoiAlign", opset: 16, attrs: c.attrs}, x, roi, zero)
			if err != nil {
				t.Fatal(err)
			}
			near(t, out[0], tensor(model.Float32, []int{1, 1, 1, 2}, c.want...), 1e-6)
		})
	}
	_, err := apply(applied{op: "RoiAlign", opset: 16}, x, roi, tensor(model.Int64, []int{1}, 1))
	refused(t, err, fail.Invalid)
	_, err = apply(applied{op: "RoiAlign", opset: 16, attrs: map[string]any{"output_width": 0}}, x, roi, zero)
	refused(t, err, fail.Invalid)
	// Regions that are no numbers give a value and take no time.
	if _, err = apply(applied{op: "RoiAlign", opset: 16}, x, tensor(model.Float32, []int{1, 4}, math.NaN(), 0, math.Inf(1), 1), zero); err != nil {
		t.Fatal(err)
	}
}

// TestGridSample: a grid of the pixels' own places gives the picture back; places beyond it follow the padding.
func TestGridSample(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for _, dims := range [][]int{{2, 3, 5, 4}, {1, 1, 3, 2, 4}, {1, 2, 6}} {
		for _, mode := range []string{"linear", "nearest", "cubic"} {
			for _, align := range []int{0, 1} {
				t.Run(fmt.Sprint("identity ", dims, mode, align), func(t *testing.T) {
					x := model.NewTensor(model.Float32, dims...)
					for i := range x.Len() {
						x.SetFloat64(i, r.Float64())
					}
					in := dims[2:]
					g := model.NewTensor(model.Float32, append(append([]int{dims[0]}, in...), len(in))...)
					at := make([]int, len(in))
					for n := range dims[0] {
						for p := range product(in) {
							unflatten(p, in, at)
							for d, i := range at {
								v := (2*float64(i)+1)/float64(in[d]) - 1
								if align == 1 {
									v = 2*float64(i)/float64(in[d]-1) - 1
								}
								g.SetFloat64((n*product(in)+p)*len(in)+len(in)-1-d, v)
							}
						}
					}
					out, err := apply(applied{op: "GridSample", attrs: map[string]any{"mode": mode, "align_corners": align}}, x, g)
					if err != nil {
						t.Fatal(err)
					}
					near(t, out[0], x, 1e-5)
				})
			}
		}
	}
	line := tensor(model.Float32, []int{1, 1, 1, 4}, 1, 2, 3, 4)
	for _, c := range []struct {
		name, mode, padding string
		x, want             float64
	}{
		{"between", "linear", "zeros", 0, 2.5}, {"half outside", "linear", "zeros", -1, 0.5}, {"outside", "linear", "zeros", -3, 0},
		{"border", "linear", "border", -1.4, 1}, {"far border", "linear", "border", 9, 4}, {"reflection", "linear", "reflection", -1.25, 1},
		{"far reflection", "linear", "reflection", 1 + 1.0/4, 4}, {"nearest", "nearest", "zeros", 0.3, 3}, {"nearest outside", "nearest", "zeros", 1.3, 0},
		{"no number", "linear", "zeros", math.NaN(), 0}, {"no number, border", "linear", "border", math.NaN(), 1}, {"infinite", "cubic", "reflection", math.Inf(1), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := apply(applied{op: "GridSample", attrs: map[string]any{"mode": c.mode, "padding_mode": c.padding}}, line, tensor(model.Float32, []int{1, 1, 1, 2}, c.x, 0))
			if err != nil {
				t.Fatal(err)
			}
			if c.name == "infinite" {
				return // any value, no panic
			}
			near(t, out[0], tensor(model.Float32, []int{1, 1, 1, 1}, c.want), 1e-6)
		})
	}
	_, err := apply(applied{op: "GridSample"}, line, model.NewTensor(model.Float32, 1, 1, 1, 3))
	refused(t, err, fail.Invalid)
	_, err = apply(applied{op: "GridSample"}, line, model.NewTensor(model.Float32, 2, 1, 1, 2))
	refused(t, err, fail.Invalid)
}
