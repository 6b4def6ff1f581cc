package ops

import (
	"fmt"
	"sort"

	"fettle/internal/fail"
	"fettle/model"
)

const trainingDomain = "ai.onnx.preview.training"

// WithGradients is m with each Gradient node replaced by the nodes that compute it: the part of the graph from xs and zs to
// y, anew where the node's inputs are other values, and the derivatives in reverse order. m itself where there is none.
//
// fail.Unsupported names the first operator without a rule, and values whose shapes differ in an operation: sums over
// broadcast dimensions have no rule. Source: ONNX operator document of Gradient, version 1.
func WithGradients(m *model.Model) (*model.Model, error) {
	for {
		var n *model.Node
		for _, x := range m.Graph.Nodes {
			if x.Domain == trainingDomain && x.Op == "Gradient" {
				n = x
				break
			}
		}
		if n == nil {
			return m, nil
		}
		p, err := gradientPatch(m, n)
		if err != nil {
			return nil, fail.In(err, "differentiate", fail.Where{Node: string(n.ID), Op: trainingDomain + ":Gradient"})
		}
		if m, err = m.Apply(p); err != nil {
			return nil, err
		}
	}
}

// tapeOf gathers what one Gradient node needs.
type tapeOf struct {
	m     *model.Model
	n     *model.Node
	inf   *Inferred
	names map[string]string // values of the graph -> where they are computed from the node's inputs
	dy    map[string]string // values -> derivative so far
	add   []*model.Node
	count int
}

func texts(n *model.Node, name string) []string {
	a := n.Attr(name)
	if a == nil {
		return nil
	}
	out := make([]string, len(a.Strings))
	for i, s := range a.Strings {
		out[i] = string(s)
	}
	return out
}

func gradientPatch(m *model.Model, n *model.Node) (*model.Patch, error) {
	xs, zs, y := texts(n, "xs"), texts(n, "zs"), n.Str("y", "")
	if len(xs) == 0 || y == "" || len(n.Inputs) != len(xs)+len(zs) || len(n.Outputs) > len(xs) {
		return nil, fail.New(fail.Invalid, "%d xs, %d zs, %d inputs and %d outputs do not fit", len(xs), len(zs), len(n.Inputs), len(n.Outputs))
	}
	inf, _, err := Infer(m, nil)
	if err != nil {
		return nil, err
	}
	t := &tapeOf{m: m, n: n, inf: inf, names: map[string]string{}, dy: map[string]string{}}
	for i, v := range append(append([]string(nil), xs...), zs...) {
		t.names[v] = n.Inputs[i]
	}
	path, err := t.forward(y, xs)
	if err != nil {
		return nil, err
	}
	shape := t.node("Shape", []string{t.name(y)})
	one := model.NewTensor(inf.Types[y].DType, 1)
	if !one.DType.Float() {
		return nil, fail.New(fail.Unsupported, "y is %s, not a float", inf.Types[y]).At(fail.Where{Tensor: y})
	}
	one.SetFloat64(0, 1)
	t.dy[y] = t.node("ConstantOfShape", []string{shape}, model.TensorAttr("value", one))
	for i := len(path) - 1; i >= 0; i-- {
		if err := t.backward(path[i]); err != nil {
			return nil, fail.In(err, "", fail.Where{Node: string(path[i].ID), Op: path[i].Op})
		}
	}
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		d := t.dy[xs[i]]
		if d == "" { // y does not hang on it
			zero := model.NewTensor(one.DType, 1)
			d = t.node("ConstantOfShape", []string{t.node("Shape", []string{t.name(xs[i])})}, model.TensorAttr("value", zero))
		}
		id := t.id()
		t.add = append(t.add, &model.Node{ID: id, Name: string(id), Op: "Identity", Inputs: []string{d}, Outputs: []string{o}, Origin: n.Origin})
	}
	return &model.Patch{Drop: []model.NodeID{n.ID}, Add: t.add}, nil
}

func (t *tapeOf) id() model.NodeID {
	t.count++
	return t.n.ID + model.NodeID(fmt.Sprintf("/gradient%d", t.count))
}

func (t *tapeOf) name(v string) string {
	if to, ok := t.names[v]; ok {
		return to
	}
	return v
}

func (t *tapeOf) node(op string, in []string, attrs ...model.Attr) string {
	id := t.id()
	out := string(id) + "_out"
	t.add = append(t.add, &model.Node{ID: id, Name: string(id), Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs, Origin: t.n.Origin})
	return out
}

// forward finds the nodes between xs and y in order, and computes them again where an input of the Gradient node is not
// the value that the graph computes with.
func (t *tapeOf) forward(y string, xs []string) ([]*model.Node, error) {
	g := t.m.Graph
	on := map[string]bool{}
	for _, x := range xs {
		on[x] = true
	}
	need, walk := map[model.NodeID]bool{}, []string{y}
	for len(walk) > 0 {
		v := walk[len(walk)-1]
		walk = walk[:len(walk)-1]
		if _, cut := t.names[v]; cut {
			continue
		}
		if n := g.Producer(v); n != nil && !need[n.ID] {
			need[n.ID] = true
			walk = append(walk, n.Inputs...)
		}
	}
	var path []*model.Node
	for _, n := range g.Nodes {
		if !need[n.ID] {
			continue
		}
		moved, touched := false, false
		for _, in := range n.Inputs {
			moved = moved || t.name(in) != in
			touched = touched || on[in]
		}
		if moved {
			c := *n
			c.Raw, c.ID = nil, t.id()
			c.Name = string(c.ID)
			c.Inputs, c.Outputs = append([]string(nil), n.Inputs...), append([]string(nil), n.Outputs...)
			for i, in := range n.Inputs {
				c.Inputs[i] = t.name(in)
			}
			for i, o := range n.Outputs {
				c.Outputs[i] = string(c.ID) + "_" + o
				t.names[o] = c.Outputs[i]
			}
			t.add = append(t.add, &c)
		}
		if touched {
			path = append(path, n)
			for _, o := range n.Outputs {
				on[o] = true
			}
		}
	}
	return path, nil
}

// derivatives gives, for each input, its derivative from that of the output.
var derivatives = map[string]func(t *tapeOf, n *model.Node, dy string) ([]string, error){
	"Add": func(t *tapeOf, n *model.Node, dy string) ([]string, error) { return []string{dy, dy}, t.same(n) },
	"Sub": func(t *tapeOf, n *model.Node, dy string) ([]string, error) {
		return []string{dy, t.node("Neg", []string{dy})}, t.same(n)
	},
	"Mul": func(t *tapeOf, n *model.Node, dy string) ([]string, error) {
		a, b := t.name(n.Inputs[0]), t.name(n.Inputs[1])
		return []string{t.node("Mul", []string{dy, b}), t.node("Mul", []string{dy, a})}, t.same(n)
	},
	"Div": func(t *tapeOf, n *model.Node, dy string) ([]string, error) {
		b, y := t.name(n.Inputs[1]), t.name(n.Outputs[0])
		da := t.node("Div", []string{dy, b})
		return []string{da, t.node("Neg", []string{t.node("Mul", []string{da, y})})}, t.same(n)
	},
	"Neg": func(t *tapeOf, _ *model.Node, dy string) ([]string, error) {
		return []string{t.node("Neg", []string{dy})}, nil
	},
	"Identity": func(_ *tapeOf, _ *model.Node, dy string) ([]string, error) { return []string{dy}, nil },
	"Exp": func(t *tapeOf, n *model.Node, dy string) ([]string, error) {
		return []string{t.node("Mul", []string{dy, t.name(n.Outputs[0])})}, nil
	},
	"Log": func(t *tapeOf, n *model.Node, dy string) ([]string, error) {
		return []string{t.node("Div", []string{dy, t.name(n.Inputs[0])})}, nil
	},
	"Tanh": func(t *tapeOf, n *model.Node, dy string) ([]string, error) {
		y := t.name(n.Outputs[0])
		return []string{t.node("Sub", []string{dy, t.node("Mul", []string{dy, t.node("Mul", []string{y, y})})})}, nil
	},
	"Sigmoid": func(t *tapeOf, n *model.Node, dy string) ([]string, error) {
		y := t.name(n.Outputs[0])
		d := t.node("Mul", []string{dy, y})
		return []string{t.node("Sub", []string{d, t.node("Mul", []string{d, y})})}, nil
	},
	"Sqrt": func(t *tapeOf, n *model.Node, dy string) ([]string, error) {
		y := t.name(n.Outputs[0])
		return []string{t.node("Div", []string{dy, t.node("Add", []string{y, y})})}, nil
	},
}

// same refuses an operation that broadcasts.
func (t *tapeOf) same(n *model.Node) error {
	want := t.inf.Types[n.Outputs[0]]
	for _, in := range n.Inputs {
		if got := t.inf.Types[in]; !want.Ranked || !got.Ranked || got.Shape.String() != want.Shape.String() {
			return fail.New(fail.Unsupported, "has no derivative where it broadcasts %s to %s", got, want)
		}
	}
	return nil
}

func (t *tapeOf) backward(n *model.Node) error {
	dy := t.dy[n.Outputs[0]]
	if dy == "" {
		return nil // y does not hang on it
	}
	rule := derivatives[n.Op]
	if rule == nil || n.Domain != "" {
		known := make([]string, 0, len(derivatives))
		for op := range derivatives {
			known = append(known, op)
		}
		sort.Strings(known)
		return fail.New(fail.Unsupported, "has no derivative yet; there are some of %v", known)
	}
	ds, err := rule(t, n, dy)
	if err != nil {
		return err
	}
	for i, in := range n.Inputs {
		if before := t.dy[in]; before != "" {
			t.dy[in] = t.node("Add", []string{before, ds[i]})
		} else {
			t.dy[in] = ds[i]
		}
	}
	return nil
}
