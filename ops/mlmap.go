package ops

import (
	"fmt"
	"sort"
	"strconv"

	"fettle/model"
)

// mlMapOps: maps of labels to numbers, which are what classifiers give to programs. A map is a value of its own kind
// (model.Map): a line of keys, ascending and each once, beside a line of values. As in the specification, a sequence of
// maps goes out of a model and into no operator, and a map comes in as an input of the model.
func mlMapOps() []*Def {
	m := []Port{{Name: "X", Type: "M"}}
	maps := map[string]Set{"M": Maps}
	return []*Def{
		{Name: "ZipMap", Domain: classic, Since: []int{1}, In: []Port{{Name: "X", Type: "float32"}}, Out: []Port{{Name: "Z"}},
			Attrs: []AttrSpec{{Name: "classlabels_int64s", Type: model.AttrInts}, {Name: "classlabels_strings", Type: model.AttrStrings}}, Infer: inferZipMap, Eval: zipMap},
		{Name: "DictVectorizer", Domain: classic, Since: []int{1}, In: m, Out: []Port{{Name: "Y"}}, Types: maps,
			Attrs: []AttrSpec{{Name: "int64_vocabulary", Type: model.AttrInts}, {Name: "string_vocabulary", Type: model.AttrStrings}}, Infer: inferDictVectorizer, Eval: dictVectorizer},
		{Name: "CastMap", Domain: classic, Since: []int{1}, In: m, Out: []Port{{Name: "Y"}}, Types: maps,
			Attrs: []AttrSpec{{Name: "cast_to", Type: model.AttrString, Default: "TO_FLOAT", Enum: []string{"TO_FLOAT", "TO_STRING", "TO_INT64"}},
				{Name: "map_form", Type: model.AttrString, Default: "DENSE", Enum: []string{"DENSE", "SPARSE"}}, {Name: "max_map", Type: model.AttrInt, Default: int64(1)}},
			Infer: inferCastMap, Eval: castMap},
	}
}

// mapOf makes a map of two lines. Of equal keys the last counts.
func mapOf(keys, values *model.Tensor) *model.Tensor {
	at := ascending(keys)
	k, v := model.NewTensor(keys.DType, len(at)), model.NewTensor(values.DType, len(at))
	for i, from := range at {
		copyElem(k, i, keys, from)
		copyElem(v, i, values, from)
	}
	return &model.Tensor{DType: model.Map, Elems: []*model.Tensor{k, v}}
}

// ascending are the places of the keys in their order, and of equal ones the last.
func ascending(keys *model.Tensor) []int {
	at := make([]int, keys.Len())
	for i := range at {
		at[i] = i
	}
	text := keys.DType == model.String
	sort.SliceStable(at, func(i, j int) bool {
		if text {
			return keys.Strs[at[i]] < keys.Strs[at[j]]
		}
		return keys.Int64At(at[i]) < keys.Int64At(at[j])
	})
	n := 0
	for i, k := range at {
		if i+1 < len(at) {
			next := at[i+1]
			if text && keys.Strs[k] == keys.Strs[next] || !text && keys.Int64At(k) == keys.Int64At(next) {
				continue
			}
		}
		at[n] = k
		n++
	}
	return at[:n]
}

func inferZipMap(f *Inference) error {
	l, err := labelsOf(f.Node, "classlabels_int64s", "classlabels_strings", f.BadAttr)
	if err != nil {
		return err
	}
	e := model.TensorType(model.Float32, model.Shape{})
	f.Out[0] = sequenceType(model.Type{Kind: model.KindMap, Key: l.dtype(), Elem: &e})
	_, width, err := f.featureRows()
	if err == nil && width >= 0 && width != l.count() {
		err = f.BadAttr("classlabels_strings", "%d labels for %d columns", l.count(), width)
	}
	return err
}

// zipMap makes a map a row. The maps share their keys and one line of memory for the values.
func zipMap(c *Call) error {
	l, err := labelsOf(c.Node, "classlabels_int64s", "classlabels_strings", c.badAttr)
	if err != nil {
		return err
	}
	rows, width, _ := rowsOf(c.In[0].Shape)
	if width != l.count() {
		return c.Bad("%d labels for %d columns", l.count(), width)
	}
	keys := model.NewTensor(l.dtype(), width)
	for i := range width {
		l.put(keys, i, i)
	}
	at := ascending(keys)
	sorted := model.NewTensor(l.dtype(), len(at))
	for i, k := range at {
		copyElem(sorted, i, keys, k)
	}
	const header = 256 // bytes of a map beside its values
	if rows > c.limit()/(header+4*len(at)) {
		return c.tooBig("%d maps of %d values", rows, len(at))
	}
	x, all := model.Data[float32](c.In[0]), make([]float32, rows*len(at))
	out := &model.Tensor{DType: model.Sequence, Elem: model.Map, Elems: make([]*model.Tensor, rows)}
	for r := range rows {
		v := all[r*len(at):][:len(at):len(at)]
		for i, k := range at {
			v[i] = x[r*width+k]
		}
		out.Elems[r] = &model.Tensor{DType: model.Map, Elems: []*model.Tensor{sorted, model.Float32s(v, len(v))}}
	}
	c.Out[0] = out
	return nil
}

// mapTypes are what is known of the keys and values of an input.
func (f *Inference) mapTypes() (key, value model.DType) {
	return f.In[0].Key, elementOf(f.In[0]).DType
}

// given is the map of input 0. An engine that knows no types before it runs has checked nothing.
func (c *Call) given() (keys, values *model.Tensor, err error) {
	m := c.In[0]
	if m.DType != model.Map {
		return nil, nil, c.Bad("the input is %s, want a map", m.DType)
	}
	if err := m.Check(); err != nil {
		return nil, nil, c.Bad("%v", err)
	}
	return m.Elems[0], m.Elems[1], nil
}

// dictTypes are the values that a vocabulary of a type goes with.
var dictTypes = map[model.DType]Set{model.String: I64 | F32 | 1<<model.Float64, model.Int64: Text | F32 | 1<<model.Float64}

func inferDictVectorizer(f *Inference) error {
	l, err := labelsOf(f.Node, "int64_vocabulary", "string_vocabulary", f.BadAttr)
	if err != nil {
		return err
	}
	key, value := f.mapTypes()
	if key != model.Undefined && key != l.dtype() {
		return f.BadAttr("string_vocabulary", "is of %s, the keys are %s", l.dtype(), key)
	}
	if value != model.Undefined && !dictTypes[l.dtype()].Has(value) {
		return f.Bad("a map of %s to %s, allowed: %s", l.dtype(), value, dictTypes[l.dtype()])
	}
	f.Out[0] = model.TensorType(value, model.FixedShape(1, l.count()))
	return nil
}

// dictVectorizer gives a row of features: the value of each word of the vocabulary, 0 or "" where the map has none. A key
// that is no word is left out. The specification says a line, and that all keys are words; ONNX Runtime and what
// scikit-learn's converter puts behind it are as here.
func dictVectorizer(c *Call) error {
	l, err := labelsOf(c.Node, "int64_vocabulary", "string_vocabulary", c.badAttr)
	if err != nil {
		return err
	}
	keys, values, err := c.given()
	if err != nil {
		return err
	}
	if keys.DType != l.dtype() || !dictTypes[keys.DType].Has(values.DType) {
		return c.Bad("a map of %s to %s for a vocabulary of %s", keys.DType, values.DType, l.dtype())
	}
	y, err := c.make(values.DType, []int{1, l.count()})
	if err != nil {
		return err
	}
	words := model.NewTensor(l.dtype(), l.count())
	for i := range l.count() {
		l.put(words, i, i)
	}
	find := places(keys, true)
	for i := range l.count() {
		if k, ok := find(words, i); ok {
			copyElem(y, i, values, k)
		}
	}
	c.Out[0] = y
	return nil
}

var castTo = map[string]model.DType{"TO_FLOAT": model.Float32, "TO_STRING": model.String, "TO_INT64": model.Int64}

func inferCastMap(f *Inference) error {
	key, value := f.mapTypes()
	if key != model.Undefined && key != model.Int64 || value != model.Undefined && !(Text|F32).Has(value) {
		return f.Bad("a map of %s to %s, want int64 to string or float32", key, value)
	}
	count := model.Sym("")
	if f.Str("map_form") == "SPARSE" {
		n := f.Int("max_map")
		if n < 1 || n > maxDim {
			return f.BadAttr("max_map", "is %d", n)
		}
		count = model.Fixed(int(n))
	}
	f.Out[0] = model.TensorType(castTo[f.Str("cast_to")], model.Shape{model.Fixed(1), count})
	return nil
}

// castMap gives the values as a row, by ascending keys, or each at the place that its key says. What the specification
// leaves open is as in ONNX Runtime: two dimensions, numbers as text with six decimals, and "0.f" for text that is absent.
func castMap(c *Call) error {
	keys, values, err := c.given()
	if err != nil {
		return err
	}
	if keys.DType != model.Int64 || !(Text | F32).Has(values.DType) {
		return c.Bad("a map of %s to %s, want int64 to string or float32", keys.DType, values.DType)
	}
	sparse, n := c.Str("map_form") == "SPARSE", keys.Len()
	if sparse {
		n = int(c.Int("max_map"))
	}
	y, err := c.make(castTo[c.Str("cast_to")], []int{1, n})
	if err != nil {
		return err
	}
	if sparse {
		for i := range y.Strs {
			y.Strs[i] = "0.f"
		}
	}
	for i := range keys.Len() {
		at := i
		if sparse {
			k := keys.Int64At(i)
			if k < 0 || k >= int64(n) {
				return c.Bad("key %d is outside of max_map %d", k, n)
			}
			at = int(k)
		}
		if err := castMapValue(y, at, values, i); err != nil {
			return c.Bad("the value of key %d: %v", keys.Int64At(i), err)
		}
	}
	c.Out[0] = y
	return nil
}

func castMapValue(y *model.Tensor, at int, values *model.Tensor, i int) error {
	switch {
	case values.DType == model.String && y.DType == model.String:
		y.Strs[at] = values.Strs[i]
	case y.DType == model.String:
		y.Strs[at] = fmt.Sprintf("%.6f", values.Float64At(i))
	case values.DType == model.String && y.DType == model.Int64:
		v, err := strconv.ParseInt(values.Strs[i], 10, 64)
		y.SetInt64(at, v)
		return err
	case values.DType == model.String:
		v, err := strconv.ParseFloat(values.Strs[i], 32)
		y.SetFloat64(at, v)
		return err
	default:
		y.SetFloat64(at, values.Float64At(i))
	}
	return nil
}
