package agent

import (
	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
)

// encoded is an output as it goes to the desk: a TensorProto. Sequences, maps and empty optionals have no such form, and the
// desk would take them for tensors without elements.
func encoded(name string, t *model.Tensor) ([]byte, error) {
	if t == nil || t.None || t.DType.Composite() {
		what := "no value"
		if t != nil {
			what = model.TypeOf(t).String()
		}
		return nil, fail.New(fail.Unsupported, "the output is %s, a board sends tensors", what).At(fail.Where{Tensor: name}).
			Try("run the model on this computer, or end it before this output")
	}
	return onnx.WriteTensor(name, t), nil
}
