package dataset

import "math"

// Resize scales a picture as Pillow's Image.resize does, bit for bit: bilinear and area are separable filters
// that widen when shrinking (BILINEAR, BOX), computed in 22-bit fixed point, columns first, rounded to 8 bits
// between the passes; nearest takes the pixel under the centre.
//
// Source: Pillow, src/libImaging/Resample.c and Geometry.c (HPND licence; the formula, not the code).
func Resize(img *Picture, w, h int, kind string) *Picture {
	if img.W == w && img.H == h {
		return img
	}
	if kind == "nearest" {
		return nearest(img, w, h)
	}
	filter, support := triangle, 1.0
	if kind == "area" {
		filter, support = box, 0.5
	}
	if img.W != w {
		img = resample(img, w, true, filter, support)
	}
	if img.H != h {
		img = resample(img, h, false, filter, support)
	}
	return img
}

func nearest(img *Picture, w, h int) *Picture {
	out := &Picture{W: w, H: h, Pix: make([]byte, 3*w*h)}
	for y := range h {
		sy := min(int((float64(y)+0.5)*float64(img.H)/float64(h)), img.H-1)
		for x := range w {
			sx := min(int((float64(x)+0.5)*float64(img.W)/float64(w)), img.W-1)
			copy(out.Pix[3*(y*w+x):3*(y*w+x)+3], img.Pix[3*(sy*img.W+sx):])
		}
	}
	return out
}

func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

func box(x float64) float64 {
	if x > -0.5 && x <= 0.5 {
		return 1
	}
	return 0
}

const precision = 32 - 8 - 2

// taps are the source range and weights of one output position.
type taps struct {
	from int
	k    []int32
}

func filterTaps(in, out int, filter func(float64) float64, support float64) []taps {
	scale := float64(in) / float64(out)
	wide := max(scale, 1)
	support *= wide
	all := make([]taps, out)
	for i := range all {
		centre := (float64(i) + 0.5) * scale
		from := max(int(centre-support+0.5), 0)
		to := min(int(centre+support+0.5), in)
		k := make([]float64, max(to-from, 0))
		sum := 0.0
		for j := range k {
			k[j] = filter((float64(from+j) - centre + 0.5) * (1 / wide)) // as Pillow rounds: ties decide box filters
			sum += k[j]
		}
		all[i] = taps{from: from, k: make([]int32, len(k))}
		for j := range k {
			if sum != 0 {
				k[j] /= sum
			}
			all[i].k[j] = int32(0.5 + k[j]*(1<<precision)) // both filters are never negative
		}
	}
	return all
}

func resample(img *Picture, size int, columns bool, filter func(float64) float64, support float64) *Picture {
	in := img.H
	out := &Picture{W: img.W, H: size}
	if columns {
		in, out.W, out.H = img.W, size, img.H
	}
	out.Pix = make([]byte, 3*out.W*out.H)
	all := filterTaps(in, size, filter, support)
	step := 3 * img.W
	if columns {
		step = 3
	}
	for y := range out.H {
		for x := range out.W {
			i, base := y, 3*x
			if columns {
				i, base = x, 3*y*img.W
			}
			t := &all[i]
			at := base + t.from*step
			sum := [3]int64{1 << (precision - 1), 1 << (precision - 1), 1 << (precision - 1)}
			for _, k := range t.k {
				for c := range sum {
					sum[c] += int64(k) * int64(img.Pix[at+c])
				}
				at += step
			}
			for c := range sum {
				out.Pix[3*(y*out.W+x)+c] = byte(min(max(sum[c]>>precision, 0), 255))
			}
		}
	}
	return out
}
