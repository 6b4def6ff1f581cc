//go:build drive

package views

import (
	"context"

	"fettle/internal/task"
	"fettle/views/kit/describe"
)

// DescribeTo writes what the window shows to a file whenever it changed, until the group ends: tests with the real pointer
// find buttons in it. It is built only with the tag drive.
func (w *Window) DescribeTo(g *task.Group, file string) {
	g.Go("describe the window", func(ctx context.Context) error { return describe.Start(ctx, w.win, w.bridge.Do, file) })
}
