// Package text owns the textual form of a model: ONNX's own text syntax, so that a test of a rewrite reads
// like the paper. Print writes it, Parse reads it.
//
// Beyond ONNX's syntax a constant may be written fill(v), or random(seed, lo, hi), so that a test need not list
// weights. It refuses to know what operators mean: shapes are not inferred and schemas are not checked. Start
// reading at Print, then at Parse.
package text

import (
	"fmt"
	"strconv"
	"strings"

	"fettle/model"
)

// Options says how much of a model Print writes.
type Options struct {
	MaxElements int  // constants with more elements are written as {...}; 0: 16
	NoHeader    bool // leave out the versions
	NoNames     bool // leave out node names
	NoFunctions bool // leave out model-local functions
}

// Print writes m. A text whose constants were all short enough parses back to an equal model.
func Print(m *model.Model, o Options) string {
	if o.MaxElements == 0 {
		o.MaxElements = 16
	}
	p := &printer{o: o}
	if !o.NoHeader {
		p.header(m)
	}
	p.graph(m.Graph, "")
	if !o.NoFunctions {
		for _, f := range m.Functions {
			p.function(f)
		}
	}
	return p.b.String()
}

type printer struct {
	b strings.Builder
	o Options
}

func (p *printer) header(m *model.Model) {
	sets := make([]string, len(m.Opsets))
	for i, s := range m.Opsets {
		sets[i] = strconv.Quote(s.Domain) + " : " + strconv.FormatInt(s.Version, 10)
	}
	fmt.Fprintf(&p.b, "<ir_version: %d, opset_import: [%s]>\n", m.IRVersion, strings.Join(sets, ", "))
}

func (p *printer) graph(g *model.Graph, indent string) {
	fmt.Fprintf(&p.b, "%s (%s) => (%s)", ident(orDefault(g.Name, "g")), values(g.Inputs), values(g.Outputs))
	if len(g.Inits) > 0 {
		p.b.WriteString("\n" + indent + "<")
		for i, in := range g.Inits {
			if i > 0 {
				p.b.WriteString(",\n" + indent + " ")
			}
			fmt.Fprintf(&p.b, "%s %s = %s", typeName(model.TypeOf(in.Tensor)), ident(in.Name), p.data(in.Tensor))
		}
		p.b.WriteString(">")
	}
	p.b.WriteString("\n" + indent + "{\n")
	for _, n := range g.Nodes {
		p.node(n, indent+"  ")
	}
	p.b.WriteString(indent + "}\n")
}

func (p *printer) node(n *model.Node, indent string) {
	p.b.WriteString(indent)
	if n.Name != "" && !p.o.NoNames {
		fmt.Fprintf(&p.b, "[%s] ", ident(n.Name))
	}
	p.b.WriteString(idents(n.Outputs) + " = " + opName(n.Domain, n.Op, n.Overload))
	if len(n.Attrs) > 0 {
		p.b.WriteString(" <")
		for i := range n.Attrs {
			if i > 0 {
				p.b.WriteString(", ")
			}
			p.attr(&n.Attrs[i], indent)
		}
		p.b.WriteString(">")
	}
	p.b.WriteString(" (" + idents(n.Inputs) + ")\n")
}

func (p *printer) attr(a *model.Attr, indent string) {
	p.b.WriteString(ident(a.Name))
	if a.Ref != "" {
		fmt.Fprintf(&p.b, ": %s = @%s", attrTypes[a.Type], ident(a.Ref))
		return
	}
	switch a.Type {
	case model.AttrInt:
		fmt.Fprintf(&p.b, " = %d", a.I)
	case model.AttrFloat:
		p.b.WriteString(" = " + number(float64(a.F), 32))
	case model.AttrString:
		p.b.WriteString(" = " + strconv.Quote(string(a.S)))
	case model.AttrInts, model.AttrFloats, model.AttrStrings:
		var items []string
		for _, v := range a.Ints {
			items = append(items, strconv.FormatInt(v, 10))
		}
		for _, v := range a.Floats {
			items = append(items, number(float64(v), 32))
		}
		for _, v := range a.Strings {
			items = append(items, strconv.Quote(string(v)))
		}
		fmt.Fprintf(&p.b, ": %s = [%s]", attrTypes[a.Type], strings.Join(items, ", "))
	case model.AttrTensor:
		if a.T == nil {
			p.b.WriteString(" = {...}")
			return
		}
		fmt.Fprintf(&p.b, " = %s %s", typeName(model.TypeOf(a.T)), p.data(a.T))
	case model.AttrGraph:
		p.b.WriteString(" = ")
		if a.G != nil {
			p.graph(a.G, indent+"  ")
			p.b.WriteString(indent)
		}
	default:
		p.b.WriteString(" = {...}")
	}
}

func (p *printer) function(f *model.Function) {
	sets := make([]string, len(f.Opsets))
	for i, s := range f.Opsets {
		sets[i] = strconv.Quote(s.Domain) + " : " + strconv.FormatInt(s.Version, 10)
	}
	fmt.Fprintf(&p.b, "<domain: %q, opset_import: [%s]>\n", f.Domain, strings.Join(sets, ", "))
	attrs := append([]string(nil), f.Attrs...)
	for i := range f.Defaults {
		attrs = append(attrs, f.Defaults[i].Name)
	}
	p.b.WriteString(opName("", f.Name, f.Overload))
	if len(attrs) > 0 {
		p.b.WriteString(" <" + idents(attrs) + ">")
	}
	fmt.Fprintf(&p.b, " (%s) => (%s)\n{\n", idents(f.Inputs), idents(f.Outputs))
	for _, n := range f.Nodes {
		p.node(n, "  ")
	}
	p.b.WriteString("}\n")
}

// data writes the elements of a constant, or {...} where there are too many.
func (p *printer) data(t *model.Tensor) string {
	if t.DType == model.Sequence || t.Len() > p.o.MaxElements || t.Check() != nil {
		return "{...}"
	}
	items := make([]string, t.Len())
	for i := range items {
		switch {
		case t.DType == model.String:
			items[i] = strconv.Quote(t.Strs[i])
		case t.DType == model.Float64:
			items[i] = number(t.Float64At(i), 64)
		case t.DType.Float():
			items[i] = number(t.Float64At(i), 32)
		case t.DType == model.Uint64:
			items[i] = strconv.FormatUint(uint64(t.Int64At(i)), 10)
		case t.DType.Integer() || t.DType == model.Bool:
			items[i] = strconv.FormatInt(t.Int64At(i), 10)
		default:
			return "{...}"
		}
	}
	return "{" + strings.Join(items, ", ") + "}"
}

// number writes a float so that it reads back the same and is seen to be a float.
func number(v float64, bits int) string {
	s := strconv.FormatFloat(v, 'g', -1, bits)
	if !strings.ContainsAny(s, ".eEnI") {
		s += ".0"
	}
	return s
}

func values(vs []model.Value) string {
	s := make([]string, len(vs))
	for i, v := range vs {
		s[i] = typeName(v.Type) + " " + ident(v.Name)
	}
	return strings.Join(s, ", ")
}

func typeName(t model.Type) string {
	if t.Kind != model.KindTensor {
		return "undefined"
	}
	name := t.DType.String()
	for k, d := range typeWords {
		if d == t.DType {
			name = k
		}
	}
	if !t.Ranked {
		return name
	}
	dims := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = d.String()
		if !d.Known() && d.Sym != "" {
			dims[i] = ident(d.Sym)
		}
	}
	return name + "[" + strings.Join(dims, ", ") + "]"
}

func opName(domain, op, overload string) string {
	s := ident(op)
	if domain != "" {
		s = ident(domain) + "." + s
	}
	if overload != "" {
		s += ":" + ident(overload)
	}
	return s
}

func idents(l []string) string {
	out := make([]string, len(l))
	for i, s := range l {
		if s != "" {
			out[i] = ident(s)
		}
	}
	return strings.Join(out, ", ")
}

// ident quotes a name that the syntax would not read as one word.
func ident(s string) string {
	for i := range len(s) {
		if !wordByte(s[i], i == 0) {
			return strconv.Quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

func wordByte(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		return true
	case c >= '0' && c <= '9', c == '/', c == '~':
		return !first
	}
	return false
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// typeWords are ONNX's words where they differ from the names of model.DType.
var typeWords = map[string]model.DType{"float": model.Float32, "double": model.Float64}

var attrTypes = map[model.AttrType]string{
	model.AttrFloat: "float", model.AttrInt: "int", model.AttrString: "string", model.AttrTensor: "tensor",
	model.AttrGraph: "graph", model.AttrFloats: "floats", model.AttrInts: "ints", model.AttrStrings: "strings",
}
