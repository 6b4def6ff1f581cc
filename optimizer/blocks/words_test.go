package blocks_test

import (
	"regexp"
	"testing"

	"fettle/assets"
)

// names are what a sentence keeps in every language: options, labels of nodes, units.
var (
	names = regexp.MustCompile(`identity|thin-\d+|separable|low-rank|small-kernel|KL|kB|ms|\bM\b|replace-blocks|slower = "keep"|(conv|fc|flat|stem|relu|sum|out|[ab])\d*(\.relu)?\b`)
	word  = regexp.MustCompile(`[A-Za-z]{2,}`)
)

// TestReasonsInChinese: every sentence of the ledger is translated, of stand-ins that learned, of such as they were made, and where nothing can be chosen.
func TestReasonsInChinese(t *testing.T) {
	m := network(t, 2)
	env, _ := setup(t, m)
	say := assets.NewPhrases(assets.Words("zh"))
	for _, c := range []struct {
		name string
		o    map[string]any
	}{
		{"learned", map[string]any{"macs": 0.6, "steps": int64(4)}},
		{"as they were made", map[string]any{"macs": 0.6, "steps": int64(0)}},
		{"by bytes", map[string]any{"macs": 0.0, "kb": 3.0, "steps": int64(0)}},
		{"wrongly taught", map[string]any{"macs": 0.6, "steps": int64(4), "control": true}},
		{"a name left out", map[string]any{"macs": 0.8, "steps": int64(0), "skip": []any{"a0"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, found, err := apply(t, env, m, c.o)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if said := say.Say(f.Reason); word.MatchString(names.ReplaceAllString(said, "")) {
					t.Errorf("%q\nis said as %q", f.Reason, said)
				}
			}
		})
	}
}
