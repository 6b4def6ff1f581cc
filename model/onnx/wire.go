package onnx

import (
	"math"

	pw "google.golang.org/protobuf/encoding/protowire"

	"fettle/internal/fail"
)

// Budget bounds what a file may ask of the reader. Counts are of the whole file, functions and subgraphs included.
type Budget struct {
	FileBytes  int64 // largest file, external data not counted
	Depth      int   // nesting of graphs and types
	Nodes      int
	Values     int   // inputs, outputs, value_info, initializers, attributes
	NameBytes  int   // longest name
	Dims       int   // dimensions of a tensor
	ExtraBytes int64 // external data
}

// DefaultBudget fits every model that fits a workstation: 64 GB of weights, half a million nodes.
func DefaultBudget() Budget {
	return Budget{FileBytes: 64 << 30, Depth: 64, Nodes: 500_000, Values: 1 << 20, NameBytes: 4096, Dims: 64, ExtraBytes: 256 << 30}
}

// reader walks one message. Every reader of a file shares the account of what was spent.
type reader struct {
	acc  *account
	base []byte // whole file, to tell offsets
}

type account struct {
	Budget
	nodes, values int
}

// field is one field of a message as it stands in the file.
type field struct {
	num  pw.Number
	typ  pw.Type
	u    uint64 // of varint and fixed
	v    []byte // of length-delimited
	full []byte // tag and value
}

// each calls f for every field of message b.
func (r *reader) each(b []byte, f func(field) error) error {
	for len(b) > 0 {
		num, typ, k := pw.ConsumeTag(b)
		if k < 0 {
			return r.bad(b, "no field starts here")
		}
		fd := field{num: num, typ: typ}
		l := 0
		switch typ {
		case pw.VarintType:
			fd.u, l = pw.ConsumeVarint(b[k:])
		case pw.BytesType:
			fd.v, l = pw.ConsumeBytes(b[k:])
		case pw.Fixed32Type:
			var x uint32
			x, l = pw.ConsumeFixed32(b[k:])
			fd.u = uint64(x)
		case pw.Fixed64Type:
			fd.u, l = pw.ConsumeFixed64(b[k:])
		default:
			return r.bad(b, "field %d has wire type %d, which ONNX does not use", num, typ)
		}
		if l < 0 {
			return r.bad(b, "field %d is cut or malformed", num)
		}
		fd.full = b[: k+l : k+l]
		if err := f(fd); err != nil {
			return err
		}
		b = b[k+l:]
	}
	return nil
}

// bad is a fail.Invalid at the place of b in the file.
func (r *reader) bad(b []byte, format string, args ...any) *fail.Error {
	return fail.New(fail.Invalid, format, args...).At(fail.Where{Offset: r.offset(b), HasOff: true})
}

func (r *reader) offset(b []byte) int64 {
	// b is a tail or a part of base: capacity tells where it starts unless it was clipped; search from the end.
	if cap(b) <= cap(r.base) {
		return int64(cap(r.base) - cap(b))
	}
	return 0
}

func (r *reader) spendNode() error {
	if r.acc.nodes++; r.acc.nodes > r.acc.Nodes {
		return fail.New(fail.TooBig, "more than %d nodes", r.acc.Nodes)
	}
	return nil
}

func (r *reader) spendValue() error {
	if r.acc.values++; r.acc.values > r.acc.Values {
		return fail.New(fail.TooBig, "more than %d values and attributes", r.acc.Values)
	}
	return nil
}

func (r *reader) name(fd field) (string, error) {
	if fd.typ != pw.BytesType {
		return "", fail.New(fail.Invalid, "field %d is not a text", fd.num)
	}
	if len(fd.v) > r.acc.NameBytes {
		return "", fail.New(fail.TooBig, "a name of %d bytes, at most %d are allowed", len(fd.v), r.acc.NameBytes)
	}
	return string(fd.v), nil
}

// varints appends a repeated integer field, packed or not.
func varints(dst []int64, fd field, limit int) ([]int64, error) {
	if fd.typ == pw.VarintType {
		return append(dst, int64(fd.u)), nil
	}
	if fd.typ != pw.BytesType {
		return nil, fail.New(fail.Invalid, "field %d is not a list of integers", fd.num)
	}
	for v := fd.v; len(v) > 0; {
		x, k := pw.ConsumeVarint(v)
		if k < 0 {
			return nil, fail.New(fail.Invalid, "a list of integers is cut")
		}
		if len(dst) >= limit {
			return nil, fail.New(fail.TooBig, "a list of more than %d integers", limit)
		}
		dst, v = append(dst, int64(x)), v[k:]
	}
	return dst, nil
}

// floats appends a repeated float field, packed or not.
func floats(dst []float32, fd field) ([]float32, error) {
	if fd.typ == pw.Fixed32Type {
		return append(dst, math.Float32frombits(uint32(fd.u))), nil
	}
	if fd.typ != pw.BytesType || len(fd.v)%4 != 0 {
		return nil, fail.New(fail.Invalid, "field %d is not a list of floats", fd.num)
	}
	for v := fd.v; len(v) > 0; v = v[4:] {
		x, _ := pw.ConsumeFixed32(v)
		dst = append(dst, math.Float32frombits(x))
	}
	return dst, nil
}
