package engine

import (
	"slices"

	"fettle/kernels/gemm"
	"fettle/model"
)

// The heads of an attention layer are columns of a matrix: exporters split them off with Reshape and Transpose, multiply head by head
// and transpose back. A matrix product reads and writes with a distance between rows, so that these transpositions cost nothing.

// moved is a transposition that no step has made yet, because the product that reads it may do without.
type moved struct {
	src  *value
	st   []int // distance in src, in elements, of neighbours along each dimension
	node *model.Node
	make func() // adds the step after all
}

// layout is a shape with the distances of neighbours.
type layout struct{ dims, st []int }

// dense is the layout of a row-major tensor.
func dense(dims []int) layout {
	l := layout{dims, make([]int, len(dims))}
	step := 1
	for i := len(dims) - 1; i >= 0; i-- {
		l.st[i] = step
		step *= dims[i]
	}
	return l
}

// matrix adds the dimension that numpy's matmul gives a vector: a row on the left, a column on the right.
func (l layout) matrix(left bool) layout {
	if len(l.dims) != 1 {
		return l
	}
	if left {
		return layout{[]int{1, l.dims[0]}, []int{l.dims[0], 1}}
	}
	return layout{[]int{l.dims[0], 1}, []int{1, 1}}
}

// plane is how a kernel reads the last two dimensions: the distance of rows, or of columns where they are stored as rows.
func (l layout) plane() (ld int, trans, ok bool) {
	r := len(l.dims)
	rows, cols, sr, sc := l.dims[r-2], l.dims[r-1], l.st[r-2], l.st[r-1]
	if rows <= 1 {
		sr = max(sr, cols)
	}
	if cols <= 1 {
		sc = max(sc, rows)
	}
	switch {
	case (sc == 1 || cols <= 1) && sr >= cols:
		return sr, false, true
	case (sr == 1 || rows <= 1) && sc >= rows:
		return sc, true, true
	}
	return 0, false, false
}

// at gives the offsets of all matrices of a batch with the leading dimensions lead, over which l may be broadcast.
func (l layout) at(lead []int) []int {
	own, st := len(l.dims)-2, make([]int, len(lead))
	total := 1
	for i, d := range lead {
		total *= d
		if k := i - len(lead) + own; k >= 0 && l.dims[k] != 1 {
			st[i] = l.st[k]
		}
	}
	out := make([]int, total)
	for i := range out {
		out[i], _ = offsets(i, lead, st, st)
	}
	return out
}

// reader is the only node that reads output i of n, nil where there are others or the value is an output of the graph.
func (l *lowering) reader(n *model.Node, i int) *model.Node {
	u := l.m.Graph.Users(n.Outputs[i])
	if len(u) != 1 || l.m.Graph.Output(n.Outputs[i]) != nil || l.islands[u[0].ID] != nil {
		return nil
	}
	return u[0]
}

func isProduct(n *model.Node) bool {
	return n != nil && n.Op == "MatMul" && (n.Domain == "" || n.Domain == "ai.onnx" || n.Domain == "fettle")
}

// operand gives the layout in which a product reads v: as a step has left it, or in front of a transposition where a kernel can.
func (l *lowering) operand(v *value) layout {
	if v.moved != nil {
		m := layout{v.dims, v.moved.st}
		if _, _, ok := m.plane(); ok && len(v.dims) > 2 {
			return m
		}
		l.needPlain(v)
	}
	return dense(v.dims)
}

// transposed looks for a Transpose that alone reads the result of the product n and keeps its rows together: the layout of n's result
// inside of the Transpose's, or nil.
func (l *lowering) transposed(n *model.Node, dims []int) (*model.Node, layout) {
	t := l.reader(n, 0)
	if t == nil || t.Op != "Transpose" || t.Domain != "" && t.Domain != "ai.onnx" || l.done[t.ID] || len(dims) < 3 {
		return nil, layout{}
	}
	perm := t.Ints("perm")
	to := l.outDims(t, 0)
	last := len(dims) - 1
	if len(perm) != len(dims) || len(to) != len(dims) || int(perm[last]) != last || slices.Contains(dims, 0) {
		return nil, layout{}
	}
	st := make([]int, len(dims))
	for i, d := range dense(to).st {
		st[perm[i]] = d
	}
	lay := layout{dims, st}
	if _, trans, ok := lay.plane(); !ok || trans {
		return nil, layout{}
	}
	return t, lay
}

// batch splits numpy's matmul of a and b, known to fit, into products of matrices. Where b is one matrix and a is dense, all rows of a are
// one product.
func batch(a, b layout) (s gemm.Shape, lead, aAt, bAt []int) {
	a, b = a.matrix(true), b.matrix(false)
	ra, rb := len(a.dims), len(b.dims)
	la, lb := a.dims[:ra-2], b.dims[:rb-2]
	s = gemm.Shape{M: a.dims[ra-2], K: a.dims[ra-1], N: b.dims[rb-1]}
	if n, _ := model.Count(lb); n == 1 && slices.Equal(a.st, dense(a.dims).st) {
		rows, _ := model.Count(la)
		s.M *= rows
		return s, nil, []int{0}, []int{0}
	}
	lead = make([]int, max(len(la), len(lb)))
	for i := range lead {
		lead[i] = 1
		for _, d := range [][]int{la, lb} {
			if k := i - len(lead) + len(d); k >= 0 && d[k] != 1 {
				lead[i] = d[k]
			}
		}
	}
	return s, lead, a.at(lead), b.at(lead)
}
