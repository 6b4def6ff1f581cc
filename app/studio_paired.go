package app

import (
	"context"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
)

// PairedForm is what a user chooses before two models are measured in turns. A and B are hashes of models that the ledger has or had; "" is the opened
// one for A, and the one after the last step for B.
type PairedForm struct {
	Board string
	A, B  string
	Pairs int // launches of each; 0: the usual number
}

// usualPairs is enough for a quick answer: 20 find a difference of 2 % on a quiet board.
const usualPairs = 8

// LedgerModel is a state of the ledger that can be measured.
type LedgerModel struct {
	Hash  string
	Label string // what made it, a key of the translations
	step  *Derived
}

// Versions are the states of the ledger whose models are at hand, each once, oldest first.
func (d *Doc) Versions() []LedgerModel {
	var out []LedgerModel
	seen := map[string]bool{}
	for i, v := range d.Revisions {
		if v.Result == nil || v.Result.Model == nil {
			continue
		}
		hash := v.Result.Model.Hash()
		if seen[hash] {
			continue
		}
		seen[hash] = true
		label := Original
		for k := len(v.Result.Steps) - 1; k >= 0 && i > 0; k-- {
			if x := v.Result.Steps[k]; x.Enabled && x.Model != nil {
				label = x.Pass
				break
			}
		}
		out = append(out, LedgerModel{hash, label, v.Result})
	}
	return out
}

// version finds the model of a hash, of the model or of its file.
func (d *Doc) version(hash string) *LedgerModel {
	for _, v := range d.Versions() {
		if v.Hash == hash || v.step.SHA256 == hash {
			return &v
		}
	}
	return nil
}

// ComparePaired measures two states of the ledger in turns on a board, launch by launch in random order, and shows what came out.
func (s *Studio) ComparePaired(f PairedForm) {
	d, ok := s.ready("compare in pairs")
	if !ok {
		return
	}
	if f.Board == "" {
		f.Board = LocalTarget
	}
	if f.Pairs == 0 {
		f.Pairs = usualPairs
	}
	if f.A == "" {
		f.A = d.Base.Hash()
	}
	if f.B == "" {
		f.B = d.Model.Hash()
	}
	x, y := d.version(f.A), d.version(f.B)
	if x == nil || y == nil || x.Hash == y.Hash {
		s.fail(fail.New(fail.Usage, "there are not two models to measure").Doing("compare in pairs").Try("rewrite the model first, or choose two different runs of it"))
		return
	}
	q := PairedRequest{ProfileRequest: ProfileRequest{Model: x.step.Model, Name: d.Name, Target: f.Board, Threads: s.State().Settings.Threads, Runs: defaultRuns(d.BaseInfo.MACs) / 2,
		Launches: f.Pairs, Again: Again, Manner: Wait}, B: y.step.Model, NameB: d.Name}
	s.boardJob("Measure in turns", f.Board, x.Label+" / "+y.Label, func(ctx context.Context, p task.Progress, a Asks) error {
		q.Asks, q.Progress = a, p
		q.Waiting = func(who string) { s.say("%s waits for %s", who, f.Board) }
		got, err := s.boards.ComparePaired(ctx, q)
		if err != nil {
			return err
		}
		now := time.Now()
		run := func(v *LedgerModel, m *model.Model, p *Profile) *Run {
			r := &Run{ID: p.ID, Label: v.Label, Target: f.Board, Hash: v.Hash, SHA256: v.step.SHA256, Which: Rewritten, Profile: p, Started: now}
			if m == d.Base {
				r.Which = Original
			}
			return r
		}
		s.edit(func(st *State) {
			if st.Doc == nil || st.Doc.ID != d.ID {
				return
			}
			one, two := run(x, q.Model, got.A), run(y, q.B, got.B)
			st.Runs = append(append([]*Run(nil), st.Runs...), one, two)
			st.CompareA, st.CompareB = one.ID, two.ID
			st.Compared = &Comparison{A: one, B: two, Result: got.Result}
			s.measured(st, d, two)
		})
		return nil
	})
}
