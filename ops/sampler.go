package ops

import (
	"math"
)

// sampler turns places of a result into weighted places of the input, along one axis.
type sampler struct {
	mode, coord, nearest string
	a                    float64 // coefficient of the cubic
	exclude, antialias   bool
	sizes                bool // the sizes were given, not the scales
}

func samplerOf(c *Call) *sampler {
	n := c.Node
	s := &sampler{mode: n.Str("mode", "nearest"), coord: n.Str("coordinate_transformation_mode", "half_pixel"), nearest: n.Str("nearest_mode", "round_prefer_floor"),
		a: float64(n.Float("cubic_coeff_a", -0.75)), exclude: n.Int("exclude_outside", 0) != 0, antialias: n.Int("antialias", 0) != 0, sizes: c.Has(3)}
	if c.Node.Op == "Upsample" || c.Opset == 10 {
		s.coord, s.nearest = "asymmetric", "floor"
	}
	if s.mode == "bilinear" {
		s.mode = "linear"
	}
	return s
}

// axis gives the taps of each of out places over n elements, and which places lie outside of the input.
func (s *sampler) axis(n, out int, scale, from, to float32) ([][]tap, []bool) {
	taps, outside := make([][]tap, out), make([]bool, out)
	for o := range out {
		x := float64(s.place(o, n, out, scale, from, to))
		outside[o] = !(x >= 0 && x <= float64(n-1))
		if x != x {
			x = 0 // a region that is no number
		}
		switch {
		case s.mode == "nearest":
			taps[o] = []tap{{at: s.near(x, n), weight: 1}}
		case s.mode == "linear":
			taps[o] = s.window(x, n, scale, 1, func(d float64) float64 { return math.Max(0, 1-d) })
		default:
			taps[o] = s.window(x, n, scale, 2, s.cubic)
		}
	}
	return taps, outside
}

// place is where o of the result lies in the input, in float32 as other runtimes compute it: ties decide which neighbour
// is nearest.
func (s *sampler) place(o, n, out int, scale, from, to float32) float32 {
	x, size := float32(o), float32(n)
	switch s.coord {
	case "asymmetric":
		return x / scale
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / scale
	case "align_corners":
		// With scales the length of the result is not rounded, as in the specification's reference.
		length := float32(out)
		if !s.sizes {
			length = scale * size
		}
		if out == 1 || length == 1 {
			return 0
		}
		return x * (size - 1) / (length - 1)
	case "pytorch_half_pixel":
		if out == 1 {
			return 0
		}
	case "tf_crop_and_resize":
		if out == 1 {
			return 0.5 * (from + to) * (size - 1)
		}
		return from*(size-1) + x*(to-from)*(size-1)/float32(out-1)
	case "half_pixel_symmetric":
		center := size / 2
		return center*(1-float32(out)/(scale*size)) + (x+0.5)/scale - 0.5
	}
	return (x+0.5)/scale - 0.5
}

// near rounds a place to an element.
func (s *sampler) near(x float64, n int) int {
	switch s.nearest {
	case "floor":
		x = math.Floor(x)
	case "ceil":
		x = math.Ceil(x)
	case "round_prefer_ceil":
		x = math.Floor(x + 0.5)
	default:
		x = math.Ceil(x - 0.5)
	}
	return int(clamp(x, 0, float64(n-1)))
}

// window weighs the elements within support of x by f of their distance. Elements beyond the border repeat the last one, or
// are left out with exclude_outside. With antialias a smaller result sees a window that is wider by 1/scale.
func (s *sampler) window(x float64, n int, scale float32, support float64, f func(d float64) float64) []tap {
	k := 1.0
	if s.antialias && scale < 1 {
		k = float64(scale)
	}
	// A place far outside, from a region or a tiny scale, sees the border only.
	x = clamp(x, -1-2*support/k, float64(n)+2*support/k)
	var out []tap
	sum := 0.0
	for i := int(math.Floor(x-support/k)) + 1; i <= int(math.Ceil(x+support/k))-1; i++ {
		w := f(math.Abs(float64(i)-x) * k)
		if s.exclude && (i < 0 || i >= n) || w == 0 {
			continue
		}
		sum += w
		at := min(max(i, 0), n-1)
		if l := len(out) - 1; l >= 0 && out[l].at == at {
			out[l].weight += w
		} else {
			out = append(out, tap{at, w})
		}
	}
	if len(out) == 0 || sum == 0 {
		return []tap{{at: int(clamp(math.Round(x), 0, float64(n-1))), weight: 1}}
	}
	for i := range out {
		out[i].weight /= sum
	}
	return out
}

// cubic is Keys' convolution kernel.
func (s *sampler) cubic(d float64) float64 {
	switch a := s.a; {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}
