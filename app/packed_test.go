package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/optimizer"
)

// TestPackedFiles: a packed file is as small as the ledger says, opens as any other, and gives the plain file back byte for byte.
func TestPackedFiles(t *testing.T) {
	ctx, a := context.Background(), open(t)
	dir := t.TempDir()
	base, err := a.Sample("resnet20")
	if err != nil {
		t.Fatal(err)
	}
	r := &optimizer.Recipe{Schema: 1, Seed: 1, Steps: []optimizer.RecipeStep{{Pass: "fold-batchnorm"}, {Pass: "cluster-weights"}}}
	o, err := a.Optimize(ctx, base, r, OptimizeOptions{Unproven: true})
	if err != nil {
		t.Fatal(err)
	}
	plain, small, back := filepath.Join(dir, "a.onnx"), filepath.Join(dir, "a.packed"), filepath.Join(dir, "b.onnx")
	for _, f := range []string{plain, small} {
		if err := a.Save(f, o.Model); err != nil {
			t.Fatal(err)
		}
	}
	m, err := a.Load(ctx, small)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Save(back, m); err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(plain)
	got, _ := os.ReadFile(back)
	if !bytes.Equal(want, got) {
		t.Error("another file came back")
	}
	found := o.Steps[1].Findings
	words := strings.Fields(found[len(found)-1].Reason) // N bytes of weights became N, N saved ...
	after, _ := strconv.Atoi(strings.TrimSuffix(words[5], ","))
	coded, _ := strconv.Atoi(words[6])
	st, _ := os.Stat(small)
	const header = 53
	if saved := int64(len(want)) - st.Size(); coded == 0 || saved != int64(after-coded-header) {
		t.Errorf("%d bytes saved, %q", saved, found[len(found)-1].Reason)
	}
	b, _ := os.ReadFile(small)
	b[len(b)/2] ^= 1
	if err := os.WriteFile(small, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Load(ctx, small); !fail.Is(err, fail.Corrupt) {
		t.Errorf("a damaged file: %v", err)
	}
}

// TestPipe holds that a pipe is refused: looking into it for a packed model would wait for a writer for ever.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe.onnx")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	done := make(chan error, 1)
	a := open(t)
	go func() { _, err := a.Load(t.Context(), path); done <- err }()
	select {
	case err := <-done:
		if !fail.Is(err, fail.Invalid) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting")
	}
}
