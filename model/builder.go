package model

import (
	"strconv"

	"fettle/internal/fail"
)

// Builder makes a model node by node. Errors are kept and returned by Model.
type Builder struct {
	m    *Model
	n    int
	used map[string]bool
}

// NewBuilder starts an empty model of the given ai.onnx opset and IR version 8 (or what the opset needs).
func NewBuilder(name string, opset int64) *Builder {
	ir := int64(8)
	switch {
	case opset >= 23:
		ir = 11
	case opset >= 21:
		ir = 10
	case opset >= 19:
		ir = 9
	}
	return &Builder{m: &Model{IRVersion: ir, Producer: "fettle", Opsets: []Opset{{"", opset}}, Graph: &Graph{Name: name}}, used: map[string]bool{}}
}

// Import adds an operator set.
func (b *Builder) Import(domain string, version int64) *Builder {
	b.m.Opsets = append(b.m.Opsets, Opset{domain, version})
	return b
}

// Meta adds a metadata entry.
func (b *Builder) Meta(key, value string) *Builder {
	b.m.Metadata = append(b.m.Metadata, KV{key, value})
	return b
}

// Function adds a model-local function.
func (b *Builder) Function(f *Function) *Builder {
	b.m.Functions = append(b.m.Functions, f)
	return b
}

// Input declares a graph input and gives its name.
func (b *Builder) Input(name string, d DType, shape Shape) string {
	b.used[name] = true
	b.m.Graph.Inputs = append(b.m.Graph.Inputs, Value{Name: name, Type: TensorType(d, shape)})
	return name
}

// Const adds an initializer and gives its name; a name in use gets a number.
func (b *Builder) Const(name string, t *Tensor) string {
	name = b.fresh(name)
	b.m.Graph.Inits = append(b.m.Graph.Inits, &Init{Name: name, Tensor: t})
	return name
}

func (b *Builder) fresh(name string) string {
	for base, k := name, 2; name == "" || b.used[name]; k++ {
		name = base + "_" + strconv.Itoa(k)
	}
	b.used[name] = true
	return name
}

// Node adds an operator with one output and gives the output's name. domain and op as "Conv" or "fettle:Conv".
func (b *Builder) Node(op, name string, inputs []string, attrs ...Attr) string {
	return b.NodeN(op, name, inputs, 1, attrs...)[0]
}

// NodeN adds an operator with n outputs.
func (b *Builder) NodeN(op, name string, inputs []string, n int, attrs ...Attr) []string {
	domain := ""
	for i := range op {
		if op[i] == ':' {
			domain, op = op[:i], op[i+1:]
			break
		}
	}
	if name == "" {
		name = op + "_" + strconv.Itoa(b.n)
	}
	b.n++
	outs := make([]string, n)
	for i := range outs {
		o := name + "_out"
		if i > 0 {
			o += strconv.Itoa(i)
		}
		outs[i] = b.fresh(o)
	}
	b.m.Graph.Nodes = append(b.m.Graph.Nodes, &Node{Name: name, Op: op, Domain: domain, Inputs: inputs, Outputs: outs, Attrs: attrs})
	return outs
}

// Output declares value as a graph output. To name it otherwise use an Identity.
func (b *Builder) Output(value string, d DType, shape Shape) {
	b.m.Graph.Outputs = append(b.m.Graph.Outputs, Value{Name: value, Type: TensorType(d, shape)})
}

// Add adds a node as it is: its outputs keep their names.
func (b *Builder) Add(n *Node) {
	b.n++
	for _, o := range n.Outputs {
		b.used[o] = true
	}
	b.m.Graph.Nodes = append(b.m.Graph.Nodes, n)
}

// OutputOf declares an output whose type may be unknown.
func (b *Builder) OutputOf(v Value) { b.m.Graph.Outputs = append(b.m.Graph.Outputs, v) }

// Model assigns ids, checks the graph and returns the model. The builder must not be used again.
func (b *Builder) Model() (*Model, error) {
	AssignIDs(b.m.Graph, "")
	if err := b.m.Graph.Check(nil); err != nil {
		return nil, fail.In(err, "build "+b.m.Graph.Name, fail.Where{})
	}
	return b.m, nil
}

// IntAttr makes an integer attribute.
func IntAttr(name string, v int64) Attr { return Attr{Name: name, Type: AttrInt, I: v} }

// FloatAttr makes a float attribute.
func FloatAttr(name string, v float32) Attr { return Attr{Name: name, Type: AttrFloat, F: v} }

// StrAttr makes a string attribute.
func StrAttr(name, v string) Attr { return Attr{Name: name, Type: AttrString, S: []byte(v)} }

// IntsAttr makes an integer list attribute.
func IntsAttr(name string, v ...int64) Attr { return Attr{Name: name, Type: AttrInts, Ints: v} }

// FloatsAttr makes a float list attribute.
func FloatsAttr(name string, v ...float32) Attr { return Attr{Name: name, Type: AttrFloats, Floats: v} }

// TensorAttr makes a tensor attribute.
func TensorAttr(name string, t *Tensor) Attr { return Attr{Name: name, Type: AttrTensor, T: t} }

// GraphAttr makes a subgraph attribute.
func GraphAttr(name string, g *Graph) Attr { return Attr{Name: name, Type: AttrGraph, G: g} }

// RefAttr makes an attribute of a function body that takes the value of the function's attribute ref.
func RefAttr(name string, t AttrType, ref string) Attr { return Attr{Name: name, Type: t, Ref: ref} }
