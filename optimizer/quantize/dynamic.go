package quantize

import (
	"fmt"

	"fettle/model"
	"fettle/optimizer"
)

// toDynamic makes layers with integer weights compute on integers whose scale is taken from the values of each run:
// y = (DynamicQuantizeLinear(x) · wq) * (sx * sw) + b. Layers that have no such form keep float values.
//
// Source: the operators DynamicQuantizeLinear, MatMulInteger and ConvInteger of ONNX.
func toDynamic(m *model.Model) (*model.Model, []optimizer.Finding, error) {
	g := m.Graph
	d := &dynamic{g: g, used: names(m), made: map[string][3]string{}}
	var found []optimizer.Finding
	count := 0
	for _, n := range g.Nodes {
		why := ""
		if is(n, "Conv", "Gemm", "MatMul") && d.weight(n) != nil {
			if why = d.layer(n); why == "" {
				count++
				continue
			}
			f := optimizer.Describe("dynamic", n)
			f.Outcome, f.Reason = optimizer.Refused, why
			found = append(found, f)
		}
		d.nodes = append(d.nodes, n)
	}
	found = append(found, optimizer.Finding{Rule: "dynamic", Label: "activations dynamic", Outcome: optimizer.Applied,
		Reason: fmt.Sprintf("%d layers take the scale of their input from each run", count)})
	ng := &model.Graph{Name: g.Name, Doc: g.Doc, Nodes: d.nodes, Inputs: g.Inputs, Outputs: g.Outputs, Values: g.Values, Meta: g.Meta, Unknown: g.Unknown,
		Inits: append(append([]*model.Init(nil), g.Inits...), d.inits...)}
	out := sweepDead(m.WithGraph(ng))
	return out, found, out.Graph.Check(nil)
}

type dynamic struct {
	g     *model.Graph
	used  map[string]bool
	nodes []*model.Node
	inits []*model.Init
	made  map[string][3]string // value -> its integers, scale and zero
}

// weight is the DequantizeLinear of int8 constants that n reads, or nil.
func (d *dynamic) weight(n *model.Node) *model.Node {
	q := d.g.Producer(input(n, 1))
	if q == nil || !is(q, "DequantizeLinear") || len(q.Inputs) < 2 {
		return nil
	}
	if t := d.g.Init(q.Inputs[0]); t == nil || t.DType != model.Int8 || d.g.Init(q.Inputs[1]) == nil {
		return nil
	}
	return q
}

func (d *dynamic) add(n *model.Node, op, suffix string, in []string, attrs ...model.Attr) string {
	out := fresh(d.used, n.Outputs[0]+suffix)
	d.emit(n, op, in, []string{out}, attrs...)
	return out
}

func (d *dynamic) emit(n *model.Node, op string, in, out []string, attrs ...model.Attr) {
	d.nodes = append(d.nodes, &model.Node{ID: model.Derive("dynamic "+op+" "+out[0], n.ID), Name: fresh(d.used, out[0]+"_"+op), Op: op, Inputs: in, Outputs: out, Attrs: attrs, Origin: n.Origin})
}

func (d *dynamic) constant(name string, t *model.Tensor) string {
	name = fresh(d.used, name)
	d.inits = append(d.inits, &model.Init{Name: name, Tensor: t})
	return name
}

// layer writes n on integers; it gives the reason where it does not.
func (d *dynamic) layer(n *model.Node) string {
	if n.Domain == fettle {
		return "a fused " + n.Op + " has no integer operator"
	}
	if is(n, "Gemm") && (n.Int("transA", 0) != 0 || n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1) {
		return "a Gemm with alpha, beta or transA has no integer form"
	}
	dq := d.weight(n)
	q, scale := d.g.Init(dq.Inputs[0]), d.g.Init(dq.Inputs[1])
	x := n.Inputs[0]
	v, ok := d.made[x]
	if !ok {
		v = [3]string{fresh(d.used, x+"_dyn"), fresh(d.used, x+"_dyn_scale"), fresh(d.used, x+"_dyn_zero")}
		d.emit(n, "DynamicQuantizeLinear", []string{x}, v[:])
		d.made[x] = v
	}
	wq := dq.Inputs[0]
	var acc string
	shape := []int{scale.Len()}
	if is(n, "Conv") {
		shape = make([]int, q.Rank())
		for i := range shape {
			shape[i] = 1
		}
		shape[1] = scale.Len()
		acc = d.add(n, "ConvInteger", "_sum", []string{v[0], wq, v[2]}, n.Attrs...)
	} else {
		if n.Int("transB", 0) == 1 {
			wq = d.constant(wq+"_t", transposed(q))
		}
		acc = d.add(n, "MatMulInteger", "_sum", []string{v[0], wq, v[2]})
	}
	if scale.Len() == 1 {
		shape = nil
	}
	f := d.add(n, "Cast", "_sumf", []string{acc}, model.IntAttr("to", int64(model.Float32)))
	s := d.add(n, "Mul", "_step", []string{v[1], d.constant(dq.Inputs[1]+"_r", scale.Reshaped(shape...))})
	if bias := input(n, 2); bias != "" {
		if b := d.g.Init(bias); is(n, "Conv") && b != nil {
			shape := make([]int, q.Rank())
			for i := range shape {
				shape[i] = 1
			}
			shape[1] = b.Len()
			bias = d.constant(bias+"_r", b.Reshaped(shape...))
		} else if is(n, "Conv") {
			axes := make([]int64, q.Rank()-2)
			for i := range axes {
				axes[i] = int64(i + 1)
			}
			bias = d.add(n, "Unsqueeze", "_bias", []string{bias, d.constant(n.Outputs[0]+"_axes", model.Int64s(axes...))})
		}
		y := d.add(n, "Mul", "_scaled", []string{f, s})
		d.emit(n, "Add", []string{y, bias}, []string{n.Outputs[0]})
		return ""
	}
	d.emit(n, "Mul", []string{f, s}, []string{n.Outputs[0]})
	return ""
}

// transposed is a matrix of bytes with its axes exchanged.
func transposed(t *model.Tensor) *model.Tensor {
	r, c := t.Shape[0], t.Shape[1]
	out := model.NewTensor(t.DType, c, r)
	for i := range r {
		for k := range c {
			out.Raw[k*r+i] = t.Raw[i*c+k]
		}
	}
	return out
}
