package tflite

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// exports is the one list of operators that are written.
var exports = map[string]func(*exporter, *step) error{
	"QuantizeLinear": exportQuantize, "DequantizeLinear": exportDequantize,
	"Conv": exportConv, "fettle:Conv": exportConv, "Gemm": exportGemm, "fettle:Gemm": exportGemm, "MatMul": exportMatMul, "fettle:MatMul": exportMatMul,
	"MaxPool": exportPool, "AveragePool": exportPool, "GlobalAveragePool": exportReduce(opMean), "GlobalMaxPool": exportReduce(opReduceMax),
	"ReduceMean": exportReduce(opMean), "ReduceMax": exportReduce(opReduceMax), "ReduceMin": exportReduce(opReduceMin), "ReduceSum": exportReduce(opSum),
	"Add": exportBinary(opAdd, tagAdd), "fettle:Add": exportBinary(opAdd, tagAdd), "Sub": exportBinary(opSub, tagSub), "Mul": exportBinary(opMul, tagMul),
	"Div": exportBinary(opDiv, tagDiv), "Pow": exportBinary(opPow, 0), "Max": exportBinary(opMaximum, 0), "Min": exportBinary(opMinimum, 0),
	"Relu": exportUnary(opRelu), "Sigmoid": exportUnary(opLogistic), "Tanh": exportUnary(opTanh), "HardSwish": exportUnary(opHardSwish), "Elu": exportUnary(opElu),
	"LeakyRelu": exportUnary(opLeakyRelu), "Exp": exportUnary(opExp), "Log": exportUnary(opLog), "Sqrt": exportUnary(opSqrt), "Neg": exportUnary(opNeg), "Abs": exportUnary(opAbs),
	"Sin": exportUnary(opSin), "Cos": exportUnary(opCos), "Floor": exportUnary(opFloor), "Ceil": exportUnary(opCeil), "Gelu": exportUnary(opGelu),
	"Clip": exportClip, "PRelu": exportPrelu, "Softmax": exportSoftmax, "LogSoftmax": exportSoftmax, "BatchNormalization": exportNorm, "LayerNormalization": exportLayerNorm,
	"Reshape": exportReshape, "Flatten": exportReshape, "Squeeze": exportReshape, "Unsqueeze": exportReshape, "Identity": exportIdentity, "Dropout": exportIdentity,
	"Transpose": exportTranspose, "Concat": exportConcat, "Pad": exportPad, "Resize": exportResize, "Upsample": exportResize, "Slice": exportSlice, "Split": exportSplit,
	"Gather": exportGather, "Cast": exportCast, "DepthToSpace": exportDepthToSpace,
}

// carries are the operators whose table of options has a field for an activation function.
var carries = map[string]bool{"Conv": true, "Gemm": true, "MatMul": true, "Add": true, "Sub": true, "Mul": true, "Div": true, "MaxPool": true, "AveragePool": true}

// prepare finds the activation function that goes into the node's own operator and what the result is to be.
func (e *exporter) prepare(st *step) {
	st.out = st.n.Outputs[0]
	if st.n.Domain == "fettle" {
		kind := st.n.Str("activation", "none")
		lo, hi := st.n.Float("min", -math.MaxFloat32), st.n.Float("max", math.MaxFloat32)
		if kind == "relu" {
			lo, hi = 0, math.MaxFloat32
		}
		var ok bool
		if st.act, ok = clipAct(lo, hi); kind != "none" && (kind != "relu" && kind != "clip" || !ok) {
			st.act, st.post = actNone, kind
		}
	} else if carries[st.n.Op] && st.n.Domain == "" {
		if u := e.activation(st.out); u != nil {
			lo, hi, _ := e.bounds(u)
			st.act, _ = clipAct(lo, hi)
			st.out = u.Outputs[0]
			e.done[u.ID] = true
		}
	}
	st.grid = e.wanted(st.out)
}

// activation is the only reader of a value if it is an activation function that the format can put into the operator in front.
func (e *exporter) activation(name string) *model.Node {
	users := e.g.Users(name)
	if len(users) != 1 || e.g.Output(name) != nil {
		return nil
	}
	lo, hi, ok := e.bounds(users[0])
	if _, known := clipAct(lo, hi); !ok || !known {
		return nil
	}
	return users[0]
}

// bounds are between what a Relu or Clip keeps values.
func (e *exporter) bounds(n *model.Node) (lo, hi float32, ok bool) {
	lo, hi = -math.MaxFloat32, math.MaxFloat32
	switch opName(n) {
	case "Relu":
		return 0, hi, true
	case "Clip":
	default:
		return lo, hi, false
	}
	lo, hi = n.Float("min", lo), n.Float("max", hi)
	for i, to := range []*float32{nil, &lo, &hi} {
		if i == 0 || i >= len(n.Inputs) || n.Inputs[i] == "" {
			continue
		}
		t := e.facts.Consts[n.Inputs[i]]
		if t == nil || t.Len() != 1 || !t.DType.Float() {
			return lo, hi, false
		}
		*to = float32(t.Float64At(0))
	}
	return lo, hi, true
}

// clipAct is the activation function that keeps values between lo and hi.
func clipAct(lo, hi float32) (int8, bool) {
	open := hi >= math.MaxFloat32
	switch {
	case lo == 0 && open:
		return actRelu, true
	case lo == 0 && hi == 6:
		return actRelu6, true
	case lo == -1 && hi == 1:
		return actReluN1, true
	}
	return actNone, lo <= -math.MaxFloat32 && open
}

// integers reports whether the step works on integers: all that it reads and its result are on grids of one type. A step between integers
// that does not is told in the notes.
func (e *exporter) integers(st *step, vals ...*value) bool {
	ok, some := st.grid != nil && st.post == "", false
	for _, v := range vals {
		if v == nil {
			continue
		}
		g := v.grid
		if g == nil {
			g = v.byteGrid()
		}
		some = some || v.grid != nil
		if g == nil || st.grid == nil || g.dtype != st.grid.dtype {
			ok = false
		}
	}
	if some && !ok {
		e.floats = append(e.floats, st.n.Label())
	}
	return ok && some
}

// add appends the operator that makes the step's result, in the layout last, and whatever brings it into the value's own layout. g is the
// grid of the result, nil for floats.
func (e *exporter) add(st *step, o operator, g *grid, last bool) (*value, error) {
	dims, err := e.dims(st.out)
	if err != nil {
		return nil, err
	}
	v := &value{name: st.out, dims: dims, last: e.last[st.out], plain: none, ints: none, other: [2]int32{none, none}, grid: g}
	t := tensor{name: st.out, shape: stored(dims, last), quant: g.quant()}
	if g != nil {
		t.dtype = g.dtype
	} else if t.dtype, err = e.dtype(st.out); err != nil {
		return nil, err
	}
	at := e.tensor(t)
	o.outputs = []int32{at}
	o.version = max(o.version, opVersion(o.code, g))
	e.f.ops = append(e.f.ops, o)
	if len(dims) == 4 && last != v.last {
		t.shape = stored(dims, v.last)
		to := e.tensor(t)
		e.f.tensors[at].name += suffix(last)
		e.relay(at, to, dims, v.last, g)
		at = to
	}
	if g != nil {
		v.ints = at
	} else {
		v.plain = at
	}
	e.vals[st.out] = v
	if st.post != "" {
		return v, e.after(st, v)
	}
	return v, nil
}

// after writes the activation function of one of our fused layers that the format has an operator of its own for.
func (e *exporter) after(st *step, v *value) error {
	post := st.post
	st.post = ""
	x := v.plain
	next := func(c code, tag uint8, o options, in ...int32) int32 {
		t := e.f.tensors[x]
		t.name = st.out
		e.f.tensors[v.plain].name = st.out + "_linear"
		to := e.tensor(t)
		e.op(c, 1, in, []int32{to}, tag, o)
		return to
	}
	switch post {
	case "sigmoid":
		v.plain = next(opLogistic, 0, nil, x)
	case "silu":
		s := next(opLogistic, 0, nil, x)
		e.f.tensors[s].name = st.out + "_sigmoid"
		v.plain = next(opMul, tagMul, options{0: int8(actNone)}, x, s)
	case "hardswish":
		v.plain = next(opHardSwish, 0, nil, x)
	case "leakyrelu":
		v.plain = next(opLeakyRelu, tagLeakyRelu, options{0: st.n.Float("alpha", 0.01)}, x)
	case "gelu":
		v.plain = next(opGelu, 0, nil, x)
	case "clip":
		lo := e.floatConst("min", st.n.Float("min", -math.MaxFloat32))
		hi := e.floatConst("max", st.n.Float("max", math.MaxFloat32))
		y := next(opMaximum, 0, nil, x, lo)
		v.plain = next(opMinimum, 0, nil, y, hi)
	default:
		return fail.New(fail.Unsupported, "the activation function %q has no counterpart", post).At(st.where())
	}
	return nil
}

func (e *exporter) floatConst(name string, v float32) int32 {
	return e.tensor(tensor{name: name, shape: []int32{}, dtype: typeFloat32, data: model.Scalar32(v).Raw})
}

// opVersion is the version of an operator that knows the integers of grid g.
func opVersion(c code, g *grid) int32 {
	dtype := int8(typeFloat32)
	if g != nil {
		dtype = g.dtype
	}
	if c == opGelu || c == opHardSwish || c == opReshape || c == opQuantize {
		return 1
	}
	wide := map[code]int32{opConv: 4, opDepthwise: 5, opFullyConnected: 7, opAdd: 4, opMul: 4, opSub: 5, opMaxPool: 3, opAveragePool: 3, opMean: 3, opResizeBilinear: 4}
	bytes := map[code]int32{opConv: 3, opDepthwise: 3, opFullyConnected: 4}
	switch dtype {
	case typeInt16:
		if n := wide[c]; n > 0 {
			return n
		}
		return 3
	case typeInt8:
		if n := bytes[c]; n > 0 {
			return n
		}
		return 2
	}
	return 1
}
