package predict

import (
	"fmt"
	"slices"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
)

// Unit is what one kernel does: nodes of a model that run as one step. Kind says what cannot vary within a table's rows, Dims what can:
// sizes, then a 2 for each mark that it has and a 1 for each that it has not.
type Unit struct {
	Kind  string
	Dims  []float64
	Label string // of its first node
	Nodes []model.NodeID
	MACs  float64
	Bytes float64 // read and written

	work  [works]float64
	parts []Unit // where there are several
}

// works are amounts of work whose times a base adds up: a start, products, products padded to tiles of channels and pixels, those of
// Winograd with its transforms, bytes read, written and of weights, values of activation functions, and what is turned at the ends of a network.
const works = 16

// marks are what a layer may do besides: they do not make it another kind, because what they cost adds to what it costs.
const (
	summed  = iota // adds another value
	smooth         // SiLU, Sigmoid or another that is not a bound
	atInput        // reads what the caller gives, which may have to be turned
	atOutput
	marks
)

// tiles of output channels and pixels that kernels are made for.
func tiles() [4][2]int { return [4][2]int{{8, 1}, {16, 1}, {16, 6}, {32, 1}} }

// part is one node as a unit sees it.
type part struct {
	node  *model.Node
	kind  string
	dims  []float64
	marks [marks]bool
	work  [works]float64
	macs  float64
	bytes float64
	from  []string // values that it may be fused through
	at    int
}

// Graph is a model in parts.
type Graph struct {
	m     *model.Model
	parts []*part
	by    map[model.NodeID]*part
	types map[string]model.Type
}

// NewGraph takes a model apart. Open dimensions of inputs are 1 unless shapes names them. Invalid where a size stays open.
func NewGraph(m *model.Model, shapes map[string][]int) (*Graph, error) {
	types := map[string]model.Type{}
	for _, v := range m.Graph.Free() {
		t := v.Type
		t.Shape = slices.Clone(t.Shape)
		for i := range t.Shape {
			if s := shapes[v.Name]; i < len(s) {
				t.Shape[i] = model.Fixed(s[i])
			} else if !t.Shape[i].Known() {
				t.Shape[i] = model.Fixed(1)
			}
		}
		types[v.Name] = t
	}
	inf, missing, err := ops.Infer(m, types)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fail.New(fail.Unsupported, "the shape of what %s gives is not known", missing[0].Label()).At(fail.Where{Node: string(missing[0].ID), Op: missing[0].Op})
	}
	g := &Graph{m: m, by: map[model.NodeID]*part{}, types: inf.Types}
	for i, n := range m.Graph.Nodes {
		if constant(n, inf) || n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear" || n.Op == "Constant" || n.Op == "Identity" {
			continue
		}
		p, err := g.part(n, inf)
		if err != nil {
			return nil, err
		}
		p.at = i
		g.parts = append(g.parts, p)
		g.by[n.ID] = p
	}
	return g, nil
}

// constant nodes are reckoned before anything runs.
func constant(n *model.Node, inf *ops.Inferred) bool {
	for _, o := range n.Outputs {
		if o != "" && inf.Consts[o] == nil {
			return false
		}
	}
	return true
}

// through is the value behind conversions between floats and integers.
func (g *Graph) through(v string) (string, bool) {
	integer := false
	for range 4 {
		p := g.m.Graph.Producer(v)
		if p == nil || p.Op != "QuantizeLinear" && p.Op != "DequantizeLinear" && p.Op != "Identity" {
			break
		}
		integer = integer || p.Op == "DequantizeLinear"
		v = p.Inputs[0]
	}
	return v, integer
}

// own reports whether all inputs of n are made for it alone.
func (g *Graph) own(n *model.Node) bool {
	for _, v := range n.Inputs {
		src, _ := g.through(v)
		p := g.m.Graph.Producer(src)
		if p == nil || p.Op == "Concat" || len(g.users(src)) != 1 || g.m.Graph.Output(src) != nil {
			return false
		}
	}
	return true
}

func (g *Graph) dims(v string) ([]int, bool) {
	t, ok := g.types[v]
	d, known := t.Shape.Ints()
	return d, ok && t.Ranked && known
}

func (g *Graph) part(n *model.Node, inf *ops.Inferred) (*part, error) {
	p := &part{node: n}
	out, ok := g.dims(n.Outputs[0])
	if !ok {
		return nil, fail.New(fail.Invalid, "the size of what it gives is open").At(fail.Where{Node: string(n.ID), Op: n.Op}).Try("give the shapes of the inputs")
	}
	integer, input := false, false
	for _, v := range n.Inputs {
		if v == "" || inf.Consts[v] != nil {
			continue
		}
		src, q := g.through(v)
		integer = integer || q
		if g.m.Graph.Constant(src, false) != nil || inf.Consts[src] != nil {
			continue
		}
		input = input || g.m.Graph.Producer(src) == nil
		p.from = append(p.from, src)
	}
	kind := []string{n.Op}
	size := 4.0
	if integer {
		size = 1
	}
	for _, v := range n.Inputs {
		if d, ok := g.dims(v); ok && v != "" {
			p.bytes += size * product(d)
		}
	}
	p.bytes += size * product(out)
	switch in, known := g.dims(first(n.Inputs)); {
	case n.Op == "Conv" && known && len(in) == 4 && len(out) == 4:
		w, _ := g.dims(n.Inputs[1])
		kind = append(kind, g.conv(p, in, out, w, size)...)
	case (n.Op == "Gemm" || n.Op == "MatMul") && known && len(in) > 0:
		k, cols := float64(in[len(in)-1]), float64(out[len(out)-1])
		if n.Op == "Gemm" && n.Int("transA", 0) != 0 {
			k = float64(in[0])
		}
		rows := product(out) / max(cols, 1)
		if len(p.from) > 1 {
			kind = append(kind, "of values")
		}
		p.dims = []float64{rows, k, cols}
		p.multiply(rows, k, cols, 0, 0)
		p.work[8], p.work[9], p.work[10] = rows*k*size, rows*cols*size, k*cols*size
	default:
		if k := n.Ints("kernel_shape"); len(k) > 0 {
			kind = append(kind, join(k), "/"+join(n.Ints("strides")))
		}
		if a := n.Attr("axis"); a != nil {
			kind = append(kind, fmt.Sprintf("axis %d", a.I))
		}
		elements := 0.0
		if known {
			elements = product(in)
		}
		for _, v := range n.Inputs[min(1, len(n.Inputs)):] {
			if d, ok := g.dims(v); ok && v != "" && (n.Op == "Add" || n.Op == "Mul" || n.Op == "Sub" || n.Op == "Div") {
				kind = append(kind, broadcast(product(d), elements))
			}
		}
		if n.Op == "Concat" && g.own(n) {
			kind = append(kind, "of its own") // its inputs can be written where they belong
		}
		if n.Op == "GlobalAveragePool" && known && len(in) == 4 {
			p.dims = []float64{float64(in[1]), float64(in[2] * in[3])}
		} else {
			p.dims = []float64{max(elements, 1), max(product(out), 1)}
		}
		p.work[8], p.work[9] = elements*size, product(out)*size
	}
	p.work[0] = 1
	if a := n.Str("activation", "none"); a != "none" && a != "relu" && a != "clip" && a != "leakyrelu" {
		p.marks[smooth] = true
		p.work[11+b2i(a != "silu" && a != "sigmoid")] = product(out)
	}
	if integer {
		kind = append(kind, "int8")
	} else if t := g.types[n.Outputs[0]]; t.DType != model.Float32 {
		kind = append(kind, t.DType.String())
	}
	if input && n.Op == "Conv" {
		p.marks[atInput] = true
		if in, ok := g.dims(first(n.Inputs)); ok {
			p.work[13] = product(in)
		}
	}
	if g.m.Graph.Output(n.Outputs[0]) != nil && len(out) == 4 {
		p.marks[atOutput], p.work[14] = true, product(out)
	}
	p.kind = strings.Join(kind, " ")
	return p, nil
}

// conv fills in the dims and amounts of a convolution and gives the words of its kind.
func (g *Graph) conv(p *part, in, out, w []int, size float64) []string {
	n := p.node
	group := int(n.Int("group", 1))
	if len(w) != 4 {
		w = []int{out[1], in[1] / max(group, 1), 1, 1}
	}
	var words []string
	pixels, taps := float64(out[0]*out[2]*out[3]), float64(w[2]*w[3])
	words = append(words, fmt.Sprintf("%dx%d", w[2], w[3]))
	stride := 1
	if s := n.Ints("strides"); len(s) == 2 && (s[0] != 1 || s[1] != 1) {
		words = append(words, "/"+join(s))
		stride = int(s[0])
	}
	if d := n.Ints("dilations"); len(d) == 2 && (d[0] != 1 || d[1] != 1) {
		words = append(words, "dilated "+join(d))
	}
	switch {
	case group == in[1] && group == out[1] && group > 1:
		words = append(words, "depthwise")
		p.dims = []float64{float64(out[1]), pixels}
		p.multiply(pixels, taps, float64(out[1]), 0, 0)
	case group > 1:
		words = append(words, fmt.Sprintf("%d groups", group))
		p.dims = []float64{float64(w[1]), float64(out[1]), pixels}
		p.multiply(pixels, taps*float64(w[1]), float64(out[1]), 0, 0)
	default:
		p.dims = []float64{float64(in[1]), float64(out[1]), pixels}
		var wino, turned float64
		if w[2] == 3 && w[3] == 3 && stride == 1 {
			t := float64(out[0] * ceil(out[2], 4) * ceil(out[3], 4))
			wino, turned = t*36*float64(in[1])*float64(16*ceil(out[1], 16)), t*36*float64(in[1]+out[1])
		}
		p.multiply(pixels, taps*float64(in[1]), float64(out[1]), wino, turned)
	}
	p.work[8], p.work[9], p.work[10] = product(in)*size, product(out)*size, product(w)*size
	if n.Domain == "fettle" {
		if len(n.Inputs) > 3 && n.Inputs[3] != "" {
			p.marks[summed], p.work[15] = true, product(out)*size
			if src, _ := g.through(n.Inputs[3]); len(p.from) > 1 { // what is added is no way to be fused
				p.from = slices.DeleteFunc(p.from, func(v string) bool { return v == src && v != p.from[0] })
			}
		}
	}
	return words
}

// multiply sets the products of rows x depth by depth x columns.
func (p *part) multiply(rows, depth, cols, wino, turned float64) {
	p.macs = rows * depth * cols
	p.work[1] = p.macs
	for i, t := range tiles() {
		p.work[2+i] = float64(t[1]*ceil(int(rows), t[1])) * depth * float64(t[0]*ceil(int(cols), t[0]))
	}
	p.work[6], p.work[7] = wino, turned
}

// unit joins parts, in the order of the graph.
func unit(parts []*part) Unit {
	slices.SortFunc(parts, func(a, b *part) int { return a.at - b.at })
	u := Unit{Label: parts[0].node.Label()}
	var kinds []string
	var any [marks]bool
	for _, p := range parts {
		kinds = append(kinds, p.kind)
		u.Dims = append(u.Dims, p.dims...)
		for i, on := range p.marks {
			any[i] = any[i] || on
		}
		u.Nodes = append(u.Nodes, p.node.ID)
		u.MACs += p.macs
		u.Bytes += p.bytes
		for i, v := range p.work {
			u.work[i] += v
		}
	}
	u.work[0] = 1
	for _, on := range any {
		u.Dims = append(u.Dims, 1+float64(b2i(on)))
	}
	u.Kind = strings.Join(kinds, " | ")
	if len(parts) > 1 {
		for _, p := range parts {
			u.parts = append(u.parts, unit([]*part{p}))
		}
		u.Label += " → " + parts[len(parts)-1].node.Label()
	}
	return u
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func broadcast(other, elements float64) string {
	switch {
	case other == elements:
		return "of equals"
	case other <= 1:
		return "with a number"
	}
	return "with fewer"
}

func product(d []int) float64 {
	v := 1.0
	for _, n := range d {
		v *= float64(n)
	}
	return v
}

func ceil(n, by int) int { return (n + by - 1) / by }

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

func join(d []int64) string {
	var s []string
	for _, v := range d {
		s = append(s, fmt.Sprint(v))
	}
	return strings.Join(s, "x")
}
