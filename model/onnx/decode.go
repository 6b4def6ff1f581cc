package onnx

import (
	"math"

	"fettle/internal/fail"
	"fettle/model"

	pw "google.golang.org/protobuf/encoding/protowire"
)

func (r *reader) model(b []byte) (*model.Model, error) {
	m := &model.Model{}
	var graph []byte
	err := r.each(b, func(fd field) (err error) {
		switch fd.num {
		case 1:
			m.IRVersion = int64(fd.u)
		case 2:
			m.Producer, err = r.name(fd)
		case 3:
			m.ProducerVer, err = r.name(fd)
		case 4:
			m.Domain, err = r.name(fd)
		case 5:
			m.ModelVer = int64(fd.u)
		case 6:
			m.Doc = string(fd.v)
		case 7:
			if fd.typ != pw.BytesType {
				return fail.New(fail.Invalid, "the graph is not a message")
			}
			graph = fd.v
		case 8:
			o, e := r.opset(fd.v)
			m.Opsets, err = append(m.Opsets, o), e
		case 14:
			kv, e := r.entry(fd.v)
			m.Metadata, err = append(m.Metadata, kv), e
		case 25:
			f, e := r.function(fd.v)
			m.Functions, err = append(m.Functions, f), e
		default:
			m.Unknown = append(m.Unknown, fd.full)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if graph == nil {
		return nil, fail.New(fail.Invalid, "this is no ONNX model: it holds no graph").At(fail.Where{Field: "graph"})
	}
	m.Graph, err = r.graph(graph, 0)
	if err != nil {
		return nil, fail.In(err, "", fail.Where{Field: "graph"})
	}
	if m.IRVersion == 0 && len(m.Opsets) == 0 && len(m.Graph.Nodes) == 0 {
		return nil, fail.New(fail.Invalid, "this is no ONNX model: no IR version, no operator set and no node")
	}
	return m, nil
}

func (r *reader) opset(b []byte) (o model.Opset, err error) {
	err = r.each(b, func(fd field) (err error) {
		switch fd.num {
		case 1:
			o.Domain, err = r.name(fd)
		case 2:
			o.Version = int64(fd.u)
		}
		return err
	})
	return o, err
}

func (r *reader) entry(b []byte) (kv model.KV, err error) {
	if err := r.spendValue(); err != nil {
		return kv, err
	}
	err = r.each(b, func(fd field) error {
		switch fd.num {
		case 1:
			kv.Key = string(fd.v)
		case 2:
			kv.Value = string(fd.v)
		}
		return nil
	})
	return kv, err
}

func (r *reader) graph(b []byte, depth int) (*model.Graph, error) {
	if depth > r.acc.Depth {
		return nil, fail.New(fail.TooBig, "graphs are nested more than %d deep", r.acc.Depth)
	}
	g := &model.Graph{}
	err := r.each(b, func(fd field) (err error) {
		if fd.typ != pw.BytesType {
			g.Unknown = append(g.Unknown, fd.full)
			return nil
		}
		switch fd.num {
		case 1:
			n, e := r.node(fd.v, depth)
			if e != nil {
				return fail.In(e, "", fail.Where{Field: at("node", len(g.Nodes))})
			}
			g.Nodes = append(g.Nodes, n)
		case 2:
			g.Name, err = r.name(fd)
		case 5:
			t, e := r.init(fd.v)
			if e != nil {
				return fail.In(e, "", fail.Where{Field: at("initializer", len(g.Inits))})
			}
			g.Inits = append(g.Inits, t)
		case 10:
			g.Doc = string(fd.v)
		case 11:
			g.Inputs, err = r.value(g.Inputs, fd.v, "input")
		case 12:
			g.Outputs, err = r.value(g.Outputs, fd.v, "output")
		case 13:
			g.Values, err = r.value(g.Values, fd.v, "value_info")
		case 16:
			kv, e := r.entry(fd.v)
			g.Meta, err = append(g.Meta, kv), e
		default:
			g.Unknown = append(g.Unknown, fd.full)
		}
		return err
	})
	return g, err
}

func (r *reader) node(b []byte, depth int) (*model.Node, error) {
	if err := r.spendNode(); err != nil {
		return nil, err
	}
	n := &model.Node{Raw: b}
	err := r.each(b, func(fd field) (err error) {
		var s string
		switch fd.num {
		case 1, 2, 3, 4, 7, 8:
			if s, err = r.name(fd); err != nil {
				return err
			}
		}
		switch fd.num {
		case 1:
			err = r.spendValue()
			n.Inputs = append(n.Inputs, s)
		case 2:
			err = r.spendValue()
			n.Outputs = append(n.Outputs, s)
		case 3:
			n.Name = s
		case 4:
			n.Op = s
		case 5:
			a, e := r.attr(fd.v, depth)
			if e != nil {
				return fail.In(e, "", fail.Where{Attr: a.Name})
			}
			n.Attrs = append(n.Attrs, a)
		case 6:
			n.Doc = string(fd.v)
		case 7:
			if n.Domain = s; s == "ai.onnx" {
				n.Domain = ""
			}
		case 8:
			n.Overload = s
		default:
			n.Unknown = append(n.Unknown, fd.full)
		}
		return err
	})
	if err == nil && n.Op == "" {
		err = r.bad(b, "a node without an operator")
	}
	if err != nil {
		return nil, fail.In(err, "", fail.Where{Node: n.Name, Op: n.Op})
	}
	return n, nil
}

func (r *reader) attr(b []byte, depth int) (model.Attr, error) {
	a := model.Attr{Raw: b}
	if err := r.spendValue(); err != nil {
		return a, err
	}
	err := r.each(b, func(fd field) (err error) {
		switch fd.num {
		case 1:
			a.Name, err = r.name(fd)
		case 2:
			a.F = math.Float32frombits(uint32(fd.u))
		case 3:
			a.I = int64(fd.u)
		case 4:
			a.S = fd.v
		case 5:
			a.T, err = r.plainTensor(fd.v)
		case 6:
			a.G, err = r.graph(fd.v, depth+1)
		case 7:
			a.Floats, err = floats(a.Floats, fd)
		case 8:
			a.Ints, err = varints(a.Ints, fd, maxList)
		case 9:
			a.Strings = append(a.Strings, fd.v)
			err = r.spendValue()
		case 10:
			t, e := r.plainTensor(fd.v)
			a.Tensors, err = append(a.Tensors, t), e
		case 11:
			g, e := r.graph(fd.v, depth+1)
			a.Graphs, err = append(a.Graphs, g), e
		case 13:
			a.Doc = string(fd.v)
		case 14:
			t, e := r.typ(fd.v, depth)
			a.TP, err = &t, e
		case 20:
			a.Type = model.AttrType(fd.u)
		case 21:
			a.Ref, err = r.name(fd)
		}
		return err
	})
	if err == nil && a.Type == 0 && a.Ref == "" {
		a.Type = guessed(&a)
	}
	if err == nil && a.Ref == "" {
		switch {
		case a.Type == model.AttrTensor && a.T == nil, a.Type == model.AttrGraph && a.G == nil:
			err = fail.New(fail.Invalid, "has no value of its type %d", a.Type)
		}
	}
	return a, err
}

// guessed finds the type of an attribute of files before IR version 2, which had no type field.
func guessed(a *model.Attr) model.AttrType {
	switch {
	case a.T != nil:
		return model.AttrTensor
	case a.G != nil:
		return model.AttrGraph
	case a.Floats != nil:
		return model.AttrFloats
	case a.Ints != nil:
		return model.AttrInts
	case a.Strings != nil:
		return model.AttrStrings
	case a.S != nil:
		return model.AttrString
	case a.F != 0:
		return model.AttrFloat
	}
	return model.AttrInt
}

func (r *reader) value(list []model.Value, b []byte, what string) ([]model.Value, error) {
	if err := r.spendValue(); err != nil {
		return list, err
	}
	v := model.Value{Raw: b}
	err := r.each(b, func(fd field) (err error) {
		switch fd.num {
		case 1:
			v.Name, err = r.name(fd)
		case 2:
			v.Type, err = r.typ(fd.v, 0)
		case 3:
			v.Doc = string(fd.v)
		}
		return err
	})
	return append(list, v), fail.In(err, "", fail.Where{Field: at(what, len(list)), Tensor: v.Name})
}

func (r *reader) typ(b []byte, depth int) (model.Type, error) {
	t := model.Type{Raw: b}
	if depth > r.acc.Depth {
		return t, fail.New(fail.TooBig, "types are nested more than %d deep", r.acc.Depth)
	}
	err := r.each(b, func(fd field) error {
		switch fd.num {
		case 1:
			t.Kind = model.KindTensor
			return r.tensorType(fd.v, &t)
		case 8:
			t.Kind = model.KindSparse
			return r.tensorType(fd.v, &t)
		case 4, 9:
			t.Kind = model.KindSequence
			if fd.num == 9 {
				t.Kind = model.KindOptional
			}
			return r.each(fd.v, func(in field) error {
				if in.num != 1 {
					return nil
				}
				e, err := r.typ(in.v, depth+1)
				t.Elem = &e
				return err
			})
		case 5:
			t.Kind = model.KindMap
			return r.each(fd.v, func(in field) error {
				switch in.num {
				case 1:
					t.Key = model.DType(in.u)
				case 2:
					e, err := r.typ(in.v, depth+1)
					t.Elem = &e
					return err
				}
				return nil
			})
		case 7:
			t.Kind = model.KindOpaque
		}
		return nil
	})
	return t, err
}

func (r *reader) tensorType(b []byte, t *model.Type) error {
	return r.each(b, func(fd field) error {
		switch fd.num {
		case 1:
			if fd.u > 100 || fd.u != 0 && !model.DType(fd.u).Valid() {
				return fail.New(fail.Invalid, "unknown element type %d", fd.u)
			}
			t.DType = model.DType(fd.u)
		case 2:
			t.Ranked, t.Shape = true, model.Shape{}
			return r.each(fd.v, func(s field) error {
				if s.num != 1 {
					return nil
				}
				if len(t.Shape) >= r.acc.Dims {
					return fail.New(fail.TooBig, "more than %d dimensions", r.acc.Dims)
				}
				d := model.Sym("")
				err := r.each(s.v, func(x field) (err error) {
					switch x.num {
					case 1:
						if v := int64(x.u); v >= 0 && v <= model.MaxElems {
							d = model.Fixed(int(v))
						} else if v > 0 {
							return fail.New(fail.TooBig, "a dimension of %d", v)
						}
					case 2:
						var name string
						name, err = r.name(x)
						d = model.Sym(name)
					}
					return err
				})
				t.Shape = append(t.Shape, d)
				return err
			})
		}
		return nil
	})
}

func (r *reader) function(b []byte) (*model.Function, error) {
	f := &model.Function{Raw: b}
	err := r.each(b, func(fd field) (err error) {
		var s string
		switch fd.num {
		case 1, 4, 5, 6, 10, 13:
			if s, err = r.name(fd); err != nil {
				return err
			}
			if err := r.spendValue(); err != nil {
				return err
			}
		}
		switch fd.num {
		case 1:
			f.Name = s
		case 4:
			f.Inputs = append(f.Inputs, s)
		case 5:
			f.Outputs = append(f.Outputs, s)
		case 6:
			f.Attrs = append(f.Attrs, s)
		case 7:
			n, e := r.node(fd.v, 1)
			f.Nodes, err = append(f.Nodes, n), e
		case 8:
			f.Doc = string(fd.v)
		case 9:
			o, e := r.opset(fd.v)
			f.Opsets, err = append(f.Opsets, o), e
		case 10:
			f.Domain = s
		case 11:
			a, e := r.attr(fd.v, 1)
			f.Defaults, err = append(f.Defaults, a), e
		case 13:
			f.Overload = s
		}
		return err
	})
	return f, fail.In(err, "", fail.Where{Field: "functions " + f.Name})
}
