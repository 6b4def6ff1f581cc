package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/fail"
)

// TestEvidence makes a verdict again from exported samples, on a computer that never saw the runs: the same bytes. Where a sample, a digest or
// the verdict was changed it is refused.
func TestEvidence(t *testing.T) {
	a := open(t)
	base, fused := fusedSample(t, a)
	p, err := a.ComparePaired(t.Context(), PairedRequest{B: fused, NameB: "fused", ProfileRequest: ProfileRequest{Model: base, Name: "original", Threads: 1, Launches: 3, Runs: 10}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "both.json")
	if err := a.Export(t.Context(), ExportRequest{Run: p.A.ID + "," + p.B.ID, Format: "samples", Out: path}); err != nil {
		t.Fatal(err)
	}
	elsewhere := open(t)
	c, err := elsewhere.CompareFrom(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	was, err := json.Marshal(p.Result)
	if err != nil {
		t.Fatal(err)
	}
	now, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(was, now) {
		t.Errorf("the verdict was\n%s\nagain it is\n%s", was, now)
	}

	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, why string
		change    func(e *Evidence)
	}{
		{"a sample", "digest", func(e *Evidence) { e.Runs[1].Trace.Launches[1].Clean[3]++ }},
		{"a step of an instrumented inference", "digest", func(e *Evidence) { e.Runs[0].Trace.Launches[0].Instrumented[2][1]++ }},
		{"a sample left out", "digest", func(e *Evidence) { l := &e.Runs[0].Trace.Launches[2]; l.Clean = l.Clean[1:] }},
		{"a canary", "digest", func(e *Evidence) { e.Runs[0].Trace.Launches[0].CanaryNs[0] *= 2 }},
		{"no end mark", "digest", func(e *Evidence) { e.Runs[0].Trace.End = nil }},
		{"launches a tenth longer, and a digest made for them", "does not follow", func(e *Evidence) {
			for _, l := range e.Runs[1].Trace.Launches { // all: a launch that was disturbed has no say in the verdict
				for i := range l.Clean {
					l.Clean[i] += l.Clean[i] / 10
				}
			}
			e.Runs[1].Trace.Close()
		}},
		{"the verdict", "does not follow", func(e *Evidence) {
			e.Comparison = bytes.Replace(e.Comparison, []byte(`"detectable"`), []byte(`"detectable_"`), 1)
		}},
		{"the sides", "does not follow", func(e *Evidence) { e.Runs[0], e.Runs[1] = e.Runs[1], e.Runs[0] }},
		{"one side", "needs two", func(e *Evidence) { e.Runs = e.Runs[:1] }},
	} {
		var e Evidence
		if err := json.Unmarshal(file, &e); err != nil {
			t.Fatal(err)
		}
		x.change(&e)
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := elsewhere.CompareFrom(t.Context(), path); err == nil || !strings.Contains(err.Error(), x.why) {
			t.Errorf("%s changed: %v, want %q", x.name, err, x.why)
		}
	}
	if err := elsewhere.Export(t.Context(), ExportRequest{Run: p.A.ID + "," + p.B.ID, Format: "samples", Out: path}); !fail.Is(err, fail.NotFound) {
		t.Errorf("without the runs: %v", err)
	}
}
