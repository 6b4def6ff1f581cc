package ops

import (
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

func TestDeformConv(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	random := func(dims ...int) *model.Tensor {
		x := model.NewTensor(model.Float64, dims...)
		for i := range x.Len() {
			x.SetFloat64(i, 2*r.Float64()-1)
		}
		return x
	}
	attrs := map[string]any{"group": 2, "offset_group": 2, "pads": []int64{1, 0, 1, 2}, "strides": []int64{1, 2}, "dilations": []int64{2, 1}}
	x, w, b := random(2, 4, 6, 7), random(6, 2, 2, 3), random(6)
	conv, err := apply(applied{op: "Conv", attrs: attrs}, x, w, b)
	if err != nil {
		t.Fatal(err)
	}
	oh, ow := conv[0].Shape[2], conv[0].Shape[3]
	zero := model.NewTensor(model.Float64, 2, 2*6*2, oh, ow)
	t.Run("without moves a convolution", func(t *testing.T) {
		got, err := apply(applied{op: "DeformConv", attrs: attrs}, x, w, zero, b)
		if err != nil {
			t.Fatal(err)
		}
		near(t, got[0], conv[0], 1e-12)
	})
	t.Run("a mask of a half halves", func(t *testing.T) {
		mask := model.NewTensor(model.Float64, 2, 2*6, oh, ow)
		for i := range mask.Len() {
			mask.SetFloat64(i, 0.5)
		}
		got, err := apply(applied{op: "DeformConv", attrs: attrs}, x, w, zero, nil, mask)
		if err != nil {
			t.Fatal(err)
		}
		bare, err := apply(applied{op: "Conv", attrs: attrs}, x, w)
		if err != nil {
			t.Fatal(err)
		}
		want := bare[0].Clone()
		for i := range want.Len() {
			want.SetFloat64(i, want.Float64At(i)/2)
		}
		near(t, got[0], want, 1e-12)
	})
	t.Run("moves by hand", func(t *testing.T) {
		// One tap of weight 1 that moves by half a pixel down and a whole one to the right; outside is zero.
		x := tensor(model.Float64, []int{1, 1, 2, 2}, 1, 2, 3, 4)
		off := tensor(model.Float64, []int{1, 2, 2, 2}, 0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1)
		got, err := apply(applied{op: "DeformConv"}, x, tensor(model.Float64, []int{1, 1, 1, 1}, 1), off)
		if err != nil {
			t.Fatal(err)
		}
		near(t, got[0], tensor(model.Float64, []int{1, 1, 2, 2}, 3, 0, 2, 0), 1e-12)
	})
	for name, in := range map[string][]*model.Tensor{
		"moves for fewer taps":    {x, w, model.NewTensor(model.Float64, 2, 6, oh, ow)},
		"moves of another size":   {x, w, model.NewTensor(model.Float64, 2, 24, oh+1, ow)},
		"a mask for fewer groups": {x, w, zero, nil, model.NewTensor(model.Float64, 2, 6, oh, ow)},
		"weights of two channels": {x, random(6, 3, 2, 3), zero},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(applied{op: "DeformConv", attrs: attrs}, in...)
			refused(t, err, fail.Invalid)
		})
	}
}
