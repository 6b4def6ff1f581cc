package native

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/runtimes"
)

// TestScoresAreKept: a processor that is chosen for by scores is measured once and its scores are found again, for each precision of its own;
// damage is measured anew; others have none.
func TestScoresAreKept(t *testing.T) {
	arm := cpu.Features{Arch: "arm64", NEON: true, Part: 0xd08}
	n := native{feat: arm}
	dir := t.TempDir()
	eo := engine.Options{Threads: 1, Features: arm}
	if _, err := n.kept(eo, dir); !fail.Is(err, fail.NotFound) {
		t.Errorf("scores of an unmeasured processor: %v", err)
	}
	want := scoreFile{arm.String(), []engine.Score{{Probe: "a", Kernel: "x", Ns: 3}, {Probe: "a", Kernel: "y", Ns: 2}}}
	if err := keepScores(n.scorePath(eo, dir), want); err != nil {
		t.Fatal(err)
	}
	got, err := n.scores(context.Background(), eo, runtimes.Options{Cache: dir, ModelID: "m"})
	if err != nil || len(got) != 2 || got[1] != want.Scores[1] {
		t.Errorf("%v, %v", got, err)
	}
	half, other := eo, eo
	half.Half, other.Features.Part = true, 0xd0b
	if n.scorePath(half, dir) == n.scorePath(eo, dir) || n.scorePath(other, dir) == n.scorePath(eo, dir) {
		t.Error("another precision or core takes the same scores")
	}
	if l := Scores(dir); len(l) != 1 || len(l[arm.String()]) != 2 {
		t.Errorf("%v", l)
	}
	if err := os.WriteFile(n.scorePath(eo, dir), []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.kept(eo, dir); !fail.Is(err, fail.NotFound) {
		t.Errorf("a damaged file: %v", err)
	}
	x86 := eo
	x86.Features = cpu.Features{Arch: "amd64", AVX2: true}
	if l, err := n.scores(context.Background(), x86, runtimes.Options{Cache: dir, ModelID: "m"}); l != nil || err != nil {
		t.Errorf("amd64: %v, %v", l, err)
	}
	if r, err := New(",rules"); err != nil || r.(native).measured(arm) {
		t.Errorf("kernels by rules on arm64: %v", err)
	}
	if r, err := New("generic,measured"); err != nil || !r.(native).measured(x86.Features) || r.(native).measured(r.(native).feat) {
		t.Errorf("kernels by measurement on amd64: %v", err)
	}
	if _, err := New(",guessed"); !fail.Is(err, fail.Usage) {
		t.Errorf("kernels by guess: %v", err)
	}
	if l, err := n.scores(context.Background(), eo, runtimes.Options{}); l != nil || err != nil {
		t.Errorf("without a folder: %v, %v", l, err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, ".fplan-*")); len(files) > 0 {
		t.Errorf("left behind: %s", strings.Join(files, " "))
	}
}
