package quantize

import (
	"context"
	"fmt"
	"math"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// import-quantized
//
//	Before:     y = Mul(Sub(Clip(Round(Add(Div(x, s), z)), lo, hi), z), s)      as training for integers leaves it, in single operators
//	After:      y = DequantizeLinear(QuantizeLinear(x, s, z), s, z)             of a constant x: its integers and DequantizeLinear
//	Conditions: s, z, lo and hi are constants; s is one number or one for each index of one axis; lo and hi are whole and fit 8 bits, or
//	            4 bits for constants; nothing else reads the values between. Add and Sub may be absent, Clip may stand before Round,
//	            and a product by 1/s may stand for Div.
//	            Float biases of layers whose input and weights are integers become int32 with scale sx*sw.
//	Exactness:  scored: a product by 1/s may round the other way, and biases are rounded.
//	Paper:      Jacob et al. 2018, arXiv:1712.05877 (simulated quantization).

// NewImport makes the pass.
func NewImport() optimizer.Pass { return importPass{} }

type importPass struct{}

// Info describes the pass.
func (importPass) Info() optimizer.Info {
	return optimizer.Info{Name: "import-quantized", Title: "Import quantized", Exactness: optimizer.Scored,
		Promise: "Turns the rounding that training for integers left in single operators into integers that engines compute on.",
		Paper:   "Jacob et al. 2018, arXiv:1712.05877", Undo: "the float weights behind the rounding"}
}

// Options is nil: there are none.
func (importPass) Options() any { return nil }

// Check predicts the findings.
func (p importPass) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	_, found, err := p.Apply(context.Background(), env, m)
	return found, err
}

// Apply replaces chains, then biases.
func (p importPass) Apply(_ context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	up, err := optimizer.Upgrade(m, minOpset, minIR)
	if err != nil {
		return nil, nil, err
	}
	if up, err = plainConstants(up); err != nil {
		return nil, nil, err
	}
	r := &importer{env: env, v: optimizer.NewView(up, "import-quantized"), used: names(up)}
	for _, n := range up.Graph.Nodes {
		if is(n, "Mul", "Div") && n.Domain != fettle {
			r.chain(n)
		}
	}
	out := up
	if len(r.patches) > 0 {
		if out, err = up.Apply(r.patches...); err != nil {
			return nil, nil, err
		}
		if r.wide != 0 {
			if out, err = optimizer.Upgrade(out, precisions["int4"].opset, precisions["int4"].ir); err != nil {
				return nil, nil, err
			}
		}
		out = sweepDead(out)
	}
	b := &importer{env: env, v: optimizer.NewView(out, "import-quantized"), used: names(out)}
	for _, n := range out.Graph.Nodes {
		if is(n, "Conv", "Gemm") && n.Domain != fettle {
			b.bias(n)
		}
	}
	found := append(r.found, b.found...)
	if len(b.patches) > 0 {
		if out, err = out.Apply(b.patches...); err != nil {
			return nil, nil, err
		}
		out = sweepDead(out)
	}
	if len(r.patches)+len(b.patches) == 0 {
		out = m
	}
	if len(found) == 0 {
		found = []optimizer.Finding{{Rule: "import-quantized", Outcome: optimizer.Nothing, Reason: "no rounding in single operators and no float bias between integers"}}
	}
	return out, found, nil
}

// plainConstants makes initializers of Constant nodes: exporters write scales and zeros as such, and fold-constants comes later.
func plainConstants(m *model.Model) (*model.Model, error) {
	inf, _, err := ops.Infer(m, nil)
	if err != nil {
		return nil, fail.In(err, "import quantized", fail.Where{})
	}
	p := &model.Patch{}
	for _, n := range m.Graph.Nodes {
		if !is(n, "Constant") || len(n.Outputs) != 1 || m.Graph.Output(n.Outputs[0]) != nil {
			continue
		}
		if t := inf.Consts[n.Outputs[0]]; t != nil {
			p.Drop = append(p.Drop, n.ID)
			p.Inits = append(p.Inits, &model.Init{Name: n.Outputs[0], Tensor: t})
		}
	}
	if len(p.Drop) == 0 {
		return m, nil
	}
	return m.Apply(p)
}

type importer struct {
	env     *optimizer.Env
	v       *optimizer.View
	used    map[string]bool
	patches []*model.Patch
	found   []optimizer.Finding
	wide    int // constants of 4 bits
}

func (r *importer) say(reason string, nodes ...*model.Node) bool {
	f := optimizer.Describe("import-quantized", nodes...)
	f.Outcome = optimizer.Applied
	if why, ok := r.env.Scope.Allows(nodes[0]); !ok {
		reason = why
	}
	if reason != "" {
		f.Outcome, f.Reason = optimizer.Refused, reason
	}
	r.found = append(r.found, f)
	return reason == ""
}

// fake is rounding in single operators.
type fake struct {
	nodes  []*model.Node // the last one first
	x      string
	scale  *model.Tensor
	zero   float64
	lo, hi float64
	clip   bool
}

// chain looks for rounding that ends with n.
func (r *importer) chain(n *model.Node) {
	f, ok := r.match(n)
	if !ok {
		return
	}
	axis, channels, why := r.grid(f)
	if why == "" {
		why = f.fits(r.v.Const(f.x) != nil)
	}
	if !r.say(why, f.nodes...) {
		return
	}
	p := &model.Patch{}
	for _, x := range f.nodes {
		p.Drop = append(p.Drop, x.ID)
	}
	dt := model.Int8
	if f.lo >= 0 {
		dt = model.Uint8
	}
	var attrs []model.Attr
	shape := []int(nil)
	if axis >= 0 {
		attrs, shape = []model.Attr{model.IntAttr("axis", int64(axis))}, []int{channels}
	}
	scale, zero := f.scale.Reshaped(shape...), model.NewTensor(dt, shape...)
	for i := range zero.Len() {
		zero.SetInt64(i, int64(f.zero))
	}
	y := f.nodes[0].Outputs[0]
	base := f.x
	sn, zn := fresh(r.used, base+"_scale"), fresh(r.used, base+"_zero")
	q := fresh(r.used, base+"_q")
	made := func(op string, in []string, out string, attrs ...model.Attr) {
		p.Add = append(p.Add, &model.Node{ID: model.Derive("import "+op, n.ID), Name: fresh(r.used, out+"_"+op), Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs, Origin: n.Origin})
	}
	if w := r.v.Const(f.x); w != nil {
		t := f.integers(w, axis)
		if f.lo >= -8 && f.hi <= 7 {
			t, zero = narrow(t), narrow(zero)
			r.wide++
		}
		p.Inits = []*model.Init{{Name: q, Tensor: t}}
	} else {
		from := f.x
		if lo, hi := ends(dt); f.lo > lo || f.hi < hi { // the integers hold more than the chain lets through
			from = fresh(r.used, base+"_held")
			l, h := fresh(r.used, base+"_least"), fresh(r.used, base+"_most")
			s := f.scale.Float64At(0)
			p.Inits = append(p.Inits, &model.Init{Name: l, Tensor: model.Scalar32(float32((f.lo - f.zero) * s))}, &model.Init{Name: h, Tensor: model.Scalar32(float32((f.hi - f.zero) * s))})
			made("Clip", []string{f.x, l, h}, from)
		}
		made("QuantizeLinear", []string{from, sn, zn}, q, attrs...)
	}
	made("DequantizeLinear", []string{q, sn, zn}, y, attrs...)
	p.Inits = append(p.Inits, &model.Init{Name: sn, Tensor: scale}, &model.Init{Name: zn, Tensor: zero})
	r.patches = append(r.patches, p)
}

func ends(dt model.DType) (lo, hi float64) {
	if dt == model.Uint8 {
		return 0, 255
	}
	return -128, 127
}

func narrow(t *model.Tensor) *model.Tensor {
	out := model.NewTensor(model.Int4, t.Shape...)
	for i := range t.Len() {
		out.SetInt64(i, t.Int64At(i))
	}
	return out
}

// match follows the chain from its last product to its first quotient; false where n ends no such chain.
func (r *importer) match(n *model.Node) (*fake, bool) {
	v, f := r.v, &fake{}
	x, s := r.factor(n)
	if s == nil {
		return nil, false
	}
	f.nodes = append(f.nodes, n)
	step := func() *model.Node { // the node that alone makes x for the chain
		p := v.G.Producer(x)
		if p == nil || len(p.Outputs) != 1 || len(v.G.Users(x)) != 1 || v.G.Output(x) != nil {
			return nil
		}
		return p
	}
	p := step()
	back := 0.0
	if p != nil && is(p, "Sub", "Add") {
		z := r.number(input(p, 1))
		if z == nil {
			return nil, false
		}
		if back = *z; is(p, "Add") {
			back = -back
		}
		f.nodes, x = append(f.nodes, p), input(p, 0)
		p = step()
	}
	rounded := false
	for ; p != nil && is(p, "Clip", "Round"); p = step() {
		if is(p, "Round") {
			if rounded {
				return nil, false
			}
			rounded = true
		} else {
			lo, hi := r.number(input(p, 1)), r.number(input(p, 2))
			if f.clip || lo == nil || hi == nil {
				return nil, false
			}
			f.lo, f.hi, f.clip = *lo, *hi, true
		}
		f.nodes, x = append(f.nodes, p), input(p, 0)
	}
	// The zero may be added before or after rounding: it is whole.
	if p != nil && is(p, "Add") {
		z := r.number(input(p, 1))
		if z == nil {
			return nil, false
		}
		f.zero, f.nodes, x = *z, append(f.nodes, p), input(p, 0)
		if p = step(); p != nil && is(p, "Round") && !rounded {
			rounded, f.nodes, x = true, append(f.nodes, p), input(p, 0)
			p = step()
		}
	}
	if p == nil || !is(p, "Mul", "Div") || !rounded || !f.clip || f.zero != back {
		return nil, false
	}
	from, t := r.factor(p)
	if t == nil || t.Len() != s.Len() {
		return nil, false
	}
	for i := range s.Len() { // the product undoes the quotient
		if k := s.Float64At(i) * t.Float64At(i); math.Abs(k-1) > 1e-6 || !(s.Float64At(i) > 0) {
			return nil, false
		}
	}
	f.nodes, f.x, f.scale = append(f.nodes, p), from, s
	return f, v.Type(from).DType == model.Float32
}

// factor gives the value that n multiplies and the constant by which, inverted where n divides.
func (r *importer) factor(n *model.Node) (string, *model.Tensor) {
	x, s := input(n, 0), r.v.Const(input(n, 1))
	if s == nil && is(n, "Mul") {
		x, s = input(n, 1), r.v.Const(input(n, 0))
	}
	if s == nil || s.DType != model.Float32 || x == "" {
		return "", nil
	}
	if is(n, "Div") {
		t := s.Clone()
		for i := range t.Len() {
			t.SetFloat64(i, 1/s.Float64At(i))
		}
		return x, t
	}
	return x, s
}

// number is a constant of one element.
func (r *importer) number(name string) *float64 {
	t := r.v.Const(name)
	if t == nil || t.Len() != 1 {
		return nil
	}
	x := t.Float64At(0)
	return &x
}

// grid gives the axis of the scales, -1 where there is one scale, or why they have none.
func (r *importer) grid(f *fake) (axis, n int, why string) {
	if f.scale.Len() == 1 {
		return -1, 1, ""
	}
	t := r.v.Type(f.x)
	if !t.Ranked || f.scale.Rank() > len(t.Shape) {
		return 0, 0, "the rank of its values is not known"
	}
	if r.v.Const(f.x) == nil {
		return 0, 0, "values with a scale for each channel have no integer operators"
	}
	axis = -1
	for i, d := range f.scale.Shape {
		if d > 1 {
			if axis >= 0 {
				return 0, 0, "its scales change along more than one axis"
			}
			axis = i + len(t.Shape) - f.scale.Rank()
		}
	}
	if d := t.Shape[axis]; d.Known() && d.N != f.scale.Len() {
		return 0, 0, fmt.Sprintf("%d scales for %s channels", f.scale.Len(), d)
	}
	return axis, f.scale.Len(), ""
}

// fits says why the integers are none of ours, or "".
func (f *fake) fits(constant bool) string {
	for _, x := range []float64{f.lo, f.hi, f.zero} {
		if x != math.Trunc(x) {
			return fmt.Sprintf("%v is no whole number", x)
		}
	}
	switch {
	case f.lo >= 0 && f.hi <= 255 && f.lo < f.hi, f.lo >= -128 && f.hi <= 127 && f.lo < f.hi:
	default:
		return fmt.Sprintf("integers from %v to %v are not those of 8 bits", f.lo, f.hi)
	}
	if f.zero < f.lo || f.zero > f.hi {
		return fmt.Sprintf("the zero %v is outside of %v to %v", f.zero, f.lo, f.hi)
	}
	if constant && f.zero != 0 && f.lo < 0 {
		return "weights with a zero other than 0 have no integer operators"
	}
	return ""
}

// integers are those of constant w.
func (f *fake) integers(w *model.Tensor, axis int) *model.Tensor {
	dt := model.Int8
	if f.lo >= 0 {
		dt = model.Uint8
	}
	out := model.NewTensor(dt, w.Shape...)
	inner := 1
	if axis >= 0 {
		inner = stride(w, axis)
	}
	for i, x := range model.Data[float32](w) {
		s := f.scale.Float64At(i / inner % f.scale.Len())
		out.SetInt64(i, int64(min(max(math.RoundToEven(float64(x/float32(s)))+f.zero, f.lo), f.hi)))
	}
	return out
}

// bias gives a layer between integers an int32 bias.
func (r *importer) bias(n *model.Node) {
	b := r.v.Const(input(n, 2))
	if b == nil || b.DType != model.Float32 || b.Rank() != 1 || is(n, "Gemm") && (n.Float("beta", 1) != 1 || n.Float("alpha", 1) != 1) {
		return
	}
	scale := func(name string) *model.Tensor {
		d := r.v.G.Producer(name)
		for d != nil && is(d, "Flatten", "Reshape", "Squeeze", "Unsqueeze", "MaxPool", "Identity") { // they move integers as they are
			d = r.v.G.Producer(d.Inputs[0])
		}
		if d == nil || !is(d, "DequantizeLinear") || len(d.Inputs) < 2 || d.Int("block_size", 0) != 0 {
			return nil
		}
		return r.v.Const(d.Inputs[1])
	}
	sx, sw := scale(n.Inputs[0]), scale(n.Inputs[1])
	if sx == nil || sw == nil || sx.Len() != 1 || sw.Len() != 1 && sw.Len() != b.Len() || sx.DType != model.Float32 || sw.DType != model.Float32 {
		return
	}
	steps := make([]float32, b.Len())
	for c := range steps {
		steps[c] = model.Data[float32](sw)[c%sw.Len()]
		if s := float64(sx.Float64At(0)) * float64(steps[c]); !(s > 0) || math.Abs(b.Float64At(c)) > s*math.MaxInt32 {
			r.say("its bias does not fit int32", n)
			return
		}
	}
	if !r.say("", n) {
		return
	}
	r.found[len(r.found)-1].Reason = "the bias became int32"
	q, s := quantizeBias(model.Data[float32](b), float32(sx.Float64At(0)), steps)
	base := input(n, 2)
	names := []string{fresh(r.used, base+"_q"), fresh(r.used, base+"_scale"), fresh(r.used, base+"_zero")}
	out := fresh(r.used, base+"_dq")
	c := *n
	c.Raw, c.ID = nil, model.Derive("import bias", n.ID)
	c.Inputs = append([]string(nil), n.Inputs...)
	c.Inputs[2] = out
	d := &model.Node{ID: model.Derive("import DequantizeLinear bias", n.ID), Name: fresh(r.used, out+"_DequantizeLinear"), Op: "DequantizeLinear", Inputs: names, Outputs: []string{out},
		Attrs: []model.Attr{model.IntAttr("axis", 0)}, Origin: n.Origin}
	r.patches = append(r.patches, &model.Patch{Drop: []model.NodeID{n.ID}, Add: []*model.Node{d, &c},
		Inits: []*model.Init{{Name: names[0], Tensor: q}, {Name: names[1], Tensor: s}, {Name: names[2], Tensor: model.NewTensor(model.Int32, b.Len())}}})
}
