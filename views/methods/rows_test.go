package methods

import (
	"testing"

	"fettle/app"
	"fettle/model"
	"fettle/optimizer"
)

func TestMethods(t *testing.T) {
	got := methods([]app.PassInfo{{Name: "fold-batchnorm", Exactness: "rounding"}, {Name: "eliminate-dead", Exactness: "exact"}, {Name: "quantize", Exactness: "scored"},
		{Name: "new-tomorrow", Exactness: "scored"}})
	if len(got) != 1 || got[0].Name != "new-tomorrow" {
		t.Errorf("%+v", got)
	}
}

func TestLines(t *testing.T) {
	s := &app.StepResult{Findings: []optimizer.Finding{{Outcome: optimizer.Applied, Label: "a", Origin: []model.NodeID{"x"}}, {Outcome: optimizer.Refused, Label: "b", Reason: "why"}}}
	l := lines(s)
	if len(l) != 2 || l[0].label != "b" || l[1].origins[0] != "x" {
		t.Errorf("%+v", l)
	}
	d := &app.Doc{Revisions: []*app.Revision{{Entries: []app.Entry{{RecipeStep: optimizer.RecipeStep{Pass: "sparsify"}, On: true}, {RecipeStep: optimizer.RecipeStep{Pass: "factorize"}}}}}}
	if place(d, "sparsify") != 0 || place(d, "factorize") != -1 || place(nil, "x") != -1 {
		t.Error("places")
	}
}
