package app

import (
	"encoding/json"
	"testing"

	"fettle/model"
)

// TestFew: what a run lists of its outputs, as JSON.
func TestFew(t *testing.T) {
	m := func(keys []string, v ...float32) *model.Tensor {
		return &model.Tensor{DType: model.Map, Elems: []*model.Tensor{model.Strings(keys, len(keys)), model.Float32s(v, len(v))}}
	}
	seq := func(e ...*model.Tensor) *model.Tensor { return &model.Tensor{DType: model.Sequence, Elems: e} }
	for _, c := range []struct {
		name string
		in   *model.Tensor
		want string
	}{
		{"numbers", model.Int64s(1, -2), `[1,-2]`},
		{"text", model.Strings([]string{"a"}, 1), `["a"]`},
		{"many", model.NewTensor(model.Float32, 33), `null`},
		{"a map", m([]string{"no", "yes"}, 0.25, 0.75), `[{"no":0.25,"yes":0.75}]`},
		{"a sequence of maps", seq(m([]string{"a"}, 1), m([]string{"a"}, 2)), `[{"a":1},{"a":2}]`},
		{"a sequence of tensors", seq(model.Int64s(1, 2), model.Int64s(3)), `[[1,2],[3]]`},
		{"a long sequence", seq(make([]*model.Tensor, 33)...), `null`},
		{"an empty map", m(nil), `[{}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := json.Marshal(few(c.in))
			if err != nil || string(got) != c.want {
				t.Errorf("got %s %v, want %s", got, err, c.want)
			}
		})
	}
}
