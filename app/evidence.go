package app

import (
	"bytes"
	"context"
	"encoding/json"

	"fettle/internal/fail"
	"fettle/profiler"
	"fettle/profiler/trace"
)

// Evidence is every sample of one or two runs, as they came from the target, with the verdict that was made of them. The verdict follows from
// the rest: who has the file needs neither the target nor this computer to make it again.
type Evidence struct {
	Schema     int             `json:"schema"`
	Fettle     string          `json:"fettle"` // version that made the verdict
	Runs       []EvidenceRun   `json:"runs"`
	Comparison json.RawMessage `json:"comparison,omitempty"`
}

// EvidenceRun is a run with what names it in the verdict.
type EvidenceRun struct {
	ID    string       `json:"id"`
	Taken int64        `json:"taken_unix"`
	Trace *trace.Trace `json:"trace"`
}

const (
	evidenceSchema = 1
	maxEvidence    = 256 << 20
)

// exportSamples writes runs with all their samples: one run, or two with what comparing them said.
func (a *App) exportSamples(ctx context.Context, path string, runs ...*Profile) error {
	s, err := a.history()
	if err != nil {
		return err
	}
	e := Evidence{Schema: evidenceSchema, Fettle: Version}
	for _, p := range runs {
		raw, err := s.Trace(ctx, p.ID)
		if err != nil || p.ID == "" {
			return fail.New(fail.NotFound, "the samples of run %q are not in the history of this computer", p.ID).Doing("export the samples").
				Try("export them where the run was measured; a profile holds what was made of them")
		}
		t := &trace.Trace{}
		if err := json.Unmarshal(raw, t); err != nil {
			return fail.New(fail.Corrupt, "the samples of run %s cannot be read: %v", p.ID, err)
		}
		e.Runs = append(e.Runs, EvidenceRun{p.ID, p.TakenUnix, t})
	}
	if len(runs) == 2 {
		c, err := e.judge()
		if err != nil {
			return err
		}
		if e.Comparison, err = json.Marshal(c); err != nil {
			return fail.New(fail.Internal, "%v", err)
		}
	}
	b, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	return exportFile(path, append(b, '\n'))
}

// judge makes the verdict from the samples.
func (e *Evidence) judge() (*ProfileComparison, error) {
	if len(e.Runs) != 2 {
		return nil, fail.New(fail.Invalid, "it holds %d runs, a verdict needs two", len(e.Runs)).Try("export two runs, with a comma between them")
	}
	var sides [2]*Profile
	for i, r := range e.Runs {
		if r.Trace == nil || !r.Trace.Complete() {
			return nil, fail.New(fail.Corrupt, "the samples of run %s are not those that were measured: their digest is another", r.ID).Try("export the runs again")
		}
		p, err := profiler.Summarize(r.Trace)
		if err != nil {
			return nil, err
		}
		p.ID, p.TakenUnix = r.ID, r.Taken
		sides[i] = p
	}
	return profiler.Compare(sides[0], sides[1])
}

// CompareFrom makes the verdict again from the samples in a file, and holds it to the one in the file: it has to be the same to the last byte.
func (a *App) CompareFrom(_ context.Context, path string) (*ProfileComparison, error) {
	b, err := readSmall(path, maxEvidence)
	if err != nil {
		return nil, fail.In(err, "read the samples", fail.Where{File: path})
	}
	var e Evidence
	if err := json.Unmarshal(b, &e); err != nil || e.Schema != evidenceSchema || len(e.Runs) == 0 {
		return nil, fail.New(fail.Invalid, "it holds no samples of schema %d", evidenceSchema).At(fail.Where{File: path}).Doing("read the samples").
			Try("give a file that fettle export --format samples or fettle compare -o wrote")
	}
	c, err := e.judge()
	if err != nil {
		return nil, fail.In(err, "judge the samples again", fail.Where{File: path})
	}
	now, err := json.Marshal(c)
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	var then bytes.Buffer
	if err := json.Compact(&then, e.Comparison); err != nil || !bytes.Equal(then.Bytes(), now) {
		why := "it was changed"
		if e.Fettle != Version {
			why = "it was made by version " + e.Fettle + ", or changed"
		}
		return nil, fail.New(fail.Corrupt, "the verdict in the file does not follow from its samples: %s", why).At(fail.Where{File: path}).Doing("judge the samples again").
			Try("export the runs again")
	}
	return c, nil
}
