package tflite

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
)

// Facts are what the writer has to know of a model beyond the file: package ops finds them.
type Facts struct {
	Types  map[string]model.Type    // of every value; sizes have to be numbers
	Consts map[string]*model.Tensor // initializers, and values that are computed from them
	// Ranges are the least and the largest element of graph outputs that integer layers make without a declared grid. With one the layer stays
	// in integers, else it runs in floats.
	Ranges map[string][2]float32
}

// Write writes m as a TensorFlow Lite file and says in notes what an expert would want to know: inputs whose layout changed, layers that
// left the integers. What the format has no operator for is fail.Unsupported, naming the node.
//
// Values of four dimensions that convolutions, pools and resizes touch are stored with channels last (NHWC), graph inputs and outputs too.
func Write(w io.Writer, m *model.Model, facts Facts) (notes []string, err error) {
	if m.Source != nil && m.Source.Format == "tflite" {
		_, err := w.Write(m.Source.Bytes)
		return nil, err
	}
	e := &exporter{m: m, g: m.Graph, facts: facts, f: &file{name: m.Graph.Name, description: "Fettle"}, vals: map[string]*value{}, done: map[model.NodeID]bool{}, consts: map[string]int32{}}
	if err := e.graph(); err != nil {
		return nil, err
	}
	b, err := e.f.encode()
	if err != nil {
		return nil, err
	}
	_, err = w.Write(b)
	return e.summary(), err
}

type exporter struct {
	m      *model.Model
	g      *model.Graph
	facts  Facts
	f      *file
	last   map[string]bool // values that are stored with channels last
	vals   map[string]*value
	done   map[model.NodeID]bool
	consts map[string]int32 // tensors of small constants, by their contents
	notes  []string
	floats []string // layers between integers that run in floats
	moves  []string // nodes for which a value is transposed
	err    error    // the first constant that cannot be written
}

// value is one value of the graph: a constant, or tensors of the file that hold it as floats, as integers, or both.
type value struct {
	name  string
	dims  []int
	last  bool // stored [N, H, W, C]
	plain int32
	ints  int32
	grid  *grid         // of ints
	other [2]int32      // plain and ints in the other layout
	data  *model.Tensor // a constant, in the order of ONNX
	raw   *packedConst  // a constant given as integers
	hwc   []int         // [C, H, W]: two dimensions that a flattened picture left in the order H, W, C
}

// grid is the type and the step of the integers of a value.
type grid struct {
	dtype int8
	scale float32
	zero  int64
}

func (g *grid) same(o *grid) bool { return g != nil && o != nil && *g == *o }

func (g *grid) quant() *quant {
	if g == nil {
		return nil
	}
	return &quant{scale: []float32{g.scale}, zero: []int64{g.zero}}
}

// packedConst is a constant behind a DequantizeLinear.
type packedConst struct {
	t     *model.Tensor
	scale []float32
	zero  []int64
	axis  int
}

const none = int32(-1)

// step is a node on its way into the file: with the activation function that is fused into it and the value that comes out.
type step struct {
	n    *model.Node
	act  int8
	out  string
	grid *grid  // that the result is wanted on, nil: floats
	post string // activation function that follows as an operator of its own
}

func (st *step) where() fail.Where { return fail.Where{Node: string(st.n.ID), Op: opName(st.n)} }

func (st *step) unsupported(format string, args ...any) error {
	return fail.New(fail.Unsupported, format, args...).At(st.where()).Doing("convert to TensorFlow Lite")
}

func opName(n *model.Node) string {
	if n.Domain == "" {
		return n.Op
	}
	return n.Domain + ":" + n.Op
}

func (e *exporter) graph() error {
	e.layout()
	for _, in := range e.g.Free() {
		if err := e.input(in); err != nil {
			return err
		}
	}
	for _, n := range e.g.Nodes {
		if e.done[n.ID] || e.constantNode(n) {
			continue
		}
		write, ok := exports[opName(n)]
		st := &step{n: n}
		if !ok || len(n.Outputs) == 0 {
			return fail.In(fail.New(fail.Unsupported, "the format has no such operator, or Fettle does not write it").Try("replace the layer, or cut it off with --extract"), "convert to TensorFlow Lite", st.where())
		}
		e.prepare(st)
		err := write(e, st)
		if err == nil {
			err = e.err
		}
		if err != nil {
			return fail.In(err, "convert to TensorFlow Lite", st.where())
		}
	}
	for _, o := range e.g.Outputs {
		if err := e.output(o); err != nil {
			return err
		}
	}
	return e.err
}

// refuse keeps the first error of what is written on the way to a node.
func (e *exporter) refuse(err error) {
	if e.err == nil {
		e.err = err
	}
}

// constantNode reports whether all that n makes is known already.
func (e *exporter) constantNode(n *model.Node) bool {
	if opName(n) == "DequantizeLinear" {
		return false // its integers are wanted, not what they stand for
	}
	for _, o := range n.Outputs {
		if o != "" && e.facts.Consts[o] == nil {
			return false
		}
	}
	return true
}

// dims is the shape of a value, all sizes known.
func (e *exporter) dims(name string) ([]int, error) {
	t, ok := e.facts.Types[name]
	if !ok || !t.Ranked {
		return nil, fail.New(fail.Unsupported, "the shape of the value is not known").At(fail.Where{Tensor: name}).Try("fix the inputs' shapes (--shape)")
	}
	d, ok := t.Shape.Ints()
	if !ok {
		return nil, fail.New(fail.Unsupported, "the value has the shape %s; a TensorFlow Lite file needs numbers", t.Shape).At(fail.Where{Tensor: name}).Try("fix the inputs' shapes (--shape)")
	}
	return d, nil
}

// dtype is the element type that a value has in the file where it is not on a grid.
func (e *exporter) dtype(name string) (int8, error) {
	d := e.facts.Types[name].DType
	for k, v := range dtypes {
		if v == d && k != typeFloat16 && k != typeFloat64 { // constants of these become float32
			return k, nil
		}
	}
	return 0, fail.New(fail.Unsupported, "values of type %s are not written", d).At(fail.Where{Tensor: name})
}

func (e *exporter) input(in model.Value) error {
	dims, err := e.dims(in.Name)
	if err != nil {
		return err
	}
	dt, err := e.dtype(in.Name)
	if err != nil {
		return err
	}
	v := &value{name: in.Name, dims: dims, last: e.last[in.Name], plain: none, ints: none, other: [2]int32{none, none}}
	t := tensor{name: in.Name, shape: stored(dims, v.last), dtype: dt}
	at := e.tensor(t)
	e.f.inputs = append(e.f.inputs, at)
	e.vals[in.Name] = v
	if v.last {
		e.notes = append(e.notes, fmt.Sprintf("input %s is read with channels last: %v", in.Name, t.shape))
	}
	if v.plain = at; dt != typeUint8 && dt != typeInt8 && dt != typeInt16 {
		return nil
	}
	// A picture of bytes that a DequantizeLinear reads: its grid is the tensor's.
	for _, u := range e.g.Users(in.Name) {
		if g := e.gridOf(u); g != nil && u.Op == "DequantizeLinear" {
			outer := *g
			if dt == typeUint8 {
				outer.dtype, outer.zero = typeUint8, g.zero+128
			}
			e.f.tensors[at].quant = outer.quant()
			v.plain, v.grid, v.ints = none, g, at
			if dt == typeUint8 {
				v.ints = e.tensor(tensor{name: in.Name + "_int8", shape: t.shape, dtype: typeInt8, quant: g.quant()})
				e.op(opQuantize, 1, []int32{at}, []int32{v.ints}, 0, nil)
			}
			return nil
		}
	}
	return nil
}

func (e *exporter) output(o model.Value) error {
	v, err := e.value(o.Name)
	if err != nil {
		return err
	}
	want, err := e.dtype(o.Name)
	if err != nil {
		return err
	}
	asInts := v.grid != nil && want != typeFloat32
	at := e.in(v, asInts, v.last)
	if asInts && want == typeUint8 {
		outer := grid{typeUint8, v.grid.scale, v.grid.zero + 128}
		t := e.tensor(tensor{name: o.Name, shape: e.f.tensors[at].shape, dtype: typeUint8, quant: outer.quant()})
		e.op(opQuantize, 1, []int32{at}, []int32{t}, 0, nil)
		at = t
	}
	if !slices.Contains(e.f.inputs, at) && !slices.Contains(e.f.outputs, at) {
		for i := range e.f.tensors { // the name is the output's alone
			if e.f.tensors[i].name == o.Name {
				e.f.tensors[i].name += "_inner"
			}
		}
		e.f.tensors[at].name = o.Name
	}
	e.f.outputs = append(e.f.outputs, at)
	if v.last {
		e.notes = append(e.notes, fmt.Sprintf("output %s is written with channels last: %v", o.Name, e.f.tensors[at].shape))
	}
	return nil
}

// value finds what holds a value of the graph; constants get their tensor when they are first read.
func (e *exporter) value(name string) (*value, error) {
	if v := e.vals[name]; v != nil {
		return v, nil
	}
	t := e.facts.Consts[name]
	if t == nil {
		return nil, fail.New(fail.Internal, "nothing holds the value").At(fail.Where{Tensor: name})
	}
	v := &value{name: name, dims: t.Shape, plain: none, ints: none, other: [2]int32{none, none}, data: t}
	e.vals[name] = v
	return v, nil
}

// inputs are the values that the node reads, nil for absent ones.
func (e *exporter) inputs(n *model.Node) ([]*value, error) {
	out := make([]*value, len(n.Inputs))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		v, err := e.value(name)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (e *exporter) tensor(t tensor) int32 {
	e.f.tensors = append(e.f.tensors, t)
	return int32(len(e.f.tensors) - 1)
}

func (e *exporter) op(c code, version int32, in, out []int32, tag uint8, o options) {
	e.f.ops = append(e.f.ops, operator{code: c, version: version, inputs: in, outputs: out, tag: tag, options: o})
}

// ints32 is a constant of int32, shared by all that read the same numbers.
func (e *exporter) ints32(name string, v ...int32) int32 {
	key := fmt.Sprint(v)
	if at, ok := e.consts[key]; ok {
		return at
	}
	t := model.FromSlice(model.Int32, v, len(v))
	e.consts[key] = e.tensor(tensor{name: name, shape: []int32{int32(len(v))}, dtype: typeInt32, data: t.Raw})
	return e.consts[key]
}

// in gives the tensor that holds v, as integers or as floats, in the layout asked for; what is missing is computed in front.
func (e *exporter) in(v *value, ints, last bool) int32 {
	slot, other := &v.plain, &v.other[0]
	if ints {
		slot, other = &v.ints, &v.other[1]
	}
	if *slot == none {
		switch {
		case v.data != nil || v.raw != nil:
			*slot = e.constant(v, ints)
		case ints:
			panic("tflite: integers of " + v.name + " are not there")
		default:
			*slot = e.tensor(tensor{name: v.name, shape: stored(v.dims, v.last), dtype: typeFloat32})
			e.op(opDequantize, opVersion(opDequantize, v.grid), []int32{v.ints}, []int32{*slot}, 0, nil)
		}
	}
	if last == v.last || len(v.dims) != 4 {
		return *slot
	}
	if *other == none {
		from := e.f.tensors[*slot]
		*other = e.tensor(tensor{name: v.name + suffix(last), shape: stored(v.dims, last), dtype: from.dtype, quant: from.quant})
		e.relay(*slot, *other, v.dims, last, v.grid)
	}
	return *other
}

// relay copies a value of four dimensions into the other layout.
func (e *exporter) relay(from, to int32, dims []int, last bool, g *grid) {
	if e.f.tensors[from].dtype == typeFloat32 {
		g = nil
	}
	if dims[1] == 1 || dims[2]*dims[3] == 1 {
		shape := stored(dims, last)
		e.op(opReshape, 1, []int32{from, e.ints32("shape", shape...)}, []int32{to}, tagReshape, options{0: shape})
		return
	}
	perm := []int32{0, 3, 1, 2}
	if last {
		perm = []int32{0, 2, 3, 1}
	}
	e.moves = append(e.moves, e.f.tensors[from].name)
	e.op(opTranspose, opVersion(opTranspose, g), []int32{from, e.ints32("perm", perm...)}, []int32{to}, 0, nil)
}

func suffix(last bool) string {
	if last {
		return "_nhwc"
	}
	return "_nchw"
}

// stored is the shape in the file.
func stored(dims []int, last bool) []int32 {
	out := make([]int32, len(dims))
	for i, d := range dims {
		out[i] = int32(d)
	}
	if last && len(dims) == 4 {
		out = []int32{out[0], out[2], out[3], out[1]}
	}
	return out
}

// axis is the place of a dimension in the file.
func axis(a int, last bool) int32 {
	if last {
		return []int32{0, 3, 1, 2}[a]
	}
	return int32(a)
}

// summary adds what is told in one line to the notes.
func (e *exporter) summary() []string {
	if len(e.floats) > 0 {
		e.notes = append(e.notes, fmt.Sprintf("in floats between integers: %s (%d)", some(e.floats), len(e.floats)))
	}
	if len(e.moves) > 0 {
		e.notes = append(e.notes, fmt.Sprintf("transposed values: %s (%d)", some(e.moves), len(e.moves)))
	}
	return e.notes
}

// some is the list with at most four entries spelled out.
func some(l []string) string {
	if len(l) > 4 {
		return strings.Join(l[:4], ", ") + ", …"
	}
	return strings.Join(l, ", ")
}

func itoa(n int) string { return strconv.Itoa(n) }
