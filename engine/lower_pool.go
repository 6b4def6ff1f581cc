package engine

import (
	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/eltwise"
	"fettle/kernels/pool"
	"fettle/kernels/team"
	"fettle/model"
)

// window is the geometry of a pool.
type window struct {
	kh, kw, sh, sw, dh, dw int
	pt, pl, oh, ow         int
	pb, pr                 int
	includePad             bool
}

// poolWindow reads the attributes of MaxPool and AveragePool for pictures.
func poolWindow(n *model.Node, x, y []int) (window, bool) {
	var w window
	_, _, h, wd, ok := dims4(x)
	_, _, oh, ow, ok2 := dims4(y)
	k := n.Ints("kernel_shape")
	if !ok || !ok2 || len(x) != 4 || len(k) != 2 {
		return w, false
	}
	two := func(name string) (int, int) {
		if v := n.Ints(name); len(v) == 2 {
			return int(v[0]), int(v[1])
		}
		return 1, 1
	}
	w = window{kh: int(k[0]), kw: int(k[1]), oh: oh, ow: ow, includePad: n.Int("count_include_pad", 0) != 0}
	w.sh, w.sw = two("strides")
	w.dh, w.dw = two("dilations")
	switch auto := n.Str("auto_pad", "NOTSET"); auto {
	case "NOTSET":
		if p := n.Ints("pads"); len(p) == 4 {
			w.pt, w.pl, w.pb, w.pr = int(p[0]), int(p[1]), int(p[2]), int(p[3])
		}
	case "SAME_UPPER", "SAME_LOWER":
		w.pt, w.pb = samePads(h, oh, w.kh, w.sh, w.dh, auto == "SAME_LOWER")
		w.pl, w.pr = samePads(wd, ow, w.kw, w.sw, w.dw, auto == "SAME_LOWER")
	}
	return w, true
}

// pool is the shape for the pooling kernels.
func (w window) pool(in cpu.Layout, average bool) pool.Shape {
	return pool.Shape{N: in.N, C: in.C, H: in.H, W: in.W, KH: w.kh, KW: w.kw, SH: w.sh, SW: w.sw, DH: w.dh, DW: w.dw,
		PadT: w.pt, PadL: w.pl, PadB: w.pb, PadR: w.pr, OutH: w.oh, OutW: w.ow, Avg: average, CountPad: w.includePad}
}

// lowerPool lowers MaxPool and AveragePool on blocks.
func lowerPool(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	dims := l.outDims(n, 0)
	if !x.f32() || x.data != nil || dims == nil || len(n.Outputs) > 1 && n.Outputs[1] != "" {
		return false, nil
	}
	w, ok := poolWindow(n, x.dims, dims)
	if !ok {
		return false, nil
	}
	b, c, h, wd, _ := dims4(x.dims)
	shape := w.pool(cpu.Layout{N: b, C: c, H: h, W: wd}, n.Op == "AveragePool")
	if !l.poolFits(shape) {
		return false, nil
	}
	s := &step{Step: Step{DType: "float32", Bytes: byteSize(x)}}
	src := l.needBlocked(x, cpu.Border{})
	out := l.out(n, 0)
	s.Bytes += byteSize(out)
	dst := l.newBlocked(out, cpu.Border{})
	s.reads, s.writes = []*buffer{src}, []*buffer{dst}
	return true, l.pool(s, shape, src, dst, n)
}

// poolFits reports whether the pooling kernels have the shape: a window that lies in the padding as a whole they have not.
func (l *lowering) poolFits(p pool.Shape) bool {
	in := cpu.NewLayout(p.N, p.C, p.H, p.W, p.Block(), cpu.Border{})
	out := cpu.NewLayout(p.N, p.C, p.OutH, p.OutW, p.Block(), cpu.Border{})
	_, err := pool.Bind(p, l.opt.Features, in, out, 1)
	return err == nil
}

// pool adds the step of a pooling kernel.
func (l *lowering) pool(s *step, shape pool.Shape, src, dst *buffer, n *model.Node) error {
	k, err := pool.Bind(shape, l.opt.Features, src.layout, dst.layout, l.opt.Threads)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	s.Kernel = k.Name
	s.settle = func() (err error) { // again, with the final borders
		k, err = pool.Bind(shape, l.opt.Features, src.layout, dst.layout, l.opt.Threads)
		return err
	}
	s.bind = func(ses *Session) ([]team.Task, error) {
		if shape.Int8 {
			return []team.Task{k.On8(ses.bytes(src), ses.bytes(dst))}, nil
		}
		return []team.Task{k.On(ses.floats(src), ses.floats(dst))}, nil
	}
	l.add(s, n)
	return nil
}

// lowerGlobalAverage lowers GlobalAveragePool, and ReduceMean over the two last dimensions, on blocks.
func lowerGlobalAverage(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	dims := l.outDims(n, 0)
	if !x.f32() || x.data != nil || dims == nil || len(x.dims) != 4 || !x.prefersBlocks() {
		return false, nil
	}
	if n.Op == "ReduceMean" && !l.overPicture(n, len(x.dims)) {
		return false, nil
	}
	s := &step{Step: Step{Kernel: "f32_globalavgpool", DType: "float32", Bytes: byteSize(x)}}
	src := l.needBlocked(x, cpu.Border{})
	out := l.out(n, 0)
	var dst *buffer
	keep := len(dims) == 4
	if keep {
		dst = l.newBlocked(out, cpu.Border{})
	} else {
		out.plain = l.newPlain(out)
		dst = out.plain
	}
	s.reads, s.writes = []*buffer{src}, []*buffer{dst}
	c := x.dims[1]
	el := eltwise.New(l.opt.Features)
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, v, vl := ses.floats(dst), ses.floats(src), src.layout
		k := 1 / float32(vl.H*vl.W)
		rows, row := vl.H, vl.W*vl.Block
		if vl.Row() == row {
			rows, row = 1, vl.H*row
		}
		// Methods of a layout copy it: their results are the same for all pieces.
		blocks, block, at, image, plane, vRow := vl.Blocks(), vl.Block, vl.Pixel(0, 0), vl.Image(), vl.Plane(), vl.Row()
		var oAt, oImage, oPlane int
		if keep {
			oAt, oImage, oPlane = dst.layout.Pixel(0, 0), dst.layout.Image(), dst.layout.Plane()
		}
		return []team.Task{pieces{vl.N * blocks, func(i, _ int) {
			img, blk := i/blocks, i%blocks
			var acc [16]float32
			sum := acc[:block]
			from := v[img*image+blk*plane+at:]
			for y := range rows {
				r := from[y*vRow:][:row]
				full := len(r) &^ 15
				var lines [16]float32
				el.SumLines(&lines, r[:full])
				fold(sum, lines[:])
				fold(sum, r[full:])
			}
			var o []float32
			if keep {
				o = d[img*oImage+blk*oPlane+oAt:][:block]
			} else {
				o = d[img*c+blk*block:][:min(block, c-blk*block)]
			}
			for j := range o {
				o[j] = sum[j] * k
			}
		}}}, nil
	}
	l.add(s, n)
	return true, nil
}

// fold adds pixels to the sum of each channel.
func fold(sum, pixels []float32) {
	if len(sum) == 4 {
		a, b, c, d := sum[0], sum[1], sum[2], sum[3]
		for ; len(pixels) >= 4; pixels = pixels[4:] {
			a, b, c, d = a+pixels[0], b+pixels[1], c+pixels[2], d+pixels[3]
		}
		sum[0], sum[1], sum[2], sum[3] = a, b, c, d
	}
	for ; len(pixels) > 0; pixels = pixels[len(sum):] {
		for c, e := range pixels[:len(sum)] {
			sum[c] += e
		}
	}
}

// overPicture reports whether a reduction runs over exactly the two last of four dimensions.
func (l *lowering) overPicture(n *model.Node, rank int) bool {
	axes := n.Ints("axes")
	if v := l.in(n, 1); v != nil {
		if v.data == nil || v.data.DType != model.Int64 {
			return false
		}
		axes = model.Data[int64](v.data)
	}
	if len(axes) != 2 {
		return false
	}
	seen := 0
	for _, a := range axes {
		if a < 0 {
			a += int64(rank)
		}
		if a == 2 || a == 3 {
			seen |= 1 << a
		}
	}
	return seen == 12
}

// lowerConcat lowers Concat along channels on blocks (each part but the last fills whole blocks), and along any axis on
// row-major tensors.
func lowerConcat(l *lowering, n *model.Node) (bool, error) {
	dims := l.outDims(n, 0)
	if dims == nil {
		return false, nil
	}
	axis := int(n.Int("axis", 1))
	if axis < 0 {
		axis += len(dims)
	}
	in := make([]*value, len(n.Inputs))
	blocked := axis == 1 && len(dims) == 4
	for i := range n.Inputs {
		v := l.in(n, i)
		if v == nil || v.dims == nil || v.typ.DType.Bits()%8 != 0 || v.typ.DType.Bits() == 0 || len(v.dims) != len(dims) {
			return false, nil
		}
		in[i] = v
		blocked = blocked && v.prefersBlocks() && v.f32()
		if i < len(n.Inputs)-1 && len(v.dims) == 4 {
			blocked = blocked && v.dims[1]%l.opt.Features.BlockF32() == 0
		}
	}
	s := &step{Step: Step{Kernel: "concat", DType: in[0].typ.DType.String()}}
	for _, v := range in {
		s.Bytes += 2 * byteSize(v)
	}
	out := l.out(n, 0)
	out.typ.DType = in[0].typ.DType
	if blocked {
		src := make([]*buffer, len(in))
		for i, v := range in {
			src[i] = l.needBlocked(v, cpu.Border{})
		}
		dst := l.newBlocked(out, cpu.Border{})
		s.Kernel, s.Bytes = "f32_concat_blocks", 0
		var at []int // channels where the parts begin that have to be copied
		c := 0
		for _, b := range src {
			if !l.within(dst, b, c) {
				s.reads, at = append(s.reads, b), append(at, c)
				s.Bytes += 8 * int64(b.layout.N*b.layout.C*b.layout.H*b.layout.W)
			}
			c += b.layout.C
		}
		if len(at) == 0 {
			l.free = append(l.free, Free{n.ID, "in place"})
			return true, nil
		}
		copied := s.reads
		s.writes = []*buffer{dst}
		s.bind = func(ses *Session) ([]team.Task, error) { return concatBlocks(ses, dst, copied, at), nil }
		l.add(s, n)
		return true, nil
	}
	src := make([]*buffer, len(in))
	for i, v := range in {
		src[i] = l.needPlain(v)
	}
	out.plain = l.newPlain(out)
	dst := out.plain
	s.reads, s.writes = src, []*buffer{dst}
	elem := in[0].typ.DType.Bits() / 8
	s.bind = func(ses *Session) ([]team.Task, error) {
		d := ses.bytes(dst)
		outer, inner := 1, elem
		for _, x := range dims[:axis] {
			outer *= x
		}
		for _, x := range dims[axis+1:] {
			inner *= x
		}
		return []team.Task{once(func() {
			at := 0
			for i, v := range in {
				b, run := ses.bytes(src[i]), v.dims[axis]*inner
				for o := range outer {
					copy(d[o*dims[axis]*inner+at:][:run], b[o*run:])
				}
				at += run
			}
		})}, nil
	}
	l.add(s, n)
	return true, nil
}

func concatBlocks(ses *Session, dst *buffer, src []*buffer, at []int) []team.Task {
	var tasks []team.Task
	for i, b := range src {
		first := at[i] / dst.layout.Block
		d, v, dl, vl := ses.floats(dst), ses.floats(b), dst.layout, b.layout
		tasks = append(tasks, byRows(vl, func(img, blk, y0, y1 int) {
			for y := y0; y < y1; y++ {
				copy(d[img*dl.Image()+(first+blk)*dl.Plane()+dl.Pixel(y, 0):][:dl.W*dl.Block], v[img*vl.Image()+blk*vl.Plane()+vl.Pixel(y, 0):])
			}
		}))
	}
	return tasks
}
