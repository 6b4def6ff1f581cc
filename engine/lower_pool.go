package engine

import (
	"math"

	"fettle/kernels/cpu"
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

// lowerPool lowers MaxPool and AveragePool on blocks: one line of channels at a time.
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
	average := n.Op == "AveragePool"
	kernel := "f32_maxpool"
	if average {
		kernel = "f32_avgpool"
	}
	s := &step{Step: Step{Kernel: kernel, DType: "float32", Bytes: byteSize(x)}}
	src := l.needBlocked(x, cpu.Border{})
	out := l.out(n, 0)
	s.Bytes += byteSize(out)
	dst := l.newBlocked(out, cpu.Border{})
	s.reads, s.writes = []*buffer{src}, []*buffer{dst}
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, v, dl, vl := ses.floats(dst), ses.floats(src), dst.layout, src.layout
		per := max(1, 2048/(dl.W*dl.Block+1))
		groups := split(dl.H, per)
		return []team.Task{pieces{dl.N * dl.Blocks() * groups, func(i, _ int) {
			p, g := i/groups, i%groups
			in := v[p/vl.Blocks()*vl.Image()+p%vl.Blocks()*vl.Plane():]
			to := d[p/dl.Blocks()*dl.Image()+p%dl.Blocks()*dl.Plane():]
			for y := g * per; y < min(dl.H, (g+1)*per); y++ {
				for ox := range dl.W {
					o := to[dl.Pixel(y, ox):][:dl.Block]
					if average {
						averageLine(o, in, vl, w, y, ox)
					} else {
						maxLine(o, in, vl, w, y, ox)
					}
				}
			}
		}}}, nil
	}
	l.add(s, n)
	return true, nil
}

func maxLine(o, in []float32, vl cpu.Layout, w window, y, ox int) {
	first := true
	for ky := range w.kh {
		iy := y*w.sh + ky*w.dh - w.pt
		if iy < 0 || iy >= vl.H {
			continue
		}
		for kx := range w.kw {
			ix := ox*w.sw + kx*w.dw - w.pl
			if ix < 0 || ix >= vl.W {
				continue
			}
			line := in[vl.Pixel(iy, ix):][:len(o)]
			if first {
				copy(o, line)
				first = false
				continue
			}
			for c, v := range line {
				if v > o[c] || v != v {
					o[c] = v
				}
			}
		}
	}
	if first {
		fillWith(o, float32(math.Inf(-1)))
	}
}

func averageLine(o, in []float32, vl cpu.Layout, w window, y, ox int) {
	fillWith(o, 0)
	count := 0
	for ky := range w.kh {
		iy := y*w.sh + ky*w.dh - w.pt
		for kx := range w.kw {
			ix := ox*w.sw + kx*w.dw - w.pl
			inside := iy >= 0 && iy < vl.H && ix >= 0 && ix < vl.W
			// Padding that was asked for counts; what a rounded-up size adds beyond it does not.
			if inside || w.includePad && iy < vl.H+w.pb && ix < vl.W+w.pr {
				count++
			}
			if !inside {
				continue
			}
			addVec(o, o, in[vl.Pixel(iy, ix):][:len(o)])
		}
	}
	if count > 0 {
		k := float32(1) / float32(count)
		for c := range o {
			o[c] *= k
		}
	}
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
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, v, vl := ses.floats(dst), ses.floats(src), src.layout
		k := 1 / float32(vl.H*vl.W)
		return []team.Task{pieces{vl.N * vl.Blocks(), func(i, _ int) {
			img, blk := i/vl.Blocks(), i%vl.Blocks()
			sum := make([]float32, vl.Block)
			row := make([]float32, vl.Block)
			for y := range vl.H {
				// A sum a row, then of rows: the error stays that of a tree, not of a chain.
				fillWith(row, 0)
				r := v[img*vl.Image()+blk*vl.Plane()+vl.Pixel(y, 0):][:vl.W*vl.Block]
				for at := 0; at < len(r); at += vl.Block {
					addVec(row, row, r[at:at+vl.Block])
				}
				addVec(sum, sum, row)
			}
			var o []float32
			if keep {
				lay := dst.layout
				o = d[img*lay.Image()+blk*lay.Plane()+lay.Pixel(0, 0):][:lay.Block]
			} else {
				o = d[img*c+blk*vl.Block:][:min(vl.Block, c-blk*vl.Block)]
			}
			for j := range o {
				o[j] = sum[j] * k
			}
		}}}, nil
	}
	l.add(s, n)
	return true, nil
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
		s.Kernel = "f32_concat_blocks"
		s.reads, s.writes = src, []*buffer{dst}
		s.bind = func(ses *Session) ([]team.Task, error) { return concatBlocks(ses, dst, src), nil }
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

func concatBlocks(ses *Session, dst *buffer, src []*buffer) []team.Task {
	var tasks []team.Task
	at := 0
	for _, b := range src {
		first := at
		at += b.layout.Blocks()
		d, v, dl, vl := ses.floats(dst), ses.floats(b), dst.layout, b.layout
		tasks = append(tasks, pieces{vl.N * vl.Blocks(), func(i, _ int) {
			img, blk := i/vl.Blocks(), i%vl.Blocks()
			for y := range vl.H {
				copy(d[img*dl.Image()+(first+blk)*dl.Plane()+dl.Pixel(y, 0):][:dl.W*dl.Block], v[img*vl.Image()+blk*vl.Plane()+vl.Pixel(y, 0):])
			}
		}})
	}
	return tasks
}
