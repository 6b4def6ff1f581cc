package ops

import (
	"math"

	"fettle/model"
)

// mlEncodeOps: what turns labels and categories into others, fills in missing features and joins them.
func mlEncodeOps() []*Def {
	attr := func(t model.AttrType, names ...string) (out []AttrSpec) {
		for _, n := range names {
			out = append(out, AttrSpec{Name: n, Type: t})
		}
		return out
	}
	defaults := []AttrSpec{{Name: "default_int64", Type: model.AttrInt, Default: int64(-1)}, {Name: "default_string", Type: model.AttrString, Default: "_Unused"}}
	with := func(lists ...[]AttrSpec) (out []AttrSpec) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	numbers := F32 | 1<<model.Float64 | Index
	x := []Port{{Name: "X", Type: "T"}}
	y := []Port{{Name: "Y"}}
	return []*Def{
		{Name: "LabelEncoder", Domain: classic, Since: []int{1, 2, 4}, In: x, Out: y,
			Types: map[string]Set{"T": Text | F32 | 1<<model.Float64 | Index | 1<<model.Int16},
			Attrs: with(defaults, []AttrSpec{{Name: "default_float", Type: model.AttrFloat, Default: float32(math.Copysign(0, -1))}},
				attr(model.AttrStrings, "classes_strings", "keys_strings", "values_strings"), attr(model.AttrInts, "keys_int64s", "values_int64s"),
				attr(model.AttrFloats, "keys_floats", "values_floats"), attr(model.AttrTensor, "keys_tensor", "values_tensor", "default_tensor")),
			Infer: inferLabels, Eval: encodeLabels},
		{Name: "CategoryMapper", Domain: classic, Since: []int{1}, In: x, Out: y, Types: map[string]Set{"T": Text | I64},
			Attrs: with(defaults, attr(model.AttrInts, "cats_int64s"), attr(model.AttrStrings, "cats_strings")), Infer: inferLabels, Eval: encodeLabels},
		{Name: "OneHotEncoder", Domain: classic, Since: []int{1}, In: x, Out: y, Types: map[string]Set{"T": numbers | Text},
			Attrs: with([]AttrSpec{{Name: "zeros", Type: model.AttrInt, Default: int64(1)}}, attr(model.AttrInts, "cats_int64s"), attr(model.AttrStrings, "cats_strings")),
			Infer: inferOneHotEncoder, Eval: oneHotEncoder},
		{Name: "Imputer", Domain: classic, Since: []int{1}, In: x, Out: y, Types: map[string]Set{"T": numbers},
			Attrs: with([]AttrSpec{{Name: "replaced_value_float", Type: model.AttrFloat, Default: float32(0)}, {Name: "replaced_value_int64", Type: model.AttrInt, Default: int64(0)}},
				attr(model.AttrFloats, "imputed_value_floats"), attr(model.AttrInts, "imputed_value_int64s")),
			Infer: inferImputer, Eval: imputer},
		{Name: "FeatureVectorizer", Domain: classic, Since: []int{1}, In: []Port{{Name: "X", Type: "T", Many: true}}, Out: y, Types: map[string]Set{"T": numbers},
			Attrs: attr(model.AttrInts, "inputdimensions"), Infer: inferVectorizer, Eval: vectorizer},
	}
}

// coding maps keys to values: element i of keys to element i of values. Both are lines.
type coding struct {
	keys, values, other *model.Tensor
	last                bool // the last of equal keys counts, else the first
}

// codingOf reads what LabelEncoder or CategoryMapper maps for inputs of dtype d.
func codingOf(n *model.Node, def *Def, opset int, d model.DType, bad badAttr) (*coding, error) {
	if def.Name == "CategoryMapper" {
		ints, strs := model.Int64s(attrIntList(n, "cats_int64s")...), line(texts(n, "cats_strings"))
		return twoWay(n, def, ints, strs, "cats_strings", d, bad)
	}
	if opset < 2 {
		strs := line(texts(n, "classes_strings"))
		ints := make([]int64, strs.Len())
		for i := range ints {
			ints[i] = int64(i)
		}
		return twoWay(n, def, model.Int64s(ints...), strs, "classes_strings", d, bad)
	}
	k := &coding{last: opset >= 4} // from there the last counts; before, ONNX Runtime takes the first
	var err error
	if k.keys, err = listOf(n, "keys", bad); err != nil {
		return nil, err
	}
	if k.values, err = listOf(n, "values", bad); err != nil {
		return nil, err
	}
	if k.keys.Len() != k.values.Len() {
		return nil, bad("values_tensor", "%d values for %d keys", k.values.Len(), k.keys.Len())
	}
	if d != model.Undefined && d != k.keys.DType {
		return nil, bad("keys_tensor", "is of %s, the input of %s", k.keys.DType, d)
	}
	k.other = model.NewTensor(k.values.DType, 1)
	switch {
	case k.values.DType == model.String:
		k.other.Strs[0] = attrStr(n, def, "default_string")
	case k.values.DType.Float():
		k.other.SetFloat64(0, float64(attrFloat(n, def, "default_float")))
	default:
		k.other.SetInt64(0, attrInt(n, def, "default_int64"))
	}
	if a := n.Attr("default_tensor"); a != nil && a.T != nil && opset >= 4 {
		if a.T.DType != k.values.DType || a.T.Len() != 1 || a.T.Check() != nil {
			return nil, bad("default_tensor", "is %s%v, want one %s", a.T.DType, a.T.Shape, k.values.DType)
		}
		k.other = a.T
	}
	return k, nil
}

func line(s []string) *model.Tensor { return model.Strings(s, len(s)) }

// twoWay maps strings to integers or integers to strings, as the input is.
func twoWay(n *model.Node, def *Def, ints, strs *model.Tensor, attr string, d model.DType, bad badAttr) (*coding, error) {
	if ints.Len() != strs.Len() || strs.Len() == 0 {
		return nil, bad(attr, "has %d strings for %d integers", strs.Len(), ints.Len())
	}
	if d == model.Int64 {
		return &coding{keys: ints, values: strs, other: line([]string{attrStr(n, def, "default_string")}), last: true}, nil
	}
	if d != model.String && d != model.Undefined {
		return nil, bad(attr, "is a map of string and int64, the input is %s", d)
	}
	return &coding{keys: strs, values: ints, other: model.Int64s(attrInt(n, def, "default_int64")), last: true}, nil
}

// listOf is the one of keys_floats, keys_int64s, keys_strings and keys_tensor that is there.
func listOf(n *model.Node, name string, bad badAttr) (*model.Tensor, error) {
	var found []*model.Tensor
	if v := attrFloats(n, name+"_floats"); len(v) > 0 {
		found = append(found, model.Float32s(v, len(v)))
	}
	if v := attrIntList(n, name+"_int64s"); len(v) > 0 {
		found = append(found, model.Int64s(v...))
	}
	if v := texts(n, name+"_strings"); len(v) > 0 {
		found = append(found, line(v))
	}
	if a := n.Attr(name + "_tensor"); a != nil && a.T != nil {
		if len(a.T.Shape) != 1 || a.T.Check() != nil || !(Text | F32 | 1<<model.Float64 | Index | 1<<model.Int16).Has(a.T.DType) {
			return nil, bad(a.Name, "is %s%v, want a line of labels", a.T.DType, a.T.Shape)
		}
		found = append(found, a.T)
	}
	if len(found) != 1 {
		return nil, bad(name+"_tensor", "is given by %d attributes, want one", len(found))
	}
	return found[0], nil
}

// places says where each label of t is; equal ones by last. A NaN is one label, whatever its bits, and 0 and -0 are one, as in
// ONNX Runtime.
func places(t *model.Tensor, last bool) func(x *model.Tensor, i int) (int, bool) {
	if t.DType == model.String {
		at := map[string]int{}
		for i, s := range t.Strs {
			if _, seen := at[s]; !seen || last {
				at[s] = i
			}
		}
		return func(x *model.Tensor, i int) (int, bool) { k, ok := at[x.Strs[i]]; return k, ok }
	}
	if t.DType.Integer() {
		at := map[int64]int{}
		for i := range t.Len() {
			if _, seen := at[t.Int64At(i)]; !seen || last {
				at[t.Int64At(i)] = i
			}
		}
		return func(x *model.Tensor, i int) (int, bool) {
			if x.DType.Float() && x.Float64At(i) != x.Float64At(i) {
				return 0, false
			}
			k, ok := at[x.Int64At(i)]
			return k, ok
		}
	}
	at, nan := map[float64]int{}, -1
	for i := range t.Len() {
		v := t.Float64At(i)
		if v != v {
			if nan < 0 || last {
				nan = i
			}
		} else if _, seen := at[v]; !seen || last {
			at[v] = i
		}
	}
	return func(x *model.Tensor, i int) (int, bool) {
		v := x.Float64At(i)
		if v != v {
			return nan, nan >= 0
		}
		k, ok := at[v]
		return k, ok
	}
}

func inferLabels(f *Inference) error {
	k, err := codingOf(f.Node, f.Def, f.Opset, f.In[0].DType, f.BadAttr)
	if err != nil {
		return err
	}
	f.Out[0] = f.In[0]
	if f.Out[0].DType != model.Undefined {
		f.Out[0].DType = k.values.DType
	}
	return nil
}

func encodeLabels(c *Call) error {
	x := c.In[0]
	k, err := codingOf(c.Node, c.Def, c.Opset, x.DType, c.badAttr)
	if err != nil {
		return err
	}
	y, err := c.make(k.values.DType, x.Shape)
	if err != nil {
		return err
	}
	find := places(k.keys, k.last)
	for i := range y.Len() {
		if at, ok := find(x, i); ok {
			copyElem(y, i, k.values, at)
		} else {
			copyElem(y, i, k.other, 0)
		}
	}
	c.Out[0] = y
	return nil
}

// categoriesOf are the categories that an input of dtype d is looked up in.
func categoriesOf(n *model.Node, d model.DType, bad badAttr) (*model.Tensor, error) {
	l, err := labelsOf(n, "cats_int64s", "cats_strings", bad)
	if err != nil {
		return nil, err
	}
	if d != model.Undefined && (d == model.String) != (len(l.strs) > 0) {
		return nil, bad("cats_strings", "has %d categories, the input is %s", len(l.strs), d)
	}
	if len(l.strs) > 0 {
		return line(l.strs), nil
	}
	return model.Int64s(l.ints...), nil
}

func inferOneHotEncoder(f *Inference) error {
	cats, err := categoriesOf(f.Node, f.In[0].DType, f.BadAttr)
	if err != nil {
		return err
	}
	f.Out[0] = model.Type{DType: model.Float32}
	if f.In[0].Ranked {
		f.Out[0] = model.TensorType(model.Float32, append(append(model.Shape{}, f.In[0].Shape...), model.Fixed(cats.Len())))
	}
	return nil
}

// oneHotEncoder truncates floats before it looks them up.
func oneHotEncoder(c *Call) error {
	x := c.In[0]
	cats, err := categoriesOf(c.Node, x.DType, c.badAttr)
	if err != nil {
		return err
	}
	y, err := c.make(model.Float32, append(append([]int{}, x.Shape...), cats.Len()))
	if err != nil {
		return err
	}
	out, find := model.Data[float32](y), places(cats, true)
	for i := range x.Len() {
		k, ok := find(x, i)
		if ok {
			out[i*cats.Len()+k] = 1
		} else if c.Int("zeros") == 0 {
			return c.Bad("element %d is no category", i)
		}
	}
	c.Out[0] = y
	return nil
}

// imputed are the values that replace others of dtype d: one, or one a feature.
func imputed(n *model.Node, d model.DType, bad badAttr) ([]float32, []int64, error) {
	floats, ints := attrFloats(n, "imputed_value_floats"), attrIntList(n, "imputed_value_int64s")
	if (len(floats) == 0) == (len(ints) == 0) {
		return nil, nil, bad("imputed_value_floats", "has %d values and imputed_value_int64s %d: want one of them", len(floats), len(ints))
	}
	if d != model.Undefined && d.Float() != (len(floats) > 0) {
		return nil, nil, bad("imputed_value_floats", "has %d values, the input is %s", len(floats), d)
	}
	return floats, ints, nil
}

func inferImputer(f *Inference) error {
	floats, ints, err := imputed(f.Node, f.In[0].DType, f.BadAttr)
	if err != nil {
		return err
	}
	if err := f.ranked(0, 1, anyRank); err != nil {
		return err
	}
	if s, n := f.In[0].Shape, len(floats)+len(ints); f.In[0].Ranked && n > 1 {
		if k := s[len(s)-1]; k.Known() && k.N != n {
			return f.BadAttr("imputed_value_floats", "has %d values for %d features", n, k.N)
		}
	}
	return inferSame(f)
}

func imputer(c *Call) error {
	x := c.In[0]
	floats, ints, err := imputed(c.Node, x.DType, c.badAttr)
	if err != nil {
		return err
	}
	if n := len(floats) + len(ints); n > 1 && (len(x.Shape) == 0 || x.Shape[len(x.Shape)-1] != n) {
		return c.Bad("%d values for the features of %v", n, x.Shape)
	}
	y, err := c.make(x.DType, x.Shape)
	if err != nil {
		return err
	}
	old, number := c.Int("replaced_value_int64"), float64(c.Float("replaced_value_float"))
	for i := range x.Len() {
		switch {
		case len(ints) > 0 && x.Int64At(i) == old:
			y.SetInt64(i, ints[i%len(ints)])
		case len(floats) > 0 && same(x.Float64At(i), number):
			y.SetFloat64(i, float64(floats[i%len(floats)]))
		default:
			copyElem(y, i, x, i)
		}
	}
	c.Out[0] = y
	return nil
}

func same(a, b float64) bool { return a == b || a != a && b != b }

// inferVectorizer: each input gets as many columns as it has, unless inputdimensions says otherwise. What is more is left
// out and what is less filled with zeros, as in ONNX's reference implementation and ONNX Runtime.
func inferVectorizer(f *Inference) error {
	want := f.Ints("inputdimensions")
	if want != nil && len(want) != len(f.In) {
		return f.BadAttr("inputdimensions", "has %d values for %d inputs", len(want), len(f.In))
	}
	rows, total := model.Sym(""), int64(0)
	for i, t := range f.In {
		if !f.Has(i) {
			return f.Bad("input %d is absent", i)
		}
		if err := f.ranked(i, 1, 2); err != nil {
			return err
		}
		width := model.Sym("")
		if t.Ranked {
			n := model.Fixed(1)
			if len(t.Shape) == 2 {
				n = t.Shape[0]
			}
			if rows.Known() && n.Known() && rows.N != n.N {
				return f.Bad("input %d has %d rows, one before it %d", i, n.N, rows.N)
			}
			if n.Known() || i == 0 {
				rows = n
			}
			width = t.Shape[len(t.Shape)-1]
		}
		if want != nil {
			if want[i] < 0 || want[i] > maxDim/int64(len(want)) {
				return f.BadAttr("inputdimensions", "is %d", want[i])
			}
			width = model.Fixed(int(want[i]))
		}
		if !width.Known() || total < 0 {
			total = -1
		} else if total += int64(width.N); total > maxDim {
			return f.Bad("the inputs have more than %d columns", int64(maxDim))
		}
	}
	columns := model.Sym("")
	if total >= 0 {
		columns = model.Fixed(int(total))
	}
	f.Out[0] = model.TensorType(model.Float32, model.Shape{rows, columns})
	return nil
}

func vectorizer(c *Call) error {
	want, total, rows := c.Ints("inputdimensions"), 0, 0
	widths := make([]int, len(c.In))
	for i, x := range c.In {
		n, width, _ := rowsOf(x.Shape)
		if i > 0 && n != rows {
			return c.Bad("input %d has %d rows, the first %d", i, n, rows)
		}
		rows = n
		if widths[i] = width; want != nil {
			widths[i] = int(want[i])
		}
		total += widths[i]
	}
	y, err := c.make(model.Float32, []int{rows, total})
	if err != nil {
		return err
	}
	first := 0
	for i, x := range c.In {
		_, width, _ := rowsOf(x.Shape)
		for r := range rows {
			for k := range min(width, widths[i]) {
				y.SetFloat64(r*total+first+k, x.Float64At(r*width+k))
			}
		}
		first += widths[i]
	}
	c.Out[0] = y
	return nil
}
