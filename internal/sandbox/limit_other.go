//go:build !linux

package sandbox

// limitMemory has no way to bound another process here; the child bounds itself by its own budgets.
func limitMemory(int, int64) {}
