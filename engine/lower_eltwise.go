package engine

import (
	"math"

	"fettle/kernels/cpu"
	"fettle/kernels/eltwise"
	"fettle/kernels/team"
	"fettle/model"
)

// unaryFunc is an element-wise function over slices of equal length; dst may be src.
type unaryFunc func(dst, src []float32)

// unaryRow lowers an operator of one float32 input to f, in the layout in which the input lies. pick reads the attributes;
// it returns false where the node is not what f does.
func unaryRow(name string, pick func(l *lowering, n *model.Node) (unaryFunc, bool)) func(*lowering, *model.Node) (bool, error) {
	return func(l *lowering, n *model.Node) (bool, error) {
		x := l.in(n, 0)
		if !x.f32() || x.data != nil || l.outDims(n, 0) == nil {
			return false, nil
		}
		f, ok := pick(l, n)
		if !ok {
			return false, nil
		}
		l.elementwise(n, "f32_"+name, []*value{x}, func(dst []float32, src [][]float32) { f(dst, src[0]) }, l.finite(name, x.dims))
		return true, nil
	}
}

// finite reports whether f may run over the channels that only fill up a block: what lies there must stay finite.
func (l *lowering) finite(kernel string, dims []int) bool {
	switch kernel {
	case "exp", "sqrt", "div":
		return len(dims) > 1 && dims[1]%l.opt.Features.BlockF32() == 0
	}
	return true
}

// elementwise adds a step over tensors of one shape; blocks says that f may run over channels that only fill up a block.
func (l *lowering) elementwise(n *model.Node, kernel string, in []*value, f func(dst []float32, src [][]float32), blocks bool) {
	s := &step{Step: Step{Kernel: kernel, DType: "float32"}}
	blocked := blocks
	for _, v := range in {
		blocked = blocked && (v.prefersBlocks() || v.data != nil)
		s.Bytes += byteSize(v)
	}
	if _, _, _, _, ok := dims4(in[0].dims); !ok {
		blocked = false
	}
	any := false
	for _, v := range in {
		any = any || v.prefersBlocks()
	}
	out := l.out(n, 0)
	s.Bytes += byteSize(out)
	if blocked && any {
		src := make([]*buffer, len(in))
		for i, v := range in {
			src[i] = l.needBlocked(v, cpu.Border{})
		}
		dst := l.newBlocked(out, cpu.Border{})
		s.reads, s.writes = src, []*buffer{dst}
		s.bind = func(ses *Session) ([]team.Task, error) { return []team.Task{blockRows(ses, dst, src, f)}, nil }
		l.add(s, n)
		return
	}
	src := make([]*buffer, len(in))
	for i, v := range in {
		src[i] = l.needPlain(v)
	}
	out.plain = l.newPlain(out)
	dst := out.plain
	s.reads, s.writes = src, []*buffer{dst}
	s.bind = func(ses *Session) ([]team.Task, error) {
		d := ses.floats(dst)
		ss := make([][]float32, len(src))
		for i := range src {
			ss[i] = ses.floats(src[i])
		}
		return []team.Task{ranges(len(d), 4096, func(from, to int) {
			part := make([][]float32, 0, 4)
			for _, x := range ss {
				part = append(part, x[from:to])
			}
			f(d[from:to], part)
		})}, nil
	}
	l.add(s, n)
}

// blockRows runs f over the rows of blocked tensors of one shape and element, leaving borders alone.
func blockRows[T float32 | uint8](ses *Session, dst *buffer, src []*buffer, f func(dst []T, src [][]T)) team.Task {
	d, lay := view[T](ses.bytes(dst)), dst.layout
	ss, lays := make([][]T, len(src)), make([]cpu.Layout, len(src))
	for i, b := range src {
		ss[i], lays[i] = view[T](ses.bytes(b)), b.layout
	}
	flat := lay.Border() == cpu.Border{} && lay.Gap == 0
	for i := range lays {
		flat = flat && lays[i].Border() == cpu.Border{} && lays[i].Gap == 0
	}
	row := lay.W * lay.Block
	planes := lay.N * lay.Blocks()
	groups := max(1, min(lay.H, lay.H*row/4096)) // rows are shared out in groups of about 16 kB
	per := split(lay.H, groups)
	groups = split(lay.H, per)
	// What a piece hands on is made here: f may keep the compiler from seeing that it does not hold on to it.
	parts := make([][]T, planes*groups*len(ss))
	rows := make([]int, len(lays))
	for k := range lays {
		rows[k] = lays[k].Row()
	}
	return pieces{planes * groups, func(i, _ int) {
		part := parts[i*len(ss) : (i+1)*len(ss)]
		p, g := i/groups, i%groups
		from, to := g*per, min(lay.H, (g+1)*per)
		at := func(l *cpu.Layout) int {
			return p/l.Blocks()*l.Image() + p%l.Blocks()*l.Plane() + l.Pixel(from, 0)
		}
		n, left := row, to-from
		if flat {
			n, left = left*row, 1
		}
		for k := range ss {
			part[k] = ss[k][at(&lays[k]):][:n]
		}
		out, step := d[at(&lay):][:n], lay.Row()
		for f(out, part); left > 1; left-- {
			out = out[step : step+n]
			for k := range part {
				part[k] = part[k][rows[k] : rows[k]+n]
			}
			f(out, part)
		}
	}}
}

// binaryFunc is an element-wise function of two slices of equal length.
type binaryFunc func(dst, a, b []float32)

// binaryFuncs are an operation and, where a kernel has it, the operation with a line of 16 numbers that repeats.
type binaryFuncs struct {
	f    binaryFunc
	line func(dst, a []float32, l *[16]float32)
	swap bool // a op b = b op a
}

// binaryRow lowers an operator of two float32 inputs with broadcasting, and the activation of a fused one after it.
func binaryRow(name string, pick func(l *lowering) binaryFuncs) func(*lowering, *model.Node) (bool, error) {
	return func(l *lowering, n *model.Node) (bool, error) {
		a, b := l.in(n, 0), l.in(n, 1)
		dims := l.outDims(n, 0)
		if !a.f32() || !b.f32() || dims == nil || len(n.Inputs) != 2 {
			return false, nil
		}
		act, ok := activation(n)
		if !ok {
			return false, nil
		}
		op := pick(l)
		kernel := "f32_" + name
		if act.Kind != cpu.None {
			plain, post := op, l.actFunc(act)
			kernel += "_" + act.Kind.String()
			op.f = func(dst, x, y []float32) { plain.f(dst, x, y); post(dst, dst) }
			if plain.line != nil {
				op.line = func(dst, x []float32, line *[16]float32) { plain.line(dst, x, line); post(dst, dst) }
			}
		}
		h := op.f
		if same(a.dims, dims) && same(b.dims, dims) {
			l.elementwise(n, kernel, []*value{a, b}, func(dst []float32, src [][]float32) { h(dst, src[0], src[1]) }, l.finite(name, dims))
			return true, nil
		}
		if l.finite(name, dims) && l.channelwise(n, kernel, a, b, dims, op) {
			return true, nil
		}
		l.broadcast(n, kernel, a, b, dims, h)
		return true, nil
	}
}

// channelwise lowers [N, C, H, W] op [N, C, 1, 1] on blocks: the scale of squeeze-and-excite.
func (l *lowering) channelwise(n *model.Node, kernel string, a, b *value, dims []int, op binaryFuncs) bool {
	swap := false
	if !same(a.dims, dims) {
		a, b, swap = b, a, true
	}
	if !same(a.dims, dims) || !a.prefersBlocks() || len(dims) != 4 || len(b.dims) != 4 || b.dims[1] != dims[1] || b.dims[2]*b.dims[3] != 1 ||
		(b.dims[0] != dims[0] && b.dims[0] != 1) || b.data != nil && b.dims[0] != 1 {
		return false
	}
	s := &step{Step: Step{Kernel: kernel + "_channel", DType: "float32", Bytes: byteSize(a) + byteSize(b)}}
	src := l.needBlocked(a, cpu.Border{})
	scale := l.needBlocked(b, cpu.Border{})
	out := l.out(n, 0)
	dst := l.newBlocked(out, cpu.Border{})
	s.reads, s.writes = []*buffer{src, scale}, []*buffer{dst}
	s.Bytes += byteSize(out)
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, x, v := ses.floats(dst), ses.floats(src), ses.floats(scale)
		dl, xl, vl := dst.layout, src.layout, scale.layout
		reps := make([][16]float32, l.opt.Threads) // of a worker: one made in a piece would go to the heap
		rows, row := dl.H, dl.W*dl.Block
		if dl.Row() == row && xl.Row() == row {
			rows, row = 1, dl.H*row
		}
		// Methods of a layout copy it: their results are the same for all pieces.
		blocks, block, batch := dl.Blocks(), dl.Block, vl.N-1
		dAt, dImage, dPlane, dRow := dl.Pixel(0, 0), dl.Image(), dl.Plane(), dl.Row()
		xAt, xImage, xPlane, xRow := xl.Pixel(0, 0), xl.Image(), xl.Plane(), xl.Row()
		vAt, vImage, vPlane := vl.Pixel(0, 0), vl.Image(), vl.Plane()
		return []team.Task{pieces{dl.N * blocks, func(i, w int) {
			img, blk := i/blocks, i%blocks
			line := v[min(img, batch)*vImage+blk*vPlane+vAt:][:block]
			rep := &reps[w]
			if len(line) == 4 {
				a := [4]float32(line)
				for k := 0; k < len(rep); k += 4 {
					*(*[4]float32)(rep[k:]) = a
				}
			} else {
				for k := 0; k < len(rep); {
					k += copy(rep[k:], line)
				}
			}
			to, from := d[img*dImage+blk*dPlane+dAt:], x[img*xImage+blk*xPlane+xAt:]
			for y := range rows {
				op.lines(to[y*dRow:][:row], from[y*xRow:][:row], rep, swap)
			}
		}}}, nil
	}
	l.add(s, n)
	return true
}

// lines computes dst = a op l, or l op a, where the line l of 16 numbers repeats.
func (o binaryFuncs) lines(dst, a []float32, l *[16]float32, swap bool) {
	if o.line != nil && (!swap || o.swap) {
		o.line(dst, a, l)
		return
	}
	var full [256]float32
	for k := range full {
		full[k] = l[k%len(l)]
	}
	for len(dst) > 0 {
		n := min(len(dst), len(full))
		if swap {
			o.f(dst[:n], full[:n], a[:n])
		} else {
			o.f(dst[:n], a[:n], full[:n])
		}
		dst, a = dst[n:], a[n:]
	}
}

// broadcast lowers any other pair of shapes on row-major tensors, over the longest
// runs of elements along which neither side repeats, or one of them stays.
func (l *lowering) broadcast(n *model.Node, kernel string, a, b *value, dims []int, f binaryFunc) {
	s := &step{Step: Step{Kernel: kernel + "_broadcast", DType: "float32", Bytes: byteSize(a) + byteSize(b)}}
	x, y := l.needPlain(a), l.needPlain(b)
	out := l.out(n, 0)
	out.plain = l.newPlain(out)
	dst := out.plain
	s.Bytes += byteSize(out)
	s.reads, s.writes = []*buffer{x, y}, []*buffer{dst}
	sa, sb := strides(a.dims, dims), strides(b.dims, dims)
	// run is the number of trailing elements that both sides walk with stride 1, or one of them with stride 0.
	run, mode := trailing(dims, sa, sb)
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, p, q := ses.floats(dst), ses.floats(x), ses.floats(y)
		outer := 1
		if run > 0 {
			outer = len(d) / run
		}
		return []team.Task{ranges(outer, max(1, 4096/max(1, run)), func(from, to int) {
			var buf [1024]float32 // a number, repeated
			for o := from; o < to; o++ {
				ia, ib := offsets(o*run, dims, sa, sb)
				dd := d[o*run : (o+1)*run]
				switch mode {
				case 0:
					f(dd, p[ia:ia+run], q[ib:ib+run])
				case 1:
					fillWith(buf[:min(run, len(buf))], p[ia])
					for at := 0; at < run; at += len(buf) {
						n := min(len(buf), run-at)
						f(dd[at:at+n], buf[:n], q[ib+at:ib+at+n])
					}
				case 2:
					fillWith(buf[:min(run, len(buf))], q[ib])
					for at := 0; at < run; at += len(buf) {
						n := min(len(buf), run-at)
						f(dd[at:at+n], p[ia+at:ia+at+n], buf[:n])
					}
				}
			}
		})}, nil
	}
	l.add(s, n)
}

func fillWith(d []float32, v float32) {
	for i := range d {
		d[i] = v
	}
}

// strides of a tensor seen in the shape out: 0 along repeated dimensions.
func strides(in, out []int) []int {
	st := make([]int, len(out))
	step := 1
	for i := len(in) - 1; i >= 0; i-- {
		k := len(out) - len(in) + i
		if in[i] != 1 {
			st[k] = step
		}
		step *= in[i]
	}
	return st
}

// trailing finds how many trailing elements can be run over at once: mode 0 both move, 1 the first stays, 2 the second stays.
func trailing(dims, sa, sb []int) (run, mode int) {
	run = 1
	decided := false
	ea, eb := 1, 1 // stride that the next dimension must have to go on
	for i := len(dims) - 1; i >= 0; i-- {
		if dims[i] == 1 {
			continue
		}
		var m int
		switch {
		case sa[i] == ea && sb[i] == eb && (!decided || mode == 0):
			m = 0
		case sa[i] == 0 && sb[i] == eb && (!decided || mode == 1):
			m = 1
		case sb[i] == 0 && sa[i] == ea && (!decided || mode == 2):
			m = 2
		default:
			return run, mode
		}
		mode, decided = m, true
		run *= dims[i]
		if sa[i] != 0 {
			ea *= dims[i]
		}
		if sb[i] != 0 {
			eb *= dims[i]
		}
	}
	return run, mode
}

// offsets gives the places in both inputs of flat output index i.
func offsets(i int, dims, sa, sb []int) (ia, ib int) {
	for k := len(dims) - 1; k >= 0; k-- {
		c := i % dims[k]
		i /= dims[k]
		ia += c * sa[k]
		ib += c * sb[k]
	}
	return
}

// constFloat is a scalar constant input, def where it is absent.
func (l *lowering) constFloat(n *model.Node, i int, def float32) (float32, bool) {
	v := l.in(n, i)
	if v == nil {
		return def, true
	}
	if v.data == nil || v.data.DType != model.Float32 || v.data.Len() != 1 {
		return 0, false
	}
	return model.Data[float32](v.data)[0], true
}

// pickClip reads Clip of every opset: attributes before 11, inputs since.
func pickClip(l *lowering, n *model.Node) (unaryFunc, bool) {
	lo, ok1 := l.constFloat(n, 1, n.Float("min", -math.MaxFloat32))
	hi, ok2 := l.constFloat(n, 2, n.Float("max", math.MaxFloat32))
	return l.actFunc(cpu.Act{Kind: cpu.Clamp, A: lo, B: hi}), ok1 && ok2
}

// pickAct is a fixed activation; alpha and beta are read from the node with their defaults.
func pickAct(kind cpu.ActKind, alpha, beta float32) func(*lowering, *model.Node) (unaryFunc, bool) {
	return func(l *lowering, n *model.Node) (unaryFunc, bool) {
		a := cpu.Act{Kind: kind, A: alpha, B: beta}
		if n.Op != "HardSwish" {
			a.A, a.B = n.Float("alpha", alpha), n.Float("beta", beta)
		}
		return l.actFunc(a), true
	}
}

// pickGelu is the exact GELU, or the one by tanh.
func pickGelu(l *lowering, n *model.Node) (unaryFunc, bool) {
	if n.Str("approximate", "none") == "tanh" {
		return l.fastGelu(), true
	}
	return l.actFunc(cpu.Act{Kind: cpu.GELU}), true
}

// pickFastGelu is FastGelu of ONNX Runtime without a bias.
func pickFastGelu(l *lowering, n *model.Node) (unaryFunc, bool) {
	return l.fastGelu(), l.in(n, 1) == nil
}

// fastGelu is x/2 (1 + tanh(u)) = x sigmoid(2u) with u = sqrt(2/pi) (x + 0.044715 x^3), in pieces that stay in the first-level cache.
func (l *lowering) fastGelu() unaryFunc {
	k := eltwise.New(l.opt.Features)
	root := 2 * math.Sqrt(2/math.Pi)
	return func(dst, src []float32) {
		var buf [1024]float32
		for from := 0; from < len(src); from += len(buf) {
			x := src[from:min(len(src), from+len(buf))]
			t := buf[:len(x)]
			k.Binary(eltwise.Mul, t, x, x)
			k.BinaryScalar(eltwise.Mul, t, t, float32(root*0.044715))
			k.BinaryScalar(eltwise.Add, t, t, float32(root))
			k.Binary(eltwise.Mul, t, t, x)
			k.Act(cpu.Act{Kind: cpu.Sigmoid}, t, t)
			k.Binary(eltwise.Mul, dst[from:][:len(x)], t, x)
		}
	}
}

// pickMath is a scalar function without attributes.
func pickMath(f func(float64) float64) func(*lowering, *model.Node) (unaryFunc, bool) {
	return func(*lowering, *model.Node) (unaryFunc, bool) {
		return func(dst, src []float32) {
			for i, v := range src {
				dst[i] = float32(f(float64(v)))
			}
		}, true
	}
}

// lowerNorm lowers BatchNormalization with constant statistics to a scale and a shift for each channel.
func lowerNorm(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	if !x.f32() || x.data != nil || len(x.dims) < 2 || l.outDims(n, 0) == nil || len(n.Inputs) != 5 || n.Int("training_mode", 0) != 0 {
		return false, nil
	}
	for _, o := range n.Outputs[1:] {
		if o != "" {
			return false, nil
		}
	}
	var p [4][]float32
	for i := range p {
		v := l.in(n, i+1)
		if v == nil || v.data == nil || v.data.DType != model.Float32 || v.data.Len() != x.dims[1] {
			return false, nil
		}
		p[i] = model.Data[float32](v.data)
	}
	eps := float64(n.Float("epsilon", 1e-5))
	c := x.dims[1]
	scale, shift := make([]float32, c+64), make([]float32, c+64)
	for i := range c {
		k := float64(p[0][i]) / math.Sqrt(float64(p[3][i])+eps)
		scale[i], shift[i] = float32(k), float32(float64(p[1][i])-float64(p[2][i])*k)
	}
	s := &step{Step: Step{Kernel: "f32_scale_shift", DType: "float32", Bytes: 2 * byteSize(x)}}
	out := l.out(n, 0)
	if x.prefersBlocks() {
		src, dst := l.needBlocked(x, cpu.Border{}), l.newBlocked(out, cpu.Border{})
		s.reads, s.writes = []*buffer{src}, []*buffer{dst}
		s.bind = func(ses *Session) ([]team.Task, error) {
			d, v, dl, vl := ses.floats(dst), ses.floats(src), dst.layout, src.layout
			return []team.Task{pieces{dl.N * dl.Blocks(), func(i, _ int) {
				img, blk := i/dl.Blocks(), i%dl.Blocks()
				ks, ss := scale[blk*dl.Block:][:dl.Block], shift[blk*dl.Block:][:dl.Block]
				for y := range dl.H {
					o := d[img*dl.Image()+blk*dl.Plane()+dl.Pixel(y, 0):][:dl.W*dl.Block]
					r := v[img*vl.Image()+blk*vl.Plane()+vl.Pixel(y, 0):][:dl.W*dl.Block]
					scaleShift(o, r, ks, ss)
				}
			}}}, nil
		}
		l.add(s, n)
		return true, nil
	}
	src := l.needPlain(x)
	out.plain = l.newPlain(out)
	dst := out.plain
	s.reads, s.writes = []*buffer{src}, []*buffer{dst}
	size := 1
	for _, d := range x.dims[2:] {
		size *= d
	}
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, v := ses.floats(dst), ses.floats(src)
		return []team.Task{ranges(x.dims[0]*c, max(1, 4096/max(1, size)), func(from, to int) {
			for i := from; i < to; i++ {
				k, h := scale[i%c], shift[i%c]
				o := d[i*size : (i+1)*size]
				for j, e := range v[i*size : (i+1)*size] {
					o[j] = e*k + h
				}
			}
		})}, nil
	}
	l.add(s, n)
	return true, nil
}
