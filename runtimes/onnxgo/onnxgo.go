// Package onnxgo joins Fettle's engine with onnx-go: the engine is a backend of that library, so that its users can run on
// it, and the library is an independent second decoder that tests hold our reader against.
//
// onnx-go hands over neither opset, domain nor node names, refuses 8-bit weights and subgraphs, and panics on some files;
// it is never Fettle's loader and never in the board's agent. Start reading at Backend; decode.go is the second decoder.
package onnxgo

import (
	"context"
	"strconv"

	"github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gorgonia.org/tensor"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/runtimes"
)

// Node is a value of the graph: onnx-go makes one node for each name.
type Node struct {
	b    *Backend
	id   int64
	name string
	t    tensor.Tensor
	fed  bool // set after the graph was decoded: an input, not a weight
	want tensor.Dtype
	told bool // the file declares the type want
}

// ID is the node's place in order of appearance.
func (n *Node) ID() int64 { return n.id }

// SetName is called by onnx-go with the value's name.
func (n *Node) SetName(s string) { n.name = s }

// GetName is the value's name.
func (n *Node) GetName() string { return n.name }

// SetTensor is called by onnx-go with an empty tensor for every declared value, then with weights, then, after the
// operations, with inputs.
func (n *Node) SetTensor(t tensor.Tensor) error {
	if !n.told && t != nil {
		n.want, n.told = t.Dtype(), true
	}
	n.t, n.fed = t, n.fed || len(n.b.ops) > 0
	return nil
}

// GetTensor gives the value after Run.
func (n *Node) GetTensor() tensor.Tensor { return n.t }

// operation is one application of an operator.
type operation struct {
	onnx.Operation
	in, out []*Node
}

// Backend implements onnx-go's backend.ComputationBackend on a runtime. One model a backend; one goroutine uses it.
type Backend struct {
	*simple.WeightedDirectedGraph
	rt     runtimes.Runtime
	nodes  []*Node
	inputs map[int64][]*Node // of each output, by position, until its operation arrives
	ops    []operation
}

// New makes a backend that runs on rt.
func New(rt runtimes.Runtime) *Backend {
	return &Backend{WeightedDirectedGraph: simple.NewWeightedDirectedGraph(0, 0), rt: rt, inputs: map[int64][]*Node{}}
}

// NewNode makes a value.
func (b *Backend) NewNode() graph.Node { return &Node{b: b, id: int64(len(b.nodes))} }

// AddNode keeps a value.
func (b *Backend) AddNode(n graph.Node) {
	if v, ok := n.(*Node); ok {
		b.nodes = append(b.nodes, v)
	}
	b.WeightedDirectedGraph.AddNode(n)
}

// NewWeightedEdge makes the edge from an output to an input.
func (b *Backend) NewWeightedEdge(from, to graph.Node, w float64) graph.WeightedEdge {
	return simple.WeightedEdge{F: from, T: to, W: w}
}

// maxInputs bounds the position of an input, which comes from the file.
const maxInputs = 1 << 16

// SetWeightedEdge notes that the output e.From reads e.To at position e.Weight. The positions are kept here: gonum's
// graph has one edge between two nodes and no edge to the same node, and Mul(x, x) needs both.
func (b *Backend) SetWeightedEdge(e graph.WeightedEdge) {
	from, to := e.From().ID(), e.To().ID()
	pos := int(e.Weight())
	v, ok := e.To().(*Node)
	if !ok || pos < 0 || pos > maxInputs {
		return
	}
	list := b.inputs[from]
	for len(list) <= pos {
		list = append(list, nil)
	}
	list[pos] = v
	b.inputs[from] = list
	if from != to {
		b.WeightedDirectedGraph.SetWeightedEdge(e)
	}
}

// ApplyOperation notes one operation, in the order of the file.
func (b *Backend) ApplyOperation(op onnx.Operation, outs ...graph.Node) error {
	o := operation{Operation: op}
	for _, n := range outs {
		v, ok := n.(*Node)
		if !ok {
			return fail.New(fail.Internal, "a node of another backend")
		}
		o.out = append(o.out, v)
	}
	if len(o.out) > 0 {
		o.in = b.inputs[o.out[0].id]
	}
	b.ops = append(b.ops, o)
	return nil
}

// opsets are tried in this order, because onnx-go does not say which one a file imports: the first under which every
// node fits its schema is taken. The library was written for opset 9.
var opsets = []int64{9, 10, 8, 11, 7, 6, 5, 13, 17}

// Run computes every value that the file declares or that nothing reads. It gives onnx.ErrNotImplemented for what the
// engine does not support.
func (b *Backend) Run() error {
	var first error
	for _, opset := range opsets {
		err := b.run(opset)
		if err == nil {
			return nil
		}
		if first == nil || fail.Is(first, fail.Invalid) && fail.Is(err, fail.Unsupported) {
			first = err
		}
		if !fail.Is(err, fail.Invalid) && !fail.Is(err, fail.Unsupported) {
			break
		}
	}
	if fail.Is(first, fail.Unsupported) {
		return &onnx.ErrNotImplemented{Operator: fail.From(first).Where.Op, Message: first.Error()}
	}
	return first
}

func (b *Backend) run(opset int64) error {
	m, inputs, err := b.model(opset)
	if err != nil {
		return err
	}
	ctx := context.Background() // onnx-go's Run has no context
	s, err := b.rt.Prepare(ctx, m, runtimes.NewOptions())
	if err != nil {
		return err
	}
	out, err := runtimes.Run(ctx, s, inputs)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	for _, n := range b.nodes {
		if t := out[valueName(n)]; t != nil {
			if n.t, err = toGorgonia(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// declared converts t to the type that the file declares for n, where no value changes by it: users of onnx-go, and its
// suite, give indices as float32.
func (n *Node) declared(t *model.Tensor) (*model.Tensor, error) {
	if n.t.Dtype() == n.want {
		return t, nil
	}
	empty, err := fromGorgonia(tensor.New(tensor.Of(n.want), tensor.WithShape(1)))
	if err != nil {
		return nil, err
	}
	out := model.NewTensor(empty.DType, t.Shape...)
	for i := range t.Len() {
		v := t.Float64At(i)
		if out.DType.Float() {
			out.SetFloat64(i, v)
		} else {
			out.SetInt64(i, int64(v))
		}
		if out.Float64At(i) != v {
			return nil, fail.New(fail.Invalid, "the file declares %s, the tensor given holds %g", out.DType, v)
		}
	}
	return out, nil
}

// valueName is unique even where a file repeats a name; onnx-go shares one node between all empty names.
func valueName(n *Node) string { return strconv.FormatInt(n.id, 10) + ":" + n.name }

// model builds our form of what arrived. Inputs with a tensor become inputs: weights and inputs look the same here.
func (b *Backend) model(opset int64) (*model.Model, map[string]*model.Tensor, error) {
	bd := model.NewBuilder("onnx-go", opset)
	made, read := map[*Node]bool{}, map[*Node]bool{}
	for _, o := range b.ops {
		for _, n := range o.out {
			made[n] = true
		}
		for _, n := range o.in {
			read[n] = true
		}
	}
	inputs, given := map[string]*model.Tensor{}, map[*Node]bool{}
	for _, n := range b.nodes {
		if made[n] || n.t == nil || n.name == "" || !read[n] {
			continue
		}
		t, err := fromGorgonia(n.t)
		if err == nil {
			t, err = n.declared(t)
		}
		if err != nil {
			return nil, nil, fail.In(err, "", fail.Where{Tensor: n.name})
		}
		given[n] = true
		if n.fed {
			inputs[bd.Input(valueName(n), t.DType, model.FixedShape(t.Shape...))] = t
		} else {
			bd.Const(valueName(n), t)
		}
	}
	for i, o := range b.ops {
		attrs, err := attributes(o.Attributes)
		if err != nil {
			return nil, nil, fail.In(err, "", fail.Where{Op: o.Name})
		}
		var in []string
		for _, n := range o.in {
			if n == nil || n.name == "" || !given[n] && !made[n] {
				in = append(in, "") // absent, or the input that onnx-go invents for an operator that has none
				continue
			}
			in = append(in, valueName(n))
		}
		for len(in) > 0 && in[len(in)-1] == "" {
			in = in[:len(in)-1]
		}
		var out []string
		for _, n := range o.out {
			if n.name == "" {
				out = append(out, "")
				continue
			}
			out = append(out, valueName(n))
		}
		bd.Add(&model.Node{Name: o.Name + "_" + strconv.Itoa(i), Op: o.Name, Inputs: in, Outputs: out, Attrs: attrs})
	}
	for _, n := range b.nodes {
		if made[n] && n.name != "" && (n.t != nil || !read[n]) {
			bd.OutputOf(model.Value{Name: valueName(n)})
		}
	}
	m, err := bd.Model()
	if err != nil {
		return nil, nil, err
	}
	return m, inputs, nil
}

// Recover turns a panic of onnx-go, which some files cause, into fail.Corrupt. Use: defer Recover(&err).
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = fail.New(fail.Corrupt, "onnx-go stopped with a panic: %v", p).Try("open the file with Fettle's own reader")
	}
}
