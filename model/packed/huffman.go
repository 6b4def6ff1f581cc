package packed

import (
	"container/heap"
	"slices"
)

// longest is the longest code: its length has to fit four bits.
const longest = 15

// lengths gives the length of the code of each byte, 0 for those that do not occur. Where a code would be too long, rare bytes are
// counted as more frequent.
//
// Source: Huffman 1952, "A Method for the Construction of Minimum-Redundancy Codes".
func lengths(data []byte) [256]uint8 {
	count := histogram(data)
	for {
		l, most := tree(count)
		if most <= longest {
			return l
		}
		for s, n := range count {
			if n > 0 {
				count[s] = n/2 + 1
			}
		}
	}
}

type node struct {
	n, order    int // order makes equal counts come out alike everywhere
	left, right *node
	symbol      int
}

type queue []*node

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*node)) }
func (q *queue) Pop() any     { l := len(*q) - 1; x := (*q)[l]; *q = (*q)[:l]; return x }
func (q queue) Less(i, j int) bool {
	return q[i].n < q[j].n || q[i].n == q[j].n && q[i].order < q[j].order
}

func tree(count [256]int) (l [256]uint8, most int) {
	q := &queue{}
	for s, n := range count {
		if n > 0 {
			heap.Push(q, &node{n: n, order: s, symbol: s})
		}
	}
	if q.Len() == 1 { // a code has at least one bit
		l[(*q)[0].symbol] = 1
		return l, 1
	}
	for order := 256; q.Len() > 1; order++ {
		a, b := heap.Pop(q).(*node), heap.Pop(q).(*node)
		heap.Push(q, &node{n: a.n + b.n, order: order, left: a, right: b})
	}
	var walk func(x *node, depth int)
	walk = func(x *node, depth int) {
		if x.left == nil {
			l[x.symbol], most = uint8(min(depth, 255)), max(most, depth)
			return
		}
		walk(x.left, depth+1)
		walk(x.right, depth+1)
	}
	if q.Len() > 0 {
		walk((*q)[0], 0)
	}
	return l, most
}

// inOrder lists the bytes that have codes by length, then value: the order in which canonical codes count up.
func inOrder(l [256]uint8) []int {
	var s []int
	for i, n := range l {
		if n > 0 {
			s = append(s, i)
		}
	}
	slices.SortStableFunc(s, func(a, b int) int { return int(l[a]) - int(l[b]) })
	return s
}

// codesOf gives the canonical codes of the lengths.
func codesOf(l [256]uint8) (codes [256]uint32) {
	code, before := uint32(0), uint8(0)
	for _, s := range inOrder(l) {
		code <<= l[s] - before
		before = l[s]
		codes[s] = code
		code++
	}
	return codes
}

// decode appends n bytes from codes; false where they are damaged.
func decode(out, codes []byte, l [256]uint8, n int) ([]byte, bool) {
	order := inOrder(l)
	if len(order) == 0 {
		return out, n == 0
	}
	var count [longest + 1]int
	for _, s := range order {
		count[l[s]]++
	}
	bit := 0
	for range n {
		code, first, index := 0, 0, 0
		for length := 1; ; length++ {
			if length > longest || bit >= 8*len(codes) {
				return out, false
			}
			code = code<<1 | int(codes[bit/8]>>(7-bit%8)&1)
			bit++
			if k := code - first; k < count[length] {
				if k < 0 {
					return out, false
				}
				out = append(out, byte(order[index+k]))
				break
			}
			index += count[length]
			first = (first + count[length]) << 1
		}
	}
	return out, (bit+7)/8 == len(codes)
}
