package ops

import (
	"math"

	"fettle/model"
)

// matmulOps: matrix products.
func matmulOps() []*Def {
	return []*Def{matmulDef, gemmDef, matmulIntegerDef, qlinearMatmulDef, detDef}
}

// inferMatmul gives the shape of numpy's matmul of inputs i and k.
func inferMatmul(f *Inference, i, k int, out model.DType) error {
	f.Out[0] = model.Type{DType: out}
	a, b := f.In[i], f.In[k]
	if !a.Ranked || !b.Ranked {
		return nil
	}
	as, bs := a.Shape, b.Shape
	if len(as) == 0 || len(bs) == 0 {
		return f.Bad("a scalar has no matrix product")
	}
	var tail model.Shape
	lead := func(s model.Shape) model.Shape {
		if len(s) < 2 {
			return nil
		}
		return s[:len(s)-2]
	}
	inner, outer := as[len(as)-1], bs[0]
	if len(as) > 1 {
		tail = append(tail, as[len(as)-2])
	}
	if len(bs) > 1 {
		outer = bs[len(bs)-2]
		tail = append(tail, bs[len(bs)-1])
	}
	if inner.Known() && outer.Known() && inner.N != outer.N {
		return f.Bad("shapes %s and %s: %d columns against %d rows", as, bs, inner.N, outer.N)
	}
	l, err := broadcastShape(f, lead(as), lead(bs))
	if err != nil {
		return err
	}
	f.Out[0] = model.TensorType(out, append(append(model.Shape{}, l...), tail...))
	return nil
}

// product2 is numpy's matmul in float64, or in integers that wrap.
func product2[T int64 | float64](c *Call, a []T, as []int, b []T, bs []int) ([]T, []int, error) {
	if len(as) == 0 || len(bs) == 0 {
		return nil, nil, c.Bad("a scalar has no matrix product")
	}
	full := func(s []int, front bool) []int {
		if len(s) > 1 {
			return s
		}
		if front {
			return []int{1, s[0]}
		}
		return []int{s[0], 1}
	}
	fa, fb := full(as, true), full(bs, false)
	m, k, n := fa[len(fa)-2], fa[len(fa)-1], fb[len(fb)-1]
	if fb[len(fb)-2] != k {
		return nil, nil, c.Bad("shapes %v and %v: %d columns against %d rows", as, bs, k, fb[len(fb)-2])
	}
	lead, ok := broadcast(fa[:len(fa)-2], fb[:len(fb)-2])
	if !ok {
		return nil, nil, c.Bad("shapes %v and %v do not broadcast", as, bs)
	}
	dims := append([]int(nil), lead...)
	if len(as) > 1 {
		dims = append(dims, m)
	}
	if len(bs) > 1 {
		dims = append(dims, n)
	}
	total, err := model.Count(append(append([]int(nil), lead...), m, n))
	if err != nil || total > c.limit()/8 {
		return nil, nil, c.Bad("the output %v is too big", dims)
	}
	y := make([]T, total)
	w := newWalk(lead, broadcastStride(fa[:len(fa)-2], lead), broadcastStride(fb[:len(fb)-2], lead))
	for p := range product(lead) {
		ma, mb, my := a[w.off[0]*m*k:], b[w.off[1]*k*n:], y[p*m*n:]
		for i := range m {
			for q := range k {
				v := ma[i*k+q]
				row := mb[q*n:][:n]
				dst := my[i*n:][:n]
				for j, x := range row {
					dst[j] += v * x
				}
			}
		}
		w.next()
	}
	return y, dims, nil
}

func matmulCost(i int) func(*Inference) Cost {
	return func(f *Inference) Cost {
		a, okA := f.In[i].Shape.Ints()
		y, okY := f.Out[0].Shape.Ints()
		if !okA || !okY || len(a) == 0 {
			return Cost{}
		}
		return Cost{MACs: int64(product(y)) * int64(a[len(a)-1]), Bytes: bytesOf(f)}
	}
}

var matmulDef = &Def{Name: "MatMul", Since: []int{1, 9, 13}, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T": Floats | 1<<model.Int32 | 1<<model.Int64 | 1<<model.Uint32 | 1<<model.Uint64}, Exact: Rounding, Cost: matmulCost(0),
	Infer: func(f *Inference) error { return inferMatmul(f, 0, 1, f.In[0].DType) },
	Eval: func(c *Call) error {
		if c.In[0].DType.Integer() {
			y, dims, err := product2(c, ints64(c.In[0]), c.In[0].Shape, ints64(c.In[1]), c.In[1].Shape)
			if err != nil {
				return err
			}
			if c.Out[0], err = c.make(c.In[0].DType, dims); err != nil {
				return err
			}
			for i, v := range y {
				c.Out[0].SetInt64(i, v)
			}
			return nil
		}
		y, dims, err := product2(c, toFloat64(c.In[0]), c.In[0].Shape, toFloat64(c.In[1]), c.In[1].Shape)
		if err != nil {
			return err
		}
		c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, y)
		return err
	}}

var gemmDef = &Def{Name: "Gemm", Since: []int{1, 6, 7, 9, 11, 13}, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}, {Name: "C", Type: "T", Opt: true}}, Out: []Port{{Name: "Y"}},
	Types: map[string]Set{"T": Floats | 1<<model.Int32 | 1<<model.Int64 | 1<<model.Uint32 | 1<<model.Uint64}, Exact: Rounding, Infer: inferGemm,
	Attrs: gemmAttrs,
	Cost: func(f *Inference) Cost {
		a, okA := f.In[0].Shape.Ints()
		y, okY := f.Out[0].Shape.Ints()
		if !okA || !okY || len(a) != 2 {
			return Cost{}
		}
		k := a[1]
		if f.Int("transA") != 0 {
			k = a[0]
		}
		return Cost{MACs: int64(product(y)) * int64(k), Bytes: bytesOf(f)}
	},
	Eval: func(c *Call) error {
		y, dims, err := gemm(c)
		if err != nil {
			return err
		}
		c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, y)
		return err
	}}

var gemmAttrs = []AttrSpec{{Name: "alpha", Type: model.AttrFloat, Default: float32(1)}, {Name: "beta", Type: model.AttrFloat, Default: float32(1)},
	{Name: "transA", Type: model.AttrInt, Default: int64(0)}, {Name: "transB", Type: model.AttrInt, Default: int64(0)}, {Name: "broadcast", Type: model.AttrInt, Default: int64(0), Until: 7}}

func inferGemm(f *Inference) error {
	f.Out[0] = model.Type{DType: f.In[0].DType}
	a, b := f.In[0], f.In[1]
	if err := f.ranked(0, 2, 2); err != nil {
		return err
	}
	if err := f.ranked(1, 2, 2); err != nil {
		return err
	}
	if !a.Ranked || !b.Ranked {
		return nil
	}
	m, k, k2, n := a.Shape[0], a.Shape[1], b.Shape[0], b.Shape[1]
	if f.Int("transA") != 0 {
		m, k = k, m
	}
	if f.Int("transB") != 0 {
		k2, n = n, k2
	}
	if k.Known() && k2.Known() && k.N != k2.N {
		return f.Bad("shapes %s and %s: %d columns against %d rows", a.Shape, b.Shape, k.N, k2.N)
	}
	y := model.Shape{m, n}
	if f.Has(2) && f.In[2].Ranked {
		s, err := broadcastShape(f, y, f.In[2].Shape)
		if err != nil {
			return err
		}
		for i := range s {
			if len(s) != 2 || y[i].Known() && s[i].Known() && y[i].N != s[i].N {
				return f.Bad("C %s does not broadcast to %s", f.In[2].Shape, y)
			}
		}
	}
	f.Out[0] = model.TensorType(a.DType, y)
	return nil
}

// gemm is alpha*A*B + beta*C in float64.
func gemm(c *Call) ([]float64, []int, error) {
	a, b := c.In[0], c.In[1]
	if len(a.Shape) != 2 || len(b.Shape) != 2 {
		return nil, nil, c.Bad("ranks %d and %d, want 2", len(a.Shape), len(b.Shape))
	}
	va, sa := toFloat64(a), a.Shape
	vb, sb := toFloat64(b), b.Shape
	if c.Int("transA") != 0 {
		va, sa = transpose2(va, sa)
	}
	if c.Int("transB") != 0 {
		vb, sb = transpose2(vb, sb)
	}
	y, dims, err := product2(c, va, sa, vb, sb)
	if err != nil {
		return nil, nil, err
	}
	alpha, beta := float64(c.Float("alpha")), float64(c.Float("beta"))
	for i := range y {
		y[i] *= alpha
	}
	if c.Has(2) {
		d, ok := broadcast(dims, c.In[2].Shape)
		if !ok || !sameDims(d, dims) {
			return nil, nil, c.Bad("C %v does not broadcast to %v", c.In[2].Shape, dims)
		}
		w := newWalk(dims, broadcastStride(c.In[2].Shape, dims))
		for i := range y {
			y[i] += beta * c.In[2].Float64At(w.off[0])
			w.next()
		}
	}
	return y, dims, nil
}

func transpose2(v []float64, s []int) ([]float64, []int) {
	out := make([]float64, len(v))
	for i := range s[0] {
		for j := range s[1] {
			out[j*s[0]+i] = v[i*s[1]+j]
		}
	}
	return out, []int{s[1], s[0]}
}

var matmulIntegerDef = &Def{Name: "MatMulInteger", Since: []int{10}, In: []Port{{Name: "A", Type: "T1"}, {Name: "B", Type: "T2"}, {Name: "a_zero_point", Type: "T1", Opt: true},
	{Name: "b_zero_point", Type: "T2", Opt: true}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T1": bytes8, "T2": bytes8}, Cost: matmulCost(0),
	Infer: func(f *Inference) error { return inferMatmul(f, 0, 1, model.Int32) },
	Eval: func(c *Call) error {
		a, b, err := zeroedMatrices(c, 0, 1, c.opt(2), c.opt(3))
		if err != nil {
			return err
		}
		y, dims, err := product2(c, a, c.In[0].Shape, b, c.In[1].Shape)
		if err != nil {
			return err
		}
		c.Out[0], err = c.fromFloat64(model.Int32, dims, y)
		return err
	}}

// zeroedMatrices subtracts the zero points: of rows for the first matrix, of columns for the second.
func zeroedMatrices(c *Call, i, k int, az, bz *model.Tensor) (a, b []float64, err error) {
	x, y := c.In[i], c.In[k]
	rows, cols := 1, 1
	if len(x.Shape) > 1 {
		rows = x.Shape[len(x.Shape)-2]
	}
	if len(y.Shape) > 0 {
		cols = y.Shape[len(y.Shape)-1]
	}
	if err := perChannel(c, az, rows); err != nil {
		return nil, nil, err
	}
	if err := perChannel(c, bz, cols); err != nil {
		return nil, nil, err
	}
	return zeroed(x, az, max(0, len(x.Shape)-2)), zeroed(y, bz, max(0, len(y.Shape)-1)), nil
}

var qlinearMatmulDef = &Def{Name: "QLinearMatMul", Since: []int{10, 21}, In: []Port{{Name: "a", Type: "T1"}, {Name: "a_scale", Type: "TS"}, {Name: "a_zero_point", Type: "T1"},
	{Name: "b", Type: "T2"}, {Name: "b_scale", Type: "TS"}, {Name: "b_zero_point", Type: "T2"}, {Name: "y_scale", Type: "TS"}, {Name: "y_zero_point", Type: "T3"}},
	Out: []Port{{Name: "y"}}, Types: map[string]Set{"T1": bytes8, "T2": bytes8, "T3": bytes8, "TS": Floats}, Exact: Rounding, Cost: matmulCost(0),
	Infer: func(f *Inference) error {
		for i := 6; i < 8; i++ {
			if err := f.single(i); err != nil {
				return err
			}
		}
		return inferMatmul(f, 0, 3, f.In[7].DType)
	},
	Eval: func(c *Call) error {
		a, b, err := zeroedMatrices(c, 0, 3, c.In[2], c.In[5])
		if err != nil {
			return err
		}
		y, dims, err := product2(c, a, c.In[0].Shape, b, c.In[3].Shape)
		if err != nil {
			return err
		}
		n := 1
		if len(dims) > 0 {
			n = dims[len(dims)-1]
		}
		sa, sb := toFloat64(c.In[1]), toFloat64(c.In[4])
		rows := 1
		if as := c.In[0].Shape; len(as) > 1 {
			rows = as[len(as)-2]
		}
		if len(sa) != 1 && len(sa) != rows || len(sb) != 1 && len(sb) != n {
			return c.Bad("scales of %d and %d elements for a product of %v", len(sa), len(sb), dims)
		}
		for i := range y {
			ka, kb := sa[0], sb[0]
			if len(sa) > 1 {
				ka = sa[i/n%len(sa)]
			}
			if len(sb) > 1 {
				kb = sb[i%len(sb)]
			}
			y[i] = requantize(y[i]*ka*kb/c.In[6].Float64At(0), c.In[7])
		}
		c.Out[0], err = c.fromFloat64(c.In[7].DType, dims, y)
		return err
	}}

// requantize rounds to even, adds the zero point and saturates to its dtype.
func requantize(v float64, zero *model.Tensor) float64 {
	lo, hi := intRange(zero.DType)
	return clamp(math.RoundToEven(v)+zero.Float64At(0), lo, hi)
}

// intRange is the smallest and largest value of an integer dtype.
func intRange(d model.DType) (float64, float64) {
	switch d {
	case model.Uint8:
		return 0, 255
	case model.Int8:
		return -128, 127
	case model.Uint16:
		return 0, 65535
	case model.Int16:
		return -32768, 32767
	case model.Uint4:
		return 0, 15
	case model.Int4:
		return -8, 7
	}
	return math.MinInt32, math.MaxInt32
}

var detDef = &Def{Name: "Det", Since: []int{11, 22}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if err := f.ranked(0, 2, anyRank); err != nil {
			return err
		}
		if s := f.In[0].Shape; f.In[0].Ranked {
			a, b := s[len(s)-1], s[len(s)-2]
			if a.Known() && b.Known() && a.N != b.N {
				return f.Bad("the matrix is %d x %d", b.N, a.N)
			}
			f.Out[0] = model.TensorType(f.In[0].DType, s[:len(s)-2])
		}
		return nil
	},
	Eval: func(c *Call) error {
		s := c.In[0].Shape
		if len(s) < 2 || s[len(s)-1] != s[len(s)-2] {
			return c.Bad("shape %v holds no square matrices", s)
		}
		n := s[len(s)-1]
		v := toFloat64(c.In[0])
		dims := s[:len(s)-2]
		out := make([]float64, product(dims))
		for i := range out {
			out[i] = determinant(v[i*n*n:(i+1)*n*n], n)
		}
		var err error
		c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, out)
		return err
	}}

// determinant eliminates with pivots; it destroys m.
func determinant(m []float64, n int) float64 {
	d := 1.0
	for k := range n {
		p := k
		for r := k + 1; r < n; r++ {
			if math.Abs(m[r*n+k]) > math.Abs(m[p*n+k]) {
				p = r
			}
		}
		if m[p*n+k] == 0 {
			return 0
		}
		if p != k {
			d = -d
			for j := range n {
				m[k*n+j], m[p*n+j] = m[p*n+j], m[k*n+j]
			}
		}
		d *= m[k*n+k]
		for r := k + 1; r < n; r++ {
			q := m[r*n+k] / m[k*n+k]
			for j := k; j < n; j++ {
				m[r*n+j] -= q * m[k*n+j]
			}
		}
	}
	return d
}
