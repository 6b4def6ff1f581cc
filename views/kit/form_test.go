package kit

import (
	"reflect"
	"testing"

	"fettle/internal/spec"
)

type formOptions struct {
	Mode    string             `opt:"mode" enum:"fix float" help:"how"`
	Percent float64            `opt:"percent" min:"90" max:"100" unit:"%" when:"mode=fix"`
	Limit   int                `opt:"limit" min:"0" max:"8"`
	Keep    bool               `opt:"keep"`
	Names   []string           `opt:"names"`
	Ranges  map[string]float64 `opt:"ranges"`
}

// TestFormValues: a form holds what differs from the defaults, reads what is typed, and says what is wrong with it.
func TestFormValues(t *testing.T) {
	options := spec.Of(&formOptions{Mode: "fix", Percent: 99.9, Limit: 2, Names: []string{"a"}})
	by := map[string]spec.Option{}
	for _, o := range options {
		by[o.Key] = o
	}
	for _, c := range []struct {
		name, key, text string
		want            any
		problem         bool
	}{
		{"number", "percent", "95.5", 95.5, false},
		{"true minus is a minus", "limit", "−1", nil, true},
		{"above the limit", "percent", "101", nil, true},
		{"below the limit", "percent", "12", nil, true},
		{"not whole", "limit", "2.5", nil, true},
		{"no number", "limit", "two", nil, true},
		{"nan is no number", "percent", "NaN", nil, true},
		{"whole number", "limit", " 3 ", int64(3), false},
		{"choice", "mode", "float", "float", false},
		{"unknown choice", "mode", "other", nil, true},
		{"list", "names", "a, b,, c ", []string{"a", "b", "c"}, false},
		{"table", "ranges", "x=1, y=2.5", map[string]any{"x": 1.0, "y": 2.5}, false},
		{"table without number", "ranges", "x", nil, true},
	} {
		v, problem, _ := FormValue(by[c.key], c.text)
		if (problem != "") != c.problem || (!c.problem && !reflect.DeepEqual(v, c.want)) {
			t.Errorf("%s: %v, %q", c.name, v, problem)
		}
	}
	values := map[string]any{}
	SetValue(by["limit"], int64(2), values)
	SetValue(by["percent"], 99.9, values)
	SetValue(by["names"], []string{"a"}, values)
	if len(values) != 0 {
		t.Errorf("defaults are kept: %v", values)
	}
	if !Shown(by["percent"], options, values) {
		t.Error("percent is hidden though mode is fix by default")
	}
	SetValue(by["mode"], "float", values)
	if Shown(by["percent"], options, values) {
		t.Error("percent is shown though mode is float")
	}
	if err := spec.Decode(&formOptions{}, map[string]any{"ranges": map[string]any{"x": 1.0}, "limit": int64(3), "names": []string{"b"}}); err != nil {
		t.Errorf("what the form gives cannot be a recipe's options: %v", err)
	}
}
