package ops

import (
	"sort"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
)

// einsumOps: sums of products named by letters.
func einsumOps() []*Def { return []*Def{einsumDef} }

// einsumLimit bounds the products of one call: hours, not years.
const einsumLimit = 1 << 40

var einsumDef = &Def{Name: "Einsum", Since: []int{12}, In: []Port{{Name: "Inputs", Type: "T", Many: true}}, Out: []Port{{Name: "Output"}}, Types: map[string]Set{"T": Numeric}, Exact: Rounding,
	Attrs: []AttrSpec{{Name: "equation", Type: model.AttrString, Required: true}},
	Infer: func(f *Inference) error {
		f.Out[0] = model.Type{DType: f.In[0].DType}
		ranks := make([]int, len(f.In))
		for i, t := range f.In {
			if !t.Ranked {
				return nil
			}
			ranks[i] = len(t.Shape)
		}
		e, why := parseEinsum(f.Str("equation"), ranks)
		if why != "" {
			return f.BadAttr("equation", "%q: %s", f.Str("equation"), why)
		}
		size := make(model.Shape, e.labels)
		for i := range size {
			size[i] = model.Fixed(1)
		}
		for i, t := range f.In {
			for k, d := range t.Shape {
				at := &size[e.in[i][k]]
				switch {
				case d == *at, d.Known() && d.N == 1:
				case at.Known() && at.N == 1:
					*at = d
				case d.Known() && at.Known():
					return f.Bad("dimension %d of input %d is %d, by the equation %q it is %d", k, i, d.N, f.Str("equation"), at.N)
				case d.Known():
					*at = d
				}
			}
		}
		s := make(model.Shape, len(e.out))
		for i, l := range e.out {
			s[i] = size[l]
		}
		f.Out[0] = model.TensorType(f.In[0].DType, s)
		return nil
	},
	Cost: func(f *Inference) Cost {
		ranks := make([]int, len(f.In))
		for i, t := range f.In {
			ranks[i] = len(t.Shape)
		}
		e, why := parseEinsum(f.Str("equation"), ranks)
		if why != "" {
			return Cost{}
		}
		n := int64(1)
		seen := make([]bool, e.labels)
		for i, t := range f.In {
			for k, d := range t.Shape {
				if l := e.in[i][k]; !seen[l] && d.N > 1 {
					seen[l] = true
					n *= int64(d.N)
				}
			}
		}
		return Cost{MACs: n * int64(max(1, len(f.In)-1)), Bytes: bytesOf(f)}
	},
	Eval: evalEinsum,
}

// einsum has a number for each letter and each dimension under an ellipsis.
type einsum struct {
	in     [][]int // the label of each dimension of each input
	out    []int
	labels int
}

func parseEinsum(equation string, ranks []int) (*einsum, string) {
	eq := strings.ReplaceAll(equation, " ", "")
	left, right, explicit := strings.Cut(eq, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(ranks) {
		return nil, "it does not have a term for each input"
	}
	letters := func(s string) (string, bool, bool) { // without the ellipsis; had one; well formed
		t := strings.Replace(s, "...", "", 1)
		for _, r := range t {
			if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
				return "", false, false
			}
		}
		return t, t != s, true
	}
	e := &einsum{in: make([][]int, len(terms))}
	dots := 0
	for i, t := range terms {
		l, has, ok := letters(t)
		switch {
		case !ok:
			return nil, "a term has other signs than letters and one ellipsis"
		case !has && len(l) != ranks[i], has && len(l) > ranks[i]:
			return nil, "a term does not have the rank of its input"
		case has:
			dots = max(dots, ranks[i]-len(l))
		}
	}
	e.labels = dots // labels 0..dots-1 are the ellipsis, aligned at its end
	at := map[rune]int{}
	count := map[rune]int{}
	for i, t := range terms {
		l, _, _ := letters(t)
		under := ranks[i] - len(l)
		before, after, _ := strings.Cut(t, "...")
		add := func(s string) {
			for _, r := range s {
				if _, ok := at[r]; !ok {
					at[r] = e.labels
					e.labels++
				}
				count[r]++
				e.in[i] = append(e.in[i], at[r])
			}
		}
		add(before)
		for k := range under {
			e.in[i] = append(e.in[i], dots-under+k)
		}
		add(after)
	}
	if !explicit {
		right = "..."
		var once []rune
		for r, n := range count {
			if n == 1 {
				once = append(once, r)
			}
		}
		sort.Slice(once, func(i, j int) bool { return once[i] < once[j] })
		right += string(once)
	}
	if _, _, ok := letters(right); !ok {
		return nil, "the output has other signs than letters and one ellipsis"
	}
	before, after, has := strings.Cut(right, "...")
	used := map[rune]bool{}
	for part, s := range []string{before, after} {
		if part == 1 && has {
			for k := range dots {
				e.out = append(e.out, k)
			}
		}
		for _, r := range s {
			l, ok := at[r]
			if !ok || used[r] {
				return nil, "a letter of the output is in no input, or twice in the output"
			}
			used[r] = true
			e.out = append(e.out, l)
		}
	}
	return e, ""
}

func evalEinsum(c *Call) error {
	ranks := make([]int, len(c.In))
	for i, t := range c.In {
		if t == nil {
			return c.Bad("input %d is absent", i)
		}
		ranks[i] = len(t.Shape)
	}
	e, why := parseEinsum(c.Str("equation"), ranks)
	if why != "" {
		return c.badAttr("equation", "%q: %s", c.Str("equation"), why)
	}
	size := ones(e.labels)
	for i, t := range c.In {
		for k, d := range t.Shape {
			if l := e.in[i][k]; d != 1 {
				if size[l] != 1 && size[l] != d {
					return c.Bad("dimension %d of input %d is %d, want %d", k, i, d, size[l])
				}
				size[l] = d
			}
		}
	}
	// Output labels first, so that the rest is the sum of one output element.
	order := append([]int{}, e.out...)
	isOut := make([]bool, e.labels)
	for _, l := range e.out {
		isOut[l] = true
	}
	for l := range e.labels {
		if !isOut[l] {
			order = append(order, l)
		}
	}
	place := make([]int, e.labels)
	dims := make([]int, e.labels)
	for p, l := range order {
		place[l], dims[p] = p, size[l]
	}
	strides := make([][]int, len(c.In))
	for i, t := range c.In {
		strides[i] = make([]int, e.labels)
		own := strideOf(t.Shape)
		for k, d := range t.Shape {
			if d != 1 {
				strides[i][place[e.in[i][k]]] += own[k] // a letter twice in a term walks the diagonal
			}
		}
	}
	n, err := model.Count(dims)
	if err != nil || int64(n) > einsumLimit {
		return fail.New(fail.TooBig, "%v products", dims).At(fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
	}
	y, err := c.make(c.In[0].DType, dims[:len(e.out)])
	if err != nil {
		return err
	}
	c.Out[0] = y
	outs := y.Len()
	if n == 0 || outs == 0 {
		return nil
	}
	w := newWalk(dims, strides...)
	if y.DType.Integer() {
		for i := range outs {
			sum := int64(0)
			for range n / outs {
				p := int64(1)
				for k, t := range c.In {
					p *= t.Int64At(w.off[k])
				}
				sum += p
				w.next()
			}
			y.SetInt64(i, sum)
		}
		return nil
	}
	v := make([][]float64, len(c.In))
	for k, t := range c.In {
		v[k] = toFloat64(t)
	}
	for i := range outs {
		sum := 0.0
		for range n / outs {
			p := 1.0
			for k := range v {
				p *= v[k][w.off[k]]
			}
			sum += p
			w.next()
		}
		y.SetFloat64(i, sum)
	}
	return nil
}
