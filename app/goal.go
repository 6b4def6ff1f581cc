package app

import (
	"context"

	"fettle/internal/fail"
	"fettle/profiler/predict"
	"fettle/remote/board"
)

// GoalVerdict says what can be said of a goal before anything is measured.
type GoalVerdict struct {
	Board   string           `json:"board"`
	Verdict string           `json:"verdict"` // the worst of the answers
	Floors  predict.Floors   `json:"floors"`
	Answers []predict.Answer `json:"answers"`
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
	machine := predict.Board(*facts)
	n := predict.Network{Name: in.Name, Parameters: in.Parameters, FileBytes: in.FileBytes}
	for _, x := range in.Layers {
		n.Works = append(n.Works, predict.Work{Op: x.Op, DType: x.dtype, MACs: x.MACs, Bytes: x.WeightBytes + x.ActivationBytes, Window: x.window, Strides: x.strides})
	}
	if len(in.Outputs) == 1 {
		if s := in.Outputs[0].Shape; len(s) > 0 {
			n.Classes, _ = s[len(s)-1].(int)
		}
	}
	v := &GoalVerdict{Board: target, Floors: predict.Whole(machine, n.Works), Verdict: predict.Met}
	if l.ms > 0 {
		v.Answers = append(v.Answers, predict.Latency(machine, n, l.ms*1e6, used, measured))
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
	return v, nil
}

// BuiltInBoards are the boards whose figures are built in.
func BuiltInBoards() []board.Known { return board.AllKnown() }
