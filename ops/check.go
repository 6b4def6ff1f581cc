package ops

import (
	"strings"

	"fettle/internal/fail"
	"fettle/model"
)

// Check tests a node against the schema: number of inputs and outputs, dtypes, attributes. Types that are
// not known pass. The error is fail.Invalid or fail.Unsupported and names node and attribute.
func (d *Def) Check(n *model.Node, opset int, in []model.Type) error {
	w := fail.Where{Node: string(n.ID), Op: n.Op}
	bad := func(format string, args ...any) error { return fail.New(fail.Invalid, format, args...).At(w) }
	if err := arity("input", n.Inputs, d.In); err != nil {
		return fail.In(err, "", w)
	}
	if err := arity("output", n.Outputs, d.Out); err != nil {
		return fail.In(err, "", w)
	}
	bound := map[string]model.DType{}
	for i, name := range n.Inputs {
		if name == "" || i >= len(in) {
			continue
		}
		p := port(d.In, i)
		dt := in[i].DType
		composite := false // of what no operator takes, but those that name it
		switch in[i].Kind {
		case model.KindSequence:
			dt, composite = model.Sequence, in[i].Elem != nil && in[i].Elem.Kind != model.KindTensor
		case model.KindMap:
			dt, composite = model.Map, !d.Types[p.Type].Has(model.Map)
		case model.KindSparse, model.KindOpaque:
			composite = true
		}
		if in[i].Kind == model.KindOptional {
			if !d.Types[p.Type].hasMaybe() {
				return bad("input %d (%s) is an optional, which may be empty", i, p.Name)
			}
			continue
		}
		if composite {
			return fail.New(fail.Unsupported, "input %d (%s) is a %s", i, p.Name, in[i]).At(w)
		}
		if dt == model.Undefined || p.Type == "" {
			continue
		}
		set, variable := d.Types[p.Type]
		if !variable {
			c, ok := model.ParseDType(p.Type)
			if !ok {
				panic("ops: " + d.Name + " names the unknown type " + p.Type)
			}
			set = SetOf(c)
		}
		if !set.Has(dt) {
			return bad("input %d (%s) is %s, allowed: %s", i, p.Name, dt, set)
		}
		if variable && !strings.HasPrefix(p.Type, "*") {
			if b, ok := bound[p.Type]; ok && b != dt {
				return bad("input %d (%s) is %s, but %s was needed as another input has it", i, p.Name, dt, b)
			}
			bound[p.Type] = dt
		}
	}
	for i := range n.Attrs {
		a := &n.Attrs[i]
		s := (*AttrSpec)(nil)
		for k := range d.Attrs {
			if d.Attrs[k].Name == a.Name {
				s = &d.Attrs[k]
			}
		}
		if s == nil {
			continue // newer attributes of an operator do not stop a file; the value has no effect here
		}
		if a.Ref != "" {
			continue
		}
		if a.Type != 0 && a.Type != s.Type {
			return fail.New(fail.Invalid, "has type %d, want %d", a.Type, s.Type).At(w).At(fail.Where{Attr: a.Name})
		}
		if s.Type == model.AttrGraph && a.G == nil || s.Type == model.AttrTensor && a.T == nil {
			return fail.New(fail.Invalid, "has no value").At(w).At(fail.Where{Attr: a.Name})
		}
		if s.Enum != nil && !oneOf(s.Enum, string(a.S)) {
			return fail.New(fail.Invalid, "is %q, allowed: %s", a.S, strings.Join(s.Enum, ", ")).At(w).At(fail.Where{Attr: a.Name})
		}
	}
	for k := range d.Attrs {
		if d.Attrs[k].Required && (d.Attrs[k].Until == 0 || opset < d.Attrs[k].Until) && n.Attr(d.Attrs[k].Name) == nil {
			return fail.New(fail.Invalid, "is required and absent").At(w).At(fail.Where{Attr: d.Attrs[k].Name})
		}
	}
	return nil
}

func oneOf(l []string, s string) bool {
	for _, e := range l {
		if e == s {
			return true
		}
	}
	return false
}

func arity(what string, names []string, ports []Port) error {
	most := len(ports)
	if most > 0 && ports[most-1].Many {
		most = 1 << 30
	}
	if len(names) > most {
		return fail.New(fail.Invalid, "%d %ss given, at most %d allowed", len(names), what, most)
	}
	for i, p := range ports {
		if !p.Opt && (i >= len(names) || names[i] == "") {
			return fail.New(fail.Invalid, "%s %d (%s) is required and absent", what, i, p.Name)
		}
	}
	return nil
}

func port(ports []Port, i int) Port {
	if i >= len(ports) {
		return ports[len(ports)-1]
	}
	return ports[i]
}

// String lists the dtypes of s.
func (s Set) String() string {
	var p []string
	for d := model.DType(1); d.Valid(); d++ {
		if s.Has(d) {
			p = append(p, d.String())
		}
	}
	if s.Has(model.Sequence) {
		p = append(p, "sequence")
	}
	if s.Has(model.Map) {
		p = append(p, "map")
	}
	return strings.Join(p, " ")
}
