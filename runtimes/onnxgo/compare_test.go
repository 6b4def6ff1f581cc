package onnxgo

import (
	"fmt"
	"math"

	"github.com/owulveryck/onnx-go"
	"gorgonia.org/tensor"
)

func newModel(b *Backend) *onnx.Model { return onnx.NewModel(b) }

// differs compares with the suite's tolerance, relative for values above one: its expected values are float32.
func differs(got, want tensor.Tensor) string {
	if fmt.Sprint(got.Shape()) != fmt.Sprint(want.Shape()) {
		return fmt.Sprintf("shape %v, want %v", got.Shape(), want.Shape())
	}
	g, err := fromGorgonia(got)
	if err != nil {
		return err.Error()
	}
	w, err := fromGorgonia(want)
	if err != nil {
		return err.Error()
	}
	if g.DType != w.DType {
		return fmt.Sprintf("%s, want %s", g.DType, w.DType)
	}
	for i := range w.Len() {
		x, y := g.Float64At(i), w.Float64At(i)
		if x != y && !(math.IsNaN(x) && math.IsNaN(y)) && !(math.Abs(x-y) <= 1e-6*math.Max(1, math.Abs(y))) {
			return fmt.Sprintf("element %d is %g, want %g", i, x, y)
		}
	}
	return ""
}
