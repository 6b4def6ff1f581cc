package ops

import (
	"math"

	"fettle/model"
)

// classic is the domain of ONNX for machine learning without networks.
const classic = "ai.onnx.ml"

// mlFeatureOps: what prepares rows of features, and linear models over them. Where the specification is silent (signs under
// the root of L2, rows of one dimension, a transform of a single score) they follow ONNX Runtime.
func mlFeatureOps() []*Def {
	x := []Port{{Name: "X", Type: "T"}}
	numbers := map[string]Set{"T": F32 | 1<<model.Float64 | Index}
	floats := func(name string) AttrSpec { return AttrSpec{Name: name, Type: model.AttrFloats} }
	return []*Def{
		{Name: "Scaler", Domain: classic, Since: []int{1}, In: x, Out: []Port{{Name: "Y"}}, Types: numbers, Exact: Rounding,
			Attrs: []AttrSpec{floats("offset"), floats("scale")}, Infer: inferScaler, Eval: scaler},
		{Name: "Normalizer", Domain: classic, Since: []int{1}, In: x, Out: []Port{{Name: "Y"}}, Types: numbers, Exact: Rounding,
			Attrs: []AttrSpec{{Name: "norm", Type: model.AttrString, Default: "MAX", Enum: []string{"MAX", "L1", "L2"}}}, Infer: inferRows, Eval: normalizer},
		{Name: "Binarizer", Domain: classic, Since: []int{1}, In: x, Out: []Port{{Name: "Y"}}, Types: numbers,
			Attrs: []AttrSpec{{Name: "threshold", Type: model.AttrFloat, Default: float32(0)}}, Infer: inferSame, Eval: binarizer},
		{Name: "ArrayFeatureExtractor", Domain: classic, Since: []int{1}, In: []Port{{Name: "X", Type: "T"}, {Name: "Y", Type: "int64"}}, Out: []Port{{Name: "Z"}},
			Types: map[string]Set{"T": F32 | 1<<model.Float64 | Index | Text}, Infer: inferExtractor, Eval: extractor},
		{Name: "LinearRegressor", Domain: classic, Since: []int{1}, In: x, Out: []Port{{Name: "Y"}}, Types: numbers, Exact: Rounding,
			Attrs: []AttrSpec{floats("coefficients"), floats("intercepts"), transformAttr, {Name: "targets", Type: model.AttrInt, Default: int64(1)}},
			Infer: inferLinear, Eval: linearRegressor,
			Cost: func(f *Inference) Cost {
				x, ok := f.In[0].Shape.Ints()
				if !ok {
					return Cost{}
				}
				return Cost{MACs: int64(product(x)) * f.Int("targets"), Bytes: bytesOf(f)}
			}},
	}
}

var transformAttr = AttrSpec{Name: "post_transform", Type: model.AttrString, Default: "NONE", Enum: []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}}

// attrFloats is a list of floats; nil where it is absent.
func attrFloats(n *model.Node, name string) []float32 {
	if a := n.Attr(name); a != nil {
		return a.Floats
	}
	return nil
}

// rowsOf sees dims as rows of features: a line is one row. False for other ranks.
func rowsOf(dims []int) (n, features int, ok bool) {
	switch len(dims) {
	case 1:
		return 1, dims[0], true
	case 2:
		return dims[0], dims[1], true
	}
	return 0, 0, false
}

// inferRows: float32 of the input's shape, which is [N, C] or [C].
func inferRows(f *Inference) error {
	f.Out[0] = f.In[0]
	f.Out[0].DType = model.Float32
	return f.ranked(0, 1, 2)
}

func inferScaler(f *Inference) error {
	scale, offset := attrFloats(f.Node, "scale"), attrFloats(f.Node, "offset")
	if len(scale) == 0 || len(scale) != len(offset) {
		return f.BadAttr("scale", "has %d values and offset %d: want as many, one or one a feature", len(scale), len(offset))
	}
	if s := f.In[0].Shape; f.In[0].Ranked && len(s) > 0 {
		if c := s[len(s)-1]; len(scale) > 1 && c.Known() && c.N != len(scale) {
			return f.BadAttr("scale", "has %d values for %d features", len(scale), c.N)
		}
	}
	return inferRows(f)
}

func scaler(c *Call) error {
	scale, offset := attrFloats(c.Node, "scale"), attrFloats(c.Node, "offset")
	v := toFloat64(c.In[0])
	for i := range v {
		k := i % len(scale)
		v[i] = (v[i] - float64(offset[k])) * float64(scale[k])
	}
	var err error
	c.Out[0], err = c.fromFloat64(model.Float32, c.In[0].Shape, v)
	return err
}

// normalizer divides each row by its largest value, the sum of magnitudes, or the root of the sum of squares. A row whose
// divisor is 0 stays.
func normalizer(c *Call) error {
	v := toFloat64(c.In[0])
	n, width, _ := rowsOf(c.In[0].Shape)
	if width == 0 {
		n = 0
	}
	for r := range n {
		row := v[r*width:][:width]
		by := 0.0
		switch c.Str("norm") {
		case "MAX":
			by = math.Inf(-1)
			for _, e := range row {
				by = math.Max(by, e)
			}
		case "L1":
			for _, e := range row {
				by += math.Abs(e)
			}
		default:
			for _, e := range row {
				by += e * e
			}
			by = math.Sqrt(by)
		}
		for i := range row {
			if by != 0 {
				row[i] /= by
			}
		}
	}
	var err error
	c.Out[0], err = c.fromFloat64(model.Float32, c.In[0].Shape, v)
	return err
}

func binarizer(c *Call) error {
	v, t := toFloat64(c.In[0]), float64(c.Float("threshold"))
	for i := range v {
		if v[i] > t {
			v[i] = 1
		} else {
			v[i] = 0
		}
	}
	var err error
	c.Out[0], err = c.fromFloat64(c.In[0].DType, c.In[0].Shape, v)
	return err
}

// inferExtractor: the last dimension becomes the number of indices; a line becomes one row.
func inferExtractor(f *Inference) error {
	f.Out[0] = model.Type{DType: f.In[0].DType}
	if err := f.ranked(0, 1, anyRank); err != nil {
		return err
	}
	if !f.In[0].Ranked {
		return nil
	}
	count := model.Sym("")
	if n, ok := f.In[1].Shape.Ints(); ok && f.In[1].Ranked {
		count = model.Fixed(product(n))
		if count.N == 0 {
			return f.Bad("no index is given")
		}
	}
	s := f.In[0].Shape
	lead := append(model.Shape{}, s[:len(s)-1]...)
	if len(s) == 1 {
		lead = model.Shape{{N: 1}}
	}
	f.Out[0] = model.TensorType(f.In[0].DType, append(lead, count))
	return nil
}

func extractor(c *Call) error {
	x, at := c.In[0], ints64(c.In[1])
	width := x.Shape[len(x.Shape)-1]
	for _, k := range at {
		if k < 0 || k >= int64(width) {
			return c.Bad("index %d is outside %d features", k, width)
		}
	}
	dims := append(append([]int{}, x.Shape[:len(x.Shape)-1]...), len(at))
	if len(x.Shape) == 1 {
		dims = []int{1, len(at)}
	}
	y, err := c.make(x.DType, dims)
	if err != nil {
		return err
	}
	for i := range y.Len() {
		copyElem(y, i, x, i/len(at)*width+int(at[i%len(at)]))
	}
	c.Out[0] = y
	return nil
}

func inferLinear(f *Inference) error {
	targets, w, b := f.Int("targets"), len(attrFloats(f.Node, "coefficients")), len(attrFloats(f.Node, "intercepts"))
	if targets < 1 || w == 0 || int64(w)%targets != 0 {
		return f.BadAttr("coefficients", "%d values for %d targets", w, targets)
	}
	if b != 0 && int64(b) != targets {
		return f.BadAttr("intercepts", "has %d values for %d targets", b, targets)
	}
	f.Out[0] = model.Type{DType: model.Float32}
	if err := f.ranked(0, 1, 2); err != nil {
		return err
	}
	if !f.In[0].Ranked {
		return nil
	}
	s := f.In[0].Shape
	if k := s[len(s)-1]; k.Known() && int64(k.N)*targets != int64(w) {
		return f.BadAttr("coefficients", "%d values for %d features and %d targets", w, k.N, targets)
	}
	rows := model.Dim{N: 1}
	if len(s) == 2 {
		rows = s[0]
	}
	f.Out[0] = model.TensorType(model.Float32, model.Shape{rows, model.Fixed(int(targets))})
	return nil
}

// linearRegressor is y[n, t] = sum of x[n, k] w[t, k] over k, plus b[t].
func linearRegressor(c *Call) error {
	x, w, b := toFloat64(c.In[0]), attrFloats(c.Node, "coefficients"), attrFloats(c.Node, "intercepts")
	n, k, _ := rowsOf(c.In[0].Shape)
	targets := int(c.Int("targets"))
	y, err := c.make(model.Float32, []int{n, targets})
	if err != nil {
		return err
	}
	out := model.Data[float32](y)
	scores := make([]float64, targets)
	for r := range n {
		for t := range scores {
			scores[t] = 0
			if len(b) > 0 {
				scores[t] = float64(b[t])
			}
			for i := range k {
				scores[t] += x[r*k+i] * float64(w[t*k+i])
			}
		}
		transform(scores, c.Str("post_transform"))
		for t, s := range scores {
			out[r*targets+t] = float32(s)
		}
	}
	c.Out[0] = y
	return nil
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// transform turns a row of scores into what post_transform asks for. A single score stays, unless a probit is wanted, as in
// ONNX Runtime.
func transform(v []float64, how string) {
	if how == "PROBIT" {
		for i := range v {
			v[i] = probit(v[i])
		}
	}
	if len(v) < 2 {
		return
	}
	switch how {
	case "LOGISTIC":
		for i := range v {
			v[i] = logistic(v[i])
		}
	case "SOFTMAX", "SOFTMAX_ZERO": // the second leaves scores near 0 out
		most, sum := math.Inf(-1), 0.0
		for _, s := range v {
			most = math.Max(most, s)
		}
		for i, s := range v {
			if how == "SOFTMAX_ZERO" && math.Abs(s) <= 1e-7 {
				v[i] = s * math.Exp(-most)
			} else {
				v[i] = math.Exp(s - most)
			}
			sum += v[i]
		}
		for i := range v {
			if sum != 0 {
				v[i] /= sum
			}
		}
	}
}
