package pixels

import "image"

// jpegRGB converts as libjpeg-turbo does with its default settings: triangle ("fancy") chroma upsampling and
// integer colour conversion. Go's own conversion takes the nearest chroma sample, which differs by 3.6 levels
// on average on 4:2:0 pictures with colour edges.
//
// Source: libjpeg-turbo, jdsample.c and jdcolor.c (IJG licence; the formulas, not the code).
func jpegRGB(m *image.YCbCr, p *picture) {
	cb, cr := make([]byte, p.w), make([]byte, p.w)
	up := newUpsampler(m, p.w, p.h)
	for y := range p.h {
		up.row(m.Cb, y, cb)
		up.row(m.Cr, y, cr)
		out := p.pix[3*y*p.w:]
		luma := m.Y[y*m.YStride:]
		for x := range p.w {
			// 16-bit fixed point: 1.402, 0.71414, 0.34414, 1.772
			l, u, v := int32(luma[x]), int32(cb[x])-128, int32(cr[x])-128
			out[3*x] = clamp(l + (91881*v+32768)>>16)
			out[3*x+1] = clamp(l + (-22554*u-46802*v+32768)>>16)
			out[3*x+2] = clamp(l + (116130*u+32768)>>16)
		}
	}
}

func clamp(v int32) byte { return byte(min(max(v, 0), 255)) }

// upsampler brings rows of a chroma plane to the width of the picture.
type upsampler struct {
	m      *image.YCbCr
	w, h   int // of the chroma plane
	hs, vs int // 1 or 2: how often it is halved; 4 for the rare 4:1:x
	near   []int32
}

func newUpsampler(m *image.YCbCr, width, height int) *upsampler {
	u := &upsampler{m: m, hs: 1, vs: 1}
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		u.hs = 2
	case image.YCbCrSubsampleRatio420:
		u.hs, u.vs = 2, 2
	case image.YCbCrSubsampleRatio440:
		u.vs = 2
	case image.YCbCrSubsampleRatio411:
		u.hs = 4
	case image.YCbCrSubsampleRatio410:
		u.hs, u.vs = 4, 2
	}
	u.w, u.h = (width+u.hs-1)/u.hs, (height+u.vs-1)/u.vs
	u.near = make([]int32, u.w)
	return u
}

// row writes row y of the picture. libjpeg smooths only where a side is halved once.
func (u *upsampler) row(plane []byte, y int, out []byte) {
	r := y / u.vs
	line := func(i int) []byte { i = min(max(i, 0), u.h-1); return plane[i*u.m.CStride : i*u.m.CStride+u.w] }
	this := line(r)
	switch {
	case u.hs == 4:
		for x := range out {
			out[x] = this[x/4]
		}
	case u.vs == 1 && u.hs == 1:
		copy(out, this)
	case u.vs == 1:
		widen(this, out)
	default:
		other := line(r - 1)
		if y%2 == 1 {
			other = line(r + 1)
		}
		if u.hs == 1 { // 4:4:0
			bias := int32(1 + y%2)
			for x := range out {
				out[x] = byte((3*int32(this[x]) + int32(other[x]) + bias) >> 2)
			}
			return
		}
		for x := range u.near {
			u.near[x] = 3*int32(this[x]) + int32(other[x])
		}
		widenSums(u.near, out)
	}
}

// widen doubles a row: 3/4 of the nearer and 1/4 of the further sample.
func widen(in, out []byte) {
	if len(in) <= 2 { // libjpeg does not smooth so narrow a plane
		for x := range out {
			out[x] = in[x/2]
		}
		return
	}
	for x := range out {
		i := x / 2
		n := 3 * int32(in[i])
		switch {
		case x%2 == 0 && i == 0, x%2 == 1 && i == len(in)-1:
			out[x] = in[i]
		case x%2 == 0:
			out[x] = byte((n + int32(in[i-1]) + 1) >> 2)
		default:
			out[x] = byte((n + int32(in[i+1]) + 2) >> 2)
		}
	}
}

// widenSums is widen for sums of two rows, which are four times as large.
func widenSums(in []int32, out []byte) {
	for x := range out {
		i := x / 2
		switch {
		case x%2 == 0 && i == 0:
			out[x] = byte((4*in[i] + 8) >> 4)
		case x%2 == 1 && i == len(in)-1:
			out[x] = byte((4*in[i] + 7) >> 4)
		case x%2 == 0:
			out[x] = byte((3*in[i] + in[i-1] + 8) >> 4)
		default:
			out[x] = byte((3*in[i] + in[i+1] + 7) >> 4)
		}
	}
}

// webpRGB converts as libwebp does: its own smooth upsampling, and luma from 16 to 235, which Go's YCbCr
// conversion takes for 0 to 255.
//
// Source: libwebp, src/dsp/upsampling.c and yuv.h (BSD licence; the formulas, not the code).
func webpRGB(m *image.YCbCr, p *picture) {
	cw, ch := (p.w+1)/2, (p.h+1)/2
	smooth := func(plane []byte, x, y int) int32 {
		i, j := x/2, y/2
		h, v := i-1+2*(x%2), j-1+2*(y%2)
		at := func(i, j int) int32 { return int32(plane[min(max(j, 0), ch-1)*m.CStride+i]) }
		if h < 0 || h >= cw { // the first and last column mix rows only
			if v < 0 || v >= ch {
				return at(i, j)
			}
			return (3*at(i, j) + at(i, v) + 2) >> 2
		}
		n, a, b, d := at(i, j), at(h, j), at(i, v), at(h, v)
		return ((n+a+b+d+8+2*(a+b))>>3 + n) >> 1
	}
	for y := range p.h {
		for x := range p.w {
			l := int32(m.Y[y*m.YStride+x]) * 19077 >> 8
			u, v := smooth(m.Cb, x, y), smooth(m.Cr, x, y)
			o := p.pix[3*(y*p.w+x):]
			o[0] = clamp((l + v*26149>>8 - 14234) >> 6)
			o[1] = clamp((l - u*6419>>8 - v*13320>>8 + 8708) >> 6)
			o[2] = clamp((l + u*33050>>8 - 17685) >> 6)
		}
	}
}
