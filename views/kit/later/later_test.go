package later

import (
	"context"
	"sync/atomic"
	"testing"

	"fettle/internal/fail"
)

func inline(f func()) { f() }

func TestOnlyTheNewestComesBack(t *testing.T) {
	l := New(inline)
	defer l.Close()
	var got atomic.Int64
	started := make(chan bool)
	l.Run("old", func(ctx context.Context) error {
		close(started)
		<-ctx.Done()
		return nil // ends well all the same: it must be dropped for its age
	}, func(error) { got.Add(100) })
	<-started
	l.Run("new", func(context.Context) error { return nil }, func(error) { got.Add(1) })
	l.Wait()
	if got.Load() != 1 {
		t.Errorf("results %d, want only the newest", got.Load())
	}
}

func TestErrorsAndPanicsComeBack(t *testing.T) {
	l := New(inline)
	defer l.Close()
	for _, c := range []struct {
		name string
		work func(context.Context) error
		kind fail.Kind
	}{
		{"error", func(context.Context) error { return fail.New(fail.Invalid, "no") }, fail.Invalid},
		{"panic", func(context.Context) error { panic("oh") }, fail.Internal},
	} {
		var got error
		l.Run(c.name, c.work, func(err error) { got = err })
		l.Wait()
		if !fail.Is(got, c.kind) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	ok := false
	l.Run("after", func(context.Context) error { return nil }, func(err error) { ok = err == nil })
	if l.Wait(); !ok {
		t.Error("a failure stopped what came after")
	}
}

func TestNothingAfterClose(t *testing.T) {
	l := New(inline)
	called := false
	started, closed := make(chan bool), make(chan bool)
	l.Run("work", func(context.Context) error {
		close(started)
		<-closed
		return nil
	}, func(error) { called = true })
	<-started
	l.Close()
	close(closed)
	l.Wait()
	if called {
		t.Error("a result came back after Close")
	}
}
