//go:build !linux

package mapped

// ForgetProgram does nothing here.
func ForgetProgram() {}

// NarrowProgram does nothing here.
func NarrowProgram() {}
