package optimizer

import (
	"context"
	"fmt"
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// A model counts as slower when a run takes longer by more than two measurements of one model differ by: a share, and some milliseconds.
const slackShare, slackMs = 0.05, 0.02

// raceTries is how often two models are measured before the second one is called slower. Other work on this computer only ever makes a run longer, so
// the shortest of all tries counts on either side.
const raceTries = 3

// KeepFaster measures m and out, which the rule made of it, in turns. An out that became slower is refused by name, unless slower is "keep": fewer
// channels are no gain where kernels work in tiles. The figures are a finding either way.
func (e *Env) KeepFaster(ctx context.Context, rule, slower string, m, out *model.Model, found []Finding) (*model.Model, []Finding, error) {
	if e.Race == nil || out == m {
		return out, found, nil
	}
	before, after := math.Inf(1), math.Inf(1)
	isSlower := func() bool { return after > before*(1+slackShare)+slackMs }
	for try := range raceTries {
		if try > 0 && !isSlower() {
			break
		}
		e.Progress.Report(int64(try), raceTries, "measuring before and after in turns")
		a, b, err := e.Race(ctx, m, out)
		if fail.Is(err, fail.Unsupported) {
			return out, found, nil // nobody knows inputs that it runs on
		}
		if err != nil {
			return nil, nil, err
		}
		before, after = min(before, a), min(after, b)
	}
	f := Finding{Rule: rule, Label: "time", Outcome: Applied, Reason: fmt.Sprintf("%.3f ms before, %.3f ms after on this computer, measured in turns", before, after)}
	if !isSlower() {
		return out, append(found, f), nil
	}
	if slower == "keep" {
		f.Reason += ": slower, and kept as asked"
		return out, append(found, f), nil
	}
	f.Outcome = Refused
	f.Reason += fmt.Sprintf(": %s made it slower and was undone; slower = \"keep\" keeps it all the same", rule)
	for i := range found {
		if found[i].Outcome == Applied {
			found[i].Outcome, found[i].Gain = Refused, Gain{}
			found[i].Reason = "undone, the whole became slower: " + found[i].Reason
		}
	}
	return m, append(found, f), nil
}
