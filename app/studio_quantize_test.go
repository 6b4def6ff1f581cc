package app

import (
	"slices"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/optimizer"
)

// TestQuantizeInTheStudio does what the screen Compress does: measure, recommend, change a layer, look, undo.
func TestQuantizeInTheStudio(t *testing.T) {
	s := studio(t)
	d := openSample(t, s)
	s.Recommend()
	st := idle(t, s)
	noErrors(t, st)
	plan := st.Doc.Quant.Plan
	if plan == nil || len(plan.Trials) < 8 || plan.Items < 32 || st.Doc.Quantized() == nil {
		t.Fatalf("%+v", plan)
	}
	for _, x := range plan.Trials {
		if x.Before != nil && x.Kept != closer(*x.After, *x.Before) {
			t.Errorf("%s: kept %v, %v -> %v", x.Title, x.Kept, x.Before, x.After)
		}
		if x.After == nil && x.Reason == "" {
			t.Errorf("%s did nothing without a reason", x.Title)
		}
		if reverted := strings.HasSuffix(x.Reason, "reverted"); x.After == nil && !x.Kept && reverted != x.Inside {
			t.Errorf("%s: tried inside %v, but %q", x.Title, x.Inside, x.Reason)
		}
	}
	if got := st.Doc.Recipe(); !slices.EqualFunc(got.Steps, plan.Recipe.Steps, func(a, b optimizer.RecipeStep) bool { return a.Pass == b.Pass }) {
		t.Errorf("the ledger is not the plan: %v", got.Steps)
	}
	base := st.Doc.QuantBase()
	s.MeasureLayers("") // times are absent where this test has no agent; the damage is not
	st = idle(t, s)
	noErrors(t, st)
	measured := st.Doc.Quant
	if len(measured.Layers) != 10 || measured.Of != base.Hash() {
		t.Fatalf("%d layers", len(measured.Layers))
	}
	for _, l := range measured.Layers {
		if len(l.At) != 2 || l.At[1].Damage.Damage() <= l.At[0].Damage.Damage() || (l.FloatNs == nil) != (measured.NoTime != "") {
			t.Errorf("%+v (%s)", l, measured.NoTime)
		}
	}
	id := measured.Layers[0].ID
	s.SetLayerType(id, "float")
	st = idle(t, s)
	noErrors(t, st)
	if st.Doc.LayerType(id) != "float" {
		t.Errorf("the layer is %q", st.Doc.LayerType(id))
	}
	changed := st.Doc.Model.Hash()
	s.CheckQuantized()
	st = idle(t, s)
	noErrors(t, st)
	q := st.Doc.Quant
	if q.Checked != changed || len(q.Quality.Values) == 0 || q.Quality.Saturated == nil || len(q.Answers) != checkedItems || q.Answers[0].Picture == nil {
		t.Fatalf("%+v", q.Quality)
	}
	same := 0
	for _, a := range q.Answers {
		if a.Same() {
			same++
		}
	}
	if same < checkedItems*9/10 {
		t.Errorf("%d of %d answers are the same", same, checkedItems)
	}
	s.SetLayerType(id, "")
	st = idle(t, s)
	if st.Doc.LayerType(id) != "" || st.Doc.Model.Hash() == changed {
		t.Error("the layer keeps its type")
	}
	for range 3 {
		s.Undo()
	}
	st = idle(t, s)
	if st.Doc.Model.Hash() != d.Base.Hash() || len(st.Doc.Ledger()) != 0 {
		t.Error("undo does not lead back to the opened model")
	}
	s.SetData("")
	s.Recommend()
	st = idle(t, s)
	if n := len(st.Notices); n == 0 || st.Notices[n-1].Err == nil || st.Notices[n-1].Err.Kind != fail.Usage {
		t.Error("a search without data says nothing")
	}
}
