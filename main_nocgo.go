//go:build !cgo

// Command fettle-studio needs the C compiler for its window; without it, it says so.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "fettle-studio: this build has no window; build it with cgo: make studio. The command line is bin/fettle.")
	os.Exit(1)
}
