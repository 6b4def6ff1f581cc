package app

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// TestRunPrepared: the first run of a file leaves a prepared plan, the second starts from it, a changed file and --no-cache do
// not.
func TestRunPrepared(t *testing.T) {
	ctx, a := context.Background(), open(t)
	base, fused := fusedSample(t, a)
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := a.Save(path, base); err != nil {
		t.Fatal(err)
	}
	run := func(q RunRequest) *RunResult {
		t.Helper()
		q.Model, q.Inputs = path, []string{"random:1"}
		r, err := a.Run(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := run(RunRequest{}); r.Prepared {
		t.Error("a file that was written just now may still change")
	}
	time.Sleep(2100 * time.Millisecond)
	plain := run(RunRequest{Fresh: true})
	if plain.Prepared {
		t.Error("prepared though it was not wanted")
	}
	first, second := run(RunRequest{}), run(RunRequest{Threads: 2})
	if !first.Prepared || !second.Prepared {
		t.Errorf("prepared: %t, %t", first.Prepared, second.Prepared)
	}
	if o := run(RunRequest{Optimize: true}); !o.Prepared {
		t.Error("the optimized model is not prepared")
	}
	for _, n := range plain.Names {
		for _, r := range []*RunResult{first, second} {
			if string(r.Tensors[n].Raw) != string(plain.Tensors[n].Raw) {
				t.Errorf("%s differs", n)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(a.Home(), "cache", "plans", "*.fplan"))
	if err != nil || len(files) != 2 {
		t.Errorf("%v %v", files, err)
	}
	if err := a.Save(path, fused); err != nil {
		t.Fatal(err)
	}
	if r := run(RunRequest{}); r.Prepared {
		t.Error("the plan of a file that has changed")
	}
}
