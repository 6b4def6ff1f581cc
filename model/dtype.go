package model

import "strconv"

// DType is an element type, numbered as TensorProto.DataType of the ONNX specification (IR version 13),
// plus Sequence and Map for values that are made of tensors.
type DType uint8

// The element types of ONNX.
const (
	Undefined      DType = 0
	Float32        DType = 1
	Uint8          DType = 2
	Int8           DType = 3
	Uint16         DType = 4
	Int16          DType = 5
	Int32          DType = 6
	Int64          DType = 7
	String         DType = 8
	Bool           DType = 9
	Float16        DType = 10
	Float64        DType = 11
	Uint32         DType = 12
	Uint64         DType = 13
	Complex64      DType = 14
	Complex128     DType = 15
	BFloat16       DType = 16
	Float8E4M3FN   DType = 17
	Float8E4M3FNUZ DType = 18
	Float8E5M2     DType = 19
	Float8E5M2FNUZ DType = 20
	Uint4          DType = 21
	Int4           DType = 22
	Float4E2M1     DType = 23
	Float8E8M0     DType = 24 // powers of two, for scales

	// Sequence marks a value whose Elems are tensors; it is no element type of a file.
	Sequence DType = 200
	// Map marks a value whose Elems are two lines of equal length: the keys, ascending and each once, and their values.
	Map DType = 201
)

var dtypes = [...]struct {
	name string
	bits int
}{
	Undefined: {"undefined", 0}, Float32: {"float32", 32}, Uint8: {"uint8", 8}, Int8: {"int8", 8}, Uint16: {"uint16", 16},
	Int16: {"int16", 16}, Int32: {"int32", 32}, Int64: {"int64", 64}, String: {"string", 0}, Bool: {"bool", 8},
	Float16: {"float16", 16}, Float64: {"float64", 64}, Uint32: {"uint32", 32}, Uint64: {"uint64", 64},
	Complex64: {"complex64", 64}, Complex128: {"complex128", 128}, BFloat16: {"bfloat16", 16},
	Float8E4M3FN: {"float8e4m3fn", 8}, Float8E4M3FNUZ: {"float8e4m3fnuz", 8}, Float8E5M2: {"float8e5m2", 8},
	Float8E5M2FNUZ: {"float8e5m2fnuz", 8}, Uint4: {"uint4", 4}, Int4: {"int4", 4}, Float4E2M1: {"float4e2m1", 4},
	Float8E8M0: {"float8e8m0", 8},
}

// String is the name as numpy and ONNX spell it in lower case.
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	switch d {
	case Sequence:
		return "sequence"
	case Map:
		return "map"
	}
	return "dtype" + strconv.Itoa(int(d))
}

// Composite reports whether a value of d is made of tensors, so that it has neither a shape nor bytes of its own.
func (d DType) Composite() bool { return d == Sequence || d == Map }

// Valid reports whether d is an element type of the specification.
func (d DType) Valid() bool { return d > 0 && int(d) < len(dtypes) }

// Bits is the size of one element in bits; 0 for strings and undefined.
func (d DType) Bits() int {
	if int(d) < len(dtypes) {
		return dtypes[d].bits
	}
	return 0
}

// Bytes is the size of n elements, packed as in raw_data: two 4-bit elements a byte.
func (d DType) Bytes(n int) int { return (n*d.Bits() + 7) / 8 }

// Float reports whether d is a real floating-point type.
func (d DType) Float() bool {
	switch d {
	case Float32, Float16, Float64, BFloat16, Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float4E2M1, Float8E8M0:
		return true
	}
	return false
}

// Integer reports whether d is an integer type (not Bool).
func (d DType) Integer() bool {
	switch d {
	case Uint8, Int8, Uint16, Int16, Int32, Int64, Uint32, Uint64, Uint4, Int4:
		return true
	}
	return false
}

// ParseDType is the inverse of String.
func ParseDType(s string) (DType, bool) {
	for i, d := range dtypes {
		if d.name == s && i > 0 {
			return DType(i), true
		}
	}
	return Undefined, false
}
