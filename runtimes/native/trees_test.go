package native

import (
	"context"
	"path/filepath"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/model/text"
	"fettle/runtimes"
)

// Two stumps on the two features vote for class 0, 1 or 2 as scikit-learn's converter writes them, and a map a row is what a
// program gets.
const forest = `<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 3]>
g (float[N, 2] x) => (string[N] label, float[N, 3] scores)
{
  [trees] label, scores = ai.onnx.ml.TreeEnsembleClassifier <
    nodes_treeids = [0, 0, 0, 1, 1, 1], nodes_nodeids = [0, 1, 2, 0, 1, 2], nodes_featureids = [0, 0, 0, 1, 0, 0],
    nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"], nodes_values = [0.5, 0.0, 0.0, 2.0, 0.0, 0.0],
    nodes_truenodeids = [1, 0, 0, 1, 0, 0], nodes_falsenodeids = [2, 0, 0, 2, 0, 0],
    class_treeids = [0, 0, 0, 1, 1], class_nodeids = [1, 2, 2, 1, 2], class_ids = [0, 1, 2, 0, 2], class_weights = [0.5, 0.25, 0.25, 0.5, 0.5],
    classlabels_strings = ["setosa", "versicolor", "virginica"], post_transform = "NONE">(x)
  [zip] maps = ai.onnx.ml.ZipMap <classlabels_strings = ["setosa", "versicolor", "virginica"]>(scores)
}`

// mapType is that of a map of strings to floats. The text form has none.
func mapType() model.Type {
	e := model.TensorType(model.Float32, model.Shape{})
	return model.Type{Kind: model.KindMap, Key: model.String, Elem: &e}
}

// opened writes a model, after a change, to a file, reads it and prepares it, as every command does.
func opened(t *testing.T, source string, shapes map[string][]int, change func(g *model.Graph)) (runtimes.Session, error) {
	t.Helper()
	m, err := text.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	g := &model.Graph{Name: m.Graph.Name, Nodes: m.Graph.Nodes, Inputs: m.Graph.Inputs, Outputs: m.Graph.Outputs}
	change(g)
	m = m.WithGraph(g)
	file := filepath.Join(t.TempDir(), "m.onnx")
	if err := onnx.WriteFile(file, m); err != nil {
		t.Fatal(err)
	}
	if m, err = onnx.ReadFile(context.Background(), file, onnx.DefaultBudget()); err != nil {
		t.Fatal(err)
	}
	rt, err := New("")
	if err != nil {
		t.Fatal(err)
	}
	opt := runtimes.NewOptions()
	opt.Shapes = shapes
	return rt.Prepare(context.Background(), m, opt)
}

func TestTreesAndMaps(t *testing.T) {
	s, err := opened(t, forest, map[string][]int{"x": {3, 2}}, func(g *model.Graph) {
		e := mapType()
		g.Outputs = append(g.Outputs, model.Value{Name: "maps", Type: model.Type{Kind: model.KindSequence, Elem: &e}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x := model.Float32s([]float32{0, 1, 1, 1, 1, 3}, 3, 2)
	for range 2 { // a session runs more than once
		if err := s.Feed(map[string]*model.Tensor{"x": x}); err != nil {
			t.Fatal(err)
		}
		if err := s.Exec(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		out := s.Result()
		if got := out[0].Strs; len(got) != 3 || got[0] != "setosa" || got[1] != "setosa" || got[2] != "virginica" {
			t.Errorf("labels %q", got)
		}
		want := []float64{1, 0, 0, 0.5, 0.25, 0.25, 0, 0.25, 0.75}
		for i, w := range want {
			if got := out[1].Float64At(i); got != w {
				t.Errorf("score %d is %g, want %g", i, got, w)
			}
		}
		maps := out[2]
		if maps.DType != model.Sequence || len(maps.Elems) != 3 {
			t.Fatalf("got %s of %d", maps.DType, len(maps.Elems))
		}
		for r, m := range maps.Elems {
			if err := m.Check(); err != nil || m.DType != model.Map || m.Elems[0].Strs[2] != "virginica" {
				t.Fatalf("map %d: %v %v", r, m, err)
			}
			for k := range 3 {
				if got := m.Elems[1].Float64At(k); got != want[3*r+k] {
					t.Errorf("value %d of map %d is %g, want %g", k, r, got, want[3*r+k])
				}
			}
		}
	}
}

// TestMapInput: an input of the model may be a map; a tensor in its place is refused before anything runs.
func TestMapInput(t *testing.T) {
	s, err := opened(t, `<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 1]>
g (float x) => (float[1, 2] y) { y = ai.onnx.ml.DictVectorizer <string_vocabulary = ["a", "b"]>(x) }`, nil, func(g *model.Graph) {
		g.Inputs[0] = model.Value{Name: "x", Type: mapType()}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := &model.Tensor{DType: model.Map, Elems: []*model.Tensor{model.Strings([]string{"b"}, 1), model.Float32s([]float32{7}, 1)}}
	if err := s.Feed(map[string]*model.Tensor{"x": m}); err != nil {
		t.Fatal(err)
	}
	if err := s.Exec(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if y := s.Result()[0]; y.Len() != 2 || y.Float64At(0) != 0 || y.Float64At(1) != 7 {
		t.Errorf("got %v", y)
	}
	if err := s.Feed(map[string]*model.Tensor{"x": model.Float32s([]float32{1}, 1)}); !fail.Is(err, fail.Invalid) {
		t.Errorf("a tensor for a map: %v", err)
	}
}
