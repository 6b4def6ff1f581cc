package engine

import (
	"context"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/team"
	"fettle/model"
)

// lowerTranspose lowers Transpose of any dtype with whole bytes.
func lowerTranspose(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	dims := l.outDims(n, 0)
	if x == nil || x.dims == nil || x.data != nil || dims == nil || len(dims) != len(x.dims) || x.typ.DType.Bits()%8 != 0 || x.typ.DType.Bits() == 0 {
		return false, nil
	}
	perm := make([]int, len(dims))
	if p := n.Ints("perm"); p != nil {
		if len(p) != len(dims) {
			return false, nil
		}
		for i, v := range p {
			perm[i] = int(v)
		}
	} else {
		for i := range perm {
			perm[i] = len(perm) - 1 - i
		}
	}
	from := make([]int, len(dims)) // stride in the input of each output dimension
	in := dense(x.dims).st
	for i, p := range perm {
		from[i] = in[p]
	}
	out := l.out(n, 0)
	make := func() { l.transpose(n, x, out, from) }
	if u := l.reader(n, 0); isProduct(u) && x.f32() && len(dims) > 2 {
		out.moved = &moved{src: x, st: from, node: n, make: make}
		return true, nil
	}
	make()
	return true, nil
}

// transpose adds the step of n: out is x with the distances from.
func (l *lowering) transpose(n *model.Node, x, out *value, from []int) {
	dims := out.dims
	s := &step{Step: Step{Kernel: "transpose", DType: x.typ.DType.String(), Bytes: 2 * byteSize(x)}}
	src := l.needPlain(x)
	out.plain = l.newPlain(out)
	dst := out.plain
	s.reads, s.writes = []*buffer{src}, []*buffer{dst}
	elem := x.typ.DType.Bits() / 8
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, v := ses.bytes(dst), ses.bytes(src)
		run := 1
		if len(dims) > 0 {
			run = dims[len(dims)-1]
		}
		rows := 0
		if run > 0 {
			rows = len(d) / elem / run
		}
		st := 1
		if len(dims) > 0 {
			st = from[len(dims)-1]
		}
		return []team.Task{ranges(rows, max(1, 2048/max(1, run)), func(a, b int) {
			for r := a; r < b; r++ {
				at, rest := 0, r
				for k := len(dims) - 2; k >= 0; k-- {
					at += rest % dims[k] * from[k]
					rest /= dims[k]
				}
				gather(d[r*run*elem:(r+1)*run*elem], v, at, st, elem)
			}
		})}, nil
	}
	l.add(s, n)
}

// gather copies elements of v that lie stride apart from element at on.
func gather(d, v []byte, at, stride, elem int) {
	switch {
	case stride == 1:
		copy(d, v[at*elem:])
	case elem == 1:
		gatherOf(d, v, at, stride)
	case elem == 2:
		gatherOf(view[uint16](d), view[uint16](v), at, stride)
	case elem == 4:
		gatherOf(view[uint32](d), view[uint32](v), at, stride)
	case elem == 8:
		gatherOf(view[uint64](d), view[uint64](v), at, stride)
	default:
		for i := 0; i < len(d); i += elem {
			copy(d[i:i+elem], v[(at+i/elem*stride)*elem:])
		}
	}
}

func gatherOf[T any](d, v []T, at, stride int) {
	for i := range d {
		d[i] = v[at]
		at += stride
	}
}

// lowerUpsample lowers Resize and Upsample by whole factors with the nearest pixel below (asymmetric, floor) on blocks.
func lowerUpsample(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	dims := l.outDims(n, 0)
	if !x.f32() && !x.eight() || x.data != nil || !x.prefersBlocks() || len(dims) != 4 || n.Str("mode", "nearest") != "nearest" ||
		n.Str("coordinate_transformation_mode", "half_pixel") != "asymmetric" || n.Str("nearest_mode", "round_prefer_floor") != "floor" ||
		dims[0] != x.dims[0] || dims[1] != x.dims[1] || dims[2]%x.dims[2] != 0 || dims[3]%x.dims[3] != 0 || len(n.Ints("axes")) > 0 {
		return false, nil
	}
	fy, fx := dims[2]/x.dims[2], dims[3]/x.dims[3]
	s := &step{Step: Step{Kernel: "f32_upsample", DType: "float32", Bytes: byteSize(x)}}
	if x.eight() {
		s.Kernel, s.DType = "u8_upsample", x.typ.DType.String()
	}
	src := l.needBlocked(x, cpu.Border{})
	out := l.out(n, 0)
	s.Bytes += byteSize(out)
	dst := l.newBlocked(out, cpu.Border{})
	dst.fill = src.fill
	s.reads, s.writes = []*buffer{src}, []*buffer{dst}
	if x.eight() {
		s.bind = func(ses *Session) ([]team.Task, error) {
			return []team.Task{upsample(ses.bytes(dst), ses.bytes(src), dst.layout, src.layout, fy, fx)}, nil
		}
	} else {
		s.bind = func(ses *Session) ([]team.Task, error) {
			return []team.Task{upsample(ses.floats(dst), ses.floats(src), dst.layout, src.layout, fy, fx)}, nil
		}
	}
	l.add(s, n)
	return true, nil
}

// upsample is the task that repeats each pixel of v fy times downwards and fx times to the right.
func upsample[T any](d, v []T, dl, vl cpu.Layout, fy, fx int) team.Task {
	return pieces{dl.N * dl.Blocks(), func(i, _ int) {
		img, blk := i/dl.Blocks(), i%dl.Blocks()
		in, to := v[img*vl.Image()+blk*vl.Plane():], d[img*dl.Image()+blk*dl.Plane():]
		for y := range dl.H {
			r := in[vl.Pixel(y/fy, 0):]
			o := to[dl.Pixel(y, 0):][:dl.W*dl.Block]
			for ox := range dl.W {
				copy(o[ox*dl.Block:(ox+1)*dl.Block], r[ox/fx*dl.Block:])
			}
		}
	}}
}

// lowerGather lowers Gather along any axis by constant or computed indices.
func lowerGather(l *lowering, n *model.Node) (bool, error) {
	x, idx := l.in(n, 0), l.in(n, 1)
	dims := l.outDims(n, 0)
	if x == nil || x.dims == nil || idx == nil || idx.dims == nil || dims == nil || x.typ.DType.Bits()%8 != 0 || x.typ.DType.Bits() == 0 ||
		idx.typ.DType != model.Int64 && idx.typ.DType != model.Int32 {
		return false, nil
	}
	axis := int(n.Int("axis", 0))
	if axis < 0 {
		axis += len(x.dims)
	}
	if axis < 0 || axis >= len(x.dims) {
		return false, nil
	}
	outer, _ := model.Count(x.dims[:axis])
	run, _ := model.Count(x.dims[axis+1:])
	run *= x.typ.DType.Bits() / 8
	size, count := x.dims[axis], 1
	for _, d := range idx.dims {
		count *= d
	}
	s := &step{Step: Step{Kernel: "gather", DType: x.typ.DType.String()}}
	src, at := l.needPlain(x), l.needPlain(idx)
	out := l.out(n, 0)
	out.typ.DType = x.typ.DType
	out.plain = l.newPlain(out)
	dst := out.plain
	s.Bytes = 2*byteSize(out) + byteSize(idx)
	s.reads, s.writes = []*buffer{src, at}, []*buffer{dst}
	wide, label := idx.typ.DType == model.Int64, n.Label()
	s.eval = func(_ context.Context, ses *Session) error { // on the caller's goroutine: an index may be wrong
		d, v, ix := ses.bytes(dst), ses.bytes(src), ses.bytes(at)
		for k := range count {
			var p int64
			if wide {
				p = view[int64](ix)[k]
			} else {
				p = int64(view[int32](ix)[k])
			}
			if p < 0 {
				p += int64(size)
			}
			if p < 0 || p >= int64(size) {
				return fail.New(fail.Invalid, "index %d is outside of %d", p, size).At(fail.Where{Node: label, Op: "Gather"})
			}
			for o := range outer {
				copy(d[(o*count+k)*run:][:run], v[(o*size+int(p))*run:])
			}
		}
		return nil
	}
	l.add(s, n)
	return true, nil
}
