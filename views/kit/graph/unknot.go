package graph

import "slices"

// unknot dissolves groups until no group is both before and after another kid of the same parent: a scope that the data
// leaves and enters again cannot be one box between its neighbours. It ends because items alone have no loops.
func (t *Tree) unknot(p *part) {
	where := make([]int32, len(t.Items))
	for i := range where {
		where[i] = -1
	}
	t.unknotIn(p, where)
}

func (t *Tree) unknotIn(p *part, where []int32) {
	for {
		var items []int32
		for k, kid := range p.kids {
			items = kid.mark(where, int32(k), items)
		}
		knots := knots(len(p.kids), t.between(items, where))
		for _, i := range items {
			where[i] = -1
		}
		if len(knots) == 0 {
			break
		}
		var gone []*part
		for _, knot := range knots {
			small := (*part)(nil)
			for _, k := range knot {
				if c := p.kids[k]; c.item < 0 && (small == nil || c.leaves < small.leaves) {
					small = c
				}
			}
			gone = append(gone, small)
		}
		for _, g := range gone {
			i := slices.Index(p.kids, g)
			p.kids = slices.Replace(p.kids, i, i+1, g.kids...)
		}
	}
	for _, k := range p.kids {
		if k.item < 0 {
			t.unknotIn(k, where)
		}
	}
}

// mark writes k for every item inside p and lists them.
func (p *part) mark(where []int32, k int32, items []int32) []int32 {
	if p.item >= 0 {
		where[p.item] = k
		return append(items, p.item)
	}
	for _, kid := range p.kids {
		items = kid.mark(where, k, items)
	}
	return items
}

// between lists the wires between different kids.
func (t *Tree) between(items, where []int32) [][2]int32 {
	var out [][2]int32
	for _, i := range items {
		for _, w := range t.Wires[t.out[i]:t.out[i+1]] {
			if b := where[w.To]; b >= 0 && b != where[i] {
				out = append(out, [2]int32{where[i], b})
			}
		}
	}
	slices.SortFunc(out, func(a, b [2]int32) int {
		if a[0] != b[0] {
			return int(a[0] - b[0])
		}
		return int(a[1] - b[1])
	})
	return slices.Compact(out)
}

// knots are the sets of two and more vertices that reach each other: Tarjan's algorithm with its own stack, because a
// graph may be thousands of vertices deep.
func knots(n int, edges [][2]int32) [][]int32 {
	start := make([]int32, n+1)
	for _, e := range edges {
		start[e[0]+1]++
	}
	for i := range n {
		start[i+1] += start[i]
	}
	index, low := make([]int32, n), make([]int32, n)
	on := make([]bool, n)
	next := append([]int32(nil), start[:n]...)
	var stack, call []int32
	var out [][]int32
	count := int32(0)
	for root := range int32(n) {
		if index[root] != 0 {
			continue
		}
		call = append(call[:0], root)
		for len(call) > 0 {
			v := call[len(call)-1]
			if index[v] == 0 {
				count++
				index[v], low[v] = count, count
				stack, on[v] = append(stack, v), true
			}
			if next[v] < start[v+1] {
				w := edges[next[v]][1]
				next[v]++
				if index[w] == 0 {
					call = append(call, w)
				} else if on[w] {
					low[v] = min(low[v], index[w])
				}
				continue
			}
			call = call[:len(call)-1]
			if len(call) > 0 {
				u := call[len(call)-1]
				low[u] = min(low[u], low[v])
			}
			if low[v] == index[v] {
				at := len(stack) - 1
				for stack[at] != v {
					at--
				}
				for _, w := range stack[at:] {
					on[w] = false
				}
				if len(stack)-at > 1 {
					out = append(out, slices.Clone(stack[at:]))
				}
				stack = stack[:at]
			}
		}
	}
	return out
}
