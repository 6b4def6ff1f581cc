// Package ops owns what operators mean: for each one its schema, shape rule, reference kernel, cost and, where
// it is a fused operator of Fettle, its expansion into standard operators. One literal Def says it all; one
// file holds a family; the table below has one line a family.
//
// It knows models and tensors, not files, plans or speed. The reference kernels are plain loops: they are the
// oracle for every fast path, the fallback where there is none, and what folds constants. Start reading at Def.
package ops

import (
	"sort"
	"sync"

	"fettle/internal/fail"
	"fettle/model"
)

// Def describes one operator of one domain over all its versions.
type Def struct {
	Name   string
	Domain string // "" is ai.onnx
	Since  []int  // opset versions that changed it, ascending; the first is where it appeared
	Until  int    // first opset that no longer has it; 0: still there
	In     []Port
	Out    []Port
	Types  map[string]Set // type variables that the ports name
	Attrs  []AttrSpec
	Infer  func(*Inference) error // shapes and types of the outputs
	Eval   func(*Call) error      // reference kernel; nil: not supported, said so with the name
	Exact  Exactness
	Cost   func(*Inference) Cost                      // nil: element-wise, one operation an output element
	Expand func(*model.Node) (*model.Function, error) // for domain fettle: the same in standard operators
}

// Port is an input or output.
type Port struct {
	Name string
	Type string // a type variable of Types, or a set written as the name of one dtype: "int64"
	Opt  bool   // may be absent
	Many bool   // the last port may repeat (variadic); Opt with Many allows zero
}

// AttrSpec is an attribute of an operator.
type AttrSpec struct {
	Name     string
	Type     model.AttrType
	Required bool
	Default  any      // int64, float32, string, []int64, []float32, or nil
	Enum     []string // allowed values of a string
	Until    int      // first opset that no longer has it; 0: still there
}

// Exactness says how far a fast kernel may be from the reference.
type Exactness uint8

// The kinds of exactness.
const (
	BitExact Exactness = iota // same bits: data movement, integers, comparisons
	Rounding                  // floating-point rounding of a sum or formula
	Random                    // draws; only shape, type and statistics are comparable
)

// Cost is what one application of an operator takes.
type Cost struct {
	MACs  int64 // multiply-accumulates; other arithmetic counts half an operation each in Ops
	Ops   int64 // simple operations that are no multiply-accumulate
	Bytes int64 // activations read and written plus weights read, in bytes
}

// Set is a set of dtypes.
type Set uint64

// SetOf makes a set.
func SetOf(ds ...model.DType) Set {
	var s Set
	for _, d := range ds {
		switch d {
		case model.Sequence:
			s |= Seq
		case model.Map:
			s |= Maps
		default:
			s |= 1 << d
		}
	}
	return s
}

// Has reports whether d is in s.
func (s Set) Has(d model.DType) bool {
	switch d {
	case model.Sequence:
		return s&Seq != 0
	case model.Map:
		return s&Maps != 0
	}
	return d < 60 && s>>d&1 == 1
}

// Sets of dtypes that many operators allow.
const (
	F32     Set = 1 << model.Float32
	Floats  Set = 1<<model.Float32 | 1<<model.Float64 | 1<<model.Float16 | 1<<model.BFloat16
	Float8s Set = 1<<model.Float8E4M3FN | 1<<model.Float8E4M3FNUZ | 1<<model.Float8E5M2 | 1<<model.Float8E5M2FNUZ
	Signed  Set = 1<<model.Int8 | 1<<model.Int16 | 1<<model.Int32 | 1<<model.Int64
	Unsig   Set = 1<<model.Uint8 | 1<<model.Uint16 | 1<<model.Uint32 | 1<<model.Uint64
	Ints    Set = Signed | Unsig
	Int4s   Set = 1<<model.Int4 | 1<<model.Uint4
	Numeric Set = Floats | Ints
	Complex Set = 1<<model.Complex64 | 1<<model.Complex128
	BoolSet Set = 1 << model.Bool
	Text    Set = 1 << model.String
	Index   Set = 1<<model.Int32 | 1<<model.Int64
	I64     Set = 1 << model.Int64
	E8M0    Set = 1 << model.Float8E8M0
	Any     Set = Numeric | Complex | BoolSet | Text | Float8s | Int4s | 1<<model.Float4E2M1 | E8M0
	Seq     Set = 1 << 60
	Maybe   Set = 1 << 61 // optionals; one that is not empty is its content
	Maps    Set = 1 << 62
)

func (s Set) hasMaybe() bool { return s&Maybe != 0 }

// families is the table of operators: one line a file.
var families = []func() []*Def{
	controlOps,
	quantOps,
	qlinearOps,
	microsoftOps,
	msConvOps,
	msMatMulOps,
	msQuantOps,
	msNormOps,
	msAttentionOps,
	msMiscOps,
	mlFeatureOps,
	mlTreeOps,
	mlModelOps,
	mlEncodeOps,
	mlMapOps,
	castOps,
	recurrentOps,
	attentionOps,
	loopOps,
	sequenceOps,
	lossOps,
	randomOps,
	einsumOps,
	signalOps,
	detectOps,
	gridSampleOps,
	textOps,
	descentOps,
	eltwiseOps,
	activationOps,
	convOps,
	deformOps,
	matmulOps,
	poolOps,
	shapeOps,
	indexOps,
	scatterOps,
	padOps,
	reduceOps,
	searchOps,
	fusedOps,
	normOps,
	resizeOps,
	imageOps,
	decodeOps,
}

type key struct{ domain, name string }

var table = sync.OnceValue(func() map[key]*Def {
	t := map[key]*Def{}
	for _, f := range families {
		for _, d := range f() {
			k := key{d.Domain, d.Name}
			if t[k] != nil {
				panic("ops: two definitions of " + d.Domain + ":" + d.Name)
			}
			t[k] = d
		}
	}
	return t
})

// All lists every operator by domain and name.
func All() []*Def {
	var out []*Def
	for _, d := range table() {
		out = append(out, d)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Domain != out[j].Domain {
			return out[i].Domain < out[j].Domain
		}
		return out[i].Name < out[j].Name
	})
	return out
}

// Lookup finds the operator of a node at an opset version. fail.Unsupported names operator and version.
func Lookup(domain, name string, opset int) (*Def, error) {
	if domain == "ai.onnx" {
		domain = ""
	}
	d := table()[key{domain, name}]
	full := name
	if domain != "" {
		full = domain + ":" + name
	}
	if d == nil || d.Eval == nil {
		return nil, fail.New(fail.Unsupported, "operator %s is not supported", full).At(fail.Where{Op: full})
	}
	if opset > 0 && opset < d.Since[0] {
		return nil, fail.New(fail.Invalid, "operator %s exists since opset %d, the model imports %d", full, d.Since[0], opset).At(fail.Where{Op: full})
	}
	if d.Until > 0 && opset >= d.Until {
		return nil, fail.New(fail.Invalid, "operator %s ended with opset %d, the model imports %d", full, d.Until-1, opset).At(fail.Where{Op: full})
	}
	return d, nil
}

// Call is one application of an operator to tensors. Eval reads In and fills Out; a nil In is an absent
// optional input. Out has one place for each output of the node; unnamed ones may stay nil.
// Inputs were checked against the schema and by Infer before Eval is called.
type Call struct {
	Node  *model.Node
	Def   *Def
	Opset int
	In    []*model.Tensor
	Out   []*model.Tensor
	Sub   Runner // runs subgraphs; nil outside an evaluator
	Train bool   // BatchNormalization and Dropout in training mode
	Limit int    // most bytes of one output; 0: 2 GB
}

// Runner runs a subgraph of the node with the given inputs; outer names are resolved by the runner.
type Runner func(g *model.Graph, in []*model.Tensor) ([]*model.Tensor, error)

// Has reports whether input i is there.
func (c *Call) Has(i int) bool { return i < len(c.In) && c.In[i] != nil }

// Wants reports whether output i has a name, so somebody may read it.
func (c *Call) Wants(i int) bool { return i < len(c.Node.Outputs) && c.Node.Outputs[i] != "" }

// Int is an integer attribute with the schema's default.
func (c *Call) Int(name string) int64 { return attrInt(c.Node, c.Def, name) }

// Float is a float attribute with the schema's default.
func (c *Call) Float(name string) float32 { return attrFloat(c.Node, c.Def, name) }

// Str is a string attribute with the schema's default.
func (c *Call) Str(name string) string { return attrStr(c.Node, c.Def, name) }

// Ints is an integer list attribute with the schema's default.
func (c *Call) Ints(name string) []int64 { return attrInts(c.Node, c.Def, name) }

// Inference is one application of an operator to types. Infer reads In and fills Out.
type Inference struct {
	Node  *model.Node
	Def   *Def
	Opset int
	In    []model.Type
	Out   []model.Type
	Const func(i int) *model.Tensor // the value of input i where it is a known constant, else nil
	Sub   func(g *model.Graph, in []model.Type) ([]model.Type, error)
}

// Has reports whether input i is connected.
func (f *Inference) Has(i int) bool { return i < len(f.Node.Inputs) && f.Node.Inputs[i] != "" }

// Value is the constant of input i or nil; it is safe for absent inputs.
func (f *Inference) Value(i int) *model.Tensor {
	if f.Const == nil || !f.Has(i) {
		return nil
	}
	return f.Const(i)
}

// Int is an integer attribute with the schema's default.
func (f *Inference) Int(name string) int64 { return attrInt(f.Node, f.Def, name) }

// Float is a float attribute with the schema's default.
func (f *Inference) Float(name string) float32 { return attrFloat(f.Node, f.Def, name) }

// Str is a string attribute with the schema's default.
func (f *Inference) Str(name string) string { return attrStr(f.Node, f.Def, name) }

// Ints is an integer list attribute with the schema's default.
func (f *Inference) Ints(name string) []int64 { return attrInts(f.Node, f.Def, name) }

// Bad is a fail.Invalid at the node.
func (f *Inference) Bad(format string, args ...any) error {
	return fail.New(fail.Invalid, format, args...).At(fail.Where{Node: string(f.Node.ID), Op: f.Node.Op})
}

// BadAttr is a fail.Invalid at an attribute of the node.
func (f *Inference) BadAttr(attr, format string, args ...any) error {
	return fail.New(fail.Invalid, format, args...).At(fail.Where{Node: string(f.Node.ID), Op: f.Node.Op, Attr: attr})
}

// Bad is a fail.Invalid at the node.
func (c *Call) Bad(format string, args ...any) error {
	return fail.New(fail.Invalid, format, args...).At(fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
}

// Unsupported is a fail.Unsupported at the node.
func (c *Call) Unsupported(format string, args ...any) error {
	return fail.New(fail.Unsupported, format, args...).At(fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
}

func spec(d *Def, name string) *AttrSpec {
	for i := range d.Attrs {
		if d.Attrs[i].Name == name {
			return &d.Attrs[i]
		}
	}
	panic("ops: " + d.Name + " has no attribute " + name + " in its schema")
}

func attrInt(n *model.Node, d *Def, name string) int64 {
	s := spec(d, name)
	if a := n.Attr(name); a != nil {
		return a.I
	}
	v, _ := s.Default.(int64)
	return v
}

func attrFloat(n *model.Node, d *Def, name string) float32 {
	s := spec(d, name)
	if a := n.Attr(name); a != nil {
		return a.F
	}
	v, _ := s.Default.(float32)
	return v
}

func attrStr(n *model.Node, d *Def, name string) string {
	s := spec(d, name)
	if a := n.Attr(name); a != nil {
		return string(a.S)
	}
	v, _ := s.Default.(string)
	return v
}

func attrInts(n *model.Node, d *Def, name string) []int64 {
	s := spec(d, name)
	if a := n.Attr(name); a != nil {
		return a.Ints
	}
	v, _ := s.Default.([]int64)
	return v
}
