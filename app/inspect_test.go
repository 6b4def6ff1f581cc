package app

import (
	"testing"

	"fettle/model"
)

// TestValueInfo holds that a value that is no tensor, or whose shape nobody knows, is not shown as a single number.
func TestValueInfo(t *testing.T) {
	row := model.TensorType(model.Float32, model.Shape{model.Fixed(1), {N: -1, Sym: "N"}})
	scalar := model.TensorType(model.Float32, model.Shape{})
	entry := model.Type{Kind: model.KindMap, Key: model.Int64, Elem: &scalar}
	for _, c := range []struct {
		name, want string
		typ        model.Type
	}{
		{"a tensor", "float32[1 N]", row},
		{"a single number", "float32[]", scalar},
		{"of unknown rank", "float32", model.Type{DType: model.Float32}},
		{"a map", "map(int64, float32[])", entry},
		{"a sequence of maps", "seq(map(int64, float32[]))", model.Type{Kind: model.KindSequence, Elem: &entry}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := valueInfo(model.Value{Name: "v", Type: c.typ}).String(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
