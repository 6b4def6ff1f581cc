package ops

import (
	"math"

	"fettle/model"
)

// attrIntList is a list of integers; nil where it is absent.
func attrIntList(n *model.Node, name string) []int64 {
	if a := n.Attr(name); a != nil {
		return a.Ints
	}
	return nil
}

// attrNumbers is a list of floats, or of doubles in a tensor whose name ends in _as_tensor; nil where both are absent.
func attrNumbers(n *model.Node, name string, bad badAttr) ([]float64, error) {
	list := attrFloats(n, name)
	a := n.Attr(name + "_as_tensor")
	if a == nil || a.T == nil {
		out := make([]float64, len(list))
		for i, v := range list {
			out[i] = float64(v)
		}
		return out, nil
	}
	if len(list) > 0 {
		return nil, bad(a.Name, "is given beside %s", name)
	}
	if a.T.DType != model.Float32 && a.T.DType != model.Float64 || len(a.T.Shape) != 1 {
		return nil, bad(a.Name, "is %s%v, want a line of float64", a.T.DType, a.T.Shape)
	}
	if err := a.T.Check(); err != nil {
		return nil, bad(a.Name, "%v", err)
	}
	return toFloat64(a.T), nil
}

// labels are the names of classes: integers or strings.
type labels struct {
	ints []int64
	strs []string
}

// labelsOf reads the one list of the two that has values.
func labelsOf(n *model.Node, ints, strs string, bad badAttr) (labels, error) {
	l := labels{attrIntList(n, ints), texts(n, strs)}
	if (len(l.ints) == 0) == (len(l.strs) == 0) {
		return l, bad(strs, "has %d labels and %s %d: want one of them", len(l.strs), ints, len(l.ints))
	}
	return l, nil
}

func (l labels) count() int { return len(l.ints) + len(l.strs) }

func (l labels) dtype() model.DType {
	if len(l.strs) > 0 {
		return model.String
	}
	return model.Int64
}

// put writes label k as element i.
func (l labels) put(t *model.Tensor, i, k int) {
	if len(l.strs) > 0 {
		t.Strs[i] = l.strs[k]
	} else {
		t.SetInt64(i, l.ints[k])
	}
}

// featureRows is what is known of an input of rows of features, [N, F] or one row [F]: width is -1 where it is not known.
func (f *Inference) featureRows() (rows model.Dim, width int, err error) {
	if err := f.ranked(0, 1, 2); err != nil {
		return rows, 0, err
	}
	s := f.In[0].Shape
	if !f.In[0].Ranked {
		return model.Sym(""), -1, nil
	}
	rows, width = model.Fixed(1), -1
	if len(s) == 2 {
		rows = s[0]
	}
	if k := s[len(s)-1]; k.Known() {
		width = k.N
	}
	return rows, width, nil
}

// classes: a label a row, and a row of scores.
func (f *Inference) classes(l labels, scores int, rows model.Dim) {
	f.Out[0] = model.TensorType(l.dtype(), model.Shape{rows})
	if len(f.Out) > 1 {
		f.Out[1] = model.TensorType(model.Float32, model.Shape{rows, model.Fixed(scores)})
	}
}

// classOutputs makes the labels and scores of a classifier.
func (c *Call) classOutputs(l labels, rows, scores int) (y, z *model.Tensor, err error) {
	if y, err = c.make(l.dtype(), []int{rows}); err != nil {
		return nil, nil, err
	}
	if z, err = c.make(model.Float32, []int{rows, scores}); err != nil {
		return nil, nil, err
	}
	c.Out[0] = y
	if len(c.Out) > 1 {
		c.Out[1] = z
	}
	return y, z, nil
}

// largest is the place of the first largest value.
func largest(v []float64) int {
	k := 0
	for i := range v {
		if v[i] > v[k] {
			k = i
		}
	}
	return k
}

// probit is the quantile of the normal distribution by Winitzki's approximation of the inverse error function, which is what
// ONNX's reference implementation and ONNX Runtime give: within 4e-3 of the true one. NaN outside of 0 to 1.
func probit(p float64) float64 {
	const a = 0.147
	x := 2*p - 1
	l := math.Log((1 - x) * (1 + x))
	v := 2/(math.Pi*a) + l/2
	r := math.Sqrt(v*v-l/a) - v
	if x*x < 0.5 { // the difference would be all rounding
		r = -l / a / (math.Sqrt(v*v-l/a) + v)
	}
	return math.Sqrt2 * math.Copysign(math.Sqrt(r), x)
}
