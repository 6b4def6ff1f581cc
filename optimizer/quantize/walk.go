package quantize

import (
	"context"
	"runtime"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// walk runs a model over a fixed set of items from front to back, up to one node after another. It keeps the values that
// nodes behind that place read of nodes before it, so that each node runs once for each item however often the walk stops.
// The model may be replaced between two stops by one that differs in constants that are still to be read.
type walk struct {
	env   *optimizer.Env
	m     *model.Model
	types map[string]model.Type
	fixed map[string]bool // values that follow from constants alone
	at    int             // nodes before it have run
	have  []map[string]*model.Tensor
}

// newWalk starts before the first node; items hold the inputs.
func newWalk(env *optimizer.Env, m *model.Model, items []map[string]*model.Tensor) (*walk, error) {
	w := &walk{env: env, m: m, fixed: map[string]bool{"": true}}
	inf, _, err := ops.Infer(m, itemTypes(m, items))
	if err != nil {
		return nil, err
	}
	w.types = inf.Types
	for _, in := range m.Graph.Inits {
		if m.Graph.Input(in.Name) == nil {
			w.fixed[in.Name] = true
		}
	}
	for _, n := range m.Graph.Nodes {
		all := true
		for _, r := range model.Reads(n) {
			all = all && w.fixed[r]
		}
		for _, o := range n.Outputs {
			if all {
				w.fixed[o] = true
			}
		}
	}
	for _, it := range items {
		v := map[string]*model.Tensor{}
		for name, t := range it {
			v[name] = t
		}
		w.have = append(w.have, v)
	}
	return w, nil
}

// itemTypes are the types of the inputs with the shapes of the first item.
func itemTypes(m *model.Model, items []map[string]*model.Tensor) map[string]model.Type {
	out := map[string]model.Type{}
	for _, v := range m.Graph.Inputs {
		if len(items) > 0 && items[0][v.Name] != nil {
			out[v.Name] = model.TypeOf(items[0][v.Name])
		}
	}
	return out
}

// alive lists the values made before node pos that it or a later one reads, without those that follow from constants.
func (w *walk) alive(pos int) []string {
	g := w.m.Graph
	read := map[string]bool{}
	for _, n := range g.Nodes[pos:] {
		for _, r := range model.Reads(n) {
			read[r] = true
		}
	}
	for _, o := range g.Outputs {
		read[o.Name] = true
	}
	var out []string
	for _, v := range g.Inputs {
		if read[v.Name] && !w.fixed[v.Name] {
			out = append(out, v.Name)
		}
	}
	for _, n := range g.Nodes[:pos] {
		for _, o := range n.Outputs {
			if read[o] && !w.fixed[o] {
				out = append(out, o)
			}
		}
	}
	return out
}

// bytes is the most that the values kept at one of the nodes take for one item, as far as shapes are known.
func (w *walk) bytes(at []int) int64 {
	most := int64(0)
	for _, pos := range at {
		sum := int64(0)
		for _, v := range w.alive(pos) {
			if t := w.types[v]; t.Ranked {
				if dims, ok := t.Shape.Ints(); ok {
					if n, err := model.Count(dims); err == nil {
						sum += int64(n) * int64(max(t.DType.Bits(), 8)) / 8
					}
				}
			}
		}
		most = max(most, sum)
	}
	return most
}

// each bounds what one item takes of two walks over like models that stop at the nodes at: its inputs, what both keep, and what one of
// them is about to keep.
func (w *walk) each(at []int) int64 {
	sum := 3*w.bytes(at) + 1
	for _, t := range w.have[0] {
		sum += int64(len(t.Raw))
	}
	return sum
}

// collectFrom is how much a walk keeps before it asks for the memory of what it no longer keeps: the collector alone lets twice as much
// stand, which a computer with little memory does not have.
const collectFrom = 64 << 20

// collect frees what was dropped at a stop.
func (w *walk) collect() {
	kept := int64(0)
	for _, values := range w.have {
		for _, t := range values {
			kept += int64(len(t.Raw))
		}
	}
	if kept > collectFrom {
		runtime.GC()
	}
}

// to runs the nodes before pos.
func (w *walk) to(ctx context.Context, pos int) error {
	alive := w.alive(pos)
	var make []string
	for _, v := range alive {
		if w.have[0][v] == nil && w.m.Graph.Input(v) == nil {
			make = append(make, v)
		}
	}
	defer func() { w.at = pos }()
	if len(make) > 0 {
		part := w.part(make)
		if err := w.run(ctx, part, make); err != nil {
			return err
		}
	}
	for i, values := range w.have {
		left := map[string]*model.Tensor{}
		for _, v := range alive {
			if t := values[v]; t != nil {
				left[v] = t
			}
		}
		w.have[i] = left
	}
	w.collect()
	return nil
}

// part is the piece of the model that makes values from those at hand.
func (w *walk) part(values []string) *model.Model {
	g := w.m.Graph
	p := &model.Graph{Name: g.Name}
	need, inits := map[string]bool{}, map[string]bool{}
	var visit func(v string)
	nodes := map[model.NodeID]bool{}
	visit = func(v string) {
		if v == "" || need[v] {
			return
		}
		need[v] = true
		if w.have[0][v] != nil {
			p.Inputs = append(p.Inputs, model.Value{Name: v, Type: model.TypeOf(w.have[0][v])})
			return
		}
		if g.Init(v) != nil {
			inits[v] = true
			return
		}
		if n := g.Producer(v); n != nil && !nodes[n.ID] {
			nodes[n.ID] = true
			for _, r := range model.Reads(n) {
				visit(r)
			}
		}
	}
	for _, v := range values {
		visit(v)
		p.Outputs = append(p.Outputs, model.Value{Name: v, Type: w.types[v]})
	}
	for _, n := range g.Nodes {
		if nodes[n.ID] {
			p.Nodes = append(p.Nodes, n)
		}
	}
	for _, in := range g.Inits {
		if inits[in.Name] {
			p.Inits = append(p.Inits, in)
		}
	}
	return w.m.WithGraph(p)
}

// run makes values for every item, items in parallel.
func (w *walk) run(ctx context.Context, part *model.Model, values []string) error {
	workers := min(runtime.GOMAXPROCS(0), len(w.have))
	g := task.NewGroup(ctx)
	for k := range workers {
		g.Go("run a piece of the model", func(ctx context.Context) error {
			s, err := w.env.Open(ctx, part)
			if err != nil {
				return err
			}
			defer s.Close()
			for i := k; i < len(w.have); i += workers {
				if err := ctx.Err(); err != nil {
					return fail.From(err)
				}
				in := map[string]*model.Tensor{}
				for _, v := range part.Graph.Inputs {
					in[v.Name] = w.have[i][v.Name]
				}
				out, err := s.Run(ctx, in)
				if err != nil {
					return err
				}
				for j, v := range values {
					if out[j] == nil {
						return fail.New(fail.Internal, "the runner gave nothing for a value").At(fail.Where{Tensor: v})
					}
					w.have[i][v] = out[j].Clone()
				}
			}
			return nil
		})
	}
	return g.Wait()
}
