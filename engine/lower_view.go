package engine

import "fettle/model"

// viewOf lowers a node that only renames or reshapes its first input: the output shares the buffer.
func viewOf(l *lowering, n *model.Node) (bool, error) {
	in := l.in(n, 0)
	dims := l.outDims(n, 0)
	if in == nil || in.dims == nil || in.data != nil || dims == nil {
		return false, nil
	}
	for _, o := range n.Outputs[1:] {
		if o != "" {
			return false, nil // the mask of Dropout
		}
	}
	a, errA := model.Count(in.dims)
	b, errB := model.Count(dims)
	if errA != nil || errB != nil || a != b {
		return false, nil
	}
	l.free = append(l.free, Free{n.ID, "view"})
	out := l.out(n, 0)
	out.typ.DType = in.typ.DType
	if same(in.dims, dims) && in.plain == nil && in.blocked != nil {
		out.blocked = in.blocked
		return true, nil
	}
	out.plain = l.needPlain(in)
	out.blocked = nil
	if same(in.dims, dims) {
		out.blocked = in.blocked
	}
	return true, nil
}

func same(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
