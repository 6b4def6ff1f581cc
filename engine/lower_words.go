package engine

import (
	"strings"

	"fettle/internal/fail"
	"fettle/kernels/conv"
	"fettle/kernels/cpu"
	"fettle/kernels/quant"
	"fettle/kernels/team"
	"fettle/model"
)

// Networks with 8-bit weights and 16-bit values have two ways: convolutions and products on the words themselves (kernels/conv/int16.go), or float
// kernels with a pass behind each that rounds (lowerQuantize16). Both compute what the file says.

// wordCost are costs of the two ways by instruction set, in instructions on Arm and in picoseconds of a Zen 3 in MobileNetV2 and ResNet-20: a
// multiplication on words and of a depthwise layer on words, one in floats, in floats by Winograd, depthwise in floats; an element that is rounded,
// and one that changes between floats and words.
type wordCost struct{ mac, depth, float, wino, floatDepth, round, change float64 }

func wordCosts(isa cpu.ISA) wordCost {
	if isa == cpu.NEON {
		return wordCost{mac: .28, depth: .75, float: .27, wino: .17, floatDepth: .45, round: 2.5, change: 2}
	}
	return wordCost{mac: 16, depth: 44, float: 28, wino: 17, floatDepth: 169, round: 2550, change: 1450}
}

// symmetric is point16 of int16 around 0.
func (l *lowering) symmetric(n *model.Node, d model.DType) (grid, bool) {
	if d != model.Int16 {
		return grid{}, false
	}
	g, ok := l.point16(n, d)
	return g, ok && g.zero == 0
}

// input16 makes the DequantizeLinear behind input i of the island's node one of its edges.
func (l *lowering) input16(isl *island, i int) bool {
	d := l.m.Graph.Producer(arg(isl.node, i))
	if !standard(d, "DequantizeLinear") || l.known(d.Inputs[0]) != nil {
		return false
	}
	x := l.inf.Types[d.Inputs[0]]
	g, ok := l.symmetric(d, x.DType)
	if !ok || l.dimsOf(d.Inputs[0]) == nil || l.inf.Types[d.Outputs[0]].DType != model.Float32 {
		return false
	}
	isl.in = append(isl.in, edge{d.Inputs[0], g})
	isl.dq = append(isl.dq, d)
	return true
}

// words describes n as an island of 16-bit values, or nil.
func (l *lowering) wordIsland(n *model.Node) *island {
	isl := &island{node: n, nodes: []*model.Node{n}}
	act, ok := activation(n)
	if !ok || !l.input16(isl, 0) {
		return nil
	}
	isl.act = act
	axis := 0
	switch n.Op {
	case "Conv":
	case "Gemm", "MatMul":
		if axis = 1; n.Op == "Gemm" && n.Int("transB", 0) != 0 {
			axis = 0
		}
		if n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 || n.Int("transA", 0) != 0 {
			return nil
		}
	default:
		return nil
	}
	if !l.weights(isl, 1, axis) || len(isl.w.t.Raw) == 0 || !l.biasOf(isl, 2, isl.w.shape[axis]) {
		return nil
	}
	if n.Op == "Conv" && arg(n, 3) != "" && (!l.input16(isl, 3) || !same(l.dimsOf(isl.in[1].value), l.dimsOf(n.Outputs[0]))) {
		return nil
	}
	s, ok := l.shape16(isl)
	if !ok || !l.tailTo(isl, true, l.symmetric) {
		return nil
	}
	s.Act = isl.act
	algs, err := conv.Plan16(s, l.opt.Features)
	if err != nil || algs[0].ISA == cpu.Generic { // the float kernels are vectors, or both are not
		return nil
	}
	if !conv.SumsFit(isl.w.transposed(axis), len(isl.w.t.Raw)/s.M) {
		l.why[n.ID] = "sums of 16-bit values by these weights can leave 32 bits"
		return nil
	}
	return isl
}

// shape16 is the convolution of an island; a product by a matrix is one of 1x1, a row a pixel.
func (l *lowering) shape16(isl *island) (conv.Shape, bool) {
	x, y := l.dimsOf(isl.in[0].value), l.dimsOf(isl.node.Outputs[0])
	if x == nil || y == nil {
		return conv.Shape{}, false
	}
	if isl.node.Op == "Conv" {
		s, ok := convShape(isl.node, x, isl.w.shape, y)
		s.Act, s.Residual = isl.act, len(isl.in) > 1
		return s, ok && s.Act.Kind <= cpu.Clamp
	}
	if len(isl.w.shape) != 2 || len(x) < 2 {
		return conv.Shape{}, false
	}
	rows, _ := model.Count(y[:len(y)-1])
	s := conv.Shape{N: 1, C: x[len(x)-1], H: 1, W: rows, M: y[len(y)-1], KH: 1, KW: 1, SH: 1, SW: 1, DH: 1, DW: 1, Groups: 1, Act: isl.act}
	return s, s.Check() == nil && s.Act.Kind <= cpu.Clamp
}

// findWords decides for the whole network whether its 16-bit values are words or floats: in between they would change all the time.
func (l *lowering) findWords() {
	l.words, l.wide, l.why = map[model.NodeID]bool{}, map[string]bool{}, map[model.NodeID]string{}
	var all []*island
	mine, made := map[model.NodeID]bool{}, map[string]bool{}
	for _, n := range l.m.Graph.Nodes {
		if n.Domain != "" && n.Domain != "ai.onnx" && n.Domain != "fettle" || n.Op != "Conv" && n.Op != "Gemm" && n.Op != "MatMul" {
			continue
		}
		if isl := l.wordIsland(n); isl != nil {
			all = append(all, isl)
			mine[n.ID], made[isl.out.value] = true, true
		}
	}
	words, floats := 0.0, 0.0
	for _, isl := range all {
		w, f := l.costs16(isl, mine, made)
		words, floats = words+w, floats+f
	}
	for _, isl := range all {
		if words > floats {
			l.why[isl.node.ID] = "in floats the network has less to do than in words of 16 bits"
			continue
		}
		l.words[isl.node.ID] = true
		l.wide[isl.out.value] = true
		for _, e := range isl.in {
			l.wide[e.value] = true
		}
	}
}

// costs16 is what an island costs in words and in floats; mine are all islands, made the values that they make.
func (l *lowering) costs16(isl *island, mine map[model.NodeID]bool, made map[string]bool) (words, floats float64) {
	s, _ := l.shape16(isl)
	algs, _ := conv.Plan16(s, l.opt.Features)
	c := wordCosts(algs[0].ISA)
	macs, outs := float64(s.MACs()), float64(s.N)*float64(s.M)*float64(s.OutH())*float64(s.OutW())
	words, floats = macs*c.mac, macs*c.float+outs*c.round
	if plan, err := conv.Plan(s, l.opt.Features); err == nil {
		switch {
		case s.Groups == s.C && s.Groups > 1:
			words, floats = macs*c.depth, macs*c.floatDepth+outs*c.round
		case strings.Contains(plan[0].Name, "_wino"):
			floats = macs*c.wino + outs*c.round
		}
	}
	for _, e := range isl.in {
		if !made[e.value] {
			n, _ := model.Count(l.dimsOf(e.value))
			words += float64(n) * (c.change - c.round)
		}
	}
	for _, d := range l.m.Graph.Users(isl.out.value) {
		for _, u := range l.m.Graph.Users(d.Outputs[0]) {
			if !mine[u.ID] {
				return words + outs*c.change, floats
			}
		}
	}
	return words, floats
}

func matchConv16(l *lowering, n *model.Node, isl *island) bool {
	if !l.words[n.ID] {
		return false
	}
	found := l.wordIsland(n)
	if found == nil {
		return false
	}
	lower := isl.lower
	*isl = *found
	isl.lower = lower
	return true
}

func matchGemm16(l *lowering, n *model.Node, isl *island) bool { return matchConv16(l, n, isl) }

func (isl *island) quant16() conv.Quant16 {
	q := conv.Quant16{InScale: isl.in[0].grid.scale, OutScale: isl.out.grid.scale, WScale: isl.w.scale, Bias: isl.bias}
	if len(isl.in) > 1 {
		q.ResScale = isl.in[1].grid.scale
	}
	return q
}

func lowerConv16(l *lowering, isl *island) error {
	shape, _ := l.shape16(isl)
	algs, err := conv.Plan16(shape, l.opt.Features)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	alg := algs[0]
	x := l.vals[isl.in[0].value]
	in := l.needBlocked(x, alg.In.Border)
	s := &step{Step: Step{Kernel: alg.Name, MACs: alg.MACs, Bytes: byteSize(x) + int64(len(isl.w.t.Raw))}, reads: []*buffer{in}}
	var res *buffer
	if shape.Residual {
		res = l.needBlocked(l.vals[isl.in[1].value], cpu.Border{})
		s.reads = append(s.reads, res)
	}
	out := l.out8(isl)
	dst := l.newBlocked(out, cpu.Border{})
	s.Bytes += byteSize(out)
	s.writes = []*buffer{dst}
	packed, err := l.packed(isl.node, alg.Name, alg.PackedLen(), isl.w.t, func(dst []float32) error { return alg.Pack(dst, isl.w.values(), isl.quant16()) })
	if err != nil {
		return err
	}
	var bound conv.Bound16
	workers := l.opt.Threads
	s.settle = func() (err error) {
		var lay *cpu.Layout
		if res != nil {
			lay = &res.layout
		}
		bound, err = alg.Bind(packed, in.layout, dst.layout, lay, workers)
		return err
	}
	s.bind = func(ses *Session) ([]team.Task, error) {
		b := conv.Buffers16{In: view[int16](ses.bytes(in)), Out: view[int16](ses.bytes(dst))}
		if res != nil {
			b.Res = view[int16](ses.bytes(res))
		}
		return []team.Task{bound.On16(b)}, nil
	}
	l.add(s, isl.node)
	return nil
}

// lowerGemm16 is a convolution of 1x1 over a copy of the rows in blocks.
func lowerGemm16(l *lowering, isl *island) error {
	axis := 1
	if isl.node.Op == "Gemm" && isl.node.Int("transB", 0) != 0 {
		axis = 0
	}
	shape, _ := l.shape16(isl)
	algs, err := conv.Plan16(shape, l.opt.Features)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	alg := algs[0]
	x := l.vals[isl.in[0].value]
	src := l.needPlain(x)
	side := func(name string, c int) *buffer {
		b := l.newBuffer(name, 0)
		b.isBlocked, b.elem = true, 2
		b.layout = cpu.NewLayout(1, c, 1, shape.W, l.opt.Features.BlockI16(), cpu.Border{})
		return b
	}
	in, mid := side(x.name+" (rows)", shape.C), side(isl.out.value+" (rows)", shape.M)
	packed, err := l.packed(isl.node, alg.Name, alg.PackedLen(), isl.w.t, func(dst []float32) error { return alg.Pack(dst, isl.w.transposed(axis), isl.quant16()) })
	if err != nil {
		return err
	}
	out := l.out8(isl)
	out.plain = l.newPlain(out)
	dst := out.plain
	s := &step{Step: Step{Kernel: alg.Name, MACs: alg.MACs, Bytes: byteSize(x) + int64(len(isl.w.t.Raw)) + byteSize(out)}, reads: []*buffer{src}, writes: []*buffer{in, mid, dst}}
	var bound conv.Bound16
	workers := l.opt.Threads
	s.settle = func() (err error) {
		bound, err = alg.Bind(packed, in.layout, mid.layout, nil, workers)
		return err
	}
	s.bind = func(ses *Session) ([]team.Task, error) {
		blocked, made := view[int16](ses.bytes(in)), view[int16](ses.bytes(mid))
		return []team.Task{
			rows16(in.layout, view[int16](ses.bytes(src)), func(row []int16, at int) { copy(blocked[at:], row) }),
			bound.On16(conv.Buffers16{In: blocked, Out: made}),
			rows16(mid.layout, view[int16](ses.bytes(dst)), func(row []int16, at int) { copy(row, made[at:]) }),
		}, nil
	}
	l.add(s, isl.node)
	return nil
}

// rows16 is the task that walks the blocks of the rows of a matrix; at is where a block's pixel of the row begins.
func rows16(lay cpu.Layout, rows []int16, f func(part []int16, at int)) team.Task {
	return ranges(lay.W, max(1, 8192/lay.C), func(from, to int) {
		for r := from; r < to; r++ {
			for c := 0; c < lay.C; c += lay.Block {
				f(rows[r*lay.C+c:r*lay.C+min(lay.C, c+lay.Block)], lay.At(0, c, 0, r))
			}
		}
	})
}

// words16 adds the step that copies an int16 tensor between rows and blocks, which lay describes.
func (l *lowering) words16(v *value, kernel string, src, dst, blocked *buffer, into bool) {
	s := &step{Step: Step{Name: v.name, Op: "Layout", Kernel: kernel, DType: "int16", Bytes: 2 * byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	s.bind = func(ses *Session) ([]team.Task, error) {
		from, to, lay := view[int16](ses.bytes(src)), view[int16](ses.bytes(dst)), blocked.layout
		return []team.Task{byRows(lay, func(n, b, y0, y1 int) {
			for y := y0; y < y1; y++ {
				row := lay.At(n, b*lay.Block, y, 0)
				for k := range min(lay.Block, lay.C-b*lay.Block) {
					at := ((n*lay.C+b*lay.Block+k)*lay.H + y) * lay.W
					i := row + k
					if into {
						for _, e := range from[at : at+lay.W] {
							to[i] = e
							i += lay.Block
						}
						continue
					}
					line := to[at : at+lay.W]
					for x := range line {
						line[x] = from[i]
						i += lay.Block
					}
				}
			}
		})}, nil
	}
	l.add(s)
}

// lowerToWords lowers the QuantizeLinear of floats whose result kernels of 16-bit values read, in blocks where the floats lie in blocks.
func lowerToWords(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	if !l.wide[n.Outputs[0]] || !x.f32() || x.data != nil {
		return false, nil
	}
	g, ok := l.symmetric(n, model.Int16)
	if !ok {
		return false, nil
	}
	k := quant.New(l.opt.Features)
	l.change(n, x, "s16_quantize", changing{
		run: func(ses *Session, src, dst *buffer) team.Task {
			from, to := ses.floats(src), view[int16](ses.bytes(dst))
			return ranges(len(to), 8192, func(a, b int) { k.ToWords(to[a:b], from[a:b], g.scale) })
		},
		blocks: func(ses *Session, src, dst *buffer) team.Task {
			from, to := ses.floats(src), view[int16](ses.bytes(dst))
			return changeRows(dst.layout, src.layout, to, from, func(words []int16, a, b []float32) { k.JoinWords(words, a, b, g.scale) })
		},
	})
	return true, nil
}

// changing are the two ways to go over the elements of a value: one after another, or by the rows of its blocks.
type changing struct {
	run, blocks func(ses *Session, src, dst *buffer) team.Task
}

// change adds the step that makes the output of n out of x, in the layout that x prefers.
func (l *lowering) change(n *model.Node, x *value, kernel string, c changing) {
	out, task := l.out(n, 0), c.run
	var src, dst *buffer
	if x.prefersBlocks() {
		src, dst, task = l.needBlocked(x, cpu.Border{}), l.newBlocked(out, cpu.Border{}), c.blocks
	} else {
		src, out.plain = l.needPlain(x), l.newPlain(out)
		dst = out.plain
	}
	s := &step{Step: Step{Kernel: kernel, DType: "int16", Bytes: byteSize(x) + byteSize(out)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	s.bind = func(ses *Session) ([]team.Task, error) { return []team.Task{task(ses, src, dst)}, nil }
	l.add(s, n)
}

// changeRows is the task that visits the rows of blocks of words and those of the one or two blocks of floats with the same channels; without a border
// they are one.
func changeRows(words, floats cpu.Layout, w []int16, v []float32, f func(words []int16, a, b []float32)) team.Task {
	flat := words.Border() == cpu.Border{} && floats.Border() == cpu.Border{}
	return byRows(words, func(img, block, y0, y1 int) {
		c, n, rows := block*words.Block, words.W, y1-y0
		if flat {
			n, rows = n*rows, 1
		}
		for y := y0; y < y0+rows; y++ {
			a, b := v[floats.At(img, c, y, 0):], []float32(nil)
			if c+floats.Block < words.C {
				b = v[floats.At(img, c+floats.Block, y, 0):]
			}
			f(w[words.At(img, c, y, 0):][:n*words.Block], a, b)
		}
	})
}

// lowerFromWords lowers the DequantizeLinear of 16-bit values that a float step reads.
func lowerFromWords(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	if !x.sixteen() || x.data != nil || !l.wide[x.name] {
		return false, nil
	}
	g, ok := l.symmetric(n, model.Int16)
	if !ok || l.inf.Types[n.Outputs[0]].DType != model.Float32 {
		return false, nil
	}
	k := quant.New(l.opt.Features)
	l.change(n, x, "s16_dequantize", changing{
		run: func(ses *Session, src, dst *buffer) team.Task {
			from, to := view[int16](ses.bytes(src)), ses.floats(dst)
			return ranges(len(to), 8192, func(a, b int) { k.FromWords(to[a:b], from[a:b], g.scale) })
		},
		blocks: func(ses *Session, src, dst *buffer) team.Task {
			from, to := view[int16](ses.bytes(src)), ses.floats(dst)
			return changeRows(src.layout, dst.layout, from, to, func(words []int16, a, b []float32) { k.PartWords(a, b, words, g.scale) })
		},
	})
	return true, nil
}
