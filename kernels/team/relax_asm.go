//go:build amd64 || arm64

package team

// relax tells the processor that this is a loop that waits: the other thread of a core gets its units.
//
//go:noescape
func relax()
