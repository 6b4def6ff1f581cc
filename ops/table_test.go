package ops

import (
	"strings"
	"testing"

	"fettle/model"
)

// TestTable holds every Def to what the rest of the program takes for granted.
func TestTable(t *testing.T) {
	seen := map[key]bool{}
	for _, family := range families {
		for _, d := range family() {
			name := d.Domain + ":" + d.Name
			k := key{d.Domain, d.Name}
			if seen[k] {
				t.Errorf("%s is defined twice", name)
			}
			seen[k] = true
			if d.Eval == nil || d.Infer == nil {
				t.Errorf("%s lacks its kernel or its shape rule", name)
			}
			if len(d.Out) == 0 || len(d.Since) == 0 || d.Since[0] < 1 {
				t.Errorf("%s has %d outputs and versions %v", name, len(d.Out), d.Since)
			}
			for i := 1; i < len(d.Since); i++ {
				if d.Since[i] <= d.Since[i-1] {
					t.Errorf("%s: versions %v do not rise", name, d.Since)
				}
			}
			if d.Until > 0 && d.Until <= d.Since[0] {
				t.Errorf("%s ends with %d before it begins", name, d.Until)
			}
			if (d.Domain == fusedDomain) != (d.Expand != nil) {
				t.Errorf("%s: fused operators, and they alone, have an expansion", name)
			}
			ports(t, name, d)
			attributes(t, name, d)
		}
	}
	if got := len(All()); got != len(seen) {
		t.Errorf("All lists %d of %d operators", got, len(seen))
	}
}

func ports(t *testing.T, name string, d *Def) {
	t.Helper()
	for _, list := range [][]Port{d.In, d.Out} {
		for i, p := range list {
			if p.Many && i != len(list)-1 {
				t.Errorf("%s: port %s repeats and is not the last", name, p.Name)
			}
			if _, variable := d.Types[p.Type]; p.Type != "" && !variable {
				if _, ok := model.ParseDType(p.Type); !ok {
					t.Errorf("%s: port %s has the unknown type %q", name, p.Name, p.Type)
				}
			}
		}
	}
}

func attributes(t *testing.T, name string, d *Def) {
	t.Helper()
	seen := map[string]bool{}
	for _, a := range d.Attrs {
		if seen[a.Name] {
			t.Errorf("%s: attribute %s twice", name, a.Name)
		}
		seen[a.Name] = true
		ok := a.Default == nil
		switch a.Default.(type) {
		case int64:
			ok = a.Type == model.AttrInt
		case float32:
			ok = a.Type == model.AttrFloat
		case string:
			ok = a.Type == model.AttrString
		case []int64:
			ok = a.Type == model.AttrInts
		case []float32:
			ok = a.Type == model.AttrFloats
		}
		if !ok || a.Type == 0 {
			t.Errorf("%s: attribute %s of type %d has the default %v", name, a.Name, a.Type, a.Default)
		}
		if v, isText := a.Default.(string); isText && a.Enum != nil && !oneOf(a.Enum, v) {
			t.Errorf("%s: the default %q of %s is not allowed", name, v, a.Name)
		}
		if a.Required && a.Default != nil {
			t.Errorf("%s: attribute %s is required and has a default", name, a.Name)
		}
	}
}

// TestLookup: versions and absent operators are said with the name.
func TestLookup(t *testing.T) {
	for _, c := range []struct {
		name, domain, op string
		opset            int
		want             string // of the error; "": found
	}{
		{"standard", "", "Conv", 17, ""},
		{"spelled out domain", "ai.onnx", "Conv", 17, ""},
		{"fused", "fettle", "Conv", 1, ""},
		{"no such operator", "", "Convolve", 17, "operator Convolve is not supported"},
		{"other domain", "com.example", "Conv", 1, "com.example:Conv"},
		{"too new", "", "LayerNormalization", 13, "exists since opset 17"},
		{"ended", "", "Scatter", 11, "ended with opset 10"},
		{"any version", "", "Scatter", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Lookup(c.domain, c.op, c.opset)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}
