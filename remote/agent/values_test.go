package agent

import (
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
)

// TestEncoded: a tensor comes back as it went; what is none is refused with the name of the output.
func TestEncoded(t *testing.T) {
	b, err := encoded("y", model.Float32s([]float32{1, 2}, 2))
	if err != nil {
		t.Fatal(err)
	}
	got, name, err := onnx.ReadTensor(b)
	if err != nil || name != "y" || got.Len() != 2 || got.Float64At(1) != 2 {
		t.Errorf("got %v %q %v", got, name, err)
	}
	m := &model.Tensor{DType: model.Map, Elems: []*model.Tensor{model.Int64s(1), model.Float32s([]float32{1}, 1)}}
	for _, v := range []*model.Tensor{m, {DType: model.Sequence, Elem: model.Map, Elems: []*model.Tensor{m}}, {DType: model.Sequence, Elem: model.Float32}, {None: true}, nil} {
		if _, err := encoded("z", v); !fail.Is(err, fail.Unsupported) || fail.From(err).Where.Tensor != "z" {
			t.Errorf("%v: %v", v, err)
		}
	}
}
