package report

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/profiler"
)

// TestCurve writes a curve in each form: a row a launch with empty cells for what is absent, pictures with the words of the language.
func TestCurve(t *testing.T) {
	hz, yes := int64(6e8), true
	c := &profiler.Curve{Model: hostile, Target: "pi", ColdNs: 9e6, Points: []profiler.CurvePoint{{AfterS: 1, P50Ns: 5e6}, {AfterS: 2.5, P50Ns: 7e6, Hz: &hz, Throttled: &yes}}}
	c.Judge()
	english := ""
	for _, f := range append(CurveFormats(), "html") {
		for _, lang := range []string{"en", "zh"} {
			var b bytes.Buffer
			err := Curve(&b, c, f, Options{Lang: lang})
			if f == "html" {
				if !fail.Is(err, fail.Usage) {
					t.Errorf("html: %v", err)
				}
				continue
			}
			if err != nil || b.Len() == 0 {
				t.Fatalf("%s: %v", f, err)
			}
			switch f {
			case "svg":
				if !strings.Contains(b.String(), "<svg") || b.String() == english { // letters are drawn: only that they differ can be seen
					t.Errorf("%s in %s", f, lang)
				}
				english = b.String()
			case "csv":
				rows, err := csv.NewReader(&b).ReadAll()
				if err != nil || len(rows) != 3 || strings.Join(rows[1], ",") != "1,5000000,,,," || strings.Join(rows[2], ",") != "2.5,7000000,600000000,,true," {
					t.Errorf("%v, %v", rows, err)
				}
			}
		}
	}
}
