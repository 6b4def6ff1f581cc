package ops

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// outLimit bounds the bytes of one output, so that a hostile attribute cannot ask for all memory.
const outLimit = min(1<<31, math.MaxInt)

// maxDim bounds dimensions that come from values, so that sums and products with sizes fit an int.
const maxDim = min(model.MaxElems, math.MaxInt>>4)

// limit is the most bytes that one output, or one table on the way to it, may take.
func (c *Call) limit() int {
	if c.Limit > 0 {
		return c.Limit
	}
	return outLimit
}

// make allocates an output: fail.TooBig beyond the limit, fail.Invalid for a negative dimension.
func (c *Call) make(d model.DType, dims []int) (*model.Tensor, error) {
	n, err := model.Count(dims)
	if err != nil {
		return nil, fail.In(err, "", fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
	}
	size := d.Bytes(n)
	if d == model.String {
		size = 16 * n
	}
	if size > c.limit() {
		return nil, fail.New(fail.TooBig, "an output of %s%v has more than %d bytes", d, dims, c.limit()).At(fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
	}
	return model.NewTensor(d, dims...), nil
}

// broadcast is the common shape of numpy's rules; false where the shapes do not go together.
func broadcast(shapes ...[]int) ([]int, bool) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			k := rank - len(s) + i
			switch {
			case d == 1 || d == out[k]:
			case out[k] == 1:
				out[k] = d
			default:
				return nil, false
			}
		}
	}
	return out, true
}

// broadcastShape is broadcast for shapes with symbols. A symbol against a number other than 1 becomes the number.
func broadcastShape(f *Inference, a, b model.Shape) (model.Shape, error) {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := append(model.Shape(nil), a...)
	for i, d := range b {
		k := len(a) - len(b) + i
		o := out[k]
		switch {
		case d == o, d.Known() && d.N == 1:
		case o.Known() && o.N == 1:
			out[k] = d
		case o.Known() && d.Known():
			return nil, f.Bad("shapes %s and %s do not broadcast", a, b)
		case d.Known():
			out[k] = d
		case !o.Known():
			out[k] = model.Sym("")
		}
	}
	return out, nil
}

// walk visits the elements of shape dims in row-major order with the offsets in tensors of the given strides.
type walk struct {
	dims    []int
	strides [][]int
	at      []int
	off     []int
}

func newWalk(dims []int, strides ...[]int) *walk {
	return &walk{dims: dims, strides: strides, at: make([]int, len(dims)), off: make([]int, len(strides))}
}

// next moves to the following element.
func (w *walk) next() {
	for k := len(w.dims) - 1; k >= 0; k-- {
		w.at[k]++
		for i, s := range w.strides {
			w.off[i] += s[k]
		}
		if w.at[k] < w.dims[k] {
			return
		}
		for i, s := range w.strides {
			w.off[i] -= s[k] * w.dims[k]
		}
		w.at[k] = 0
	}
}

// strideOf gives the row-major strides of dims.
func strideOf(dims []int) []int {
	s := make([]int, len(dims))
	n := 1
	for i := len(dims) - 1; i >= 0; i-- {
		s[i] = n
		n *= dims[i]
	}
	return s
}

// broadcastStride gives the strides of in seen in the shape out: 0 along repeated dimensions.
func broadcastStride(in, out []int) []int {
	s := make([]int, len(out))
	own := strideOf(in)
	for i := range in {
		k := len(out) - len(in) + i
		if in[i] != 1 {
			s[k] = own[i]
		}
	}
	return s
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

func sameDims(a, b []int) bool {
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

// ints64 reads an integer tensor of any integer dtype.
func ints64(t *model.Tensor) []int64 {
	out := make([]int64, t.Len())
	for i := range out {
		out[i] = t.Int64At(i)
	}
	return out
}

// axisOf brings an axis into 0..rank-1; false where it is outside.
func axisOf(a int64, rank int) (int, bool) {
	if a < 0 {
		a += int64(rank)
	}
	return int(a), a >= 0 && a < int64(rank)
}

// axesOf brings a list of axes into range and refuses repeats.
func axesOf(list []int64, rank int) ([]int, bool) {
	seen := make([]bool, rank)
	out := make([]int, len(list))
	for i, a := range list {
		k, ok := axisOf(a, rank)
		if !ok || seen[k] {
			return nil, false
		}
		seen[k] = true
		out[i] = k
	}
	return out, true
}

// inferSame: the first output has the type of the first input.
func inferSame(f *Inference) error {
	f.Out[0] = f.In[0]
	return nil
}

// inferBroadcast: the first output has the broadcast shape of all inputs and the dtype of the first.
func inferBroadcast(f *Inference) error {
	t := model.Type{DType: f.In[0].DType, Ranked: true}
	for i := range f.In {
		if !f.Has(i) {
			continue
		}
		if !f.In[i].Ranked {
			f.Out[0] = model.Type{DType: t.DType}
			return nil
		}
		s, err := broadcastShape(f, t.Shape, f.In[i].Shape)
		if err != nil {
			return err
		}
		t.Shape = s
	}
	if t.Shape == nil {
		t.Shape = model.Shape{}
	}
	f.Out[0] = t
	return nil
}

// ranked fails where input i has a known rank outside lo..hi.
func (f *Inference) ranked(i, lo, hi int) error {
	if f.Has(i) && f.In[i].Ranked {
		if r := len(f.In[i].Shape); r < lo || r > hi {
			if lo == hi {
				return f.Bad("input %d has rank %d, want %d", i, r, lo)
			}
			return f.Bad("input %d has rank %d, want %d to %d", i, r, lo, hi)
		}
	}
	return nil
}

// anyRank is an upper bound for ranked.
const anyRank = 1 << 20

// mapFloat applies f to every element of a float tensor through float64.
func mapFloat(g func(float64) float64) func(*Call) error {
	return func(c *Call) error {
		x := c.In[0]
		y, err := c.make(x.DType, x.Shape)
		if err != nil {
			return err
		}
		switch x.DType {
		case model.Float32:
			d := model.Data[float32](y)
			for i, v := range model.Data[float32](x) {
				d[i] = float32(g(float64(v)))
			}
		case model.Float64:
			d := model.Data[float64](y)
			for i, v := range model.Data[float64](x) {
				d[i] = g(v)
			}
		default:
			for i := range x.Len() {
				y.SetFloat64(i, g(x.Float64At(i)))
			}
		}
		c.Out[0] = y
		return nil
	}
}

// toFloat64 copies a numeric tensor into float64.
func toFloat64(t *model.Tensor) []float64 {
	out := make([]float64, t.Len())
	switch t.DType {
	case model.Float32:
		for i, v := range model.Data[float32](t) {
			out[i] = float64(v)
		}
	case model.Float64:
		copy(out, model.Data[float64](t))
	default:
		for i := range out {
			out[i] = t.Float64At(i)
		}
	}
	return out
}

// fromFloat64 makes an output of dtype d from float64 values.
func (c *Call) fromFloat64(d model.DType, dims []int, v []float64) (*model.Tensor, error) {
	t, err := c.make(d, dims)
	if err != nil {
		return nil, err
	}
	if d == model.Float32 {
		o := model.Data[float32](t)
		for i := range o {
			o[i] = float32(v[i])
		}
		return t, nil
	}
	for i := range t.Len() {
		t.SetFloat64(i, v[i])
	}
	return t, nil
}

// tooBig is a fail.TooBig at the node.
func (c *Call) tooBig(format string, args ...any) error {
	return fail.New(fail.TooBig, format+" would take too much memory", args...).At(fail.Where{Node: string(c.Node.ID), Op: c.Node.Op})
}
