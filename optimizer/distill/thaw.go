package distill

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// A quantized model is trained with the arithmetic that it is exported with: stored integers become floats that are rounded to the steps of
// the file on the way, and the steps are learned too. Afterwards the floats are stored as the integers that they were rounded to.
//
// Source: Esser et al. 2020, arXiv:1902.08153 (learned steps); Jacob et al. 2018, arXiv:1712.05877 (biases in the units of the sums).

// thawed is a constant of integers that is trained as floats.
type thawed struct {
	dq    *model.Node // reads it
	ints  string
	float string // in the twin
	axis  int
	bias  *model.Node // the layer whose bias it is; nil: weights
}

// thaw is m with weights and biases as floats, and what they were.
func thaw(m *model.Model) (*model.Model, []*thawed, error) {
	v := optimizer.NewView(m, "distill")
	g := &model.Graph{Name: m.Graph.Name, Inputs: m.Graph.Inputs, Outputs: m.Graph.Outputs, Values: m.Graph.Values}
	var list []*thawed
	gone := map[string]bool{}
	for _, n := range m.Graph.Nodes {
		w := v.G.Constant(input(n, 0), m.IRVersion < 4)
		if n.Op != "DequantizeLinear" || n.Domain != "" || w == nil || n.Int("block_size", 0) != 0 || v.Shared("", n.Inputs[0], n) != "" {
			g.Nodes = append(g.Nodes, n)
			continue
		}
		scale, zero := m.Graph.Init(n.Inputs[1]), m.Graph.Init(input(n, 2))
		users := m.Graph.Users(n.Outputs[0])
		if scale == nil || scale.DType != model.Float32 || len(users) != 1 || input(n, 2) != "" && zero == nil {
			g.Nodes = append(g.Nodes, n)
			continue
		}
		t := &thawed{dq: n, ints: n.Inputs[0], axis: int(n.Int("axis", 1))}
		if t.axis < 0 {
			t.axis += w.Rank()
		}
		f := t.floats(w, scale, zero)
		switch {
		case w.DType == model.Int32 && len(users[0].Inputs) > 2 && users[0].Inputs[2] == n.Outputs[0]:
			t.bias, t.float = users[0], n.Outputs[0]
			g.Inits = append(g.Inits, &model.Init{Name: t.float, Tensor: f})
		case w.DType == model.Int8 || w.DType == model.Uint8 || w.DType == model.Int4 || w.DType == model.Uint4:
			t.float = string(n.ID) + ".float"
			q := &model.Node{ID: n.ID + ".round", Name: string(n.ID) + ".round", Op: "QuantizeLinear", Inputs: []string{t.float, n.Inputs[1], input(n, 2)}, Outputs: []string{string(n.ID) + ".rounded"}, Attrs: []model.Attr{model.IntAttr("axis", int64(t.axis))}}
			if zero == nil { // its type is that of the numbers
				q.Inputs[2] = string(n.ID) + ".zero"
				g.Inits = append(g.Inits, &model.Init{Name: q.Inputs[2], Tensor: model.NewTensor(w.DType, scale.Shape...)})
			}
			c := *n
			c.Raw, c.Inputs = nil, []string{q.Outputs[0], n.Inputs[1], q.Inputs[2]}
			g.Nodes = append(g.Nodes, q, &c)
			g.Inits = append(g.Inits, &model.Init{Name: t.float, Tensor: f})
		default:
			g.Nodes = append(g.Nodes, n)
			continue
		}
		gone[t.ints] = true
		list = append(list, t)
	}
	if len(list) == 0 {
		return m, nil, nil
	}
	read := map[string]bool{}
	for _, n := range g.Nodes {
		for _, r := range model.Reads(n) {
			read[r] = true
		}
	}
	for _, in := range m.Graph.Inits {
		if !gone[in.Name] && (read[in.Name] || m.Graph.Input(in.Name) != nil) {
			g.Inits = append(g.Inits, in)
		}
	}
	twin := m.WithGraph(g)
	return twin, list, g.Check(nil)
}

func input(n *model.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// at is which scale belongs to number i of a tensor.
func (t *thawed) at(shape []int, scales, i int) int {
	if scales == 1 {
		return 0
	}
	inner := 1
	for _, d := range shape[t.axis+1:] {
		inner *= d
	}
	return i / inner % shape[t.axis]
}

// floats are the numbers that the integers stand for.
func (t *thawed) floats(w, scale, zero *model.Tensor) *model.Tensor {
	out := model.NewTensor(model.Float32, w.Shape...)
	s := model.Data[float32](scale)
	for i := range model.Data[float32](out) {
		k := t.at(w.Shape, len(s), i)
		z := 0.0
		if zero != nil {
			z = zero.Float64At(min(k, zero.Len()-1))
		}
		model.Data[float32](out)[i] = float32((w.Float64At(i) - z) * float64(s[k]))
	}
	return out
}

// freeze is m with the integers and steps of the trained twin.
func freeze(m, twin *model.Model, list []*thawed) (*model.Model, error) {
	p := &model.Patch{}
	set := map[string]*model.Tensor{}
	for _, in := range twin.Graph.Inits {
		if old := m.Graph.Init(in.Name); old != nil && in.Tensor.DType == model.Float32 {
			set[in.Name] = in.Tensor
		}
	}
	get := func(name string) *model.Tensor {
		if t := set[name]; t != nil {
			return t
		}
		return m.Graph.Init(name)
	}
	for _, t := range list { // weights first: biases are in their units
		if t.bias == nil {
			q, err := t.integers(m.Graph.Init(t.ints), twin.Graph.Init(t.float), get(t.dq.Inputs[1]), m.Graph.Init(input(t.dq, 2)))
			if err != nil {
				return nil, err
			}
			set[t.ints] = q
		}
	}
	for _, t := range list {
		if t.bias == nil {
			continue
		}
		unit := get(t.dq.Inputs[1]).Clone()
		if x, w := m.Graph.Producer(t.bias.Inputs[0]), m.Graph.Producer(t.bias.Inputs[1]); x != nil && w != nil && x.Op == "DequantizeLinear" && w.Op == "DequantizeLinear" && get(x.Inputs[1]) != nil && get(w.Inputs[1]) != nil {
			sx, sw := model.Data[float32](get(x.Inputs[1])), model.Data[float32](get(w.Inputs[1]))
			for i := range model.Data[float32](unit) {
				model.Data[float32](unit)[i] = sx[0] * sw[min(i, len(sw)-1)]
			}
			set[t.dq.Inputs[1]] = unit
		}
		q, err := t.integers(m.Graph.Init(t.ints), twin.Graph.Init(t.float), unit, nil)
		if err != nil {
			return nil, err
		}
		set[t.ints] = q
	}
	for _, in := range m.Graph.Inits {
		if t := set[in.Name]; t != nil {
			p.Inits = append(p.Inits, &model.Init{Name: in.Name, Tensor: t})
		}
	}
	return m.Apply(p)
}

// integers rounds as QuantizeLinear does.
func (t *thawed) integers(old, f, scale, zero *model.Tensor) (*model.Tensor, error) {
	bounds := map[model.DType][2]float64{model.Int8: {-128, 127}, model.Uint8: {0, 255}, model.Int4: {-8, 7}, model.Uint4: {0, 15}, model.Int32: {math.MinInt32, math.MaxInt32}}[old.DType]
	s := model.Data[float32](scale)
	out := model.NewTensor(old.DType, old.Shape...)
	for i, x := range model.Data[float32](f) {
		k := t.at(old.Shape, len(s), i)
		z := 0.0
		if zero != nil {
			z = zero.Float64At(min(k, zero.Len()-1))
		}
		q := math.RoundToEven(float64(x/s[k])) + z
		if math.IsNaN(q) {
			return nil, fail.New(fail.Failed, "a step of %s became 0", t.ints).Try("lower the learning rate")
		}
		out.SetFloat64(i, min(max(q, bounds[0]), bounds[1]))
	}
	return out, nil
}
