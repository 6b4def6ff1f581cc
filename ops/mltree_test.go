package ops

import (
	"fmt"
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// stump is a tree of one branch on feature 0 and two leaves, with more attributes; leaf 1 is where it is true.
func stump(more attrs) attrs {
	a := attrs{"nodes_treeids": []int64{0, 0, 0}, "nodes_nodeids": []int64{0, 1, 2}, "nodes_featureids": []int64{0, 0, 0}, "nodes_truenodeids": []int64{1, 0, 0},
		"nodes_falsenodeids": []int64{2, 0, 0}, "nodes_modes": []string{"BRANCH_LEQ", "LEAF", "LEAF"}, "nodes_values": []float32{1.5, 0, 0}}
	for k, v := range more {
		a[k] = v
	}
	return a
}

// regressor is a stump that votes 10 for target 0 where it is true and 20 where not.
func regressor(more attrs) applied {
	a := stump(attrs{"target_ids": []int64{0, 0}, "target_treeids": []int64{0, 0}, "target_nodeids": []int64{1, 2}, "target_weights": []float32{10, 20}})
	for k, v := range more {
		a[k] = v
	}
	return applied{op: "TreeEnsembleRegressor", domain: classic, attrs: a}
}

// classifier is a stump whose leaves vote for class id by the weights.
func classifier(id int64, yes, no float32, more attrs) applied {
	a := stump(attrs{"class_ids": []int64{id, id}, "class_treeids": []int64{0, 0}, "class_nodeids": []int64{1, 2}, "class_weights": []float32{yes, no}, "classlabels_strings": []string{"no", "yes"}})
	for k, v := range more {
		a[k] = v
	}
	return applied{op: "TreeEnsembleClassifier", domain: classic, attrs: a}
}

func words(s ...string) *model.Tensor { return model.Strings(s, len(s)) }

func TestTreeEnsembles(t *testing.T) {
	nan := math.NaN()
	column := func(v ...float64) *model.Tensor { return mat([]int{len(v), 1}, v...) }
	two := attrs{"nodes_treeids": []int64{0, 0, 0, 5}, "nodes_nodeids": []int64{0, 1, 2, 0}, "nodes_featureids": []int64{0, 0, 0, 0}, "nodes_truenodeids": []int64{1, 0, 0, 0},
		"nodes_falsenodeids": []int64{2, 0, 0, 0}, "nodes_modes": []string{"BRANCH_LEQ", "LEAF", "LEAF", "LEAF"}, "nodes_values": []float32{1.5, 0, 0, 0},
		"target_ids": []int64{0, 0, 0, 1}, "target_treeids": []int64{0, 0, 5, 5}, "target_nodeids": []int64{1, 2, 0, 0}, "target_weights": []float32{10, 20, 14, 1}, "n_targets": 2}
	and := func(a attrs, more attrs) attrs {
		out := attrs{}
		for k, v := range a {
			out[k] = v
		}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	var cases []opCase
	for _, c := range []struct {
		mode    string
		at      []float64 // below, at and above 1.5, and missing
		missing float64   // where missing goes to true
	}{
		{"BRANCH_LEQ", []float64{10, 10, 20, 20}, 10}, {"BRANCH_LT", []float64{10, 20, 20, 20}, 10}, {"BRANCH_GTE", []float64{20, 10, 10, 20}, 10},
		{"BRANCH_GT", []float64{20, 20, 10, 20}, 10}, {"BRANCH_EQ", []float64{20, 10, 20, 20}, 10}, {"BRANCH_NEQ", []float64{10, 20, 10, 20}, 10},
	} {
		in := list{column(1, 1.5, 2, nan)}
		mode := attrs{"nodes_modes": []string{c.mode, "LEAF", "LEAF"}}
		cases = append(cases, opCase{name: c.mode, node: regressor(mode), in: in, want: list{column(c.at...)}},
			opCase{name: c.mode + ", missing is true", node: regressor(and(mode, attrs{"nodes_missing_value_tracks_true": []int64{1, 0, 0}})), in: in,
				want: list{column(c.at[0], c.at[1], c.at[2], c.missing)}})
	}
	doubles := func(v ...float64) *model.Tensor { return tensor(model.Float64, []int{len(v)}, v...) }
	label := func(a, b string) *model.Tensor { return words(a, b) }
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	x := column(1, 2)
	join := func(name string, how string, want ...float64) opCase {
		return opCase{name: name, node: regressor(and(two, attrs{"aggregate_function": how, "base_values": []float32{100, 1000}})), in: list{x}, want: list{mat([]int{2, 2}, want...)}}
	}
	cases = append(cases,
		join("sum", "SUM", 124, 1001, 134, 1001), join("average of two trees", "AVERAGE", 112, 1000.5, 117, 1000.5),
		join("least", "MIN", 110, 1001, 114, 1001), join("largest", "MAX", 114, 1001, 120, 1001),
		opCase{name: "a line is a row", node: regressor(nil), in: list{vec(1)}, want: list{mat([]int{1, 1}, 10)}},
		opCase{name: "integers", node: regressor(nil), in: list{tensor(model.Int64, []int{2, 1}, 1, 2)}, want: list{column(10, 20)}},
		opCase{name: "no rows", node: regressor(nil), in: list{mat([]int{0, 1})}, want: list{mat([]int{0, 1})}},
		opCase{name: "doubles split finer than floats", node: regressor(attrs{"nodes_values": []float32{}, "nodes_values_as_tensor": doubles(1.5+1e-12, 0, 0)}),
			in: list{tensor(model.Float64, []int{2, 1}, 1.5+1e-12, 1.5+2e-12)}, want: list{column(10, 20)}},
		opCase{name: "softmax of two targets", node: regressor(and(two, attrs{"aggregate_function": "MIN", "target_weights": []float32{2, 3, 9, 2}, "post_transform": "SOFTMAX"})), in: list{column(1)},
			want: list{mat([]int{1, 2}, 0.5, 0.5)}},
		opCase{name: "ids out of order", node: regressor(attrs{"nodes_nodeids": []int64{7, 1, 2}}), in: list{x}, want: list{column(10, 20)}},
		opCase{name: "two paths to one leaf", node: regressor(attrs{"nodes_falsenodeids": []int64{1, 0, 0}}), in: list{x}, want: list{column(10, 10)}},
		opCase{name: "a vote at a branch is not read", node: regressor(attrs{"target_nodeids": []int64{0, 2}}), in: list{x}, want: list{column(0, 20)}},

		opCase{name: "a probability", node: classifier(0, 0.25, 0.75, nil), in: list{x}, want: list{label("no", "yes"), mat([]int{2, 2}, 0.75, 0.25, 0.25, 0.75)}},
		opCase{name: "a margin", node: classifier(0, -2, 3, nil), in: list{x}, want: list{label("no", "yes"), mat([]int{2, 2}, 2, -2, -3, 3)}},
		opCase{name: "a margin, logistic", node: classifier(0, -2, 3, attrs{"post_transform": "LOGISTIC"}), in: list{x},
			want: list{label("no", "yes"), mat([]int{2, 2}, sigmoid(2), sigmoid(-2), sigmoid(-3), sigmoid(3))}},
		opCase{name: "a base", node: classifier(0, -2, 3, attrs{"base_values": []float32{2.5}}), in: list{x}, want: list{label("yes", "yes"), mat([]int{2, 2}, -0.5, 0.5, -5.5, 5.5)}},
		opCase{name: "votes for the second by its id", node: classifier(1, 0.25, 0.75, nil), in: list{x}, want: list{label("no", "yes"), mat([]int{2, 2}, 0, 0.25, 0, 0.75)}},
		opCase{name: "votes for both", node: classifier(0, 1, 2, attrs{"class_ids": []int64{0, 1}, "classlabels_strings": []string{}, "classlabels_int64s": []int64{-7, 9}}), in: list{x},
			want: list{i64(-7, 9), mat([]int{2, 2}, 1, 0, 0, 2)}},
		opCase{name: "the base decides among three", node: classifier(2, 1, 2, attrs{"classlabels_strings": []string{"a", "b", "c"}, "base_values": []float32{0, 1.5, 0}}), in: list{x},
			want: list{label("b", "c"), mat([]int{2, 3}, 0, 1.5, 1, 0, 1.5, 2)}},
		opCase{name: "three, softmax", node: classifier(2, 1, 2, attrs{"classlabels_strings": []string{"a", "b", "c"}, "post_transform": "SOFTMAX"}), in: list{column(1)},
			want: list{words("c"), mat([]int{1, 3}, 1/(2+math.E), 1/(2+math.E), math.E/(2+math.E))}},
	)
	for name, more := range map[string]attrs{
		"a loop":                         {"nodes_modes": []string{"BRANCH_LEQ", "BRANCH_LT", "LEAF"}, "nodes_truenodeids": []int64{1, 0, 0}},
		"a node that is its child":       {"nodes_falsenodeids": []int64{0, 0, 0}},
		"a child that is not there":      {"nodes_truenodeids": []int64{3, 0, 0}},
		"a negative child":               {"nodes_falsenodeids": []int64{-1, 0, 0}},
		"a child far outside":            {"nodes_falsenodeids": []int64{math.MaxInt64, 0, 0}},
		"a child in another tree":        {"nodes_treeids": []int64{0, 0, 1}},
		"a node twice":                   {"nodes_nodeids": []int64{0, 1, 1}},
		"a feature outside":              {"nodes_featureids": []int64{1, 0, 0}},
		"a negative feature":             {"nodes_featureids": []int64{-1, 0, 0}},
		"an unknown mode":                {"nodes_modes": []string{"BRANCH", "LEAF", "LEAF"}},
		"fewer modes than nodes":         {"nodes_modes": []string{"LEAF", "LEAF"}},
		"fewer values than nodes":        {"nodes_values": []float32{1.5, 0}},
		"no nodes":                       {"nodes_nodeids": []int64{}},
		"a target outside":               {"target_ids": []int64{0, 1}},
		"a negative target":              {"target_ids": []int64{-1, 0}},
		"a vote of no node":              {"target_nodeids": []int64{1, 9}},
		"a vote of no tree":              {"target_treeids": []int64{0, 9}},
		"fewer weights than votes":       {"target_weights": []float32{1}},
		"no target":                      {"n_targets": 0},
		"targets beyond all memory":      {"n_targets": math.MaxInt},
		"base values of other targets":   {"base_values": []float32{1, 2}},
		"splits twice":                   {"nodes_values_as_tensor": doubles(1, 2, 3)},
		"splits of text":                 {"nodes_values": []float32{}, "nodes_values_as_tensor": words("1", "2", "3")},
		"tracks of fewer nodes":          {"nodes_missing_value_tracks_true": []int64{1}},
		"an unknown aggregate function":  {"aggregate_function": "MEDIAN"},
		"an unknown transform of scores": {"post_transform": "LOG"},
	} {
		cases = append(cases, opCase{name: name, node: regressor(more), in: list{x}, refuse: fail.Invalid})
	}
	cases = append(cases, opCase{name: "three dimensions", node: regressor(nil), in: list{mat([]int{1, 1, 1}, 1)}, refuse: fail.Invalid},
		opCase{name: "a scalar", node: regressor(nil), in: list{mat([]int{}, 1)}, refuse: fail.Invalid},
		opCase{name: "no features", node: regressor(nil), in: list{mat([]int{2, 0})}, refuse: fail.Invalid},
		opCase{name: "text", node: regressor(nil), in: list{words("a")}, refuse: fail.Invalid},
		opCase{name: "labels of both types", node: classifier(0, 1, 2, attrs{"classlabels_int64s": []int64{0, 1}}), in: list{x}, refuse: fail.Invalid},
		opCase{name: "no labels", node: classifier(0, 1, 2, attrs{"classlabels_strings": []string{}}), in: list{x}, refuse: fail.Invalid},
		opCase{name: "a class outside", node: classifier(2, 1, 2, nil), in: list{x}, refuse: fail.Invalid})
	runCases(t, cases)
}

// grove is two trees as TreeEnsemble has them: a test for 2 or 5 with leaves 0 and 1, and a leaf alone.
func grove(d model.DType, more attrs) applied {
	a := attrs{"nodes_splits": tensor(d, []int{2}, 0, 0), "nodes_modes": tensor(model.Uint8, []int{2}, 6, 0), "membership_values": tensor(d, []int{2}, 2, 5),
		"nodes_featureids": []int64{0, 0}, "nodes_truenodeids": []int64{0, 2}, "nodes_falsenodeids": []int64{1, 2}, "nodes_trueleafs": []int64{1, 1}, "nodes_falseleafs": []int64{1, 1},
		"leaf_targetids": []int64{0, 1, 1}, "leaf_weights": tensor(d, []int{3}, 10, 20, 3), "tree_roots": []int64{0, 1}, "n_targets": 2}
	for k, v := range more {
		a[k] = v
	}
	return applied{op: "TreeEnsemble", domain: classic, version: 5, attrs: a}
}

func TestTreeEnsemble5(t *testing.T) {
	f := model.Float32
	x := mat([]int{3, 1}, 2, 3, 5)
	cases := []opCase{
		{name: "a set", node: grove(f, nil), in: list{x}, want: list{mat([]int{3, 2}, 10, 3, 0, 23, 10, 3)}},
		{name: "halves", node: grove(model.Float16, nil), in: list{tensor(model.Float16, []int{1, 1}, 5)}, want: list{tensor(model.Float16, []int{1, 2}, 10, 3)}},
		{name: "average", node: grove(f, attrs{"aggregate_function": 0}), in: list{x}, want: list{mat([]int{3, 2}, 5, 1.5, 0, 11.5, 5, 1.5)}},
		{name: "largest", node: grove(f, attrs{"aggregate_function": 3}), in: list{x}, want: list{mat([]int{3, 2}, 10, 3, 0, 20, 10, 3)}},
		{name: "missing", node: grove(f, attrs{"nodes_missing_value_tracks_true": []int64{1, 0}}), in: list{mat([]int{1, 1}, math.NaN())}, want: list{mat([]int{1, 2}, 10, 3)}},
		{name: "1 is softmax", node: grove(f, attrs{"post_transform": 1, "leaf_weights": tensor(f, []int{3}, 1, 0, 1)}), in: list{mat([]int{1, 1}, 2)}, want: list{mat([]int{1, 2}, 0.5, 0.5)}},
		{name: "2 is logistic", node: grove(f, attrs{"post_transform": 2, "leaf_weights": tensor(f, []int{3}, 0, 0, 0)}), in: list{mat([]int{1, 1}, 2)}, want: list{mat([]int{1, 2}, 0.5, 0.5)}},
		{name: "a line", node: grove(f, nil), in: list{vec(1)}, refuse: fail.Invalid},
		{name: "splits of another type", node: grove(f, nil), in: list{tensor(model.Float64, []int{1, 1}, 1)}, refuse: fail.Invalid},
	}
	for name, more := range map[string]attrs{
		"a loop":               {"nodes_trueleafs": []int64{0, 1}},
		"a leaf outside":       {"nodes_truenodeids": []int64{3, 2}},
		"a root outside":       {"tree_roots": []int64{2}},
		"no root":              {"tree_roots": []int64{}},
		"an unknown mode":      {"nodes_modes": tensor(model.Uint8, []int{2}, 7, 0)},
		"a set without values": {"membership_values": tensor(f, []int{0})},
		"a feature outside":    {"nodes_featureids": []int64{1, 0}},
		"a target outside":     {"leaf_targetids": []int64{0, 2, 1}},
		"fewer leaves":         {"leaf_targetids": []int64{0, 1}},
		"an unknown transform": {"post_transform": 5},
		"an unknown join":      {"aggregate_function": -1},
		"splits in two lines":  {"nodes_splits": tensor(f, []int{1, 2}, 0, 0)},
	} {
		cases = append(cases, opCase{name: name, node: grove(f, more), in: list{x}, refuse: fail.Invalid})
	}
	runCases(t, cases)
	_, err := apply(applied{op: "TreeEnsemble", domain: classic, attrs: grove(f, nil).attrs}, x) // imports version 1
	refused(t, err, fail.Invalid)
}

// wide is a regressor of trees of full depth over width features, and rows for it.
func wide(trees, depth, rows, width int) (*model.Node, *model.Tensor) {
	var t drawnTree
	var weights []float32
	for k := range trees {
		for id := range 1<<(depth+1) - 1 {
			inner := id < 1<<depth-1
			t.trees, t.ids = append(t.trees, int64(k)), append(t.ids, int64(id))
			t.features, t.values = append(t.features, int64((id*7+k)%width)), append(t.values, float32((id*31+k*17)%100)/100)
			if inner {
				t.yes, t.no, t.modes = append(t.yes, int64(2*id+1)), append(t.no, int64(2*id+2)), append(t.modes, "BRANCH_LEQ")
			} else {
				t.yes, t.no, t.modes = append(t.yes, 0), append(t.no, 0), append(t.modes, "LEAF")
				t.leafTrees, t.leaves = append(t.leafTrees, int64(k)), append(t.leaves, int64(id))
				weights = append(weights, float32(id%13))
			}
		}
	}
	n := &model.Node{ID: "n", Op: "TreeEnsembleRegressor", Domain: classic, Inputs: []string{"x"}, Outputs: []string{"y"}}
	lists := attrs{"nodes_treeids": t.trees, "nodes_nodeids": t.ids, "nodes_featureids": t.features, "nodes_truenodeids": t.yes, "nodes_falsenodeids": t.no,
		"nodes_modes": t.modes, "nodes_values": t.values, "target_ids": make([]int64, len(weights)), "target_treeids": t.leafTrees, "target_nodeids": t.leaves, "target_weights": weights}
	for name, v := range lists {
		n.Attrs = append(n.Attrs, attrOf(name, v))
	}
	x := model.NewTensor(model.Float32, rows, width)
	for i := range x.Len() {
		x.SetFloat64(i, float64(i*7919%1000)/1000)
	}
	return n, x
}

// BenchmarkTreeEnsemble reads the attributes and takes the rows through the trees, as every run does.
func BenchmarkTreeEnsemble(b *testing.B) {
	for _, rows := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%dx100trees", rows), func(b *testing.B) {
			n, x := wide(100, 6, rows, 20)
			d, err := Lookup(classic, n.Op, 1)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := d.Eval(&Call{Node: n, Def: d, Opset: 1, In: list{x}, Out: make(list, 1)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
