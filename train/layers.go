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
	out       *array[T] // of a sum and a Relu that go with it
}

// channelSums are two sums a channel.
type channelSums struct{ a, b []float64 }

func newChannelSums(c int) channelSums { return channelSums{make([]float64, c), make([]float64, c)} }

// normForward normalises each channel by the statistics of the batch and moves the running ones towards them
// (Ioffe and Szegedy 2015, arXiv:1502.03167). The running variance is the unbiased one, as exporters expect. A frozen tape
// takes the running statistics and leaves them.
func normForward[T float](t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error) {
	x := in[0]
	s, err := t.statistics(n, in, nil)
	if err != nil {
		return nil, nil, err
	}
	y, c := t.array(x.shape...), x.shape[1]
	if t.fast != nil {
		pass := t.normPass(n, in, &s, y)
		t.fast.ranges(len(x.v)/c, func(_, a, b int) { pass(a*c, b*c) })
		return y, s, nil
	}
	s.hat = t.array(x.shape...)
	for p := 0; p < len(x.v); p += c {
		for ch, v := range x.v[p : p+c] {
			h := T((float64(v) - s.mean[ch]) * s.inv[ch])
			s.hat.v[p+ch] = h
			y.v[p+ch] = h*in[1].v[ch] + in[2].v[ch]
		}
	}
	return y, s, nil
}

// statistics are those that n normalises by. moments are the sums of its input and of the square, less the running mean, if they are
// known already.
func (t *tape[T]) statistics(n *model.Node, in []*array[T], moments *channelSums) (normSaved[T], error) {
	x := in[0]
	if len(x.shape) != 4 {
		return normSaved[T]{}, fail.New(fail.Unsupported, "training knows pictures [N, C, H, W], not shape %v", x.shape)
	}
	c := x.shape[1]
	mean, sq := make([]float64, c), make([]float64, c)
	if old, ok := t.batchStats[n]; ok && t.replaying && !t.frozen {
		return normSaved[T]{mean: old.mean, inv: old.inv}, nil
	}
	s := normSaved[T]{mean: mean, inv: make([]float64, c)}
	count, eps := float64(len(x.v)/c), float64(n.Float("epsilon", 1e-5))
	switch {
	case t.frozen:
		for ch := range c {
			mean[ch], s.inv[ch] = float64(in[3].v[ch]), 1/math.Sqrt(float64(in[4].v[ch])+eps)
		}
		return s, nil
	case t.fast != nil:
		shift := single(in[3].v) // the running mean is near: no digits are lost
		if moments == nil {
			v := single(x.v)
			m := t.fast.bySums(v, c, func(from, to int, a, b []float64) { t.fast.Moments(v[from:to], shift, a, b) })
			moments = &m
		}
		for ch := range c {
			d := moments.a[ch] / count
			mean[ch], sq[ch] = float64(shift[ch])+d, max(0, moments.b[ch]-d*moments.a[ch])
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
	for ch := range c {
		s.inv[ch] = 1 / math.Sqrt(sq[ch]/count+eps)
		in[3].v[ch] = T(t.keep*float64(in[3].v[ch]) + (1-t.keep)*mean[ch])
		in[4].v[ch] = T(t.keep*float64(in[4].v[ch]) + (1-t.keep)*sq[ch]/max(1, count-1))
	}
	if t.recompute != (Recompute{}) {
		t.seen(n, s)
	}
	return s, nil
}

// normPass gives what normalises a range of numbers with vector kernels, with the Relu, and the sum, that go with n.
func (t *tape[T]) normPass(n *model.Node, in []*array[T], s *normSaved[T], y *array[T]) func(from, to int) {
	c := len(s.inv)
	scale, shift := make([]float32, c), make([]float32, c)
	for ch := range c {
		k := float64(in[1].v[ch]) * s.inv[ch]
		scale[ch], shift[ch] = float32(k), float32(float64(in[2].v[ch])-k*s.mean[ch])
	}
	to, from := single(y.v), single(in[0].v)
	if t.joins[n] {
		s.out = y
		other := single(in[5].v)
		return func(a, b int) { t.fast.Join(to[a:b], from[a:b], other[a:b], scale, shift) }
	}
	pass := t.fast.Affine
	if t.gated[n] {
		pass, s.gate = t.fast.AffineRelu, grad.Gate{Scale: scale, Shift: shift}
	}
	return func(a, b int) { pass(to[a:b], from[a:b], scale, shift) }
}

func normBackward[T float](t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	s := saved.(normSaved[T])
	x := in[0]
	c := x.shape[1]
	if t.fast != nil {
		xs, mean := single(x.v), s.middle()
		if s.out != nil { // what passes the Relu is the gradient of the other part of the sum too
			open := t.array(dy.shape...)
			copy(open.v, dy.v)
			dy = open
		}
		ds := single(dy.v)
		sums := t.fast.bySums(xs, c, func(from, to int, a, b []float64) { t.normSums(&s, ds[from:to], nil, xs[from:to], mean, from, a, b) })
		dx := t.array(x.shape...)
		pass, dscale, dshift := t.normBlend(&s, in, sums, len(xs)/c)
		to := single(dx.v)
		t.fast.ranges(len(xs)/c, func(_, a, b int) { pass(to[a*c:b*c], ds[a*c:b*c], xs[a*c:b*c]) })
		out := []*array[T]{dx, dscale, dshift}
		if s.out != nil {
			out = append(out, nil, nil, dy)
		}
		return out, nil
	}
	dx, dscale, dshift := t.array(x.shape...), t.array(c), t.array(c)
	count := float64(len(x.v) / c)
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

// middle is the mean of each channel.
func (s *normSaved[T]) middle() []float32 {
	mean := make([]float32, len(s.mean))
	for ch, m := range s.mean {
		mean[ch] = float32(m)
	}
	return mean
}

// normSums adds what comes back from a part of the output, and that times the input, by channel; at is where the part begins. Where a
// sum and a Relu go with the normalisation, d, plus more unless that is nil, becomes what passes the Relu.
func (t *tape[T]) normSums(s *normSaved[T], d, more, x, mean []float32, at int, a, b []float64) {
	if s.out != nil {
		t.fast.Open(d, more, single(s.out.v)[at:at+len(d)], x, mean, a, b)
		return
	}
	t.fast.Dots(x, d, mean, s.gate, a, b)
}

// normBlend gives the pass from the gradient of the output to that of the input, and the gradients of scale and shift. sums are those of
// normSums; count is how many numbers a channel has.
func (t *tape[T]) normBlend(s *normSaved[T], in []*array[T], sums channelSums, count int) (pass func(dst, d, x []float32), dscale, dshift *array[T]) {
	c := len(s.inv)
	dscale, dshift = t.array(c), t.array(c)
	var co [3][]float32
	for i := range co {
		co[i] = make([]float32, c)
	}
	for ch := range c {
		inv := s.inv[ch]
		hat := sums.b[ch] * inv // the sum of dy times the normalised input
		dscale.v[ch], dshift.v[ch] = T(hat), T(sums.a[ch])
		k := float64(in[1].v[ch]) * inv
		co[0][ch] = float32(k)
		if !t.frozen {
			c1 := -k * inv * hat / float64(count)
			co[1][ch], co[2][ch] = float32(c1), float32(-k*sums.a[ch]/float64(count)-c1*float64(float32(s.mean[ch])))
		}
	}
	gate := s.gate
	return func(dst, d, x []float32) { t.fast.Blend(dst, d, x, co[0], co[1], co[2], gate) }, dscale, dshift
}

func reluForward[T float](t *tape[T], _ *model.Node, in []*array[T]) (*array[T], any, error) {
	y := t.array(in[0].shape...)
	if d, fast := any(y.v).([]float32); fast {
		x := single(in[0].v)
		t.spread(len(d), func(from, to int) { t.relu(d[from:to], x[from:to]) })
		return y, y, nil
	}
	for i, v := range in[0].v {
		y.v[i] = max(v, 0)
	}
	return y, y, nil
}

func (t *tape[T]) relu(dst, x []float32) { t.vec.Act(cpu.Act{Kind: cpu.ReLU}, dst, x) }

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
	bounds, err := t.bounds(n)
	if err != nil {
		return nil, nil, err
	}
	y := t.array(in[0].shape...)
	if d, fast := any(y.v).([]float32); fast {
		x := single(in[0].v)
		t.spread(len(d), func(from, to int) { t.clip(bounds, d[from:to], x[from:to]) })
		return y, bounds, nil
	}
	for i, v := range in[0].v {
		y.v[i] = min(max(v, bounds[0]), bounds[1])
	}
	return y, bounds, nil
}

// bounds are those of a Clip.
func (t *tape[T]) bounds(n *model.Node) ([2]T, error) {
	bounds := [2]T{T(n.Float("min", -math.MaxFloat32)), T(n.Float("max", math.MaxFloat32))}
	for i := range bounds {
		if name := inputOf(n, 1+i); name != "" {
			c := t.consts[name]
			if c == nil {
				return bounds, fail.New(fail.Unsupported, "training knows bounds that are constants only")
			}
			bounds[i] = T(c.Float64At(0))
		}
	}
	return bounds, nil
}

func (t *tape[T]) clip(bounds [2]T, dst, x []float32) {
	t.vec.Act(cpu.Act{Kind: cpu.Clamp, A: float32(bounds[0]), B: float32(bounds[1])}, dst, x)
}

func clipBackward[T float](t *tape[T], _ *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error) {
	b := saved.([2]T)
	if t.fast != nil {
		dx := t.array(dy.shape...)
		d, g, x := single(dx.v), single(dy.v), single(in[0].v)
		t.spread(len(d), func(from, to int) { t.fast.Band(d[from:to], g[from:to], x[from:to], float32(b[0]), float32(b[1])) })
		return []*array[T]{dx}, nil
	}
	dx := t.zeros(dy.shape...)
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
