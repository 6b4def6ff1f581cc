package optimizer

import (
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
)

// FunctionOpset is what a file with model-local functions needs; OverloadIR is the IR version in which functions of
// one name can be told apart by their overload.
const (
	FunctionOpset = 15
	OverloadIR    = 10
)

// Upgrade raises the ai.onnx opset of m to at least opset and the IR version to at least ir, and converts the
// nodes whose meaning changed in between. Nodes keep their ids. fail.Unsupported names the first node that
// has no conversion; m is returned as it is when nothing has to change.
//
// Source: the version history in ONNX's docs/Changelog.md.
func Upgrade(m *model.Model, opset int, ir int64) (*model.Model, error) {
	from := m.Opset("")
	if from >= opset && m.IRVersion >= ir {
		return m, nil
	}
	g := *graphOf(m.Graph)
	functions := m.Functions
	if from < opset {
		var err error
		if functions, err = raiseFunctions(m.Functions, from, opset); err != nil {
			return nil, err
		}
		inf, _, err := ops.Infer(m, nil)
		if err != nil {
			return nil, fail.In(err, "raise the opset", fail.Where{})
		}
		u := &upgrade{from: from, to: opset, g: m.Graph, types: inf.Types, used: map[string]bool{}}
		for _, in := range m.Graph.Inits {
			u.used[in.Name] = true
		}
		for _, v := range m.Graph.Inputs {
			u.used[v.Name] = true
		}
		for _, n := range m.Graph.Nodes {
			for _, o := range n.Outputs {
				u.used[o] = true
			}
		}
		if g.Nodes, err = u.nodes(m.Graph.Nodes); err != nil {
			return nil, err
		}
		g.Inits = append(append([]*model.Init(nil), m.Graph.Inits...), u.inits...)
	}
	if m.IRVersion < 4 && ir >= 4 {
		g.Inputs = m.Graph.Free() // these had to be listed; from IR version 4 on that would make them overridable
	}
	out := m.WithGraph(&g)
	out.Functions = functions
	out.IRVersion = max(out.IRVersion, ir)
	set := false
	for i := range out.Opsets {
		if d := out.Opsets[i].Domain; d == "" || d == "ai.onnx" {
			out.Opsets[i].Version, set = max(out.Opsets[i].Version, int64(opset)), true
		}
	}
	if !set {
		out.Opsets = append(out.Opsets, model.Opset{Version: int64(opset)})
	}
	return out, nil
}

func graphOf(g *model.Graph) *model.Graph {
	return &model.Graph{Name: g.Name, Doc: g.Doc, Nodes: g.Nodes, Inputs: g.Inputs, Outputs: g.Outputs, Values: g.Values,
		Inits: g.Inits, Meta: g.Meta, Unknown: g.Unknown}
}

// raiseFunctions gives functions of the model's own the new opset where no operator in them means anything else there,
// as runtimes take a function apart only in a model of the same opset.
func raiseFunctions(in []*model.Function, from, to int) ([]*model.Function, error) {
	out := make([]*model.Function, len(in))
	for i, f := range in {
		c := *f
		c.Raw = nil
		c.Opsets = append([]model.Opset(nil), f.Opsets...)
		own := from
		for k := range c.Opsets {
			if d := c.Opsets[k].Domain; d == "" || d == "ai.onnx" {
				own = int(c.Opsets[k].Version)
				c.Opsets[k].Version = max(c.Opsets[k].Version, int64(to))
			}
		}
		u := &upgrade{from: own, to: to}
		for _, n := range f.Nodes {
			if n.Domain != "" && n.Domain != "ai.onnx" {
				continue
			}
			if !u.same(n) {
				return nil, fail.New(fail.Unsupported, "the opset of a model with functions of its own is raised only where their operators stay the same (from %d to %d)", own, to).
					At(fail.Where{Node: f.Name, Op: n.Op})
			}
		}
		out[i] = &c
	}
	return out, nil
}

// same reports whether n stays as it is: no subgraph, and no version in between that asks for a conversion.
func (u *upgrade) same(n *model.Node) bool {
	for i := range n.Attrs {
		if n.Attrs[i].G != nil {
			return false
		}
	}
	d, err := ops.Lookup("", n.Op, 0)
	if err != nil || !u.unchanged(n.Op) {
		return false
	}
	for _, v := range d.Since {
		if conversions[n.Op] != nil && v > u.from && v <= u.to {
			return false
		}
	}
	return true
}

type upgrade struct {
	from, to int
	g        *model.Graph
	types    map[string]model.Type
	inits    []*model.Init
	used     map[string]bool
}

func (u *upgrade) nodes(in []*model.Node) ([]*model.Node, error) {
	out := make([]*model.Node, len(in))
	for i, n := range in {
		c, err := u.node(n)
		if err != nil {
			return nil, fail.In(err, fmt.Sprintf("raise the opset from %d to %d", u.from, u.to), fail.Where{Node: string(n.ID), Op: n.Op})
		}
		out[i] = c
	}
	return out, nil
}

func (u *upgrade) node(n *model.Node) (*model.Node, error) {
	if n.Domain != "" && n.Domain != "ai.onnx" {
		return n, nil
	}
	c := *n
	c.Raw = nil
	c.Inputs = append([]string(nil), n.Inputs...)
	c.Attrs = append([]model.Attr(nil), n.Attrs...)
	for i := range c.Attrs {
		a := &c.Attrs[i]
		if a.G != nil {
			g := graphOf(a.G)
			nodes, err := u.nodes(g.Nodes)
			if err != nil {
				return nil, err
			}
			g.Nodes, a.Raw = nodes, nil
			a.G = g
		}
	}
	if f := conversions[n.Op]; f != nil {
		if len(n.Inputs) == 0 || len(n.Outputs) == 0 {
			return nil, fail.New(fail.Invalid, "has %d inputs and %d outputs", len(n.Inputs), len(n.Outputs))
		}
		return &c, f(u, &c)
	}
	if u.unchanged(n.Op) {
		return &c, nil
	}
	return nil, fail.New(fail.Unsupported, "operator %s changed its meaning in between and has no conversion", n.Op)
}

// unchanged reports whether the operator's meaning for nodes that are valid at from is the same at to: either
// no version lies in between, or all of those only added types, optional attributes or negative axes.
func (u *upgrade) unchanged(op string) bool {
	d, err := ops.Lookup("", op, 0)
	if err != nil || d.Until > 0 && u.to >= d.Until {
		return false
	}
	since, compatible := compatibleSince[op]
	for _, v := range d.Since {
		switch {
		case v <= u.from || v > u.to:
		case v <= 17 && !(compatible && u.from >= since), v > lastKnown, v > 17 && v == changedSince[op]:
			return false
		}
	}
	return true
}

// lastKnown is the newest opset whose changes the tables below describe.
const lastKnown = 24

// changedSince lists the operators whose meaning for old nodes changed after opset 17, and in which: the other versions
// from 18 to lastKnown only added types, optional inputs and attributes, or modes. Operators with a conversion are not here.
var changedSince = map[string]int{"GroupNormalization": 21, "DFT": 20}

// compatibleSince lists the operators whose versions from the given one up to 17 mean the same for old nodes.
var compatibleSince = map[string]int{
	"Abs": 6, "Acos": 7, "Add": 7, "And": 7, "ArgMax": 1, "ArgMin": 1, "Asin": 7, "Atan": 7, "AveragePool": 7, "Cast": 6, "Ceil": 6, "Concat": 4,
	"Constant": 1, "ConstantOfShape": 9, "Conv": 1, "ConvTranspose": 1, "Cos": 7, "DepthToSpace": 1, "Div": 7, "Elu": 6, "Equal": 7,
	"Erf": 9, "Exp": 6, "Expand": 8, "Flatten": 1, "Floor": 6, "GRU": 7, "Gather": 1, "Gemm": 7, "GlobalAveragePool": 1,
	"GlobalMaxPool": 1, "Greater": 7, "HardSigmoid": 6, "Identity": 1, "If": 1, "InstanceNormalization": 6, "IsNaN": 9, "LRN": 1,
	"LSTM": 7, "LeakyRelu": 6, "Less": 7, "Log": 6, "Loop": 11, "MatMul": 1, "Max": 8, "MaxPool": 1, "Mean": 8, "Min": 8, "Mod": 10,
	"Mul": 7, "Neg": 6, "NonMaxSuppression": 10, "NonZero": 9, "Not": 1, "OneHot": 9, "Or": 7, "PRelu": 7, "Pow": 7, "RNN": 7,
	"Reciprocal": 6, "ReduceL1": 1, "ReduceL2": 1, "ReduceMax": 1, "ReduceMean": 1, "ReduceMin": 1, "ReduceProd": 1, "Relu": 6,
	"Reshape": 5, "Round": 11, "ScatterND": 11, "Selu": 6, "Shape": 1, "Sigmoid": 6, "Sign": 9, "Sin": 7, "Softplus": 1, "Softsign": 1,
	"SpaceToDepth": 1, "Sqrt": 6, "Sub": 7, "Sum": 8, "Tan": 7, "Tanh": 6, "Tile": 6, "Transpose": 1, "Trilu": 14, "Where": 9, "Xor": 7,
	"QuantizeLinear": 10, "DequantizeLinear": 10, "ConvInteger": 10, "MatMulInteger": 10, "QLinearConv": 10, "QLinearMatMul": 10,
	"ThresholdedRelu": 10, "EyeLike": 9, "GatherElements": 11, "ScatterElements": 11, "GatherND": 11, "Range": 11, "CumSum": 11, "Resize": 11,
}

var conversions = map[string]func(*upgrade, *model.Node) error{
	"BatchNormalization": upgradeBatchNorm, "Dropout": upgradeDropout, "Clip": upgradeClip, "Pad": upgradePad,
	"Squeeze": attrToInput("axes", 13), "Unsqueeze": attrToInput("axes", 13), "ReduceSum": attrToInput("axes", 13),
	"ReduceMean": attrToInput("axes", 18), "ReduceMax": attrToInput("axes", 18), "ReduceMin": attrToInput("axes", 18), "ReduceProd": attrToInput("axes", 18),
	"ReduceL1": attrToInput("axes", 18), "ReduceL2": attrToInput("axes", 18), "ReduceLogSum": attrToInput("axes", 18),
	"ReduceLogSumExp": attrToInput("axes", 18), "ReduceSumSquare": attrToInput("axes", 18), "GridSample": upgradeGridSample,
	"Split": upgradeSplit, "Softmax": upgradeSoftmax, "LogSoftmax": upgradeSoftmax, "Hardmax": upgradeSoftmax,
	"Slice": upgradeSlice, "TopK": upgradeTopK, "Upsample": upgradeUpsample, "Resize": upgradeResize, "Reshape": upgradeReshape,
}

// input adds a constant and gives its name.
func (u *upgrade) input(n *model.Node, what string, t *model.Tensor) string {
	name := string(n.ID) + "." + what
	for k := 2; u.used[name]; k++ {
		name = fmt.Sprintf("%s.%s%d", n.ID, what, k)
	}
	u.used[name] = true
	u.inits = append(u.inits, &model.Init{Name: name, Tensor: t})
	return name
}

// drop removes attributes.
func drop(n *model.Node, names ...string) {
	var keep []model.Attr
	for _, a := range n.Attrs {
		gone := false
		for _, name := range names {
			gone = gone || a.Name == name
		}
		if !gone {
			keep = append(keep, a)
		}
	}
	n.Attrs = keep
}

func setInput(n *model.Node, i int, name string) {
	for len(n.Inputs) <= i {
		n.Inputs = append(n.Inputs, "")
	}
	n.Inputs[i] = name
}

// upgradeSplit gives the sizes as an input since 13, and the number of parts where there are none since 18.
func upgradeSplit(u *upgrade, n *model.Node) error {
	if err := attrToInput("split", 13)(u, n); err != nil {
		return err
	}
	if u.from < 18 && u.to >= 18 && (len(n.Inputs) < 2 || n.Inputs[1] == "") {
		n.Attrs = append(n.Attrs, model.IntAttr("num_outputs", int64(len(n.Outputs))))
	}
	return nil
}

// upgradeGridSample renames the modes, which since 20 are those of Resize.
func upgradeGridSample(u *upgrade, n *model.Node) error {
	if u.from >= 20 || u.to < 20 {
		return nil
	}
	name := map[string]string{"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}[n.Str("mode", "bilinear")]
	if name == "" {
		return fail.New(fail.Invalid, "has no such mode").At(fail.Where{Attr: "mode"})
	}
	drop(n, "mode")
	n.Attrs = append(n.Attrs, model.StrAttr("mode", name))
	return nil
}

func attrToInput(attr string, since int) func(*upgrade, *model.Node) error {
	return func(u *upgrade, n *model.Node) error {
		a := n.Attr(attr)
		if u.from >= since || u.to < since || a == nil {
			return nil
		}
		setInput(n, 1, u.input(n, attr, model.Int64s(a.Ints...)))
		drop(n, attr)
		return nil
	}
}

func upgradeBatchNorm(u *upgrade, n *model.Node) error {
	if u.from >= 14 {
		return nil
	}
	if n.Int("spatial", 1) == 0 {
		return fail.New(fail.Unsupported, "statistics for each position (spatial = 0) ended with opset 8")
	}
	for i, o := range n.Outputs {
		if i > 0 && o != "" {
			return fail.New(fail.Unsupported, "BatchNormalization in training mode has no conversion")
		}
	}
	n.Outputs = n.Outputs[:1]
	drop(n, "spatial", "is_test", "consumed_inputs")
	return nil
}

func upgradeDropout(u *upgrade, n *model.Node) error {
	if u.from >= 12 {
		return nil
	}
	if u.from < 10 && len(n.Outputs) > 1 && n.Outputs[1] != "" && len(u.g.Users(n.Outputs[1])) > 0 {
		return fail.New(fail.Unsupported, "the mask of a Dropout was a number before opset 10")
	}
	if a := n.Attr("ratio"); a != nil {
		setInput(n, 1, u.input(n, "ratio", model.Scalar32(a.F)))
	}
	drop(n, "ratio", "is_test", "consumed_inputs")
	return nil
}

func upgradeClip(u *upgrade, n *model.Node) error {
	if u.from >= 11 {
		return nil
	}
	for i, name := range []string{"min", "max"} {
		if a := n.Attr(name); a != nil {
			setInput(n, 1+i, u.input(n, name, model.Scalar32(a.F)))
		}
	}
	drop(n, "min", "max", "consumed_inputs")
	return nil
}

func upgradePad(u *upgrade, n *model.Node) error {
	if u.from >= 11 {
		return nil
	}
	pads := n.Ints("pads")
	if pads == nil {
		pads = n.Ints("paddings") // opset 1
	}
	if pads == nil {
		return fail.New(fail.Invalid, "is required and absent").At(fail.Where{Attr: "pads"})
	}
	setInput(n, 1, u.input(n, "pads", model.Int64s(pads...)))
	if v := n.Float("value", 0); v != 0 {
		setInput(n, 2, u.input(n, "value", model.Scalar32(v)))
	}
	drop(n, "pads", "paddings", "value")
	return nil
}

// upgradeSoftmax: before opset 13 the input was seen as a matrix cut at axis (default 1); now one axis is
// normalised. They agree where everything behind the axis has size 1.
func upgradeSoftmax(u *upgrade, n *model.Node) error {
	if u.from >= 13 {
		return nil
	}
	axis := n.Int("axis", 1)
	t := u.types[n.Inputs[0]]
	if !t.Ranked {
		return fail.New(fail.Unsupported, "the rank of its input is not known, and what axis means changed in opset 13")
	}
	r := int64(len(t.Shape))
	if axis < 0 {
		axis += r
	}
	if axis < 0 || axis >= r {
		return fail.New(fail.Unsupported, "axis %d of a value of rank %d", axis, r)
	}
	// The only dimension behind the cut that is not 1 may be any of them.
	real := int64(-1)
	for i := axis; i < r; i++ {
		if t.Shape[i].N == 1 {
			continue
		}
		if real >= 0 {
			return fail.New(fail.Unsupported, "it normalises over several dimensions at once, which opset 13 cannot say")
		}
		real = i
	}
	if real < 0 {
		real = axis
	}
	drop(n, "axis")
	n.Attrs = append(n.Attrs, model.IntAttr("axis", real))
	return nil
}

func upgradeSlice(u *upgrade, n *model.Node) error {
	if u.from >= 10 {
		return nil
	}
	starts, ends := n.Ints("starts"), n.Ints("ends")
	setInput(n, 1, u.input(n, "starts", model.Int64s(starts...)))
	setInput(n, 2, u.input(n, "ends", model.Int64s(ends...)))
	if axes := n.Ints("axes"); axes != nil {
		setInput(n, 3, u.input(n, "axes", model.Int64s(axes...)))
	}
	drop(n, "starts", "ends", "axes")
	return nil
}

func upgradeTopK(u *upgrade, n *model.Node) error {
	if u.from >= 10 {
		return nil
	}
	setInput(n, 1, u.input(n, "k", model.Int64s(n.Int("k", 0))))
	drop(n, "k")
	return nil
}

func upgradeReshape(u *upgrade, n *model.Node) error {
	if u.from >= 5 {
		return nil
	}
	setInput(n, 1, u.input(n, "shape", model.Int64s(n.Ints("shape")...)))
	drop(n, "shape", "consumed_inputs")
	return nil
}

// upgradeUpsample: Upsample became Resize, with the coordinates it always had.
func upgradeUpsample(u *upgrade, n *model.Node) error {
	scales := ""
	switch {
	case u.from < 7:
		return fail.New(fail.Unsupported, "Upsample before opset 7 has no conversion")
	case u.from < 9:
		f := n.Attr("scales")
		if f == nil {
			return fail.New(fail.Invalid, "is required and absent").At(fail.Where{Attr: "scales"})
		}
		scales = u.input(n, "scales", model.Float32s(append([]float32(nil), f.Floats...), len(f.Floats)))
		drop(n, "scales")
	default:
		if len(n.Inputs) < 2 {
			return fail.New(fail.Invalid, "input 1 (scales) is required and absent")
		}
		scales = n.Inputs[1]
	}
	if n.Str("mode", "nearest") == "bilinear" { // the word of opset 7
		drop(n, "mode")
		n.Attrs = append(n.Attrs, model.StrAttr("mode", "linear"))
	}
	n.Op = "Resize"
	n.Inputs = []string{n.Inputs[0], "", scales}
	oldResize(n)
	return nil
}

func upgradeResize(u *upgrade, n *model.Node) error {
	if u.from >= 11 {
		return nil
	}
	if len(n.Inputs) < 2 {
		return fail.New(fail.Invalid, "input 1 (scales) is required and absent")
	}
	n.Inputs = []string{n.Inputs[0], "", n.Inputs[1]}
	oldResize(n)
	return nil
}

func oldResize(n *model.Node) {
	n.Attrs = append(n.Attrs, model.StrAttr("coordinate_transformation_mode", "asymmetric"))
	if n.Str("mode", "nearest") == "nearest" {
		n.Attrs = append(n.Attrs, model.StrAttr("nearest_mode", "floor"))
	}
}
