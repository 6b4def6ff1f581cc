package app

import (
	"bytes"
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/profiler"
)

// measuring is a board that measures: each run is a little faster than the one before.
type measuring struct {
	fakeBoards
	runs int
	stop bool // fail in the middle
	seen func()
}

func (m *measuring) Profile(_ context.Context, q ProfileRequest) (*Profile, error) {
	m.runs++
	p50 := 10e6 / float64(m.runs)
	for i := range 3 {
		q.Live(LiveSample{Launch: 1, Kind: "clean", TotalNs: int64(p50), Done: i + 1, Total: 3})
	}
	if m.seen != nil {
		m.seen()
	}
	if m.stop {
		return nil, fail.New(fail.Unreachable, "the cable was pulled")
	}
	p := &Profile{Schema: 1, ID: "", Layers: []profiler.Layer{{ID: "s0", Name: "conv, first", Op: "Conv", Origin: []string{"conv"}, P50Ns: p50, Share: 1}}, Complete: true}
	p.Clean.N, p.Clean.P50Ns, p.Clean.Launches = 30, &p50, 3
	for range 30 {
		p.Clean.SamplesNs = append(p.Clean.SamplesNs, int64(p50))
	}
	for range 3 {
		p.Launches = append(p.Launches, profiler.LaunchResult{N: 10, P50Ns: p50})
	}
	p.Model.SHA256, p.Conditions.Seal = q.Model.Hash(), profiler.Amber
	return p, nil
}

// TestProfileCommand: samples show while they arrive, the run stays with its model, the second one is compared with the
// first, and the start screen learns of it.
func TestProfileCommand(t *testing.T) {
	s := studio(t)
	b := &measuring{}
	s.boards = b
	d := openSample(t, s)
	b.seen = func() {
		until(t, s, "live samples", func(st *State) bool { return len(st.Runs) == 1 && len(st.Runs[0].Live) > 0 && st.Runs[0].Partial })
	}
	s.Profile(ProfileForm{Which: Original})
	st := idle(t, s)
	noErrors(t, st)
	if len(st.Runs) != 1 || st.Runs[0].Partial || st.LastRun(d.Base.Hash()) == nil {
		t.Fatalf("runs %+v", st.Runs)
	}
	if r := st.Recent[0]; r.P50Ns == nil || *r.P50Ns != 10e6 || r.Seal != profiler.Amber {
		t.Errorf("recent %+v", r)
	}
	b.seen = nil
	s.ApplyStandard()
	idle(t, s)
	s.Profile(ProfileForm{Which: Rewritten})
	st = idle(t, s)
	noErrors(t, st)
	if st.LastRun(st.Doc.Model.Hash()) == nil || st.LastRun(st.Doc.Model.Hash()) == st.LastRun(d.Base.Hash()) {
		t.Error("the run of the rewritten model is not known by its hash")
	}
	if st.Compared == nil || st.Compared.A != st.Runs[0] || st.Compared.B != st.Runs[1] {
		t.Errorf("compared %+v", st.Compared)
	}
	b.stop = true
	s.Profile(ProfileForm{})
	if st = idle(t, s); len(st.Runs) != 2 || len(st.Notices) != 1 {
		t.Errorf("after a lost board: %d runs, notices %+v", len(st.Runs), st.Notices)
	}
}

// TestExportRun: the file of each format can be read back; an unknown format says which there are.
func TestExportRun(t *testing.T) {
	s := studio(t)
	s.boards = &measuring{}
	openSample(t, s)
	s.Profile(ProfileForm{})
	id := idle(t, s).Runs[0].ID
	dir := t.TempDir()
	s.ExportRun(id, "json", filepath.Join(dir, "r.json"))
	s.ExportRun(id, "csv", filepath.Join(dir, "r.csv"))
	noErrors(t, idle(t, s))
	if p, err := s.app.ReadProfile(context.Background(), filepath.Join(dir, "r.json")); err != nil || p.Clean.N != 30 {
		t.Errorf("json: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "r.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll(); err != nil || len(rows) < 3 || !strings.Contains(string(b), "conv, first") {
		t.Errorf("csv: %v, %v", rows, err)
	}
	for format, head := range map[string]string{"pdf": "%PDF-", "png": "\x89PNG", "svg": "<?xml", "html": "<!"} {
		path := filepath.Join(dir, "r."+format)
		s.ExportRun(id, format, path)
		noErrors(t, idle(t, s))
		if b, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(b), head) {
			t.Errorf("%s: %v, begins with %.12q", format, err, b)
		}
	}
	s.ExportRun(id, "doc", filepath.Join(dir, "r.doc"))
	if st := idle(t, s); len(st.Notices) == 0 || st.Notices[len(st.Notices)-1].Err == nil {
		t.Error("an unknown format is not refused")
	}
}
