package predict

import (
	"fmt"
	"slices"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
)

// part says what a node costs: its kind, sizes, marks and amounts of work.
func (g *Graph) part(n *model.Node, inf *ops.Inferred) (*part, error) {
	p := &part{node: n}
	out, ok := g.dims(n.Outputs[0])
	if !ok {
		return nil, fail.New(fail.Invalid, "the size of what it gives is open").At(fail.Where{Node: string(n.ID), Op: n.Op}).Try("give the shapes of the inputs")
	}
	input, small := false, ""
	for _, v := range n.Inputs {
		if v == "" {
			continue
		}
		src, q := g.through(v)
		if inf.Consts[v] != nil || g.m.Graph.Constant(src, false) != nil || inf.Consts[src] != nil {
			if q {
				small = g.types[src].DType.String()
			}
			continue
		}
		p.integer = p.integer || q
		input = input || g.m.Graph.Producer(src) == nil
		p.from = append(p.from, src)
	}
	kind := []string{n.Op}
	size := 4.0
	if p.integer {
		size = 1
	}
	for _, v := range n.Inputs {
		if d, ok := g.dims(v); ok && v != "" {
			p.bytes += size * product(d)
		}
	}
	p.bytes += size * product(out)
	in, known := g.dims(first(n.Inputs))
	switch {
	case n.Op == "Conv" && known && len(in) == 4 && len(out) == 4:
		w, _ := g.dims(n.Inputs[1])
		kind = append(kind, g.conv(p, in, out, w, size)...)
	case (n.Op == "Gemm" || n.Op == "MatMul") && known && len(in) > 0:
		kind = append(kind, g.gemm(p, in, out, size)...)
	default:
		kind = append(kind, g.other(p, in, out, size)...)
	}
	p.work[wStart] = 1
	if a := n.Str("activation", "none"); a != "none" && a != "relu" && a != "clip" && a != "leakyrelu" {
		p.marks[smooth] = true
		if a == "silu" || a == "sigmoid" {
			p.work[wSilu] = product(out)
		} else {
			p.work[wSmooth] = product(out)
		}
	}
	switch t := g.types[n.Outputs[0]]; {
	case p.integer:
		kind = append(kind, "int8")
	case small != "" && small != "float32":
		kind = append(kind, "weights "+small) // they are unpacked as they are read
	case t.DType != model.Float32:
		kind = append(kind, t.DType.String())
	}
	if input && n.Op == "Conv" {
		p.marks[atInput] = true
		p.work[wInput] = product(in)
	}
	if g.m.Graph.Output(n.Outputs[0]) != nil && len(out) == 4 {
		p.marks[atOutput], p.work[wOutput] = true, product(out)
	}
	p.kind = strings.Join(kind, " ")
	return p, nil
}

// gemm fills in a product of matrices and gives the words of its kind.
func (g *Graph) gemm(p *part, in, out []int, size float64) []string {
	k, cols := float64(in[len(in)-1]), float64(out[len(out)-1])
	if p.node.Op == "Gemm" && p.node.Int("transA", 0) != 0 {
		k = float64(in[0])
	}
	rows := product(out) / max(cols, 1)
	p.dims = []float64{rows, k, cols}
	p.multiply(rows, k, cols)
	p.work[wIn], p.work[wOut], p.work[wWeights] = rows*k*size, rows*cols*size, k*cols*size
	if len(p.from) > 1 {
		batch := 1.0
		if len(out) > 2 {
			batch = product(out[:len(out)-2])
		}
		p.dims = []float64{batch, rows / batch, k, cols}
		p.work[wIn], p.work[wWeights] = p.work[wIn]+batch*k*cols*size, 0
		return []string{"of values"}
	}
	return nil
}

// other fills in what is no product and gives the words of its kind.
func (g *Graph) other(p *part, in, out []int, size float64) (words []string) {
	n := p.node
	elements := product(in)
	p.dims = []float64{max(elements, 1), max(product(out), 1)}
	if k := n.Ints("kernel_shape"); len(k) > 0 { // windows are sizes: a pool of 5x5 lies between those of 3x3 and 7x7
		taps := 1.0
		for _, v := range k {
			taps *= float64(v)
		}
		if s := n.Ints("strides"); len(s) == 2 && s[0] == 1 && s[1] == 1 {
			words = append(words, "/1x1")
		}
		p.dims = append(p.dims, taps)
		p.work[wMACs] = taps * product(out)
	}
	if a := n.Attr("axis"); a != nil {
		at := int(a.I)
		if at < 0 {
			at += len(in)
		}
		if at > 0 && at == len(in)-1 {
			words = append(words, "last axis")
		} else {
			words = append(words, fmt.Sprintf("axis %d", at))
		}
	}
	if a := n.Ints("perm"); len(a) > 0 {
		words = append(words, join(a))
	}
	switch n.Op {
	case "Add", "Mul", "Sub", "Div":
		for _, v := range n.Inputs[min(1, len(n.Inputs)):] {
			if d, ok := g.dims(v); ok && v != "" {
				words = append(words, broadcast(product(d), elements))
			}
		}
	case "Concat":
		elements = product(out)
		if g.own(n) {
			words = append(words, "of its own") // its inputs can be written where they belong
		}
		words = append(words, g.grain(n))
	case "GlobalAveragePool":
		if len(in) == 4 {
			p.dims = []float64{float64(in[1]), float64(in[2] * in[3])}
		}
	}
	p.work[wIn], p.work[wOut] = elements*size, product(out)*size
	return words
}

// grain says in how large groups channels come to a concatenation: kernels hold channels in blocks, and what begins inside of one has to be moved.
func (g *Graph) grain(n *model.Node) string {
	all := 16
	for _, v := range n.Inputs[:len(n.Inputs)-1] {
		if d, ok := g.dims(v); ok && len(d) == 4 {
			for d[1]%all != 0 {
				all /= 2
			}
		}
	}
	return fmt.Sprintf("by %d", all)
}

// conv fills in the dims and amounts of a convolution and gives the words of its kind. 1x1 and 3x3 are kinds of their own, for which there are
// kernels; of all others the window is a size.
func (g *Graph) conv(p *part, in, out, w []int, size float64) []string {
	n := p.node
	group := int(n.Int("group", 1))
	if len(w) != 4 {
		w = []int{out[1], in[1] / max(group, 1), 1, 1}
	}
	pixels, taps := float64(out[0]*out[2]*out[3]), float64(w[2]*w[3])
	apart := false
	if d := n.Ints("dilations"); len(d) == 2 && (d[0] != 1 || d[1] != 1) {
		apart = true
	}
	window := "kxk"
	if w[2] == w[3] && (w[2] == 1 || w[2] == 3) && !apart {
		window = fmt.Sprintf("%dx%d", w[2], w[3])
	}
	words := []string{window}
	stride := 1
	if s := n.Ints("strides"); len(s) == 2 && (s[0] != 1 || s[1] != 1) {
		if stride = int(s[0]); s[0] == 2 && s[1] == 2 {
			words = append(words, "/2x2")
		} else {
			words = append(words, "/nxn")
		}
	}
	switch {
	case group == in[1] && group == out[1] && group > 1:
		words = append(words, "depthwise")
		p.dims = []float64{float64(out[1]), pixels}
		p.multiply(pixels, taps, float64(out[1]))
	case group > 1:
		words = append(words, "in groups")
		p.dims = []float64{float64(w[1]), float64(out[1]), pixels, float64(group)}
		p.multiply(pixels, taps*float64(w[1]), float64(out[1]))
	default:
		p.dims = []float64{float64(in[1]), float64(out[1]), pixels}
		p.multiply(pixels, taps*float64(in[1]), float64(out[1]))
		if window == "3x3" && stride == 1 {
			t := float64(out[0] * ceil(out[2], 4) * ceil(out[3], 4))
			p.work[wWino], p.work[wTurned] = t*36*float64(in[1])*float64(16*ceil(out[1], 16)), t*36*float64(in[1]+out[1])
		}
	}
	if window == "kxk" {
		p.dims = append(p.dims, taps)
	}
	p.work[wIn], p.work[wOut], p.work[wWeights] = product(in)*size, product(out)*size, product(w)*size
	if n.Domain == "fettle" && len(n.Inputs) > 3 && n.Inputs[3] != "" {
		p.marks[summed], p.work[wSum] = true, product(out)*size
		if src, _ := g.through(n.Inputs[3]); len(p.from) > 1 { // what is added is no way to be fused
			p.from = slices.DeleteFunc(p.from, func(v string) bool { return v == src && v != p.from[0] })
		}
	}
	return words
}

// multiply sets the products of rows x depth by depth x columns.
func (p *part) multiply(rows, depth, cols float64) {
	p.macs = rows * depth * cols
	p.work[wMACs] = p.macs
	for i, t := range tiles() {
		p.work[wTiles+i] = float64(t[1]*ceil(int(rows), t[1])) * depth * float64(t[0]*ceil(int(cols), t[0]))
	}
}

func broadcast(other, elements float64) string {
	switch {
	case other == elements:
		return "of equals"
	case other <= 1:
		return "with a number"
	}
	return "with fewer"
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

func join(d []int64) string {
	var s []string
	for _, v := range d {
		s = append(s, fmt.Sprint(v))
	}
	return strings.Join(s, "x")
}
