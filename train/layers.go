package train

import (
	"math"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/gemm"
	"fettle/kernels/grad"
	"fettle/model"
)

// normSaved is what BatchNormalization keeps: the normalised input and 1/sqrt(var+eps) of each channel.
type normSaved[T float] struct {
	hat       *array[T] // nil with vector kernels
	mean, inv []float64
	gate      grad.Gate // of a Relu that goes with it
}

// normForward normalises each channel by the statistics of the batch and moves the running ones towards them
// (Ioffe and Szegedy 2015, arXiv:1502.03167). The running variance is the unbiased one, as exporters expect. A frozen tape
// takes the running statistics and leaves them.
func normForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	x := in[0]
	if len(x.shape) != 4 {
		return nil, nil, fail.New(fail.Unsupported, "training knows pictures [N, C, H, W], not shape %v", x.shape)
	}
	c := x.shape[1]
	eps := float64(n.Float("epsilon", 1e-5))
	y := t.array(x.shape...)
	mean, sq := make([]float64, c), make([]float64, c)
	s := normSaved[T]{mean: mean, inv: make([]float64, c)}
	count := float64(len(x.v) / c)
	switch {
	case t.frozen:
		for ch := range c {
			mean[ch], s.inv[ch] = float64(in[3].v[ch]), 1/math.Sqrt(float64(in[4].v[ch])+eps)
		}
	case t.fast != nil:
		v, shift := single(x.v), append([]float32(nil), single(in[3].v)...) // the running mean is near: no digits are lost
		a, b := t.fast.bySums(v, c, func(from, to int, a, b []float64) { t.fast.Moments(v[from:to], shift, a, b) })
		for ch := range c {
			d := a[ch] / count
			mean[ch], sq[ch] = float64(shift[ch])+d, max(0, b[ch]-d*a[ch])
		}
	default:
		for p := 0; p < len(x.v); p += c {
			for ch, v := range x.v[p : p+c] {
				mean[ch] += float64(v)
			}
		}
		for ch := range mean {
			mean[ch] /= count
		}
		for p := 0; p < len(x.v); p += c {
			for ch, v := range x.v[p : p+c] {
				d := float64(v) - mean[ch]
				sq[ch] += d * d
			}
		}
	}
	if !t.frozen {
		for ch := range c {
			s.inv[ch] = 1 / math.Sqrt(sq[ch]/count+eps)
			in[3].v[ch] = T(t.keep*float64(in[3].v[ch]) + (1-t.keep)*mean[ch])
			in[4].v[ch] = T(t.keep*float64(in[4].v[ch]) + (1-t.keep)*sq[ch]/max(1, count-1))
		}
	}
	if t.fast != nil {
		scale, shift := make([]float32, c), make([]float32, c)
		for ch := range c {
			k := float64(in[1].v[ch]) * s.inv[ch]
			scale[ch], shift[ch] = float32(k), float32(float64(in[2].v[ch])-k*mean[ch])
		}
		to, from := single(y.v), single(x.v)
		pass := t.fast.Affine
		if t.gated[n] {
			pass, s.gate = t.fast.AffineRelu, grad.Gate{Scale: scale, Shift: shift}
		}
		t.fast.ranges(len(from)/c, func(_, a, b int) { pass(to[a*c:b*c], from[a*c:b*c], scale, shift) })
		return y, s, nil
	}
	s.hat = t.array(x.shape...)
	for p := 0; p < len(x.v); p += c {
		for ch, v := range x.v[p : p+c] {
			h := T((float64(v) - mean[ch]) * s.inv[ch])
			s.hat.v[p+ch] = h
			y.v[p+ch] = h*in[1].v[ch] + in[2].v[ch]
		}
	}
	return y, s, nil
}

func normBackward[T float](t *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	s := saved.(normSaved[T])
	x := in[0]
	c := x.shape[1]
	dx, dscale, dshift := t.array(x.shape...), t.array(c), t.array(c)
	count := float64(len(x.v) / c)
	if t.fast != nil {
		t.normBackwardFast(s, dx, dscale, dshift, x, in[1], dy)
		return []*array[T]{dx, dscale, dshift}, nil
	}
	sum, dot := make([]float64, c), make([]float64, c)
	for p := 0; p < len(x.v); p += c {
		for ch, d := range dy.v[p : p+c] {
			sum[ch] += float64(d)
			dot[ch] += float64(d) * float64(s.hat.v[p+ch])
		}
	}
	for ch := range c {
		dscale.v[ch], dshift.v[ch] = T(dot[ch]), T(sum[ch])
	}
	for p := 0; p < len(x.v); p += c {
		for ch, d := range dy.v[p : p+c] {
			k, v := float64(in[1].v[ch])*s.inv[ch], float64(d)
			if !t.frozen {
				v -= sum[ch]/count + float64(s.hat.v[p+ch])*dot[ch]/count
			}
			dx.v[p+ch] = T(k * v)
		}
	}
	return []*array[T]{dx, dscale, dshift}, nil
}

// normBackwardFast is normBackward with vector kernels: sums of dy and of dy times the normalised input, then one pass.
func (t *tape[T]) normBackwardFast(s normSaved[T], dx, dscale, dshift, x, scale, dy *array[T]) {
	c, count := len(s.inv), float64(len(x.v)/len(s.inv))
	mean := make([]float32, c)
	for ch, m := range s.mean {
		mean[ch] = float32(m)
	}
	xs, ds, to := single(x.v), single(dy.v), single(dx.v)
	sum, dot := t.fast.bySums(xs, c, func(from, to int, a, b []float64) { t.fast.Dots(xs[from:to], ds[from:to], mean, s.gate, a, b) })
	var co [3][]float32
	for i := range co {
		co[i] = make([]float32, c)
	}
	for ch := range c {
		inv := s.inv[ch]
		hat := dot[ch] * inv // the sum of dy times the normalised input
		dscale.v[ch], dshift.v[ch] = T(hat), T(sum[ch])
		k := float64(scale.v[ch]) * inv
		co[0][ch] = float32(k)
		if !t.frozen {
			c1 := -k * inv * hat / count
			co[1][ch], co[2][ch] = float32(c1), float32(-k*sum[ch]/count-c1*float64(mean[ch]))
		}
	}
	t.fast.ranges(len(xs)/c, func(_, a, b int) {
		t.fast.Blend(to[a*c:b*c], ds[a*c:b*c], xs[a*c:b*c], co[0], co[1], co[2], s.gate)
	})
}

func reluForward[T float](t *tape[T], _ *model.Node, in []*array[T]) (*array[T], any, error) {
	y := t.array(in[0].shape...)
	if d, fast := any(y.v).([]float32); fast {
		x := single(in[0].v)
		t.spread(len(d), func(from, to int) { t.vec.Act(cpu.Act{Kind: cpu.ReLU}, d[from:to], x[from:to]) })
		return y, y, nil
	}
	for i, v := range in[0].v {
		y.v[i] = max(v, 0)
	}
	return y, y, nil
}

func reluBackward[T float](t *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	y, dx := saved.(*array[T]), t.array(dy.shape...)
	if t.fast != nil {
		d, g, v := single(dx.v), single(dy.v), single(y.v)
		t.spread(len(d), func(from, to int) { t.fast.Mask(d[from:to], g[from:to], v[from:to]) })
		return []*array[T]{dx}, nil
	}
	for i, v := range y.v {
		dx.v[i] = 0
		if v > 0 {
			dx.v[i] = dy.v[i]
		}
	}
	return []*array[T]{dx}, nil
}

// clipForward bounds by constants.
func clipForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	bounds := [2]T{T(n.Float("min", -math.MaxFloat32)), T(n.Float("max", math.MaxFloat32))}
	for i := range bounds {
		if name := inputOf(n, 1+i); name != "" {
			c := t.consts[name]
			if c == nil {
				return nil, nil, fail.New(fail.Unsupported, "training knows bounds that are constants only")
			}
			bounds[i] = T(c.Float64At(0))
		}
	}
	y := t.array(in[0].shape...)
	if d, fast := any(y.v).([]float32); fast {
		x, act := single(in[0].v), cpu.Act{Kind: cpu.Clamp, A: float32(bounds[0]), B: float32(bounds[1])}
		t.spread(len(d), func(from, to int) { t.vec.Act(act, d[from:to], x[from:to]) })
		return y, bounds, nil
	}
	for i, v := range in[0].v {
		y.v[i] = min(max(v, bounds[0]), bounds[1])
	}
	return y, bounds, nil
}

func clipBackward[T float](t *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	b, dx := saved.([2]T), t.zeros(dy.shape...)
	for i, v := range in[0].v {
		if v > b[0] && v < b[1] {
			dx.v[i] = dy.v[i]
		}
	}
	return []*array[T]{dx}, nil
}

func identityForward[T float](_ *tape[T], _ *model.Node, in []*array[T]) (*array[T], any, error) {
	return in[0], nil, nil
}

func identityBackward[T float](_ *tape[T], _ *model.Node, _ []*array[T], _ any, dy *array[T]) ([]*array[T], error) {
	return []*array[T]{dy}, nil
}

// toPlanes copies what lies as [N, H, W, C] to [N, C, H, W]; other ranks as they are.
func toPlanes[T float](dst, src []T, shape []int) {
	if len(shape) != 4 || shape[2]*shape[3] == 1 {
		copy(dst, src)
		return
	}
	c, size := shape[1], shape[2]*shape[3]
	for from := 0; from < len(src); from += c * size {
		to, at := dst[from:from+c*size], src[from:from+c*size]
		for ch := range c {
			plane := to[ch*size:][:size]
			for p := range plane {
				plane[p] = at[p*c+ch]
			}
		}
	}
}

// toPixels is the other way.
func toPixels[T float](dst, src []T, shape []int) {
	if len(shape) != 4 || shape[2]*shape[3] == 1 {
		copy(dst, src)
		return
	}
	c, size := shape[1], shape[2]*shape[3]
	for from := 0; from < len(dst); from += c * size {
		to, at := dst[from:from+c*size], src[from:from+c*size]
		for ch := range c {
			for p, v := range at[ch*size:][:size] {
				to[p*c+ch] = v
			}
		}
	}
}

// gemmForward is y = x·w + b or x·wᵀ + b: the forms that classifiers have.
func gemmForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	if n.Int("transA", 0) != 0 || n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 {
		return nil, nil, fail.New(fail.Unsupported, "training knows Gemm without transA and factors")
	}
	x, w := in[0], in[1]
	s := gemm.Shape{M: x.shape[0], N: w.shape[1], K: w.shape[0]}
	if n.Int("transB", 0) == 1 {
		s.N, s.K, s.TransB = w.shape[0], w.shape[1], true
	}
	if len(x.shape) != 2 || x.shape[1] != s.K {
		return nil, nil, fail.New(fail.Invalid, "shape %v does not meet the matrix %v", x.shape, w.shape)
	}
	var bias []T
	if len(in) > 2 && in[2] != nil {
		if bias = in[2].v; len(bias) != s.N {
			return nil, nil, fail.New(fail.Unsupported, "training knows a bias of one number an output only")
		}
		s.Bias = true
	}
	y := t.array(s.M, s.N)
	t.macs += s.MACs()
	return y, s, mul(t.muls, s, x.v, w.v, y.v, bias)
}

func gemmBackward[T float](t *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	x, w, s := in[0], in[1], saved.(gemm.Shape)
	dx, dw := t.array(x.shape...), t.array(w.shape...)
	out := []*array[T]{dx, dw}
	t.macs += 2 * s.MACs()
	if s.Bias {
		out = append(out, t.columns(dy, s.N))
	}
	if err := mul(t.muls, gemm.Shape{M: s.M, N: s.K, K: s.N, TransB: !s.TransB}, dy.v, w.v, dx.v, nil); err != nil {
		return nil, err
	}
	a, b := x.v, dy.v
	k := gemm.Shape{M: s.K, N: s.N, K: s.M, TransA: true}
	if s.TransB {
		a, b, k.M, k.N = dy.v, x.v, s.N, s.K
	}
	return out, mul(t.muls, k, a, b, dw.v, nil)
}

func inputOf(n *model.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}
