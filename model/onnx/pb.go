package onnx

import (
	"fettle/internal/fail"
	"fettle/model"
)

// ReadTensor reads a serialized TensorProto, as in the .pb files of the ONNX backend tests. It gives the tensor and its name.
func ReadTensor(b []byte) (*model.Tensor, string, error) {
	r := &reader{acc: &account{Budget: DefaultBudget()}, base: b[:len(b):len(b)]}
	t, name, ext, err := r.tensor(r.base)
	if err == nil && ext != nil {
		err = fail.New(fail.Unsupported, "a tensor file with external data")
	}
	return t, name, err
}

// WriteTensor serializes t as a TensorProto.
func WriteTensor(name string, t *model.Tensor) []byte {
	var b sliceWriter
	e := &encoder{w: &b}
	e.tensor(name, t)
	return b
}

type sliceWriter []byte

func (w *sliceWriter) Write(p []byte) (int, error) { *w = append(*w, p...); return len(p), nil }

// ReadValue reads a file of the ONNX backend tests whose declared type is t: a TensorProto, a SequenceProto or an
// OptionalProto.
func ReadValue(b []byte, t model.Type) (*model.Tensor, string, error) {
	r := &reader{acc: &account{Budget: DefaultBudget()}, base: b[:len(b):len(b)]}
	switch t.Kind {
	case model.KindSequence:
		s, name, err := r.sequence(r.base)
		if err == nil && t.Elem != nil && s.Elem == model.Undefined {
			s.Elem = t.Elem.DType
		}
		return s, name, err
	case model.KindOptional:
		return r.optional(r.base)
	case model.KindTensor:
		return ReadTensor(b)
	}
	return nil, "", fail.New(fail.Unsupported, "a value of type %s", t)
}

// sequence reads SequenceProto: name 1, elem_type 2, tensor_values 3, sequence_values 5.
func (r *reader) sequence(b []byte) (*model.Tensor, string, error) {
	s := &model.Tensor{DType: model.Sequence}
	var name string
	err := r.each(b, func(fd field) (err error) {
		switch fd.num {
		case 1:
			name, err = r.name(fd)
		case 3:
			t, _, _, e := r.tensor(fd.v)
			if e != nil {
				return e
			}
			s.Elem = t.DType
			s.Elems = append(s.Elems, t)
		case 4, 6, 7:
			return fail.New(fail.Unsupported, "a sequence of sparse tensors, maps or optionals")
		case 5:
			return fail.New(fail.Unsupported, "a sequence of sequences")
		}
		return err
	})
	return s, name, err
}

// optional reads OptionalProto: name 1, elem_type 2, tensor_value 3, sequence_value 5.
func (r *reader) optional(b []byte) (*model.Tensor, string, error) {
	v := &model.Tensor{None: true}
	var name string
	err := r.each(b, func(fd field) (err error) {
		switch fd.num {
		case 1:
			name, err = r.name(fd)
		case 3:
			v, _, _, err = r.tensor(fd.v)
		case 5:
			v, _, err = r.sequence(fd.v)
		}
		return err
	})
	return v, name, err
}
