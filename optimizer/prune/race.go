package prune

import (
	"context"
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// A model counts as slower when a run takes longer by more than two measurements of one model differ by: a share, and some milliseconds.
const slackShare, slackMs = 0.05, 0.02

// race measures the model before and after a removal in turns. One that became slower is refused by name, unless it is to be kept: fewer
// channels are no gain where the kernels work in tiles. The figures are a finding either way.
func race(ctx context.Context, env *optimizer.Env, rule, slower string, m, out *model.Model, found []optimizer.Finding) (*model.Model, []optimizer.Finding, error) {
	if env.Race == nil || out == m {
		return out, found, nil
	}
	env.Progress.Report(0, 0, "measuring before and after in turns")
	a, b, err := env.Race(ctx, m, out)
	if fail.Is(err, fail.Unsupported) {
		return out, found, nil // nobody knows inputs that it runs on
	}
	if err != nil {
		return nil, nil, err
	}
	f := optimizer.Finding{Rule: rule, Label: "time", Outcome: optimizer.Applied, Reason: fmt.Sprintf("%.3f ms before, %.3f ms after on this computer, measured in turns", a, b)}
	if b <= a*(1+slackShare)+slackMs {
		return out, append(found, f), nil
	}
	if slower == "keep" {
		f.Reason += ": slower, and kept as asked"
		return out, append(found, f), nil
	}
	f.Outcome = optimizer.Refused
	f.Reason += fmt.Sprintf(": %s made it slower and was undone; slower = \"keep\" keeps it all the same", rule)
	for i := range found {
		if found[i].Outcome == optimizer.Applied {
			found[i].Outcome, found[i].Gain = optimizer.Refused, optimizer.Gain{}
			found[i].Reason = "undone, the whole became slower: " + found[i].Reason
		}
	}
	return m, append(found, f), nil
}
