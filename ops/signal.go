package ops

import (
	"math"
	"math/cmplx"

	"fettle/model"
)

// signalOps: Fourier transforms and what goes with them.
func signalOps() []*Def {
	window := func(name string, a0, a1, a2 float64) *Def {
		return &Def{Name: name, Since: []int{17}, In: []Port{{Name: "size", Type: "I"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"I": Index}, Exact: Rounding,
			Attrs: []AttrSpec{{Name: "output_datatype", Type: model.AttrInt, Default: int64(model.Float32)}, {Name: "periodic", Type: model.AttrInt, Default: int64(1)}},
			Infer: func(f *Inference) error {
				d := f.Int("output_datatype")
				if d <= 0 || d > 255 || !Numeric.Has(model.DType(d)) {
					return f.BadAttr("output_datatype", "is %d, allowed: %s", d, Numeric)
				}
				n := -1
				if t := f.Value(0); t != nil && t.Len() == 1 {
					n = int(min(max(t.Int64At(0), 0), 1<<30))
				}
				f.Out[0] = model.TensorType(model.DType(d), model.Shape{dimOf(n)})
				return f.single(0)
			},
			Eval: func(c *Call) error {
				n := c.In[0].Int64At(0)
				if n < 0 || n > 1<<30 {
					return c.Bad("a window of %d", n)
				}
				span := float64(n)
				if c.Int("periodic") == 0 {
					span--
				}
				y, err := c.make(model.DType(c.Int("output_datatype")), []int{int(n)})
				if err != nil {
					return err
				}
				for i := range int(n) {
					v := 1.0 // a symmetric window of one sample
					if span > 0 {
						x := 2 * math.Pi * float64(i) / span
						v = a0 - a1*math.Cos(x) + a2*math.Cos(2*x)
					}
					y.SetFloat64(i, v)
				}
				c.Out[0] = y
				return nil
			}}
	}
	return []*Def{
		window("HannWindow", 0.5, 0.5, 0), window("HammingWindow", 25.0/46, 21.0/46, 0), window("BlackmanWindow", 0.42, 0.5, 0.08),
		melDef, dftDef, stftDef,
	}
}

// fourier transforms v: radix two where the length allows, chirp-z (Bluestein) elsewhere; unscaled.
func fourier(v []complex128, inverse bool) []complex128 {
	n := len(v)
	if n <= 1 {
		return append([]complex128{}, v...)
	}
	sign := -1.0
	if inverse {
		sign = 1
	}
	if n&(n-1) == 0 {
		return radix2(v, sign)
	}
	m := 1
	for m < 2*n-1 {
		m *= 2
	}
	a, b := make([]complex128, m), make([]complex128, m)
	chirp := make([]complex128, n)
	for i := range n {
		// i*i modulo 2n keeps the angle exact for long signals.
		k := int64(i) * int64(i) % int64(2*n)
		chirp[i] = cmplx.Rect(1, sign*math.Pi*float64(k)/float64(n))
		a[i] = v[i] * chirp[i]
		b[i] = cmplx.Conj(chirp[i])
		if i > 0 {
			b[m-i] = b[i]
		}
	}
	fa, fb := radix2(a, -1), radix2(b, -1)
	for i := range fa {
		fa[i] *= fb[i]
	}
	r := radix2(fa, 1)
	out := make([]complex128, n)
	for i := range out {
		out[i] = r[i] / complex(float64(m), 0) * chirp[i]
	}
	return out
}

func radix2(v []complex128, sign float64) []complex128 {
	n := len(v)
	out := make([]complex128, n)
	bits := 0
	for 1<<bits < n {
		bits++
	}
	for i := range v {
		r := 0
		for b := range bits {
			r |= i >> b & 1 << (bits - 1 - b)
		}
		out[r] = v[i]
	}
	for size := 2; size <= n; size *= 2 {
		half := size / 2
		for k := range half {
			w := cmplx.Rect(1, sign*2*math.Pi*float64(k)/float64(size))
			for i := k; i < n; i += size {
				a, b := out[i], out[i+half]*w
				out[i], out[i+half] = a+b, a-b
			}
		}
	}
	return out
}

// dftDef: input [batch, d1, ..., 1 or 2], the last dimension holds real and imaginary part.
var dftDef = &Def{Name: "DFT", Since: []int{17, 20}, In: []Port{{Name: "input", Type: "T"}, {Name: "dft_length", Type: "I", Opt: true}, {Name: "axis", Type: "int64", Opt: true}},
	Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Floats, "I": Index}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "axis", Type: model.AttrInt, Until: 20}, {Name: "inverse", Type: model.AttrInt, Default: int64(0)}, {Name: "onesided", Type: model.AttrInt, Default: int64(0)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		if err := f.ranked(0, 2, anyRank); err != nil {
			return err
		}
		for i := 1; i < 3; i++ {
			if err := f.single(i); err != nil {
				return err
			}
		}
		s := f.In[0].Shape
		if !f.In[0].Ranked {
			return nil
		}
		if d := s[len(s)-1]; d.Known() && d.N != 1 && d.N != 2 {
			return f.Bad("the last dimension is %d, want 1 (real) or 2 (complex)", d.N)
		}
		axis, ok := dftAxis(f.Node, f.Opset, f.Value(2), len(s))
		if !ok {
			if f.Has(2) && f.Value(2) == nil {
				f.Out[0] = model.TensorType(f.In[0].DType, append(append(model.Shape{}, unknownDims(len(s)-1)...), model.Fixed(2)))
				return nil
			}
			return f.BadAttr("axis", "is outside of the input %s without its last dimension", s)
		}
		out := append(model.Shape{}, s...)
		out[len(s)-1] = model.Fixed(2)
		if f.Has(1) {
			out[axis] = model.Sym("")
			if t := f.Value(1); t != nil {
				n := t.Int64At(0)
				if n < 1 || n > 1<<30 {
					return f.Bad("dft_length is %d", n)
				}
				out[axis] = model.Fixed(int(n))
			}
		}
		if f.Int("onesided") != 0 && out[axis].Known() {
			if f.Int("inverse") != 0 {
				return f.BadAttr("onesided", "does not go with inverse")
			}
			out[axis] = model.Fixed(out[axis].N/2 + 1)
		}
		f.Out[0] = model.TensorType(f.In[0].DType, out)
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		s := x.Shape
		axis, ok := dftAxis(c.Node, c.Opset, c.opt(2), len(s))
		if !ok {
			return c.Bad("the axis is outside of %v", s)
		}
		n := s[axis]
		if c.Has(1) {
			l := c.In[1].Int64At(0)
			if l < 1 || l > 1<<30 {
				return c.Bad("dft_length is %d", l)
			}
			n = int(l)
		}
		if n == 0 {
			return c.Bad("a transform of no samples")
		}
		if err := c.room(n, 16); err != nil {
			return err
		}
		inverse := c.Int("inverse") != 0
		keep := n
		if c.Int("onesided") != 0 {
			if inverse {
				return c.Bad("onesided does not go with inverse")
			}
			keep = n/2 + 1
		}
		dims := append([]int{}, s...)
		dims[axis], dims[len(s)-1] = keep, 2
		y, err := c.make(x.DType, dims)
		if err != nil {
			return err
		}
		parts := s[len(s)-1]
		inner := product(s[axis+1 : len(s)-1])
		line := make([]complex128, n)
		if y.Len() == 0 {
			c.Out[0] = y
			return nil
		}
		for o := range product(s[:axis]) {
			for i := range inner {
				for k := range line {
					line[k] = 0
					if k < s[axis] {
						at := ((o*s[axis]+k)*inner + i) * parts
						line[k] = complex(x.Float64At(at), 0)
						if parts == 2 {
							line[k] = complex(x.Float64At(at), x.Float64At(at+1))
						}
					}
				}
				r := fourier(line, inverse)
				for k := range keep {
					if inverse {
						r[k] /= complex(float64(n), 0)
					}
					at := ((o*keep+k)*inner + i) * 2
					y.SetFloat64(at, real(r[k]))
					y.SetFloat64(at+1, imag(r[k]))
				}
			}
		}
		c.Out[0] = y
		return nil
	}}

func unknownDims(n int) model.Shape {
	s := make(model.Shape, n)
	for i := range s {
		s[i] = model.Sym("")
	}
	return s
}

// dftAxis is the attribute of opset 17 (default 1), the input of opset 20 (default -2); never the last dimension.
func dftAxis(n *model.Node, opset int, t *model.Tensor, rank int) (int, bool) {
	a := n.Int("axis", 1)
	if opset >= 20 {
		a = -2
		if t != nil && t.Len() == 1 {
			a = t.Int64At(0)
		} else if len(n.Inputs) > 2 && n.Inputs[2] != "" {
			return 0, false
		}
	}
	k, ok := axisOf(a, rank)
	return k, ok && k < rank-1
}

// stftDef: frames of the signal [batch, length, 1 or 2], windowed and transformed: [batch, frames, bins, 2].
var stftDef = &Def{Name: "STFT", Since: []int{17}, In: []Port{{Name: "signal", Type: "T"}, {Name: "frame_step", Type: "I"}, {Name: "window", Type: "T", Opt: true}, {Name: "frame_length", Type: "I", Opt: true}},
	Out: []Port{{Name: "output"}}, Types: map[string]Set{"T": Floats, "I": Index}, Exact: Rounding, Attrs: []AttrSpec{{Name: "onesided", Type: model.AttrInt, Default: int64(1)}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		for _, i := range []int{1, 3} {
			if err := f.single(i); err != nil {
				return err
			}
		}
		if err := f.ranked(0, 2, 3); err != nil {
			return err
		}
		if err := f.ranked(2, 1, 1); err != nil {
			return err
		}
		if !f.In[0].Ranked {
			return nil
		}
		s := f.In[0].Shape
		if len(s) == 3 && s[2].Known() && s[2].N != 1 && s[2].N != 2 {
			return f.Bad("the last dimension is %d, want 1 (real) or 2 (complex)", s[2].N)
		}
		out := model.Shape{s[0], model.Sym(""), model.Sym(""), model.Fixed(2)}
		size := model.Sym("")
		if f.input(2).Ranked {
			size = f.In[2].Shape[0]
		}
		if t := f.Value(3); t != nil {
			size = dimOf(int(min(max(t.Int64At(0), 0), 1<<30)))
		}
		if size.Known() {
			bins := size.N
			if f.Int("onesided") != 0 {
				bins = size.N/2 + 1
			}
			out[2] = model.Fixed(bins)
			if t := f.Value(1); t != nil && s[1].Known() && t.Int64At(0) > 0 && s[1].N >= size.N {
				out[1] = model.Fixed(int(int64(s[1].N-size.N)/t.Int64At(0)) + 1)
			}
		}
		f.Out[0] = model.TensorType(f.In[0].DType, out)
		return nil
	},
	Eval: func(c *Call) error {
		x := c.In[0]
		batch, length, parts := x.Shape[0], x.Shape[1], 1
		if len(x.Shape) == 3 {
			parts = x.Shape[2]
		}
		step, size := c.In[1].Int64At(0), int64(length)
		if c.Has(2) {
			size = int64(c.In[2].Len())
		}
		if c.Has(3) {
			size = c.In[3].Int64At(0)
		}
		if step < 1 || size < 1 || size > int64(length) {
			return c.Bad("frames of %d every %d of a signal of %d", size, step, length)
		}
		if c.Has(2) && int64(c.In[2].Len()) != size {
			return c.Bad("a window of %d for frames of %d", c.In[2].Len(), size)
		}
		if parts != 1 && parts != 2 {
			return c.Bad("the last dimension is %d, want 1 (real) or 2 (complex)", parts)
		}
		n := int(size)
		bins := n
		if c.Int("onesided") != 0 {
			if parts == 2 {
				return c.Bad("onesided does not go with a complex signal")
			}
			bins = n/2 + 1
		}
		frames := int((int64(length)-size)/step) + 1
		y, err := c.make(x.DType, []int{batch, frames, bins, 2})
		if err != nil {
			return err
		}
		line := make([]complex128, n)
		for b := range batch {
			for f := range frames {
				for k := range line {
					at := (b*length + f*int(step) + k) * parts
					im := 0.0
					if parts == 2 {
						im = x.Float64At(at + 1)
					}
					line[k] = complex(x.Float64At(at), im)
					if c.Has(2) {
						line[k] *= complex(c.In[2].Float64At(k), 0)
					}
				}
				for k, v := range fourier(line, false)[:bins] {
					at := ((b*frames+f)*bins + k) * 2
					y.SetFloat64(at, real(v))
					y.SetFloat64(at+1, imag(v))
				}
			}
		}
		c.Out[0] = y
		return nil
	}}

// melDef: triangles on the mel scale, [bins of the spectrum, mel bins].
var melDef = &Def{Name: "MelWeightMatrix", Since: []int{17}, In: []Port{{Name: "num_mel_bins", Type: "I"}, {Name: "dft_length", Type: "I"}, {Name: "sample_rate", Type: "I"},
	{Name: "lower_edge_hertz", Type: "F"}, {Name: "upper_edge_hertz", Type: "F"}}, Out: []Port{{Name: "output"}}, Types: map[string]Set{"I": Index, "F": Floats}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "output_datatype", Type: model.AttrInt, Default: int64(model.Float32)}},
	Infer: func(f *Inference) error {
		d := f.Int("output_datatype")
		if d <= 0 || d > 255 || !Numeric.Has(model.DType(d)) {
			return f.BadAttr("output_datatype", "is %d, allowed: %s", d, Numeric)
		}
		f.Out[0] = model.TensorType(model.DType(d), unknownDims(2))
		for i := range f.In {
			if err := f.single(i); err != nil {
				return err
			}
		}
		return nil
	},
	Eval: func(c *Call) error {
		mels, length, rate := c.In[0].Int64At(0), c.In[1].Int64At(0), c.In[2].Int64At(0)
		lo, hi := c.In[3].Float64At(0), c.In[4].Float64At(0)
		if mels < 0 || mels > 1<<24 || length < 0 || length > 1<<30 || rate < 1 || !(lo >= 0) || !(hi >= lo) || math.IsInf(hi, 0) {
			return c.Bad("%d mel bins from %g to %g Hz of %d samples at %d a second", mels, lo, hi, length, rate)
		}
		bins := int(length)/2 + 1
		y, err := c.make(model.DType(c.Int("output_datatype")), []int{bins, int(mels)})
		if err != nil {
			return err
		}
		mel := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
		step := (mel(hi) - mel(lo)) / float64(mels+2)
		edge := func(i int) int { // the bin of the spectrum where a triangle begins, peaks or ends
			f := 700 * (math.Pow(10, (mel(lo)+step*float64(i))/2595) - 1)
			return int(math.Floor(clamp(float64(length+1)*f/float64(rate), 0, 1<<30)))
		}
		for i := range int(mels) {
			a, b, e := edge(i), edge(i+1), edge(i+2)
			if a == b && b < bins {
				y.SetFloat64(b*int(mels)+i, 1)
			}
			for k := a; k <= b && k < bins && b > a; k++ {
				y.SetFloat64(k*int(mels)+i, float64(k-a)/float64(b-a))
			}
			for k := b; k < e && k < bins; k++ {
				y.SetFloat64(k*int(mels)+i, float64(e-k)/float64(e-b))
			}
		}
		c.Out[0] = y
		return nil
	}}
