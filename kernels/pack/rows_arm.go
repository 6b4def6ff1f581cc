package pack

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// pixelArgs is what the kernels read.
type pixelArgs struct {
	dst, red, green, blue unsafe.Pointer
	n                     int64 // lines of 16 bytes a plane
	flip                  int64
}

// pixels does the first pixels and says how many.
func pixels(dst, red, green, blue []float32) int {
	n := len(red) / 4
	if n == 0 || !cpu.Detect().Has(cpu.NEON) {
		return 0
	}
	pixels3S(&pixelArgs{unsafe.Pointer(&dst[0]), unsafe.Pointer(&red[0]), unsafe.Pointer(&green[0]), unsafe.Pointer(&blue[0]), int64(n), 0})
	return 4 * n
}

func pixels8(dst, red, green, blue []uint8, flip uint8) int {
	n := len(red) / 16
	if n == 0 || !cpu.Detect().Has(cpu.NEON) {
		return 0
	}
	pixels3B(&pixelArgs{unsafe.Pointer(&dst[0]), unsafe.Pointer(&red[0]), unsafe.Pointer(&green[0]), unsafe.Pointer(&blue[0]), int64(n), int64(flip)})
	return 16 * n
}
