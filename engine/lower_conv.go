package engine

import (
	"math"

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
	shape.Act = act
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
	alg := choose(&l.opt, algs, shape.WeightLen())

	s := &step{Step: Step{Kernel: alg.Name, MACs: alg.MACs, DType: "float32"}}
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
	s.writes = append(s.writes, dst)
	workers := l.opt.Threads
	scratch := l.scratch(0)
	s.writes = append(s.writes, scratch)
	var bound conv.Bound
	s.settle = func() error {
		var resLayout *cpu.Layout
		if resBuf != nil {
			resLayout = &resBuf.layout
		}
		k, err := alg.Bind(packed, in.layout, dst.layout, resLayout, workers)
		if err != nil {
			return fail.New(fail.Internal, "%v", err)
		}
		bound, scratch.size = k, 4*k.Scratch()
		return nil
	}
	s.bind = func(ses *Session) ([]team.Task, error) {
		buf := conv.Buffers{In: ses.floats(in), Out: ses.floats(dst), Scratch: ses.floats(scratch)}
		if resBuf != nil {
			buf.Res = ses.floats(resBuf)
		}
		return []team.Task{bound.On(buf)}, nil
	}
	l.add(s, n)
	return true, nil
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
	}
	return cpu.Act{}, false
}
