package model

import (
	"strconv"
	"strings"
)

// Dim is one dimension: a size, or a symbol, or unknown (N < 0 and no symbol).
type Dim struct {
	N   int
	Sym string
}

// Fixed makes a dimension of size n.
func Fixed(n int) Dim { return Dim{N: n} }

// Sym makes a symbolic dimension; "" is unknown.
func Sym(s string) Dim { return Dim{N: -1, Sym: s} }

// Known reports whether the size is a number.
func (d Dim) Known() bool { return d.N >= 0 }

// String prints the number, the symbol, or "?".
func (d Dim) String() string {
	switch {
	case d.N >= 0:
		return strconv.Itoa(d.N)
	case d.Sym != "":
		return d.Sym
	}
	return "?"
}

// Shape is a list of dimensions.
type Shape []Dim

// FixedShape makes a shape of sizes.
func FixedShape(dims ...int) Shape {
	s := make(Shape, len(dims))
	for i, d := range dims {
		s[i] = Fixed(d)
	}
	return s
}

// Ints gives the sizes, and whether all of them are numbers.
func (s Shape) Ints() ([]int, bool) {
	out := make([]int, len(s))
	for i, d := range s {
		if d.N < 0 {
			return nil, false
		}
		out[i] = d.N
	}
	return out, true
}

// String prints [1, N, 3].
func (s Shape) String() string {
	p := make([]string, len(s))
	for i, d := range s {
		p[i] = d.String()
	}
	return "[" + strings.Join(p, ", ") + "]"
}

// TypeKind is what a value holds.
type TypeKind uint8

// The kinds of values.
const (
	KindTensor TypeKind = iota
	KindSequence
	KindOptional
	KindMap
	KindSparse
	KindOpaque
)

// Type is the type of a value: for a tensor its element type and, where Ranked, its shape.
type Type struct {
	Kind   TypeKind
	DType  DType // element type; Undefined: not known
	Ranked bool  // Shape is known (a scalar is Ranked with no dimensions)
	Shape  Shape
	Elem   *Type // of a sequence, optional or map
	Key    DType // of a map
	Raw    []byte
}

// TensorType makes a tensor type with a known shape.
func TensorType(d DType, s Shape) Type { return Type{DType: d, Ranked: true, Shape: s} }

// TypeOf is the type of a tensor's value. An empty optional is of no known element.
func TypeOf(t *Tensor) Type {
	if t.None {
		return Type{Kind: KindOptional}
	}
	switch t.DType {
	case Sequence:
		e := Type{DType: t.Elem}
		if t.Elem == Map {
			if e = (Type{Kind: KindMap}); len(t.Elems) > 0 {
				e = TypeOf(t.Elems[0])
			}
		}
		return Type{Kind: KindSequence, Elem: &e}
	case Map:
		if len(t.Elems) != 2 {
			return Type{Kind: KindMap}
		}
		e := TensorType(t.Elems[1].DType, Shape{})
		return Type{Kind: KindMap, Key: t.Elems[0].DType, Elem: &e}
	}
	return TensorType(t.DType, FixedShape(t.Shape...))
}

// String prints float32[1, 3, N].
func (t Type) String() string {
	switch t.Kind {
	case KindSequence, KindOptional:
		name := map[TypeKind]string{KindSequence: "seq", KindOptional: "optional"}[t.Kind]
		if t.Elem != nil {
			return name + "(" + t.Elem.String() + ")"
		}
		return name
	case KindMap:
		if t.Elem != nil {
			return "map(" + t.Key.String() + ", " + t.Elem.String() + ")"
		}
		return "map"
	case KindSparse:
		return "sparse"
	case KindOpaque:
		return "opaque"
	}
	if !t.Ranked {
		return t.DType.String()
	}
	return t.DType.String() + t.Shape.String()
}
