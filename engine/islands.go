package engine

import (
	"math"
	"slices"

	"fettle/kernels/conv"
	"fettle/kernels/cpu"
	"fettle/model"
)

// grid says which real numbers the elements of an 8-bit tensor stand for: real = scale * (q - zero).
type grid struct {
	scale float32
	zero  int
	dtype model.DType
}

// zero8 is the zero point in the u8 form of blocked tensors: s8 elements have their top bit flipped there.
func (g grid) zero8() uint8 {
	if g.dtype == model.Int8 {
		return uint8(g.zero + 128)
	}
	return uint8(g.zero)
}

// edge is an 8-bit value that an integer kernel reads.
type edge struct {
	value string
	grid  grid
}

// weights8 is a constant of s8, or of u8 around 128, with the scales of its output channels.
type weights8 struct {
	t     *model.Tensor
	shape []int
	scale []float32
}

// values gives the weights as s8.
func (w *weights8) values() []int8 {
	if w.t.DType == model.Int8 {
		return view[int8](w.t.Raw)
	}
	q := make([]int8, len(w.t.Raw))
	for k, b := range w.t.Raw {
		q[k] = int8(b ^ 0x80)
	}
	return q
}

// island is a float operator between DequantizeLinear and QuantizeLinear that runs on integers as a whole:
// y = Q(act(op(DQ(x)…))). nodes are what its step covers.
type island struct {
	node   *model.Node
	in     []edge
	w      *weights8
	bias   []float32
	steps  []int32 // the bias in steps of the sums, where the file has it so
	act    cpu.Act
	out    edge // value "": the result stays float
	nodes  []*model.Node
	dq     []*model.Node // DequantizeLinear nodes whose results it reads
	lower  func(*lowering, *island) error
	consts []*model.Node // DequantizeLinear of weights
	chain  []*model.Node // of a function of one value: what it computes, in order
}

// findIslands marks the nodes that run on integers. A DequantizeLinear that only islands read belongs to the first of them;
// others make their float tensor when a float step asks for it.
func (l *lowering) findIslands() {
	l.islands, l.zeros = map[model.NodeID]*island{}, map[string]int{}
	l.findWords()
	var order []*island
	for _, n := range l.m.Graph.Nodes {
		isl := l.match(n)
		if isl == nil {
			continue
		}
		l.islands[n.ID] = isl
		order = append(order, isl)
		for _, c := range isl.nodes {
			if c != n {
				l.done[c.ID] = true
				delete(l.islands, c.ID) // a function takes the islands within it along
			}
		}
	}
	order = slices.DeleteFunc(order, func(isl *island) bool { return l.islands[isl.node.ID] != isl })
	reads := map[string]int{} // of a DequantizeLinear's result by nodes of islands
	for _, isl := range order {
		mine := map[model.NodeID]bool{}
		for _, n := range isl.nodes {
			mine[n.ID] = true
		}
		seen := map[string]bool{}
		for _, d := range append(append([]*model.Node{}, isl.dq...), isl.consts...) {
			o := d.Outputs[0]
			if seen[o] {
				continue
			}
			seen[o] = true
			for _, u := range l.m.Graph.Users(o) {
				if mine[u.ID] {
					reads[o]++
				}
			}
		}
	}
	for _, isl := range order {
		for _, d := range append(append([]*model.Node{}, isl.dq...), isl.consts...) {
			o := d.Outputs[0]
			if !l.done[d.ID] && len(l.m.Graph.Users(o)) == reads[o] && l.m.Graph.Output(o) == nil {
				l.done[d.ID] = true
				isl.nodes = append(isl.nodes, d)
			}
		}
	}
}

// match describes n as an island, or nil.
func (l *lowering) match(n *model.Node) *island {
	if n.Domain != "" && n.Domain != "ai.onnx" && n.Domain != "fettle" && !qlinear(n) {
		return nil
	}
	for _, r := range islandRows {
		if r.op == n.Op && len(n.Outputs) > 0 {
			for _, o := range n.Outputs[1:] {
				if o != "" {
					return nil
				}
			}
			isl := &island{node: n, nodes: []*model.Node{n}, lower: r.lower}
			if r.match(l, n, isl) {
				return isl
			}
		}
	}
	return nil
}

// known is the constant called name, or nil.
func (l *lowering) known(name string) *model.Tensor {
	if v := l.vals[name]; v != nil {
		return v.data
	}
	return l.inf.Consts[name]
}

func arg(n *model.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// gridOf reads scale and zero point of a QuantizeLinear or DequantizeLinear with one step for the whole 8-bit tensor.
func (l *lowering) gridOf(n *model.Node, d model.DType) (grid, bool) {
	s := l.known(arg(n, 1))
	if s == nil || s.DType != model.Float32 || s.Len() != 1 || d != model.Int8 && d != model.Uint8 || n.Int("block_size", 0) != 0 {
		return grid{}, false
	}
	g := grid{scale: model.Data[float32](s)[0], dtype: d}
	if z := arg(n, 2); z != "" {
		t := l.known(z)
		if t == nil || t.Len() != 1 || t.DType != d {
			return grid{}, false
		}
		g.zero = int(t.Int64At(0))
	}
	return g, g.scale > 0 && !math.IsInf(float64(g.scale), 0)
}

// input makes the DequantizeLinear behind input i of the island's node one of its edges.
func (l *lowering) input(isl *island, i int) bool {
	d := l.m.Graph.Producer(arg(isl.node, i))
	if !standard(d, "DequantizeLinear") || l.known(d.Inputs[0]) != nil {
		return false
	}
	x := l.inf.Types[d.Inputs[0]]
	g, ok := l.gridOf(d, x.DType)
	if _, fixed := x.Shape.Ints(); !ok || !fixed || !x.Ranked || l.inf.Types[d.Outputs[0]].DType != model.Float32 {
		return false
	}
	if !l.agree(d.Inputs[0], g) {
		return false
	}
	isl.in = append(isl.in, edge{d.Inputs[0], g})
	isl.dq = append(isl.dq, d)
	return true
}

func standard(n *model.Node, op string) bool {
	return n != nil && n.Op == op && (n.Domain == "" || n.Domain == "ai.onnx")
}

// tail follows the island's result through a Relu or Clip (where acts allows them) to the QuantizeLinear that ends it.
func (l *lowering) tail(isl *island, acts bool) bool { return l.tailTo(isl, acts, l.gridOf) }

// tailTo is tail to the grids that read accepts.
func (l *lowering) tailTo(isl *island, acts bool, read func(*model.Node, model.DType) (grid, bool)) bool {
	g, y := l.m.Graph, isl.node.Outputs[0]
	for range 2 {
		u := g.Users(y)
		if len(u) != 1 || g.Output(y) != nil || arg(u[0], 0) != y {
			return false
		}
		n := u[0]
		switch {
		case standard(n, "QuantizeLinear"):
			q, ok := read(n, l.inf.Types[n.Outputs[0]].DType)
			if !ok {
				return false
			}
			isl.out = edge{n.Outputs[0], q}
			isl.nodes = append(isl.nodes, n)
			return true
		case acts && isl.act.Kind == cpu.None && standard(n, "Relu"):
			isl.act = cpu.Act{Kind: cpu.ReLU}
		case acts && isl.act.Kind == cpu.None && standard(n, "Clip"):
			lo, ok1 := l.bound(n, 1, n.Float("min", -math.MaxFloat32))
			hi, ok2 := l.bound(n, 2, n.Float("max", math.MaxFloat32))
			if !ok1 || !ok2 {
				return false
			}
			isl.act = cpu.Act{Kind: cpu.Clamp, A: lo, B: hi}
		default:
			return false
		}
		isl.nodes = append(isl.nodes, n)
		y = n.Outputs[0]
	}
	return false
}

func (l *lowering) bound(n *model.Node, i int, def float32) (float32, bool) {
	if arg(n, i) == "" {
		return def, true
	}
	t := l.known(n.Inputs[i])
	if t == nil || t.DType != model.Float32 || t.Len() != 1 {
		return 0, false
	}
	return model.Data[float32](t)[0], true
}

// weights reads the constant 8-bit weights behind input i, whose output channels lie along axis.
func (l *lowering) weights(isl *island, i, axis int) bool {
	d := l.m.Graph.Producer(arg(isl.node, i))
	if !standard(d, "DequantizeLinear") || d.Int("block_size", 0) != 0 {
		return false
	}
	q, s := l.known(d.Inputs[0]), l.known(arg(d, 1))
	if q == nil || s == nil {
		return false
	}
	if s.Len() != 1 {
		a := int(d.Int("axis", 1))
		if a < 0 {
			a += q.Rank()
		}
		if a != axis {
			return false
		}
	}
	zero := l.known(arg(d, 2))
	if arg(d, 2) != "" && zero == nil || !isl.setWeights(q, s, zero, axis) {
		return false
	}
	isl.consts = append(isl.consts, d)
	return true
}

// setWeights takes s8 weights around 0, or u8 around 128, with one scale or one for each index of axis.
func (isl *island) setWeights(q, s, zero *model.Tensor, axis int) bool {
	if s.DType != model.Float32 || q.DType != model.Int8 && q.DType != model.Uint8 || axis >= q.Rank() ||
		s.Len() != 1 && (s.Rank() != 1 || s.Len() != q.Shape[axis]) {
		return false
	}
	middle := int64(0)
	if q.DType == model.Uint8 {
		middle = 128
	}
	if zero == nil && middle != 0 {
		return false
	}
	for k := 0; zero != nil && k < zero.Len(); k++ {
		if zero.Int64At(k) != middle {
			return false
		}
	}
	isl.w = &weights8{t: q, shape: q.Shape, scale: model.Data[float32](s)}
	return true
}

// operands reads the inputs of QLinearConv and QLinearMatMul, x, its scale and zero point, w, its, and those of the result.
func (l *lowering) operands(isl *island, axis int) bool {
	n := isl.node
	point := func(at int, d model.DType) (grid, bool) {
		s, z := l.known(arg(n, at)), l.known(arg(n, at+1))
		if s == nil || z == nil || s.Len() != 1 || z.Len() != 1 || s.DType != model.Float32 || z.DType != d || d != model.Int8 && d != model.Uint8 {
			return grid{}, false
		}
		g := grid{scale: model.Data[float32](s)[0], zero: int(z.Int64At(0)), dtype: d}
		return g, g.scale > 0 && !math.IsInf(float64(g.scale), 0)
	}
	x, y := l.dimsOf(arg(n, 0)), l.dimsOf(n.Outputs[0])
	in, ok1 := point(1, l.inf.Types[arg(n, 0)].DType)
	out, ok2 := point(6, l.inf.Types[n.Outputs[0]].DType)
	w, s, z := l.known(arg(n, 3)), l.known(arg(n, 4)), l.known(arg(n, 5))
	if !ok1 || !ok2 || x == nil || y == nil || l.known(arg(n, 0)) != nil || w == nil || s == nil || z == nil || !isl.setWeights(w, s, z, axis) || !l.agree(arg(n, 0), in) {
		return false
	}
	isl.in, isl.out = []edge{{arg(n, 0), in}}, edge{n.Outputs[0], out}
	return true
}

// agree reports whether g has the zero point that other islands see in the value: its border in memory can hold only one.
func (l *lowering) agree(value string, g grid) bool {
	if z, seen := l.zeros[value]; seen && z != g.zero {
		return false
	}
	l.zeros[value] = g.zero
	return true
}

// biasOf reads input i, absent, constant float32, or int32 behind a DequantizeLinear, with n elements.
func (l *lowering) biasOf(isl *island, i, n int) bool {
	name := arg(isl.node, i)
	if name == "" {
		return true
	}
	d := l.m.Graph.Producer(name)
	if t := l.known(name); t != nil && !standard(d, "DequantizeLinear") {
		if t.DType != model.Float32 || t.Len() != n {
			return false
		}
		isl.bias = model.Data[float32](t)
		return isl.countable()
	}
	if !standard(d, "DequantizeLinear") {
		return false
	}
	q, s := l.known(d.Inputs[0]), l.known(arg(d, 1))
	if q == nil || s == nil || q.DType != model.Int32 || q.Len() != n || s.DType != model.Float32 || s.Len() != n && s.Len() != 1 {
		return false
	}
	if z := arg(d, 2); z != "" {
		t := l.known(z)
		for k := 0; t == nil || k < t.Len(); k++ {
			if t == nil || t.Int64At(k) != 0 {
				return false
			}
		}
	}
	sc := model.Data[float32](s)
	isl.bias = make([]float32, n)
	same := true
	for k, v := range model.Data[int32](q) {
		s := sc[min(k, len(sc)-1)]
		isl.bias[k] = float32(v) * s
		same = same && math.Abs(float64(s)/isl.sumStep(k)-1) < 1e-5
	}
	if same {
		isl.steps = model.Data[int32](q)
	}
	isl.consts = append(isl.consts, d)
	return same || isl.countable()
}

// sumStep is what one step of the sum of output k is worth.
func (isl *island) sumStep(k int) float64 {
	return float64(isl.in[0].grid.scale * isl.w.scale[min(k, len(isl.w.scale)-1)])
}

// countable reports whether the bias, counted in steps of the sums, leaves room for them in 32 bits.
func (isl *island) countable() bool {
	for k, v := range isl.bias {
		if !(math.Abs(float64(v)/isl.sumStep(k)) < conv.MostSteps) {
			return false
		}
	}
	return true
}

// dimsOf is the inferred shape of a value, nil where it is not known.
func (l *lowering) dimsOf(name string) []int {
	t := l.inf.Types[name]
	d, ok := t.Shape.Ints()
	if !ok || !t.Ranked {
		return nil
	}
	return d
}

// workers are the nodes of an island that do its work. QuantizeLinear and DequantizeLinear stand for the node that they
// were put beside, which may be the neighbour: with them, all layers of a quantized chain would stand for each other.
func workers(nodes []*model.Node) []*model.Node {
	var out []*model.Node
	for _, n := range nodes {
		if !standard(n, "QuantizeLinear") && !standard(n, "DequantizeLinear") {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return nodes
	}
	return out
}

// lowerIsland lowers a marked node.
func (l *lowering) lowerIsland(isl *island) error {
	before := len(l.steps)
	if err := isl.lower(l, isl); err != nil {
		return err
	}
	// One step, the last that was made for the node itself, stands for all that the island covers.
	for i := len(l.steps) - 1; i >= before; i-- {
		s := l.steps[i]
		if len(s.Nodes) == 0 {
			continue
		}
		s.Nodes = s.Nodes[:0]
		for _, n := range isl.nodes {
			s.Nodes = append(s.Nodes, n.ID)
		}
		s.Origin = model.MergeOrigins(workers(isl.nodes)...)
		s.Name, s.Op, s.DType = isl.node.Label(), isl.node.Op, "int8"
		if isl.out.grid.dtype == model.Int16 {
			s.DType = "int16"
		}
		return nil
	}
	for i := range l.free {
		if l.free[i].Node == isl.node.ID {
			for _, n := range isl.nodes[1:] {
				l.free = append(l.free, Free{n.ID, "view"})
			}
			return nil
		}
	}
	return nil
}
