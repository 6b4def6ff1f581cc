package engine

import (
	"fettle/internal/fail"
	"fettle/kernels/conv"
	"fettle/kernels/cpu"
	"fettle/kernels/gemm"
	"fettle/kernels/quant"
	"fettle/kernels/team"
	"fettle/model"
)

// lowerQuantize lowers QuantizeLinear of a float32 tensor with one step, to 8 bit.
func lowerQuantize(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	dims := l.outDims(n, 0)
	d := l.inf.Types[n.Outputs[0]].DType
	g, ok := l.gridOf(n, d)
	if !x.f32() || x.data != nil || dims == nil || !ok {
		return false, nil
	}
	s := &step{Step: Step{Kernel: "f32_quantize", DType: d.String(), Bytes: byteSize(x)}}
	src := l.needPlain(x)
	out := l.out(n, 0)
	out.plain = l.newPlain(out)
	dst := out.plain
	s.Bytes += byteSize(out)
	s.reads, s.writes = []*buffer{src}, []*buffer{dst}
	k := quant.New(l.opt.Features)
	s.bind = func(ses *Session) ([]team.Task, error) {
		v, b := ses.floats(src), ses.bytes(dst)
		return []team.Task{ranges(len(b), 8192, func(from, to int) {
			if g.dtype == model.Int8 {
				quant.Quantize(k, view[int8](b[from:to]), v[from:to], g.scale, int8(g.zero))
			} else {
				quant.Quantize(k, b[from:to], v[from:to], g.scale, uint8(g.zero))
			}
		})}, nil
	}
	l.add(s, n)
	return true, nil
}

// lowerDequantize lowers DequantizeLinear of an 8-bit tensor with one step; the floats are made when a step asks for them.
func lowerDequantize(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	if !x.eight() || x.data != nil || l.outDims(n, 0) == nil || l.inf.Types[n.Outputs[0]].DType != model.Float32 {
		return false, nil
	}
	g, ok := l.gridOf(n, x.typ.DType)
	if !ok {
		return false, nil
	}
	out := l.out(n, 0)
	out.from, out.fromBy = &edge{x.name, g}, n
	return true, nil
}

// dequantize adds the step that makes the floats of v.
func (l *lowering) dequantize(v *value) {
	e, n := v.from, v.fromBy
	v.from = nil
	x := l.vals[e.value]
	src := l.needPlain(x)
	v.plain = l.newPlain(v)
	dst, g := v.plain, e.grid
	s := &step{Step: Step{Kernel: "f32_dequantize", DType: x.typ.DType.String(), Bytes: byteSize(x) + byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	k := quant.New(l.opt.Features)
	s.bind = func(ses *Session) ([]team.Task, error) {
		b, d := ses.bytes(src), ses.floats(dst)
		return []team.Task{ranges(len(b), 8192, func(from, to int) {
			if g.dtype == model.Int8 {
				quant.Dequantize(k, d[from:to], view[int8](b[from:to]), g.scale, int8(g.zero))
			} else {
				quant.Dequantize(k, d[from:to], b[from:to], g.scale, uint8(g.zero))
			}
		})}, nil
	}
	l.add(s, n)
}

// blocks8 gives the blocked u8 form of edge i with a border that holds its zero point.
func (l *lowering) blocks8(isl *island, i int, border cpu.Border) *buffer {
	e := isl.in[i]
	b := l.needBlocked(l.vals[e.value], border)
	b.fill = e.grid.zero8()
	return b
}

// out8 makes the island's result.
func (l *lowering) out8(isl *island) *value {
	v := l.newValue(isl.out.value, l.inf.Types[isl.out.value])
	l.vals[isl.out.value] = v
	return v
}

// shape8 is the convolution of an island; false where the integer kernels do not have it.
func (l *lowering) shape8(isl *island) (conv.Shape, bool) {
	x, y := l.dimsOf(isl.in[0].value), l.dimsOf(isl.node.Outputs[0])
	if x == nil || y == nil {
		return conv.Shape{}, false
	}
	s, ok := convShape(isl.node, x, isl.w.shape, y)
	s.Act, s.Residual = isl.act, len(isl.in) > 1
	if !ok || s.Act.Kind > cpu.Clamp {
		return s, false
	}
	algs, err := conv.PlanQ(s, l.opt.Features)
	return s, err == nil && len(algs) > 0
}

// matchConv8 takes Conv and fettle:Conv with 8-bit input, constant weights and an 8-bit result.
func matchConv8(l *lowering, n *model.Node, isl *island) bool {
	act, ok := activation(n)
	if !ok || !l.input(isl, 0) || !l.weights(isl, 1, 0) {
		return false
	}
	isl.act = act
	if !l.biasOf(isl, 2, isl.w.shape[0]) {
		return false
	}
	if arg(n, 3) != "" && (!l.input(isl, 3) || !same(l.dimsOf(isl.in[1].value), l.dimsOf(n.Outputs[0]))) {
		return false
	}
	if !l.tail(isl, true) {
		return false
	}
	_, ok = l.shape8(isl)
	return ok
}

// matchQLinearConv takes QLinearConv with constant weights; its bias counts in steps of the sums.
func matchQLinearConv(l *lowering, n *model.Node, isl *island) bool {
	if !l.operands(isl, 0) {
		return false
	}
	if !l.sumBias(isl, 8, isl.w.shape[0]) {
		return false
	}
	_, ok := l.shape8(isl)
	return ok
}

// matchQLinearMatMul takes QLinearMatMul by one constant matrix.
func matchQLinearMatMul(l *lowering, n *model.Node, isl *island) bool {
	if !l.operands(isl, 1) || len(isl.w.shape) != 2 || len(l.dimsOf(isl.in[0].value)) < 2 || len(isl.w.t.Raw) == 0 {
		return false
	}
	y := l.dimsOf(n.Outputs[0])
	rows, _ := model.Count(y[:len(y)-1])
	if rows == 0 {
		return false
	}
	_, err := conv.PlanQ(l.rows8(isl), l.opt.Features)
	return err == nil
}

// vectors is algs without the portable kernel, which is small but no choice where there are others.
func vectors(algs []*conv.QAlgorithm) []*conv.QAlgorithm {
	if n := len(algs) - 1; n > 0 {
		return algs[:n]
	}
	return algs
}

func lowerConv8(l *lowering, isl *island) error {
	shape, _ := l.shape8(isl)
	algs, err := conv.PlanQ(shape, l.opt.Features)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	alg, why := chooseConv(&l.opt, vectors(algs), shape, true, func(a *conv.QAlgorithm) string { return a.Name }, shape.WeightLen()/4)
	x := l.vals[isl.in[0].value]
	var in, res *buffer
	if alg.In.Block == l.opt.Features.BlockI8() {
		in = l.blocks8(isl, 0, alg.In.Border)
	} else {
		in = l.pixels8(x, alg.In, isl.in[0].grid.zero8())
	}
	s := &step{Step: Step{Kernel: alg.Name, Why: why, MACs: alg.MACs, Bytes: byteSize(x) + int64(len(isl.w.t.Raw))}, reads: []*buffer{in}}
	q := conv.Quant{InScale: isl.in[0].grid.scale, InZero: isl.in[0].grid.zero8(), OutScale: isl.out.grid.scale, OutZero: isl.out.grid.zero8(), WScale: isl.w.scale, Bias: isl.bias, Steps: isl.steps}
	if shape.Residual {
		res = l.blocks8(isl, 1, cpu.Border{})
		s.reads = append(s.reads, res)
		q.ResScale, q.ResZero = isl.in[1].grid.scale, isl.in[1].grid.zero8()
	}
	out := l.out8(isl)
	dst := l.newBlocked(out, cpu.Border{})
	dst.fill = isl.out.grid.zero8()
	s.Bytes += byteSize(out)
	scratch := l.scratch(0)
	s.writes = []*buffer{dst, scratch}
	packed, err := l.packed(isl.node, alg.Name, alg.PackedLen(), isl.w.t, func(dst []float32) error { return alg.Pack(dst, isl.w.values(), q) })
	if err != nil {
		return err
	}
	var table *[256]uint8
	if alg.LooksUp() {
		s.look = func(t *[256]uint8) { table = t }
	}
	var bound conv.QBound
	workers := l.opt.Threads
	s.settle = func() (err error) {
		var lay *cpu.Layout
		if res != nil {
			lay = &res.layout
		}
		if bound, err = alg.Bind(packed, in.layout, dst.layout, lay, workers); err == nil {
			scratch.size = bound.Scratch()
		}
		return err
	}
	s.bind = func(ses *Session) ([]team.Task, error) {
		b := conv.QBuffers{In: ses.bytes(in), Out: ses.bytes(dst), Scratch: ses.bytes(scratch), Table: table}
		if res != nil {
			b.Res = ses.bytes(res)
		}
		return []team.Task{bound.OnQ(b)}, nil
	}
	l.add(s, isl.node)
	return nil
}

// pixels8 gives the input of a first layer as whole pixels of need.Block bytes.
func (l *lowering) pixels8(x *value, need cpu.Need, zero uint8) *buffer {
	src := l.needPlain(x)
	n, c, h, w, _ := dims4(x.dims)
	b := l.newBuffer(x.name+" (NHWC)", 0)
	b.isBlocked, b.elem, b.border, b.fill = true, 1, need.Border, zero
	b.layout = cpu.NewLayout(n, c, h, w, need.Block, cpu.Border{})
	l.block8(x, src, b)
	return b
}

// matchGemm8 takes Gemm and MatMul by one constant matrix. A result that no QuantizeLinear ends comes out of the
// accumulators as float32.
func matchGemm8(l *lowering, n *model.Node, isl *island) bool {
	act, ok := activation(n)
	axis := 1
	if n.Op == "Gemm" && n.Int("transB", 0) != 0 {
		axis = 0
	}
	if !ok || n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 || n.Int("transA", 0) != 0 || !l.input(isl, 0) || !l.weights(isl, 1, axis) || len(isl.w.shape) != 2 {
		return false
	}
	x, y := l.dimsOf(isl.in[0].value), l.dimsOf(n.Outputs[0])
	if len(x) < 2 || y == nil || isl.w.shape[0] == 0 || isl.w.shape[1] == 0 {
		return false
	}
	if rows, _ := model.Count(y[:len(y)-1]); rows == 0 || !l.biasOf(isl, 2, isl.w.shape[axis]) {
		return false
	}
	isl.act = act
	if l.tail(isl, true) && isl.act.Kind <= cpu.Clamp {
		_, err := conv.PlanQ(l.rows8(isl), l.opt.Features)
		return err == nil
	}
	// Without an instruction set for sums of bytes the float kernel is faster than the portable one.
	algs, err := gemm.Plan(gemm.Shape{M: 1, N: 1, K: 1, Int8: true}, l.opt.Features)
	isl.nodes, isl.act, isl.out = isl.nodes[:1], act, edge{}
	return err == nil && (algs[0].ISA != cpu.Generic || len(l.opt.Features.Levels()) == 1)
}

// rows8 is the product as a 1x1 convolution: a row of A is a pixel.
func (l *lowering) rows8(isl *island) conv.Shape {
	y := l.dimsOf(isl.node.Outputs[0])
	m, _ := model.Count(y[:len(y)-1])
	x := l.dimsOf(isl.in[0].value)
	return conv.Shape{N: 1, C: x[len(x)-1], H: 1, W: m, M: y[len(y)-1], KH: 1, KW: 1, SH: 1, SW: 1, DH: 1, DW: 1, Groups: 1, Act: isl.act}
}

// transposed gives the weights as [output][input].
func (w *weights8) transposed(axis int) []int8 {
	q := w.values()
	if axis == 0 {
		return q
	}
	k, n := w.shape[0], w.shape[1]
	out := make([]int8, len(q))
	for i := range k {
		for j := range n {
			out[j*k+i] = q[i*n+j]
		}
	}
	return out
}

func lowerGemm8(l *lowering, isl *island) error {
	axis := 1
	if isl.node.Op != "QLinearMatMul" && isl.node.Int("transB", 0) != 0 {
		axis = 0
	}
	if isl.out.value == "" {
		return l.gemmFloat8(isl, axis)
	}
	shape := l.rows8(isl)
	algs, err := conv.PlanQ(shape, l.opt.Features)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	alg := algs[0]
	for _, a := range algs { // rows are no pixels of four bytes
		if a.In.Block == l.opt.Features.BlockI8() {
			alg = a
			break
		}
	}
	x := l.vals[isl.in[0].value]
	src := l.needPlain(x)
	block := l.opt.Features.BlockI8()
	side := func(name string, c int, zero uint8) *buffer {
		b := l.newBuffer(name, 0)
		b.isBlocked, b.elem, b.fill = true, 1, zero
		b.layout = cpu.NewLayout(1, c, 1, shape.W, block, cpu.Border{})
		return b
	}
	in := side(x.name+" (rows)", shape.C, isl.in[0].grid.zero8())
	in.border = alg.In.Border
	mid := side(isl.out.value+" (rows)", shape.M, isl.out.grid.zero8())
	q := conv.Quant{InScale: isl.in[0].grid.scale, InZero: isl.in[0].grid.zero8(), OutScale: isl.out.grid.scale, OutZero: isl.out.grid.zero8(), WScale: isl.w.scale, Bias: isl.bias, Steps: isl.steps}
	packed, err := l.packed(isl.node, alg.Name, alg.PackedLen(), isl.w.t, func(dst []float32) error { return alg.Pack(dst, isl.w.transposed(axis), q) })
	if err != nil {
		return err
	}
	out := l.out8(isl)
	out.plain = l.newPlain(out)
	dst := out.plain
	s := &step{Step: Step{Kernel: alg.Name, MACs: alg.MACs, Bytes: byteSize(x) + int64(len(isl.w.t.Raw)) + byteSize(out)}, reads: []*buffer{src}, writes: []*buffer{in, mid, dst}}
	var bound conv.QBound
	workers := l.opt.Threads
	scratch := l.scratch(0)
	s.writes = append(s.writes, scratch)
	s.settle = func() (err error) {
		if bound, err = alg.Bind(packed, in.layout, mid.layout, nil, workers); err == nil {
			scratch.size = bound.Scratch()
		}
		return err
	}
	inFlip, outFlip := x.flip(), out.flip()
	s.bind = func(ses *Session) ([]team.Task, error) {
		return []team.Task{
			rowsIn8(in.layout, ses.bytes(in), ses.bytes(src), inFlip),
			bound.OnQ(conv.QBuffers{In: ses.bytes(in), Out: ses.bytes(mid), Scratch: ses.bytes(scratch)}),
			rowsOut8(mid.layout, ses.bytes(dst), ses.bytes(mid), outFlip),
		}, nil
	}
	l.add(s, isl.node)
	return nil
}

// rowsIn8 copies a row-major matrix into blocks: a row is a pixel.
func rowsIn8(lay cpu.Layout, dst, src []byte, flip byte) team.Task {
	return ranges(lay.W, max(1, 8192/lay.C), func(from, to int) {
		for r := from; r < to; r++ {
			row := src[r*lay.C:][:lay.C]
			for b := range lay.Blocks() {
				part := row[b*lay.Block : min(lay.C, (b+1)*lay.Block)]
				d := dst[lay.At(0, b*lay.Block, 0, r):][:lay.Block]
				flipInto(d[:len(part)], part, flip)
				clear(d[len(part):])
			}
		}
	})
}

// rowsOut8 copies blocks into a row-major matrix.
func rowsOut8(lay cpu.Layout, dst, src []byte, flip byte) team.Task {
	return ranges(lay.W, max(1, 8192/lay.C), func(from, to int) {
		for r := from; r < to; r++ {
			row := dst[r*lay.C:][:lay.C]
			for b := range lay.Blocks() {
				part := row[b*lay.Block : min(lay.C, (b+1)*lay.Block)]
				flipInto(part, src[lay.At(0, b*lay.Block, 0, r):][:len(part)], flip)
			}
		}
	})
}

// gemmFloat8 is the product of bytes whose sums become float32: y = (sum - zero*sum(w)) * scale + bias.
func (l *lowering) gemmFloat8(isl *island, axis int) error {
	c := l.rows8(isl)
	m, n, k := c.W, c.M, c.C
	algs, err := gemm.Plan(gemm.Shape{M: m, N: n, K: k, TransB: true, ConstB: true, Int8: true, Bias: true}, l.opt.Features)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	alg := algs[0]
	packed, err := l.packed(isl.node, alg.Name, alg.PackedLen(), isl.w.t, func(dst []float32) error { return alg.PackInt8(dst, isl.w.transposed(axis), 0) })
	if err != nil {
		return err
	}
	kern, err := alg.Bind(l.opt.Threads)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	e := isl.in[0].grid
	sum, err := l.packed(isl.node, "zero", n, isl.w.t, func(dst []float32) error {
		zero, w := view[int32](floatBytes(dst)), isl.w.transposed(axis)
		for j := range n {
			for _, v := range w[j*k : (j+1)*k] {
				zero[j] -= int32(v) * int32(e.zero8())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	zero, scale, bias := view[int32](floatBytes(sum)), make([]float32, n), isl.bias
	for j := range n {
		scale[j] = e.scale * isl.w.scale[min(j, len(isl.w.scale)-1)]
	}
	if bias == nil {
		bias = make([]float32, n)
	}
	x := l.vals[isl.in[0].value]
	src := l.needPlain(x)
	out := l.out(isl.node, 0)
	out.plain = l.newPlain(out)
	dst, bytes, sums := out.plain, l.scratch(m*k), l.scratch(4*m*n)
	s := &step{Step: Step{Kernel: alg.Name, MACs: alg.MACs, Bytes: byteSize(x) + int64(len(isl.w.t.Raw)) + byteSize(out)}, reads: []*buffer{src}, writes: []*buffer{bytes, sums, dst}}
	flip, post := x.flip(), l.actFunc(isl.act)
	s.bind = func(ses *Session) ([]team.Task, error) {
		from, to, acc, y := ses.bytes(src), ses.bytes(bytes), view[int32](ses.bytes(sums)), ses.floats(dst)
		run, err := kern.On(gemm.Buffers{A8: to, C32: acc, Bias32: zero, Packed: packed})
		if err != nil {
			return nil, err
		}
		return []team.Task{
			ranges(len(from), 16384, func(a, b int) { flipInto(to[a:b], from[a:b], flip) }),
			run,
			ranges(m, max(1, 4096/n), func(a, b int) {
				for r := a; r < b; r++ {
					o := y[r*n : (r+1)*n]
					for j, v := range acc[r*n : (r+1)*n] {
						o[j] = float32(v)*scale[j] + bias[j]
					}
					post(o, o)
				}
			}),
		}, nil
	}
	l.add(s, isl.node)
	return nil
}
