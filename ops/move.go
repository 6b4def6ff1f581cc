package ops

import (
	"fettle/model"
)

// pick describes an output by an input and, for each output dimension, the stride in the input; start is the first element.
type pick struct {
	src     *model.Tensor
	dims    []int
	strides []int
	start   int
}

// gather makes output 0 from p: Transpose, Slice, Expand and whatever else only moves elements.
func (c *Call) gather(p pick) error {
	y, err := c.make(p.src.DType, p.dims)
	if err != nil {
		return err
	}
	p.into(y)
	c.Out[0] = y
	return nil
}

// into fills y, whose elements are p's in row-major order.
func (p pick) into(y *model.Tensor) {
	if y.Len() == 0 {
		return
	}
	dims, strides := p.joined()
	x := p.src
	switch bits := x.DType.Bits(); {
	case x.DType == model.String:
		moveStrided(y.Strs, x.Strs, dims, strides, p.start)
	case bits == 8:
		moveStrided(y.Raw, x.Raw, dims, strides, p.start)
	case bits == 16:
		moveStrided(model.Data[uint16](y), model.Data[uint16](x), dims, strides, p.start)
	case bits == 32:
		moveStrided(model.Data[uint32](y), model.Data[uint32](x), dims, strides, p.start)
	case bits == 64:
		moveStrided(model.Data[uint64](y), model.Data[uint64](x), dims, strides, p.start)
	case bits == 128:
		moveStrided(model.Data[complex128](y), model.Data[complex128](x), dims, strides, p.start)
	default:
		w := newWalk(dims, strides)
		w.off[0] = p.start
		for i := range y.Len() {
			copyElem(y, i, x, w.off[0])
			w.next()
		}
	}
}

// joined drops dimensions of 1 and joins neighbours that one stride walks, so that runs are as long as they can be.
func (p pick) joined() (dims, strides []int) {
	for i, d := range p.dims {
		if d == 1 {
			continue
		}
		if n := len(dims) - 1; n >= 0 && strides[n] == p.strides[i]*d {
			dims[n], strides[n] = dims[n]*d, p.strides[i]
			continue
		}
		dims, strides = append(dims, d), append(strides, p.strides[i])
	}
	return dims, strides
}

// moveTile is the side of the squares in which a transposition reads and writes whole cache lines.
const moveTile = 128

// moveStrided fills dst in row-major order of dims from src at the given strides. Runs are copied whole; where only
// another dimension than the last is dense in src, the two are walked in tiles.
func moveStrided[T any](dst, src []T, dims, strides []int, start int) {
	if len(dims) == 0 {
		dst[0] = src[start]
		return
	}
	last := len(dims) - 1
	cols, step := dims[last], strides[last]
	own := strideOf(dims)
	dense := -1
	if step != 1 {
		for k := range last {
			if strides[k] == 1 {
				dense = k
			}
		}
	}
	var outer, so, si []int
	for k := range last {
		if k != dense {
			outer, so, si = append(outer, dims[k]), append(so, own[k]), append(si, strides[k])
		}
	}
	w := newWalk(outer, so, si)
	for range product(outer) {
		d, s := w.off[0], start+w.off[1]
		switch {
		case dense >= 0:
			moveTiles(dst, src, d, s, dims[dense], cols, own[dense], step)
		case step == 1:
			copy(dst[d:d+cols], src[s:s+cols])
		default:
			for k := range cols {
				dst[d+k] = src[s+k*step]
			}
		}
		w.next()
	}
}

// moveTiles is dst[d+r*ds+k] = src[s+r+k*step]. The inner loop runs along the side whose lines lie closer together: lines
// that are a large power of two apart fall on each other in a cache.
func moveTiles[T any](dst, src []T, d, s, rows, cols, ds, step int) {
	for r0 := 0; r0 < rows; r0 += moveTile {
		for c0 := 0; c0 < cols; c0 += moveTile {
			r1, c1 := min(rows, r0+moveTile), min(cols, c0+moveTile)
			if ds < max(step, -step) {
				for k := c0; k < c1; k++ {
					to := d + r0*ds + k
					for _, v := range src[s+r0+k*step : s+r1+k*step] {
						dst[to] = v
						to += ds
					}
				}
				continue
			}
			for r := r0; r < r1; r++ {
				from := s + r + c0*step
				line := dst[d+r*ds+c0 : d+r*ds+c1]
				for k := range line {
					line[k] = src[from]
					from += step
				}
			}
		}
	}
}

// mapAxes fills y from x: element o along axis k of y comes from element at[k][o] of x; -1 leaves what y holds.
func mapAxes(y, x *model.Tensor, at [][]int) {
	if y.Len() == 0 {
		return
	}
	// Axes at the end that are taken as they are make one element.
	last, unit := len(at)-1, 1
	for last >= 0 && whole(at[last], x.Shape[last]) {
		unit *= x.Shape[last]
		last--
	}
	if last < 0 {
		copyRun(y, 0, x, 0, unit)
		return
	}
	type run struct{ dst, src, n int }
	var runs []run
	for o, i := range at[last] {
		if k := len(runs) - 1; k >= 0 && i > 0 && runs[k].dst+runs[k].n == o && runs[k].src+runs[k].n == i {
			runs[k].n++
		} else if i >= 0 {
			runs = append(runs, run{o, i, 1})
		}
	}
	var fill func(k, d, s int)
	fill = func(k, d, s int) {
		if k == last {
			for _, r := range runs {
				copyRun(y, (d*len(at[k])+r.dst)*unit, x, (s*x.Shape[k]+r.src)*unit, r.n*unit)
			}
			return
		}
		for o, i := range at[k] {
			if i >= 0 {
				fill(k+1, d*len(at[k])+o, s*x.Shape[k]+i)
			}
		}
	}
	fill(0, 0, 0)
}

func whole(at []int, n int) bool {
	if len(at) != n {
		return false
	}
	for o, i := range at {
		if o != i {
			return false
		}
	}
	return true
}

// copyRun copies n elements in a row.
func copyRun(dst *model.Tensor, i int, src *model.Tensor, k, n int) {
	bits := src.DType.Bits()
	switch {
	case src.DType == model.String:
		copy(dst.Strs[i:i+n], src.Strs[k:k+n])
	case bits%8 != 0:
		for j := range n {
			dst.SetInt64(i+j, src.Int64At(k+j))
		}
	default:
		e := bits / 8
		copy(dst.Raw[i*e:(i+n)*e], src.Raw[k*e:(k+n)*e])
	}
}

// fill sets every element of y to the first one of v.
func fill(y, v *model.Tensor) {
	n := y.Len()
	if n == 0 {
		return
	}
	copyElem(y, 0, v, 0)
	if y.DType == model.String || y.DType.Bits()%8 != 0 {
		for i := 1; i < n; i++ {
			copyElem(y, i, v, 0)
		}
		return
	}
	for done := y.DType.Bits() / 8; done < len(y.Raw); done *= 2 {
		copy(y.Raw[done:], y.Raw[:done])
	}
}
