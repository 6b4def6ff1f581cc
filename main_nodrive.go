//go:build cgo && !drive

package main

import "fettle/views"

// describe does nothing in programs for users.
func describe(*views.Window) func() { return func() {} }
