package text

import (
	"math/rand/v2"
	"strconv"

	"fettle/internal/fail"
	"fettle/model"
)

// Limits of one text: enough for tests and for pasted graphs, small enough for hostile ones.
const (
	maxText     = 16 << 20
	maxElements = 1 << 24 // of one constant
	maxTotal    = 1 << 26 // of all constants together
	maxDepth    = 32
)

// Parse reads a model. Errors are fail.Invalid with the byte offset, or fail.TooBig. Domains of nodes are
// written before the last dot: fettle.Conv is operator Conv of domain fettle.
func Parse(s string) (*model.Model, error) {
	if len(s) > maxText {
		return nil, fail.New(fail.TooBig, "the text has %d bytes, at most %d are read", len(s), maxText)
	}
	p := &parser{lexer: lexer{s: s}}
	p.next()
	m := &model.Model{IRVersion: 8, Opsets: []model.Opset{{Version: 17}}}
	if p.is("<") {
		p.header(m)
	}
	m.Graph = p.graph(0)
	for p.err == nil && p.is("<") {
		m.Functions = append(m.Functions, p.function())
	}
	if p.err == nil && p.kind != end {
		p.bad("expected the end, found %q", p.tok)
	}
	if p.err != nil {
		return nil, p.err
	}
	model.AssignIDs(m.Graph, "")
	if err := m.Graph.Check(nil); err != nil {
		return nil, fail.In(err, "parse model text", fail.Where{})
	}
	return m, nil
}

type parser struct {
	lexer
	total int
}

func (p *parser) header(m *model.Model) {
	p.want("<")
	for p.err == nil && !p.is(">") {
		key := p.word()
		p.want(":")
		switch key {
		case "ir_version":
			m.IRVersion = p.integer()
		case "opset_import":
			m.Opsets = p.opsets()
		default:
			p.bad("unknown header field %q", key)
		}
		if !p.is(">") {
			p.want(",")
		}
	}
	p.want(">")
}

func (p *parser) opsets() []model.Opset {
	var out []model.Opset
	p.want("[")
	for p.err == nil && !p.is("]") {
		d := p.word()
		p.want(":")
		out = append(out, model.Opset{Domain: d, Version: p.integer()})
		if !p.is("]") {
			p.want(",")
		}
	}
	p.want("]")
	return out
}

func (p *parser) graph(depth int) *model.Graph {
	if depth > maxDepth {
		p.bad("graphs are nested more than %d deep", maxDepth)
		return &model.Graph{}
	}
	g := &model.Graph{Name: p.word()}
	g.Inputs = p.values()
	p.want("=>")
	g.Outputs = p.values()
	if p.is("<") {
		p.next()
		for p.err == nil && !p.is(">") {
			t := p.typ()
			name := p.word()
			p.want("=")
			g.Inits = append(g.Inits, &model.Init{Name: name, Tensor: p.data(t)})
			if !p.is(">") {
				p.want(",")
			}
		}
		p.want(">")
	}
	p.want("{")
	for p.err == nil && !p.is("}") {
		g.Nodes = append(g.Nodes, p.node(depth))
	}
	p.want("}")
	return g
}

func (p *parser) values() []model.Value {
	var out []model.Value
	p.want("(")
	for p.err == nil && !p.is(")") {
		t := p.typ()
		out = append(out, model.Value{Name: p.word(), Type: t})
		if !p.is(")") {
			p.want(",")
		}
	}
	p.want(")")
	return out
}

func dtype(word string) (model.DType, bool) {
	if d, ok := typeWords[word]; ok {
		return d, true
	}
	return model.ParseDType(word)
}

func (p *parser) typ() model.Type {
	word := p.word()
	d, ok := dtype(word)
	if !ok && word != "undefined" {
		p.bad("unknown element type %q", word)
	}
	t := model.Type{DType: d}
	if !p.is("[") {
		return t
	}
	p.next()
	t.Ranked = true
	for p.err == nil && !p.is("]") {
		switch {
		case p.kind == num:
			n := p.integer()
			if n < 0 || n > model.MaxElems {
				p.bad("dimension %d", n)
			}
			t.Shape = append(t.Shape, model.Fixed(int(n)))
		case p.is("?"):
			p.next()
			t.Shape = append(t.Shape, model.Sym(""))
		default:
			t.Shape = append(t.Shape, model.Sym(p.word()))
		}
		if !p.is("]") {
			p.want(",")
		}
	}
	p.want("]")
	return t
}

// data reads {a, b}, fill(v) or random(seed) or random(seed, lo, hi).
func (p *parser) data(t model.Type) *model.Tensor {
	empty := &model.Tensor{DType: model.Float32, Shape: []int{0}, Raw: []byte{}}
	dims, fixed := t.Shape.Ints()
	n, err := model.Count(dims)
	if p.err != nil || !fixed || err != nil || !t.DType.Valid() {
		p.bad("a constant needs an element type and fixed dimensions")
		return empty
	}
	if p.total += n; n > maxElements || p.total > maxTotal {
		p.fail(fail.New(fail.TooBig, "constants with more than %d elements are not read from text", maxElements))
		return empty
	}
	x := model.NewTensor(t.DType, dims...)
	if p.kind == word && p.tok != "" {
		return p.generate(x)
	}
	p.want("{")
	i := 0
	for p.err == nil && !p.is("}") {
		if i >= n {
			p.bad("more than %d elements", n)
			return x
		}
		switch {
		case t.DType == model.String:
			x.Strs[i] = p.word()
		case t.DType.Integer() || t.DType == model.Bool:
			x.SetInt64(i, p.integer())
		default:
			x.SetFloat64(i, p.float())
		}
		i++
		if !p.is("}") {
			p.want(",")
		}
	}
	p.want("}")
	if i != n {
		p.bad("%d elements, want %d", i, n)
	}
	return x
}

func (p *parser) generate(x *model.Tensor) *model.Tensor {
	kind := p.word()
	var args []float64
	p.want("(")
	for p.err == nil && !p.is(")") {
		args = append(args, p.float())
		if !p.is(")") {
			p.want(",")
		}
	}
	p.want(")")
	switch {
	case x.DType == model.String:
		p.bad("a constant of texts has no %s form", kind)
	case kind == "fill" && len(args) == 1:
		for i := range x.Len() {
			x.SetFloat64(i, args[0])
		}
	case kind == "random" && (len(args) == 1 || len(args) == 3):
		lo, hi := -1.0, 1.0
		if len(args) == 3 {
			lo, hi = args[1], args[2]
		}
		r := rand.New(rand.NewPCG(uint64(int64(args[0])), 0x9e3779b97f4a7c15))
		for i := range x.Len() {
			x.SetFloat64(i, lo+(hi-lo)*r.Float64())
		}
	default:
		p.bad("unknown constant form %q with %d arguments; write fill(v), random(seed) or random(seed, lo, hi)", kind, len(args))
	}
	return x
}

func (p *parser) node(depth int) *model.Node {
	n := &model.Node{}
	if p.is("[") {
		p.next()
		n.Name = p.word()
		p.want("]")
	}
	n.Outputs = p.names("=")
	p.want("=")
	n.Op = p.word()
	for p.err == nil && p.is(".") {
		p.next()
		if n.Domain != "" {
			n.Domain += "."
		}
		n.Domain += n.Op
		n.Op = p.word()
	}
	if p.is(":") {
		p.next()
		n.Overload = p.word()
	}
	if p.is("<") {
		p.next()
		for p.err == nil && !p.is(">") {
			n.Attrs = append(n.Attrs, p.attr(depth))
			if !p.is(">") {
				p.want(",")
			}
		}
		p.want(">")
	}
	p.want("(")
	n.Inputs = p.names(")")
	p.want(")")
	return n
}

// names reads a comma list up to stop; an empty place is an absent value.
func (p *parser) names(stop string) []string {
	var out []string
	if p.is(stop) {
		return nil
	}
	for p.err == nil {
		switch {
		case p.is(",") || p.is(stop):
			out = append(out, "")
		default:
			out = append(out, p.word())
		}
		if !p.is(",") {
			break
		}
		p.next()
	}
	return out
}

func (p *parser) attr(depth int) model.Attr {
	a := model.Attr{Name: p.word()}
	typed := ""
	if p.is(":") {
		p.next()
		typed = p.word()
	}
	p.want("=")
	if p.is("@") {
		p.next()
		a.Ref = p.word()
		for t, w := range attrTypes {
			if w == typed {
				a.Type = t
			}
		}
		return a
	}
	switch {
	case p.is("["):
		p.list(&a, typed)
	case p.kind == num:
		if typed == "float" || typed == "" && floating(p.tok) {
			a.Type, a.F = model.AttrFloat, float32(p.float())
		} else {
			a.Type, a.I = model.AttrInt, p.integer()
		}
	case p.kind == quoted:
		a.Type, a.S = model.AttrString, []byte(p.word())
	default:
		if _, ok := dtype(p.tok); ok {
			a.Type, a.T = model.AttrTensor, p.data2()
		} else {
			a.Type, a.G = model.AttrGraph, p.graph(depth+1)
		}
	}
	return a
}

func (p *parser) data2() *model.Tensor {
	t := p.typ()
	if !t.Ranked {
		t.Ranked = true
	}
	return p.data(t)
}

func (p *parser) list(a *model.Attr, typed string) {
	p.want("[")
	a.Type = model.AttrInts
	switch typed {
	case "floats":
		a.Type = model.AttrFloats
	case "strings":
		a.Type = model.AttrStrings
	}
	for p.err == nil && !p.is("]") {
		if p.kind == quoted && typed == "" {
			a.Type = model.AttrStrings
		}
		if p.kind == num && typed == "" && floating(p.tok) && len(a.Ints) == 0 {
			a.Type = model.AttrFloats
		}
		switch a.Type {
		case model.AttrStrings:
			a.Strings = append(a.Strings, []byte(p.word()))
		case model.AttrFloats:
			a.Floats = append(a.Floats, float32(p.float()))
		default:
			a.Ints = append(a.Ints, p.integer())
		}
		if !p.is("]") {
			p.want(",")
		}
	}
	p.want("]")
}

func (p *parser) function() *model.Function {
	f := &model.Function{}
	p.want("<")
	for p.err == nil && !p.is(">") {
		key := p.word()
		p.want(":")
		switch key {
		case "domain":
			f.Domain = p.word()
		case "opset_import":
			f.Opsets = p.opsets()
		default:
			p.bad("unknown function field %q", key)
		}
		if !p.is(">") {
			p.want(",")
		}
	}
	p.want(">")
	f.Name = p.word()
	if p.is(":") {
		p.next()
		f.Overload = p.word()
	}
	if p.is("<") {
		p.next()
		f.Attrs = p.names(">")
		p.want(">")
	}
	p.want("(")
	f.Inputs = p.names(")")
	p.want(")")
	p.want("=>")
	p.want("(")
	f.Outputs = p.names(")")
	p.want(")")
	p.want("{")
	for p.err == nil && !p.is("}") {
		f.Nodes = append(f.Nodes, p.node(1))
	}
	p.want("}")
	return f
}

func (p *parser) integer() int64 {
	v, err := strconv.ParseInt(p.tok, 10, 64)
	if err != nil {
		if u, uerr := strconv.ParseUint(p.tok, 10, 64); uerr == nil {
			v, err = int64(u), nil
		}
	}
	if p.kind != num || err != nil {
		p.bad("expected a whole number, found %q", p.tok)
		return 0
	}
	p.next()
	return v
}

func (p *parser) float() float64 {
	v, err := strconv.ParseFloat(p.tok, 64)
	if (p.kind != num && p.kind != word) || err != nil {
		p.bad("expected a number, found %q", p.tok)
		return 0
	}
	p.next()
	return v
}
