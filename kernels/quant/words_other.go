//go:build !arm64

package quant

// wordVectors tells whether there are kernels for 16-bit values.
func (k Kernels) wordVectors() bool { return false }

func (k Kernels) toWords(*wargs)   { panic("quant: no kernel for words") }
func (k Kernels) fromWords(*wargs) { panic("quant: no kernel for words") }
