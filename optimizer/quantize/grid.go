package quantize

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// precision is how a type of weights is stored.
type precision struct {
	dtype  model.DType
	lo, hi int     // of integers
	most   float64 // of floats that are not scaled: what is larger has no number
	scaled bool    // behind DequantizeLinear; else behind Cast
	opset  int     // where DequantizeLinear or Cast takes the type
	ir     int64   // what that opset came with
}

// precisions by the value of the option weights. Weights of 3 and 2 bits are the middle half and quarter of int4, which every
// reader of opset 21 takes.
// The narrow types use the number without a positive counterpart, as one of 16 or 8 steps is much to give away.
var precisions = map[string]precision{
	"int8":   {dtype: model.Int8, lo: -127, hi: 127, scaled: true, opset: minOpset, ir: minIR},
	"nested": {dtype: model.Int8, lo: -nestedMost, hi: nestedMost, scaled: true, opset: minOpset, ir: minIR},
	"int4":   {dtype: model.Int4, lo: -8, hi: 7, scaled: true, opset: 21, ir: 10},
	"int3":   {dtype: model.Int4, lo: -4, hi: 3, scaled: true, opset: 21, ir: 10},
	"int2":   {dtype: model.Int4, lo: -2, hi: 1, scaled: true, opset: 21, ir: 10},
	"fp8":    {dtype: model.Float8E4M3FN, lo: -448, hi: 448, scaled: true, opset: 19, ir: 9},
	"e5m2":   {dtype: model.Float8E5M2, lo: -57344, hi: 57344, scaled: true, opset: 19, ir: 9},
	"fp16":   {dtype: model.Float16, most: 65504, opset: minOpset, ir: minIR},
	"bf16":   {dtype: model.BFloat16, most: math.MaxFloat32, opset: minOpset, ir: minIR},
}

// nestedMost is the largest int8 weight whose upper half is at most 7; that of its negative is -7.
const nestedMost = 119

// nested reports whether the upper halves of the integers are used alone, too.
func (p precision) nested() bool { return p.dtype == model.Int8 && p.hi == nestedMost }

// blockOpset is where DequantizeLinear got blocks; blockIR is what that opset came with.
const blockOpset, blockIR = 21, 10

// grid says which step each weight has: weight = step * integer in [lo, hi].
type grid struct {
	lo, hi int
	scale  []float32
	shape  []int // of the scales as a tensor
	axis   int   // along which they change; -1: one scale for the whole weight
	block  int   // indices of axis that share a scale, all other axes keep theirs; 0: one scale for each index of axis
	length int   // of axis
	inner  int   // elements behind axis
	blocks int   // along axis
}

// newGrid spreads the steps of each channel, or of each block, from zero to its largest weight. Floor, where it is not
// nil, is the least scale of each channel. Blocks lie along the axis reduced, which sums run over.
func newGrid(w *model.Tensor, p precision, axis, reduced, block int, perChannel bool, floor []float64) *grid {
	g := &grid{lo: p.lo, hi: p.hi, axis: axis}
	if block > 0 && w.Shape[reduced] > block {
		g.axis, g.block = reduced, block
	}
	g.length, g.inner, g.blocks = w.Shape[g.axis], 1, w.Shape[g.axis]
	for _, d := range w.Shape[g.axis+1:] {
		g.inner *= d
	}
	n := g.length
	g.shape = []int{n}
	if g.block > 0 {
		g.blocks = (g.length + block - 1) / block
		n = w.Len() / g.length * g.blocks
		g.shape = append([]int(nil), w.Shape...)
		g.shape[g.axis] = g.blocks
	}
	step := make([]float64, n)
	for i, x := range model.Data[float32](w) {
		s := float64(x) / float64(g.hi)
		if x < 0 {
			s = float64(x) / float64(g.lo)
		}
		k := g.index(i)
		step[k] = math.Max(step[k], s)
	}
	all := 0.0
	g.scale = make([]float32, n)
	for k, s := range step {
		if floor != nil && g.block == 0 {
			s = math.Max(s, floor[k])
		}
		if !(s >= 1e-30) { // zeros, or too small to divide by
			s = 0
		}
		all = math.Max(all, s)
		g.scale[k] = float32(s)
	}
	if !perChannel && g.block == 0 {
		g.scale, g.shape, g.axis = []float32{float32(all)}, nil, -1
	}
	for k := range g.scale {
		if g.scale[k] == 0 {
			g.scale[k] = 1
		}
	}
	return g
}

// index is the scale of element i.
func (g *grid) index(i int) int {
	switch {
	case g.axis < 0:
		return 0
	case g.block == 0:
		return i / g.inner % g.length
	}
	at := i / g.inner
	return (at/g.length*g.blocks+at%g.length/g.block)*g.inner + i%g.inner
}

// nearest is the integer next to w on the step s, ties to even.
func (g *grid) nearest(w, s float32) int8 {
	r := math.RoundToEven(float64(w / s))
	return int8(min(max(r, float64(g.lo)), float64(g.hi)))
}

// round gives the nearest integer of every weight.
func (g *grid) round(w *model.Tensor) []int8 {
	out := make([]int8, w.Len())
	for i, x := range model.Data[float32](w) {
		out[i] = g.nearest(x, g.scale[g.index(i)])
	}
	return out
}

// pack stores integers as the type of p.
func (p precision) pack(q []int8, shape []int) *model.Tensor {
	t := model.NewTensor(p.dtype, shape...)
	for i, v := range q {
		t.SetInt64(i, int64(v))
	}
	return t
}

// float8 stores w by the scales of g as 8-bit floats.
func (p precision) float8(w *model.Tensor, g *grid) *model.Tensor {
	t := model.NewTensor(p.dtype, w.Shape...)
	for i, x := range model.Data[float32](w) {
		t.Raw[i] = model.F32ToF8(p.dtype, x/g.scale[g.index(i)], true)
	}
	return t
}

// cast stores w as 16-bit floats; fail.Invalid where one is too large.
func (p precision) cast(w *model.Tensor) (*model.Tensor, error) {
	t := model.NewTensor(p.dtype, w.Shape...)
	for i, x := range model.Data[float32](w) {
		if math.Abs(float64(x)) > p.most {
			return nil, fail.New(fail.Invalid, "%v at element %d is beyond %s", x, i, p.dtype)
		}
		t.SetFloat64(i, float64(x))
	}
	return t, nil
}
