package train

import (
	"fettle/internal/fail"
	"fettle/kernels/gemm"
	"fettle/model"
)

// batches is a product of stacks of matrices: for each matrix of the result, those of a and b, counted from 0.
type batches struct {
	m, k, n      int
	a, b         []int
	shape        []int
	flatA, flatB bool // vectors: a row, a column
}

func (t *tape[T]) batchesOf(a, b []int) (batches, error) {
	s := batches{}
	if len(a) == 1 {
		a, s.flatA = []int{1, a[0]}, true
	}
	if len(b) == 1 {
		b, s.flatB = []int{b[0], 1}, true
	}
	ra, rb := len(a), len(b)
	s.m, s.k, s.n = a[ra-2], a[ra-1], b[rb-1]
	if b[rb-2] != s.k {
		return s, fail.New(fail.Invalid, "matrices %v and %v do not meet", a, b)
	}
	stack := together(a[:ra-2], b[:rb-2])
	count := 1
	for _, d := range stack {
		count *= d
	}
	for i, from := range [][]int{a[:ra-2], b[:rb-2]} {
		l := make([]int, count)
		for k := range l {
			at, stride := 0, 1
			for d, r := len(stack)-1, k; d >= 0; d-- {
				if j := d - (len(stack) - len(from)); j >= 0 {
					if from[j] != 1 {
						at += r % stack[d] * stride
					}
					stride *= from[j]
				}
				r /= stack[d]
			}
			l[k] = at
		}
		if i == 0 {
			s.a = l
		} else {
			s.b = l
		}
	}
	s.shape = append(s.shape, stack...)
	if !s.flatA {
		s.shape = append(s.shape, s.m)
	}
	if !s.flatB {
		s.shape = append(s.shape, s.n)
	}
	return s, nil
}

func matMulForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	if in[0] == nil || in[1] == nil {
		return nil, nil, fail.New(fail.Unsupported, "training knows products of float32 values only")
	}
	s, err := t.batchesOf(in[0].shape, in[1].shape)
	if err != nil {
		return nil, nil, err
	}
	a, b, y := t.planes(in[0]), t.planes(in[1]), t.take(len(s.a)*s.m*s.n)
	shape := gemm.Shape{M: s.m, N: s.n, K: s.k}
	t.macs += int64(len(s.a)) * shape.MACs()
	for i := range s.a {
		if err := mul(t.muls, shape, a[s.a[i]*s.m*s.k:][:s.m*s.k], b[s.b[i]*s.k*s.n:][:s.k*s.n], y[i*s.m*s.n:][:s.m*s.n], nil); err != nil {
			return nil, nil, err
		}
	}
	return t.back(y, s.shape), s, nil
}

func matMulBackward[T float](t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	s := saved.(batches)
	a, b, d := t.planes(in[0]), t.planes(in[1]), t.planes(dy)
	da, db := t.take(len(a)), t.take(len(b))
	clear(da)
	clear(db)
	sa := gemm.Shape{M: s.m, N: s.k, K: s.n, TransB: true, Accumulate: true}
	sb := gemm.Shape{M: s.k, N: s.n, K: s.m, TransA: true, Accumulate: true}
	t.macs += 2 * int64(len(s.a)) * sa.MACs()
	for i := range s.a {
		di := d[i*s.m*s.n:][:s.m*s.n]
		ai, bi := s.a[i]*s.m*s.k, s.b[i]*s.k*s.n
		if err := mul(t.muls, sa, di, b[bi:][:s.k*s.n], da[ai:][:s.m*s.k], nil); err != nil {
			return nil, err
		}
		if err := mul(t.muls, sb, a[ai:][:s.m*s.k], di, db[bi:][:s.k*s.n], nil); err != nil {
			return nil, err
		}
	}
	return []*array[T]{t.back(da, in[0].shape), t.back(db, in[1].shape)}, nil
}

// gemmAny is Gemm with any attributes: alpha op(a) op(b) + beta c, c stretched. The form that classifiers have is faster.
func gemmAny[T float]() rule[T] {
	plain := func(n *model.Node, in []*array[T]) bool {
		return n.Int("transA", 0) == 0 && n.Float("alpha", 1) == 1 && n.Float("beta", 1) == 1 &&
			(len(in) < 3 || in[2] == nil || len(in[2].shape) == 1 && in[2].shape[0] == in[1].shape[1-int(n.Int("transB", 0))])
	}
	type kept struct {
		s    gemm.Shape
		bias []int32
	}
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			if plain(n, in) {
				return gemmForward(t, n, in)
			}
			a, b := in[0].shape, in[1].shape
			k := kept{s: gemm.Shape{M: a[0], K: a[1], N: b[1], TransA: n.Int("transA", 0) == 1, TransB: n.Int("transB", 0) == 1}}
			if k.s.TransA {
				k.s.M, k.s.K = a[1], a[0]
			}
			if k.s.TransB {
				k.s.N = b[0]
			}
			y := t.array(k.s.M, k.s.N)
			t.macs += k.s.MACs()
			if err := mul(t.muls, k.s, in[0].v, in[1].v, y.v, nil); err != nil {
				return nil, nil, err
			}
			alpha, beta := T(n.Float("alpha", 1)), T(n.Float("beta", 1))
			for i := range y.v {
				y.v[i] *= alpha
			}
			if len(in) > 2 && in[2] != nil {
				var err error
				if k.bias, err = t.stretch(in[2].shape, y.shape); err != nil {
					return nil, nil, err
				}
				for i := range y.v {
					y.v[i] += beta * in[2].v[place32(k.bias, i)]
				}
			}
			return y, k, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
			k, ok := saved.(kept)
			if !ok {
				return gemmBackward(t, n, in, saved, dy)
			}
			alpha, beta := T(n.Float("alpha", 1)), T(n.Float("beta", 1))
			d := t.take(len(dy.v))
			for i, v := range dy.v {
				d[i] = alpha * v
			}
			da, db := t.array(in[0].shape...), t.array(in[1].shape...)
			s, out := k.s, []*array[T]{da, db}
			t.macs += 2 * s.MACs()
			var err error
			if s.TransA { // da is [K, M]: op(b) dᵀ
				err = mul(t.muls, gemm.Shape{M: s.K, N: s.M, K: s.N, TransA: s.TransB, TransB: true}, in[1].v, d, da.v, nil)
			} else {
				err = mul(t.muls, gemm.Shape{M: s.M, N: s.K, K: s.N, TransB: !s.TransB}, d, in[1].v, da.v, nil)
			}
			if err == nil && s.TransB { // db is [N, K]: dᵀ op(a)
				err = mul(t.muls, gemm.Shape{M: s.N, N: s.K, K: s.M, TransA: true, TransB: s.TransA}, d, in[0].v, db.v, nil)
			} else if err == nil {
				err = mul(t.muls, gemm.Shape{M: s.K, N: s.N, K: s.M, TransA: !s.TransA}, in[0].v, d, db.v, nil)
			}
			if len(in) > 2 && in[2] != nil {
				dc := t.zeros(in[2].shape...)
				for i, v := range dy.v {
					dc.v[place32(k.bias, i)] += beta * v
				}
				out = append(out, dc)
			}
			return out, err
		},
	}
}

// lifted makes a rule for pictures work on sequences [N, C, L], as pictures of height 1.
func lifted[T float](r rule[T]) rule[T] {
	up := func(t *tape[T], n *model.Node, in []*array[T]) (*model.Node, []*array[T]) {
		if in[0] == nil || len(in[0].shape) != 3 {
			return n, in
		}
		c := *n
		c.Attrs = nil
		for _, a := range n.Attrs {
			b := a
			switch a.Name {
			case "kernel_shape", "strides", "dilations":
				b = model.IntsAttr(a.Name, append([]int64{1}, a.Ints...)...)
			case "pads":
				b = model.IntsAttr(a.Name, 0, a.Ints[0], 0, a.Ints[1])
			case "output_padding":
				b = model.IntsAttr(a.Name, append([]int64{0}, a.Ints...)...)
			}
			c.Attrs = append(c.Attrs, b)
		}
		l := append([]*array[T](nil), in...)
		for i, x := range in {
			if x == nil || len(x.shape) != 3 {
				continue
			}
			shape := []int{x.shape[0], x.shape[1], 1, x.shape[2]}
			if i == 0 {
				l[i] = t.array(shape...)
				toPixels(l[i].v, x.v, shape)
			} else { // weights keep their order
				l[i] = &array[T]{shape, x.v}
			}
		}
		return &c, l
	}
	down := func(t *tape[T], x *array[T]) *array[T] {
		y := t.array(x.shape[0], x.shape[1], x.shape[3])
		toPlanes(y.v, x.v, x.shape)
		return y
	}
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			c, l := up(t, n, in)
			y, saved, err := r.forward(t, c, l)
			if err == nil && c != n {
				y = down(t, y)
			}
			return y, saved, err
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
			c, l := up(t, n, in)
			if c == n {
				return r.backward(t, n, in, saved, dy)
			}
			d := t.array(dy.shape[0], dy.shape[1], 1, dy.shape[2])
			toPixels(d.v, dy.v, d.shape)
			out, err := r.backward(t, c, l, saved, d)
			if err == nil && out[0] != nil {
				out[0] = down(t, out[0])
			}
			return out, err
		},
	}
}
