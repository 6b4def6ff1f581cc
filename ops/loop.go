package ops

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// loopOps: subgraphs run again and again.
func loopOps() []*Def {
	return []*Def{loopDef, scanDef}
}

const anything = Any | Seq | Maybe

// loopDef: body(iteration, condition, carried...) gives (condition, carried..., scan outputs...).
var loopDef = &Def{
	Name: "Loop", Since: []int{1, 11, 13, 16, 19, 21, 23, 24},
	In:    []Port{{Name: "M", Type: "int64", Opt: true}, {Name: "cond", Type: "bool", Opt: true}, {Name: "v_initial", Type: "*V", Opt: true, Many: true}},
	Out:   []Port{{Name: "v_final_and_scan_outputs", Opt: true, Many: true}},
	Types: map[string]Set{"*V": anything},
	Attrs: []AttrSpec{{Name: "body", Type: model.AttrGraph, Required: true}},
	Infer: inferLoop,
	Eval:  evalLoop,
}

// carried checks the body of a Loop and gives the numbers of carried values and scan outputs.
func carried(n *model.Node) (*model.Graph, int, int, error) {
	g := n.Attr("body").G
	k := max(0, len(n.Inputs)-2)
	bad := func(format string, args ...any) error {
		return fail.New(fail.Invalid, format, args...).At(fail.Where{Node: string(n.ID), Op: n.Op, Attr: "body"})
	}
	if len(g.Inputs) != k+2 {
		return nil, 0, 0, bad("has %d inputs, want iteration, condition and %d carried values", len(g.Inputs), k)
	}
	if len(g.Outputs) < k+1 {
		return nil, 0, 0, bad("has %d outputs, want condition and %d carried values at least", len(g.Outputs), k)
	}
	scans := len(g.Outputs) - 1 - k
	if len(n.Outputs) > k+scans {
		return nil, 0, 0, bad("makes %d values, the node has %d outputs", k+scans, len(n.Outputs))
	}
	return g, k, scans, nil
}

// single fails where input i is known to have other than one element.
func (f *Inference) single(i int) error {
	if !f.Has(i) || !f.In[i].Ranked {
		return nil
	}
	if dims, ok := f.In[i].Shape.Ints(); ok && product(dims) != 1 {
		return f.Bad("input %d (%s) has shape %s, want one number", i, port(f.Def.In, i).Name, f.In[i].Shape)
	}
	return nil
}

func inferLoop(f *Inference) error {
	g, k, _, err := carried(f.Node)
	if err != nil {
		return err
	}
	for i := range 2 {
		if err := f.single(i); err != nil {
			return err
		}
	}
	in := make([]model.Type, k+2)
	in[0], in[1] = scalarLike(model.Int64, g.Inputs[0].Type), scalarLike(model.Bool, g.Inputs[1].Type)
	for i := range k {
		in[2+i] = f.input(2 + i)
	}
	// What an iteration changes in a type is not known of the following ones: forget it and look again until nothing moves.
	var out []model.Type
	for round := 0; ; round++ {
		if out, err = f.Sub(g, in); err != nil {
			return err
		}
		moved := false
		for i := range k {
			next := common(in[2+i], out[1+i])
			if next.String() != in[2+i].String() {
				in[2+i], moved = next, true
			}
		}
		if !moved {
			break
		}
		if round == 4 {
			for i := range k {
				in[2+i] = model.Type{}
			}
		}
		if round > 5 {
			return f.Bad("the types that the body hands from one iteration to the next do not settle")
		}
	}
	for i := range f.Out {
		if i < k {
			f.Out[i] = in[2+i]
			continue
		}
		t := out[1+i]
		if t.Ranked {
			t.Shape = append(model.Shape{model.Sym("")}, t.Shape...)
		}
		f.Out[i] = t
	}
	return nil
}

// scalarLike is a single number in the rank that a body declares: files have both [] and [1].
func scalarLike(d model.DType, declared model.Type) model.Type {
	t := model.TensorType(d, model.Shape{})
	if declared.Ranked {
		for range declared.Shape {
			t.Shape = append(t.Shape, model.Fixed(1))
		}
	}
	return t
}

func scalarValue[T int64 | bool](d model.DType, v T, declared model.Type) *model.Tensor {
	dims, _ := scalarLike(d, declared).Shape.Ints()
	return model.FromSlice(d, []T{v}, dims...)
}

func evalLoop(c *Call) error {
	g, k, scans, err := carried(c.Node)
	if err != nil {
		return err
	}
	if c.Sub == nil {
		return c.Unsupported("a Loop outside of a graph")
	}
	most := int64(math.MaxInt64)
	if c.Has(0) {
		most = c.In[0].Int64At(0)
	}
	goOn := !c.Has(1) || c.In[1].Raw[0] != 0
	state := make([]*model.Tensor, k)
	for i := range state {
		if !c.Has(2 + i) {
			return c.Bad("carried value %d is absent", i)
		}
		state[i] = c.In[2+i]
	}
	rows := make([]stack, scans)
	for iter := int64(0); iter < most && goOn; iter++ {
		args := append([]*model.Tensor{scalarValue(model.Int64, iter, g.Inputs[0].Type), scalarValue(model.Bool, goOn, g.Inputs[1].Type)}, state...)
		out, err := c.Sub(g, args)
		if err != nil {
			return err
		}
		if out[0].DType != model.Bool || out[0].Len() != 1 {
			return c.Bad("the body's condition is %s%v, want one bool", out[0].DType, out[0].Shape)
		}
		goOn = out[0].Raw[0] != 0
		state = out[1 : 1+k]
		for i := range rows {
			if err := rows[i].push(c, out[1+k+i]); err != nil {
				return err
			}
		}
	}
	for i := range c.Out {
		if i < k {
			c.Out[i] = state[i]
			continue
		}
		t, err := rows[i-k].join(c, 0, g.Outputs[1+i].Type)
		if err != nil {
			return err
		}
		c.Out[i] = t
	}
	return nil
}

// stack collects tensors of one shape and joins them along a new axis.
type stack struct {
	rows  []*model.Tensor
	bytes int
}

func (s *stack) push(c *Call, t *model.Tensor) error {
	if t.DType == model.Sequence || t.None {
		return c.Bad("a scan output is no tensor")
	}
	if len(s.rows) > 0 && (t.DType != s.rows[0].DType || !sameDims(t.Shape, s.rows[0].Shape)) {
		return c.Bad("a scan output is %s%v, before it was %s%v", t.DType, t.Shape, s.rows[0].DType, s.rows[0].Shape)
	}
	if s.bytes += len(t.Raw) + 16*len(t.Strs) + 64; s.bytes > c.limit() {
		return fail.New(fail.TooBig, "the joined tensors take more memory than is allowed").At(fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
	}
	s.rows = append(s.rows, t)
	return nil
}

// join stacks the rows along axis; without rows the declared type of one gives dtype and dimensions, unknown ones are 0.
func (s *stack) join(c *Call, axisAttr int64, declared model.Type) (*model.Tensor, error) {
	d, dims := declared.DType, []int{}
	if len(s.rows) > 0 {
		d, dims = s.rows[0].DType, s.rows[0].Shape
	} else {
		for _, n := range sizes(declared.Shape, 0) {
			dims = append(dims, max(n, 0))
		}
		if !d.Valid() {
			d = model.Float32
		}
	}
	axis, ok := axisOf(axisAttr, len(dims)+1)
	if !ok {
		return nil, c.Bad("axis %d of a scan output of rank %d", axisAttr, len(dims)+1)
	}
	full := append(append(append([]int{}, dims[:axis]...), len(s.rows)), dims[axis:]...)
	y, err := c.make(d, full)
	if err != nil {
		return nil, err
	}
	outer, inner := product(dims[:axis]), product(dims[axis:])
	for k, t := range s.rows {
		for o := range outer {
			copyRun(y, (o*len(s.rows)+k)*inner, t, o*inner, inner)
		}
	}
	return y, nil
}

// scanDef: body(states..., slices...) gives (states..., slices...). Opset 8 has a batch axis, and lengths as first input.
var scanDef = &Def{
	Name: "Scan", Since: []int{8, 9, 11, 16, 19, 21, 23, 24},
	In:    []Port{{Name: "initial_state_and_scan_inputs", Type: "*V", Opt: true, Many: true}},
	Out:   []Port{{Name: "final_state_and_scan_outputs", Opt: true, Many: true}},
	Types: map[string]Set{"*V": Any},
	Attrs: []AttrSpec{{Name: "body", Type: model.AttrGraph, Required: true}, {Name: "num_scan_inputs", Type: model.AttrInt, Required: true},
		{Name: "directions", Type: model.AttrInts, Until: 9}, {Name: "scan_input_axes", Type: model.AttrInts}, {Name: "scan_input_directions", Type: model.AttrInts},
		{Name: "scan_output_axes", Type: model.AttrInts}, {Name: "scan_output_directions", Type: model.AttrInts}},
	Infer: inferScan,
	Eval:  evalScan,
}

// scan is the form of a Scan node.
type scan struct {
	body            *model.Graph
	first           int // place of the first state among the inputs
	states, ins     int
	outs            int
	inAxes, outAxes []int64
	inBack, outBack []bool
	batched         bool
}

func scanOf(n *model.Node, opset int) (*scan, error) {
	bad := func(attr, format string, args ...any) error {
		return fail.New(fail.Invalid, format, args...).At(fail.Where{Node: string(n.ID), Op: n.Op, Attr: attr})
	}
	s := &scan{body: n.Attr("body").G, batched: opset > 0 && opset < 9}
	if s.batched {
		s.first = 1
	}
	m := n.Int("num_scan_inputs", 0)
	if m < 1 || m > int64(len(n.Inputs)-s.first) {
		return nil, bad("num_scan_inputs", "is %d, the node has %d inputs", m, len(n.Inputs)-s.first)
	}
	s.ins = int(m)
	s.states = len(n.Inputs) - s.first - s.ins
	s.outs = len(s.body.Outputs) - s.states
	if len(s.body.Inputs) != s.states+s.ins {
		return nil, bad("body", "has %d inputs, want %d states and %d slices", len(s.body.Inputs), s.states, s.ins)
	}
	if s.outs < 0 || len(n.Outputs) > s.states+s.outs {
		return nil, bad("body", "has %d outputs, the node has %d with %d states", len(s.body.Outputs), len(n.Outputs), s.states)
	}
	for i := s.first; i < len(n.Inputs); i++ {
		if n.Inputs[i] == "" {
			return nil, bad("", "input %d is absent", i)
		}
	}
	list := func(name string, count int) ([]int64, error) {
		v := n.Ints(name)
		if v == nil {
			return make([]int64, count), nil
		}
		if len(v) != count {
			return nil, bad(name, "has %d numbers, want %d", len(v), count)
		}
		return v, nil
	}
	back := func(name string, count int) ([]bool, error) {
		v, err := list(name, count)
		if err != nil {
			return nil, err
		}
		out := make([]bool, count)
		for i, d := range v {
			if d != 0 && d != 1 {
				return nil, bad(name, "has %d, want 0 or 1", d)
			}
			out[i] = d == 1
		}
		return out, nil
	}
	var err error
	if s.inAxes, err = list("scan_input_axes", s.ins); err != nil {
		return nil, err
	}
	if s.outAxes, err = list("scan_output_axes", s.outs); err != nil {
		return nil, err
	}
	name := "scan_input_directions"
	if s.batched {
		name = "directions"
	}
	if s.inBack, err = back(name, s.ins); err != nil {
		return nil, err
	}
	s.outBack, err = back("scan_output_directions", s.outs)
	return s, err
}

func inferScan(f *Inference) error {
	s, err := scanOf(f.Node, f.Opset)
	if err != nil {
		return err
	}
	in := make([]model.Type, s.states+s.ins)
	length, lead := model.Sym(""), model.Shape(nil)
	for i := range in {
		t := f.input(s.first + i)
		if !t.Ranked {
			in[i] = model.Type{DType: t.DType}
			continue
		}
		shape := t.Shape
		if s.batched {
			if len(shape) == 0 {
				return f.Bad("input %d is a scalar and has no batch axis", i)
			}
			lead, shape = shape[:1], shape[1:]
		}
		if i >= s.states {
			k := i - s.states
			axis, ok := axisOf(s.inAxes[k], len(shape))
			if !ok {
				return f.BadAttr("scan_input_axes", "axis %d of an input of rank %d", s.inAxes[k], len(shape))
			}
			n := shape[axis]
			if length.Known() && n.Known() && n.N != length.N {
				return f.Bad("the scan inputs have %d and %d slices", length.N, n.N)
			}
			if !length.Known() {
				length = n
			}
			shape = append(append(model.Shape{}, shape[:axis]...), shape[axis+1:]...)
		}
		in[i] = model.TensorType(t.DType, shape)
	}
	if s.batched && f.Has(0) && f.In[0].DType != model.Undefined && f.In[0].DType != model.Int64 {
		return f.Bad("the lengths are %s, want int64", f.In[0].DType)
	}
	if s.batched && lead == nil {
		lead = model.Shape{model.Sym("")}
	}
	out, err := f.Sub(s.body, in)
	if err != nil {
		return err
	}
	for i := range f.Out {
		t := out[i]
		switch {
		case !t.Ranked || t.Kind != model.KindTensor:
		case i < s.states:
			t = common(in[i], t)
			if t.Ranked {
				t.Shape = append(append(model.Shape{}, lead...), t.Shape...)
			}
		default:
			axis, ok := axisOf(s.outAxes[i-s.states], len(t.Shape)+1)
			if !ok {
				return f.BadAttr("scan_output_axes", "axis %d of an output of rank %d", s.outAxes[i-s.states], len(t.Shape)+1)
			}
			full := append(append(model.Shape{}, lead...), t.Shape[:axis]...)
			t.Shape = append(append(full, length), t.Shape[axis:]...)
		}
		f.Out[i] = t
	}
	return nil
}

func evalScan(c *Call) error {
	s, err := scanOf(c.Node, c.Opset)
	if err != nil {
		return err
	}
	if c.Sub == nil {
		return c.Unsupported("a Scan outside of a graph")
	}
	in := c.In[s.first:]
	if !s.batched {
		out, err := s.run(c, in, -1)
		copy(c.Out, out)
		return err
	}
	batch := -1
	for _, t := range in {
		if len(t.Shape) == 0 || batch >= 0 && t.Shape[0] != batch {
			return c.Bad("the inputs have batches of different sizes")
		}
		batch = t.Shape[0]
	}
	if c.Has(0) && c.In[0].Len() != batch {
		return c.Bad("%d lengths for a batch of %d", c.In[0].Len(), batch)
	}
	if batch == 0 {
		return c.Unsupported("a Scan over an empty batch")
	}
	all := make([]stack, len(c.Out))
	for b := range batch {
		one := make([]*model.Tensor, len(in))
		for i, t := range in {
			one[i] = sliceOf(t, 0, b)
		}
		n := -1
		if c.Has(0) {
			n = int(c.In[0].Int64At(b))
		}
		out, err := s.run(c, one, n)
		if err != nil {
			return err
		}
		for i := range all {
			if err := all[i].push(c, out[i]); err != nil {
				return err
			}
		}
	}
	for i := range all {
		if c.Out[i], err = all[i].join(c, 0, model.Type{}); err != nil {
			return err
		}
	}
	return nil
}

// run scans n slices of in, all where n is negative. Scan outputs of shorter runs end in zeros.
func (s *scan) run(c *Call, in []*model.Tensor, n int) ([]*model.Tensor, error) {
	state := in[:s.states]
	length := -1
	axes := make([]int, s.ins)
	for i, t := range in[s.states:] {
		a, ok := axisOf(s.inAxes[i], len(t.Shape))
		if !ok || length >= 0 && t.Shape[a] != length {
			return nil, c.Bad("the scan inputs do not have the same number of slices along their axes")
		}
		axes[i], length = a, t.Shape[a]
	}
	if n > length {
		return nil, c.Bad("a length of %d, the scan inputs have %d slices", n, length)
	}
	if n < 0 {
		n = length
	}
	rows := make([]stack, s.outs)
	for k := range n {
		args := append([]*model.Tensor{}, state...)
		for i, t := range in[s.states:] {
			at := k
			if s.inBack[i] {
				at = n - 1 - k
			}
			args = append(args, sliceOf(t, axes[i], at))
		}
		out, err := c.Sub(s.body, args)
		if err != nil {
			return nil, err
		}
		state = out[:s.states]
		for i := range rows {
			if err := rows[i].push(c, out[s.states+i]); err != nil {
				return nil, err
			}
		}
	}
	out := append([]*model.Tensor{}, state...)
	for i := range rows {
		if s.outBack[i] {
			r := rows[i].rows
			for a, b := 0, len(r)-1; a < b; a, b = a+1, b-1 {
				r[a], r[b] = r[b], r[a]
			}
		}
		for len(rows[i].rows) > 0 && len(rows[i].rows) < length {
			if err := rows[i].push(c, model.NewTensor(rows[i].rows[0].DType, rows[i].rows[0].Shape...)); err != nil {
				return nil, err
			}
		}
		t, err := rows[i].join(c, s.outAxes[i], s.body.Outputs[s.states+i].Type)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// sliceOf is index i of an axis, without the axis.
func sliceOf(t *model.Tensor, axis, i int) *model.Tensor {
	dims := append(append([]int{}, t.Shape[:axis]...), t.Shape[axis+1:]...)
	y := model.NewTensor(t.DType, dims...)
	inner := product(t.Shape[axis+1:])
	for o := range product(t.Shape[:axis]) {
		copyRun(y, o*inner, t, (o*t.Shape[axis]+i)*inner, inner)
	}
	return y
}
