package ops

import (
	"fmt"
	"math"
	"math/rand"
	"strings"

	"fettle/model"
)

// draw makes random nodes: from bytes while there are any, so that a fuzzer steers it, and from a seed after that.
type draw struct {
	data []byte
	r    *rand.Rand
	tame bool // no infinities or far numbers, flags 0 or 1: what other runtimes give a meaning
}

// n draws from 0..k-1.
func (d *draw) n(k int) int {
	if len(d.data) > 0 {
		b := int(d.data[0])
		d.data = d.data[1:]
		return b % k
	}
	return d.r.Intn(k)
}

// in is true k times of 100.
func (d *draw) in(k int) bool { return d.n(100) < k }

func pickOf[T any](d *draw, l ...T) T { return l[d.n(len(l))] }

// example is one node in a model of its own, with its inputs.
type example struct {
	m      *model.Model
	node   *model.Node // the one of interest, the last
	inputs map[string]*model.Tensor
	fixed  map[string]bool // inputs that other runtimes want as constants
}

// example makes a node of def with attributes, ranks, shapes and dtypes that are right more often than not.
func (d *draw) example(def *Def) *example {
	opset := pickOf(d, def.Since...)
	if d.in(30) && def.Domain == "" {
		opset = max(opset, pickOf(d, 6, 9, 10, 11, 12, 13, 17, 18, 21, 23))
	}
	if def.Until > 0 {
		opset = min(opset, def.Until-1)
	}
	x := &example{inputs: map[string]*model.Tensor{}, node: &model.Node{ID: "n", Op: def.Name, Domain: def.Domain}}
	x.m = &model.Model{IRVersion: 10, Opsets: []model.Opset{{Domain: def.Domain, Version: int64(opset)}}, Graph: &model.Graph{Name: "g"}}
	if def.Domain != "" {
		x.m.Opsets = append(x.m.Opsets, model.Opset{Version: 17})
	}
	if !d.in(70) || !d.hinted(def, x) {
		d.inputs(def, x)
		for _, a := range def.Attrs {
			if a.Required && !d.in(97) || !a.Required && d.in(55) || a.Until > 0 && opset >= a.Until && !d.in(5) {
				continue
			}
			x.node.Attrs = append(x.node.Attrs, d.attr(a))
		}
	}
	for i, p := range def.Out {
		count := 1
		if p.Opt && d.in(40) {
			count = 0
		}
		if p.Many {
			count += d.n(3)
		}
		for k := range count {
			x.node.Outputs = append(x.node.Outputs, fmt.Sprintf("y%d_%d", i, k))
		}
		if count == 0 {
			break
		}
	}
	x.m.Graph.Nodes = []*model.Node{x.node}
	for _, o := range x.node.Outputs {
		x.m.Graph.Outputs = append(x.m.Graph.Outputs, model.Value{Name: o})
	}
	return x
}

func (d *draw) inputs(def *Def, x *example) {
	base := d.dims(d.n(5))
	bound := map[string]model.DType{}
	for i, p := range def.In {
		count := 1
		if p.Opt && d.in(40) {
			count = 0
		}
		if p.Many {
			count += d.n(3)
		}
		if count == 0 {
			x.node.Inputs = append(x.node.Inputs, "")
		}
		for k := range count {
			dt, ok := bound[p.Type]
			if !ok || d.in(2) {
				dt = d.dtype(def, p)
				bound[p.Type] = dt
			}
			d.give(x, fmt.Sprintf("x%d_%d", i, k), d.valueFor(p, dt, d.shape(base, i)))
		}
	}
	for n := len(x.node.Inputs); n > 0 && x.node.Inputs[n-1] == ""; n-- {
		x.node.Inputs = x.node.Inputs[:n-1]
	}
}

func (d *draw) give(x *example, name string, t *model.Tensor) {
	x.node.Inputs = append(x.node.Inputs, name)
	x.inputs[name] = t
	x.m.Graph.Inputs = append(x.m.Graph.Inputs, model.Value{Name: name, Type: model.TypeOf(t)})
}

// dtype picks one that the port allows, float32 by preference, or now and then any.
func (d *draw) dtype(def *Def, p Port) model.DType {
	set, ok := def.Types[p.Type]
	if !ok {
		if c, ok := model.ParseDType(p.Type); ok {
			set = SetOf(c)
		} else {
			set = Any
		}
	}
	if d.in(2) {
		set = Any
	}
	var all []model.DType
	for c := model.DType(1); c.Valid(); c++ {
		if set.Has(c) {
			all = append(all, c)
		}
	}
	if set.Has(model.Sequence) && (len(all) == 0 || d.in(30)) {
		return model.Sequence
	}
	if set.Has(model.Map) && !d.in(10) {
		return model.Map
	}
	if set.Has(model.Float32) && d.in(50) || len(all) == 0 {
		return model.Float32
	}
	return pickOf(d, all...)
}

func (d *draw) dims(rank int) []int {
	s := make([]int, rank)
	for i := range s {
		s[i] = pickOf(d, 1, 2, 2, 3, 3, 4, 4, 5, 8)
		if d.in(4) {
			s[i] = 0
		}
	}
	return s
}

// shape is one that goes with the first input often: the same, a part of it, a line along one of its dimensions, a scalar.
func (d *draw) shape(base []int, i int) []int {
	k := d.n(100)
	switch {
	case i == 0 && k < 90, k < 30:
		return base
	case k < 45:
		return []int{}
	case k < 60:
		return []int{pickOf(d, 1, 2, 3, 4)}
	case k < 70:
		return []int{len(base) * (1 + d.n(2))}
	case k < 80 && len(base) > 0:
		return []int{base[d.n(len(base))]}
	case k < 85 && len(base) > 0:
		return base[d.n(len(base)):]
	}
	return d.dims(d.n(6))
}

func (d *draw) int() int64 {
	if d.in(3) && !d.tame {
		return pickOf(d, int64(math.MinInt64), math.MaxInt64, math.MinInt64+1, 1<<31, -1<<31, 1<<48, 1<<62, 1<<20, -1<<40, 1000003)
	}
	return int64(d.n(8)) - 2
}

func (d *draw) float() float64 {
	if d.in(3) && !d.tame {
		return pickOf(d, math.NaN(), math.Inf(1), math.Inf(-1), 1e30, -1e30, 1e-30)
	}
	return float64(d.n(25))/4 - 3
}

func (d *draw) text() string { return pickOf(d, "", "a", "b", "1.5", "-2", "x y", "ä", "nan") }

func (d *draw) value(dt model.DType, dims []int) *model.Tensor {
	if dt == model.Map {
		return d.dict(pickOf(d, model.String, model.Int64), pickOf(d, model.Float32, model.Int64, model.String, model.Float64))
	}
	if dt == model.Sequence {
		elem := pickOf(d, model.Float32, model.Int64, model.String)
		t := &model.Tensor{DType: model.Sequence, Elem: elem}
		for range d.n(4) {
			t.Elems = append(t.Elems, d.value(elem, d.dims(len(dims))))
		}
		return t
	}
	if d.in(3) && len(dims) > 1 {
		dims = dims[:1]
	}
	t := model.NewTensor(dt, dims...)
	for i := range t.Len() {
		switch {
		case dt == model.String:
			t.Strs[i] = d.text()
		case dt == model.Bool:
			t.Raw[i] = byte(d.n(2))
		case dt.Integer():
			t.SetInt64(i, d.int())
		default:
			t.SetFloat64(i, d.float())
		}
	}
	return t
}

// valueFor is a value that goes with a port: scales that are not positive, and zero points of floats that are not zero, have no
// meaning in other runtimes.
func (d *draw) valueFor(p Port, dt model.DType, dims []int) *model.Tensor {
	t := d.value(dt, dims)
	for i := range t.Len() {
		switch {
		case !d.tame || !dt.Float():
		case strings.HasSuffix(p.Name, "_scale"):
			t.SetFloat64(i, 0.25+math.Abs(t.Float64At(i)))
		case strings.HasSuffix(p.Name, "_zero_point"):
			t.SetFloat64(i, 0)
		}
	}
	return t
}

func (d *draw) attr(s AttrSpec) model.Attr {
	a := model.Attr{Name: s.Name, Type: s.Type}
	if d.in(2) && !d.tame {
		a.Type = pickOf(d, model.AttrFloat, model.AttrInt, model.AttrString, model.AttrInts, model.AttrFloats, model.AttrTensor)
	}
	switch a.Type {
	case model.AttrFloat:
		a.F = float32(d.float())
	case model.AttrInt:
		a.I = d.int()
		if strings.Contains(s.Name, "type") || s.Name == "to" {
			a.I = int64(d.n(26))
		}
		if flag, ok := s.Default.(int64); ok && d.tame && s.Name != "axis" && (flag == 0 || flag == 1) {
			a.I = int64(d.n(2))
		}
	case model.AttrString:
		a.S = []byte(d.text())
		if len(s.Enum) > 0 && d.in(95) {
			a.S = []byte(pickOf(d, s.Enum...))
		} else if v, ok := s.Default.(string); ok && d.in(70) {
			a.S = []byte(v)
		}
	case model.AttrInts:
		for range d.n(6) {
			a.Ints = append(a.Ints, d.int())
		}
	case model.AttrFloats:
		for range d.n(6) {
			a.Floats = append(a.Floats, float32(d.float()))
		}
	case model.AttrStrings:
		for range d.n(6) {
			a.Strings = append(a.Strings, []byte(d.text()))
		}
	case model.AttrTensor:
		if d.in(95) {
			a.T = d.value(pickOf(d, model.Float32, model.Int64, model.Uint8, model.String, model.Int4), d.dims(d.n(2)))
		}
	case model.AttrGraph:
		if d.in(95) {
			a.G = d.graph()
		}
	case model.AttrTypeProto:
		if d.in(95) {
			t := model.TensorType(pickOf(d, model.Float32, model.Int64), model.Shape{})
			a.TP = &t
		}
	}
	return a
}

// graph is a body that hands its inputs and what is around it on.
func (d *draw) graph() *model.Graph {
	g := &model.Graph{Name: "body"}
	names := []string{"x0_0"}
	for i := range d.n(5) {
		n := fmt.Sprintf("in%d", i)
		names = append(names, n)
		g.Inputs = append(g.Inputs, model.Value{Name: n})
	}
	for i := range 1 + d.n(4) {
		o := fmt.Sprintf("out%d", i)
		from := names[d.n(len(names))]
		if i+1 < len(names) && d.in(70) {
			from = names[i+1]
		}
		g.Nodes = append(g.Nodes, &model.Node{ID: model.NodeID("b" + o), Op: "Identity", Inputs: []string{from}, Outputs: []string{o}})
		g.Outputs = append(g.Outputs, model.Value{Name: o})
	}
	return g
}

// String is what to paste into an issue.
func (x *example) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%s opset %d", x.node.Domain, x.node.Op, x.m.Opset(x.node.Domain))
	for _, n := range x.node.Inputs {
		t := x.inputs[n]
		if t == nil {
			b.WriteString("\n  in  absent")
			continue
		}
		fmt.Fprintf(&b, "\n  in  %s%v", t.DType, t.Shape)
		if t.DType.Valid() && t.Len() <= 24 {
			b.WriteString(" =")
			for i := range t.Len() {
				if t.DType == model.String {
					fmt.Fprintf(&b, " %q", t.Strs[i])
				} else if t.DType.Integer() {
					fmt.Fprintf(&b, " %d", t.Int64At(i))
				} else {
					fmt.Fprintf(&b, " %g", t.Float64At(i))
				}
			}
		}
	}
	for _, a := range x.node.Attrs {
		fmt.Fprintf(&b, "\n  %s(%d) i=%d f=%g s=%q ints=%v floats=%v", a.Name, a.Type, a.I, a.F, a.S, a.Ints, a.Floats)
		if a.T != nil {
			fmt.Fprintf(&b, " tensor=%s%v", a.T.DType, a.T.Shape)
		}
		if a.G != nil {
			fmt.Fprintf(&b, " graph with %d inputs, %d outputs", len(a.G.Inputs), len(a.G.Outputs))
		}
	}
	fmt.Fprintf(&b, "\n  outputs %q", x.node.Outputs)
	return b.String()
}
