package cpu

import (
	"syscall"
	"unsafe"
)

// Block is memory outside the Go heap, on huge pages where the kernel gives them.
type Block struct{ raw, data []byte }

// NewBlock maps size zero bytes that start at a multiple of 2 MiB (64 bytes below 1 MiB), with 4 KiB readable bytes behind them.
func NewBlock(size int) (*Block, error) {
	n := size + 4096
	slack := 0
	if size >= hugePage/2 {
		slack = hugePage
	}
	raw, err := syscall.Mmap(-1, 0, n+slack, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, err
	}
	b := &Block{raw: raw, data: raw[:size]}
	if slack > 0 {
		skip := int(-uintptr(unsafe.Pointer(&raw[0])) & (hugePage - 1))
		b.data = raw[skip : skip+size]
		_ = syscall.Madvise(raw[skip:skip+n], syscall.MADV_HUGEPAGE) // a hint: without it the block only is slower
	}
	return b, nil
}

// Free unmaps the block; the slices of Bytes and Floats must not be used any more.
func (b *Block) Free() error {
	if b.raw == nil {
		return nil
	}
	err := syscall.Munmap(b.raw)
	b.raw, b.data = nil, nil
	return err
}

// preferHuge asks for huge pages under the middle of b; a hint that may do nothing.
func preferHuge(b []byte) {
	skip := int(-uintptr(unsafe.Pointer(&b[0])) & (hugePage - 1))
	if n := (len(b) - skip) &^ (hugePage - 1); n > 0 {
		_ = syscall.Madvise(b[skip:skip+n], syscall.MADV_HUGEPAGE)
	}
}
