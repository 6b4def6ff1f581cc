package engine

import (
	"math"

	"fettle/internal/fail"
	"fettle/kernels/conv"
	"fettle/kernels/gemm"
	"fettle/kernels/quant"
	"fettle/kernels/team"
	"fettle/model"
)

// lowerDynamicQuantize lowers DynamicQuantizeLinear: the range of the whole tensor, then its bytes.
func lowerDynamicQuantize(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	dims := l.outDims(n, 0)
	count, err := model.Count(dims)
	if !x.f32() || x.data != nil || dims == nil || err != nil || count == 0 {
		return false, nil
	}
	s := &step{Step: Step{Kernel: "f32_quantize_dynamic", DType: "uint8", Bytes: byteSize(x) + int64(count)}}
	src := l.needPlain(x)
	out := l.out(n, 0)
	out.plain = l.newPlain(out)
	scale, zero := l.scratch(4), l.scratch(1)
	for i, b := range []*buffer{scale, zero} {
		if arg := i + 1; arg < len(n.Outputs) && n.Outputs[arg] != "" {
			l.out(n, arg).plain = b
		}
	}
	dst := out.plain
	s.reads, s.writes = []*buffer{src}, []*buffer{dst, scale, zero}
	k := quant.New(l.opt.Features)
	s.bind = func(ses *Session) ([]team.Task, error) {
		v, b, sc, z := ses.floats(src), ses.bytes(dst), ses.floats(scale), ses.bytes(zero)
		per := max(8192, split(len(v), 64))
		part := make([][2]float32, split(len(v), per))
		return []team.Task{
			pieces{len(part), func(i, _ int) { part[i] = rangeOf(v[i*per : min(len(v), (i+1)*per)]) }},
			once(func() {
				lo, hi := float32(0), float32(0)
				for _, p := range part {
					lo, hi = min(lo, p[0]), max(hi, p[1])
				}
				if sc[0] = (hi - lo) / 255; sc[0] == 0 {
					sc[0] = 1
				}
				z[0] = uint8(min(max(math.RoundToEven(float64(-lo/sc[0])), 0), 255))
			}),
			ranges(len(b), 8192, func(from, to int) { quant.Quantize(k, b[from:to], v[from:to], sc[0], z[0]) }),
		}, nil
	}
	l.add(s, n)
	return true, nil
}

// rangeOf is the least and the largest of v and 0, without what is no number. Four of each at once do not wait for each other.
func rangeOf(v []float32) [2]float32 {
	var lo, hi [4]float32
	for ; len(v) >= 4; v = v[4:] {
		for k := range lo {
			x := v[k]
			if x < lo[k] {
				lo[k] = x
			}
			if x > hi[k] {
				hi[k] = x
			}
		}
	}
	for _, x := range v {
		if x < lo[0] {
			lo[0] = x
		}
		if x > hi[0] {
			hi[0] = x
		}
	}
	return [2]float32{min(lo[0], lo[1], lo[2], lo[3]), max(hi[0], hi[1], hi[2], hi[3])}
}

// sums is a product of bytes whose 32-bit sums are the result, as MatMulInteger and ConvInteger have it: (x - zero)·w. Where only
// a Cast to float32 reads them, the step gives out floats.
type sums struct {
	n    *model.Node
	x    *value
	w    *weights8
	zero *value // of x, nil or a constant for what is known
	base uint8  // the zero point then, in the u8 form
	cast *model.Node
}

// sumsOf reads the operands of n; false where the weights are no constant around 0 or a zero point is no single number.
func (l *lowering) sumsOf(n *model.Node) (*sums, bool) {
	x, w := l.in(n, 0), l.in(n, 1)
	if !x.eight() || x.data != nil || w == nil || w.data == nil || len(w.data.Raw) == 0 || l.outDims(n, 0) == nil || l.inf.Types[n.Outputs[0]].DType != model.Int32 {
		return nil, false
	}
	var around *model.Tensor
	if z := l.in(n, 3); z != nil {
		if around = z.data; around == nil {
			return nil, false
		}
	}
	isl := &island{}
	if !isl.setWeights(w.data, model.Scalar32(1), around, 0) {
		return nil, false
	}
	s := &sums{n: n, x: x, w: isl.w, base: x.flip()}
	if z := l.in(n, 2); z != nil {
		if c, err := model.Count(z.dims); err != nil || z.dims == nil || c != 1 || z.typ.DType != x.typ.DType {
			return nil, false
		}
		if z.data != nil {
			l.use(z.data)
			s.base = z.data.Raw[0] ^ x.flip()
		} else {
			s.zero = z
		}
	}
	if u := l.m.Graph.Users(n.Outputs[0]); len(u) == 1 && standard(u[0], "Cast") && l.m.Graph.Output(n.Outputs[0]) == nil && l.inf.Types[u[0].Outputs[0]].DType == model.Float32 {
		s.cast = u[0]
	}
	return s, true
}

// start makes the step with input, zero point and result.
func (l *lowering) start(s *sums, st *step) (src, zero, dst *buffer) {
	src = l.needPlain(s.x)
	st.reads = []*buffer{src}
	if s.zero != nil {
		zero = l.needPlain(s.zero)
		st.reads = append(st.reads, zero)
	}
	out := l.out(s.n, 0)
	if s.cast != nil {
		out = l.out(s.cast, 0)
		l.done[s.cast.ID] = true
	}
	out.plain = l.newPlain(out)
	st.writes = []*buffer{out.plain}
	st.Op, st.DType, st.Name = s.n.Op, "int8", s.n.Label()
	st.Bytes = byteSize(s.x) + int64(len(s.w.t.Raw)) + byteSize(out)
	return src, zero, out.plain
}

func (s *sums) covers() []*model.Node {
	if s.cast != nil {
		return []*model.Node{s.n, s.cast}
	}
	return []*model.Node{s.n}
}

// point is the zero point of a run.
func (s *sums) point(ses *Session, zero *buffer) func() uint8 {
	if zero == nil {
		return func() uint8 { return s.base }
	}
	z, flip := ses.bytes(zero), s.x.flip()
	return func() uint8 { return z[0] ^ flip }
}

// put stores sums as what the result is.
func (s *sums) put(dst []byte) func(at int, v int32) {
	if s.cast != nil {
		f := view[float32](dst)
		return func(at int, v int32) { f[at] = float32(v) }
	}
	i := view[int32](dst)
	return func(at int, v int32) { i[at] = v }
}

// byteProduct is a product of rows of bytes by the weights of s, as [outputs][k].
type byteProduct struct {
	rows, n, k int
	alg        *gemm.Algorithm
	packed     []float32
	sum        []int32 // of the weights of each output
	data       *buffer // rows of bytes
	acc, bias  *buffer
}

func (l *lowering) byteProduct(s *sums, rows, n, k int, weights func() []int8) (*byteProduct, error) {
	p := &byteProduct{rows: rows, n: n, k: k}
	algs, err := gemm.Plan(gemm.Shape{M: rows, N: n, K: k, TransB: true, ConstB: true, Int8: true, Bias: true}, l.opt.Features)
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	p.alg = algs[0]
	if p.packed, err = l.packed(s.n, p.alg.Name, p.alg.PackedLen(), s.w.t, func(dst []float32) error { return p.alg.PackInt8(dst, weights(), 0) }); err != nil {
		return nil, err
	}
	sum, err := l.packed(s.n, "sums", n, s.w.t, func(dst []float32) error {
		to := view[int32](floatBytes(dst))
		for j, w := 0, weights(); j < n; j++ {
			for _, v := range w[j*k : (j+1)*k] {
				to[j] += int32(v)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.sum = view[int32](floatBytes(sum))
	p.data, p.acc, p.bias = l.scratch(rows*k+64), l.scratch(4*rows*n), l.scratch(4*n)
	return p, nil
}

// kernel is the product of the first rows.
func (p *byteProduct) kernel(rows, workers int) (*gemm.Kernel, error) {
	shape := p.alg.Shape
	shape.M = rows
	a := *p.alg
	a.Shape = shape
	k, err := a.Bind(workers)
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	return k, nil
}

// correct is the task that turns a zero point into what every sum is short of.
func (p *byteProduct) correct(bias []int32, zero func() uint8) team.Task {
	return once(func() {
		z := int32(zero())
		for j, v := range p.sum {
			bias[j] = -z * v
		}
	})
}

// lowerMatMulInteger lowers MatMulInteger by one constant matrix.
func lowerMatMulInteger(l *lowering, n *model.Node) (bool, error) {
	s, ok := l.sumsOf(n)
	if !ok || len(s.w.shape) != 2 || len(s.x.dims) < 2 {
		return false, nil
	}
	k, cols := s.w.shape[0], s.w.shape[1]
	rows, err := model.Count(s.x.dims[:len(s.x.dims)-1])
	if err != nil || rows == 0 {
		return false, nil
	}
	s.w.scale = nil
	p, err := l.byteProduct(s, rows, cols, k, func() []int8 { return s.w.transposed(1) })
	if err != nil {
		return false, err
	}
	kern, err := p.kernel(rows, l.opt.Threads)
	if err != nil {
		return false, err
	}
	st := &step{Step: Step{Kernel: p.alg.Name, MACs: int64(rows) * int64(cols) * int64(k)}}
	src, zero, dst := l.start(s, st)
	st.writes = append(st.writes, p.data, p.acc, p.bias)
	flip := s.x.flip()
	st.bind = func(ses *Session) ([]team.Task, error) {
		from, to, bias := ses.bytes(src), ses.bytes(p.data), view[int32](ses.bytes(p.bias))
		acc := view[int32](ses.bytes(p.acc))
		if s.cast == nil {
			acc = view[int32](ses.bytes(dst))
		}
		run, err := kern.On(gemm.Buffers{A8: to, C32: acc, Bias32: bias, Packed: p.packed})
		if err != nil {
			return nil, err
		}
		tasks := []team.Task{
			p.correct(bias, s.point(ses, zero)),
			ranges(len(from), 16384, func(a, b int) { flipInto(to[a:b], from[a:b], flip) }),
			run,
		}
		if s.cast != nil {
			y := ses.floats(dst)
			tasks = append(tasks, ranges(len(y), 8192, func(a, b int) {
				for i, v := range acc[a:b] {
					y[a+i] = float32(v)
				}
			}))
		}
		return tasks, nil
	}
	l.add(st, s.covers()...)
	return true, nil
}

// lowerConvInteger lowers ConvInteger with constant weights: windows as rows of bytes, then a product. Groups, which are depthwise
// most often, are summed row by row.
func lowerConvInteger(l *lowering, n *model.Node) (bool, error) {
	s, ok := l.sumsOf(n)
	if !ok {
		return false, nil
	}
	c, ok := convShape(n, s.x.dims, s.w.shape, l.outDims(n, 0))
	if !ok {
		return false, nil
	}
	if c.Groups > 1 {
		l.groupSums(s, c)
		return true, nil
	}
	k, pixels := c.C*c.KH*c.KW, c.OutH()*c.OutW()
	rows := min(pixels, max(windowPixels, windowBytes/k/windowPixels*windowPixels))
	p, err := l.byteProduct(s, rows, c.M, k, s.w.values)
	if err != nil {
		return false, err
	}
	st := &step{Step: Step{Kernel: "windows_" + p.alg.Name, MACs: c.MACs()}}
	src, zero, dst := l.start(s, st)
	st.writes = append(st.writes, p.data, p.acc, p.bias)
	flip, workers := s.x.flip(), l.opt.Threads
	st.bind = func(ses *Session) ([]team.Task, error) {
		x, a8, acc, bias := ses.bytes(src), ses.bytes(p.data), view[int32](ses.bytes(p.acc)), view[int32](ses.bytes(p.bias))
		put, point := s.put(ses.bytes(dst)), s.point(ses, zero)
		tasks := []team.Task{p.correct(bias, point)}
		kernels := map[int]*gemm.Kernel{}
		for img := range c.N {
			for at := 0; at < pixels; at += rows {
				count := min(rows, pixels-at)
				if kernels[count] == nil {
					kern, err := p.kernel(count, workers)
					if err != nil {
						return nil, err
					}
					kernels[count] = kern
				}
				run, err := kernels[count].On(gemm.Buffers{A8: a8, C32: acc, Bias32: bias, Packed: p.packed})
				if err != nil {
					return nil, err
				}
				in := x[img*c.C*c.H*c.W:][:c.C*c.H*c.W]
				tasks = append(tasks,
					pieces{split(count, windowPixels), func(i, _ int) {
						first := i * windowPixels
						windows(c, a8[first*k:], in, at+first, min(windowPixels, count-first), flip, point())
					}},
					run,
					pieces{split(count, windowPixels), func(i, _ int) {
						first := i * windowPixels
						for m := range c.M {
							to := (img*c.M+m)*pixels + at
							for r := first; r < min(count, first+windowPixels); r++ {
								put(to+r, acc[r*c.M+m])
							}
						}
					}})
			}
		}
		return tasks, nil
	}
	l.add(st, s.covers()...)
	return true, nil
}

// windowPixels are the pixels of a piece, whose windows stay in the first cache; windowBytes bounds the windows in memory at once.
const windowPixels, windowBytes = 32, 1 << 20

// windows writes the window of each of count pixels of the result from first on, [pixel][channel][place], as u8; outside of the picture lies
// zero.
func windows(c conv.Shape, dst, x []byte, first, count int, flip, zero uint8) {
	k, ow := c.C*c.KH*c.KW, c.OutW()
	at := 0
	for ch := range c.C {
		for ky := range c.KH {
			for kx := range c.KW {
				oy, ox := first/ow, first%ow
				for i := 0; i < count; {
					n := min(ow-ox, count-i)
					iy := oy*c.SH + ky*c.DH - c.PadT
					ix := ox*c.SW + kx*c.DW - c.PadL
					o := i*k + at
					if iy < 0 || iy >= c.H {
						for range n {
							dst[o] = zero
							o += k
						}
					} else {
						row := x[(ch*c.H+iy)*c.W:][:c.W]
						for range n {
							v := zero
							if uint(ix) < uint(len(row)) {
								v = row[ix] ^ flip
							}
							dst[o] = v
							o += k
							ix += c.SW
						}
					}
					i, oy, ox = i+n, oy+1, 0
				}
				at++
			}
		}
	}
}

// groupSums adds the step of a convolution in groups.
func (l *lowering) groupSums(s *sums, c conv.Shape) {
	st := &step{Step: Step{Kernel: "qu8s8_group_sums", MACs: c.MACs()}}
	src, zero, dst := l.start(s, st)
	flip, workers := s.x.flip(), l.opt.Threads
	l.use(s.w.t)
	st.bind = func(ses *Session) ([]team.Task, error) {
		x, put, point := ses.bytes(src), s.put(ses.bytes(dst)), s.point(ses, zero)
		w := s.w.values()
		oh, ow, cg, mg := c.OutH(), c.OutW(), c.C/c.Groups, c.M/c.Groups
		lines := make([][]int32, workers)
		for i := range lines {
			lines[i] = make([]int32, ow)
		}
		return []team.Task{pieces{c.N * c.M, func(i, worker int) {
			img, m, z, line := i/c.M, i%c.M, int32(point()), lines[worker]
			for oy := range oh {
				clear(line)
				for ch := range cg {
					plane := x[(img*c.C+m/mg*cg+ch)*c.H*c.W:][:c.H*c.W]
					for ky := range c.KH {
						iy := oy*c.SH + ky*c.DH - c.PadT
						if iy < 0 || iy >= c.H {
							continue
						}
						row := plane[iy*c.W:][:c.W]
						for kx := range c.KW {
							f := int32(w[((m*cg+ch)*c.KH+ky)*c.KW+kx])
							ix := kx*c.DW - c.PadL
							for o := range line {
								if uint(ix) < uint(len(row)) {
									line[o] += f * (int32(row[ix]^flip) - z)
								}
								ix += c.SW
							}
						}
					}
				}
				for o, v := range line {
					put((i*oh+oy)*ow+o, v)
				}
			}
		}}}, nil
	}
	l.add(st, s.covers()...)
}
