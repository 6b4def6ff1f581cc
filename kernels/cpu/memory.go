package cpu

import "unsafe"

// Floats returns n zero floats that start at a multiple of 64 bytes, from the Go heap.
func Floats(n int) []float32 { return Aligned[float32](n) }

// Aligned returns n zero elements that start at a multiple of 64 bytes and have 64 readable bytes behind them.
func Aligned[T int8 | uint8 | int16 | int32 | float32](n int) []T {
	var z T
	size := int(unsafe.Sizeof(z))
	s := make([]T, n+128/size)
	skip := int(-uintptr(unsafe.Pointer(&s[0]))&63) / size
	return s[skip : skip+n : skip+n]
}
