package onnxgo

import (
	"slices"
	"sort"

	"gorgonia.org/tensor"

	"fettle/internal/fail"
	"fettle/model"
)

// fromGorgonia copies a tensor into our form.
func fromGorgonia(t tensor.Tensor) (*model.Tensor, error) {
	shape := append([]int{}, t.Shape()...)
	if d, ok := t.(*tensor.Dense); ok && !d.DataOrder().IsRowMajor() {
		return nil, fail.New(fail.Unsupported, "a tensor in column-major order")
	}
	switch v := t.Data().(type) {
	case []float32:
		return fromNumbers(model.Float32, v, shape)
	case []float64:
		return fromNumbers(model.Float64, v, shape)
	case []int8:
		return fromNumbers(model.Int8, v, shape)
	case []int16:
		return fromNumbers(model.Int16, v, shape)
	case []int32:
		return fromNumbers(model.Int32, v, shape)
	case []int64:
		return fromNumbers(model.Int64, v, shape)
	case []uint8:
		return fromNumbers(model.Uint8, v, shape)
	case []uint16:
		return fromNumbers(model.Uint16, v, shape)
	case []uint32:
		return fromNumbers(model.Uint32, v, shape)
	case []uint64:
		return fromNumbers(model.Uint64, v, shape)
	case []bool:
		b := make([]uint8, len(v))
		for i, x := range v {
			if x {
				b[i] = 1
			}
		}
		o, err := fromNumbers(model.Uint8, b, shape)
		if err == nil {
			o.DType = model.Bool
		}
		return o, err
	case float32:
		return fromNumbers(model.Float32, []float32{v}, shape)
	case float64:
		return fromNumbers(model.Float64, []float64{v}, shape)
	case int32:
		return fromNumbers(model.Int32, []int32{v}, shape)
	case int64:
		return fromNumbers(model.Int64, []int64{v}, shape)
	case bool:
		return fromGorgonia(tensor.New(tensor.WithShape(1), tensor.WithBacking([]bool{v})))
	}
	return nil, fail.New(fail.Unsupported, "a tensor of %v", t.Dtype())
}

type number interface {
	~float32 | ~float64 | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

func fromNumbers[T number](d model.DType, v []T, shape []int) (*model.Tensor, error) {
	n, err := model.Count(shape)
	if err != nil {
		return nil, err
	}
	if n != len(v) {
		return nil, fail.New(fail.Corrupt, "%d elements for shape %v", len(v), shape)
	}
	t := model.NewTensor(d, shape...)
	for i, x := range v {
		if d.Float() {
			t.SetFloat64(i, float64(x))
		} else {
			t.SetInt64(i, int64(x))
		}
	}
	return t, nil
}

// toGorgonia copies a tensor out.
func toGorgonia(t *model.Tensor) (tensor.Tensor, error) {
	n := t.Len()
	var back any
	switch t.DType {
	case model.Float32:
		back = slices.Clone(model.Data[float32](t))
	case model.Float64:
		back = numbers(n, t.Float64At)
	case model.Int8:
		back = numbers(n, func(i int) int8 { return int8(t.Int64At(i)) })
	case model.Int16:
		back = numbers(n, func(i int) int16 { return int16(t.Int64At(i)) })
	case model.Int32:
		back = numbers(n, func(i int) int32 { return int32(t.Int64At(i)) })
	case model.Int64:
		back = numbers(n, t.Int64At)
	case model.Uint8:
		back = numbers(n, func(i int) uint8 { return uint8(t.Int64At(i)) })
	case model.Uint16:
		back = numbers(n, func(i int) uint16 { return uint16(t.Int64At(i)) })
	case model.Uint32:
		back = numbers(n, func(i int) uint32 { return uint32(t.Int64At(i)) })
	case model.Uint64:
		back = numbers(n, func(i int) uint64 { return uint64(t.Int64At(i)) })
	case model.Bool:
		back = numbers(n, func(i int) bool { return t.Int64At(i) != 0 })
	default:
		return nil, fail.New(fail.Unsupported, "onnx-go has no tensors of %s", t.DType)
	}
	return tensor.New(tensor.WithShape(t.Shape...), tensor.WithBacking(back)), nil
}

func numbers[T any](n int, at func(int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = at(i)
	}
	return out
}

// attributes translates what onnx-go decoded, by name so that the order is the same every time.
func attributes(in map[string]any) ([]model.Attr, error) {
	names := make([]string, 0, len(in))
	for name := range in {
		names = append(names, name)
	}
	sort.Strings(names)
	var out []model.Attr
	for _, name := range names {
		switch v := in[name].(type) {
		case float32:
			out = append(out, model.FloatAttr(name, v))
		case int64:
			out = append(out, model.IntAttr(name, v))
		case string:
			out = append(out, model.StrAttr(name, v))
		case []float32:
			out = append(out, model.FloatsAttr(name, v...))
		case []int64:
			out = append(out, model.IntsAttr(name, v...))
		case []string:
			a := model.Attr{Name: name, Type: model.AttrStrings}
			for _, s := range v {
				a.Strings = append(a.Strings, []byte(s))
			}
			out = append(out, a)
		case tensor.Tensor:
			t, err := fromGorgonia(v)
			if err != nil {
				return nil, fail.In(err, "", fail.Where{Attr: name})
			}
			out = append(out, model.TensorAttr(name, t))
		default:
			return nil, fail.New(fail.Unsupported, "attribute of type %T", v).At(fail.Where{Attr: name})
		}
	}
	return out, nil
}
