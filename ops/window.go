package ops

import (
	"fettle/model"
)

// spatial is the geometry of a sliding window over k spatial dimensions.
type spatial struct {
	kernel, stride, dilation []int
	begin, end               []int // padding
	in, out                  []int
}

// window reads strides, dilations, pads and auto_pad of a node for the given kernel and input sizes. ceil rounds the output
// size up. Unknown input sizes (-1) give unknown output sizes.
func window(n *model.Node, bad func(attr, format string, args ...any) error, kernel, in []int, ceil bool) (*spatial, error) {
	k := len(kernel)
	s := &spatial{kernel: kernel, in: in, begin: make([]int, k), end: make([]int, k), out: make([]int, k)}
	list := func(name string, least int64) ([]int, error) {
		out := make([]int, k)
		v := n.Ints(name)
		if v != nil && len(v) != k {
			return nil, bad(name, "has %d numbers, the window has %d dimensions", len(v), k)
		}
		for i := range out {
			out[i] = 1
			if v != nil {
				if v[i] < least || v[i] > 1<<30 {
					return nil, bad(name, "%v: want numbers from %d on", v, least)
				}
				out[i] = int(v[i])
			}
		}
		return out, nil
	}
	var err error
	if s.stride, err = list("strides", 1); err != nil {
		return nil, err
	}
	if s.dilation, err = list("dilations", 1); err != nil {
		return nil, err
	}
	for i, x := range kernel {
		if x < 1 {
			return nil, bad("kernel_shape", "dimension %d of the window is %d", i, x)
		}
	}
	auto := n.Str("auto_pad", "NOTSET")
	if p := n.Ints("pads"); p != nil && auto == "NOTSET" {
		if len(p) != 2*k {
			return nil, bad("pads", "has %d numbers, want %d", len(p), 2*k)
		}
		for i := range k {
			if p[i] > 1<<30 || p[k+i] > 1<<30 || p[i] < -(1<<30) || p[k+i] < -(1<<30) {
				return nil, bad("pads", "%v is out of range", p)
			}
			s.begin[i], s.end[i] = int(p[i]), int(p[k+i])
		}
	}
	for i := range k {
		if in[i] < 0 {
			s.out[i] = -1
			continue
		}
		span := (kernel[i]-1)*s.dilation[i] + 1
		switch auto {
		case "SAME_UPPER", "SAME_LOWER":
			s.out[i] = (in[i] + s.stride[i] - 1) / s.stride[i]
			total := max(0, (s.out[i]-1)*s.stride[i]+span-in[i])
			s.begin[i], s.end[i] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				s.begin[i], s.end[i] = s.end[i], s.begin[i]
			}
		default:
			room := in[i] + s.begin[i] + s.end[i] - span
			if room < 0 {
				return nil, bad("kernel_shape", "a window of %d does not fit the padded size %d of dimension %d", span, in[i]+s.begin[i]+s.end[i], i)
			}
			s.out[i] = room/s.stride[i] + 1
			if ceil && room%s.stride[i] != 0 && s.out[i]*s.stride[i] < in[i]+s.begin[i] {
				s.out[i]++ // a window that would begin in the end padding is left out
			}
		}
	}
	return s, nil
}

// sizes gives the numbers of a shape from axis on, -1 where they are not known.
func sizes(s model.Shape, from int) []int {
	out := make([]int, 0, len(s))
	for _, d := range s[from:] {
		if d.Known() {
			out = append(out, d.N)
		} else {
			out = append(out, -1)
		}
	}
	return out
}

func dimOf(n int) model.Dim {
	if n < 0 {
		return model.Sym("")
	}
	return model.Fixed(n)
}

// slide calls f(o, i, k) for every output position o, kernel position k and the input position i under it, as flat indices;
// positions in the padding are left out.
func (s *spatial) slide(f func(o, i, k int)) {
	n := len(s.kernel)
	outs, kers := product(s.out), product(s.kernel)
	oi, ki := make([]int, n), make([]int, n)
	st := strideOf(s.in)
	for o := range outs {
		unflatten(o, s.out, oi)
	taps:
		for k := range kers {
			unflatten(k, s.kernel, ki)
			at := 0
			for d := range n {
				p := oi[d]*s.stride[d] + ki[d]*s.dilation[d] - s.begin[d]
				if p < 0 || p >= s.in[d] {
					continue taps
				}
				at += p * st[d]
			}
			f(o, at, k)
		}
	}
}

func unflatten(i int, dims, at []int) {
	for d := len(dims) - 1; d >= 0; d-- {
		at[d] = i % dims[d]
		i /= dims[d]
	}
}

// segment is a row of output elements and the input elements under them, one stride apart, for one place of the kernel.
type segment struct{ o, i, n int }

// rows bounds the number of segments.
func (s *spatial) rows() int64 {
	n := int64(product(s.kernel))
	for _, o := range s.out[:len(s.out)-1] {
		n *= int64(o)
	}
	return n
}

// segments lists, for each place of the kernel, the rows whose input is not in the padding.
func (s *spatial) segments() [][]segment {
	last := len(s.kernel) - 1
	all := make([][]segment, product(s.kernel))
	row, ki := make([]int, last), make([]int, last+1)
	so, si := strideOf(s.out), strideOf(s.in)
	for k := range all {
		unflatten(k, s.kernel, ki)
		// The columns whose input lies within the row: 0 <= o*stride + shift < in.
		shift, stride := ki[last]*s.dilation[last]-s.begin[last], s.stride[last]
		from := max(0, (stride-1-shift)/stride)
		to := min(s.out[last], (s.in[last]-1-shift)/stride+1)
		if shift > s.in[last]-1 || from >= to {
			continue
		}
	rows:
		for r := range product(s.out[:last]) {
			unflatten(r, s.out[:last], row)
			g := segment{o: from, i: from*stride + shift, n: to - from}
			for d, o := range row {
				p := o*s.stride[d] + ki[d]*s.dilation[d] - s.begin[d]
				if p < 0 || p >= s.in[d] {
					continue rows
				}
				g.o += o * so[d]
				g.i += p * si[d]
			}
			all[k] = append(all[k], g)
		}
	}
	return all
}
