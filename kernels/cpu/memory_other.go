//go:build !linux

package cpu

// Block is a large piece of memory; outside Linux it lies in the Go heap.
type Block struct{ data []byte }

// NewBlock makes size zero bytes that start at a multiple of 64 bytes.
func NewBlock(size int) (*Block, error) { return &Block{Aligned[uint8](size)}, nil }

// Free drops the memory.
func (b *Block) Free() error {
	b.data = nil
	return nil
}

func preferHuge([]byte) {}
