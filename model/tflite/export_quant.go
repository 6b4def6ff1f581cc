package tflite

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// fixed are the grids that the format prescribes for what these operators make.
var fixed = map[code]grid{opLogistic: {typeInt8, 1.0 / 256, -128}, opTanh: {typeInt8, 1.0 / 128, 0}, opSoftmax: {typeInt8, 1.0 / 256, -128}}

// scalars reads the scale and the zero point of a QuantizeLinear or DequantizeLinear.
func (e *exporter) scales(n *model.Node) (scale []float32, zero []int64, dt model.DType, ok bool) {
	if len(n.Inputs) < 2 || n.Int("block_size", 0) != 0 {
		return nil, nil, 0, false
	}
	s := e.facts.Consts[n.Inputs[1]]
	if s == nil || s.DType != model.Float32 || len(s.Shape) > 1 {
		return nil, nil, 0, false
	}
	scale = append(scale, model.Data[float32](s)...)
	zero, dt = make([]int64, len(scale)), model.Uint8
	if len(n.Inputs) < 3 || n.Inputs[2] == "" {
		if n.Op == "DequantizeLinear" {
			dt = e.facts.Types[n.Inputs[0]].DType
		}
		return scale, zero, dt, true
	}
	z := e.facts.Consts[n.Inputs[2]]
	if z == nil || z.Len() != len(scale) {
		return nil, nil, 0, false
	}
	for i := range zero {
		zero[i] = z.Int64At(i)
	}
	return scale, zero, z.DType, true
}

// gridOf is the grid of a whole tensor that a QuantizeLinear or DequantizeLinear names, nil where there is none that the format has.
// Bytes from 0 to 255 become those from -128 to 127.
func (e *exporter) gridOf(n *model.Node) *grid {
	if n.Domain != "" || n.Op != "QuantizeLinear" && n.Op != "DequantizeLinear" {
		return nil
	}
	scale, zero, dt, ok := e.scales(n)
	if !ok || len(scale) != 1 {
		return nil
	}
	switch dt {
	case model.Uint8:
		return &grid{typeInt8, scale[0], zero[0] - 128}
	case model.Int8:
		return &grid{typeInt8, scale[0], zero[0]}
	case model.Int16:
		if zero[0] == 0 {
			return &grid{typeInt16, scale[0], 0}
		}
	}
	return nil
}

// wanted is the grid on which all readers of a value want it, nil where one reads floats.
func (e *exporter) wanted(name string) *grid {
	if e.g.Output(name) != nil {
		if r, ok := e.facts.Ranges[name]; ok && len(e.g.Users(name)) == 0 {
			return rangeGrid(r)
		}
		return nil
	}
	var g *grid
	for _, u := range e.g.Users(name) {
		o := e.gridOf(u)
		if o == nil || u.Op != "QuantizeLinear" || g != nil && *g != *o {
			return nil
		}
		g = o
	}
	return g
}

func rangeGrid(r [2]float32) *grid {
	lo, hi := min(float64(r[0]), 0), max(float64(r[1]), 0)
	scale := max((hi-lo)/255, 1e-9)
	return &grid{typeInt8, float32(scale), int64(math.Round(-128 - lo/scale))}
}

// free reports whether nobody looks at the integers of a value themselves, so that another grid may stand for the one in the model.
func (e *exporter) free(name string) bool {
	for _, q := range e.g.Users(name) {
		if e.g.Output(q.Outputs[0]) != nil {
			return false
		}
		for _, u := range e.g.Users(q.Outputs[0]) {
			if u.Op != "DequantizeLinear" {
				return false
			}
		}
	}
	return true
}

func exportQuantize(e *exporter, st *step) error {
	g := e.gridOf(st.n)
	if g == nil {
		return st.unsupported("scales along a dimension of a computed value, or integers other than uint8, int8 and int16 around 0, have no counterpart")
	}
	v, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	// The layer in front has done it, on this grid or on the one that the format prescribes.
	if v.grid != nil && v.ints != none && (v.grid.same(g) || e.free(v.name)) {
		e.vals[st.n.Outputs[0]] = v
		return nil
	}
	in, version := v.plain, int32(1)
	if v.ints != none {
		in, version = v.ints, 2
	}
	if in == none {
		in = e.in(v, false, v.last)
	}
	out := &value{name: st.n.Outputs[0], dims: v.dims, last: v.last, plain: none, other: [2]int32{none, none}, grid: g, hwc: v.hwc}
	out.ints = e.tensor(tensor{name: out.name, shape: stored(v.dims, v.last), dtype: g.dtype, quant: g.quant()})
	e.op(opQuantize, version, []int32{in}, []int32{out.ints}, 0, nil)
	e.vals[out.name] = out
	return nil
}

func exportDequantize(e *exporter, st *step) error {
	in, out := st.n.Inputs[0], st.n.Outputs[0]
	if t := e.facts.Consts[in]; t != nil {
		scale, zero, _, ok := e.scales(st.n)
		if !ok {
			return st.unsupported("blocks of a constant with a scale each have no counterpart")
		}
		a := int(st.n.Int("axis", 1))
		if a < 0 {
			a += len(t.Shape)
		}
		if len(scale) > 1 && (a < 0 || a >= len(t.Shape) || t.Shape[a] != len(scale)) {
			return fail.New(fail.Invalid, "%d scales along dimension %d of %v", len(scale), a, t.Shape)
		}
		e.vals[out] = &value{name: out, dims: t.Shape, plain: none, ints: none, other: [2]int32{none, none}, raw: &packedConst{t, scale, zero, a}}
		return nil
	}
	v, err := e.value(in)
	if err != nil {
		return err
	}
	if v.grid == nil || v.ints == none {
		return st.unsupported("its input is no value on a grid of the whole tensor")
	}
	if v.plain == none {
		v.name = out // what a DEQUANTIZE makes is called so
	}
	e.vals[out] = v
	return nil
}

// floats is a constant in floats.
func (p *packedConst) floats() *model.Tensor {
	out := model.NewTensor(model.Float32, p.t.Shape...)
	d := model.Data[float32](out)
	inner := 1
	for _, n := range p.t.Shape[min(p.axis+1, len(p.t.Shape)):] {
		inner *= n
	}
	for i := range d {
		c := 0
		if len(p.scale) > 1 {
			c = i / inner % len(p.scale)
		}
		d[i] = float32(p.t.Int64At(i)-p.zero[c]) * p.scale[c]
	}
	return out
}

// signed is a constant of bytes around 0 as int8, nil where it is something else: the format's weights have no zero point.
func (p *packedConst) signed() *model.Tensor {
	shift := int64(0)
	switch p.t.DType {
	case model.Uint8:
		shift = 128
	case model.Int8:
	default:
		return nil
	}
	for _, z := range p.zero {
		if z != shift {
			return nil
		}
	}
	if shift == 0 {
		return p.t
	}
	return p.moved(shift)
}

// moved is a constant of bytes, each smaller by shift.
func (p *packedConst) moved(shift int64) *model.Tensor {
	out := model.NewTensor(model.Int8, p.t.Shape...)
	d := model.Data[int8](out)
	for i := range d {
		d[i] = int8(p.t.Int64At(i) - shift)
	}
	return out
}

// tensorOf is the constant in floats, or what it is if it holds no floats.
func (v *value) tensorOf() *model.Tensor {
	if v.data == nil && v.raw != nil {
		v.data = v.raw.floats()
	}
	t := v.data
	if t != nil && t.DType.Float() && t.DType != model.Float32 {
		t = model.NewTensor(model.Float32, v.data.Shape...)
		for i := range t.Len() {
			t.SetFloat64(i, v.data.Float64At(i))
		}
	}
	return t
}

// byteGrid is the grid of a constant of bytes with one scale, nil for other values.
func (v *value) byteGrid() *grid {
	p := v.raw
	if p == nil || len(p.scale) != 1 {
		return nil
	}
	switch p.t.DType {
	case model.Uint8:
		return &grid{typeInt8, p.scale[0], p.zero[0] - 128}
	case model.Int8:
		return &grid{typeInt8, p.scale[0], p.zero[0]}
	}
	return nil
}

// constant makes the tensor of a constant.
func (e *exporter) constant(v *value, ints bool) int32 {
	if ints {
		shift := int64(0)
		if v.raw.t.DType == model.Uint8 {
			shift = 128
		}
		v.grid = v.byteGrid()
		return e.tensor(tensor{name: v.name, shape: stored(v.dims, false), dtype: typeInt8, data: v.raw.moved(shift).Raw, quant: v.grid.quant()})
	}
	t := v.tensorOf()
	dt, ok := e.dtypeOf(t)
	if !ok || t.DType == model.String {
		e.refuse(fail.New(fail.Unsupported, "constants of type %s are not written", t.DType).At(fail.Where{Tensor: v.name}))
	}
	return e.tensor(tensor{name: v.name, shape: stored(v.dims, false), dtype: dt, data: raw(t)})
}

func (e *exporter) dtypeOf(t *model.Tensor) (int8, bool) {
	for k, v := range dtypes {
		if v == t.DType {
			return k, true
		}
	}
	return 0, false
}

// raw is never nil: an empty constant is one all the same.
func raw(t *model.Tensor) []byte {
	if t.Raw == nil {
		return []byte{}
	}
	return t.Raw
}
