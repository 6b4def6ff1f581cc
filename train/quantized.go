package train

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// Quantized values are trained through as numbers: QuantizeLinear rounds and cuts off as exported, its derivative is that without the
// rounding, and zero where it cuts off. With that of DequantizeLinear the step of both is learned (LSQ).
//
// Source: Bengio et al. 2013, arXiv:1308.3432 (straight through); Esser et al. 2020, arXiv:1902.08153 (learned steps).

// steps says which scale belongs to each number of a value, and the bounds of its type.
type steps struct {
	param  func(i int) int
	lo, hi float64
	single bool // one scale for all
	zero   *model.Tensor
}

func (t *tape[T]) stepsOf(n *model.Node, x, scale *array[T]) (steps, error) {
	if scale == nil {
		return steps{}, fail.New(fail.Unsupported, "training knows float32 scales only")
	}
	s := steps{lo: 0, hi: 255, param: func(int) int { return 0 }}
	if name := inputOf(n, 2); name != "" {
		if s.zero = t.consts[name]; s.zero == nil {
			return s, fail.New(fail.Unsupported, "training knows constant zero points only")
		}
		switch s.zero.DType {
		case model.Uint8:
		case model.Int8:
			s.lo, s.hi = -128, 127
		case model.Uint16:
			s.hi = 65535
		case model.Int16:
			s.lo, s.hi = -32768, 32767
		case model.Int4:
			s.lo, s.hi = -8, 7
		case model.Uint4:
			s.hi = 15
		default:
			return s, fail.New(fail.Unsupported, "training knows no values of type %s", s.zero.DType)
		}
	}
	if n.Int("block_size", 0) != 0 {
		return s, fail.New(fail.Unsupported, "training knows no scales for blocks")
	}
	s.single = len(scale.v) == 1
	if !s.single {
		axis := (int(n.Int("axis", 1)) + len(x.shape)) % len(x.shape)
		if x.shape[axis] != len(scale.v) {
			return s, fail.New(fail.Invalid, "%d scales for dimension %d of %v", len(scale.v), axis, x.shape)
		}
		shape := x.shape
		if len(shape) == 4 { // in memory: pixels before channels
			shape = []int{shape[0], shape[2], shape[3], shape[1]}
			axis = []int{0, 3, 1, 2}[axis]
		}
		_, length, inner := lines(shape, axis)
		s.param = func(i int) int { return i / inner % length }
	}
	return s, nil
}

func (s steps) zeroAt(p int) float64 {
	if s.zero == nil {
		return 0
	}
	return s.zero.Float64At(min(p, s.zero.Len()-1))
}

func quantizeForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	s, err := t.stepsOf(n, in[0], in[1])
	if err != nil {
		return nil, nil, err
	}
	y := t.array(in[0].shape...)
	if d, fast := any(y.v).([]float32); fast && s.single {
		quantizeSingle(d, single(in[0].v), single(in[1].v)[0], float32(s.zeroAt(0)), float32(s.lo), float32(s.hi))
		return y, s, nil
	}
	for i, v := range in[0].v {
		p := s.param(i)
		y.v[i] = T(min(max(math.RoundToEven(float64(v)/float64(in[1].v[p]))+s.zeroAt(p), s.lo), s.hi))
	}
	return y, s, nil
}

// quantizeSingle is round(x/step) + zero within lo and hi. Adding and taking away 1.5 * 2^23 rounds to even what is smaller than 2^22.
func quantizeSingle(y, x []float32, step, zero, lo, hi float32) {
	const magic = 12582912
	lo, hi = lo-zero, hi-zero
	for i, v := range x {
		q := min(max(v/step, lo), hi)
		q += magic
		y[i] = q - magic + zero
	}
}

// quantizeSingleBack writes the gradient of x and gives that of the step.
func quantizeSingleBack(dx, x, dy []float32, step, zero, lo, hi float64) float64 {
	low, high, inv := float32((lo-zero)*step), float32((hi-zero)*step), float32(1/step)
	sum := 0.0
	for from := 0; from < len(x); from += 1 << 12 {
		part := float32(0)
		for i, v := range x[from:min(len(x), from+1<<12)] {
			if v >= low && v <= high {
				g := dy[from+i]
				dx[from+i] = g * inv
				part += g * v
			}
		}
		sum += float64(part)
	}
	return -sum / (step * step)
}

func quantizeBackward[T float](t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	s, dx, ds := saved.(steps), t.zeros(in[0].shape...), t.zeros(in[1].shape...)
	if d, fast := any(dx.v).([]float32); fast && s.single {
		ds.v[0] = T(quantizeSingleBack(d, single(in[0].v), single(dy.v), float64(in[1].v[0]), s.zeroAt(0), s.lo, s.hi))
		return []*array[T]{dx, ds}, nil
	}
	for i, v := range in[0].v {
		p := s.param(i)
		step := float64(in[1].v[p])
		if q := float64(v)/step + s.zeroAt(p); q >= s.lo && q <= s.hi {
			dx.v[i] = T(float64(dy.v[i]) / step)
			ds.v[p] -= T(float64(dy.v[i]) * float64(v) / (step * step))
		}
	}
	return []*array[T]{dx, ds}, nil
}

func dequantizeForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	if in[0] == nil {
		return nil, nil, fail.New(fail.Unsupported, "training knows no stored integers")
	}
	s, err := t.stepsOf(n, in[0], in[1])
	if err != nil {
		return nil, nil, err
	}
	y := t.array(in[0].shape...)
	if s.single {
		zero, step := T(s.zeroAt(0)), in[1].v[0]
		for i, v := range in[0].v {
			y.v[i] = (v - zero) * step
		}
		return y, s, nil
	}
	for i, v := range in[0].v {
		p := s.param(i)
		y.v[i] = T((float64(v) - s.zeroAt(p)) * float64(in[1].v[p]))
	}
	return y, s, nil
}

func dequantizeBackward[T float](t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	s, dx, ds := saved.(steps), t.array(in[0].shape...), t.zeros(in[1].shape...)
	if s.single {
		zero, step, sum := T(s.zeroAt(0)), in[1].v[0], 0.0
		for from := 0; from < len(dy.v); from += 1 << 12 { // short sums lose no digits
			part := T(0)
			for i, g := range dy.v[from:min(len(dy.v), from+1<<12)] {
				dx.v[from+i] = g * step
				part += g * (in[0].v[from+i] - zero)
			}
			sum += float64(part)
		}
		ds.v[0] = T(sum)
		return []*array[T]{dx, ds}, nil
	}
	for i, v := range in[0].v {
		p := s.param(i)
		dx.v[i] = T(float64(dy.v[i]) * float64(in[1].v[p]))
		ds.v[p] += T(float64(dy.v[i]) * (float64(v) - s.zeroAt(p)))
	}
	return []*array[T]{dx, ds}, nil
}

// roundedWeights are the values that follow from parameters through QuantizeLinear, and what DequantizeLinear makes of them.
func roundedWeights[T float](g *model.Graph, params map[string]*param[T]) map[string]bool {
	out := map[string]bool{}
	for _, n := range g.Nodes {
		switch {
		case n.Domain != "":
		case n.Op == "QuantizeLinear" && params[n.Inputs[0]] != nil, n.Op == "DequantizeLinear" && out[n.Inputs[0]]:
			out[n.Outputs[0]] = true
		}
	}
	return out
}

// forget takes out of constants what is learned.
func (t *tape[T]) forget(consts map[string]*model.Tensor) {
	for name := range t.rounded {
		delete(consts, name)
	}
}
