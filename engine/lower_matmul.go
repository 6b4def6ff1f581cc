package engine

import (
	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/eltwise"
	"fettle/kernels/gemm"
	"fettle/kernels/team"
	"fettle/model"
)

// product is a matrix product, or a batch of them, on row-major float32 tensors.
type product struct {
	shape  gemm.Shape
	a, b   *value
	bias   []float32 // a value a column, nil for none
	add    *value    // what the output holds before, nil for none; broadcast from shape
	beta   float32   // factor of add
	alpha  float32   // factor of a constant b
	act    cpu.Act
	dims   []int // of the output
	aAt    []int // offset in A of each product of the batch, in elements
	bAt    []int
	cAt    []int // nil: one after the other
	addDim []int

	unpack func() []float32               // the numbers of a constant b, where its bytes are others
	fill   func(dst []float32, panel int) // writes a panel of such numbers in each run, so that they are never in memory all at once

	lda, ldb, ldc int         // 0: tight
	to            *model.Node // a Transpose that the store does, or nil
}

// lowerGemm lowers Gemm and fettle:Gemm (activation in the store where the kernel has it).
func lowerGemm(l *lowering, n *model.Node) (bool, error) {
	a, b := l.in(n, 0), l.in(n, 1)
	dims := l.outDims(n, 0)
	if !a.f32() || !b.f32() || len(dims) != 2 || len(a.dims) != 2 || len(b.dims) != 2 {
		return false, nil
	}
	act, ok := activation(n)
	if !ok {
		return false, nil
	}
	p := product{a: a, b: b, act: act, dims: dims, alpha: n.Float("alpha", 1), beta: n.Float("beta", 1), aAt: []int{0}, bAt: []int{0}}
	p.shape = gemm.Shape{M: dims[0], N: dims[1], K: a.dims[1], TransA: n.Int("transA", 0) != 0, TransB: n.Int("transB", 0) != 0}
	if p.shape.TransA {
		p.shape.K = a.dims[0]
	}
	if p.alpha != 1 && b.data == nil {
		return false, nil
	}
	if c := l.in(n, 2); c != nil {
		if !c.f32() {
			return false, nil
		}
		p.add, p.addDim = c, c.dims
		if c.data != nil {
			p.bias = columns(c.data, p.shape.N, p.beta)
		}
		if p.bias != nil {
			p.add = nil
		}
	}
	return true, l.product(n, &p)
}

// columns is a constant that is one row for all rows of the output, times beta; nil where it is not.
func columns(t *model.Tensor, n int, beta float32) []float32 {
	d := t.Shape
	for len(d) > 1 && d[0] == 1 {
		d = d[1:]
	}
	v := model.Data[float32](t)
	if len(d) > 1 || len(v) != n && len(v) != 1 {
		return nil
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = beta * v[min(i, len(v)-1)]
	}
	return out
}

// lowerMatMul lowers MatMul and fettle:MatMul of any rank, as one product where B is one matrix.
func lowerMatMul(l *lowering, n *model.Node) (bool, error) {
	a, b := l.in(n, 0), l.in(n, 1)
	dims := l.outDims(n, 0)
	if !a.f32() || !b.f32() || dims == nil || len(a.dims) == 0 || len(b.dims) == 0 {
		return false, nil
	}
	act, ok := activation(n)
	if !ok {
		return false, nil
	}
	p := product{a: a, b: b, act: act, dims: dims, alpha: 1, beta: 1}
	if c := l.in(n, 2); c != nil && !c.f32() {
		return false, nil
	}
	la, lb := l.operand(a), l.operand(b)
	var lead []int
	p.shape, lead, p.aAt, p.bAt = batch(la, lb)
	if lead != nil {
		p.lda, p.shape.TransA, _ = la.matrix(true).plane()
		p.ldb, p.shape.TransB, _ = lb.matrix(false).plane()
	}
	if c := l.in(n, 2); c != nil {
		if c.data != nil {
			p.bias = columns(c.data, p.shape.N, 1)
		}
		if p.bias == nil {
			p.add, p.addDim = c, c.dims
		}
	}
	if to, lay := l.transposed(n, dims); to != nil && p.add == nil {
		if rows, _ := model.Count(dims[:len(dims)-2]); lead == nil && rows == 1 {
			lead = dims[:len(dims)-2]
		}
		if len(lead) != len(dims)-2 {
			return true, l.product(n, &p)
		}
		p.to, p.cAt = to, lay.at(lead)
		p.ldc, _, _ = lay.plane()
	}
	return true, l.product(n, &p)
}

// packLimit bounds the panels of B that the products of a batch keep at once.
const packLimit = 4 << 20

// product adds the step of p.
func (l *lowering) product(n *model.Node, p *product) error {
	sh := p.shape
	sh.ConstB = p.b.data != nil && len(p.bAt) == 1 && p.fill == nil
	sh.Bias, sh.Accumulate, sh.Fast, sh.Half = p.bias != nil, p.add != nil, l.opt.Fast, l.opt.Half
	post := p.act
	if p.act.Kind <= cpu.Clamp {
		sh.Act, post = p.act, cpu.Act{}
	}
	algs, err := gemm.Plan(sh, l.opt.Features)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	alg := algs[0]
	k, err := alg.Bind(l.opt.Threads)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	s := &step{Step: Step{Kernel: alg.Name, MACs: sh.MACs() * int64(len(p.aAt)), DType: "float32", Bytes: byteSize(p.a) + byteSize(p.b)}}
	covers := []*model.Node{n}
	read := func(v *value) *buffer { // in front of a transposition that the kernel does
		if v.moved != nil {
			covers = append(covers, v.moved.node)
			v = v.moved.src
		}
		return l.needPlain(v)
	}
	a := read(p.a)
	s.reads = append(s.reads, a)
	var b, add *buffer
	var packed []float32
	if sh.ConstB {
		data, alpha := p.b.data, p.alpha
		packed, err = l.packed(n, alg.Name, alg.PackedLen(), data, func(dst []float32) error {
			var w []float32
			if p.unpack != nil {
				w = p.unpack()
			} else {
				w = model.Data[float32](data)
			}
			if alpha != 1 {
				w = scaled(w, alpha)
			}
			return alg.Pack(dst, w, 0)
		})
		if err != nil {
			return err
		}
	} else if p.fill == nil {
		if p.b.data != nil && p.alpha != 1 {
			l.use(p.b.data)
			t := model.Float32s(scaled(model.Data[float32](p.b.data), p.alpha), p.b.dims...)
			p.b = constant(p.b.name, t)
		}
		b = read(p.b)
		s.reads = append(s.reads, b)
	}
	if p.add != nil {
		add = l.needPlain(p.add)
		s.reads = append(s.reads, add)
	}
	out := l.out(n, 0)
	s.Bytes += byteSize(out)
	if p.to != nil {
		covers = append(covers, p.to)
		l.done[p.to.ID] = true
		out = l.out(p.to, 0)
	}
	out.plain = l.newPlain(out)
	dst := out.plain
	group := len(p.aAt) // products that run side by side
	if k.Scratch() > 0 {
		group = max(1, min(group, packLimit/4/k.Scratch()))
	}
	scratch := l.scratch(4 * k.Scratch() * group)
	s.writes = append(s.writes, dst, scratch)
	bias := p.bias
	el := eltwise.New(l.opt.Features)
	s.bind = func(ses *Session) ([]team.Task, error) {
		var tasks []team.Task
		c := ses.floats(dst)
		if add != nil {
			tasks = append(tasks, spread(c, ses.floats(add), p.dims, p.addDim, p.beta))
		}
		for first := 0; first < len(p.aAt); first += group {
			var g products
			for i := first; i < min(len(p.aAt), first+group); i++ {
				at := i * sh.M * sh.N
				if p.cAt != nil {
					at = p.cAt[i]
				}
				buf := gemm.Buffers{A: ses.floats(a)[p.aAt[i]:], C: c[at:], Bias: bias, Packed: packed, LDA: p.lda, LDB: p.ldb, LDC: p.ldc}
				buf.Fill = p.fill
				if b != nil {
					buf.B = ses.floats(b)[p.bAt[i]:]
				}
				buf.Scratch = ses.floats(scratch)[(i-first)*k.Scratch():][:k.Scratch()]
				if post.Kind != cpu.None {
					buf.Post = func(c []float32, rows, cols, ld int) { el.ActRows(post, c, rows, cols, ld) }
				}
				r, err := k.On(buf)
				if err != nil {
					return nil, err
				}
				g = append(g, r)
			}
			tasks = append(tasks, g)
		}
		return tasks, nil
	}
	s.Name, s.Op = n.Label(), n.Op
	l.add(s, covers...)
	return nil
}

func scaled(v []float32, k float32) []float32 {
	out := make([]float32, len(v))
	for i := range v {
		out[i] = v[i] * k
	}
	return out
}

// spread is the task c = beta * add, repeated over the output's shape.
func spread(c, add []float32, dims, from []int, beta float32) team.Task {
	st := strides(from, dims)
	return ranges(len(c), 4096, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			k, _ := offsets(i, dims, st, st)
			c[i] = beta * add[k]
		}
	})
}

// products are matrix products of one shape that do not depend on each other, as one task.
type products []*gemm.Run

// Stages is the number of stages of each product.
func (p products) Stages() int { return p[0].Stages() }

// Pieces are those of all products.
func (p products) Pieces(stage int) int { return len(p) * p[0].Pieces(stage) }

// Piece runs one piece of one product.
func (p products) Piece(stage, i, worker int) {
	n := p[0].Pieces(stage)
	p[i/n].Piece(stage, i%n, worker)
}
