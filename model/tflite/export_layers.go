package tflite

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// window is how a kernel moves over the two dimensions of a picture.
type window struct {
	kernel, stride, dilation [2]int
	begin, end               [2]int // rows and columns of padding that the output needs
	same, valid              bool   // the format's own rules give exactly this
}

// window reads the attributes of a convolution or pool whose input and output have the given sizes.
func (st *step) window(kernel []int, in, out []int) (w window, err error) {
	pads := st.n.Ints("pads")
	mode := st.n.Str("auto_pad", "NOTSET")
	for i := range 2 {
		w.kernel[i], w.stride[i], w.dilation[i] = kernel[i], 1, 1
		if s := st.n.Ints("strides"); len(s) == 2 {
			w.stride[i] = int(s[i])
		}
		if d := st.n.Ints("dilations"); len(d) == 2 {
			w.dilation[i] = int(d[i])
		}
		if w.stride[i] < 1 || w.dilation[i] < 1 || w.kernel[i] < 1 {
			return w, fail.New(fail.Invalid, "strides, dilations and kernels are at least 1")
		}
		span := (w.kernel[i]-1)*w.dilation[i] + 1
		total := max((out[i]-1)*w.stride[i]+span-in[i], 0)
		switch {
		case mode == "SAME_UPPER":
			w.begin[i] = total / 2
		case mode == "SAME_LOWER":
			w.begin[i] = (total + 1) / 2
		case mode == "NOTSET" && len(pads) == 4:
			w.begin[i] = int(pads[i])
		}
		// Padding behind the last window is never read, and rounding sizes up (ceil_mode) reads more than the attributes say.
		w.end[i] = max((out[i]-1)*w.stride[i]+span-in[i]-w.begin[i], 0)
		if w.begin[i] < 0 {
			return w, st.unsupported("padding is negative")
		}
		same := out[i] == (in[i]+w.stride[i]-1)/w.stride[i] && w.begin[i] == total/2
		valid := w.begin[i] == 0 && w.end[i] == 0 && in[i] >= span && (in[i]-span)/w.stride[i]+1 == out[i]
		if i == 0 {
			w.same, w.valid = same, valid
		} else {
			w.same, w.valid = w.same && same, w.valid && valid
		}
	}
	return w, nil
}

// padded gives the tensor that the kernel reads and its kind of padding: where the format's rule for SAME does not give the node's
// padding, a PAD of its own comes in front. fill is the number to pad with, 0 for convolutions.
func (e *exporter) padded(v *value, at int32, w window, fill float32) (int32, int8) {
	switch {
	case w.valid:
		return at, padValid
	case w.same:
		return at, padSame
	}
	from := e.f.tensors[at]
	to := from
	to.name = v.name + "_padded"
	to.shape = append([]int32{}, from.shape...)
	to.data = nil
	for i := range 2 {
		to.shape[1+i] += int32(w.begin[i] + w.end[i])
	}
	var g *grid
	if from.quant != nil {
		g = v.grid
	}
	pads := []int32{0, 0, int32(w.begin[0]), int32(w.end[0]), int32(w.begin[1]), int32(w.end[1]), 0, 0}
	paddings := e.matrix("paddings", pads, 4, 2)
	out := e.tensor(to)
	if fill == 0 {
		e.op(opPad, opVersion(opPad, g), []int32{at, paddings}, []int32{out}, 0, nil)
		return out, padValid
	}
	number := tensor{name: "lowest", shape: []int32{}, dtype: from.dtype, quant: from.quant, data: model.Scalar32(fill).Raw}
	if g != nil {
		number.data = []byte{0x80} // -128
		if g.dtype == typeInt16 {
			number.data = []byte{0, 0x80}
		}
	}
	e.op(opPadV2, opVersion(opPadV2, g), []int32{at, paddings, e.tensor(number)}, []int32{out}, 0, nil)
	return out, padValid
}

func (e *exporter) matrix(name string, v []int32, rows, cols int) int32 {
	t := model.FromSlice(model.Int32, v, rows, cols)
	return e.tensor(tensor{name: name, shape: []int32{int32(rows), int32(cols)}, dtype: typeInt32, data: t.Raw})
}

func exportConv(e *exporter, st *step) error {
	in, err := e.inputs(st.n)
	if err != nil {
		return err
	}
	x, w := in[0], in[1]
	out, err := e.dims(st.n.Outputs[0])
	if err != nil {
		return err
	}
	if len(x.dims) != 4 || len(w.dims) != 4 {
		return st.unsupported("convolutions over %d dimensions have no counterpart", len(x.dims)-2)
	}
	if w.data == nil && w.raw == nil {
		return st.unsupported("its weights are computed")
	}
	win, err := st.window(w.dims[2:], x.dims[2:], out[2:])
	if err != nil {
		return err
	}
	var bias, residual *value
	if len(in) > 2 {
		bias = in[2]
	}
	if len(in) > 3 && in[3] != nil {
		residual = in[3]
	}
	ints := w.raw != nil && w.raw.signed() != nil && (len(w.raw.scale) == 1 || w.raw.axis == 0) && residual == nil && e.integers(st, x)
	if !ints && x.grid != nil && (residual != nil || w.raw == nil || w.raw.signed() == nil) {
		e.floats = append(e.floats, st.n.Label())
	}
	groups, channels := int(st.n.Int("group", 1)), x.dims[1]
	if groups < 1 || channels%groups != 0 || w.dims[0]%groups != 0 || w.dims[1] != channels/groups {
		return fail.New(fail.Invalid, "%d channels and weights %v do not make %d groups", channels, w.dims, groups)
	}
	l := layer{st: st, w: w, bias: bias, ints: ints, x: x, perm: []int{0, 2, 3, 1}}
	at, pad := e.padded(x, e.in(x, ints, true), win, 0)
	act := st.act
	if residual != nil {
		st.act = actNone // the sum carries it
	}
	o := operator{code: opConv, tag: tagConv, options: options{0: pad, 1: int32(win.stride[1]), 2: int32(win.stride[0]), 3: st.act, 4: int32(win.dilation[1]), 5: int32(win.dilation[0])}}
	if groups == channels && groups > 1 {
		l.perm, l.axis = []int{1, 2, 3, 0}, 3
		o = operator{code: opDepthwise, tag: tagDepthwise, options: options{0: pad, 1: int32(win.stride[1]), 2: int32(win.stride[0]), 3: int32(w.dims[0] / channels),
			4: st.act, 5: int32(win.dilation[1]), 6: int32(win.dilation[0])}}
		if win.dilation != [2]int{1, 1} {
			o.version = 2
		}
	}
	var g *grid
	if ints {
		g = st.grid
	}
	wt, bt := e.weights(l)
	if groups > 1 && groups < channels {
		return e.grouped(st, o, at, wt, bt, groups, g)
	}
	o.inputs = []int32{at, wt, bt}
	if residual == nil {
		_, err = e.add(st, o, g, true)
		return err
	}
	sum := tensor{name: st.out + "_conv", shape: stored(out, true), dtype: typeFloat32}
	part := e.tensor(sum)
	o.outputs, o.version = []int32{part}, max(o.version, 1)
	e.f.ops = append(e.f.ops, o)
	_, err = e.add(st, operator{code: opAdd, tag: tagAdd, options: options{0: act}, inputs: []int32{part, e.in(residual, false, true)}}, nil, true)
	return err
}

// grouped writes a convolution of several groups as convolutions of parts: the first releases of the format know no groups.
func (e *exporter) grouped(st *step, o operator, at, wt, bt int32, groups int, g *grid) error {
	x, w, b := e.f.tensors[at], e.f.tensors[wt], e.f.tensors[bt]
	part := x
	part.data = nil
	part.shape = append([]int32{}, x.shape...)
	part.shape[3] /= int32(groups)
	ins := make([]int32, groups)
	for i := range ins {
		part.name = x.name + "_group" + itoa(i)
		ins[i] = e.tensor(part)
	}
	axis := e.tensor(tensor{name: "axis", shape: []int32{}, dtype: typeInt32, data: model.FromSlice(model.Int32, []int32{3}, 1).Raw})
	e.op(opSplit, opVersion(opSplit, g), []int32{axis, at}, ins, tagSplit, options{0: int32(groups)})
	dims, err := e.dims(st.n.Outputs[0])
	if err != nil {
		return err
	}
	y := tensor{shape: stored(dims, true), quant: g.quant(), dtype: typeFloat32}
	if g != nil {
		y.dtype = g.dtype
	}
	y.shape[3] /= int32(groups)
	outs := make([]int32, groups)
	for i := range outs {
		y.name = st.out + "_group" + itoa(i)
		outs[i] = e.tensor(y)
		c := o
		c.inputs = []int32{ins[i], e.slice(w, i, groups), e.slice(b, i, groups)}
		c.outputs = []int32{outs[i]}
		c.version = opVersion(opConv, g)
		e.f.ops = append(e.f.ops, c)
	}
	_, err = e.add(st, operator{code: opConcatenation, tag: tagConcatenation, inputs: outs, options: options{0: int32(3), 1: int8(actNone)}}, g, true)
	return err
}

// slice is the i-th of n equal parts of a constant along its first dimension.
func (e *exporter) slice(t tensor, i, n int) int32 {
	size := len(t.data) / n
	t.data = t.data[i*size : (i+1)*size]
	t.shape = append([]int32{}, t.shape...)
	t.shape[0] /= int32(n)
	t.name += "_group" + itoa(i)
	if q := t.quant; q != nil && len(q.scale) > 1 {
		k := len(q.scale) / n
		t.quant = &quant{scale: q.scale[i*k : (i+1)*k], zero: q.zero[i*k : (i+1)*k], axis: q.axis}
	}
	return e.tensor(t)
}

// layer is what weights and bias are made from.
type layer struct {
	st      *step
	x, w    *value
	bias    *value
	ints    bool
	perm    []int // order of the weights' dimensions in the file
	axis    int32 // place of the output channels there
	columns []int // order of the inputs of a matrix, nil as they are
	scale   float32
}

// weights makes the constants of a layer: weights in the order of the file, and a bias, zeros where there is none.
func (e *exporter) weights(l layer) (w, b int32) {
	channel := l.perm[l.axis]
	n := l.w.dims[channel]
	t := tensor{name: l.w.name, dtype: typeFloat32}
	src := l.w.tensorOf()
	var steps []float32
	if l.ints {
		src = l.w.raw.signed()
		t.dtype = typeInt8
		steps = l.w.raw.scale
		t.quant = &quant{scale: steps, zero: make([]int64, len(steps)), axis: l.axis}
	}
	moved := permute(src, l.perm)
	if l.columns != nil {
		moved = reorder(moved, l.columns)
	}
	if !l.ints && l.scale != 0 && l.scale != 1 {
		moved = scaled(moved, l.scale)
	}
	for _, d := range moved.Shape {
		t.shape = append(t.shape, int32(d))
	}
	t.data = moved.Raw
	return e.tensor(t), e.biases(l, n, steps)
}

// biases of integer layers are on the grid of the products.
func (e *exporter) biases(l layer, n int, steps []float32) int32 {
	name := l.w.name + "_bias"
	real := make([]float64, n)
	var given *model.Tensor
	if l.bias != nil {
		name = l.bias.name
		given = l.bias.tensorOf()
		if given == nil || given.Len() != n && given.Len() != 1 {
			e.refuse(fail.New(fail.Unsupported, "the bias %s is computed, or has not %d elements", name, n))
			given = model.NewTensor(model.Float32, 1)
		}
		for i := range real {
			real[i] = given.Float64At(i % given.Len())
		}
	}
	t := tensor{name: name, shape: []int32{int32(n)}, dtype: typeFloat32}
	if !l.ints {
		out := make([]float32, n)
		for i, v := range real {
			out[i] = float32(v)
		}
		t.data = model.Float32s(out, n).Raw
		return e.tensor(t)
	}
	t.quant = &quant{zero: make([]int64, len(steps))}
	for _, s := range steps {
		t.quant.scale = append(t.quant.scale, s*l.x.grid.scale)
	}
	q := make([]int64, n)
	for i, v := range real {
		q[i] = int64(math.RoundToEven(v / (float64(steps[i%len(steps)]) * float64(l.x.grid.scale))))
	}
	if l.x.grid.dtype == typeInt16 { // sums of 64 bits
		t.dtype, t.data = typeInt64, model.Int64s(q...).Raw
		return e.tensor(t)
	}
	narrow := make([]int32, n)
	for i, v := range q {
		narrow[i] = int32(min(max(v, math.MinInt32), math.MaxInt32))
	}
	t.dtype, t.data = typeInt32, model.FromSlice(model.Int32, narrow, n).Raw
	return e.tensor(t)
}

func exportGemm(e *exporter, st *step) error {
	if st.n.Int("transA", 0) != 0 {
		return st.unsupported("a transposed first matrix has no counterpart")
	}
	alpha, beta := st.n.Float("alpha", 1), st.n.Float("beta", 1)
	return e.linear(st, st.n.Int("transB", 0) != 0, alpha, beta)
}

func exportMatMul(e *exporter, st *step) error {
	b, err := e.value(st.n.Inputs[1])
	if err != nil {
		return err
	}
	if (b.data != nil || b.raw != nil) && len(b.dims) == 2 {
		return e.linear(st, false, 1, 1)
	}
	in, err := e.inputs(st.n)
	if err != nil {
		return err
	}
	a := in[0]
	if len(a.dims) < 2 || len(b.dims) < 2 || len(in) > 2 && in[2] != nil {
		return st.unsupported("a product of %d and %d dimensions has no counterpart", len(a.dims), len(b.dims))
	}
	e.integers(&step{n: st.n}, a, b)
	if st.act != actNone {
		return st.unsupported("an activation function in a product of two values has no counterpart")
	}
	o := operator{code: opBatchMatmul, tag: tagBatchMatmul, inputs: []int32{e.in(a, false, false), e.in(b, false, false)}, options: options{0: false, 1: false}}
	_, err = e.add(st, o, nil, false)
	return err
}

// linear writes a product with constant weights. Weights of bytes with a scale for each output become a convolution of one pixel: FULLY_CONNECTED
// had one scale for all until 2024.
func (e *exporter) linear(st *step, rows bool, alpha, beta float32) error {
	in, err := e.inputs(st.n)
	if err != nil {
		return err
	}
	x, w := in[0], in[1]
	if w.data == nil && w.raw == nil || len(w.dims) != 2 {
		return st.unsupported("its weights are no constant matrix")
	}
	l := layer{st: st, x: x, w: w, perm: []int{1, 0}, scale: alpha}
	if rows {
		l.perm = []int{0, 1}
	}
	if len(in) > 2 && in[2] != nil {
		if l.bias = in[2]; l.bias.data == nil && l.bias.raw == nil || len(l.bias.dims) > 1 && l.bias.dims[0] != 1 || beta != 1 {
			return st.unsupported("a sum with anything but a constant row has no counterpart")
		}
	}
	if len(x.dims) < 2 {
		return st.unsupported("a product with a vector has no counterpart")
	}
	if x.hwc != nil {
		l.columns = columns(x.hwc)
	}
	inputs, outputs := w.dims[l.perm[1]], w.dims[l.perm[0]]
	l.ints = w.raw != nil && w.raw.signed() != nil && (len(w.raw.scale) == 1 || w.raw.axis == l.perm[0]) && alpha == 1 && e.integers(st, x)
	at := e.in(x, l.ints, false)
	if !l.ints || len(w.raw.scale) == 1 {
		wt, bt := e.weights(l)
		o := operator{code: opFullyConnected, tag: tagFullyConnected, inputs: []int32{at, wt, bt}, options: options{0: st.act}}
		if len(x.dims) != 2 {
			o.options[2], o.version = true, 5
		}
		var g *grid
		if l.ints {
			g = st.grid
		}
		_, err = e.add(st, o, g, false)
		return err
	}
	n := 1
	for _, d := range x.dims[:len(x.dims)-1] {
		n *= d
	}
	wt, bt := e.weights(l)
	e.f.tensors[wt].shape = []int32{int32(outputs), 1, 1, int32(inputs)}
	pixels := e.reshaped(at, x.name+"_pixels", int32(n), 1, 1, int32(inputs))
	y := e.tensor(tensor{name: st.out + "_pixels", shape: []int32{int32(n), 1, 1, int32(outputs)}, dtype: st.grid.dtype, quant: st.grid.quant()})
	e.op(opConv, opVersion(opConv, st.grid), []int32{pixels, wt, bt}, []int32{y}, tagConv, options{0: int8(padValid), 1: int32(1), 2: int32(1), 3: st.act, 4: int32(1), 5: int32(1)})
	dims, err := e.dims(st.out)
	if err != nil {
		return err
	}
	shape := stored(dims, false)
	_, err = e.add(st, operator{code: opReshape, tag: tagReshape, inputs: []int32{y, e.ints32("shape", shape...)}, options: options{0: shape}}, st.grid, false)
	return err
}

// reshaped is a tensor with other dimensions.
func (e *exporter) reshaped(at int32, name string, shape ...int32) int32 {
	t := e.f.tensors[at]
	t.name, t.shape, t.data = name, shape, nil
	to := e.tensor(t)
	e.op(opReshape, 1, []int32{at, e.ints32("shape", shape...)}, []int32{to}, tagReshape, options{0: shape})
	return to
}

func exportPool(e *exporter, st *step) error {
	in, err := e.inputs(st.n)
	if err != nil {
		return err
	}
	x := in[0]
	out, err := e.dims(st.n.Outputs[0])
	if err != nil {
		return err
	}
	kernel := st.n.Ints("kernel_shape")
	if len(x.dims) != 4 || len(kernel) != 2 {
		return st.unsupported("pools over %d dimensions have no counterpart", len(x.dims)-2)
	}
	if len(st.n.Outputs) > 1 && st.n.Outputs[1] != "" {
		return st.unsupported("the places of the largest elements have no counterpart")
	}
	w, err := st.window([]int{int(kernel[0]), int(kernel[1])}, x.dims[2:], out[2:])
	if err != nil {
		return err
	}
	if w.dilation != [2]int{1, 1} {
		return st.unsupported("dilated pools have no counterpart")
	}
	o := operator{code: opMaxPool, tag: tagPool}
	fill := float32(-math.MaxFloat32)
	if st.n.Op == "AveragePool" {
		o.code, fill = opAveragePool, 0
		if st.n.Int("count_include_pad", 0) != 0 {
			w.same = w.same && w.valid // SAME leaves the padding out of the average
		} else if !w.same && !w.valid {
			return st.unsupported("an average that leaves out padding %v and %v has no counterpart", w.begin, w.end)
		}
		if st.n.Int("ceil_mode", 0) != 0 && st.n.Int("count_include_pad", 0) != 0 && !w.valid {
			return st.unsupported("averages of windows that end outside of the padding have no counterpart")
		}
	} else if e.positive(st.n.Inputs[0]) {
		fill = 0 // the same result, and delegates know the operator
	}
	var g *grid
	if x.ints != none {
		g = x.grid
	}
	at, pad := e.padded(x, e.in(x, g != nil, true), w, fill)
	o.inputs = []int32{at}
	o.options = options{0: pad, 1: int32(w.stride[1]), 2: int32(w.stride[0]), 3: int32(kernel[1]), 4: int32(kernel[0]), 5: st.act}
	_, err = e.add(st, o, g, true)
	return err
}

// positive reports whether a value holds nothing below zero, by the layer that makes it.
func (e *exporter) positive(name string) bool {
	for range 8 {
		n := e.g.Producer(name)
		if n == nil {
			return false
		}
		switch opName(n) {
		case "QuantizeLinear", "DequantizeLinear", "MaxPool", "AveragePool":
			name = n.Inputs[0]
			continue
		case "Sigmoid":
			return true
		case "fettle:Conv", "fettle:Gemm", "fettle:Add":
			k := n.Str("activation", "none")
			return k == "relu" || k == "clip" && n.Float("min", -1) >= 0
		}
		lo, _, ok := e.bounds(n)
		return ok && lo >= 0
	}
	return false
}
