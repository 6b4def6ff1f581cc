package model

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"fettle/internal/fail"
)

// Tensor is a dense array: element type, dimensions, and the elements in row-major order, little endian,
// packed as ONNX raw_data (Bool one byte, 4-bit types two an octet, low nibble first).
//
// A Tensor that belongs to a Model is never written; its bytes may alias a mapped file. The engine and the
// operators write only tensors that they made. Strings live in Strs; a Sequence and a Map live in Elems.
type Tensor struct {
	DType DType
	Shape []int
	Raw   []byte
	Strs  []string
	Elems []*Tensor // of a Sequence (DType == Sequence), whose Elem says of what; of a Map its keys and its values
	Elem  DType     // element type of a Sequence
	None  bool      // an empty optional
}

// MaxElems bounds the elements of one tensor, so that sizes in bytes never overflow an int64.
const MaxElems = 1 << 48

// Count multiplies dims; it fails with TooBig beyond MaxElems and Invalid for negative dimensions.
func Count(dims []int) (int, error) {
	const most = min(MaxElems, math.MaxInt>>4) // on a 32-bit board sizes in bytes have to fit an int
	n := 1
	zero := false
	for i, d := range dims {
		if d < 0 {
			return 0, fail.New(fail.Invalid, "dimension %d is %d", i, d)
		}
		if d == 0 {
			zero = true
			continue
		}
		if n > most/d {
			return 0, fail.New(fail.TooBig, "shape %v has more than %d elements", dims, int64(most))
		}
		n *= d
	}
	if zero {
		return 0, nil
	}
	return n, nil
}

// NewTensor makes a zero tensor. The bytes are aligned to 64.
// It panics on a negative or overflowing shape: check sizes that come from a file with Count first.
func NewTensor(d DType, shape ...int) *Tensor {
	n, err := Count(shape)
	if err != nil {
		panic("model.NewTensor: " + err.Error())
	}
	t := &Tensor{DType: d, Shape: append([]int(nil), shape...)}
	if d == String {
		t.Strs = make([]string, n)
		return t
	}
	t.Raw = Aligned(d.Bytes(n))
	return t
}

// Aligned gives n zero bytes that start at a multiple of 64, a cache line and the widest vector.
func Aligned(n int) []byte {
	b := make([]byte, n+64)
	off := 0
	if r := uintptr(unsafe.Pointer(unsafe.SliceData(b))) % 64; r != 0 {
		off = int(64 - r)
	}
	return b[off : off+n : off+n]
}

// Elem types that Data and Of accept.
type element interface {
	~float32 | ~float64 | ~int8 | ~uint8 | ~int16 | ~uint16 | ~int32 | ~uint32 | ~int64 | ~uint64 | ~bool | ~complex64 | ~complex128
}

// Data is t's bytes seen as []T without a copy where they are aligned, else a copy. The caller must have
// checked the dtype: T's size has to divide the bytes.
func Data[T element](t *Tensor) []T {
	var z T
	size := int(unsafe.Sizeof(z))
	if len(t.Raw) < size {
		return []T{}
	}
	p := unsafe.Pointer(unsafe.SliceData(t.Raw))
	if uintptr(p)%unsafe.Alignof(z) != 0 {
		c := Aligned(len(t.Raw))
		copy(c, t.Raw)
		p = unsafe.Pointer(unsafe.SliceData(c))
	}
	return unsafe.Slice((*T)(p), len(t.Raw)/size)
}

// FromSlice makes a tensor over v (no copy). len(v) must be the product of shape, else it panics.
func FromSlice[T element](d DType, v []T, shape ...int) *Tensor {
	n, err := Count(shape)
	if err != nil || n != len(v) {
		panic(fmt.Sprintf("model.FromSlice: %d elements do not fill %v", len(v), shape))
	}
	var z T
	t := &Tensor{DType: d, Shape: append([]int(nil), shape...)}
	if len(v) > 0 {
		t.Raw = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(z)))
	}
	return t
}

// Float32s makes a float32 tensor over v.
func Float32s(v []float32, shape ...int) *Tensor { return FromSlice(Float32, v, shape...) }

// Int64s makes a one-dimensional int64 tensor.
func Int64s(v ...int64) *Tensor { return FromSlice(Int64, v, len(v)) }

// Scalar32 makes a float32 scalar.
func Scalar32(v float32) *Tensor { return FromSlice(Float32, []float32{v}) }

// Strings makes a string tensor.
func Strings(v []string, shape ...int) *Tensor {
	return &Tensor{DType: String, Shape: append([]int(nil), shape...), Strs: v}
}

// Len is the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Rank is the number of dimensions.
func (t *Tensor) Rank() int { return len(t.Shape) }

// Check reports whether the bytes fill the shape: fail.Corrupt or fail.Invalid otherwise.
func (t *Tensor) Check() error {
	switch t.DType {
	case Sequence:
		return nil
	case Map:
		return t.checkMap()
	}
	n, err := Count(t.Shape)
	if err != nil {
		return err
	}
	if t.DType == String {
		if len(t.Strs) != n {
			return fail.New(fail.Corrupt, "%d strings for shape %v", len(t.Strs), t.Shape)
		}
		return nil
	}
	if !t.DType.Valid() {
		return fail.New(fail.Invalid, "unknown element type %d", t.DType)
	}
	if want := t.DType.Bytes(n); len(t.Raw) != want {
		return fail.New(fail.Corrupt, "%d bytes for %s%v, want %d", len(t.Raw), t.DType, t.Shape, want)
	}
	return nil
}

func (t *Tensor) checkMap() error {
	if len(t.Elems) != 2 {
		return fail.New(fail.Corrupt, "a map of %d lines, want keys and values", len(t.Elems))
	}
	for _, e := range t.Elems {
		if e == nil || e.DType.Composite() || len(e.Shape) != 1 || e.Shape[0] != t.Elems[0].Shape[0] {
			return fail.New(fail.Corrupt, "a map whose keys and values are no two lines of one length")
		}
		if err := e.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Reshaped is t with other dimensions over the same bytes. It panics when the sizes differ.
func (t *Tensor) Reshaped(shape ...int) *Tensor {
	c := *t
	c.Shape = append([]int(nil), shape...)
	if c.Len() != t.Len() {
		panic(fmt.Sprintf("model: reshape %v to %v", t.Shape, shape))
	}
	return &c
}

// Clone copies t with its bytes.
func (t *Tensor) Clone() *Tensor {
	c := *t
	c.Shape = append([]int(nil), t.Shape...)
	if t.Raw != nil {
		c.Raw = Aligned(len(t.Raw))
		copy(c.Raw, t.Raw)
	}
	c.Strs = append([]string(nil), t.Strs...)
	c.Elems = append([]*Tensor(nil), t.Elems...)
	return &c
}

// Float64At reads element i of any numeric type as float64. Complex types give the real part.
func (t *Tensor) Float64At(i int) float64 {
	switch t.DType {
	case Float32:
		return float64(math.Float32frombits(t.u32(i)))
	case Float64:
		return math.Float64frombits(t.u64(i))
	case Float16:
		return float64(F16ToF32(t.u16(i)))
	case BFloat16:
		return float64(BF16ToF32(t.u16(i)))
	case Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ:
		return float64(F8ToF32(t.DType, t.Raw[i]))
	case Complex64:
		return float64(math.Float32frombits(t.u32(2 * i)))
	case Complex128:
		return math.Float64frombits(t.u64(2 * i))
	case Uint64:
		return float64(t.u64(i))
	case Float4E2M1:
		return float64(F4ToF32(t.nibble(i)))
	case Float8E8M0:
		return E8M0ToF64(t.Raw[i])
	}
	return float64(t.Int64At(i))
}

// Int64At reads element i of an integer or bool type as int64; floats are truncated.
func (t *Tensor) Int64At(i int) int64 {
	switch t.DType {
	case Uint8, Bool:
		return int64(t.Raw[i])
	case Int8:
		return int64(int8(t.Raw[i]))
	case Uint16:
		return int64(t.u16(i))
	case Int16:
		return int64(int16(t.u16(i)))
	case Int32:
		return int64(int32(t.u32(i)))
	case Uint32:
		return int64(t.u32(i))
	case Int64:
		return int64(t.u64(i))
	case Uint64:
		return int64(t.u64(i))
	case Uint4:
		return int64(t.nibble(i))
	case Int4:
		return int64(int8(t.nibble(i)<<4) >> 4)
	case String, Sequence, Map, Undefined:
		return 0 // no number; the caller should have asked for the dtype
	}
	return truncated(t.Float64At(i))
}

func (t *Tensor) nibble(i int) byte { return t.Raw[i/2] >> (4 * (i % 2)) & 15 }

// Single elements are read byte by byte: Data copies a whole tensor that a file left unaligned.
func (t *Tensor) u16(i int) uint16 { return binary.LittleEndian.Uint16(t.Raw[2*i:]) }
func (t *Tensor) u32(i int) uint32 { return binary.LittleEndian.Uint32(t.Raw[4*i:]) }
func (t *Tensor) u64(i int) uint64 { return binary.LittleEndian.Uint64(t.Raw[8*i:]) }

// SetFloat64 writes element i of any numeric type from v, rounding floats to nearest even and
// truncating integers towards zero.
func (t *Tensor) SetFloat64(i int, v float64) {
	switch t.DType {
	case Float32:
		Data[float32](t)[i] = float32(v)
	case Float64:
		Data[float64](t)[i] = v
	case Float16:
		Data[uint16](t)[i] = F32ToF16(float32(v))
	case BFloat16:
		Data[uint16](t)[i] = F32ToBF16(float32(v))
	case Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ:
		t.Raw[i] = F32ToF8(t.DType, float32(v), true)
	case Complex64:
		Data[complex64](t)[i] = complex(float32(v), 0)
	case Complex128:
		Data[complex128](t)[i] = complex(v, 0)
	case Uint64:
		if v >= 0 {
			Data[uint64](t)[i] = uint64(v)
		} else {
			Data[uint64](t)[i] = uint64(int64(v))
		}
	case Float4E2M1:
		t.setNibble(i, F32ToF4(float32(v)))
	case Float8E8M0:
		t.Raw[i] = F64ToE8M0(v, RoundUp, true)
	case Bool:
		t.Raw[i] = 0
		if v != 0 {
			t.Raw[i] = 1
		}
	default:
		t.SetInt64(i, truncated(v))
	}
}

// truncated is v without its fraction, at the nearest end where an int64 does not reach; the language leaves that to the machine.
func truncated(v float64) int64 {
	switch {
	case v != v:
		return 0
	case v >= 1<<63:
		return math.MaxInt64
	case v < -1<<63:
		return math.MinInt64
	}
	return int64(v)
}

// SetInt64 writes element i of any numeric type; integers wrap.
func (t *Tensor) SetInt64(i int, v int64) {
	switch t.DType {
	case Uint8, Int8:
		t.Raw[i] = byte(v)
	case Bool:
		t.Raw[i] = 0
		if v != 0 {
			t.Raw[i] = 1
		}
	case Uint16, Int16:
		Data[uint16](t)[i] = uint16(v)
	case Int32, Uint32:
		Data[uint32](t)[i] = uint32(v)
	case Int64, Uint64:
		Data[uint64](t)[i] = uint64(v)
	case Uint4, Int4:
		t.setNibble(i, byte(v)&15)
	case String, Sequence, Map, Undefined: // no place for a number
	default:
		t.SetFloat64(i, float64(v))
	}
}

func (t *Tensor) setNibble(i int, v byte) {
	s := 4 * (i % 2)
	t.Raw[i/2] = t.Raw[i/2]&^(15<<s) | v<<s
}
