package engine

import (
	"math"
	"strings"

	"fettle/internal/fail"
	"fettle/kernels/conv"
	"fettle/kernels/cpu"
	"fettle/kernels/team"
	"fettle/model"
)

// lowerConv lowers Conv and fettle:Conv (bias, residual and activation in the store) to a blocked float32 kernel.
func lowerConv(l *lowering, n *model.Node) (bool, error) {
	x, w := l.in(n, 0), l.in(n, 1)
	dims := l.outDims(n, 0)
	if !x.f32() || x.data != nil || w == nil || w.data == nil || w.typ.DType != model.Float32 || dims == nil {
		return false, nil
	}
	shape, ok := convShape(n, x.dims, w.dims, dims)
	if !ok {
		return false, nil
	}
	act, ok := activation(n)
	if !ok || !act.Fusable() {
		return false, nil
	}
	shape.Act, shape.Fast, shape.Half = act, l.opt.Fast, l.opt.Half
	var bias []float32
	if b := l.in(n, 2); b != nil {
		if b.data == nil {
			return false, nil
		}
		bias = model.Data[float32](b.data)
	}
	res := l.in(n, 3)
	if res != nil {
		if !res.f32() || !same(res.dims, dims) || res.data != nil {
			return false, nil
		}
		shape.Residual = true
	}
	algs, err := conv.Plan(shape, l.opt.Features)
	if err != nil || len(algs) == 0 {
		return false, nil // a shape that the kernels do not take runs with the reference kernel
	}
	alg, why := chooseConv(&l.opt, algs, shape, false, func(a *conv.Algorithm) string { return a.Name }, shape.WeightLen())

	if l.why[n.ID] != "" {
		why = strings.TrimPrefix(why+"; "+l.why[n.ID], "; ")
	}
	s := &step{Step: Step{Kernel: alg.Name, Why: why, MACs: alg.MACs, DType: "float32"}}
	in := l.convInput(x, alg.In)
	s.reads = append(s.reads, in)
	var resBuf *buffer
	if res != nil {
		resBuf = l.needBlocked(res, cpu.Border{})
		s.reads = append(s.reads, resBuf)
	}
	out := l.out(n, 0)
	dst := l.newBlocked(out, alg.Out.Border)
	if alg.Out.Block != dst.layout.Block {
		return false, fail.New(fail.Internal, "kernel %s writes blocks of %d", alg.Name, alg.Out.Block)
	}
	packed, err := l.packed(n, alg.Name, alg.PackedLen(), w.data, func(dst []float32) error { return alg.Pack(dst, model.Data[float32](w.data), bias) })
	if err != nil {
		return false, err
	}
	s.Bytes = byteSize(x) + byteSize(w) + byteSize(out)
	c := &convStep{link: conv.Link{Alg: alg, Packed: packed}, node: n, in: in, dst: dst, res: resBuf}
	s.convs = []*convStep{c}
	if before := l.stripes(x, c); before != nil {
		l.chain(before, s, c)
		return true, nil
	}
	l.finishConv(s)
	l.add(s, n)
	return true, nil
}

// convStep is a convolution of a step: one alone, or a chain that runs in stripes.
type convStep struct {
	link         conv.Link
	node         *model.Node
	in, dst, res *buffer
}

// finishConv gives the step its output, scratch and kernel.
func (l *lowering) finishConv(s *step) {
	first, last := s.convs[0], s.convs[len(s.convs)-1]
	in, dst, resBuf := first.in, last.dst, last.res
	workers := l.opt.Threads
	scratch := l.scratch(0)
	s.writes = []*buffer{dst, scratch}
	var bound conv.Bound
	s.settle = func() error {
		var resLayout *cpu.Layout
		if resBuf != nil {
			resLayout = &resBuf.layout
		}
		var err error
		if len(s.convs) == 1 {
			bound, err = last.link.Alg.Bind(last.link.Packed, in.layout, dst.layout, resLayout, workers)
		} else {
			links := s.links()
			bound, err = conv.BindStripes(links, in.layout, dst.layout, resLayout, conv.StripeRows(links), workers)
		}
		if err != nil {
			return fail.New(fail.Internal, "%v", err)
		}
		scratch.size = 4 * bound.Scratch()
		return nil
	}
	s.bind = func(ses *Session) ([]team.Task, error) {
		buf := conv.Buffers{In: ses.floats(in), Out: ses.floats(dst), Scratch: ses.floats(scratch)}
		if resBuf != nil {
			buf.Res = ses.floats(resBuf)
		}
		return []team.Task{bound.On(buf)}, nil
	}
}

func (s *step) links() []conv.Link {
	var out []conv.Link
	for _, c := range s.convs {
		out = append(out, c.link)
	}
	return out
}

// stripes gives the step before, if convolution c and it gain from running in stripes of rows: it made x, which nothing else reads, and the chain
// is expand, depthwise, project or a part of these with the depthwise one.
func (l *lowering) stripes(x *value, c *convStep) *step {
	if len(l.steps) == 0 || x.plain != nil || l.m.Graph.Output(x.name) != nil || len(l.m.Graph.Users(x.name)) != 1 {
		return nil
	}
	s := l.steps[len(l.steps)-1]
	if len(s.convs) == 0 || s.convs[len(s.convs)-1].dst != c.in || s.convs[len(s.convs)-1].res != nil {
		return nil
	}
	depthwise := func(c *convStep) bool { return c.link.Alg.Shape.Groups > 1 }
	point := func(c *convStep) bool {
		s := c.link.Alg.Shape
		return s.Groups == 1 && s.KH*s.KW*s.SH*s.SW == 1
	}
	last := s.convs[len(s.convs)-1]
	switch {
	case len(s.convs) == 1 && point(last) && depthwise(c):
	case len(s.convs) < 3 && depthwise(last) && point(c):
	default:
		return nil
	}
	if conv.StripeRows(append(s.links(), c.link)) == 0 { // all of it stays in the cache anyway
		return nil
	}
	return s
}

// chain replaces the last step, which made the input of c, by one that runs both in stripes.
func (l *lowering) chain(before, s *step, c *convStep) {
	l.steps = l.steps[:len(l.steps)-1]
	for _, b := range before.writes { // the tensor between is never made
		b.first, b.last, b.born = -1, -1, -1
	}
	m := &step{Step: Step{Name: before.convs[0].node.Label() + " → " + c.node.Label(), Kernel: c.link.Alg.Name + "_striped", DType: s.DType, MACs: before.MACs + s.MACs}}
	m.convs = append(append(m.convs, before.convs...), c)
	m.reads = append(m.reads, before.reads...)
	m.Bytes = before.Bytes + s.Bytes - 2*byteSize(l.vals[c.node.Inputs[0]])
	if c.res != nil {
		m.reads = append(m.reads, c.res)
	}
	l.finishConv(m)
	var nodes []*model.Node
	for _, c := range m.convs {
		nodes = append(nodes, c.node)
	}
	l.add(m, nodes...)
}

// convInput gives the input in the layout that the algorithm needs: channel blocks, or for the first layer a buffer whose
// block is the channel count (NHWC), which a conversion step fills.
func (l *lowering) convInput(x *value, need cpu.Need) *buffer {
	if need.Block == l.opt.Features.BlockF32() {
		return l.needBlocked(x, need.Border)
	}
	src := l.needPlain(x)
	n, c, h, w, _ := dims4(x.dims)
	b := l.newBuffer(x.name+" (NHWC)", 0)
	b.isBlocked, b.elem, b.border = true, 4, need.Border
	b.layout = cpu.NewLayout(n, c, h, w, need.Block, cpu.Border{})
	s := &step{Step: Step{Name: x.name, Op: "Layout", Kernel: "f32_nhwc", DType: "float32", Bytes: 2 * byteSize(x)}, reads: []*buffer{src}, writes: []*buffer{b}}
	s.bind = func(ses *Session) ([]team.Task, error) {
		from, to, lay := ses.floats(src), ses.floats(b), b.layout
		return []team.Task{intoBlocks(to, from, lay)}, nil
	}
	l.add(s)
	return b
}

// convShape reads a Conv node's attributes; false for what the kernels do not express (3-D, empty tensors).
func convShape(n *model.Node, x, w, y []int) (conv.Shape, bool) {
	var s conv.Shape
	bn, c, h, wd, ok := dims4(x)
	_, m, oh, ow, ok2 := dims4(y)
	if !ok || !ok2 || len(w) != len(x) {
		return s, false
	}
	line := len(x) == 3
	pair := func(name string, def int) (int, int) {
		v := n.Ints(name)
		switch {
		case line && len(v) == 1:
			return 1, int(v[0])
		case line:
			return 1, def
		case len(v) == 2:
			return int(v[0]), int(v[1])
		}
		return def, def
	}
	s = conv.Shape{N: bn, C: c, H: h, W: wd, M: m, KH: w[len(w)-2], KW: w[len(w)-1], Groups: int(n.Int("group", 1))}
	if line {
		s.KH = 1
	}
	s.SH, s.SW = pair("strides", 1)
	s.DH, s.DW = pair("dilations", 1)
	switch pads := n.Ints("pads"); {
	case n.Str("auto_pad", "NOTSET") == "SAME_UPPER", n.Str("auto_pad", "NOTSET") == "SAME_LOWER":
		lower := n.Str("auto_pad", "NOTSET") == "SAME_LOWER"
		s.PadT, s.PadB = samePads(h, oh, s.KH, s.SH, s.DH, lower)
		s.PadL, s.PadR = samePads(wd, ow, s.KW, s.SW, s.DW, lower)
	case n.Str("auto_pad", "NOTSET") == "VALID", len(pads) == 0:
	case line && len(pads) == 2:
		s.PadL, s.PadR = int(pads[0]), int(pads[1])
	case !line && len(pads) == 4:
		s.PadT, s.PadL, s.PadB, s.PadR = int(pads[0]), int(pads[1]), int(pads[2]), int(pads[3])
	default:
		return s, false
	}
	return s, s.Check() == nil && s.OutH() == oh && s.OutW() == ow
}

func samePads(in, out, k, stride, dil int, lower bool) (int, int) {
	total := max(0, (out-1)*stride+(k-1)*dil+1-in)
	if lower {
		return total - total/2, total / 2
	}
	return total / 2, total - total/2
}

// activation reads the fused activation of a node of domain fettle; none for standard operators.
func activation(n *model.Node) (cpu.Act, bool) {
	if n.Domain != "fettle" {
		return cpu.Act{}, true
	}
	alpha := n.Float("alpha", 0.01)
	switch n.Str("activation", "none") {
	case "none":
		return cpu.Act{}, true
	case "relu":
		return cpu.Act{Kind: cpu.ReLU}, true
	case "clip":
		return cpu.Act{Kind: cpu.Clamp, A: n.Float("min", -math.MaxFloat32), B: n.Float("max", math.MaxFloat32)}, true
	case "leakyrelu":
		return cpu.Act{Kind: cpu.LeakyReLU, A: alpha}, true
	case "hardswish":
		return cpu.Act{Kind: cpu.HardSwish, A: 1.0 / 6, B: 0.5}, true
	case "silu":
		return cpu.Act{Kind: cpu.SiLU}, true
	case "sigmoid":
		return cpu.Act{Kind: cpu.Sigmoid}, true
	case "gelu":
		return cpu.Act{Kind: cpu.GELU}, true
	}
	return cpu.Act{}, false
}
