package tflite

import (
	"math"
	"slices"

	"fettle/internal/fail"
	"fettle/model"
)

// through is the grid on which a step passes values on: operators that only move them keep what they read.
func through(v *value) *grid {
	if v.ints != none {
		return v.grid
	}
	return nil
}

func exportIdentity(e *exporter, st *step) error {
	if len(st.n.Outputs) > 1 && st.n.Outputs[1] != "" || len(st.n.Inputs) > 2 {
		return st.unsupported("what was dropped has no counterpart")
	}
	v, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	e.vals[st.n.Outputs[0]] = v
	return nil
}

func exportReshape(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	dims, err := e.dims(st.out)
	if err != nil {
		return err
	}
	g := through(x)
	var at int32
	flattened := false
	switch {
	case x.last && len(dims) == 2 && dims[0] == x.dims[0] && x.dims[1] > 1 && x.dims[2]*x.dims[3] > 1 && e.onlyMatrices(st.out):
		// The matrix behind gets its columns in the order of the picture instead.
		at, flattened = e.in(x, g != nil, true), true
	case x.last && (x.dims[1] == 1 || x.dims[2]*x.dims[3] == 1):
		at = e.in(x, g != nil, true)
	default:
		at = e.in(x, g != nil, false)
	}
	shape := stored(dims, false)
	v, err := e.add(st, operator{code: opReshape, tag: tagReshape, inputs: []int32{at, e.ints32("shape", shape...)}, options: options{0: shape}}, g, false)
	if flattened {
		v.hwc = x.dims[1:]
	}
	return err
}

// onlyMatrices reports whether every reader of a value multiplies it with a constant matrix, integers or not.
func (e *exporter) onlyMatrices(name string) bool {
	if e.g.Output(name) != nil {
		return false
	}
	for _, u := range e.g.Users(name) {
		switch opName(u) {
		case "QuantizeLinear", "DequantizeLinear":
			if u.Inputs[0] != name || !e.onlyMatrices(u.Outputs[0]) {
				return false
			}
		case "Gemm", "fettle:Gemm", "MatMul", "fettle:MatMul":
			w := e.vals[u.Inputs[1]]
			if u.Inputs[0] != name || u.Int("transA", 0) != 0 || e.facts.Consts[u.Inputs[1]] == nil && (w == nil || w.raw == nil) && !e.dequantized(u.Inputs[1]) {
				return false
			}
		default:
			return false
		}
	}
	return len(e.g.Users(name)) > 0
}

// dequantized reports whether a value is a constant behind a DequantizeLinear.
func (e *exporter) dequantized(name string) bool {
	p := e.g.Producer(name)
	return p != nil && opName(p) == "DequantizeLinear" && e.facts.Consts[p.Inputs[0]] != nil
}

func exportTranspose(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	perm := st.n.Ints("perm")
	if len(perm) == 0 {
		for i := range x.dims {
			perm = append(perm, int64(len(x.dims)-1-i))
		}
	}
	if len(perm) != len(x.dims) {
		return fail.New(fail.Invalid, "an order of %d dimensions for %d", len(perm), len(x.dims)).At(fail.Where{Attr: "perm"})
	}
	// The layouts of both sides go into the one order.
	g := through(x)
	at := e.in(x, g != nil, x.last)
	order := make([]int32, len(perm))
	for i := range perm {
		order[axisOf(i, e.last[st.out], len(perm))] = int32(axisOf(int(perm[i]), x.last, len(perm)))
	}
	if slices.IsSorted(order) { // nothing moves
		dims, err := e.dims(st.out)
		if err != nil {
			return err
		}
		v := &value{name: st.out, dims: dims, last: e.last[st.out], plain: none, ints: none, other: [2]int32{none, none}, grid: g}
		if g != nil {
			v.ints = at
		} else {
			v.plain = at
		}
		e.vals[st.out] = v
		return nil
	}
	o := operator{code: opTranspose, inputs: []int32{at, e.ints32("perm", order...)}}
	_, err = e.add(st, o, g, e.last[st.out])
	return err
}

func axisOf(a int, last bool, rank int) int {
	if last && rank == 4 {
		return int(axis(a, true))
	}
	return a
}

// dimension is an attribute or input that names a dimension, counted from the front.
func dimension(a int64, rank int) (int, error) {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, fail.New(fail.Invalid, "dimension %d of %d", a, rank)
	}
	return int(a), nil
}

func exportConcat(e *exporter, st *step) error {
	in, err := e.inputs(st.n)
	if err != nil {
		return err
	}
	// All parts and the result are on one grid.
	g := st.grid
	some := false
	for _, v := range in {
		o := v.grid
		if o == nil {
			o = v.byteGrid()
		}
		some = some || v.grid != nil
		if o == nil || g == nil || g.dtype != o.dtype {
			g = nil
		}
	}
	if some && g == nil {
		e.floats = append(e.floats, st.n.Label())
	}
	a, err := dimension(st.n.Int("axis", 0), len(in[0].dims))
	if err != nil {
		return err
	}
	last := e.last[st.out]
	o := operator{code: opConcatenation, tag: tagConcatenation, options: options{0: int32(axisOf(a, last, len(in[0].dims))), 1: int8(actNone)}}
	for _, v := range in {
		at := e.in(v, g != nil, last && len(v.dims) == 4)
		if v.data != nil || v.raw != nil {
			at = e.picture(v, g != nil, last)
		}
		if g != nil && !v.grid.same(g) {
			t := e.f.tensors[at]
			t.name, t.quant, t.data = v.name+"_regridded", g.quant(), nil
			to := e.tensor(t)
			e.op(opQuantize, 2, []int32{at}, []int32{to}, 0, nil)
			at = to
		}
		o.inputs = append(o.inputs, at)
	}
	_, err = e.add(st, o, g, last)
	return err
}

// picture is the tensor of a constant or value in the layout of a result of four dimensions, with dimensions of 1 in front where it has fewer.
func (e *exporter) picture(v *value, ints, last bool) int32 {
	if !last || v.last || len(v.dims) == 0 {
		return e.in(v, ints, v.last)
	}
	dims := append(slices.Repeat([]int{1}, 4-len(v.dims)), v.dims...)
	if v.data == nil && v.raw == nil {
		at := e.in(v, ints, v.last)
		if len(v.dims) < 4 {
			at = e.reshaped(at, v.name+"_4d", stored(dims, false)...)
		}
		t := e.f.tensors[at]
		t.shape, t.name = stored(dims, true), t.name+"_nhwc"
		to := e.tensor(t)
		e.relay(at, to, dims, true, v.grid)
		return to
	}
	slot := &v.other[0]
	if ints {
		slot = &v.other[1]
	}
	if *slot == none {
		t := e.f.tensors[e.in(v, ints, v.last)]
		moved := permute(&model.Tensor{DType: dtypes[t.dtype], Shape: dims, Raw: t.data}, []int{0, 2, 3, 1})
		t.shape, t.data = stored(moved.Shape, false), moved.Raw
		*slot = e.tensor(t)
	}
	return *slot
}

// numbers are the elements of a constant input of integers, nil where it is absent.
func (e *exporter) numbers(st *step, input int) ([]int64, error) {
	if input >= len(st.n.Inputs) || st.n.Inputs[input] == "" {
		return nil, nil
	}
	t := e.facts.Consts[st.n.Inputs[input]]
	if t == nil {
		return nil, st.unsupported("input %d is computed; a constant is needed", input)
	}
	out := make([]int64, t.Len())
	for i := range out {
		out[i] = t.Int64At(i)
	}
	return out, nil
}

func exportPad(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	pads := st.n.Ints("pads")
	if len(st.n.Inputs) > 1 {
		if pads, err = e.numbers(st, 1); err != nil {
			return err
		}
	}
	rank := len(x.dims)
	if axes, err := e.numbers(st, 3); err != nil {
		return err
	} else if axes != nil {
		all := make([]int64, 2*rank)
		for i, a := range axes {
			d, err := dimension(a, rank)
			if err != nil || len(pads) != 2*len(axes) {
				return fail.New(fail.Invalid, "padding for dimension %d", a)
			}
			all[d], all[rank+d] = pads[i], pads[len(axes)+i]
		}
		pads = all
	}
	if m := st.n.Str("mode", "constant"); m != "constant" || len(pads) != 2*rank {
		return st.unsupported("padding by %s has no counterpart", m)
	}
	if slices.Min(append(pads, 0)) < 0 {
		return st.unsupported("padding is negative")
	}
	fill := float64(st.n.Float("value", 0))
	if len(st.n.Inputs) > 2 && st.n.Inputs[2] != "" {
		c, err := e.value(st.n.Inputs[2])
		if err != nil {
			return err
		}
		t := c.tensorOf()
		if t == nil || t.Len() != 1 {
			return st.unsupported("the number to pad with is computed")
		}
		fill = t.Float64At(0)
	}
	g := through(x)
	if fill != 0 {
		g = nil
	}
	last := x.last
	table := make([]int32, 2*rank)
	for i := range rank {
		a := axisOf(i, last, rank)
		table[2*a], table[2*a+1] = int32(pads[i]), int32(pads[rank+i])
	}
	o := operator{code: opPad, inputs: []int32{e.in(x, g != nil, last), e.matrix("paddings", table, rank, 2)}}
	if fill != 0 {
		o.code = opPadV2
		o.inputs = append(o.inputs, e.floatConst("fill", float32(fill)))
	}
	_, err = e.add(st, o, g, last)
	return err
}

func exportSlice(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	rank := len(x.dims)
	lists := [4][]int64{st.n.Ints("starts"), st.n.Ints("ends"), st.n.Ints("axes"), nil}
	for i := range lists {
		if l, err := e.numbers(st, i+1); err != nil {
			return err
		} else if l != nil {
			lists[i] = l
		}
	}
	begin, end, step := make([]int32, rank), stored(x.dims, x.last), slices.Repeat([]int32{1}, rank)
	for _, l := range lists[1:] {
		if l != nil && len(l) != len(lists[0]) || len(lists[1]) != len(lists[0]) {
			return fail.New(fail.Invalid, "lists of different lengths")
		}
	}
	for i := range lists[0] {
		a := int64(i)
		if lists[2] != nil {
			a = lists[2][i]
		}
		d, err := dimension(a, rank)
		if err != nil {
			return err
		}
		s, n := int64(1), int64(x.dims[d])
		if lists[3] != nil {
			s = lists[3][i]
		}
		if s < 1 {
			return st.unsupported("steps backwards are not written")
		}
		at := axisOf(d, x.last, rank)
		bound := func(v int64) int32 {
			if v < 0 {
				v += n
			}
			return int32(min(max(v, 0), n))
		}
		begin[at], end[at], step[at] = bound(lists[0][i]), bound(lists[1][i]), int32(min(s, math.MaxInt32))
	}
	g := through(x)
	o := operator{code: opStridedSlice, tag: tagStridedSlice, options: options{0: int32(0), 1: int32(0)},
		inputs: []int32{e.in(x, g != nil, x.last), e.ints32("begin", begin...), e.ints32("end", end...), e.ints32("strides", step...)}}
	_, err = e.add(st, o, g, x.last)
	return err
}

func exportSplit(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	a, err := dimension(st.n.Int("axis", 0), len(x.dims))
	if err != nil {
		return err
	}
	g := through(x)
	dt, err := e.dtype(st.n.Inputs[0])
	if err != nil {
		return err
	}
	if g != nil {
		dt = g.dtype
	}
	var outs, sizes []int32
	for _, name := range st.n.Outputs {
		dims, err := e.dims(name)
		if err != nil {
			return err
		}
		v := &value{name: name, dims: dims, last: e.last[name], plain: none, ints: none, other: [2]int32{none, none}, grid: g}
		if v.last != x.last && len(dims) == 4 {
			return fail.New(fail.Internal, "parts of a picture in another order")
		}
		at := e.tensor(tensor{name: name, shape: stored(dims, v.last), dtype: dt, quant: g.quant()})
		if g != nil {
			v.ints = at
		} else {
			v.plain = at
		}
		e.vals[name] = v
		outs, sizes = append(outs, at), append(sizes, int32(dims[a]))
	}
	at := e.in(x, g != nil, x.last)
	axis := e.tensor(tensor{name: "axis", shape: []int32{}, dtype: typeInt32, data: model.FromSlice(model.Int32, []int32{int32(axisOf(a, x.last, len(x.dims)))}, 1).Raw})
	if slices.Min(sizes) == slices.Max(sizes) {
		e.op(opSplit, opVersion(opSplit, g), []int32{axis, at}, outs, tagSplit, options{0: int32(len(outs))})
		return nil
	}
	e.op(opSplitV, opVersion(opSplitV, g), []int32{at, e.ints32("sizes", sizes...), axis}, outs, tagSplitV, options{0: int32(len(outs))})
	return nil
}

func exportGather(e *exporter, st *step) error {
	in, err := e.inputs(st.n)
	if err != nil {
		return err
	}
	a, err := dimension(st.n.Int("axis", 0), len(in[0].dims))
	if err != nil {
		return err
	}
	e.integers(&step{n: st.n}, in[0])
	o := operator{code: opGather, tag: tagGather, inputs: []int32{e.in(in[0], false, false), e.in(in[1], false, false)}, options: options{0: int32(a), 1: int32(0)}}
	_, err = e.add(st, o, nil, false)
	return err
}

func exportCast(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	from, err := e.dtype(st.n.Inputs[0])
	if err != nil {
		return err
	}
	to, err := e.dtype(st.out)
	if err != nil {
		return err
	}
	o := operator{code: opCast, tag: tagCast, inputs: []int32{e.in(x, false, x.last)}, options: options{0: from, 1: to}}
	_, err = e.add(st, o, nil, x.last)
	return err
}

func exportDepthToSpace(e *exporter, st *step) error {
	x, err := e.value(st.n.Inputs[0])
	if err != nil {
		return err
	}
	if m := st.n.Str("mode", "DCR"); m != "DCR" {
		return st.unsupported("mode %s has no counterpart", m)
	}
	g := through(x)
	o := operator{code: opDepthToSpace, tag: tagDepthToSpace, inputs: []int32{e.in(x, g != nil, true)}, options: options{0: int32(st.n.Int("blocksize", 1))}}
	o.version = 1
	_, err = e.add(st, o, g, true)
	return err
}
