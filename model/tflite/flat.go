package tflite

import (
	"encoding/binary"
	"math"
	"slices"
)

// flat lays out a FlatBuffer from front to back: a table is written where it is first met and what it refers to behind it, so that
// offsets point forwards as the format wants them and large vectors are copied once.
type flat struct{ b []byte }

// row is a field of a table: its id and a scalar, string, slice or table.
type row struct {
	id int
	v  any
}

// blob is a vector of bytes that starts at a multiple of 16.
type blob []byte

func (f *flat) align(n, ahead int) {
	for (len(f.b)+ahead)%n != 0 {
		f.b = append(f.b, 0)
	}
}

func (f *flat) u16(v int) { f.b = binary.LittleEndian.AppendUint16(f.b, uint16(v)) }
func (f *flat) u32(v int) { f.b = binary.LittleEndian.AppendUint32(f.b, uint32(v)) }

// file writes the header and the root table.
func (f *flat) file(identifier string, root []row) {
	f.u32(0)
	f.b = append(f.b, identifier...)
	f.point(0, f.table(root))
}

// point makes the offset at position at point to position to.
func (f *flat) point(at, to int) { binary.LittleEndian.PutUint32(f.b[at:], uint32(to-at)) }

// width is how many bytes a field takes in its table; references take 4.
func width(v any) int {
	switch v.(type) {
	case bool, int8, uint8:
		return 1
	case int64:
		return 8
	}
	return 4
}

// table writes a table with its vtable in front and its references behind, and gives its position.
func (f *flat) table(rows []row) int {
	fields := 0
	for _, r := range rows {
		fields = max(fields, r.id+1)
	}
	order := slices.Clone(rows)
	slices.SortStableFunc(order, func(a, b row) int { return width(b.v) - width(a.v) })
	size := 4 // of the table: the offset of the vtable comes first
	place := map[int]int{}
	for _, r := range order {
		w := width(r.v)
		size = (size + w - 1) / w * w
		place[r.id] = size
		size += w
	}
	vtable := 4 + 2*fields
	f.align(8, vtable)
	at := len(f.b) + vtable
	f.u16(vtable)
	f.u16(size)
	for id := range fields {
		f.u16(place[id])
	}
	f.b = append(f.b, make([]byte, size)...)
	binary.LittleEndian.PutUint32(f.b[at:], uint32(vtable))
	for _, r := range rows {
		if p := at + place[r.id]; !f.scalar(p, r.v) {
			f.point(p, f.reference(r.v))
		}
	}
	return at
}

func (f *flat) scalar(at int, v any) bool {
	switch v := v.(type) {
	case bool:
		if v {
			f.b[at] = 1
		}
	case int8:
		f.b[at] = byte(v)
	case uint8:
		f.b[at] = v
	case int32:
		binary.LittleEndian.PutUint32(f.b[at:], uint32(v))
	case uint32:
		binary.LittleEndian.PutUint32(f.b[at:], v)
	case float32:
		binary.LittleEndian.PutUint32(f.b[at:], math.Float32bits(v))
	case int64:
		binary.LittleEndian.PutUint64(f.b[at:], uint64(v))
	default:
		return false
	}
	return true
}

// reference writes a string, vector or table and gives its position. The values are those of write.go: another type is a mistake there.
func (f *flat) reference(v any) int {
	switch v := v.(type) {
	case []row:
		return f.table(v)
	case string:
		at := f.vector(4, len(v))
		f.b = append(f.b, v...)
		f.b = append(f.b, 0)
		return at
	case blob:
		at := f.vector(16, len(v))
		f.b = append(f.b, v...)
		return at
	case []int32:
		at := f.vector(4, len(v))
		for _, e := range v {
			f.u32(int(e))
		}
		return at
	case []float32:
		at := f.vector(4, len(v))
		for _, e := range v {
			f.u32(int(math.Float32bits(e)))
		}
		return at
	case []int64:
		at := f.vector(8, len(v))
		for _, e := range v {
			f.b = binary.LittleEndian.AppendUint64(f.b, uint64(e))
		}
		return at
	case [][]row:
		at := f.vector(4, len(v))
		first := len(f.b)
		f.b = append(f.b, make([]byte, 4*len(v))...)
		for i, t := range v {
			f.point(first+4*i, f.table(t))
		}
		return at
	}
	panic("tflite: a field of unknown type")
}

// vector writes the length of a vector whose elements start at a multiple of align, and gives its position.
func (f *flat) vector(align, n int) int {
	f.align(max(align, 4), 4)
	at := len(f.b)
	f.u32(n)
	return at
}
