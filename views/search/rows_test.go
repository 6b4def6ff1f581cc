package search

import (
	"slices"
	"testing"

	"fettle/app"
	"fettle/model"
	"fettle/score"
)

func TestTree(t *testing.T) {
	base, cut := &model.Model{Graph: &model.Graph{Name: "net"}}, &model.Model{Graph: &model.Graph{Name: "cut"}}
	share := 0.91
	d := &app.Doc{Base: base, Model: cut, BaseInfo: &app.Inspection{}, Info: &app.Inspection{}, Revisions: []*app.Revision{{}}, At: 3, Scores: map[string]*score.Result{cut.Hash(): {Score: &share}},
		Kept: []*app.KeptRecipe{{ID: 1, Name: "cut", Hash: cut.Hash()}, {ID: 2, Parent: 1, Name: "int8"}, {ID: 3, Parent: 1, Name: "distilled"}, {ID: 4, Name: "fused"}, {ID: 5, Parent: 9, Name: "orphan"}, {ID: 6, Parent: 6, Name: "own child"}}}
	var names []string
	var depths []int
	for _, b := range tree(&app.State{Doc: d}) {
		name := "original"
		if b.KeptRecipe != nil {
			name = b.Name
		}
		names, depths = append(names, name), append(depths, b.depth)
		if b.at != (name == "distilled") || (b.score != nil) != (name == "cut") {
			t.Errorf("%s: at %v, score %v", name, b.at, b.score)
		}
	}
	if !slices.Equal(names, []string{"original", "cut", "int8", "distilled", "fused", "orphan", "own child"}) || !slices.Equal(depths, []int{0, 1, 2, 2, 1, 1, 1}) {
		t.Errorf("%v %v", names, depths)
	}
}

func TestStairs(t *testing.T) {
	h := &app.Hunt{Result: &app.SearchResult{Front: []app.Experiment{{Name: "a", Ms: 3, Score: .9}, {Name: "b", Ms: 1, Score: .7}}, Beaten: []app.Experiment{{Name: "c", Ms: 2, Score: .6}, {Name: "d", Ms: 4, Score: .9}, {Name: "e", Ms: 2, Score: .8}}}}
	l := points(h)
	var names string
	for _, i := range stairs(l, axes()[0].of) {
		names += l[i].Name
	}
	if names != "bea" {
		t.Errorf("the stairs are %q", names)
	}
	if len(points(nil)) != 0 {
		t.Error("points of no search")
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		text string
		want float64
		ok   bool
	}{{"", -1, true}, {" 2.5 ", 2.5, true}, {"0,5", .5, true}, {"x", 0, false}, {"-1", -1, false}, {"1e999", 0, false}} {
		if v, ok := number(c.text, -1); ok != c.ok || ok && v != c.want {
			t.Errorf("%q is %g, %v", c.text, v, ok)
		}
	}
	f := app.NewHuntForm()
	if f.Goal() != "" {
		t.Errorf("a form without limits is %q", f.Goal())
	}
	f.P50Ms, f.P99Ms, f.MB, f.MACs, f.Drop = 30, 40, 1.5, .5, 0
	if f.Goal() != "ms<=30,p99<=40,size<=1.5MB,macs<=0.5,drop<=0" {
		t.Error(f.Goal())
	}
}
