package engine

import (
	"context"

	"fettle/model"
	"fettle/ops"
)

// reference runs a node with its plain kernel on row-major tensors: right for every operator, fast for none.
func (l *lowering) reference(n *model.Node) error {
	d, err := ops.Lookup(n.Domain, n.Op, l.m.Opset(n.Domain))
	if err != nil {
		return err
	}
	s := &step{Step: Step{Kernel: "reference", MACs: l.macs(n, d)}}
	in := make([]*value, len(n.Inputs))
	for i := range n.Inputs {
		in[i] = l.in(n, i)
		s.reads = append(s.reads, l.readPlain(in[i])...)
	}
	scope := map[string]*value{} // what subgraphs read around them
	for _, r := range model.Reads(n) {
		if v := l.vals[r]; v != nil {
			scope[r] = v
			s.reads = append(s.reads, l.readPlain(v)...)
		}
	}
	if len(scope) == len(n.Inputs) && !hasGraph(n) {
		scope = nil
	}
	out := make([]*value, len(n.Outputs))
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		out[i] = l.out(n, i)
		if hasGraph(n) {
			out[i].dynamic, out[i].dims = true, nil // branches may give other shapes than inferred
		}
		if !out[i].dynamic {
			out[i].plain = l.newPlain(out[i])
			s.writes = append(s.writes, out[i].plain)
		}
	}
	for _, v := range append(append([]*value{}, in...), out...) {
		if v != nil && v.typ.DType != model.Undefined {
			s.DType = v.typ.DType.String()
		}
		if v != nil {
			s.Bytes += byteSize(v)
		}
	}
	consts := map[string]*model.Tensor{}
	for k, v := range scope {
		if v.data != nil {
			consts[k] = v.data
		}
	}
	s.eval = func(ctx context.Context, ses *Session) error {
		args := make([]*model.Tensor, len(in))
		for i, v := range in {
			args[i] = ses.tensor(v)
		}
		env := make(map[string]*model.Tensor, len(scope))
		for k, v := range scope {
			env[k] = ses.tensor(v)
		}
		res, err := ses.evaluator(consts).Node(ctx, ses.Plan.Model, n, args, env)
		if err != nil {
			return err
		}
		for i, v := range out {
			if v == nil || res[i] == nil {
				continue
			}
			if err := ses.store(v, res[i]); err != nil {
				return err
			}
		}
		return nil
	}
	l.add(s, n)
	return nil
}

func hasGraph(n *model.Node) bool {
	for i := range n.Attrs {
		if n.Attrs[i].G != nil || len(n.Attrs[i].Graphs) > 0 {
			return true
		}
	}
	return false
}

// readPlain is v's row-major buffer as a list, empty for constants and values without a fixed place.
func (l *lowering) readPlain(v *value) []*buffer {
	if v != nil {
		l.use(v.data)
	}
	if v == nil || v.data != nil || v.dynamic {
		return nil
	}
	return []*buffer{l.needPlain(v)}
}

func byteSize(v *value) int64 {
	if v.dims == nil {
		return 0
	}
	n, _ := model.Count(v.dims)
	return int64(v.typ.DType.Bytes(n))
}

// macs is the cost rule of the operator on the inferred shapes.
func (l *lowering) macs(n *model.Node, d *ops.Def) int64 {
	if d.Cost == nil {
		return 0
	}
	f := &ops.Inference{Node: n, Def: d, Opset: l.m.Opset(n.Domain), Const: func(i int) *model.Tensor {
		if v := l.in(n, i); v != nil {
			return v.data
		}
		return nil
	}}
	for i := range n.Inputs {
		t := model.Type{}
		if v := l.in(n, i); v != nil {
			t = v.typ
		}
		f.In = append(f.In, t)
	}
	for _, o := range n.Outputs {
		f.Out = append(f.Out, l.inf.Types[o])
	}
	return d.Cost(f).MACs
}
