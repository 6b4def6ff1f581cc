package ops

import (
	"math"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
)

// recurrentOps: RNN, GRU and LSTM. One loop over directions, batch and time serves all three; a cell is one step.
func recurrentOps() []*Def {
	return []*Def{
		recurrentDef("RNN", 1, 1, rnnCell),
		recurrentDef("GRU", 3, 2, gruCell, AttrSpec{Name: "linear_before_reset", Type: model.AttrInt, Default: int64(0)}),
		recurrentDef("LSTM", 4, 3, lstmCell, AttrSpec{Name: "input_forget", Type: model.AttrInt, Default: int64(0)}),
	}
}

// cell holds what one direction of one node multiplies with, and the state of one batch entry.
type cell struct {
	in, hidden    int
	w, r          []float64 // [gates*hidden, in] and [gates*hidden, hidden]
	wb, rb        []float64 // biases of the two products
	peep          []float64 // LSTM: weights of the cell state in the gates i, o, f
	act           []func(float64) float64
	clip          float64
	linear        bool // GRU: the reset gate scales the product, not the state
	coupled       bool // LSTM: the forget gate is 1 - input gate
	h, c, scratch []float64
}

// input is row k of the two products with their biases, without activation.
func (s *cell) input(x []float64, k int) float64 { return s.fromX(x, k) + s.fromH(s.h, k) }

func (s *cell) fromX(x []float64, k int) float64 { return s.wb[k] + dot(s.w[k*s.in:][:s.in], x) }

func (s *cell) fromH(h []float64, k int) float64 {
	return s.rb[k] + dot(s.r[k*s.hidden:][:s.hidden], h)
}

// fire clips and applies activation i.
func (s *cell) fire(i int, v float64) float64 { return s.act[i](clamp(v, -s.clip, s.clip)) }

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func rnnCell(s *cell, x []float64) {
	for k := range s.hidden {
		s.scratch[k] = s.fire(0, s.input(x, k))
	}
	copy(s.h, s.scratch)
}

// gruCell: gates in the order update z, reset r, hidden h.
func gruCell(s *cell, x []float64) {
	n := s.hidden
	z, r, next := s.scratch[:n], s.scratch[n:2*n], s.scratch[2*n:3*n]
	for k := range n {
		z[k] = s.fire(0, s.input(x, k))
		r[k] = s.fire(0, s.input(x, n+k))
	}
	if !s.linear {
		for k := range n {
			r[k] *= s.h[k]
		}
	}
	for k := range n {
		var v float64
		if s.linear {
			v = s.fromX(x, 2*n+k) + r[k]*s.fromH(s.h, 2*n+k)
		} else {
			v = s.fromX(x, 2*n+k) + s.fromH(r, 2*n+k)
		}
		next[k] = (1-z[k])*s.fire(1, v) + z[k]*s.h[k]
	}
	copy(s.h, next)
}

// lstmCell: gates in the order input i, output o, forget f, cell c.
func lstmCell(s *cell, x []float64) {
	n := s.hidden
	next := s.scratch[:n]
	for k := range n {
		i := s.fire(0, s.input(x, k)+s.peep[k]*s.c[k])
		f := 1 - i
		if !s.coupled {
			f = s.fire(0, s.input(x, 2*n+k)+s.peep[2*n+k]*s.c[k])
		}
		c := f*s.c[k] + i*s.fire(1, s.input(x, 3*n+k))
		o := s.fire(0, s.input(x, n+k)+s.peep[n+k]*c)
		s.c[k] = c                // entry k of the old state is not read again: peepholes are diagonal
		next[k] = o * s.act[2](c) // the clip is for gates, as in ONNX Runtime
	}
	copy(s.h, next)
}

func recurrentDef(name string, gates, acts int, step func(*cell, []float64), more ...AttrSpec) *Def {
	d := &Def{Name: name, Since: []int{1, 7, 14, 22}, Exact: Rounding, Types: map[string]Set{"T": Floats},
		In: []Port{{Name: "X", Type: "T"}, {Name: "W", Type: "T"}, {Name: "R", Type: "T"}, {Name: "B", Type: "T", Opt: true},
			{Name: "sequence_lens", Type: "int32", Opt: true}, {Name: "initial_h", Type: "T", Opt: true}},
		Out: []Port{{Name: "Y", Opt: true}, {Name: "Y_h", Opt: true}},
		Attrs: append([]AttrSpec{{Name: "activation_alpha", Type: model.AttrFloats}, {Name: "activation_beta", Type: model.AttrFloats},
			{Name: "activations", Type: model.AttrStrings}, {Name: "clip", Type: model.AttrFloat},
			{Name: "direction", Type: model.AttrString, Default: "forward", Enum: []string{"forward", "reverse", "bidirectional"}},
			{Name: "hidden_size", Type: model.AttrInt}, {Name: "layout", Type: model.AttrInt, Default: int64(0)},
			{Name: "output_sequence", Type: model.AttrInt, Until: 7}}, more...)}
	if gates == 4 {
		d.In = append(d.In, Port{Name: "initial_c", Type: "T", Opt: true}, Port{Name: "P", Type: "T", Opt: true})
		d.Out = append(d.Out, Port{Name: "Y_c", Opt: true})
	}
	if gates == 3 { // linear_before_reset
		d.Since = []int{1, 3, 7, 14, 22}
	}
	d.Infer = func(f *Inference) error { return inferRecurrent(f, gates, acts) }
	d.Eval = func(c *Call) error { return evalRecurrent(c, gates, acts, step) }
	d.Cost = func(f *Inference) Cost {
		x, okX := f.In[0].Shape.Ints()
		r, okR := f.In[2].Shape.Ints()
		if !okX || !okR || len(x) != 3 || len(r) != 3 {
			return Cost{}
		}
		steps := int64(x[0]) * int64(x[1]) * int64(r[0]) * int64(r[1])
		return Cost{MACs: steps * int64(x[2]+r[2]), Ops: steps * 4, Bytes: bytesOf(f)}
	}
	return d
}

// room fails where a working buffer of float64 with the given dimensions would be too big. Dimensions beside a zero may be
// huge in a tensor that has no bytes, so loops over them ask here too.
func (c *Call) room(dims ...int) error {
	if n, err := model.Count(dims); err != nil || n > c.limit()/8 {
		return fail.New(fail.TooBig, "working on %v numbers takes more memory than is allowed", dims).At(fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
	}
	return nil
}

func directions(n *model.Node) int {
	if n.Str("direction", "forward") == "bidirectional" {
		return 2
	}
	return 1
}

// shaped fails where input i is known not to have the given dimensions; -1 stands for any.
func (f *Inference) shaped(i int, dims ...int) error {
	if !f.Has(i) || !f.In[i].Ranked {
		return nil
	}
	s := f.In[i].Shape
	ok := len(s) == len(dims)
	for k := 0; ok && k < len(dims); k++ {
		ok = dims[k] < 0 || !s[k].Known() || s[k].N == dims[k]
	}
	if !ok {
		return f.Bad("input %d (%s) has shape %s, want %s", i, port(f.Def.In, i).Name, s, wanted(dims))
	}
	return nil
}

func wanted(dims []int) model.Shape {
	s := make(model.Shape, len(dims))
	for i, d := range dims {
		s[i] = dimOf(d)
	}
	return s
}

func inferRecurrent(f *Inference, gates, acts int) error {
	dirs := directions(f.Node)
	layout := f.Int("layout")
	if layout != 0 && layout != 1 {
		return f.BadAttr("layout", "is %d, want 0 or 1", layout)
	}
	if _, err := activations(f, dirs*acts, gates); err != nil {
		return err
	}
	for i := range f.Out {
		f.Out[i] = model.Type{DType: f.In[0].DType}
	}
	for i := range 3 {
		if err := f.ranked(i, 3, 3); err != nil {
			return err
		}
	}
	batch, in, hidden := -1, -1, -1
	stepDim, batchDim := model.Sym(""), model.Sym("")
	if f.In[0].Ranked {
		s := f.In[0].Shape
		stepDim, batchDim = s[0], s[1]
		if layout == 1 {
			stepDim, batchDim = s[1], s[0]
		}
		batch, in = batchDim.N, s[2].N
	}
	if f.In[2].Ranked {
		hidden = f.In[2].Shape[2].N
	}
	if a := f.Node.Attr("hidden_size"); a != nil {
		if a.I < 1 || a.I > 1<<24 || hidden >= 0 && int64(hidden) != a.I {
			return f.BadAttr("hidden_size", "is %d, the recurrence weights have %d", a.I, hidden)
		}
		hidden = int(a.I)
	}
	rows := -1
	if hidden >= 0 {
		rows = gates * hidden
	}
	double := -1
	if rows >= 0 {
		double = 2 * rows
	}
	state := []int{dirs, batch, hidden}
	if layout == 1 {
		state = []int{batch, dirs, hidden}
	}
	checks := [][]int{1: {dirs, rows, in}, 2: {dirs, rows, hidden}, 3: {dirs, double}, 4: {batch}, 5: state}
	if gates == 4 {
		peep := -1
		if hidden >= 0 {
			peep = 3 * hidden
		}
		checks = append(checks, state, []int{dirs, peep})
	}
	for i := 1; i < len(checks); i++ {
		if err := f.shaped(i, checks[i]...); err != nil {
			return err
		}
	}
	if !f.In[0].Ranked {
		return nil
	}
	d, h := model.Fixed(dirs), dimOf(hidden)
	y, last := model.Shape{stepDim, d, batchDim, h}, model.Shape{d, batchDim, h}
	if layout == 1 {
		y, last = model.Shape{batchDim, stepDim, d, h}, model.Shape{batchDim, d, h}
	}
	for i := range f.Out {
		f.Out[i] = model.TensorType(f.In[0].DType, last)
	}
	if len(f.Out) > 0 {
		f.Out[0] = model.TensorType(f.In[0].DType, y)
	}
	return nil
}

func evalRecurrent(c *Call, gates, acts int, step func(*cell, []float64)) error {
	dirs := directions(c.Node)
	byBatch := c.Int("layout") == 1
	xs := c.In[0].Shape
	steps, batch, in := xs[0], xs[1], xs[2]
	if byBatch {
		steps, batch = batch, steps
	}
	hidden := c.In[2].Shape[2]
	if err := c.room(steps+1, batch+1, dirs*hidden+1); err != nil {
		return err
	}
	lens := make([]int, batch)
	for b := range lens {
		lens[b] = steps
		if c.Has(4) {
			n := c.In[4].Int64At(b)
			if n < 0 || n > int64(steps) {
				return c.Bad("sequence %d has length %d, the input has %d steps", b, n, steps)
			}
			lens[b] = int(n)
		}
	}
	funcs, err := activations(&Inference{Node: c.Node, Def: c.Def}, dirs*acts, gates)
	if err != nil {
		return err
	}
	x, w, r := toFloat64(c.In[0]), toFloat64(c.In[1]), toFloat64(c.In[2])
	part := func(i, d, size int) []float64 { // of one direction, zeros where absent
		if !c.Has(i) {
			return make([]float64, size)
		}
		return toFloat64(c.In[i])[d*size:][:size]
	}
	state := func(d, b int) int { // place of a state
		if byBatch {
			return (b*dirs + d) * hidden
		}
		return (d*batch + b) * hidden
	}
	initial := func(i, d, b int) []float64 {
		v := make([]float64, hidden)
		if c.Has(i) {
			for k := range v {
				v[k] = c.In[i].Float64At(state(d, b) + k)
			}
		}
		return v
	}
	y := make([]float64, steps*dirs*batch*hidden)
	lastH, lastC := make([]float64, dirs*batch*hidden), make([]float64, dirs*batch*hidden)
	for d := range dirs {
		s := cell{in: in, hidden: hidden, w: w[d*gates*hidden*in:], r: r[d*gates*hidden*hidden:], act: funcs[d*acts:], clip: math.Inf(1),
			linear: c.Node.Int("linear_before_reset", 0) != 0, coupled: c.Node.Int("input_forget", 0) != 0, scratch: make([]float64, 3*hidden)}
		if a := c.Node.Attr("clip"); a != nil {
			s.clip = float64(a.F)
		}
		bias := part(3, d, 2*gates*hidden)
		s.wb, s.rb = bias[:gates*hidden], bias[gates*hidden:]
		if gates == 4 {
			s.peep = part(7, d, 3*hidden)
		}
		reverse := d == 1 || c.Str("direction") == "reverse"
		for b := range batch {
			s.h = initial(5, d, b)
			if gates == 4 {
				s.c = initial(6, d, b)
			}
			for i := range lens[b] {
				t := i
				if reverse {
					t = lens[b] - 1 - i
				}
				at, to := t*batch+b, ((t*dirs+d)*batch+b)*hidden
				if byBatch {
					at, to = b*steps+t, ((b*steps+t)*dirs+d)*hidden
				}
				step(&s, x[at*in:][:in])
				copy(y[to:], s.h)
			}
			copy(lastH[state(d, b):], s.h)
			copy(lastC[state(d, b):], s.c)
		}
	}
	dims, last := []int{steps, dirs, batch, hidden}, []int{dirs, batch, hidden}
	if byBatch {
		dims, last = []int{batch, steps, dirs, hidden}, []int{batch, dirs, hidden}
	}
	for i, v := range [][]float64{y, lastH, lastC} {
		if i < len(c.Out) && c.Wants(i) {
			if c.Out[i], err = c.fromFloat64(c.In[0].DType, dims, v); err != nil {
				return err
			}
		}
		dims = last
	}
	return nil
}

// activations reads the functions of all directions; alpha and beta are used up in order by the functions that take them.
func activations(f *Inference, n, gates int) ([]func(float64) float64, error) {
	var names []string
	if a := f.Node.Attr("activations"); a != nil {
		for _, s := range a.Strings {
			names = append(names, string(s))
		}
	}
	if names == nil {
		def := map[int][]string{1: {"Tanh"}, 3: {"Sigmoid", "Tanh"}, 4: {"Sigmoid", "Tanh", "Tanh"}}[gates]
		for len(names) < n {
			names = append(names, def...)
		}
	}
	if len(names) != n {
		return nil, f.BadAttr("activations", "has %d functions, want %d", len(names), n)
	}
	list := func(name string) []float32 {
		if a := f.Node.Attr(name); a != nil {
			return a.Floats
		}
		return nil
	}
	alphas, betas := list("activation_alpha"), list("activation_beta")
	next := func(l *[]float32) func(float64) float64 {
		return func(def float64) float64 {
			if len(*l) == 0 {
				return def
			}
			v := (*l)[0]
			*l = (*l)[1:]
			return float64(v)
		}
	}
	out := make([]func(float64) float64, n)
	for i, name := range names {
		if out[i] = functionNamed(name, next(&alphas), next(&betas)); out[i] == nil {
			return nil, f.BadAttr("activations", "%q is no function of the specification", name)
		}
	}
	return out, nil
}

// functionNamed is an activation function of the recurrent operators, nil where there is none of that name. It asks for
// the numbers that it takes, with their defaults.
func functionNamed(name string, alpha, beta func(def float64) float64) func(float64) float64 {
	switch strings.ToLower(name) {
	case "relu":
		return func(x float64) float64 { return math.Max(x, 0) }
	case "tanh":
		return math.Tanh
	case "sigmoid":
		return func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	case "softsign":
		return func(x float64) float64 { return x / (1 + math.Abs(x)) }
	case "softplus":
		return softplus
	case "affine":
		a, b := alpha(1), beta(0)
		return func(x float64) float64 { return a*x + b }
	case "scaledtanh":
		a, b := alpha(1), beta(1)
		return func(x float64) float64 { return a * math.Tanh(b*x) }
	case "hardsigmoid":
		a, b := alpha(0.2), beta(0.5)
		return func(x float64) float64 { return clamp(a*x+b, 0, 1) }
	case "leakyrelu":
		a := alpha(0.01)
		return func(x float64) float64 {
			if x < 0 {
				return a * x
			}
			return x
		}
	case "thresholdedrelu":
		a := alpha(1)
		return func(x float64) float64 {
			if x > a {
				return x
			}
			return 0
		}
	case "elu":
		a := alpha(1)
		return func(x float64) float64 {
			if x < 0 {
				return a * math.Expm1(x)
			}
			return x
		}
	}
	return nil
}
