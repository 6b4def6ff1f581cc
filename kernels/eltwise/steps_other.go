//go:build !arm64

package eltwise

func (k Kernels) steps(e *eargs) { stepsGo(e) }
