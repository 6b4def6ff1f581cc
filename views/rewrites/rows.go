package rewrites

import (
	"fmt"
	"strings"

	"fettle/app"
	"fettle/views/kit"
)

// row is one entry of the ledger.
type row struct {
	Index      int
	Pass       string
	Title      string
	On         bool
	Touched    string // "× 53"; "" where it did not run
	Proof      string // text of the chip, a key of the translations or a number; "" for none
	ProofToken string
	Gain       string // what it saved, "−53 nodes" in short
	GainToken  string
	Refused    int
	Failed     string // why it could not run
	Exactness  string
}

// ledger lists the entries with what they did.
func ledger(d *app.Doc) []row {
	var out []row
	for i := range d.Steps {
		s := &d.Steps[i]
		r := row{Index: i, Pass: s.Pass, Title: s.Title, On: s.Enabled, Exactness: s.Exactness}
		_, r.Refused = s.Places()
		if s.Err != nil {
			r.Failed = s.Err.Error()
		}
		if s.Model != nil {
			r.Touched = "× " + kit.Count(int64(s.Touched()))
			r.Proof, r.ProofToken = proof(s)
			r.Gain, r.GainToken = gain(s)
		}
		out = append(out, r)
	}
	return out
}

// proof is the chip of a step: how the model after it compares with the one before on the same inputs.
func proof(s *app.StepResult) (text, token string) {
	p := s.Proof
	switch {
	case s.Touched() == 0:
		return "nothing to do", "text3"
	case p == nil || p.N == 0:
		return "not compared", "text3"
	case p.MaxAbs == 0:
		return "bit-equal", "success"
	case s.Exactness == "scored":
		return "max |e| " + sci(p.MaxRel) + " rel", "warning"
	case p.Within:
		return "max |e| " + sci(p.MaxAbs), "success"
	}
	return "max |e| " + sci(p.MaxAbs), "danger"
}

// sci is a small number in two digits: 2.1e−06 is 2.1e−6.
func sci(x float64) string {
	if x >= 0.001 {
		return kit.Sig(x)
	}
	mantissa, exp, _ := strings.Cut(fmt.Sprintf("%.1e", x), "e-")
	return mantissa + "e−" + strings.TrimLeft(exp, "0")
}

// gain is what a step saved of the file, else of the nodes.
func gain(s *app.StepResult) (text, token string) {
	bytes, nodes := s.After.WeightBytes-s.Before.WeightBytes, s.After.Nodes-s.Before.Nodes
	tokenOf := func(n int64) string {
		switch {
		case n < 0:
			return "gain"
		case n > 0:
			return "loss"
		}
		return "text3"
	}
	// A change of the weights below one percent is padding; nodes say more.
	if b := bytes; b != 0 && abs(b)*100 > s.Before.WeightBytes {
		return kit.DeltaBytes(b), tokenOf(b)
	}
	if nodes == 0 {
		return kit.Absent, "text3"
	}
	n := kit.Count(int64(nodes))
	if nodes > 0 {
		n = "+" + n
	}
	return n + " nodes", tokenOf(int64(nodes))
}

func abs(n int64) int64 { return max(n, -n) }

// total is one number of the model as opened and as it is now.
type total struct {
	Name, Before, After, Delta, Token string
}

func totals(d *app.Doc) []total {
	share := func(a, b int64) (string, string) {
		if a <= 0 || a == b {
			return "", "text3"
		}
		if b < a {
			return kit.DeltaPercent(float64(b)/float64(a) - 1), "gain"
		}
		return kit.DeltaPercent(float64(b)/float64(a) - 1), "loss"
	}
	a, b := d.BaseInfo, d.Info
	out := []total{
		{Name: "file", Before: kit.Bytes(a.FileBytes), After: kit.Bytes(b.FileBytes)},
		{Name: "nodes", Before: kit.Count(int64(a.Nodes)), After: kit.Count(int64(b.Nodes))},
		{Name: "work", Before: kit.MACs(a.MACs), After: kit.MACs(b.MACs)},
		{Name: "parameters", Before: kit.Count(a.Parameters), After: kit.Count(b.Parameters)},
	}
	for i, pair := range [][2]int64{{a.FileBytes, b.FileBytes}, {int64(a.Nodes), int64(b.Nodes)}, {a.MACs, b.MACs}, {a.Parameters, b.Parameters}} {
		out[i].Delta, out[i].Token = share(pair[0], pair[1])
	}
	return out
}

// finding is one place that a step looked at.
type finding struct {
	Label, Reason string
	Icon, Token   string
	Origins       []string
}

// findings lists the places of a step: refused ones first, they are what a user can act on.
func findings(s *app.StepResult) []finding {
	var applied, refused []finding
	for _, f := range s.Findings {
		r := finding{Label: f.Label, Reason: f.Reason}
		ids := f.Origin
		if len(ids) == 0 {
			ids = f.Nodes
		}
		for _, id := range ids {
			r.Origins = append(r.Origins, string(id))
		}
		if r.Label == "" {
			r.Label = f.Rule
		}
		switch f.Outcome {
		case "applied":
			r.Icon, r.Token = "check", "success"
			if r.Reason == "" {
				r.Reason = f.Rule
			}
			applied = append(applied, r)
		case "refused":
			r.Icon, r.Token = "minus", "warning"
			refused = append(refused, r)
		}
	}
	return append(refused, applied...)
}

// addable lists the passes that can be added, in the order in which they should run.
func addable(passes []app.PassInfo, d *app.Doc) []app.PassInfo {
	have := map[string]bool{}
	if d != nil {
		for _, e := range d.Ledger() {
			have[e.Pass] = true
		}
	}
	var fresh, again []app.PassInfo
	for _, p := range passes {
		if have[p.Name] {
			again = append(again, p)
		} else {
			fresh = append(fresh, p)
		}
	}
	return append(fresh, again...)
}
