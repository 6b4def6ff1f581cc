package tflite

import (
	"encoding/binary"
	"math"

	"fettle/internal/fail"
)

// view is a file under the eyes of the reader. Every offset is checked before it is followed; the first that leads outside is kept in
// err, and everything after it reads as absent.
type view struct {
	b   []byte
	err error
}

func (v *view) bad(at int, format string, args ...any) {
	if v.err == nil {
		v.err = fail.New(fail.Corrupt, format, args...).At(fail.Where{Offset: int64(at), HasOff: true})
	}
}

// has reports whether n bytes are at position at.
func (v *view) has(at, n int) bool {
	if v.err != nil || at < 0 || n < 0 || at > len(v.b)-n {
		v.bad(at, "%d bytes are wanted where the file ends", n)
		return false
	}
	return true
}

func (v *view) u32(at int) int {
	if !v.has(at, 4) {
		return 0
	}
	return int(binary.LittleEndian.Uint32(v.b[at:]))
}

// record is a table: where it is, and its vtable.
type record struct {
	v      *view
	at     int
	vtable int
	size   int // of the vtable
}

func (v *view) record(at int) record {
	if !v.has(at, 4) {
		return record{v: v}
	}
	r := record{v: v, at: at, vtable: at - int(int32(binary.LittleEndian.Uint32(v.b[at:])))}
	if !v.has(r.vtable, 4) {
		return record{v: v}
	}
	r.size = int(binary.LittleEndian.Uint16(v.b[r.vtable:]))
	if r.size < 4 || !v.has(r.vtable, r.size) {
		v.bad(r.vtable, "a vtable of %d bytes", r.size)
		return record{v: v}
	}
	return r
}

// field is the position of n bytes of a field, 0 where it is absent.
func (r record) field(id, n int) int {
	slot := 4 + 2*id
	if r.v.err != nil || slot+2 > r.size {
		return 0
	}
	off := int(binary.LittleEndian.Uint16(r.v.b[r.vtable+slot:]))
	if off == 0 || !r.v.has(r.at+off, n) {
		return 0
	}
	return r.at + off
}

func (r record) byte(id int) int8 {
	if p := r.field(id, 1); p > 0 {
		return int8(r.v.b[p])
	}
	return 0
}

func (r record) int(id int, def int32) int32 {
	if p := r.field(id, 4); p > 0 {
		return int32(binary.LittleEndian.Uint32(r.v.b[p:]))
	}
	return def
}

func (r record) float(id int) float32 { return math.Float32frombits(uint32(r.int(id, 0))) }

func (r record) long(id int) uint64 {
	if p := r.field(id, 8); p > 0 {
		return binary.LittleEndian.Uint64(r.v.b[p:])
	}
	return 0
}

// sub is the table that a field refers to.
func (r record) sub(id int) (record, bool) {
	p := r.field(id, 4)
	if p == 0 {
		return record{v: r.v}, false
	}
	return r.v.record(p + r.v.u32(p)), r.v.err == nil
}

// vector gives the elements of size bytes of a vector, nil where it is absent.
func (r record) vector(id, size int) []byte {
	p := r.field(id, 4)
	if p == 0 {
		return nil
	}
	at := p + r.v.u32(p)
	n := r.v.u32(at)
	if n > len(r.v.b)/size {
		r.v.bad(at, "a vector of %d elements in a file of %d bytes", n, len(r.v.b))
		return nil
	}
	if !r.v.has(at+4, n*size) {
		return nil
	}
	return r.v.b[at+4 : at+4+n*size : at+4+n*size]
}

func (r record) string(id int) string { return string(r.vector(id, 1)) }

func (r record) ints(id int) []int32 {
	b := r.vector(id, 4)
	out := make([]int32, len(b)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

func (r record) floats(id int) []float32 {
	l := r.ints(id)
	out := make([]float32, len(l))
	for i, v := range l {
		out[i] = math.Float32frombits(uint32(v))
	}
	return out
}

func (r record) longs(id int) []int64 {
	b := r.vector(id, 8)
	out := make([]int64, len(b)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out
}

// records are the tables that a vector refers to, at most limit.
func (r record) records(id, limit int) []record {
	p := r.field(id, 4)
	b := r.vector(id, 4)
	if p == 0 || b == nil {
		return nil
	}
	n := len(b) / 4
	if n > limit {
		if r.v.err == nil {
			r.v.err = fail.New(fail.TooBig, "the file has a list of %d entries, at most %d are read", n, limit).At(fail.Where{Offset: int64(p), HasOff: true})
		}
		return nil
	}
	first := p + r.v.u32(p) + 4
	out := make([]record, n)
	for i := range out {
		at := first + 4*i
		out[i] = r.v.record(at + r.v.u32(at))
	}
	return out
}
