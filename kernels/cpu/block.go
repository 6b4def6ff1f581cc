package cpu

import "unsafe"

// Bytes is the whole block.
func (b *Block) Bytes() []byte { return b.data }

// Floats is the whole block as float32.
func (b *Block) Floats() []float32 {
	if len(b.data) < 4 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b.data[0])), len(b.data)/4)
}
