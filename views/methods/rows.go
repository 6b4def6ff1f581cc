package methods

import (
	"fettle/app"
	"fettle/views/kit"
)

// elsewhere are the passes that have a part of Compress of their own.
var elsewhere = map[string]bool{"prune-channels": true, "quantize": true, "distill": true}

// methods are the passes that change what a model computes and have no part of their own, in the order in which they should run. A pass that is new in
// the catalogue comes by itself.
func methods(passes []app.PassInfo) []app.PassInfo {
	var out []app.PassInfo
	for _, p := range passes {
		if p.Exactness != "exact" && p.Exactness != "rounding" && !elsewhere[p.Name] {
			out = append(out, p)
		}
	}
	return out
}

// place is where a pass stands in the ledger, -1: nowhere.
func place(d *app.Doc, pass string) int {
	if d == nil {
		return -1
	}
	at := -1
	for i, e := range d.Ledger() {
		if e.Pass == pass && e.On {
			at = i
		}
	}
	return at
}

// line is one thing that a step did or refused.
type line struct {
	label, reason string
	icon, token   string
	origins       []string
}

// lines are what a step did, what it refused first: that is what somebody can act on.
func lines(s *app.StepResult) []line {
	var done, refused []line
	for _, f := range s.Findings {
		l := line{label: f.Label, reason: f.Reason}
		if l.label == "" {
			l.label = f.Rule
		}
		ids := f.Origin
		if len(ids) == 0 {
			ids = f.Nodes
		}
		for _, id := range ids {
			l.origins = append(l.origins, string(id))
		}
		switch f.Outcome {
		case "applied":
			l.icon, l.token = "check", "success"
			done = append(done, l)
		case "refused":
			l.icon, l.token = "minus", "warning"
			refused = append(refused, l)
		}
	}
	return append(refused, done...)
}

// change is a number before and after a step.
func change(a, b string) string {
	if a == b {
		return a
	}
	return a + " → " + b
}

// sizes are what a step made of the model.
func sizes(t func(string) string, s *app.StepResult) []kit.Fact {
	return []kit.Fact{
		{Key: t("Nodes"), Value: change(kit.Count(int64(s.Before.Nodes)), kit.Count(int64(s.After.Nodes)))},
		{Key: t("Weights"), Value: change(kit.Bytes(s.Before.WeightBytes), kit.Bytes(s.After.WeightBytes))},
		{Key: t("Work"), Value: change(kit.MACs(s.Before.MACs), kit.MACs(s.After.MACs))},
	}
}
