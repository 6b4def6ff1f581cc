package prune

import "fettle/model"

// rows are the places at which a layer gives outputs, and the numbers of its input that each is a sum over.
type rows struct {
	outputs, positions, batch int
	conv                      bool
	in, kernel                []int
	out                       []int
	stride, dilate, begin     []int
	channels                  int
	width                     int
}

// newRows describes the outputs of n with their shape; nil: filled in by window.
func newRows(n *model.Node, y []int) *rows {
	p := &rows{conv: n.Op == "Conv", positions: 1, batch: 1}
	if y == nil {
		return p
	}
	if !p.conv {
		p.outputs = y[len(y)-1]
		for _, d := range y[:len(y)-1] {
			p.positions *= d
		}
		return p
	}
	p.batch, p.outputs = y[0], y[1]
	for _, d := range y[2:] {
		p.positions *= d
	}
	return p
}

func (p *rows) count() int { return p.batch * p.positions }

// output is where output c of row at stands.
func (p *rows) output(at, c int) int {
	if !p.conv {
		return at*p.outputs + c
	}
	return (at/p.positions*p.outputs+c)*p.positions + at%p.positions
}

// window describes the input x of n with weight w.
func (p *rows) window(n *model.Node, w *model.Tensor, x []int) {
	if !p.conv {
		p.width = x[len(x)-1]
		return
	}
	k := len(x) - 2
	p.channels, p.kernel, p.in = x[1], w.Shape[2:], x[2:]
	p.width = w.Len() / w.Shape[0]
	list := func(name string) []int {
		out := make([]int, k)
		for i := range out {
			out[i] = 1
			if v := n.Ints(name); len(v) == k {
				out[i] = int(v[i])
			}
		}
		return out
	}
	p.stride, p.dilate, p.begin, p.out = list("strides"), list("dilations"), make([]int, k), make([]int, k)
	pads, auto := n.Ints("pads"), n.Str("auto_pad", "NOTSET")
	p.positions = 1
	for i := range k {
		span := (p.kernel[i]-1)*p.dilate[i] + 1
		all := p.in[i]
		switch {
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			total := max(0, ((p.in[i]+p.stride[i]-1)/p.stride[i]-1)*p.stride[i]+span-p.in[i])
			p.begin[i] = total / 2
			if auto == "SAME_LOWER" {
				p.begin[i] = total - total/2
			}
			all += total
		case len(pads) == 2*k && auto == "NOTSET":
			p.begin[i] = int(pads[i])
			all += int(pads[i] + pads[k+i])
		}
		p.out[i] = (all-span)/p.stride[i] + 1
		p.positions *= p.out[i]
	}
}

// row writes what row at is a sum over to dst, in the order of the weights of an output.
func (p *rows) row(dst, x []float32, at int) {
	if !p.conv {
		copy(dst, x[at*p.width:][:p.width])
		return
	}
	plane, taps := 1, p.width/p.channels
	for _, d := range p.in {
		plane *= d
	}
	x = x[at/p.positions*p.channels*plane:][:p.channels*plane]
	at %= p.positions
	first := make([]int, len(p.out))
	for i := len(p.out) - 1; i >= 0; i-- {
		first[i] = at%p.out[i]*p.stride[i] - p.begin[i]
		at /= p.out[i]
	}
	for t := range taps {
		off, inside, rest, step := 0, true, t, 1
		for i := len(p.out) - 1; i >= 0; i-- {
			c := first[i] + rest%p.kernel[i]*p.dilate[i]
			rest /= p.kernel[i]
			inside = inside && c >= 0 && c < p.in[i]
			off += c * step
			step *= p.in[i]
		}
		for c := range p.channels {
			dst[c*taps+t] = 0
			if inside {
				dst[c*taps+t] = x[c*plane+off]
			}
		}
	}
}
