//go:build !linux

package team

func pin(int) {}

// Allowed tells whether this process may use a processor; nil: any.
func Allowed() func(processor int) bool { return nil }
