// Package engine runs models: it compiles one into a Plan (kernel chosen for each node, weights packed, buffers
// placed in an arena), and a Session runs the plan and times its steps.
//
// It reads no files and knows nothing of passes, profiles or boards. What it does on its own (layout, packing,
// kernel choice, quantized islands to integers) is visible in Plan.Steps and never changes the model. Start reading at
// Compile; lower.go has the state of a compilation, lower_<family>.go the rows that choose kernels.
package engine

import (
	"context"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/ops"
)

// Options decide what a plan is for.
type Options struct {
	Threads  int              // workers, at least 1
	Features cpu.Features     // processor the kernels are chosen for
	Shapes   map[string][]int // shapes of inputs; an unknown dimension of an input that is not here becomes 1
	Types    map[string]model.DType
	Verify   bool    // every buffer is poisoned before it is written, so that a wrong lifetime shows
	Small    bool    // no kernel whose packed weights exceed the model's by more than a third
	Fast     bool    // products may err by 1e-5 of the largest output of their layer (conv.FastError)
	Half     bool    // sums of up to 64 products may be made in half precision, errors up to conv.HalfError of the largest output of their layer
	Scores   []Score // of this processor, by MeasureScores; none: kernels are chosen by the rules of their tables
	Room     int64   // bytes that packed weights may take: a plan that needs more is made Small; 0 for any
}

// Step is one executed unit of a plan, as profiles show it.
type Step struct {
	ID     string
	Name   string // label of the node that gives the step its name
	Op     string
	Nodes  []model.NodeID // nodes of the compiled model that the step covers
	Origin []model.NodeID // imported nodes that those stand for
	Kernel string         // row that was chosen, f32_conv_14x32__avx512f; "reference" for the plain kernel
	Why    string         // what was measured where scores chose the row, "" where the rules did
	DType  string
	MACs   int64
	Bytes  int64

	Window, Strides []int // of a convolution: kernel sizes and strides; nil for others
}

// Free is a node that costs nothing at run time, and why: "constant" (computed while compiling), "view" (the output is
// the input's memory), "in place" (the parts of a concatenation were written where they belong).
type Free struct {
	Node model.NodeID
	Why  string
}

// Plan is a compiled model for fixed input shapes. It is immutable; sessions share its packed weights.
type Plan struct {
	Model      *model.Model
	Options    Options
	Steps      []Step
	Free       []Free        // every node is in exactly one Step.Nodes or here
	Inputs     []model.Value // with the fixed shapes
	Outputs    []model.Value
	ArenaBytes int   // planned peak of activations and scratch
	PackBytes  int64 // packed weights
	FloorBytes int   // bytes of buffers alive at once at the busiest step: no placement can need less
	Prepared   bool  // the packed weights lie in a mapped file

	steps   []*step
	inputs  []*value
	outputs []*value
	values  map[string]*value
	buffers []*buffer // with a place in the arena
	slots   int
	arena   int
	rec     *recording                                                  // nil where Prepared
	compile func(context.Context, *model.Model, Options) (*Plan, error) // of subgraphs, once their shapes are known
}

// Compile chooses kernels for every node of m. It fails with fail.Unsupported naming all operators that have neither
// kernel nor reference, and fail.Invalid naming the node that its schema refuses.
func Compile(ctx context.Context, m *model.Model, opt Options) (*Plan, error) {
	if opt.Threads < 1 {
		return nil, fail.New(fail.Usage, "%d threads", opt.Threads).Try("give at least 1")
	}
	m, err := ops.WithGradients(m)
	if err != nil {
		return nil, err
	}
	m, err = inline(m)
	if err != nil {
		return nil, err
	}
	return compile(ctx, m, opt, nil)
}

// compile makes the plan of a model without functions to expand, from a prepared file where prep is not nil.
func compile(ctx context.Context, m *model.Model, opt Options, prep *replay) (*Plan, error) {
	types, err := inputTypes(m, opt)
	if err != nil {
		return nil, err
	}
	inf, missing, err := ops.Infer(m, types)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, unsupported(missing)
	}
	l := newLowering(ctx, m, inf, opt, types, prep)
	if err := l.run(); err != nil {
		return nil, err
	}
	if !opt.Small && opt.Room > 0 && l.packs > opt.Room {
		opt.Small = true
		return compile(ctx, m, opt, prep)
	}
	p, err := l.finish()
	if err != nil {
		return nil, err
	}
	p.compile = Compile
	return p, nil
}

func unsupported(nodes []*model.Node) error {
	seen := map[string]bool{}
	names := ""
	for _, n := range nodes {
		op := n.Op
		if n.Domain != "" {
			op = n.Domain + ":" + op
		}
		if !seen[op] {
			seen[op] = true
			if names != "" {
				names += ", "
			}
			names += op
		}
	}
	return fail.New(fail.Unsupported, "no kernel for %s", names).At(fail.Where{Node: string(nodes[0].ID), Op: names})
}

// inputTypes fixes the shape of every input that a caller gives.
func inputTypes(m *model.Model, opt Options) (map[string]model.Type, error) {
	out := map[string]model.Type{}
	for name := range opt.Shapes {
		if m.Graph.Input(name) == nil {
			return nil, fail.New(fail.Invalid, "the model has no such input").At(fail.Where{Tensor: name})
		}
	}
	for _, v := range m.Graph.Inputs {
		dims, given := opt.Shapes[v.Name]
		if !given && m.Graph.Init(v.Name) != nil {
			continue
		}
		t := v.Type
		if t.Kind != model.KindTensor {
			out[v.Name] = t
			continue
		}
		if d, ok := opt.Types[v.Name]; ok {
			if t.DType != model.Undefined && t.DType != d {
				return nil, fail.New(fail.Invalid, "the input is %s, the value given is %s", t.DType, d).At(fail.Where{Tensor: v.Name})
			}
			t.DType = d
		}
		if given {
			if _, err := model.Count(dims); err != nil {
				return nil, fail.In(err, "", fail.Where{Tensor: v.Name})
			}
			if t.Ranked && len(dims) != len(t.Shape) {
				return nil, fail.New(fail.Invalid, "the input has rank %d (%s), the value given has shape %v", len(t.Shape), t.Shape, dims).At(fail.Where{Tensor: v.Name})
			}
			for i, d := range dims {
				if t.Ranked && t.Shape[i].Known() && t.Shape[i].N != d {
					return nil, fail.New(fail.Invalid, "dimension %d of the input is %d, the value given has %d", i, t.Shape[i].N, d).At(fail.Where{Tensor: v.Name})
				}
			}
			t.Ranked, t.Shape = true, model.FixedShape(dims...)
		} else {
			if !t.Ranked {
				return nil, fail.New(fail.Invalid, "the rank of the input is not declared").At(fail.Where{Tensor: v.Name}).Try("give its shape")
			}
			s := append(model.Shape(nil), t.Shape...)
			for i := range s {
				if !s[i].Known() {
					s[i] = model.Fixed(1)
				}
			}
			t.Shape = s
		}
		out[v.Name] = t
	}
	return out, nil
}

// inline replaces nodes of model-local functions that no kernel knows by the function's body.
func inline(m *model.Model) (*model.Model, error) {
	for depth := 0; ; depth++ {
		if depth > 16 {
			return nil, fail.New(fail.TooBig, "functions call each other more than 16 deep")
		}
		var patches []*model.Patch
		var opsets []model.Opset
		for _, n := range m.Graph.Nodes {
			f := m.Function(n.Domain, n.Op, n.Overload)
			if f == nil {
				continue
			}
			if _, err := ops.Lookup(n.Domain, n.Op, 0); err == nil {
				continue
			}
			p, err := inlined(m, n, f)
			if err != nil {
				return nil, err
			}
			patches = append(patches, p)
			opsets = append(opsets, f.Opsets...)
		}
		if len(patches) == 0 {
			return m, nil
		}
		for _, o := range opsets {
			if v := m.Opset(o.Domain); v != 0 && v != int(o.Version) {
				return nil, fail.New(fail.Unsupported, "a function needs opset %d of domain %q, the model imports %d", o.Version, o.Domain, v)
			}
		}
		patches[0].Opsets = append(patches[0].Opsets, opsets...)
		next, err := m.Apply(patches...)
		if err != nil {
			return nil, err
		}
		m = next
	}
}

func inlined(m *model.Model, n *model.Node, f *model.Function) (*model.Patch, error) {
	g, _, err := ops.Body(m, n, f)
	if err != nil {
		return nil, err
	}
	rename := map[string]string{"": ""}
	for i, in := range f.Inputs {
		rename[in] = ""
		if i < len(n.Inputs) {
			rename[in] = n.Inputs[i]
		}
	}
	for i, o := range f.Outputs {
		if i < len(n.Outputs) && n.Outputs[i] != "" {
			rename[o] = n.Outputs[i]
		}
	}
	name := func(s string) string {
		if to, ok := rename[s]; ok {
			return to
		}
		return string(n.ID) + "/" + s
	}
	p := &model.Patch{Drop: []model.NodeID{n.ID}}
	for _, b := range g.Nodes {
		for i := range b.Attrs {
			if b.Attrs[i].G != nil {
				return nil, fail.New(fail.Unsupported, "function %s holds a subgraph", f.Name).At(fail.Where{Node: string(n.ID), Op: n.Op})
			}
		}
		c := *b
		c.Inputs, c.Outputs = make([]string, len(b.Inputs)), make([]string, len(b.Outputs))
		for i, s := range b.Inputs {
			c.Inputs[i] = name(s)
		}
		for i, s := range b.Outputs {
			c.Outputs[i] = name(s)
		}
		p.Add = append(p.Add, &c)
	}
	// An output of the function that is one of its inputs needs a node of its own.
	for i, o := range f.Outputs {
		for k, in := range f.Inputs {
			if o == in && i < len(n.Outputs) && k < len(n.Inputs) {
				p.Add = append(p.Add, &model.Node{ID: n.ID + "/" + model.NodeID(o), Op: "Identity", Inputs: []string{n.Inputs[k]},
					Outputs: []string{n.Outputs[i]}, Origin: n.Origin})
			}
		}
	}
	return p, nil
}
