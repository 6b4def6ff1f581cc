package tflite

import (
	"slices"

	"fettle/internal/fail"
	"fettle/model"
)

func importReshape(im *importer) error {
	x := im.tensor(0)
	out := &im.f.tensors[im.op.outputs[0]]
	for _, d := range out.shape {
		if d < 0 {
			return fail.New(fail.Invalid, "the result has the shape %v", out.shape)
		}
	}
	// Channels alone, or one channel, lie the same way in both orders.
	picture := len(x.shape) == 4 && im.held[im.op.inputs[0]].first != "" && (x.shape[1]*x.shape[2] == 1 || x.shape[3] == 1)
	in, err := im.read(im.op.inputs[0], picture)
	if err != nil {
		return err
	}
	return im.write(im.op.outputs[0], false, actNone, func(name string) { im.reshape(in, name, out) })
}

func importTranspose(im *importer) error {
	perm, err := im.numbers(1)
	if err != nil {
		return err
	}
	rank := len(im.tensor(0).shape)
	seen := make([]bool, rank)
	for _, p := range perm {
		if p < 0 || p >= int64(rank) || seen[p] || len(perm) != rank {
			return fail.New(fail.Invalid, "%v is no order of %d dimensions", perm, rank)
		}
		seen[p] = true
	}
	in, err := im.read(im.op.inputs[0], false)
	if err != nil {
		return err
	}
	return im.write(im.op.outputs[0], false, actNone, func(out string) { im.emit("Transpose", out, []string{in}, out, model.IntsAttr("perm", perm...)) })
}

// place is the dimension a of a value of rank dimensions, in the order that is read.
func place(a int64, rank int, picture bool) (int64, error) {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, fail.New(fail.Invalid, "dimension %d of %d", a, rank)
	}
	if picture && rank == 4 {
		return fromLast[a], nil
	}
	return a, nil
}

func importConcat(im *importer) error {
	all := make([]int, len(im.op.inputs))
	for i := range all {
		if all[i] = i; im.op.inputs[i] < 0 {
			return fail.New(fail.Corrupt, "a part is absent")
		}
	}
	picture := im.pictures(all...)
	axis, err := place(int64(im.op.options.int(0, 0)), len(im.tensor(0).shape), picture)
	if err != nil {
		return err
	}
	in := make([]string, len(all))
	for i := range in {
		if in[i], err = im.read(im.op.inputs[i], picture); err != nil {
			return err
		}
	}
	return im.write(im.op.outputs[0], picture, int8(im.op.options.int(1, 0)), func(out string) { im.emit("Concat", out, in, out, model.IntAttr("axis", axis)) })
}

func importPad(im *importer) error {
	table, err := im.numbers(1)
	if err != nil {
		return err
	}
	rank := len(im.tensor(0).shape)
	if len(table) != 2*rank || slices.Min(append(table, 0)) < 0 {
		return fail.New(fail.Invalid, "padding %v of %d dimensions", table, rank)
	}
	picture := im.pictures(0)
	pads := make([]int64, 2*rank)
	for i := range rank {
		a, err := place(int64(i), rank, picture)
		if err != nil {
			return err
		}
		pads[a], pads[int64(rank)+a] = table[2*i], table[2*i+1]
	}
	in, err := im.read(im.op.inputs[0], picture)
	if err != nil {
		return err
	}
	inputs := []string{in, im.b.Const(im.fresh("pads"), model.Int64s(pads...))}
	if im.op.code == opPadV2 {
		if im.op.inputs[2] < 0 {
			return fail.New(fail.Corrupt, "the number to pad with is absent")
		}
		fill, err := im.read(im.op.inputs[2], false)
		if err != nil {
			return err
		}
		if n := len(im.tensor(2).shape); n > 0 {
			name := im.fresh(im.tensor(2).name + "_scalar")
			fill = im.emit("Reshape", name, []string{fill, im.b.Const(im.fresh("shape"), model.Int64s())}, name)
		}
		inputs = append(inputs, fill)
	}
	return im.write(im.op.outputs[0], picture, actNone, func(out string) { im.emit("Pad", out, inputs, out) })
}

func importStridedSlice(im *importer) error {
	var lists [3][]int64
	for i := range lists {
		l, err := im.numbers(i + 1)
		if err != nil {
			return err
		}
		lists[i] = l
	}
	rank := len(im.tensor(0).shape)
	if len(lists[0]) != rank || len(lists[1]) != rank || len(lists[2]) != rank {
		return im.unsupported("a slice of %d of %d dimensions", len(lists[0]), rank)
	}
	for id := 2; id < 5; id++ {
		if im.op.options.int(id, 0) != 0 {
			return im.unsupported("a slice with ellipsis, new or dropped dimensions")
		}
	}
	for i := range rank {
		n := int64(im.tensor(0).shape[i])
		if lists[2][i] < 1 {
			return im.unsupported("a slice backwards")
		}
		if im.op.options.int(0, 0)>>i&1 != 0 {
			lists[0][i] = 0
		}
		if im.op.options.int(1, 0)>>i&1 != 0 {
			lists[1][i] = n
		}
	}
	return im.slice(lists[0], lists[1], lists[2])
}

func importSlice(im *importer) error {
	begin, err := im.numbers(1)
	if err != nil {
		return err
	}
	size, err := im.numbers(2)
	if err != nil {
		return err
	}
	rank := len(im.tensor(0).shape)
	if len(begin) != rank || len(size) != rank {
		return fail.New(fail.Invalid, "a slice of %d of %d dimensions", len(begin), rank)
	}
	end, steps := make([]int64, rank), make([]int64, rank)
	for i := range rank {
		if end[i], steps[i] = begin[i]+size[i], 1; size[i] < 0 {
			end[i] = int64(im.tensor(0).shape[i])
		}
	}
	return im.slice(begin, end, steps)
}

func (im *importer) slice(begin, end, steps []int64) error {
	picture := im.pictures(0)
	axes := make([]int64, len(begin))
	for i := range axes {
		axes[i], _ = place(int64(i), len(begin), picture)
	}
	in, err := im.read(im.op.inputs[0], picture)
	if err != nil {
		return err
	}
	list := func(name string, v []int64) string { return im.b.Const(im.fresh(name), model.Int64s(v...)) }
	return im.write(im.op.outputs[0], picture, actNone, func(out string) {
		im.emit("Slice", out, []string{in, list("starts", begin), list("ends", end), list("axes", axes), list("steps", steps)}, out)
	})
}

func importSplit(im *importer) error {
	value, axisAt := 1, 0
	if im.op.code == opSplitV {
		value, axisAt = 0, 2
	}
	l, err := im.numbers(axisAt)
	if err != nil || len(l) != 1 {
		return fail.New(fail.Invalid, "a split without a dimension")
	}
	x := im.op.inputs[value]
	if x < 0 {
		return fail.New(fail.Corrupt, "the value is absent")
	}
	t := &im.f.tensors[x]
	picture := im.pictures(value)
	axis, err := place(l[0], len(t.shape), picture)
	if err != nil {
		return err
	}
	plain, _ := place(l[0], len(t.shape), false)
	var sizes []int64
	for _, o := range im.op.outputs {
		if len(im.f.tensors[o].shape) != len(t.shape) {
			return fail.New(fail.Invalid, "a part has the shape %v", im.f.tensors[o].shape)
		}
		sizes = append(sizes, int64(im.f.tensors[o].shape[plain]))
	}
	in, err := im.read(x, picture)
	if err != nil {
		return err
	}
	parts := make([]string, len(im.op.outputs))
	for i, o := range im.op.outputs {
		if parts[i] = im.f.tensors[o].name; im.f.tensors[o].integers() {
			parts[i] = im.fresh(parts[i] + "_float")
		} else if picture && im.outs[o] {
			parts[i] = im.fresh(parts[i] + "_nchw")
		}
	}
	im.b.Add(&model.Node{Name: parts[0], Op: "Split", Inputs: []string{in, im.b.Const(im.fresh("sizes"), model.Int64s(sizes...))}, Outputs: parts, Attrs: []model.Attr{model.IntAttr("axis", axis)}})
	for i, o := range im.op.outputs {
		h := &im.held[o]
		switch {
		case im.f.tensors[o].integers():
			if err := im.quantize(o, parts[i], picture); err != nil {
				return err
			}
		case picture:
			h.first = parts[i]
		default:
			h.last = parts[i]
		}
	}
	return nil
}

func importGather(im *importer) error {
	if im.op.options.int(1, 0) != 0 || im.op.inputs[1] < 0 {
		return im.unsupported("a gather for each item of a batch")
	}
	axis, err := place(int64(im.op.options.int(0, 0)), len(im.tensor(0).shape), false)
	if err != nil {
		return err
	}
	in := make([]string, 2)
	for i := range in {
		if in[i], err = im.read(im.op.inputs[i], false); err != nil {
			return err
		}
	}
	return im.write(im.op.outputs[0], false, actNone, func(out string) { im.emit("Gather", out, in, out, model.IntAttr("axis", axis)) })
}

func importCast(im *importer) error {
	to, ok := dtypes[im.f.tensors[im.op.outputs[0]].dtype]
	if !ok {
		return im.unsupported("a cast to type %d", im.f.tensors[im.op.outputs[0]].dtype)
	}
	picture := im.pictures(0)
	in, err := im.read(im.op.inputs[0], picture)
	if err != nil {
		return err
	}
	return im.write(im.op.outputs[0], picture, actNone, func(out string) { im.emit("Cast", out, []string{in}, out, model.IntAttr("to", int64(to))) })
}

func importBlocks(op string) func(*importer) error {
	return func(im *importer) error {
		if len(im.tensor(0).shape) != 4 {
			return fail.New(fail.Invalid, "blocks of %v", im.tensor(0).shape)
		}
		in, err := im.read(im.op.inputs[0], true)
		if err != nil {
			return err
		}
		return im.write(im.op.outputs[0], true, actNone, func(out string) {
			im.emit(op, out, []string{in}, out, model.IntAttr("blocksize", int64(im.op.options.int(0, 0))))
		})
	}
}

func importResize(im *importer) error {
	size, err := im.numbers(1)
	if err != nil {
		return err
	}
	x := im.tensor(0)
	if len(size) != 2 || len(x.shape) != 4 {
		return fail.New(fail.Invalid, "a resize of %v to %v", x.shape, size)
	}
	in, err := im.read(im.op.inputs[0], true)
	if err != nil {
		return err
	}
	mode, first, rounding := "linear", 2, "floor"
	if im.op.code == opResizeNearest {
		mode, first = "nearest", 0
	}
	rule := "asymmetric"
	switch {
	case im.op.options.bool(first): // nearest: a half is rounded up
		rule, rounding = "align_corners", "round_prefer_ceil"
	case im.op.options.bool(first + 1): // floor((i + 0.5) * factor) is the middle rounded half up
		rule, rounding = "half_pixel", "round_prefer_ceil"
	}
	sizes := im.b.Const(im.fresh("sizes"), model.Int64s(int64(x.shape[0]), int64(x.shape[3]), size[0], size[1]))
	return im.write(im.op.outputs[0], true, actNone, func(out string) {
		im.emit("Resize", out, []string{in, "", "", sizes}, out, model.StrAttr("mode", mode), model.StrAttr("coordinate_transformation_mode", rule), model.StrAttr("nearest_mode", rounding))
	})
}

// importQuantize puts a value on a grid, from floats or from another grid.
func importQuantize(im *importer) error {
	if !im.f.tensors[im.op.outputs[0]].integers() {
		return fail.New(fail.Invalid, "its result is on no grid")
	}
	picture := im.pictures(0)
	in, err := im.read(im.op.inputs[0], picture)
	if err != nil {
		return err
	}
	if im.held[im.op.outputs[0]].raw != "" {
		return fail.New(fail.Corrupt, "the tensor is made twice")
	}
	return im.quantize(im.op.outputs[0], in, picture)
}

// importDequantize: the floats of a value are there already; its result is another name for them.
func importDequantize(im *importer) error {
	x, out := im.op.inputs[0], im.op.outputs[0]
	if _, err := im.read(x, im.pictures(0)); err != nil {
		return err
	}
	h, o := im.held[x], &im.held[out]
	if o.first != "" || o.last != "" {
		return fail.New(fail.Corrupt, "the tensor is made twice")
	}
	if slices.Contains(im.f.outputs, out) { // an output has a name of its own
		in, err := im.read(x, false)
		if err != nil {
			return err
		}
		return im.write(out, false, actNone, func(name string) { im.emit("Identity", name, []string{in}, name) })
	}
	o.first, o.last = h.first, h.last
	return nil
}
