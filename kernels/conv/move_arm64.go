package conv

import "unsafe"

// moveArgs is what moveLines reads. The offsets are known to _asm/arm64gen/edge.go.
type moveArgs struct {
	dst, src        unsafe.Pointer
	n, blocks, step int64 // lines of 16 bytes a block; bytes from one to the next
}

// moveUp moves n floats of each of some blocks, step floats apart, from from to to, which lies before it.
func moveUp(d []float32, to, from, n, blocks, step int) {
	_ = d[(blocks-1)*step+from+n-1]
	moveLines(&moveArgs{unsafe.Pointer(&d[to]), unsafe.Pointer(&d[from]), int64(n / blk), int64(blocks), int64(4 * step)})
}
