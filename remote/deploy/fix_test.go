//go:build unix

package deploy

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/sshtest"
	"fettle/profiler/trace"
	"fettle/remote/wire"
)

// cores writes governors of four cores under a new root.
func cores(t *testing.T, governors ...string) (root string, read func() string) {
	t.Helper()
	root = t.TempDir()
	file := func(i int) string {
		return filepath.Join(root, "sys/devices/system/cpu/cpu"+string(rune('0'+i))+"/cpufreq/scaling_governor")
	}
	for i, g := range governors {
		if err := os.MkdirAll(filepath.Dir(file(i)), 0o700); err != nil {
			t.Fatal(err)
		}
		if g == "locked" { // writing to it fails, for root too
			if err := os.Symlink("/proc/version", file(i)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(file(i), []byte(g+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root, func() string {
		var all []string
		for i := range governors {
			b, _ := os.ReadFile(file(i))
			all = append(all, strings.TrimSpace(string(b)))
		}
		return strings.Join(all, " ")
	}
}

// TestFixClock pins the clock of a board and brings back what was before, over SSH: with the user's rights, with a sudo that wants the password,
// and where neither helps.
func TestFixClock(t *testing.T) {
	tools := t.TempDir()
	// a sudo that wants a password and then may replace what is locked
	sudo := "#!/bin/sh\n[ \"$1\" = -S ] || exit 1\nIFS= read -r pw\n[ \"$pw\" = raspberry ] || exit 1\nshift 3\nfor last; do :; done\nrm -f \"$last\"\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(tools, "sudo"), []byte(sudo), 0o700); err != nil {
		t.Fatal(err)
	}
	s := sshtest.Start(t, sshtest.Options{Env: []string{"PATH=" + tools + ":/usr/bin:/bin"}})
	spec, o := desk(t, s)
	c, err := Dial(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	password := func(pw string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return pw, nil }
	}
	root, now := cores(t, "ondemand", "ondemand", "schedutil", "powersave")
	f, err := c.Fix(ctx, FixPin, FixOptions{root: root})
	if err != nil || f.Before != "ondemand, schedutil, powersave" || f.After != "performance" || f.Undo != FixRestore || now() != "performance performance performance performance" {
		t.Fatalf("pinned: %+v, %v; now %s", f, err, now())
	}
	if facts, err := c.Facts(ctx); err != nil || !facts.Pinned {
		t.Errorf("the board does not say that it is pinned: %v", err)
	}
	if _, err := c.Fix(ctx, FixPin, FixOptions{root: root}); err != nil { // twice does not forget what was before
		t.Fatal(err)
	}
	f, err = c.Fix(ctx, FixRestore, FixOptions{root: root})
	if err != nil || f.Before != "performance" || now() != "ondemand ondemand schedutil powersave" {
		t.Fatalf("restored: %+v, %v; now %s", f, err, now())
	}
	if facts, err := c.Facts(ctx); err != nil || facts.Pinned {
		t.Errorf("it still says that it is pinned: %v", err)
	}
	if _, err := c.Fix(ctx, FixRestore, FixOptions{root: root}); !fail.Is(err, fail.NotFound) {
		t.Errorf("restored twice: %v", err)
	}
	locked, _ := cores(t, "locked")
	for _, k := range []struct {
		name string
		o    FixOptions
		want fail.Kind
	}{
		{"nobody may", FixOptions{root: locked}, fail.Denied},
		{"a wrong password", FixOptions{root: locked, Password: password("guess")}, fail.Denied},
		{"no governor", FixOptions{root: t.TempDir()}, fail.Unsupported},
	} {
		if _, err := c.Fix(ctx, FixPin, k.o); !fail.Is(err, k.want) || fail.From(err).Fix == "" {
			t.Errorf("%s: %v", k.name, err)
		}
		if facts, err := c.Facts(ctx); err != nil || facts.Pinned {
			t.Errorf("%s: pinned all the same, %v", k.name, err)
		}
	}
	if f, err := c.Fix(ctx, FixPin, FixOptions{root: locked, Password: password("raspberry")}); err != nil || f.After != "performance" {
		t.Errorf("with the password of sudo: %+v, %v", f, err)
	}
	if _, err := c.Fix(ctx, "reboot", FixOptions{}); !fail.Is(err, fail.Usage) {
		t.Errorf("what is no fix: %v", err)
	}
}

// TestFixOthers frees space and waits for a cool board.
func TestFixOthers(t *testing.T) {
	home := t.TempDir()
	c := local(t, home)
	if _, err := c.Run(t.Context(), FromBundle(net(t, "net", 0)), How{}, nil); err != nil { // its chunks are of no deployment
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	chunks, _ := filepath.Glob(filepath.Join(home, "store", "chunks", "*", "*"))
	for _, f := range chunks {
		if err := os.Chtimes(f, old, old); err != nil {
			t.Fatal(err)
		}
	}
	f, err := c.Fix(t.Context(), FixSpace, FixOptions{})
	if err != nil || f.Note == "" || f.Undo != "" {
		t.Errorf("free space: %+v, %v", f, err)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "store", "chunks", "*", "*")); len(left) > 0 || len(chunks) == 0 {
		t.Errorf("%d of %d chunks are left", len(left), len(chunks))
	}
	facts, err := c.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Fix(t.Context(), FixCool, FixOptions{Cool: 1, Patience: 100 * time.Millisecond})
	if want := map[bool]fail.Kind{true: fail.Unsupported, false: fail.Failed}[facts.TemperatureC == nil]; !fail.Is(err, want) {
		t.Errorf("cool down to 1 C: %v", err)
	}
	if facts.Clock == nil || max(facts.Clock.AheadNs, -facts.Clock.AheadNs) > facts.Clock.WithinNs+1e9 {
		t.Errorf("this computer's clock is off by itself: %+v", facts.Clock)
	}
	if facts.Storage != nil {
		t.Error("storage was measured without being asked for")
	}
	if facts, err = c.FactsAndSpeed(t.Context()); err != nil || facts.Memory == nil || facts.Storage == nil || facts.Storage.WriteBps <= 0 || facts.Storage.ReadBps <= 0 || facts.Storage.FlushNs <= 0 || facts.Storage.Bytes > 8<<20 {
		t.Errorf("storage: %+v, %v", facts, err)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "store", ".speed-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestCounts measures with counters: each is there or has a reason, over all launches; what no counter says is refused.
func TestCounts(t *testing.T) {
	c := local(t, t.TempDir())
	po := NewProfileOptions()
	po.Launches, po.Runs, po.Count = 2, 3, true
	tr, err := c.Profile(t.Context(), FromBundle(net(t, "net", 0)), po, nil)
	if err != nil || !tr.Complete() {
		t.Fatal(err)
	}
	for i, l := range tr.Launches {
		if l.Counts == nil || len(l.Clean) != 3 {
			t.Fatalf("launch %d: %+v", i, l)
		}
		for _, name := range []string{"cycles", "instructions", "cache-misses", "branch-misses", "stalls", "cpu-time"} {
			v, have := l.Counts.Values[name]
			if reason := strings.Contains(strings.Join(l.Counts.Absent, "\n"), name+": "); have == reason || have && v < 0 {
				t.Errorf("launch %d: %s is %v (%v), reasons %q", i, name, v, have, l.Counts.Absent)
			}
		}
	}
	for i, l := range tr.Launches {
		if k := l.Counts.Cost; len(l.Counts.Values) > 0 && (k == nil || k.ReadNs <= 0 || k.PlainNs <= 0 || k.CountedNs <= 0 || k.SteppedNs <= 0) {
			t.Errorf("launch %d: what counting takes: %+v", i, k)
		}
	}
	for i, l := range tr.Launches { // by layer: what is counted of the whole is counted of each step too
		for name := range l.Counts.Values {
			if row := l.Counts.Layers[name]; len(row) != len(tr.Steps) {
				t.Errorf("launch %d: %s has %d numbers for %d steps", i, name, len(row), len(tr.Steps))
			}
		}
	}
	po.Count = false
	if tr, err = c.Profile(t.Context(), FromBundle(net(t, "net", 0)), po, nil); err != nil || tr.Launches[0].Counts != nil {
		t.Errorf("not asked for: %+v, %v", tr, err)
	}
	col := &collector{o: ProfileOptions{Count: true}, t: trace.Trace{Steps: make([]trace.Step, 2)}}
	for name, w := range map[string]wire.Counts{"less than nothing": {Values: map[string]float64{"cycles": -1}}, "more than can be": {Values: map[string]float64{"cycles": 1e300}}, "energy": {Joules: 1e9}, "a reading that ends before it began": {Cost: &wire.CountCost{ReadNS: -1}},
		"a layer too many": {Layers: map[string][]float64{"cycles": {1, 2, 3}}}, "a layer with less than nothing": {Layers: map[string][]float64{"cycles": {1, -2}}}} {
		if err := col.counts(&trace.Launch{}, &w); !fail.Is(err, fail.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	col.o.Count = false
	if err := col.counts(&trace.Launch{}, &wire.Counts{}); !fail.Is(err, fail.Corrupt) {
		t.Errorf("counts that nobody asked for: %v", err)
	}
}
