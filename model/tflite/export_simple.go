package tflite

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// byteUnary are the functions of one value that the format computes on bytes, and with wide also on 16 bits.
var byteUnary = map[code]struct{ wide bool }{opRelu: {}, opLogistic: {true}, opTanh: {true}, opHardSwish: {}, opLeakyRelu: {true}}

func exportUnary(c code) func(*exporter, *step) error {
	return func(e *exporter, st *step) error {
		x, err := e.value(st.n.Inputs[0])
		if err != nil {
			return err
		}
		o := operator{code: c}
		if c == opLeakyRelu {
			o.tag, o.options = tagLeakyRelu, options{0: st.n.Float("alpha", 0.01)}
		}
		if c == opElu && st.n.Float("alpha", 1) != 1 {
			return st.unsupported("alpha is %g, the format has 1", st.n.Float("alpha", 1))
		}
		kind, inBytes := byteUnary[c]
		g := e.result(st, o.code, inBytes && (st.grid == nil || st.grid.dtype == typeInt8 || kind.wide), x)
		o.inputs = []int32{e.in(x, g != nil, x.last)}
		_, err = e.add(st, o, g, x.last)
		return err
	}
}

// result is the grid that a step puts its result on: the one wanted, or the one that the format prescribes for the operator.
func (e *exporter) result(st *step, c code, inBytes bool, vals ...*value) *grid {
	if !inBytes {
		e.integers(&step{n: st.n}, vals...) // for the notes
		return nil
	}
	if !e.integers(st, vals...) {
		return nil
	}
	if f, ok := fixed[c]; ok {
		if st.grid.dtype == typeInt16 {
			f = grid{typeInt16, 1.0 / 32768, 0}
		}
		if c == opSoftmax || c == opLogistic || c == opTanh {
			return &f
		}
	}
	return st.grid
}

func exportBinary(c code, tag uint8) func(*exporter, *step) error {
	return func(e *exporter, st *step) error {
		in, err := e.inputs(st.n)
		if err != nil {
			return err
		}
		dims, err := e.dims(st.out)
		if err != nil {
			return err
		}
		if len(in) == 1 {
			return exportIdentity(e, st)
		}
		if st.act != actNone && tag == 0 {
			return fail.New(fail.Internal, "an activation function on an operator without options")
		}
		last := e.last[st.out]
		rest := in[1:]
		a := in[0]
		for i, b := range rest {
			own := *st
			final := i == len(rest)-1
			if !final { // Max and Min of several: one after the other
				own.out, own.act, own.grid = st.out, actNone, nil
			}
			ints := tag != 0 && c != opDiv && c != opPow
			var g *grid
			if ints && final && len(rest) == 1 {
				g = e.result(&own, c, true, a, b)
			} else {
				e.integers(&step{n: st.n}, a, b)
			}
			o := operator{code: c, tag: tag, inputs: []int32{e.operand(a, g != nil, last, len(dims)), e.operand(b, g != nil, last, len(dims))}}
			if tag != 0 {
				o.options = options{0: own.act}
			}
			if c == opMul && g != nil && g.dtype == typeInt8 && stepOf(a)*stepOf(b) >= float64(g.scale) {
				o.version = 3 // multipliers of 1 and more
			}
			if a, err = e.add(&own, o, g, last); err != nil {
				return err
			}
		}
		return nil
	}
}

func stepOf(v *value) float64 {
	if v.grid != nil {
		return float64(v.grid.scale)
	}
	return float64(v.byteGrid().scale)
}

// operand is an input of an operator that broadcasts, with its dimensions where those of the result are.
func (e *exporter) operand(v *value, ints, last bool, rank int) int32 {
	if rank != 4 {
		return e.in(v, ints, false)
	}
	if len(v.dims) == 4 && v.data == nil && v.raw == nil {
		return e.in(v, ints, last)
	}
	return e.picture(v, ints, last)
}

func exportClip(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	lo, hi, ok := e.bounds(st.n)
	if !ok || !e.facts.Types[st.out].DType.Float() {
		return st.unsupported("its bounds are computed, or integers")
	}
	if act, ok := clipAct(lo, hi); ok && act != actNone {
		c := map[int8]code{actRelu: opRelu, actRelu6: opRelu6, actReluN1: opReluN1To1}[act]
		g := e.result(st, c, act != actReluN1, x)
		_, err = e.add(st, operator{code: c, inputs: []int32{e.in(x, g != nil, x.last)}}, g, x.last)
		return err
	}
	e.integers(&step{n: st.n}, x)
	low := *st
	v, err := e.add(&low, operator{code: opMaximum, inputs: []int32{e.in(x, false, x.last), e.floatConst("min", lo)}}, nil, x.last)
	if err != nil {
		return err
	}
	_, err = e.add(st, operator{code: opMinimum, inputs: []int32{v.plain, e.floatConst("max", hi)}}, nil, x.last)
	return err
}

func exportPrelu(e *exporter, st *step) error {
	in, err := e.inputs(st.n)
	if err != nil {
		return err
	}
	x, slope := in[0], in[1]
	if slope.data == nil && slope.raw == nil || len(slope.dims) > len(x.dims) {
		return st.unsupported("its slopes are computed")
	}
	e.integers(&step{n: st.n}, x)
	rank := len(x.dims)
	o := operator{code: opPrelu, inputs: []int32{e.in(x, false, x.last), e.operand(slope, false, x.last, rank)}}
	t := e.f.tensors[o.inputs[1]]
	if len(t.shape) == rank { // without the batch
		if t.shape[0] != 1 {
			return st.unsupported("a slope for each item of the batch has no counterpart")
		}
		t.shape = t.shape[1:]
		o.inputs[1] = e.tensor(t)
	}
	_, err = e.add(st, o, nil, x.last)
	return err
}

func exportSoftmax(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	rank := len(x.dims)
	def := int64(-1)
	if e.m.Opset("") < 13 {
		def = 1
	}
	a, err := dimension(st.n.Int("axis", def), rank)
	if err != nil {
		return err
	}
	if e.m.Opset("") < 13 {
		for _, d := range x.dims[min(a+1, rank):] {
			if d != 1 {
				return st.unsupported("a softmax over several dimensions (before opset 13) has no counterpart")
			}
		}
	}
	last := x.last
	if last && a != 1 {
		last = false
	}
	if axisOf(a, last, rank) != rank-1 {
		return st.unsupported("a softmax over dimension %d of %d has no counterpart", a, rank)
	}
	o := operator{code: opSoftmax, tag: tagSoftmax, options: options{0: float32(1)}}
	if st.n.Op == "LogSoftmax" {
		o = operator{code: opLogSoftmax}
	}
	g := e.result(st, o.code, o.code == opSoftmax && (st.grid == nil || st.grid.dtype == typeInt8), x)
	o.inputs = []int32{e.in(x, g != nil, last)}
	_, err = e.add(st, o, g, last)
	return err
}

func exportReduce(c code) func(*exporter, *step) error {
	return func(e *exporter, st *step) error {
		x, err := e.value(st.n.Inputs[0])
		if err != nil {
			return err
		}
		rank := len(x.dims)
		axes, keep := st.n.Ints("axes"), st.n.Int("keepdims", 1) != 0
		if l, err := e.numbers(st, 1); err != nil {
			return err
		} else if l != nil {
			axes = l
		}
		if st.n.Op == "GlobalAveragePool" || st.n.Op == "GlobalMaxPool" {
			for a := 2; a < rank; a++ {
				axes = append(axes, int64(a))
			}
		} else if len(axes) == 0 {
			if st.n.Int("noop_with_empty_axes", 0) != 0 {
				return exportIdentity(e, st)
			}
			for a := range rank {
				axes = append(axes, int64(a))
			}
		}
		over := make([]bool, rank)
		for _, a := range axes {
			d, err := dimension(a, rank)
			if err != nil {
				return err
			}
			over[d] = true
		}
		// Without its height and width a picture has the same order of dimensions in both layouts.
		last := x.last && rank == 4 && (keep || over[2] && over[3] || over[1] && !over[0] && !over[2] && !over[3])
		var list []int32
		for d := range rank {
			at := -1
			for o := range rank {
				if axisOf(o, last, rank) == d {
					at = o
				}
			}
			if over[at] {
				list = append(list, int32(d))
			}
		}
		g := e.result(st, c, c == opMean, x)
		if c == opReduceMax && x.ints != none {
			g = through(x)
		}
		o := operator{code: c, tag: tagReducer, inputs: []int32{e.in(x, g != nil, last), e.ints32("axes", list...)}, options: options{0: keep}}
		_, err = e.add(st, o, g, last)
		return err
	}
}

// exportNorm writes a batch normalisation that stands for itself as a product and a sum of constants.
func exportNorm(e *exporter, st *step) error {
	in, err := e.inputs(st.n)
	if err != nil {
		return err
	}
	if len(st.n.Outputs) > 1 && st.n.Outputs[1] != "" || len(in) < 5 {
		return st.unsupported("a normalisation that is being trained has no counterpart")
	}
	x := in[0]
	if len(x.dims) < 2 {
		return st.unsupported("a normalisation of %d dimensions has no counterpart", len(x.dims))
	}
	c := x.dims[1]
	var part [4]*model.Tensor
	for i := range part {
		if part[i] = in[i+1].tensorOf(); part[i] == nil || part[i].Len() != c {
			return st.unsupported("its constants are computed")
		}
	}
	scale, shift := model.NewTensor(model.Float32, c), model.NewTensor(model.Float32, c)
	eps := float64(st.n.Float("epsilon", 1e-5))
	for i := range c {
		k := part[0].Float64At(i) / math.Sqrt(part[3].Float64At(i)+eps)
		scale.SetFloat64(i, k)
		shift.SetFloat64(i, part[1].Float64At(i)-part[2].Float64At(i)*k)
	}
	e.integers(&step{n: st.n}, x)
	shape := make([]int, len(x.dims)-1)
	for i := range shape {
		shape[i] = 1
	}
	shape[0] = c
	at := func(name string, t *model.Tensor) int32 {
		v := &value{name: st.out + name, dims: shape, plain: none, ints: none, other: [2]int32{none, none}, data: t.Reshaped(shape...)}
		return e.operand(v, false, x.last, len(x.dims))
	}
	first := *st
	y, err := e.add(&first, operator{code: opMul, tag: tagMul, inputs: []int32{e.in(x, false, x.last), at("_scale", scale)}, options: options{0: int8(actNone)}}, nil, x.last)
	if err != nil {
		return err
	}
	_, err = e.add(st, operator{code: opAdd, tag: tagAdd, inputs: []int32{y.plain, at("_shift", shift)}, options: options{0: int8(actNone)}}, nil, x.last)
	return err
}

// exportLayerNorm spells a normalisation over the last dimension out: the format has none.
func exportLayerNorm(e *exporter, st *step) error {
	in, err := e.inputs(st.n)
	if err != nil {
		return err
	}
	x := in[0]
	rank := len(x.dims)
	a, err := dimension(st.n.Int("axis", -1), rank)
	if err != nil {
		return err
	}
	if a != rank-1 || len(st.n.Outputs) > 1 && st.n.Outputs[1] != "" {
		return st.unsupported("a normalisation over several dimensions, or one that gives its mean, has no counterpart")
	}
	e.integers(&step{n: st.n}, x)
	at := e.in(x, false, false)
	full := stored(x.dims, false)
	row := append([]int32{}, full...)
	row[rank-1] = 1
	next := func(name string, shape []int32, c code, tag uint8, o options, in ...int32) int32 {
		to := e.tensor(tensor{name: st.out + name, shape: shape, dtype: typeFloat32})
		e.op(c, 1, in, []int32{to}, tag, o)
		return to
	}
	plain := options{0: int8(actNone)}
	axes := e.ints32("axes", int32(rank-1))
	mean := next("_mean", row, opMean, tagReducer, options{0: true}, at, axes)
	d := next("_centred", full, opSub, tagSub, plain, at, mean)
	square := next("_square", full, opMul, tagMul, plain, d, d)
	variance := next("_variance", row, opMean, tagReducer, options{0: true}, square, axes)
	safe := next("_safe", row, opAdd, tagAdd, plain, variance, e.floatConst("epsilon", st.n.Float("epsilon", 1e-5)))
	inverse := next("_inverse", row, opRsqrt, 0, nil, safe)
	y := next("_normal", full, opMul, tagMul, plain, d, inverse)
	last := operator{code: opMul, tag: tagMul, inputs: []int32{y, e.in(in[1], false, false)}, options: plain}
	if len(in) > 2 && in[2] != nil {
		y = next("_scaled", full, opMul, tagMul, plain, last.inputs...)
		last = operator{code: opAdd, tag: tagAdd, inputs: []int32{y, e.in(in[2], false, false)}, options: plain}
	}
	_, err = e.add(st, last, nil, false)
	return err
}
