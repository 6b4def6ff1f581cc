package prune

import (
	"slices"

	"fettle/model"
)

// kept gives the places of an axis whose channel stays.
func (s *space) kept(atoms []int, gone map[int]bool) []int {
	var out []int
	for i, a := range atoms {
		if !gone[find(s.same, a)] {
			out = append(out, i)
		}
	}
	return out
}

// sparing says of one class after another whether it may go too: no value may be left without channels, as happens where a narrow layer's are
// a part of the channels of a sum. A yes takes it.
func (s *space) sparing() func(root int) bool {
	left := map[string]int{}
	in := map[int]map[string]int{} // class to how many channels of a value it is
	for name, d := range s.dims {
		if d == nil {
			continue
		}
		left[name] = len(d.atoms)
		for _, a := range d.atoms {
			r := find(s.same, a)
			if in[r] == nil {
				in[r] = map[string]int{}
			}
			in[r][name]++
		}
	}
	return func(root int) bool {
		for name, n := range in[root] {
			if left[name] <= n {
				return false
			}
		}
		for name, n := range in[root] {
			left[name] -= n
		}
		return true
	}
}

// cut removes channels from every constant that has them, and from attributes that count them.
func (s *space) cut(gone map[int]bool) (*model.Model, error) {
	inits := map[string]*model.Tensor{}
	for _, c := range s.cuts {
		keep := s.kept(c.atoms, gone)
		if len(keep) == len(c.atoms) {
			continue
		}
		t := inits[c.init]
		if t == nil {
			t = s.v.G.Init(c.init)
		}
		inits[c.init] = take(t, c.axis, keep)
	}
	nodes := map[model.NodeID]*model.Node{}
	for _, c := range s.counts {
		if keep := s.kept(c.atoms, gone); len(keep) < len(c.atoms) {
			nodes[c.node.ID] = withInt(c.node, "group", int64(len(keep)))
		}
	}
	return rewrite(s.v.M, inits, nodes, nil)
}

// rewrite is m with constants and nodes replaced and constants added. Declared types of inner values go: they may be stale.
func rewrite(m *model.Model, inits map[string]*model.Tensor, nodes map[model.NodeID]*model.Node, add []*model.Init) (*model.Model, error) {
	old := m.Graph
	g := &model.Graph{Name: old.Name, Doc: old.Doc, Meta: old.Meta, Unknown: old.Unknown, Inputs: slices.Clone(old.Inputs), Outputs: old.Outputs}
	for _, n := range old.Nodes {
		if c := nodes[n.ID]; c != nil {
			n = c
		}
		g.Nodes = append(g.Nodes, n)
	}
	for _, in := range old.Inits {
		if t := inits[in.Name]; t != nil {
			in = &model.Init{Name: in.Name, Tensor: t}
			for i := range g.Inputs { // before IR version 4 constants are listed as inputs too
				if g.Inputs[i].Name == in.Name {
					g.Inputs[i] = model.Value{Name: in.Name, Type: model.TypeOf(t)}
				}
			}
		}
		g.Inits = append(g.Inits, in)
	}
	g.Inits = append(g.Inits, add...)
	return m.WithGraph(g), g.Check(nil)
}

// take is t with the places keep of an axis.
func take(t *model.Tensor, axis int, keep []int) *model.Tensor {
	shape := slices.Clone(t.Shape)
	outer, inner := 1, 1
	for _, d := range shape[:axis] {
		outer *= d
	}
	for _, d := range shape[axis+1:] {
		inner *= d
	}
	n := shape[axis]
	shape[axis] = len(keep)
	out := model.NewTensor(model.Float32, shape...)
	from, to := model.Data[float32](t), model.Data[float32](out)
	for o := range outer {
		for i, k := range keep {
			copy(to[(o*len(keep)+i)*inner:][:inner], from[(o*n+k)*inner:][:inner])
		}
	}
	return out
}

func withInt(n *model.Node, attr string, v int64) *model.Node {
	c := *n
	c.Raw, c.Attrs = nil, slices.Clone(n.Attrs)
	for i := range c.Attrs {
		if c.Attrs[i].Name == attr {
			c.Attrs[i] = model.IntAttr(attr, v)
			return &c
		}
	}
	c.Attrs = append(c.Attrs, model.IntAttr(attr, v))
	return &c
}

// saved is how many bytes the constants of the nodes given lose.
func (s *space) saved(gone map[int]bool, nodes []model.NodeID) int64 {
	sum := int64(0)
	for _, id := range nodes {
		for _, m := range s.makers {
			if m.node.ID == id {
				t := s.v.Const(m.weight)
				lost := len(m.atoms) - len(s.kept(m.atoms, gone))
				sum += int64(t.Len()) * int64(lost) / int64(len(m.atoms)) * 4
			}
		}
	}
	return sum
}
