//go:build arm64 || arm

package pack

import "testing"

// TestBudgetWork runs each kernel on 1000 pixels, for kernels/cpu's TestBudgets to count what they execute.
func TestBudgetWork(t *testing.T) {
	const n = 1000
	f, b := make([]float32, n), make([]uint8, n)
	Pixels(make([]float32, 3*n), f, f, f)
	Pixels8(make([]uint8, 3*n), b, b, b, 128)
}
