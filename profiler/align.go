package profiler

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// group is a set of layers of A and of B that stand for the same imported nodes, as indices.
type group struct{ a, b []int }

// align joins the layers that share an imported node, directly or through others: one step of B may stand for three of A, and two of
// B for one of A. Names play no part, since rewrites and other runtimes change them. A layer without origin stands alone.
func align(a, b []Layer) []group {
	parent := make([]int, len(a)+len(b))
	for i := range parent {
		parent[i] = i
	}
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	owner := map[string]int{}
	join := func(layers []Layer, offset int) {
		for i, l := range layers {
			for _, id := range l.Origin {
				if j, ok := owner[id]; ok {
					parent[find(offset+i)] = find(j)
				} else {
					owner[id] = offset + i
				}
			}
		}
	}
	join(a, 0)
	join(b, len(a))
	place := map[int]int{}
	var out []group
	for i := range parent {
		r := find(i)
		k, ok := place[r]
		if !ok {
			k = len(out)
			place[r] = k
			out = append(out, group{})
		}
		if i < len(a) {
			out[k].a = append(out[k].a, i)
		} else {
			out[k].b = append(out[k].b, i-len(a))
		}
	}
	return out
}

// bar sums the group and measures its change.
func (g group) bar(a, b *Profile, m plan) (Bar, effect) {
	from, fromUnits := g.sum(a, g.a)
	to, toUnits := g.sum(b, g.b)
	x := Bar{From: ids(a, g.a), To: ids(b, g.b), Origin: g.origin(a, b), FromNs: toGrain(from), ToNs: toGrain(to),
		Kind: "layers", Verdict: NoDifference, Why: g.why(a, b)}
	x.DeltaNs = x.ToNs - x.FromNs
	x.Label, x.Op = g.label(a, b)
	e := m.effect(fromUnits, toUnits)
	lo, hi := m.difference(fromUnits, toUnits, x.DeltaNs)
	x.Interval = [2]float64{lo, hi}
	return x, e
}

// sum adds up layers: their medians, and their times unit by unit. A side without layers is zero in every unit of the run.
func (g group) sum(p *Profile, layers []int) (float64, []float64) {
	total := 0.0
	var units []float64
	for _, i := range layers {
		l := &p.Layers[i]
		total += l.P50Ns
		if units == nil {
			units = slices.Clone(l.UnitsNs)
			continue
		}
		for k := range min(len(units), len(l.UnitsNs)) {
			units[k] += l.UnitsNs[k]
		}
	}
	if units == nil && len(p.Layers) > 0 {
		units = make([]float64, len(p.Layers[0].UnitsNs))
	}
	return total, units
}

func ids(p *Profile, layers []int) []string {
	out := []string{}
	for _, i := range layers {
		out = append(out, p.Layers[i].ID)
	}
	return out
}

func (g group) origin(a, b *Profile) []string {
	out := []string{}
	for _, i := range g.a {
		out = append(out, a.Layers[i].Origin...)
	}
	for _, i := range g.b {
		out = append(out, b.Layers[i].Origin...)
	}
	sort.Strings(out)
	return slices.Compact(out)
}

// label names the bar after its main layer, in A where it has one there.
func (g group) label(a, b *Profile) (name, op string) {
	p, layers := a, g.a
	if len(layers) == 0 {
		p, layers = b, g.b
	}
	l := chief(p, layers)
	if n := len(layers); n > 1 {
		return fmt.Sprintf("%s +%d", l.Name, n-1), l.Op
	}
	return l.Name, l.Op
}

// chief is the layer that a group is known by: the one that multiplies most, else the longest. A copy between two layouts may take
// longer than the convolution that it serves.
func chief(p *Profile, layers []int) *Layer {
	best := &p.Layers[layers[0]]
	for _, i := range layers[1:] {
		if l := &p.Layers[i]; l.MACs > best.MACs || l.MACs == best.MACs && l.P50Ns > best.P50Ns {
			best = l
		}
	}
	return best
}

// why says in a few words what is different about the layers of B.
func (g group) why(a, b *Profile) string {
	switch {
	case len(g.b) == 0:
		return "only in A"
	case len(g.a) == 0:
		return "only in B"
	}
	var out []string
	words := func(p *Profile, layers []int, f func(*Layer) string) string {
		var w []string
		for _, i := range layers {
			if s := f(&p.Layers[i]); s != "" && !slices.Contains(w, s) {
				w = append(w, s)
			}
		}
		return strings.Join(w, " + ")
	}
	dtype := func(l *Layer) string { return l.DType }
	if x, y := words(a, g.a, dtype), words(b, g.b, dtype); x != y && y != "" {
		out = append(out, y)
	}
	if n, k := len(g.a), len(g.b); n != k {
		out = append(out, fmt.Sprintf("%s became %d", plural(n, "step"), k))
	}
	if x, y := chief(a, g.a).Kernel, chief(b, g.b).Kernel; x != y && x != "" && y != "" {
		out = append(out, "other kernel: "+x+" -> "+y)
	}
	device := func(l *Layer) string { return l.Device }
	if x, y := words(a, g.a, device), words(b, g.b, device); x != y && y != "" {
		out = append(out, "on device "+y)
	}
	macs := func(p *Profile, layers []int) (n int64) {
		for _, i := range layers {
			n += p.Layers[i].MACs
		}
		return n
	}
	if x, y := macs(a, g.a), macs(b, g.b); x != y && x > 0 && y > 0 {
		out = append(out, fmt.Sprintf("%.3g times the multiplications", float64(y)/float64(x)))
	}
	return strings.Join(out, ", ")
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
