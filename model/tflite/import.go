package tflite

import (
	"math"
	"strconv"

	"fettle/internal/fail"
	"fettle/model"
)

// importer makes a model out of the tables.
type importer struct {
	f      *file
	b      *model.Builder
	held   []held // by tensor
	used   map[string]bool
	reads  []int          // how many operators and outputs read a tensor
	maker  map[int32]int  // operator that makes a tensor
	folded map[int]bool   // PAD operators whose padding goes into the layer behind
	outs   map[int32]bool // graph outputs
	budget Budget
	spent  int64
	op     *operator
	at     int
}

// held says by which names the model knows a tensor. first is with channels first, last as the file has it; "" is not there yet.
type held struct {
	first, last string // floats
	raw         string // the integers, in the layout of rawFirst
	rawFirst    bool
}

func (f *file) model(budget Budget) (*model.Model, error) {
	opset := int64(21)
	name := f.name
	if name == "" {
		name = "main"
	}
	im := &importer{f: f, b: model.NewBuilder(name, opset), held: make([]held, len(f.tensors)), used: map[string]bool{}, reads: make([]int, len(f.tensors)),
		maker: map[int32]int{}, folded: map[int]bool{}, outs: map[int32]bool{}, budget: budget}
	for i := range f.tensors {
		im.rename(&f.tensors[i], i)
	}
	for i, o := range f.ops {
		for _, t := range o.inputs {
			if t >= 0 {
				im.reads[t]++
			}
		}
		for _, t := range o.outputs {
			if f.tensors[t].data != nil {
				return nil, fail.New(fail.Corrupt, "an operator writes into a constant").At(fail.Where{Op: o.label(), Tensor: f.tensors[t].name})
			}
			if _, twice := im.maker[t]; twice {
				return nil, fail.New(fail.Corrupt, "two operators make the tensor").At(fail.Where{Op: o.label(), Tensor: f.tensors[t].name})
			}
			im.maker[t] = i
		}
	}
	for _, t := range f.outputs {
		im.reads[t]++
		im.outs[t] = true
	}
	im.foldPads()
	for _, t := range f.inputs {
		if err := im.input(t); err != nil {
			return nil, err
		}
	}
	for i := range f.ops {
		if im.folded[i] {
			continue
		}
		im.op, im.at = &f.ops[i], i
		if err := im.node(); err != nil {
			return nil, fail.In(err, "", im.where())
		}
	}
	im.op = nil
	for _, t := range f.outputs {
		if err := im.output(t); err != nil {
			return nil, err
		}
	}
	return im.b.Model()
}

// rename gives each tensor a name of its own: the format does not ask for one.
func (im *importer) rename(t *tensor, i int) {
	if t.name == "" {
		t.name = "tensor" + strconv.Itoa(i)
	}
	base := t.name
	for k := 2; im.used[t.name]; k++ {
		t.name = base + "_" + strconv.Itoa(k)
	}
	im.used[t.name] = true
}

// fresh makes a name that nothing has.
func (im *importer) fresh(base string) string {
	name := base
	for k := 2; im.used[name]; k++ {
		name = base + "_" + strconv.Itoa(k)
	}
	im.used[name] = true
	return name
}

func (im *importer) where() fail.Where {
	w := fail.Where{Field: "operators[" + strconv.Itoa(im.at) + "]"}
	if im.op != nil {
		w.Op = im.op.label()
		if len(im.op.outputs) > 0 {
			w.Node = im.f.tensors[im.op.outputs[0]].name
		}
	}
	return w
}

func (im *importer) unsupported(format string, args ...any) error {
	return fail.New(fail.Unsupported, format, args...)
}

// grow counts the bytes of constants that are made anew; a file can ask for the same constant in many forms.
func (im *importer) grow(bytes int) error {
	if im.spent += int64(bytes); im.spent > 2*im.budget.FileBytes {
		return fail.New(fail.TooBig, "the constants of the file take more than %d bytes in another order", 2*im.budget.FileBytes)
	}
	return nil
}

func (im *importer) emit(op, name string, in []string, out string, attrs ...model.Attr) string {
	im.b.Add(&model.Node{Name: name, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	return out
}

// integers reports whether a tensor is on a grid and not floats.
func (t *tensor) integers() bool {
	return t.quant != nil && t.dtype != typeFloat32 && t.dtype != typeFloat16
}

func (t *tensor) dims() []int {
	out := make([]int, len(t.shape))
	for i, d := range t.shape {
		out[i] = int(d)
	}
	return out
}

// first is a shape with channels first.
func first(dims []int) []int {
	if len(dims) != 4 {
		return dims
	}
	return []int{dims[0], dims[3], dims[1], dims[2]}
}

func (im *importer) input(at int32) error {
	t := &im.f.tensors[at]
	dt, ok := dtypes[t.dtype]
	if !ok {
		return fail.New(fail.Unsupported, "an input has elements of type %d", t.dtype).At(fail.Where{Tensor: t.name})
	}
	if h := im.held[at]; h.last != "" || h.raw != "" || t.data != nil {
		return fail.New(fail.Invalid, "the input is listed twice, or a constant").At(fail.Where{Tensor: t.name})
	}
	for _, d := range t.shape {
		if d < 0 {
			return fail.New(fail.Invalid, "the input has the shape %v", t.shape).At(fail.Where{Tensor: t.name})
		}
	}
	im.b.Input(t.name, dt, model.FixedShape(t.dims()...))
	if t.integers() {
		im.held[at].raw = t.name
		return im.dequantize(at)
	}
	im.held[at].last = t.name
	return nil
}

// scaleNames are the constants of a grid.
func (im *importer) scaleNames(t *tensor, zeroType model.DType) (scale, zero string, err error) {
	q := t.quant
	n := len(q.scale)
	shape := []int{}
	if n > 1 {
		shape = []int{n}
	}
	z := model.NewTensor(zeroType, shape...)
	for i, v := range q.zero {
		lo, hi := int64(math.MinInt8), int64(math.MaxInt8)
		switch zeroType {
		case model.Uint8:
			lo, hi = 0, 255
		case model.Int16, model.Int32:
			lo, hi = math.MinInt16, math.MaxInt16
		}
		if v < lo || v > hi {
			return "", "", fail.New(fail.Invalid, "zero point %d of a tensor of %s", v, zeroType).At(fail.Where{Tensor: t.name})
		}
		z.SetInt64(i, v)
	}
	for _, s := range q.scale {
		if !(s > 0) || math.IsInf(float64(s), 0) {
			return "", "", fail.New(fail.Invalid, "a scale of %g", s).At(fail.Where{Tensor: t.name})
		}
	}
	return im.b.Const(im.fresh(t.name+"_scale"), model.FromSlice(model.Float32, q.scale, shape...)), im.b.Const(im.fresh(t.name+"_zero"), z), nil
}

// dequantize makes the floats of a tensor whose integers are there.
func (im *importer) dequantize(at int32) error {
	t, h := &im.f.tensors[at], &im.held[at]
	scale, zero, err := im.scaleNames(t, dtypes[t.dtype])
	if err != nil {
		return err
	}
	out := im.fresh(t.name + "_dq")
	im.emit("DequantizeLinear", out, []string{h.raw, scale, zero}, out)
	if h.rawFirst {
		h.first = out
	} else {
		h.last = out
	}
	return nil
}

// read is the value of a tensor in floats, or as it is where it is on no grid; picture asks for channels first where there are four dimensions.
func (im *importer) read(at int32, picture bool) (string, error) {
	if at < 0 {
		return "", nil
	}
	t, h := &im.f.tensors[at], &im.held[at]
	if h.first == "" && h.last == "" {
		if t.data == nil {
			return "", fail.New(fail.Corrupt, "the tensor is read before it is made, or by nothing").At(fail.Where{Tensor: t.name})
		}
		if err := im.constant(at); err != nil {
			return "", err
		}
	}
	if len(t.shape) != 4 {
		return h.last, nil
	}
	switch {
	case picture && h.first == "":
		h.first = im.turn(h.last, t, true, "")
	case !picture && h.last == "":
		name := ""
		if im.outs[at] && !t.integers() {
			name = t.name
		}
		h.last = im.turn(h.first, t, false, name)
	}
	if picture {
		return h.first, nil
	}
	return h.last, nil
}

// turn brings a value of four dimensions into the other order; name is that of the result, "" for one of its own.
func (im *importer) turn(value string, t *tensor, toFirst bool, name string) string {
	d := t.dims()
	perm, suffix := []int64{0, 2, 3, 1}, "_nhwc"
	if toFirst {
		perm, suffix = []int64{0, 3, 1, 2}, "_nchw"
	}
	if name == "" {
		name = im.fresh(t.name + suffix)
	}
	if d[1]*d[2] == 1 || d[3] == 1 { // the same bytes
		if toFirst {
			d = first(d)
		}
		shape := make([]int64, 4)
		for i := range d {
			shape[i] = int64(d[i])
		}
		return im.emit("Reshape", name, []string{value, im.b.Const(im.fresh("shape"), model.Int64s(shape...))}, name)
	}
	return im.emit("Transpose", name, []string{value}, name, model.IntsAttr("perm", perm...))
}

// tensorOf is a constant as the file has it.
func (im *importer) tensorOf(at int32) (*model.Tensor, error) {
	t := &im.f.tensors[at]
	if t.data == nil {
		return nil, im.unsupported("its tensor %s is computed; a constant is needed", t.name)
	}
	return &model.Tensor{DType: dtypes[t.dtype], Shape: t.dims(), Raw: t.data}, nil
}

// constant declares a constant, in floats behind a DequantizeLinear where it is on a grid.
func (im *importer) constant(at int32) error {
	t, h := &im.f.tensors[at], &im.held[at]
	c, err := im.tensorOf(at)
	if err != nil {
		return err
	}
	if !t.integers() {
		h.last = im.b.Const(t.name, c)
		if t.dtype == typeFloat16 { // operators read floats
			out := im.fresh(t.name + "_f32")
			h.last = im.emit("Cast", out, []string{h.last}, out, model.IntAttr("to", int64(model.Float32)))
		}
		return nil
	}
	h.last, err = im.weights(at, c, nil, -1)
	return err
}

// weights declares a constant with its dimensions in the order perm (nil: as they are); scales lie along dimension axis of the result.
func (im *importer) weights(at int32, c *model.Tensor, perm []int, axis int) (string, error) {
	t := &im.f.tensors[at]
	if perm != nil {
		if err := im.grow(len(c.Raw)); err != nil {
			return "", err
		}
		c = permute(c, perm)
	}
	base := t.name
	if im.held[at].raw != "" || im.held[at].last != "" || im.held[at].first != "" {
		base = im.fresh(base) // a second order of the same constant
	} else {
		im.held[at].raw = base
	}
	name := im.b.Const(base, c)
	if !t.integers() {
		return name, nil
	}
	scale, zero, err := im.scaleNames(t, c.DType)
	if err != nil {
		return "", err
	}
	attrs := []model.Attr{}
	if len(t.quant.scale) > 1 {
		if perm == nil {
			axis = int(t.quant.axis)
		}
		attrs = append(attrs, model.IntAttr("axis", int64(axis)))
	}
	out := im.fresh(t.name + "_dq")
	return im.emit("DequantizeLinear", out, []string{name, scale, zero}, out, attrs...), nil
}

// write names the result of the operator: value is what made its floats, in the order picture says. An activation function and the integers
// follow. Where nothing follows the value gets the tensor's own name.
func (im *importer) write(at int32, picture bool, act int8, make func(out string)) error {
	t, h := &im.f.tensors[at], &im.held[at]
	if h.first != "" || h.last != "" {
		return fail.New(fail.Corrupt, "the tensor is made twice").At(fail.Where{Tensor: t.name})
	}
	picture = picture && len(t.shape) == 4
	final := t.name
	if t.integers() {
		final = im.fresh(t.name + "_float")
	} else if picture && im.outs[at] { // the output itself has the file's order
		final = im.fresh(t.name + "_nchw")
	}
	out := final
	if act != actNone {
		out = im.fresh(t.name + "_linear")
	}
	make(out)
	switch act {
	case actNone:
	case actRelu:
		im.emit("Relu", final, []string{out}, final)
	case actRelu6, actReluN1:
		lo, hi := float32(0), float32(6)
		if act == actReluN1 {
			lo, hi = -1, 1
		}
		im.emit("Clip", final, []string{out, im.b.Const(im.fresh(t.name+"_min"), model.Scalar32(lo)), im.b.Const(im.fresh(t.name+"_max"), model.Scalar32(hi))}, final)
	case actTanh:
		im.emit("Tanh", final, []string{out}, final)
	default:
		return im.unsupported("activation function %d", act)
	}
	if !t.integers() {
		if picture {
			h.first = final
		} else {
			h.last = final
		}
		return nil
	}
	return im.quantize(at, final, picture)
}

// quantize puts floats on the grid of a tensor.
func (im *importer) quantize(at int32, value string, picture bool) error {
	t, h := &im.f.tensors[at], &im.held[at]
	if len(t.quant.scale) > 1 || t.dtype != typeInt8 && t.dtype != typeUint8 && t.dtype != typeInt16 {
		return im.unsupported("a computed tensor with a scale for each channel, or of type %s", dtypes[t.dtype])
	}
	scale, zero, err := im.scaleNames(t, dtypes[t.dtype])
	if err != nil {
		return err
	}
	name := t.name
	if picture && im.outs[at] {
		name = im.fresh(t.name + "_nchw")
	}
	h.raw, h.rawFirst = im.emit("QuantizeLinear", name, []string{value, scale, zero}, name), picture
	out := im.fresh(t.name + "_dq")
	im.emit("DequantizeLinear", out, []string{h.raw, scale, zero}, out)
	if picture {
		h.first = out
	} else {
		h.last = out
	}
	return nil
}

func (im *importer) output(at int32) error {
	t, h := &im.f.tensors[at], &im.held[at]
	name := h.raw
	var err error
	switch {
	case !t.integers():
		name, err = im.read(at, false)
	case h.raw == "":
		err = fail.New(fail.Corrupt, "nothing makes the output").At(fail.Where{Tensor: t.name})
	case h.rawFirst:
		name = im.turn(h.raw, t, false, t.name)
	}
	if err != nil {
		return err
	}
	im.b.Output(name, dtypes[t.dtype], model.FixedShape(t.dims()...))
	return nil
}
