package ops

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// msMatMulOps: matrix products of ONNX Runtime's domain.
func msMatMulOps() []*Def {
	transpose := *fusedMatMulDef("TransposeMatMul")
	transpose.Attrs = fusedMatMulAttrs[:3]
	act := *fusedMatMulDef("FusedMatMulActivation")
	act.Attrs = append(append([]AttrSpec{}, fusedMatMulAttrs...), AttrSpec{Name: "activation", Type: model.AttrString, Required: true}, AttrSpec{Name: "activation_alpha", Type: model.AttrFloat},
		AttrSpec{Name: "activation_axis", Type: model.AttrInt}, AttrSpec{Name: "activation_beta", Type: model.AttrFloat}, AttrSpec{Name: "activation_gamma", Type: model.AttrFloat})
	return []*Def{fusedMatMulDef("FusedMatMul"), &transpose, activated(&act), activated(fusedGemmDef), inverseDef, distancesDef}
}

var fusedMatMulAttrs = []AttrSpec{{Name: "alpha", Type: model.AttrFloat, Default: float32(1)}, {Name: "transA", Type: model.AttrInt, Default: int64(0)},
	{Name: "transB", Type: model.AttrInt, Default: int64(0)}, {Name: "transBatchA", Type: model.AttrInt, Default: int64(0)}, {Name: "transBatchB", Type: model.AttrInt, Default: int64(0)}}

// fusedMatMulDef: alpha times a matrix product whose operands may be stored in another order.
func fusedMatMulDef(name string) *Def {
	turned := func(f *Inference) *Inference {
		g := *f
		g.In = append([]model.Type{}, f.In...)
		for i := range g.In[:2] {
			if s := f.In[i].Shape; f.In[i].Ranked {
				g.In[i].Shape = make(model.Shape, len(s))
				for k, p := range storedAs(f.Node, i, len(s)) {
					g.In[i].Shape[k] = s[p]
				}
			}
		}
		return &g
	}
	return &Def{Name: name, Domain: microsoft, Since: []int{1}, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}}, Out: []Port{{Name: "Y"}},
		Types: map[string]Set{"T": Floats}, Exact: Rounding, Attrs: fusedMatMulAttrs,
		Infer: func(f *Inference) error { return inferMatmul(turned(f), 0, 1, f.In[0].DType) },
		Cost:  func(f *Inference) Cost { return matmulCost(0)(turned(f)) },
		Eval: func(c *Call) error {
			var v [2][]float64
			var s [2][]int
			for i := range v {
				x, err := c.turned(c.In[i], storedAs(c.Node, i, len(c.In[i].Shape)))
				if err != nil {
					return err
				}
				v[i], s[i] = toFloat64(x), x.Shape
			}
			y, dims, err := product2(c, v[0], s[0], v[1], s[1])
			if err != nil {
				return err
			}
			for i := range y {
				y[i] *= float64(c.Float("alpha"))
			}
			c.Out[0], err = c.fromFloat64(c.In[0].DType, dims, y)
			return err
		}}
}

// storedAs is the order of dimensions that brings operand i of a FusedMatMul into the order of a MatMul: the first dimension
// may stand for the rows, behind the batch dimensions, and the last two may be exchanged. A line stays.
func storedAs(n *model.Node, i, rank int) []int {
	perm := upTo(rank)
	if rank < 2 {
		return perm
	}
	if n.Int([]string{"transBatchA", "transBatchB"}[i], 0) != 0 {
		copy(perm, perm[1:rank-1])
		perm[rank-2] = 0
	}
	if n.Int([]string{"transA", "transB"}[i], 0) != 0 {
		perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
	}
	return perm
}

// activated puts an activation function behind d, with numbers activation_alpha and activation_beta.
func activated(d *Def) *Def {
	function := func(n *model.Node) (func(float64) float64, error) {
		var numbers []float32
		for _, name := range []string{"activation_alpha", "activation_beta"} {
			if a := n.Attr(name); a != nil {
				numbers = append(numbers, a.F)
			}
		}
		return fusedActivation(n, numbers...)
	}
	c := *d
	c.Infer = func(f *Inference) error {
		if _, err := function(f.Node); err != nil {
			return err
		}
		return d.Infer(f)
	}
	c.Eval = func(c *Call) error {
		act, err := function(c.Node)
		if err != nil {
			return err
		}
		if err := d.Eval(c); err != nil {
			return err
		}
		v := toFloat64(c.Out[0])
		for i := range v {
			v[i] = act(v[i])
		}
		c.Out[0], err = c.fromFloat64(c.Out[0].DType, c.Out[0].Shape, v)
		return err
	}
	return &c
}

var fusedGemmDef = &Def{Name: "FusedGemm", Domain: microsoft, Since: []int{1}, In: gemmDef.In, Out: gemmDef.Out, Types: map[string]Set{"T": Floats}, Exact: Rounding, Infer: inferGemm, Cost: gemmDef.Cost,
	Attrs: append(append([]AttrSpec{}, gemmAttrs[:4]...), AttrSpec{Name: "activation", Type: model.AttrString, Default: ""}, AttrSpec{Name: "activation_alpha", Type: model.AttrFloat},
		AttrSpec{Name: "activation_beta", Type: model.AttrFloat}, AttrSpec{Name: "activation_gamma", Type: model.AttrFloat}),
	Eval: gemmDef.Eval}

// inverseDef: the inverse of each matrix in the last two dimensions.
var inverseDef = &Def{Name: "Inverse", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "X", Type: "T"}}, Out: []Port{{Name: "Y"}}, Types: map[string]Set{"T": Floats}, Exact: Rounding,
	Infer: func(f *Inference) error {
		if err := f.ranked(0, 2, anyRank); err != nil {
			return err
		}
		if s := f.In[0].Shape; f.In[0].Ranked {
			if a, b := s[len(s)-2], s[len(s)-1]; a.Known() && b.Known() && a.N != b.N {
				return f.Bad("the matrix is %d x %d", a.N, b.N)
			}
		}
		return inferSame(f)
	},
	Eval: func(c *Call) error {
		v := toFloat64(c.In[0])
		n := c.In[0].Shape[len(c.In[0].Shape)-1]
		for at := 0; at < len(v); at += n * n {
			if !invert(v[at:at+n*n], n) {
				return c.Bad("matrix %d has no inverse", at/(n*n))
			}
		}
		var err error
		c.Out[0], err = c.fromFloat64(c.In[0].DType, c.In[0].Shape, v)
		return err
	}}

// invert replaces m by its inverse, by Gauss and Jordan with the largest pivot of each column; false where there is none.
func invert(m []float64, n int) bool {
	inv := make([]float64, n*n)
	for i := range n {
		inv[i*n+i] = 1
	}
	for k := range n {
		p := k
		for r := k + 1; r < n; r++ {
			if math.Abs(m[r*n+k]) > math.Abs(m[p*n+k]) {
				p = r
			}
		}
		if m[p*n+k] == 0 {
			return false
		}
		for j := range n {
			m[k*n+j], m[p*n+j] = m[p*n+j], m[k*n+j]
			inv[k*n+j], inv[p*n+j] = inv[p*n+j], inv[k*n+j]
		}
		d := m[k*n+k]
		for j := range n {
			m[k*n+j] /= d
			inv[k*n+j] /= d
		}
		for r := range n {
			if q := m[r*n+k]; r != k && q != 0 {
				for j := range n {
					m[r*n+j] -= q * m[k*n+j]
					inv[r*n+j] -= q * inv[k*n+j]
				}
			}
		}
	}
	copy(m, inv)
	return true
}

// distancesDef: the distance of each row of A to each row of B.
var distancesDef = &Def{Name: "CDist", Domain: microsoft, Since: []int{1}, In: []Port{{Name: "A", Type: "T"}, {Name: "B", Type: "T"}}, Out: []Port{{Name: "C"}},
	Types: map[string]Set{"T": Set(1<<model.Float32 | 1<<model.Float64)}, Exact: Rounding, Attrs: []AttrSpec{{Name: "metric", Type: model.AttrString, Default: "sqeuclidean"}},
	Infer: func(f *Inference) error {
		if m := f.Str("metric"); m != "sqeuclidean" && m != "euclidean" {
			return fail.New(fail.Unsupported, "CDist by %q; euclidean and sqeuclidean are known", m).At(fail.Where{Node: string(f.Node.ID), Op: f.Node.Op, Attr: "metric"})
		}
		f.Out[0] = model.Type{DType: f.In[0].DType}
		for i := range 2 {
			if err := f.ranked(i, 2, 2); err != nil {
				return err
			}
		}
		if !f.In[0].Ranked || !f.In[1].Ranked {
			return nil
		}
		a, b := f.In[0].Shape, f.In[1].Shape
		if a[1].Known() && b[1].Known() && a[1].N != b[1].N {
			return f.Bad("rows of %d and of %d numbers", a[1].N, b[1].N)
		}
		f.Out[0] = model.TensorType(f.In[0].DType, model.Shape{a[0], b[0]})
		return nil
	},
	Eval: func(c *Call) error {
		a, b := toFloat64(c.In[0]), toFloat64(c.In[1])
		m, k, n := c.In[0].Shape[0], c.In[1].Shape[0], c.In[0].Shape[1]
		if err := c.room(m, k); err != nil {
			return err
		}
		y := make([]float64, m*k)
		for i := range y {
			for j := range n {
				d := a[i/k*n+j] - b[i%k*n+j]
				y[i] += d * d
			}
			if c.Str("metric") == "euclidean" {
				y[i] = math.Sqrt(y[i])
			}
		}
		var err error
		c.Out[0], err = c.fromFloat64(c.In[0].DType, []int{m, k}, y)
		return err
	}}
