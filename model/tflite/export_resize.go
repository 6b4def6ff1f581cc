package tflite

import (
	"math"

	"fettle/internal/fail"
)

// exportResize takes whichever of the format's three rules gives the very same source positions for these sizes as the node's.
func exportResize(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	out, err := e.dims(st.out)
	if err != nil {
		return err
	}
	if len(x.dims) != 4 || x.dims[0] != out[0] || x.dims[1] != out[1] {
		return st.unsupported("only the height and width of pictures can be resized")
	}
	mode, rule := st.n.Str("mode", "nearest"), st.n.Str("coordinate_transformation_mode", "half_pixel")
	if st.n.Op == "Upsample" || e.m.Opset("") < 11 {
		rule = "asymmetric"
	}
	if mode != "nearest" && mode != "linear" && mode != "bilinear" || st.n.Int("antialias", 0) != 0 {
		return st.unsupported("resizing by mode %s has no counterpart", mode)
	}
	o := operator{code: opResizeBilinear, tag: tagResizeBilinear, options: options{2: false, 3: false}}
	first := 2
	if mode == "nearest" {
		o = operator{code: opResizeNearest, tag: tagResizeNearest, options: options{0: false, 1: false}}
		first = 0
	}
	r := resize{nearest: mode == "nearest", rule: rule, rounding: st.n.Str("nearest_mode", "round_prefer_floor")}
	if e.m.Opset("") < 11 {
		r.rounding = "floor"
	}
	found := -1
	for k := range 3 {
		same := true
		for d := 2; d < 4; d++ {
			scale, err := e.scaleOf(st, d, x.dims[d], out[d])
			if err != nil {
				return err
			}
			same = same && r.same(k, x.dims[d], out[d], scale)
		}
		if same {
			found = k
			break
		}
	}
	switch found {
	case -1:
		return st.unsupported("resizing %v to %v by %s, %s has no counterpart", x.dims[2:], out[2:], rule, r.rounding)
	case 1:
		o.options[first] = true // align_corners
	case 2:
		o.options[first+1] = true // half_pixel_centers
	}
	g := through(x)
	o.version = opVersion(o.code, g)
	if found > 0 {
		o.version = max(o.version, 3)
	}
	o.inputs = []int32{e.in(x, g != nil, true), e.ints32("size", int32(out[2]), int32(out[3]))}
	_, err = e.add(st, o, g, true)
	return err
}

// scaleOf is the factor of a dimension: given, or the quotient of the sizes.
func (e *exporter) scaleOf(st *step, d, in, out int) (float64, error) {
	at := 2
	if st.n.Op == "Upsample" || e.m.Opset("") < 11 {
		at = 1
	}
	if at < len(st.n.Inputs) && st.n.Inputs[at] != "" {
		t := e.facts.Consts[st.n.Inputs[at]]
		if t == nil {
			return 0, st.unsupported("its factors are computed")
		}
		switch t.Len() {
		case 4:
			return t.Float64At(d), nil
		case 2: // of the axes that are named
			return t.Float64At(d - 2), nil
		}
	}
	if in == 0 {
		return 0, fail.New(fail.Invalid, "a picture without pixels")
	}
	return float64(out) / float64(in), nil
}

type resize struct {
	nearest        bool
	rule, rounding string
}

// same compares the source positions of every pixel of one dimension with those of the format's rule: 0 from the corner of the picture,
// 1 corners onto corners, 2 from the middle of a pixel.
func (r resize) same(rule, in, out int, scale float64) bool {
	for i := range out {
		want, ok := r.wanted(i, in, out, scale)
		if !ok {
			return false
		}
		factor := float64(in) / float64(out)
		if rule == 1 && out > 1 {
			factor = float64(in-1) / float64(out-1)
		}
		var have float64
		switch {
		case r.nearest && rule == 2:
			have = math.Floor((float64(i) + 0.5) * factor)
		case r.nearest && rule == 1:
			have = math.Floor(float64(i)*factor + 0.5)
		case r.nearest:
			have = math.Floor(float64(i) * factor)
		case rule == 2:
			have = (float64(i)+0.5)*factor - 0.5
		default:
			have = float64(i) * factor
		}
		have, want = min(max(have, 0), float64(in-1)), min(max(want, 0), float64(in-1))
		if math.Abs(have-want) > 1e-6*float64(in) {
			return false
		}
	}
	return true
}

// wanted is the source position that the node names for pixel i.
func (r resize) wanted(i, in, out int, scale float64) (float64, bool) {
	x := float64(i)
	switch r.rule {
	case "half_pixel":
		x = (x+0.5)/scale - 0.5
	case "pytorch_half_pixel":
		if x = (x+0.5)/scale - 0.5; out <= 1 {
			x = 0
		}
	case "asymmetric":
		x /= scale
	case "align_corners":
		if out > 1 {
			x *= float64(in-1) / float64(out-1)
		}
	default:
		return 0, false
	}
	if !r.nearest {
		return x, true
	}
	switch r.rounding {
	case "round_prefer_floor":
		return math.Ceil(x - 0.5), true
	case "round_prefer_ceil":
		return math.Floor(x + 0.5), true
	case "floor":
		return math.Floor(x), true
	case "ceil":
		return math.Ceil(x), true
	}
	return 0, false
}
