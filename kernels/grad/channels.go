package grad

import (
	"unsafe"

	"fettle/kernels/cpu"
)

const line = 16

// coefs are up to five numbers for each of 16 channels.
type coefs [5 * line]float32

// Gate is a Relu behind an affine map of x: what comes back from it passes where Scale x + Shift > 0. The zero Gate passes all.
type Gate struct{ Scale, Shift []float32 }

func (g Gate) open(x float32, ch int) bool { return g.Scale == nil || g.Scale[ch]*x+g.Shift[ch] > 0 }

// kind is that of a pass, or of the one with a gate.
func (g Gate) kind(plain, gated int) int {
	if g.Scale == nil {
		return plain
	}
	return gated
}

// blocks calls f for ranges of channels with the number of vectors of the kernel for them, or 0 where a plain loop has to do.
func (k *Kernels) blocks(c int, f func(from, to, nv int)) {
	from := 0
	for ; from+line <= c && k.isa != cpu.Generic; from += line {
		f(from, from+line, line/k.width)
	}
	if k.isa == cpu.AVX2 && from+8 <= c {
		f(from, from+8, 1)
		from += 8
	}
	if from < c {
		f(from, c, 0)
	}
}

// sums adds two sums a channel; x and b are [pixels, c], coefs what the kernel wants, plain the same for one element.
func (k *Kernels) sums(kind int, x, b, gate, term []float32, c int, s0, s1 []float64, co [][]float32, plain func(i, ch int) (v, d float64)) {
	const most = 512 // rows in one float32 sum
	for from := 0; from < len(x); from += most * c {
		n := min(most, (len(x)-from)/c)
		k.blocks(c, func(lo, hi, nv int) {
			if nv == 0 {
				for p := from; p < from+n*c; p += c {
					for ch := lo; ch < hi; ch++ {
						v, d := plain(p+ch, ch)
						s0[ch] += d
						s1[ch] += d * v
					}
				}
				return
			}
			var out coefs
			l := coefsOf(co, lo, hi)
			a := args{x: at(x, from+lo), b: at(b, from+lo), c: unsafe.Pointer(&out), bias: unsafe.Pointer(&l), n: int64(n), step: int64(4 * c)}
			if gate != nil {
				a.zero = at(gate, from+lo)
			}
			if term != nil {
				a.table = at(term, from+lo)
			}
			k.pass[kind][nv](&a)
			for ch := lo; ch < hi; ch++ {
				s0[ch] += float64(out[ch-lo])
				s1[ch] += float64(out[line+ch-lo])
			}
		})
	}
}

func coefsOf(co [][]float32, lo, hi int) (l coefs) {
	for i, v := range co {
		if v != nil {
			copy(l[i*line:(i+1)*line], v[lo:hi])
		}
	}
	return l
}

// Moments adds the sums of x - shift and of its square by channel; x is [pixels, len(shift)].
func (k *Kernels) Moments(x, shift []float32, sum, square []float64) {
	k.sums(moments, x, x, nil, nil, len(shift), sum, square, [][]float32{shift}, func(i, ch int) (float64, float64) {
		v := float64(x[i] - shift[ch])
		return v, v
	})
}

// Dots adds the sums of d and of d times x - shift by channel, d being what passes the gate.
func (k *Kernels) Dots(x, d, shift []float32, g Gate, sum, dot []float64) {
	k.sums(g.kind(dots, dotsRelu), x, d, nil, nil, len(shift), sum, dot, [][]float32{shift, g.Scale, g.Shift}, func(i, ch int) (float64, float64) {
		if !g.open(x[i], ch) {
			return 0, 0
		}
		return float64(x[i] - shift[ch]), float64(d[i])
	})
}

// Open keeps d, or d + term, where out > 0 and puts 0 elsewhere; it adds the sums of d by then and of d times x - shift by channel. This is
// what comes back through a Relu behind a sum of a normalised x and others. term may be nil.
func (k *Kernels) Open(d, term, out, x, shift []float32, sum, dot []float64) {
	kind := openDots
	if term != nil {
		kind = addOpenDots
	}
	k.sums(kind, x, d, out, term, len(shift), sum, dot, [][]float32{shift}, func(i, ch int) (float64, float64) {
		if term != nil {
			d[i] += term[i]
		}
		if out[i] <= 0 {
			d[i] = 0
		}
		return float64(x[i] - shift[ch]), float64(d[i])
	})
}

// Join writes dst = max(scale x + shift + b, 0) by channel.
func (k *Kernels) Join(dst, x, b, scale, shift []float32) {
	k.maps(join, dst, x, b, len(scale), [][]float32{scale, shift}, func(i, ch int) { dst[i] = max(scale[ch]*x[i]+shift[ch]+b[i], 0) })
}

// Affine writes dst = scale x + shift by channel.
func (k *Kernels) Affine(dst, x, scale, shift []float32) {
	k.maps(affine, dst, x, x, len(scale), [][]float32{scale, shift}, func(i, ch int) { dst[i] = scale[ch]*x[i] + shift[ch] })
}

// AffineRelu writes dst = max(scale x + shift, 0) by channel.
func (k *Kernels) AffineRelu(dst, x, scale, shift []float32) {
	k.maps(affineRelu, dst, x, x, len(scale), [][]float32{scale, shift}, func(i, ch int) { dst[i] = max(scale[ch]*x[i]+shift[ch], 0) })
}

// Blend writes dst = c0 d + c1 x + c2 by channel, d being what passes the gate.
func (k *Kernels) Blend(dst, d, x, c0, c1, c2 []float32, g Gate) {
	k.maps(g.kind(blend, blendRelu), dst, x, d, len(c0), [][]float32{c0, c1, c2, g.Scale, g.Shift}, func(i, ch int) {
		v := float32(0)
		if g.open(x[i], ch) {
			v = d[i]
		}
		dst[i] = c0[ch]*v + c1[ch]*x[i] + c2[ch]
	})
}

func (k *Kernels) maps(kind int, dst, x, b []float32, c int, co [][]float32, plain func(i, ch int)) {
	k.blocks(c, func(lo, hi, nv int) {
		if nv == 0 {
			for p := 0; p < len(dst); p += c {
				for ch := lo; ch < hi; ch++ {
					plain(p+ch, ch)
				}
			}
			return
		}
		l := coefsOf(co, lo, hi)
		a := args{x: at(x, lo), b: at(b, lo), c: at(dst, lo), bias: unsafe.Pointer(&l), n: int64(len(dst) / c), step: int64(4 * c)}
		k.pass[kind][nv](&a)
	})
}

// Mask writes d where x > 0, and 0 elsewhere; dst may be d.
func (k *Kernels) Mask(dst, d, x []float32) {
	d, x = d[:len(dst)], x[:len(dst)]
	whole := 0
	if k.isa != cpu.Generic {
		if whole = len(dst) / k.width * k.width; whole > 0 {
			a := args{x: at(x, 0), b: at(d, 0), c: at(dst, 0), bias: at(k.zeros, 0), n: int64(whole / k.width), step: int64(4 * k.width)}
			k.pass[mask][1](&a)
		}
	}
	for i := whole; i < len(dst); i++ {
		v := float32(0)
		if x[i] > 0 {
			v = d[i]
		}
		dst[i] = v
	}
}

// Band writes d where lo < x < hi, and 0 elsewhere; dst may be d.
func (k *Kernels) Band(dst, d, x []float32, lo, hi float32) {
	d, x = d[:len(dst)], x[:len(dst)]
	whole := 0
	if k.isa != cpu.Generic {
		if whole = len(dst) / k.width * k.width; whole > 0 {
			var l coefs
			for i := range line {
				l[i], l[line+i] = lo, hi
			}
			a := args{x: at(x, 0), b: at(d, 0), c: at(dst, 0), bias: unsafe.Pointer(&l), n: int64(whole / k.width), step: int64(4 * k.width)}
			k.pass[band][1](&a)
		}
	}
	for i := whole; i < len(dst); i++ {
		v := float32(0)
		if lo < x[i] && x[i] < hi {
			v = d[i]
		}
		dst[i] = v
	}
}
