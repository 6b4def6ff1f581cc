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
	if len(scale.v) > 1 {
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
	for i, v := range in[0].v {
		p := s.param(i)
		y.v[i] = T(min(max(math.RoundToEven(float64(v)/float64(in[1].v[p]))+s.zeroAt(p), s.lo), s.hi))
	}
	return y, s, nil
}

func quantizeBackward[T float](t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	s, dx, ds := saved.(steps), t.zeros(in[0].shape...), t.zeros(in[1].shape...)
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
	for i, v := range in[0].v {
		p := s.param(i)
		y.v[i] = T((float64(v) - s.zeroAt(p)) * float64(in[1].v[p]))
	}
	return y, s, nil
}

func dequantizeBackward[T float](t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	s, dx, ds := saved.(steps), t.array(in[0].shape...), t.zeros(in[1].shape...)
	for i, v := range in[0].v {
		p := s.param(i)
		dx.v[i] = T(float64(dy.v[i]) * float64(in[1].v[p]))
		ds.v[p] += T(float64(dy.v[i]) * (float64(v) - s.zeroAt(p)))
	}
	return []*array[T]{dx, ds}, nil
}
