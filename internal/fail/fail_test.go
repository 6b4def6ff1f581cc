package fail

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestErrorText(t *testing.T) {
	inner := New(Invalid, "%d output channels are not divisible by %d", 64, 3).
		At(Where{Node: "conv1", Op: "Conv", Attr: "group"}).Try("re-export the model or set group=1")
	got := In(fmt.Errorf("wrapped: %w", inner), "open resnet.onnx", Where{File: "resnet.onnx", Node: "outer"}).Error()
	want := `open resnet.onnx: resnet.onnx, node "conv1" (Conv), attribute group: 64 output channels are not divisible by 3; re-export the model or set group=1`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestInDoesNotChangeTheOriginal(t *testing.T) {
	e := New(Corrupt, "cut")
	_ = In(e, "read", Where{File: "a"})
	_ = e.Doing("x")
	if e.What != "" || e.Where.File != "" {
		t.Errorf("the original error was changed: %+v", e)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {New(Failed, "no"), 1}, {errors.New("plain"), 1}, {New(Usage, "u"), 2}, {New(Invalid, "i"), 3},
		{New(TooBig, "t"), 3}, {New(Unreachable, "u"), 4}, {New(Denied, "d"), 4}, {New(Unsupported, "u"), 5},
		{context.Canceled, 130}, {fmt.Errorf("x: %w", context.DeadlineExceeded), 130},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("ExitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}
