package catalog

import (
	"testing"

	"fettle/internal/spec"
	"fettle/optimizer"
)

// TestOrder holds the table to its own constraints, each of which needs a reason and a pass that is there.
func TestOrder(t *testing.T) {
	at := map[string]int{}
	for i, r := range Passes() {
		name := r.New().Info().Name
		if _, twice := at[name]; twice {
			t.Errorf("%s is listed twice", name)
		}
		at[name] = i
		for _, o := range r.After {
			j, ok := at[o.Pass]
			if !ok || j >= i {
				t.Errorf("%s stands before %s, which it should follow", name, o.Pass)
			}
			if len(o.Why) < 20 {
				t.Errorf("%s after %s: no reason", name, o.Pass)
			}
		}
	}
}

// TestDescriptions: what the studio, the command line and the docs show is there.
func TestDescriptions(t *testing.T) {
	for _, r := range Passes() {
		p := r.New()
		i := p.Info()
		if i.Title == "" || i.Promise == "" || i.Exactness == "" {
			t.Errorf("%s lacks a title, a promise or its exactness", i.Name)
		}
		if p.Options() == nil {
			continue
		}
		for _, o := range spec.Of(p.Options()) {
			if o.Help == "" {
				t.Errorf("%s: option %s has no help", i.Name, o.Key)
			}
		}
		if len(spec.Changed(p.Options(), r.New().Options())) > 0 {
			t.Errorf("%s: two fresh passes have other options", i.Name)
		}
	}
}

func TestStandardIsARecipe(t *testing.T) {
	r, err := optimizer.ParseRecipe(Standard().Format(), Passes())
	if err != nil || len(r.Steps) != len(Standard().Steps) {
		t.Fatal(err)
	}
	if a := Advise(r); len(a) > 0 {
		t.Errorf("the built-in recipe has an order that the table advises against: %+v", a)
	}
	r.Steps[2], r.Steps[len(r.Steps)-1] = r.Steps[len(r.Steps)-1], r.Steps[2]
	if a := Advise(r); len(a) == 0 {
		t.Error("fusing before folding is not advised against")
	}
}
