package app

import (
	"context"
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/profiler/predict"
	"fettle/remote/board"
)

// GoalVerdict says what can be said of a goal before anything is measured.
type GoalVerdict struct {
	Board   string           `json:"board"`
	Verdict string           `json:"verdict"` // the worst of the answers
	Floors  predict.Floors   `json:"floors"`
	Answers []predict.Answer `json:"answers"`
	// Predicted is the time by the target's table of kernels; nil where there is none or it does not reach, for which Unpredicted has the reason.
	Predicted   *Prediction `json:"predicted,omitempty"`
	Unpredicted string      `json:"unpredicted,omitempty"`
}

// factsOf are those of a target that was added, else of a board that is built in.
func (a *App) factsOf(ctx context.Context, name string, asks Asks) (*TargetFacts, error) {
	_, terr := a.target(name)
	if k, names, ok := board.FindKnown(name); name != LocalTarget && terr != nil {
		if !ok {
			return nil, fail.From(terr).Try("add it, or use the figures of a built-in board: %s", names)
		}
		return &k.Facts, nil
	}
	return a.TargetFacts(ctx, name, asks)
}

// Feasible holds a goal against the floors of a board, which may be one that is built in: no board is needed then. measured is the time of the
// model on it in nanoseconds, and used the best share of its peak that was measured there; 0 for not known.
func (a *App) Feasible(ctx context.Context, path, target, goal string, measured, used float64, asks Asks) (*GoalVerdict, error) {
	l, err := parseGoal(goal)
	if err != nil {
		return nil, fail.From(err).Doing("hold the goal against the board")
	}
	if l.p99 > 0 && (l.ms == 0 || l.p99 < l.ms) { // a prediction knows no percentiles
		l.ms = l.p99
	}
	if l.ms == 0 && l.bytes == 0 {
		return nil, fail.New(fail.Usage, "the goal %q has neither a time nor a size", goal).Doing("hold the goal against the board").Try("write for example ms<=30,size<=18MB")
	}
	m, err := a.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	in, err := Describe(m)
	if err != nil {
		return nil, err
	}
	facts, err := a.factsOf(ctx, target, asks)
	if err != nil {
		return nil, err
	}
	return a.judge(ctx, m, in, target, facts, l, measured, used), nil
}

// judge holds limits of time and size against a board's facts.
func (a *App) judge(ctx context.Context, m *model.Model, in *Inspection, target string, facts *TargetFacts, l limits, measured, used float64) *GoalVerdict {
	machine := predict.Board(*facts)
	n := predict.Network{Name: in.Name, Parameters: in.Parameters, FileBytes: in.FileBytes}
	for _, x := range in.Layers {
		n.Works = append(n.Works, x.work())
	}
	if len(in.Outputs) == 1 {
		if s := in.Outputs[0].Shape; len(s) > 0 {
			n.Classes, _ = s[len(s)-1].(int)
		}
	}
	v := &GoalVerdict{Board: target, Floors: predict.Whole(machine, n.Works), Verdict: predict.Met}
	if l.ms > 0 {
		x := predict.Latency(machine, n, l.ms*1e6, used, measured)
		if measured == 0 {
			a.foretell(ctx, m, target, l.ms*1e6, v, &x)
		}
		v.Answers = append(v.Answers, x)
	}
	if l.bytes > 0 {
		v.Answers = append(v.Answers, predict.Size(n, l.bytes))
	}
	rank := map[string]int{predict.Met: 0, predict.Likely: 1, predict.Unknown: 2, predict.Unlikely: 3, predict.Impossible: 4}
	for _, x := range v.Answers {
		if rank[x.Verdict] > rank[v.Verdict] {
			v.Verdict = x.Verdict
		}
	}
	return v
}

// foretell lets the target's table of kernels say what the floors leave open. A goal below the floor stays impossible.
func (a *App) foretell(ctx context.Context, m *model.Model, target string, limit float64, v *GoalVerdict, x *predict.Answer) {
	p, err := a.Predict(ctx, m, target, 1, nil)
	if err != nil {
		if !fail.Is(err, fail.NotFound) { // without a table there is nothing to say
			v.Unpredicted = fail.From(err).Why
		}
		return
	}
	v.Predicted = p
	said := fmt.Sprintf("by the target's kernels it takes %.3g ms (%.3g to %.3g) with one thread", p.Ns/1e6, p.Low/1e6, p.High/1e6)
	switch {
	case x.Verdict == predict.Impossible:
	case p.High <= limit:
		x.Verdict = predict.Likely
	case p.Low > limit && x.Verdict == predict.Likely:
		x.Why += "; more threads or 8 bits may reach it" // the floor counts all cores and the best number type
	}
	x.Why = said + ". " + x.Why
}

// BuiltInBoards are the boards whose figures are built in.
func BuiltInBoards() []board.Known { return board.AllKnown() }
