//go:build arm64

package cpu

import "testing"

// TestBudgetWork runs each kernel of this package once, for TestBudgets to count what it executes.
func TestBudgetWork(t *testing.T) {
	l := NewLayout(1, 64, 14, 14, 4, Border{1, 1, 1, 1})
	FillBorder(l, Floats(l.Len()), 0)
}
