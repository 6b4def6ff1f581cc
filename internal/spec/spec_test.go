package spec

import (
	"strings"
	"testing"
)

type scope struct {
	Exclude []string `opt:"exclude" help:"nodes left alone"`
}
type opts struct {
	Weights string             `opt:"weights" enum:"int8 int4" help:"type"`
	Ratio   float64            `opt:"ratio" min:"0" max:"1"`
	Samples int                `opt:"samples" min:"1"`
	Per     map[string]float64 `opt:"per_layer"`
	Keep    bool               `opt:"keep"`
	Scope   scope              `opt:"scope"`
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name string
		in   map[string]any
		want string // part of the error, "" for none
	}{
		{"all kinds", map[string]any{"weights": "int4", "ratio": 0.5, "samples": int64(3), "keep": true,
			"per_layer": map[string]any{"a": 0.25}, "scope": map[string]any{"exclude": []any{"x"}}}, ""},
		{"unknown key names the nearest", map[string]any{"rato": 1.0}, `did you mean "ratio"?`},
		{"nested unknown key", map[string]any{"scope": map[string]any{"exclud": "x"}}, `did you mean "scope.exclude"?`},
		{"outside the enum", map[string]any{"weights": "int5"}, "one of int8, int4"},
		{"over the limit", map[string]any{"ratio": 1.5}, "from 0 to 1"},
		{"fraction for a whole number", map[string]any{"samples": 1.5}, "option samples"},
		{"text for a bool", map[string]any{"keep": "maybe"}, "option keep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := opts{Weights: "int8"}
			err := Decode(&o, c.in)
			if c.want == "" {
				if err != nil || o.Ratio != 0.5 || o.Per["a"] != 0.25 || o.Scope.Exclude[0] != "x" || o.Samples != 3 {
					t.Fatalf("%v %+v", err, o)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want ...%s", err, c.want)
			}
		})
	}
}

func TestChangedRoundTrip(t *testing.T) {
	def, v := opts{Weights: "int8"}, opts{Weights: "int4", Scope: scope{Exclude: []string{"a"}}}
	m := Changed(&v, &def)
	got := def
	if err := Decode(&got, m); err != nil || got.Weights != "int4" || got.Scope.Exclude[0] != "a" || len(m) != 2 {
		t.Fatalf("%v %+v %v", err, got, m)
	}
}
