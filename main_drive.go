//go:build cgo && drive

package main

import (
	"context"
	"os"

	"fettle/internal/task"
	"fettle/views"
)

// describe lets a test see where things are: it writes them to the file $FETTLE_DESCRIBE. The function it gives ends that.
func describe(w *views.Window) func() {
	file := os.Getenv("FETTLE_DESCRIBE")
	if file == "" {
		return func() {}
	}
	g := task.NewGroup(context.Background())
	w.DescribeTo(g, file)
	return func() {
		g.Cancel()
		_ = g.Wait() // the description is for tests only
	}
}
