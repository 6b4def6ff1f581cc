package engine

import (
	"math"
	"strings"

	"fettle/internal/fail"
	"fettle/kernels/eltwise"
	"fettle/kernels/quant"
	"fettle/model"
	"fettle/ops"
)

// microsoft is the domain of ONNX Runtime's own operators on integers.
const microsoft = "com.microsoft"

// qlinear reports whether n is one of them.
func qlinear(n *model.Node) bool {
	return n.Domain == microsoft && (strings.HasPrefix(n.Op, "QLinear") || n.Op == "QGemm")
}

// pointOf reads the constant scale and zero point of an 8-bit tensor from inputs at and at+1 of n.
func (l *lowering) pointOf(n *model.Node, at int, d model.DType) (grid, bool) {
	s, z := l.known(arg(n, at)), l.known(arg(n, at+1))
	if s == nil || s.Len() != 1 || s.DType != model.Float32 || d != model.Int8 && d != model.Uint8 {
		return grid{}, false
	}
	g := grid{scale: model.Data[float32](s)[0], dtype: d}
	if arg(n, at+1) != "" {
		if z == nil || z.Len() != 1 || z.DType != d {
			return grid{}, false
		}
		g.zero = int(z.Int64At(0))
	}
	return g, g.scale > 0 && !math.IsInf(float64(g.scale), 0)
}

// tensor8 makes input at of the island's node, with its scale and zero point, one of its edges.
func (l *lowering) tensor8(isl *island, at int) bool {
	name := arg(isl.node, at)
	g, ok := l.pointOf(isl.node, at+1, l.inf.Types[name].DType)
	if !ok || l.dimsOf(name) == nil || l.known(name) != nil || !l.agree(name, g) {
		return false
	}
	isl.in = append(isl.in, edge{name, g})
	return true
}

// gives makes the node's result, whose scale is input at, the island's.
func (l *lowering) gives(isl *island, at int) bool {
	name := isl.node.Outputs[0]
	g, ok := l.pointOf(isl.node, at, l.inf.Types[name].DType)
	isl.out = edge{name, g}
	return ok && l.dimsOf(name) != nil
}

// matchQLinear2 takes QLinearAdd and QLinearMul of tensors of one shape, the latter also of pictures by a factor for each channel.
func matchQLinear2(l *lowering, n *model.Node, isl *island) bool {
	if !qlinear(n) || !l.tensor8(isl, 0) || !l.tensor8(isl, 3) || !l.gives(isl, 6) {
		return false
	}
	y := l.dimsOf(n.Outputs[0])
	if n.Op == "QLinearMul" && !same(l.dimsOf(isl.in[0].value), y) {
		isl.in[0], isl.in[1] = isl.in[1], isl.in[0]
	}
	other := l.dimsOf(isl.in[1].value)
	return same(l.dimsOf(isl.in[0].value), y) && (same(other, y) || n.Op == "QLinearMul" && perChannel(other, y))
}

// matchQLinearAverage takes QLinearGlobalAveragePool and QLinearAveragePool of pictures.
func matchQLinearAverage(l *lowering, n *model.Node, isl *island) bool {
	if !qlinear(n) || n.Int("channels_last", 0) != 0 || !l.tensor8(isl, 0) || !l.gives(isl, 3) {
		return false
	}
	x, y := l.dimsOf(isl.in[0].value), l.dimsOf(n.Outputs[0])
	if _, _, _, _, ok := dims4(x); !ok || len(x) != 4 {
		return false
	}
	_, ok := l.window8(n, x, y)
	return ok
}

// matchQLinearTable takes functions of one tensor.
func matchQLinearTable(l *lowering, n *model.Node, isl *island) bool {
	return qlinear(n) && l.tensor8(isl, 0) && l.gives(isl, 3)
}

// lowerQLinearTable tabulates the operator itself: it knows its scales.
func lowerQLinearTable(l *lowering, isl *island) error {
	a, o := isl.in[0].grid, isl.out.grid
	x := model.NewTensor(a.dtype, 256)
	for q := range 256 {
		x.Raw[q] = byte(q)
	}
	args := []*model.Tensor{x}
	for _, in := range isl.node.Inputs[1:] {
		args = append(args, l.known(in))
	}
	out, err := (&ops.Evaluator{Model: l.m}).Node(l.ctx, l.m, isl.node, args, nil)
	if err != nil {
		return err
	}
	table := new(quant.Table)
	for q, v := range out[0].Raw { // the u8 forms of both sides
		k := q
		if a.dtype == model.Int8 {
			k ^= 0x80
		}
		if o.dtype == model.Int8 {
			v ^= 0x80
		}
		table[k] = v
	}
	l.lookup(isl, table)
	return nil
}

// matchQGemm takes QGemm by one constant matrix with a result of bytes.
func matchQGemm(l *lowering, n *model.Node, isl *island) bool {
	axis := 1
	if n.Int("transB", 0) != 0 {
		axis = 0
	}
	w, s, z := l.known(arg(n, 3)), l.known(arg(n, 4)), l.known(arg(n, 5))
	if !qlinear(n) || n.Float("alpha", 1) != 1 || n.Int("transA", 0) != 0 || arg(n, 7) == "" || w == nil || s == nil || w.Rank() != 2 || len(w.Raw) == 0 ||
		!isl.setWeights(w, s, z, axis) || !l.tensor8(isl, 0) || !l.gives(isl, 7) {
		return false
	}
	if x := l.dimsOf(isl.in[0].value); len(x) != 2 || x[0] == 0 {
		return false
	}
	return l.sumBias(isl, 6, w.Shape[axis])
}

// sumBias reads input i, absent or constant, as a bias in steps of the sums.
func (l *lowering) sumBias(isl *island, i, n int) bool {
	if arg(isl.node, i) == "" {
		return true
	}
	b := l.known(arg(isl.node, i))
	if b == nil || b.DType != model.Int32 || b.Len() != n {
		return false
	}
	isl.steps = model.Data[int32](b)
	isl.bias = make([]float32, n)
	for k, v := range model.Data[int32](b) {
		isl.bias[k] = float32(v) * isl.in[0].grid.scale * isl.w.scale[min(k, len(isl.w.scale)-1)]
	}
	return true
}

// lowerQuantize16 lowers a QuantizeLinear to 16 bits and the DequantizeLinear behind it as one step: floats on the steps of the
// integers, with which float kernels compute what the file says.
func lowerQuantize16(l *lowering, n *model.Node) (bool, error) {
	x, g := l.in(n, 0), l.m.Graph
	d := l.inf.Types[n.Outputs[0]].DType
	u := g.Users(n.Outputs[0])
	if l.wide[n.Outputs[0]] || !x.f32() || x.data != nil || d != model.Int16 && d != model.Uint16 || len(u) != 1 || !standard(u[0], "DequantizeLinear") || g.Output(n.Outputs[0]) != nil ||
		l.inf.Types[u[0].Outputs[0]].DType != model.Float32 {
		return false, nil
	}
	to, ok1 := l.point16(n, d)
	from, ok2 := l.point16(u[0], d)
	if !ok1 || !ok2 || to != from {
		return false, nil
	}
	lo, hi := float32(math.MinInt16-to.zero), float32(math.MaxInt16-to.zero)
	if d == model.Uint16 {
		lo, hi = float32(-to.zero), float32(math.MaxUint16-to.zero)
	}
	c := *n
	c.Outputs = u[0].Outputs[:1]
	before := len(l.steps)
	k := eltwise.New(l.opt.Features)
	l.elementwise(&c, "f32_steps16", []*value{x}, func(dst []float32, src [][]float32) { k.Steps(dst, src[0], to.scale, lo, hi) }, true)
	l.done[u[0].ID] = true
	if len(l.steps) == before {
		return false, fail.New(fail.Internal, "no step for %s", n.Label())
	}
	s := l.steps[len(l.steps)-1]
	s.Nodes = append(s.Nodes, u[0].ID)
	s.DType = d.String()
	return true, nil
}

// point16 is the one scale and zero point of 16-bit integers.
func (l *lowering) point16(n *model.Node, d model.DType) (grid, bool) {
	s := l.known(arg(n, 1))
	if s == nil || s.DType != model.Float32 || s.Len() != 1 || n.Int("block_size", 0) != 0 {
		return grid{}, false
	}
	g := grid{scale: model.Data[float32](s)[0], dtype: d}
	if arg(n, 2) != "" {
		z := l.known(n.Inputs[2])
		if z == nil || z.Len() != 1 || z.DType != d {
			return grid{}, false
		}
		g.zero = int(z.Int64At(0))
	}
	return g, g.scale > 0 && !math.IsInf(float64(g.scale), 0)
}
