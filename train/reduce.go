package train

import (
	"math"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
)

// folding is a reduction: what each number adds to a sum, what the sum becomes, and the derivative of that to a number.
type folding struct {
	add   func(x float64) float64
	end   func(sum float64, count int) float64
	slope func(x, y float64, count int) float64
}

// foldings is the table of reductions that are functions of a sum; ReduceMax and ReduceMin are beside it.
func foldings() map[string]folding {
	self := func(x float64) float64 { return x }
	keep := func(s float64, _ int) float64 { return s }
	return map[string]folding{
		"ReduceSum":       {self, keep, func(_, _ float64, _ int) float64 { return 1 }},
		"ReduceMean":      {self, func(s float64, n int) float64 { return s / float64(n) }, func(_, _ float64, n int) float64 { return 1 / float64(n) }},
		"ReduceSumSquare": {square, keep, func(x, _ float64, _ int) float64 { return 2 * x }},
		"ReduceL1":        {math.Abs, keep, func(x, _ float64, _ int) float64 { return sign(x) }},
		"ReduceL2":        {square, func(s float64, _ int) float64 { return math.Sqrt(s) }, func(x, y float64, _ int) float64 { return x / nonzero(y) }},
		"ReduceLogSum":    {self, func(s float64, _ int) float64 { return math.Log(s) }, func(_, y float64, _ int) float64 { return math.Exp(-y) }},
		"ReduceLogSumExp": {math.Exp, func(s float64, _ int) float64 { return math.Log(s) }, func(x, y float64, _ int) float64 { return math.Exp(x - y) }},
	}
}

// reduction is what a reduction keeps: which number of the output each one of the input goes to, and the output.
type reduction[T float] struct {
	to    []int32
	y     *array[T]
	count int
	from  []int32 // of a maximum
}

// axesOf are the dimensions that n works over, counted from 0.
func (t *tape[T]) axesOf(n *model.Node, rank int) ([]int, error) {
	l := n.Ints("axes")
	if name := inputOf(n, 1); name != "" {
		c := t.consts[name]
		if c == nil {
			return nil, fail.New(fail.Unsupported, "training knows constant axes only")
		}
		for i := range c.Len() {
			l = append(l, c.Int64At(i))
		}
	}
	var axes []int
	for _, a := range l {
		axes = append(axes, (int(a)+rank)%rank)
	}
	if len(axes) == 0 && n.Int("noop_with_empty_axes", 0) == 0 {
		for a := range rank {
			axes = append(axes, a)
		}
	}
	return axes, nil
}

// reduced plans a reduction of x over axes.
func (t *tape[T]) reduced(n *model.Node, x *array[T]) (reduction[T], error) {
	axes, err := t.axesOf(n, len(x.shape))
	if err != nil {
		return reduction[T]{}, err
	}
	kept := append([]int(nil), x.shape...)
	r := reduction[T]{count: 1}
	gone := map[int]bool{}
	for _, a := range axes {
		r.count *= x.shape[a]
		kept[a], gone[a] = 1, true
	}
	if r.to, err = t.stretch(kept, x.shape); err != nil {
		return r, err
	}
	shape := kept
	if n.Int("keepdims", 1) == 0 {
		shape = nil
		for i, d := range kept {
			if !gone[i] {
				shape = append(shape, d)
			}
		}
		// the places are those of kept in memory; without the dimensions of 1 the order may be another
		from, to := positions(kept), positions(shape)
		size := len(x.v) / max(r.count, 1)
		where := make([]int32, size)
		for i := range size {
			where[from(i)] = int32(to(i))
		}
		m := make([]int32, len(x.v))
		for i := range m {
			m[i] = where[place32(r.to, i)]
		}
		r.to = m
	}
	r.y = t.zeros(shape...)
	return r, nil
}

func reduce[T float](f folding) rule[T] {
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			r, err := t.reduced(n, in[0])
			if err != nil {
				return nil, nil, err
			}
			sums := make([]float64, len(r.y.v))
			for i, v := range in[0].v {
				sums[place32(r.to, i)] += f.add(float64(v))
			}
			for i, s := range sums {
				r.y.v[i] = T(f.end(s, r.count))
			}
			return r.y, r, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
			r, dx := saved.(reduction[T]), t.array(in[0].shape...)
			for i, v := range in[0].v {
				o := place32(r.to, i)
				dx.v[i] = T(float64(dy.v[o]) * f.slope(float64(v), float64(r.y.v[o]), r.count))
			}
			return []*array[T]{dx}, nil
		},
	}
}

// extreme is ReduceMax or ReduceMin: the derivative goes to the first number that is it.
func extreme[T float](beats func(a, b T) bool) rule[T] {
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			r, err := t.reduced(n, in[0])
			if err != nil {
				return nil, nil, err
			}
			r.from = make([]int32, len(r.y.v))
			for i := range r.from {
				r.from[i] = -1
			}
			for i, v := range in[0].v {
				o := place32(r.to, i)
				if r.from[o] < 0 || beats(v, r.y.v[o]) {
					r.y.v[o], r.from[o] = v, int32(i)
				}
			}
			return r.y, r, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
			r, dx := saved.(reduction[T]), t.zeros(in[0].shape...)
			for o, i := range r.from {
				dx.v[i] += dy.v[o]
			}
			return []*array[T]{dx}, nil
		},
	}
}

// planes is a with its numbers in the order of its shape, and back puts such numbers into memory.
func (t *tape[T]) planes(a *array[T]) []T {
	if len(a.shape) != 4 || a.shape[2]*a.shape[3] == 1 {
		return a.v
	}
	v := t.take(len(a.v))
	toPlanes(v, a.v, a.shape)
	return v
}

func (t *tape[T]) back(v []T, shape []int) *array[T] {
	if len(shape) != 4 || shape[2]*shape[3] == 1 {
		return &array[T]{shape, v}
	}
	a := t.array(shape...)
	toPixels(a.v, v, shape)
	return a
}

// lines cuts a shape at an axis: so many outer ones, of length, with inner numbers between neighbours.
func lines(shape []int, axis int) (outer, length, inner int) {
	outer, inner = 1, 1
	for _, d := range shape[:axis] {
		outer *= d
	}
	for _, d := range shape[axis+1:] {
		inner *= d
	}
	return outer, shape[axis], inner
}

// softmax is Softmax, or LogSoftmax. Before opset 13 all dimensions from the axis on are one.
func softmax[T float](logarithm bool) rule[T] {
	cut := func(t *tape[T], n *model.Node, shape []int) (outer, length, inner int) {
		old := t.m.Opset("") < 13
		axis := int(n.Int("axis", -1))
		if old {
			axis = int(n.Int("axis", 1))
		}
		axis = (axis + len(shape)) % len(shape)
		outer, length, inner = lines(shape, axis)
		if old {
			length, inner = length*inner, 1
		}
		return outer, length, inner
	}
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			x := t.planes(in[0])
			outer, length, inner := cut(t, n, in[0].shape)
			y := t.take(len(x))
			row := make([]float64, length)
			for o := range outer {
				for i := range inner {
					at := o*length*inner + i
					for k := range row {
						row[k] = float64(x[at+k*inner])
					}
					logSoftmax(row)
					for k, v := range row {
						if !logarithm {
							v = math.Exp(v)
						}
						y[at+k*inner] = T(v)
					}
				}
			}
			return t.back(y, in[0].shape), y, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
			y, d := saved.([]T), t.planes(dy)
			outer, length, inner := cut(t, n, in[0].shape)
			dx := t.take(len(y))
			for o := range outer {
				for i := range inner {
					at := o*length*inner + i
					sum := 0.0
					for k := range length {
						p := at + k*inner
						if logarithm {
							sum += float64(d[p])
						} else {
							sum += float64(d[p]) * float64(y[p])
						}
					}
					for k := range length {
						p := at + k*inner
						if logarithm {
							dx[p] = d[p] - T(math.Exp(float64(y[p]))*sum)
						} else {
							dx[p] = y[p] * (d[p] - T(sum))
						}
					}
				}
			}
			return []*array[T]{t.back(dx, in[0].shape)}, nil
		},
	}
}

// grouping says how a normalisation over groups of neighbouring numbers reads its scale and shift.
type grouping struct {
	groups, size int
	param        func(i int) int // of number i: its place in scale and shift
}

// groupNorm is LayerNormalization, InstanceNormalization, GroupNormalization and RMSNormalization: groups of neighbouring numbers get
// mean 0 and variance 1, then scale and shift.
func groupNorm[T float]() rule[T] {
	group := func(n *model.Node, in []*array[T]) (grouping, float64, error) {
		shape, total := in[0].shape, len(in[0].v)
		eps := float64(n.Float("epsilon", 1e-5))
		switch {
		case strings.HasPrefix(n.Op, "Instance") || strings.HasPrefix(n.Op, "Group"):
			groups, spatial := shape[0]*shape[1], total/(shape[0]*shape[1])
			g := grouping{groups: groups, param: func(i int) int { return i / spatial % shape[1] }}
			if k := int(n.Int("num_groups", 0)); k > 0 {
				g.groups = shape[0] * k
				if len(in[1].v) == k && k != shape[1] { // opset 18: one number a group
					per := shape[1] / k
					g.param = func(i int) int { return i / spatial % shape[1] / per }
				}
			}
			g.size = total / g.groups
			return g, eps, nil
		}
		axis := (int(n.Int("axis", -1)) + len(shape)) % len(shape)
		size := 1
		for _, d := range shape[axis:] {
			size *= d
		}
		if len(in[1].v) != size {
			return grouping{}, 0, fail.New(fail.Unsupported, "training knows a scale for each number of the normalised dimensions only")
		}
		return grouping{groups: total / size, size: size, param: func(i int) int { return i % size }}, eps, nil
	}
	type kept struct {
		hat []float64
		inv []float64
		grouping
	}
	return rule[T]{
		forward: func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
			g, eps, err := group(n, in)
			if err != nil {
				return nil, nil, err
			}
			x, y := t.planes(in[0]), t.take(len(in[0].v))
			k := kept{make([]float64, len(x)), make([]float64, g.groups), g}
			for j := range g.groups {
				row, mean, sq := x[j*g.size:][:g.size], 0.0, 0.0
				if n.Op != "RMSNormalization" {
					for _, v := range row {
						mean += float64(v) / float64(g.size)
					}
				}
				for _, v := range row {
					sq += square(float64(v) - mean)
				}
				k.inv[j] = 1 / math.Sqrt(sq/float64(g.size)+eps)
				for i, v := range row {
					at := j*g.size + i
					k.hat[at] = (float64(v) - mean) * k.inv[j]
					p := g.param(at)
					out := k.hat[at] * float64(in[1].v[p])
					if len(in) > 2 && in[2] != nil {
						out += float64(in[2].v[p])
					}
					y[at] = T(out)
				}
			}
			return t.back(y, in[0].shape), k, nil
		},
		backward: func(t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
			k, d, dx := saved.(kept), t.planes(dy), t.take(len(in[0].v))
			dscale := t.zeros(in[1].shape...)
			out := []*array[T]{nil, dscale}
			var dshift *array[T]
			if len(in) > 2 && in[2] != nil {
				dshift = t.zeros(in[2].shape...)
				out = append(out, dshift)
			}
			for j := range k.groups {
				sum, dot := 0.0, 0.0
				for i := range k.size {
					at := j*k.size + i
					p, v := k.param(at), float64(d[at])
					dscale.v[p] += T(v * k.hat[at])
					if dshift != nil {
						dshift.v[p] += d[at]
					}
					v *= float64(in[1].v[p])
					sum += v
					dot += v * k.hat[at]
				}
				if n.Op == "RMSNormalization" {
					sum = 0
				}
				for i := range k.size {
					at := j*k.size + i
					v := float64(d[at]) * float64(in[1].v[k.param(at)])
					dx[at] = T(k.inv[j] * (v - (sum+k.hat[at]*dot)/float64(k.size)))
				}
			}
			out[0] = t.back(dx, in[0].shape)
			return out, nil
		},
	}
}
