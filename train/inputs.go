package train

import (
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
)

// Inputs are the inputs of a model in training. An item is the numbers of all of them, one input behind the other, as [C, H, W] where it is a
// picture; whole numbers (ids of words, masks) lie among them as floats.
type Inputs struct{ list []input }

type input struct {
	name  string
	dtype model.DType
	shape []int // of an item; nil before the first one
}

// mostWhole is the largest whole number that is a float32 without rounding.
const mostWhole = 1 << 24

// InputsOf lists the inputs of m. fail.Unsupported names one whose type has no place among floats.
func InputsOf(m *model.Model) (*Inputs, error) {
	s := &Inputs{}
	for _, v := range m.Graph.Free() {
		switch v.Type.DType {
		case model.Float32, model.Int64, model.Int32, model.Int8, model.Uint8, model.Bool:
		default:
			return nil, fail.New(fail.Unsupported, "training knows inputs of floats, whole numbers and truth values, not of type %s", v.Type.DType).At(fail.Where{Tensor: v.Name})
		}
		s.list = append(s.list, input{name: v.Name, dtype: v.Type.DType})
	}
	if len(s.list) == 0 {
		return nil, fail.New(fail.Unsupported, "the model has no input to give data to")
	}
	return s, nil
}

// Item makes an item of the tensors of each input, which have a batch of 1. All items have the shapes of the first.
func (s *Inputs) Item(in map[string]*model.Tensor) ([]float32, error) {
	var item []float32
	for i := range s.list {
		v := &s.list[i]
		at := fail.Where{Tensor: v.name}
		t := in[v.name]
		if t == nil {
			return nil, fail.New(fail.Invalid, "an item has no tensor for the input %s", v.name).At(at).Try("give each item as an .npz file with an array for every input")
		}
		if t.DType != v.dtype || t.Rank() < 2 || t.Shape[0] != 1 {
			return nil, fail.New(fail.Unsupported, "training needs items with a batch of 1 for each input, %s has type %s and shape %v", v.name, t.DType, t.Shape).At(at)
		}
		if v.shape == nil {
			v.shape = append([]int{}, t.Shape[1:]...)
		}
		if fmt.Sprint(v.shape) != fmt.Sprint(t.Shape[1:]) {
			return nil, fail.New(fail.Invalid, "an item has shape %v for %s, the first has %v", t.Shape[1:], v.name, v.shape).At(at).Try("bring all items to one shape: shorter texts are filled up behind, with zeros in the mask")
		}
		if t.DType == model.Float32 {
			item = append(item, model.Data[float32](t)...)
			continue
		}
		for k := range t.Len() {
			x := t.Int64At(k)
			if x > mostWhole || x < -mostWhole {
				return nil, fail.New(fail.Unsupported, "%d in %s is too large to be trained with: at most %d", x, v.name, mostWhole).At(at)
			}
			item = append(item, float32(x))
		}
	}
	return item, nil
}

// Names are those of the inputs.
func (s *Inputs) Names() []string {
	var l []string
	for _, v := range s.list {
		l = append(l, v.name)
	}
	return l
}

// Shapes are those of an item, an input each; known from the first item on.
func (s *Inputs) Shapes() [][]int {
	var l [][]int
	for _, v := range s.list {
		l = append(l, v.shape)
	}
	return l
}

// Types are those of a batch of items.
func (s *Inputs) Types(batch int) map[string]model.Type {
	l := map[string]model.Type{}
	for _, v := range s.list {
		l[v.name] = model.TensorType(v.dtype, model.FixedShape(append([]int{batch}, v.shape...)...))
	}
	return l
}

// Picture is the shape of an item where that is one picture of floats; nil else.
func (s *Inputs) Picture() []int {
	if len(s.list) == 1 && s.list[0].dtype == model.Float32 && len(s.list[0].shape) == 3 {
		return s.list[0].shape
	}
	return nil
}

// Only sets the shape of the only input.
func (s *Inputs) Only(shape []int) { s.list[0].shape = shape }

// Tensors gives an item as the tensors of each input, with a batch of 1.
func (s *Inputs) Tensors(item []float32) map[string]*model.Tensor {
	l := map[string]*model.Tensor{}
	for _, v := range s.list {
		shape := append([]int{1}, v.shape...)
		n := count(v.shape)
		if v.dtype == model.Float32 {
			l[v.name] = model.Float32s(item[:n:n], shape...)
		} else {
			t := model.NewTensor(v.dtype, shape...)
			for i, x := range item[:n] {
				t.SetFloat64(i, float64(x))
			}
			l[v.name] = t
		}
		item = item[n:]
	}
	return l
}

func count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// batch makes the values of the inputs for items.
func (t *tape[T]) batch(items [][]float32, shapes [][]int) ([]*array[T], error) {
	if len(shapes) != len(t.ins) {
		return nil, fail.New(fail.Invalid, "items have %d inputs, the model has %d", len(shapes), len(t.ins))
	}
	var xs []*array[T]
	from := 0
	for _, shape := range shapes {
		x, n := newArray[T](append([]int{len(items)}, shape...)...), count(shape)
		one := append([]int{1}, shape...)
		for i, it := range items {
			if len(it) < from+n {
				return nil, fail.New(fail.Invalid, "an item has %d numbers, shapes %v have more", len(it), shapes)
			}
			part := it[from : from+n]
			if v, same := any(x.v).([]float32); same {
				toPixels(v[i*n:(i+1)*n], part, one)
				continue
			}
			wide := make([]T, n)
			for k, u := range part {
				wide[k] = T(u)
			}
			toPixels(x.v[i*n:(i+1)*n], wide, one)
		}
		xs, from = append(xs, x), from+n
	}
	return xs, nil
}

// Only gives the tensors of an item that m has inputs for: a part of a model may read fewer.
func Only(m *model.Model, item map[string]*model.Tensor) map[string]*model.Tensor {
	free := m.Graph.Free()
	if len(free) == len(item) {
		return item
	}
	l := map[string]*model.Tensor{}
	for _, v := range free {
		if t := item[v.Name]; t != nil {
			l[v.Name] = t
		}
	}
	return l
}

// Reaching lists the inputs of m that some values depend on, in their order.
func Reaching(m *model.Model, values []string) []string {
	need := map[string]bool{}
	for _, v := range values {
		need[v] = true
	}
	for i := len(m.Graph.Nodes) - 1; i >= 0; i-- {
		n := m.Graph.Nodes[i]
		for _, o := range n.Outputs {
			if o == "" || !need[o] {
				continue
			}
			for _, r := range model.Reads(n) {
				need[r] = true
			}
			break
		}
	}
	var l []string
	for _, v := range m.Graph.Free() {
		if need[v.Name] {
			l = append(l, v.Name)
		}
	}
	return l
}
