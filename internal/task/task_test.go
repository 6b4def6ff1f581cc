package task

import (
	"context"
	"errors"
	"testing"

	"fettle/internal/fail"
)

func TestGroupFirstErrorCancelsTheRest(t *testing.T) {
	g := NewGroup(context.Background())
	g.Go("waits", func(ctx context.Context) error { <-ctx.Done(); return nil })
	g.Go("fails", func(context.Context) error { return errors.New("no") })
	if err := g.Wait(); err == nil || err.Error() != "no" {
		t.Fatalf("got %v", err)
	}
}

func TestPanicBecomesInternal(t *testing.T) {
	g := NewGroup(context.Background())
	g.Go("breaks", func(context.Context) error { panic("boom") })
	err := g.Wait()
	var p *Panic
	if !fail.Is(err, fail.Internal) || !errors.As(err, &p) || len(p.Stack) == 0 {
		t.Fatalf("got %v", err)
	}
}

func TestNilProgress(t *testing.T) {
	var p Progress
	p.Report(1, 2, "x")
}
