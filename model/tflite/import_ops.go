package tflite

import (
	"slices"

	"fettle/internal/fail"
	"fettle/model"
)

// imports is the one list of operators that are read.
var imports = map[code]func(*importer) error{
	opConv: importConv, opDepthwise: importConv, opFullyConnected: importFullyConnected, opBatchMatmul: importBatchMatmul,
	opMaxPool: importPool, opAveragePool: importPool, opMean: importReduce("ReduceMean"), opSum: importReduce("ReduceSum"), opReduceMax: importReduce("ReduceMax"), opReduceMin: importReduce("ReduceMin"),
	opAdd: importBinary("Add"), opSub: importBinary("Sub"), opMul: importBinary("Mul"), opDiv: importBinary("Div"), opPow: importBinary("Pow"), opMaximum: importBinary("Max"), opMinimum: importBinary("Min"),
	opRelu: importUnary("Relu"), opRelu6: importClip(actRelu6), opReluN1To1: importClip(actReluN1), opLogistic: importUnary("Sigmoid"), opTanh: importUnary("Tanh"), opHardSwish: importUnary("HardSwish"),
	opElu: importUnary("Elu"), opExp: importUnary("Exp"), opLog: importUnary("Log"), opSqrt: importUnary("Sqrt"), opNeg: importUnary("Neg"), opAbs: importUnary("Abs"), opSin: importUnary("Sin"),
	opCos: importUnary("Cos"), opFloor: importUnary("Floor"), opCeil: importUnary("Ceil"), opGelu: importUnary("Gelu"), opLeakyRelu: importUnary("LeakyRelu"), opRsqrt: importRsqrt, opSquare: importSquare, opPrelu: importPrelu,
	opSoftmax: importSoftmax, opLogSoftmax: importSoftmax, opReshape: importReshape, opSqueeze: importReshape, opExpandDims: importReshape, opTranspose: importTranspose,
	opConcatenation: importConcat, opPad: importPad, opPadV2: importPad, opStridedSlice: importStridedSlice, opSlice: importSlice, opSplit: importSplit, opSplitV: importSplit,
	opGather: importGather, opCast: importCast, opResizeBilinear: importResize, opResizeNearest: importResize, opDepthToSpace: importBlocks("DepthToSpace"), opSpaceToDepth: importBlocks("SpaceToDepth"),
	opQuantize: importQuantize, opDequantize: importDequantize,
}

// arity is the least number of inputs of an operator where it is not 1.
var arity = map[code]int{opConv: 2, opDepthwise: 2, opFullyConnected: 2, opBatchMatmul: 2, opMean: 2, opSum: 2, opReduceMax: 2, opReduceMin: 2, opAdd: 2, opSub: 2, opMul: 2, opDiv: 2, opPow: 2,
	opMaximum: 2, opMinimum: 2, opPrelu: 2, opTranspose: 2, opPad: 2, opPadV2: 3, opStridedSlice: 4, opSlice: 3, opSplit: 2, opSplitV: 3, opGather: 2, opResizeBilinear: 2, opResizeNearest: 2}

func (im *importer) node() error {
	f, ok := imports[im.op.code]
	if !ok || im.op.custom != "" {
		return fail.New(fail.Unsupported, "the file uses an operator that Fettle does not read: %s", im.op.label())
	}
	if len(im.op.inputs) < max(arity[im.op.code], 1) || len(im.op.outputs) == 0 || im.op.inputs[0] < 0 {
		return fail.New(fail.Corrupt, "the operator has %d inputs and %d outputs", len(im.op.inputs), len(im.op.outputs))
	}
	return f(im)
}

func (im *importer) tensor(i int) *tensor { return &im.f.tensors[im.op.inputs[i]] }

// input is the position of input i, -1 where it is absent.
func (im *importer) in(i int) int32 {
	if i >= len(im.op.inputs) {
		return -1
	}
	return im.op.inputs[i]
}

// numbers are the elements of a constant input of integers.
func (im *importer) numbers(i int) ([]int64, error) {
	if im.in(i) < 0 {
		return nil, nil
	}
	t, err := im.tensorOf(im.in(i))
	if err != nil {
		return nil, err
	}
	if t.DType != model.Int32 && t.DType != model.Int64 || t.Len() > 1024 {
		return nil, fail.New(fail.Invalid, "its tensor %s is no short list of integers", im.tensor(i).name)
	}
	out := make([]int64, t.Len())
	for k := range out {
		out[k] = t.Int64At(k)
	}
	return out, nil
}

// foldPads finds the PADs whose zeros can be the padding of the only layer that reads them.
func (im *importer) foldPads() {
	for i := range im.f.ops {
		o := &im.f.ops[i]
		if o.code != opConv && o.code != opDepthwise || o.options.int(0, 0) != padValid || len(o.inputs) == 0 || o.inputs[0] < 0 {
			continue
		}
		k, ok := im.maker[o.inputs[0]]
		if !ok || im.reads[o.inputs[0]] != 1 || k >= i {
			continue
		}
		p := &im.f.ops[k]
		if p.code == opPad && p.custom == "" && len(p.inputs) == 2 && p.inputs[0] >= 0 && im.borders(p) != nil && sameGrid(im.f.tensors[p.inputs[0]].quant, im.f.tensors[o.inputs[0]].quant) {
			im.folded[k] = true
		}
	}
}

func sameGrid(a, b *quant) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.scale, b.scale) && slices.Equal(a.zero, b.zero)
}

// borders are the rows and columns that a PAD adds: top, left, bottom, right; nil where it is something else.
func (im *importer) borders(p *operator) []int64 {
	if p.inputs[1] < 0 {
		return nil
	}
	t := &im.f.tensors[p.inputs[1]]
	if t.data == nil || t.dtype != typeInt32 || !slices.Equal(t.shape, []int32{4, 2}) {
		return nil
	}
	c := model.Tensor{DType: model.Int32, Shape: []int{8}, Raw: t.data}
	var v [8]int64
	for i := range v {
		if v[i] = c.Int64At(i); v[i] < 0 || v[i] > 1<<20 {
			return nil
		}
	}
	if v[0]|v[1]|v[6]|v[7] != 0 {
		return nil
	}
	return []int64{v[2], v[4], v[3], v[5]}
}

// window gives the attributes of a layer that moves over a picture.
func (im *importer) window(kernel, stride, dilation [2]int, in []int32) (pads []int64, err error) {
	pads = make([]int64, 4)
	pad := im.op.options.int(0, padSame)
	for i := range 2 {
		if kernel[i] < 1 || stride[i] < 1 || dilation[i] < 1 || kernel[i] > 1<<20 || stride[i] > 1<<20 || dilation[i] > 1<<20 {
			return nil, fail.New(fail.Invalid, "kernel %v, strides %v and dilations %v", kernel, stride, dilation)
		}
		if pad == padValid {
			continue
		}
		n := int(in[1+i])
		out := (n + stride[i] - 1) / stride[i]
		total := max((out-1)*stride[i]+(kernel[i]-1)*dilation[i]+1-n, 0)
		pads[i], pads[2+i] = int64(total/2), int64(total-total/2)
	}
	return pads, nil
}

func importConv(im *importer) error {
	o := im.op
	x, w := o.inputs[0], o.inputs[1]
	if w < 0 {
		return fail.New(fail.Corrupt, "a layer without weights")
	}
	c, err := im.tensorOf(w)
	if err != nil {
		return err
	}
	if len(c.Shape) != 4 || len(im.f.tensors[x].shape) != 4 {
		return fail.New(fail.Invalid, "weights %v for a value %v", c.Shape, im.f.tensors[x].shape)
	}
	perm, axis := []int{0, 3, 1, 2}, 0
	stride, dilation := [2]int{int(o.options.int(2, 0)), int(o.options.int(1, 0))}, [2]int{int(o.options.int(5, 1)), int(o.options.int(4, 1))}
	act, group := int8(o.options.int(3, 0)), 1
	channels := int(im.f.tensors[x].shape[3])
	if o.code == opDepthwise {
		perm = []int{3, 0, 1, 2}
		dilation = [2]int{int(o.options.int(6, 1)), int(o.options.int(5, 1))}
		act, group = int8(o.options.int(4, 0)), channels
		if c.Shape[0] != 1 {
			return fail.New(fail.Invalid, "depthwise weights %v", c.Shape)
		}
	} else if c.Shape[3] > 0 && c.Shape[3] < channels && channels%c.Shape[3] == 0 {
		group = channels / c.Shape[3]
	}
	var pads []int64
	if k, ok := im.maker[x]; ok && im.folded[k] {
		p := &im.f.ops[k]
		pads = im.borders(p)
		x = p.inputs[0]
	}
	implied, err := im.window([2]int{c.Shape[1], c.Shape[2]}, stride, dilation, im.f.tensors[x].shape)
	if err != nil {
		return err
	}
	if pads == nil {
		pads = implied
	}
	in, err := im.read(x, true)
	if err != nil {
		return err
	}
	weights, err := im.weights(w, c, perm, axis)
	if err != nil {
		return err
	}
	inputs := []string{in, weights}
	if inputs, err = im.bias(inputs, w); err != nil {
		return err
	}
	return im.write(o.outputs[0], true, act, func(out string) {
		im.emit("Conv", out, inputs, out, model.IntsAttr("kernel_shape", int64(c.Shape[1]), int64(c.Shape[2])), model.IntsAttr("strides", int64(stride[0]), int64(stride[1])),
			model.IntsAttr("dilations", int64(dilation[0]), int64(dilation[1])), model.IntsAttr("pads", pads...), model.IntAttr("group", int64(group)))
	})
}

// bias adds input 2; integers without a grid of their own are on that of the products.
func (im *importer) bias(inputs []string, w int32) ([]string, error) {
	at := im.in(2)
	if at < 0 {
		return inputs, nil
	}
	t := &im.f.tensors[at]
	if t.dtype == typeInt32 && t.quant == nil {
		x, k := im.tensor(0).quant, im.f.tensors[w].quant
		if x == nil || k == nil {
			return nil, fail.New(fail.Invalid, "a bias of integers for a layer of floats")
		}
		q := &quant{}
		for _, s := range k.scale {
			q.scale, q.zero = append(q.scale, s*x.scale[0]), append(q.zero, 0)
		}
		if len(q.scale) > 1 && (len(t.shape) != 1 || int(t.shape[0]) != len(q.scale)) {
			return nil, fail.New(fail.Invalid, "a bias %v for %d outputs", t.shape, len(q.scale))
		}
		t.quant = q
	}
	if t.dtype == typeInt64 && t.data != nil { // of 16-bit layers: DequantizeLinear reads 32 bits at most
		return im.wideBias(inputs, t)
	}
	b, err := im.read(at, false)
	return append(inputs, b), err
}

func (im *importer) wideBias(inputs []string, t *tensor) ([]string, error) {
	if t.quant == nil {
		return nil, im.unsupported("a bias of 64-bit integers without a scale")
	}
	c := model.Tensor{DType: model.Int64, Shape: t.dims(), Raw: t.data}
	out := model.NewTensor(model.Float32, t.dims()...)
	for i := range c.Len() {
		out.SetFloat64(i, float64(c.Int64At(i))*float64(t.quant.scale[i%len(t.quant.scale)]))
	}
	return append(inputs, im.b.Const(im.fresh(t.name+"_f32"), out)), nil
}

func importFullyConnected(im *importer) error {
	o := im.op
	x, w := im.tensor(0), o.inputs[1]
	if w < 0 {
		return fail.New(fail.Corrupt, "a layer without weights")
	}
	c, err := im.tensorOf(w)
	if err != nil {
		return err
	}
	if len(c.Shape) != 2 || c.Shape[1] == 0 || o.options.int(1, 0) != 0 {
		return im.unsupported("weights %v in format %d", c.Shape, o.options.int(1, 0))
	}
	in, err := im.read(o.inputs[0], false)
	if err != nil {
		return err
	}
	out := &im.f.tensors[o.outputs[0]]
	if len(x.shape) != 2 || int(x.shape[1]) != c.Shape[1] { // the value is seen as rows
		name := im.fresh(out.name + "_rows")
		in = im.emit("Reshape", name, []string{in, im.b.Const(im.fresh("shape"), model.Int64s(-1, int64(c.Shape[1])))}, name)
	}
	weights, err := im.weights(w, c, []int{0, 1}, 0)
	if err != nil {
		return err
	}
	inputs := []string{in, weights}
	if inputs, err = im.bias(inputs, w); err != nil {
		return err
	}
	return im.write(o.outputs[0], false, int8(o.options.int(0, 0)), func(name string) {
		if len(out.shape) == 2 {
			im.emit("Gemm", name, inputs, name, model.IntAttr("transB", 1))
			return
		}
		rows := im.fresh(name + "_rows")
		im.emit("Gemm", rows, inputs, rows, model.IntAttr("transB", 1))
		im.reshape(rows, name, out)
	})
}

// reshape gives a value the dimensions of a tensor.
func (im *importer) reshape(value, name string, t *tensor) {
	shape := make([]int64, len(t.shape))
	for i, d := range t.shape {
		shape[i] = int64(d)
	}
	im.emit("Reshape", name, []string{value, im.b.Const(im.fresh(name+"_shape"), model.Int64s(shape...))}, name, model.IntAttr("allowzero", 1))
}

func importBatchMatmul(im *importer) error {
	in := make([]string, 2)
	for i := range in {
		v, err := im.read(im.op.inputs[i], false)
		if err != nil {
			return err
		}
		if im.op.options.bool(i) {
			rank := len(im.tensor(i).shape)
			if rank < 2 {
				return fail.New(fail.Invalid, "a product of %d dimensions", rank)
			}
			perm := make([]int64, rank)
			for k := range perm {
				perm[k] = int64(k)
			}
			perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
			name := im.fresh(im.tensor(i).name + "_turned")
			v = im.emit("Transpose", name, []string{v}, name, model.IntsAttr("perm", perm...))
		}
		in[i] = v
	}
	return im.write(im.op.outputs[0], false, actNone, func(out string) { im.emit("MatMul", out, in, out) })
}

func importPool(im *importer) error {
	o := im.op
	x := im.tensor(0)
	if len(x.shape) != 4 {
		return fail.New(fail.Invalid, "a pool over %v", x.shape)
	}
	kernel, stride := [2]int{int(o.options.int(4, 0)), int(o.options.int(3, 0))}, [2]int{int(o.options.int(2, 0)), int(o.options.int(1, 0))}
	pads, err := im.window(kernel, stride, [2]int{1, 1}, x.shape)
	if err != nil {
		return err
	}
	in, err := im.read(o.inputs[0], true)
	if err != nil {
		return err
	}
	op := "MaxPool"
	if o.code == opAveragePool {
		op = "AveragePool"
	}
	return im.write(o.outputs[0], true, int8(o.options.int(5, 0)), func(out string) {
		im.emit(op, out, []string{in}, out, model.IntsAttr("kernel_shape", int64(kernel[0]), int64(kernel[1])), model.IntsAttr("strides", int64(stride[0]), int64(stride[1])), model.IntsAttr("pads", pads...))
	})
}

func importReduce(op string) func(*importer) error {
	return func(im *importer) error {
		axes, err := im.numbers(1)
		if err != nil {
			return err
		}
		rank := len(im.tensor(0).shape)
		keep := im.op.options.bool(0)
		over := make([]bool, rank)
		for i, a := range axes {
			if a < 0 {
				a += int64(rank)
			}
			if a < 0 || a >= int64(rank) {
				return fail.New(fail.Invalid, "dimension %d of %d", axes[i], rank)
			}
			axes[i], over[a] = a, true
		}
		picture := rank == 4 && keep
		in, err := im.read(im.op.inputs[0], picture)
		if err != nil {
			return err
		}
		if picture && over[1] && over[2] && !over[0] && !over[3] && (op == "ReduceMean" || op == "ReduceMax") {
			global := map[string]string{"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}[op]
			return im.write(im.op.outputs[0], true, actNone, func(out string) { im.emit(global, out, []string{in}, out) })
		}
		if picture {
			for i, a := range axes {
				axes[i] = fromLast[a]
			}
		}
		kept := int64(0)
		if keep {
			kept = 1
		}
		return im.write(im.op.outputs[0], picture, actNone, func(out string) {
			im.emit(op, out, []string{in, im.b.Const(im.fresh(out+"_axes"), model.Int64s(axes...))}, out, model.IntAttr("keepdims", kept))
		})
	}
}

// fromLast is where a dimension of a value with channels last is with channels first.
var fromLast = []int64{0, 2, 3, 1}

func importUnary(op string) func(*importer) error {
	return func(im *importer) error {
		picture := im.pictures(0)
		in, err := im.read(im.op.inputs[0], picture)
		if err != nil {
			return err
		}
		var attrs []model.Attr
		if op == "LeakyRelu" {
			attrs = append(attrs, model.FloatAttr("alpha", im.op.options.float(0, 0)))
		}
		return im.write(im.op.outputs[0], picture, actNone, func(out string) { im.emit(op, out, []string{in}, out, attrs...) })
	}
}

// pictures reports whether the operator's values of four dimensions should be read with channels first: where one of them is there that way
// and none only the other way.
func (im *importer) pictures(inputs ...int) bool {
	some := false
	for _, i := range inputs {
		t, h := im.tensor(i), im.held[im.op.inputs[i]]
		if len(t.shape) != 4 || t.data != nil {
			continue
		}
		if h.first == "" {
			return false
		}
		some = true
	}
	return some
}

func importClip(act int8) func(*importer) error {
	return func(im *importer) error {
		picture := im.pictures(0)
		in, err := im.read(im.op.inputs[0], picture)
		if err != nil {
			return err
		}
		lo, hi := float32(0), float32(6)
		if act == actReluN1 {
			lo, hi = -1, 1
		}
		return im.write(im.op.outputs[0], picture, actNone, func(out string) {
			im.emit("Clip", out, []string{in, im.b.Const(im.fresh(out+"_min"), model.Scalar32(lo)), im.b.Const(im.fresh(out+"_max"), model.Scalar32(hi))}, out)
		})
	}
}

func importRsqrt(im *importer) error {
	picture := im.pictures(0)
	in, err := im.read(im.op.inputs[0], picture)
	if err != nil {
		return err
	}
	return im.write(im.op.outputs[0], picture, actNone, func(out string) {
		root := im.fresh(out + "_root")
		im.emit("Sqrt", root, []string{in}, root)
		im.emit("Reciprocal", out, []string{root}, out)
	})
}

func importSquare(im *importer) error {
	picture := im.pictures(0)
	in, err := im.read(im.op.inputs[0], picture)
	if err != nil {
		return err
	}
	return im.write(im.op.outputs[0], picture, actNone, func(out string) { im.emit("Mul", out, []string{in, in}, out) })
}

func importBinary(op string) func(*importer) error {
	return func(im *importer) error {
		picture := false
		ranks := [2]int{len(im.tensor(0).shape), -1}
		if im.op.inputs[1] < 0 {
			return fail.New(fail.Corrupt, "an operand is absent")
		}
		ranks[1] = len(im.tensor(1).shape)
		if im.pictures(0, 1) && len(im.f.tensors[im.op.outputs[0]].shape) == 4 {
			picture = true
			for i, r := range ranks { // constants in front of which dimensions of 1 are to be thought
				if r != 4 && r != 0 && (r != 1 || im.tensor(i).data == nil) {
					picture = false
				}
			}
		}
		in := make([]string, 2)
		for i := range in {
			v, err := im.read(im.op.inputs[i], picture)
			if err != nil {
				return err
			}
			if picture && ranks[i] == 1 && im.tensor(i).shape[0] != 1 {
				name := im.fresh(im.tensor(i).name + "_channels")
				v = im.emit("Reshape", name, []string{v, im.b.Const(im.fresh("shape"), model.Int64s(1, -1, 1, 1))}, name)
			}
			in[i] = v
		}
		act := int8(0)
		if op != "Pow" && op != "Max" && op != "Min" {
			act = int8(im.op.options.int(0, 0))
		}
		return im.write(im.op.outputs[0], picture, act, func(out string) { im.emit(op, out, in, out) })
	}
}

func importPrelu(im *importer) error {
	picture := false
	in, err := im.read(im.op.inputs[0], picture)
	if err != nil {
		return err
	}
	slope, err := im.read(im.op.inputs[1], picture)
	if err != nil {
		return err
	}
	return im.write(im.op.outputs[0], picture, actNone, func(out string) { im.emit("PRelu", out, []string{in, slope}, out) })
}

func importSoftmax(im *importer) error {
	op, picture := "Softmax", im.pictures(0)
	if im.op.code == opLogSoftmax {
		op = "LogSoftmax"
	} else if b := im.op.options.float(0, 0); b != 1 {
		return im.unsupported("a softmax with beta %g", b)
	}
	axis := int64(-1)
	if picture {
		axis = 1
	}
	in, err := im.read(im.op.inputs[0], picture)
	if err != nil {
		return err
	}
	return im.write(im.op.outputs[0], picture, actNone, func(out string) { im.emit(op, out, []string{in}, out, model.IntAttr("axis", axis)) })
}
