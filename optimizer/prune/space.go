package prune

import (
	"fmt"

	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// space knows which channels of a model have to go together. Every channel that a layer makes is an atom; operators map the
// atoms of what they read to those of what they write, and where two meet (a sum) they become one class. A value has at most
// one axis of channels.
type space struct {
	v      *optimizer.View
	inf    *ops.Inferred
	same   []int          // union-find over atoms: one class
	family []int          // union-find over atoms: classes that one layer made or a sum joined; a group
	locks  map[int]string // atom to why its class stays
	dims   map[string]*dim
	cuts   []cut
	makers []maker
	reads  []reader
	counts []count
	joints map[int]string // atom to the sum that its family goes through
}

// dim is the axis of channels of a value.
type dim struct {
	axis  int
	atoms []int
}

// cut says that an axis of a constant has one entry an atom.
type cut struct {
	init  string
	axis  int
	atoms []int
}

// maker is a layer whose weights make channels: one line of weights an atom.
type maker struct {
	node   *model.Node
	weight string
	axis   int
	atoms  []int
	norm   *model.Node // the normalisation behind it, nil: none
}

// reader is a layer whose weights sum over channels.
type reader struct {
	node   *model.Node
	weight string
	axis   int
	atoms  []int // one an entry of the axis
}

// count is an attribute group that is a number of channels: of a depthwise convolution.
type count struct {
	node  *model.Node
	atoms []int
}

// newSpace maps the channels of m. Open dimensions count as 1, so that shapes that are computed from them are known.
func newSpace(m *model.Model) (*space, error) {
	fixed := map[string]model.Type{}
	for _, v := range m.Graph.Free() {
		t := v.Type
		t.Shape = append(model.Shape(nil), t.Shape...)
		for i := range t.Shape {
			if !t.Shape[i].Known() {
				t.Shape[i] = model.Fixed(1)
			}
		}
		fixed[v.Name] = t
	}
	inf, _, err := ops.Infer(m, fixed)
	if err != nil {
		if inf, _, err = ops.Infer(m, nil); err != nil {
			return nil, err
		}
	}
	s := &space{v: optimizer.NewView(m, "prune-channels"), inf: inf, locks: map[int]string{}, dims: map[string]*dim{}, joints: map[int]string{}}
	for _, n := range m.Graph.Nodes {
		s.visit(n)
	}
	for _, o := range m.Graph.Outputs {
		s.lock(s.dims[o.Name], "the value "+o.Name+" is an output of the model")
	}
	return s, nil
}

func find(uf []int, a int) int {
	for uf[a] != a {
		uf[a] = uf[uf[a]]
		a = uf[a]
	}
	return a
}

func union(uf []int, a, b int) {
	a, b = find(uf, a), find(uf, b)
	uf[max(a, b)] = min(a, b)
}

// fresh makes n atoms of one family.
func (s *space) fresh(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = len(s.same)
		s.same = append(s.same, out[i])
		s.family = append(s.family, out[0])
	}
	return out
}

// join makes classes of the atoms that meet.
func (s *space) join(a, b *dim) {
	for i := range a.atoms {
		union(s.same, a.atoms[i], b.atoms[i])
		union(s.family, a.atoms[i], b.atoms[i])
	}
}

// lock keeps the channels of d.
func (s *space) lock(d *dim, why string) {
	if d == nil {
		return
	}
	for _, a := range d.atoms {
		if s.locks[a] == "" {
			s.locks[a] = why
		}
	}
}

// lockInputs keeps the channels of everything that n reads.
func (s *space) lockInputs(n *model.Node, why string) {
	for _, r := range model.Reads(n) {
		s.lock(s.dims[r], why)
	}
}

// shape is the inferred shape of a value, nil where it is not known.
func (s *space) shape(name string) []int {
	t := s.inf.Types[name]
	if !t.Ranked {
		return nil
	}
	d, ok := t.Shape.Ints()
	if !ok {
		return nil
	}
	return d
}

// constant is the value of name where it follows from constants alone.
func (s *space) constant(name string) *model.Tensor {
	if t := s.v.Const(name); t != nil {
		return t
	}
	return s.inf.Consts[name]
}

func (s *space) ints(name string) ([]int, bool) {
	t := s.constant(name)
	if t == nil || t.DType != model.Int64 && t.DType != model.Int32 {
		return nil, false
	}
	out := make([]int, t.Len())
	for i := range out {
		out[i] = int(t.Int64At(i))
	}
	return out, true
}

// own registers that an axis of the constant name has an entry an atom. A constant that the cut cannot change locks them.
func (s *space) own(n *model.Node, name string, axis int, atoms []int) {
	why := ""
	switch t := s.v.G.Constant(name, s.v.M.IRVersion < 4); {
	case t == nil:
		why = fmt.Sprintf("%s: %q is no stored constant (fold-constants may make it one)", n.Label(), name)
	case t.DType != model.Float32:
		why = fmt.Sprintf("%s: %q is %s, not float32", n.Label(), name, t.DType)
	case axis >= t.Rank() || t.Shape[axis] != len(atoms):
		why = fmt.Sprintf("%s: %q has shape %v, %d channels were expected", n.Label(), name, t.Shape, len(atoms))
	default:
		why = s.v.Shared("the constant", name, n)
	}
	if why != "" {
		s.lock(&dim{0, atoms}, why)
		return
	}
	s.cuts = append(s.cuts, cut{name, axis, atoms})
}

func input(n *model.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}
