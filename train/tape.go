package train

import (
	"fmt"
	"slices"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/ops"
)

// tape runs a model forward, keeping what the backward pass needs, and backward, adding up gradients. Values of four dimensions
// lie in memory as [N, H, W, C], whatever order their shape is told in: [N, C, H, W].
type tape[T float] struct {
	*muls
	memory[T]
	room       memory[T] // of the part that is run again
	recompute  Recompute
	replaying  bool                         // a part is run again
	batchStats map[*model.Node]normSaved[T] // of normalisations, where parts are run again
	parts      map[string][]segment         // by the shapes of the inputs
	shown      []string                     // values that are looked at after the pass forward
	fast       *fast                        // vector kernels for float32, or nil
	frozen     bool                         // BatchNormalization uses and keeps its running statistics
	keep       float64                      // share of the running statistics that a step keeps
	gated      map[*model.Node]bool         // normalisations whose Relu goes with them
	joins      map[*model.Node]bool         // normalisations with a sixth input: a sum with it and a Relu go with them
	now        map[string]model.Type        // of all values, for the batch that is under way
	size       string                       // its shapes
	types      map[string]model.Type        // of all values, for a batch of one
	consts     map[string]*model.Tensor     // what follows from constants alone
	rounded    map[string]bool              // weights as integers: no constants, since the floats behind them are learned
	bySize     map[string]following         // types and consts by the shapes of the inputs
	m          *model.Model
	moves      map[string][]*origin // by node and shapes
	stretched  map[string][]int32   // by shapes
	g          *model.Graph
	nodes      []applied[T]
	params     []*param[T]
	byName     map[string]*param[T]
	values     map[string]*array[T]
	grads      map[string]*array[T]
	users      map[*array[T]]int // how many values have it as their gradient
	saved      []any
	input      string          // the first one
	ins        []string        // all of them
	items      int             // of the batch that is under way
	idle       map[string]bool // values that no gradient is wanted of: they follow from data and constants alone
	output     string
	maker      map[string]int       // by value: its node
	readers    map[string][]int     // by value: the nodes that read it
	inner      []bool               // of nodes: it ran in a stretch
	moments    map[int]*channelSums // of the inputs of normalisations, by node, where a stretch has them
	late       []func()             // sums of gradients of weights, independent of each other
	ended      map[int]*channelSums // of what comes back to normalisations
	macs       int64                // multiply-adds of convolutions and products since it was last set to 0

	watch map[string]*array[T] // values whose gradients are kept: filled in by backward

	keepInput bool // the gradient of the input is wanted too: for checks
}

// param is an initializer: learned, or the running statistics that BatchNormalization estimates.
type param[T float] struct {
	name  string
	v     *array[T]
	grad  *array[T]
	learn bool
	order bool // the numbers lie as those of values do, [N, H, W, C]: not weights of convolutions
}

// applied is a node with its rule.
type applied[T float] struct {
	n   *model.Node
	out string
	rule[T]
}

// rule differentiates one operator. forward gets the inputs and gives the output and what backward needs of it; backward
// gets the gradient of the output and gives those of the inputs (nil: none).
type rule[T float] struct {
	forward  func(t *tape[T], n *model.Node, in []*array[T]) (*array[T], any, error)
	backward func(t *tape[T], n *model.Node, in []*array[T], saved any, dy *array[T]) ([]*array[T], error)
	many     *manyRule[T] // instead, for operators of several outputs
}

// manyRule is a rule for several outputs; one that is not asked for may be nil, and so may its gradient.
type manyRule[T float] struct {
	forward  func(t *tape[T], n *model.Node, in []*array[T]) ([]*array[T], any, error)
	backward func(t *tape[T], n *model.Node, in []*array[T], saved any, dys []*array[T]) ([]*array[T], error)
}

// rules is the table of operators that can be trained through; a line of a family is one of the tables named.
func rules[T float]() map[string]rule[T] {
	l := map[string]rule[T]{
		"Conv":                  lifted(rule[T]{forward: convForward[T], backward: convBackward[T]}),
		"ConvTranspose":         lifted(rule[T]{forward: convTransposeForward[T], backward: convTransposeBackward[T]}),
		"BatchNormalization":    {forward: normForward[T], backward: normBackward[T]},
		"LayerNormalization":    groupNorm[T](),
		"RMSNormalization":      groupNorm[T](),
		"InstanceNormalization": groupNorm[T](),
		"GroupNormalization":    groupNorm[T](),
		"Relu":                  {forward: reluForward[T], backward: reluBackward[T]},
		"Clip":                  {forward: clipForward[T], backward: clipBackward[T]},
		"Softmax":               softmax[T](false),
		"LogSoftmax":            softmax[T](true),
		"MaxPool":               lifted(rule[T]{forward: maxPoolForward[T], backward: maxPoolBackward[T]}),
		"AveragePool":           lifted(rule[T]{forward: avgPoolForward[T], backward: avgPoolBackward[T]}),
		"GlobalAveragePool":     {forward: gapForward[T], backward: gapBackward[T]},
		"GlobalMaxPool":         globalMax[T](),
		"ReduceMax":             extreme(func(a, b T) bool { return a > b }),
		"ReduceMin":             extreme(func(a, b T) bool { return a < b }),
		"Gemm":                  gemmAny[T](),
		"MatMul":                {forward: matMulForward[T], backward: matMulBackward[T]},
		"LSTM":                  recurrentRule[T](lstm()),
		"GRU":                   recurrentRule[T](gru()),
		"Mean":                  elementwise[T](pairings()["Sum"], true),
		"QuantizeLinear":        {forward: quantizeForward[T], backward: quantizeBackward[T]},
		"DequantizeLinear":      {forward: dequantizeForward[T], backward: dequantizeBackward[T]},
	}
	for op, c := range curves() {
		l[op] = unary[T](c)
	}
	for op, p := range pairings() {
		l[op] = elementwise[T](p, false)
	}
	for op, f := range foldings() {
		l[op] = reduce[T](f)
	}
	for op, data := range dataInputs() {
		l[op] = moved[T](data)
	}
	for op, f := range judgements() {
		l[op] = judged[T](f)
	}
	l["Not"], l["Cast"], l["Where"], l["Gather"] = not[T](), cast[T](), where(l["Where"]), gatherRows(l["Gather"])
	l["Resize"], l["Upsample"] = resizeAny(l["Resize"]), resizeAny(l["Upsample"])
	l["Identity"] = rule[T]{forward: identityForward[T], backward: identityBackward[T]}
	l["Reshape"], l["Flatten"] = flat(l["Reshape"]), flat(l["Flatten"])
	l["Concat"] = joined(l["Concat"])
	return l
}

func newTape[T float](m *model.Model) (*tape[T], error) { return newTapeOn[T](m, cpu.Detect()) }

// newTapeOn is newTape with the kernels of some features.
func newTapeOn[T float](m *model.Model, feat cpu.Features) (*tape[T], error) {
	g := m.Graph
	free := g.Free()
	if len(g.Outputs) != 1 {
		return nil, fail.New(fail.Unsupported, "training needs one output, the model has %d", len(g.Outputs)).Try("train a model that ends at one of them")
	}
	inputs, err := InputsOf(m)
	if err != nil {
		return nil, err
	}
	inf, _, err := ops.Infer(m, typesFor(free, nil))
	if err != nil {
		return nil, err
	}
	t := &tape[T]{muls: newMuls(feat), keep: 0.9, types: inf.Types, consts: inf.Consts, bySize: map[string]following{}, ins: inputs.Names(), moves: map[string][]*origin{}, stretched: map[string][]int32{}, m: m, g: g, byName: map[string]*param[T]{}, input: free[0].Name, output: g.Outputs[0].Name}
	for _, in := range g.Inits {
		if in.Tensor.DType != model.Float32 {
			continue
		}
		p := newParam[T](in.Name, in.Tensor)
		p.learn = true
		t.params = append(t.params, p)
		t.byName[in.Name] = p
	}
	if _, ok := any(t).(*tape[float32]); ok {
		t.fast = newFast(t.feat, 1)
	}
	table := rules[T]()
	moving := map[string]bool{} // values that depend on the data, or on weights that are rounded on the way
	t.idle = map[string]bool{}
	for _, in := range t.ins {
		moving[in], t.idle[in] = true, true
	}
	t.rounded = roundedWeights(g, t.byName)
	t.forget(t.consts)
	for _, n := range g.Nodes {
		live := false
		for _, r := range model.Reads(n) {
			live = live || moving[r] || t.rounded[n.Outputs[0]]
		}
		known := true
		for _, o := range n.Outputs {
			known = known && (o == "" || inf.Consts[o] != nil)
		}
		if !live || known || n.Op == "Shape" || !t.rounded[n.Outputs[0]] && t.onlyShapes(n, moving) { // constants, and shapes that depend on the size of the batch
			continue
		}
		idle := !t.rounded[n.Outputs[0]]
		for _, r := range model.Reads(n) {
			idle = idle && (t.idle[r] || !moving[r] && t.byName[r] == nil)
		}
		for _, o := range n.Outputs {
			moving[o], t.idle[o] = true, idle
		}
		r, ok := table[n.Op]
		if !ok || n.Domain != "" {
			return nil, fail.New(fail.Unsupported, "no gradient for this operator").At(fail.Where{Node: string(n.ID), Op: n.Op})
		}
		if n.Op == "BatchNormalization" {
			for _, stat := range n.Inputs[3:] {
				if p := t.byName[stat]; p != nil {
					p.learn = false
				}
			}
		}
		t.nodes = append(t.nodes, applied[T]{n, n.Outputs[0], r})
	}
	if err := t.fixed(); err != nil {
		return nil, err
	}
	return t, nil
}

// fuse lets normalisations take what is behind them along, where nobody else reads what lies between: a Relu, or a sum with another
// value and a Relu. The vector kernels do it in one pass. Values between are not kept then.
func (t *tape[T]) fuse() {
	if t.fast == nil {
		return
	}
	t.gated, t.joins = map[*model.Node]bool{}, map[*model.Node]bool{}
	readers := map[string]int{}
	for _, n := range t.g.Nodes {
		for _, r := range model.Reads(n) {
			readers[r]++
		}
	}
	private := func(v string) bool { return readers[v] == 1 && t.g.Output(v) == nil }
	var l []applied[T]
	norm, sums := map[string]int{}, map[string]int{} // by output: its place in l
	for _, a := range t.nodes {
		in := a.n.Inputs[0]
		if a.n.Op == "Relu" && private(in) {
			if i, ok := norm[in]; ok {
				l[i].out, t.gated[l[i].n] = a.out, true
				delete(norm, in)
				continue
			}
			if i, ok := sums[in]; ok && t.join(l, norm, private, i, a.out) {
				continue
			}
		}
		switch a.n.Op {
		case "BatchNormalization":
			norm[a.out] = len(l)
		case "Add":
			sums[a.out] = len(l)
		}
		l = append(l, a)
	}
	t.nodes = slices.DeleteFunc(l, func(a applied[T]) bool { return a.n == nil })
}

// join puts the normalisation before the sum l[i] into its place, with the Relu behind, which writes out.
func (t *tape[T]) join(l []applied[T], norm map[string]int, private func(string) bool, i int, out string) bool {
	n := l[i].n
	if len(n.Inputs) != 2 {
		return false
	}
	for k, v := range n.Inputs {
		at, ok := norm[v]
		other := n.Inputs[1-k]
		if !ok || !private(v) || other == v || t.byName[other] != nil || t.consts[other] != nil || !sameShape(t.types[v], t.types[other]) {
			continue
		}
		with := *l[at].n
		with.Inputs = append(slices.Clone(with.Inputs[:5]), other)
		l[i] = applied[T]{&with, out, l[at].rule}
		l[at].n = nil
		delete(norm, v)
		t.joins[&with] = true
		return true
	}
	return false
}

// sameShape reports whether two types have known, equal sizes of pictures.
func sameShape(a, b model.Type) bool {
	if !a.Ranked || !b.Ranked || len(a.Shape) != 4 || len(b.Shape) != 4 {
		return false
	}
	for i := range a.Shape {
		if !a.Shape[i].Known() || !b.Shape[i].Known() || a.Shape[i].N != b.Shape[i].N {
			return false
		}
	}
	return true
}

// typesFor are the types of inputs for a batch of values of the shapes given, where the model leaves sizes open; without shapes these are 1.
func typesFor(ins []model.Value, shapes [][]int) map[string]model.Type {
	l := map[string]model.Type{}
	for k, in := range ins {
		c := in.Type
		if !c.Ranked {
			continue
		}
		c.Shape = append(model.Shape(nil), c.Shape...)
		for i := range c.Shape {
			if !c.Shape[i].Known() {
				c.Shape[i] = model.Fixed(1)
				if k < len(shapes) && i < len(shapes[k]) {
					c.Shape[i] = model.Fixed(shapes[k][i])
				}
			}
		}
		l[in.Name] = c
	}
	return l
}

// following is what follows from the sizes of the inputs: types, and shapes that the model computes.
type following struct {
	types  map[string]model.Type
	consts map[string]*model.Tensor
}

// resize takes anew what follows from the sizes of the inputs.
func (t *tape[T]) resize(xs []*array[T]) error {
	var shapes [][]int
	for _, x := range xs {
		shapes = append(shapes, x.shape)
	}
	t.items, t.size = shapes[0][0], fmt.Sprint(shapes)
	if s, ok := t.bySize[t.size]; ok {
		t.consts, t.now = s.consts, s.types
		return nil
	}
	inf, _, err := ops.Infer(t.m, typesFor(t.g.Free(), shapes))
	if err != nil {
		return err
	}
	t.forget(inf.Consts)
	t.bySize[t.size] = following{inf.Types, inf.Consts}
	t.consts, t.now = inf.Consts, inf.Types
	return nil
}

// fixed says which parameters keep their values: single numbers in arithmetic belong to the formula, and constants are no weights.
func (t *tape[T]) fixed() error {
	formula := map[string]bool{}
	pairs, judges := pairings(), judgements()
	for _, a := range t.nodes {
		_, pair := pairs[a.n.Op]
		_, judge := judges[a.n.Op]
		pair = pair || judge || a.n.Op == "Where"
		for i, in := range a.n.Inputs {
			if p := t.byName[in]; p != nil && len(p.v.v) == 1 && pair {
				formula[in] = true
			} else if c := t.consts[in]; p == nil && c != nil && (c.DType == model.Float32 || pair && isWhole(c.DType) && (a.n.Op != "Where" || i > 0)) {
				t.byName[in] = newParam[T](in, c)
			}
		}
	}
	if err := t.orders(); err != nil {
		return err
	}
	for name := range formula {
		t.byName[name].learn = false
	}
	return nil
}

// orders puts parameters of four dimensions that are no weights of convolutions into the order of values.
func (t *tape[T]) orders() error {
	weight, value := map[*param[T]]bool{}, map[*param[T]]bool{}
	for _, a := range t.nodes {
		for i, in := range a.n.Inputs {
			if p := t.byName[in]; p != nil && len(p.v.shape) == 4 {
				if i == 1 && (a.n.Op == "Conv" || a.n.Op == "ConvTranspose") {
					weight[p] = true
				} else {
					value[p] = true
				}
			}
		}
	}
	for p := range value {
		if weight[p] {
			return fail.New(fail.Unsupported, "the weights %s are read by a convolution and by others", p.name)
		}
		v := p.v.v
		p.v, p.order = newArray[T](p.v.shape...), true
		toPixels(p.v.v, v, p.v.shape)
	}
	return nil
}

// kernel gives the weights of a convolution in their own order, whether they are parameters or the values of other nodes; home brings
// their gradient back into the order of such values.
func (t *tape[T]) kernel(n *model.Node, w *array[T]) *array[T] {
	if p := t.byName[n.Inputs[1]]; p != nil && !p.order || len(w.shape) != 4 {
		return w
	}
	return &array[T]{w.shape, t.planes(w)}
}

func (t *tape[T]) home(n *model.Node, dw *array[T]) *array[T] {
	if p := t.byName[n.Inputs[1]]; p != nil && !p.order || len(dw.shape) != 4 {
		return dw
	}
	return t.back(dw.v, dw.shape)
}

func newParam[T float](name string, c *model.Tensor) *param[T] {
	p := &param[T]{name: name, v: newArray[T](c.Shape...)}
	for i := range p.v.v {
		p.v.v[i] = T(c.Float64At(i))
	}
	return p
}

// isWhole reports whether a type is one of whole numbers or truth values.
func isWhole(d model.DType) bool {
	switch d {
	case model.Int64, model.Int32, model.Int8, model.Uint8, model.Bool:
		return true
	}
	return false
}

// onlyShapes reports whether everything that n reads is integer arithmetic on shapes, which no rule needs.
func (t *tape[T]) onlyShapes(n *model.Node, moving map[string]bool) bool {
	for _, r := range model.Reads(n) {
		if moving[r] {
			return false
		}
	}
	return true
}

// wants reports whether the gradient of a value is asked for: not of the data, nor of what follows from constants.
func (t *tape[T]) wants(name string) bool { return !t.idle[name] || t.keepInput }

func (t *tape[T]) value(name string) *array[T] {
	if name == "" {
		return nil
	}
	if p := t.byName[name]; p != nil {
		return p.v
	}
	return t.values[name]
}

func (t *tape[T]) inputs(n *model.Node) []*array[T] {
	in := make([]*array[T], len(n.Inputs))
	for i, name := range n.Inputs {
		in[i] = t.value(name)
	}
	return in
}

// forward runs a batch, a value for each input.
func (t *tape[T]) forward(xs ...*array[T]) (*array[T], error) {
	t.reset()
	if err := t.resize(xs); err != nil {
		return nil, err
	}
	t.values = map[string]*array[T]{}
	for i, x := range xs {
		t.values[t.ins[i]] = x
	}
	t.saved = make([]any, len(t.nodes))
	t.moments, t.inner = map[int]*channelSums{}, make([]bool, len(t.nodes))
	parts, err := t.partsFor()
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := t.runPart(p); err != nil {
			return nil, err
		}
	}
	return t.values[t.output], t.trouble()
}

// partsFor cuts the nodes for the batch that is under way.
func (t *tape[T]) partsFor() ([]segment, error) {
	if l := t.parts[t.size]; l != nil {
		return l, nil
	}
	l, err := t.divide()
	if err != nil {
		return nil, err
	}
	if t.parts == nil {
		t.parts = map[string][]segment{}
	}
	t.parts[t.size] = l
	return l, nil
}

// show says which inner values are looked at after the pass forward.
func (t *tape[T]) show(names []string) {
	if !slices.Equal(names, t.shown) {
		t.shown, t.parts = names, nil
	}
}

// runNodes runs a range of nodes forward.
func (t *tape[T]) runNodes(from, to int) error {
	for i := from; i < to; {
		next, err := t.ahead(i, to)
		if err != nil {
			return err
		}
		if next > i {
			i = next
			continue
		}
		if t.saved[i], err = t.apply(t.nodes[i]); err != nil {
			return trainIn(err, t.nodes[i].n)
		}
		i++
	}
	return nil
}

// apply runs one node.
func (t *tape[T]) apply(a applied[T]) (any, error) {
	if a.many == nil {
		y, saved, err := a.forward(t, a.n, t.inputs(a.n))
		t.values[a.out] = y
		return saved, err
	}
	ys, saved, err := a.many.forward(t, a.n, t.inputs(a.n))
	for i, y := range ys {
		if i < len(a.n.Outputs) && a.n.Outputs[i] != "" {
			t.values[a.n.Outputs[i]] = y
		}
	}
	return saved, err
}

// undo gives the gradients of the inputs of one node, and those of its outputs, which it used; nil where none is known.
func (t *tape[T]) undo(a applied[T], saved any) (ds, used []*array[T], err error) {
	if a.many == nil {
		g := t.grads[a.out]
		if g == nil {
			return nil, nil, nil
		}
		ds, err = a.backward(t, a.n, t.inputs(a.n), saved, g)
		return ds, []*array[T]{g}, err
	}
	gs := make([]*array[T], len(a.n.Outputs))
	for i, o := range a.n.Outputs {
		if o != "" && t.grads[o] != nil {
			gs[i] = t.grads[o]
			used = append(used, gs[i])
		}
	}
	if used == nil {
		return nil, nil, nil
	}
	ds, err = a.many.backward(t, a.n, t.inputs(a.n), saved, gs)
	return ds, used, err
}

// backward fills the gradients of all parameters from those of values: at least of the output.
func (t *tape[T]) backward(seeds map[string]*array[T]) error {
	for _, p := range t.params {
		p.grad = nil
	}
	t.grads, t.users = map[string]*array[T]{}, map[*array[T]]int{}
	for name, d := range seeds {
		t.grads[name] = d
		t.users[d] = 2 // its owner keeps it
	}
	t.ended, t.late = map[int]*channelSums{}, nil
	parts, err := t.partsFor()
	if err != nil {
		return err
	}
	for _, p := range slices.Backward(parts) {
		if err := t.backPart(p); err != nil {
			return err
		}
	}
	if t.fast != nil {
		t.fast.each(len(t.late), func(i, _ int) { t.late[i]() })
	}
	return t.trouble()
}

// backNodes takes gradients back through a range of nodes.
func (t *tape[T]) backNodes(from, to int) error {
	for i := to - 1; i >= from; i-- {
		next, err := t.astern(i, from)
		if err != nil {
			return err
		}
		if next < i {
			i = next + 1
			continue
		}
		a := t.nodes[i]
		ds, used, err := t.undo(a, t.saved[i])
		if err != nil {
			return trainIn(err, a.n)
		}
		for k, d := range ds {
			if d != nil && a.n.Inputs[k] != "" {
				t.accumulate(a.n.Inputs[k], d)
			}
		}
		for _, o := range a.n.Outputs {
			if _, ok := t.watch[o]; ok && t.grads[o] != nil {
				c := like(t.grads[o])
				copy(c.v, t.grads[o].v)
				t.watch[o] = c
			}
		}
		for _, g := range used {
			t.drop(g)
		}
	}
	return nil
}

// trouble is what went wrong on a worker.
func (t *tape[T]) trouble() error {
	if t.fast == nil {
		return nil
	}
	return t.fast.failed
}

// spread runs work on parts of n numbers, on the crew where there is one and the parts are worth it.
func (t *tape[T]) spread(n int, work func(from, to int)) {
	if t.fast == nil || t.fast.crew == nil || n < 1<<14 {
		work(0, n)
		return
	}
	t.fast.ranges((n+15)/16, func(_, from, to int) { work(16*from, min(16*to, n)) })
}

func (t *tape[T]) accumulate(name string, d *array[T]) {
	if p := t.byName[name]; p != nil {
		if p.learn {
			t.users[d]++
			p.grad = t.plus(p.grad, d)
		}
		return
	}
	if !t.wants(name) {
		if t.users[d] == 0 {
			t.give(d.v)
		}
		return
	}
	old := t.grads[name]
	switch {
	case old == nil:
		t.users[d]++
		t.grads[name] = d
	case t.users[old] == 1:
		t.spread(len(old.v), func(from, to int) { sum(t.muls, old.v[from:to], old.v[from:to], d.v[from:to]) })
		if t.users[d] == 0 {
			t.give(d.v)
		}
	default: // others have it too
		c := t.plus(old, d)
		t.users[c]++
		t.grads[name] = c
		t.drop(old)
		if t.users[d] == 0 {
			t.give(d.v)
		}
	}
}

// drop says that one value less has the gradient d, whose memory is free after the last.
func (t *tape[T]) drop(d *array[T]) {
	if t.users[d]--; t.users[d] == 0 {
		t.give(d.v)
	}
}

// plus is a + b as a new value: both may be those of others too.
func (t *tape[T]) plus(a, b *array[T]) *array[T] {
	if a == nil {
		return b
	}
	c := t.array(a.shape...)
	t.spread(len(c.v), func(from, to int) { sum(t.muls, c.v[from:to], a.v[from:to], b.v[from:to]) })
	return c
}

// model is base with the trained weights.
func (t *tape[T]) model(base *model.Model) (*model.Model, error) {
	p := &model.Patch{}
	for _, q := range t.params {
		w := model.NewTensor(model.Float32, q.v.shape...)
		d, from := model.Data[float32](w), q.v.v
		if q.order {
			from = make([]T, len(from))
			toPlanes(from, q.v.v, q.v.shape)
		}
		for i, v := range from {
			d[i] = float32(v)
		}
		p.Inits = append(p.Inits, &model.Init{Name: q.name, Tensor: w})
	}
	return base.Apply(p)
}
