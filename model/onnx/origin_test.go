package onnx

import (
	"bytes"
	"reflect"
	"testing"

	"fettle/model"
)

// TestOriginsSurviveSaving saves a model whose nodes stand for others and reads it again, twice.
func TestOriginsSurviveSaving(t *testing.T) {
	b := model.NewBuilder("origins", 17)
	x := b.Input("x", model.Float32, model.FixedShape(1, 4))
	y := b.Node("Relu", "first", []string{x})
	z := b.Node("Sigmoid", "second", []string{y})
	b.Output(z, model.Float32, model.FixedShape(1, 4))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	// one node becomes two, both standing for the same imported ones; one keeps a foreign name
	second := m.Graph.Node("second")
	both := []model.NodeID{"first", "second"}
	p := &model.Patch{Drop: []model.NodeID{"second"}, Add: []*model.Node{
		{ID: "aa", Name: "first", Op: "Neg", Inputs: second.Inputs, Outputs: []string{"t"}, Origin: both},
		{ID: "bb", Name: "", Op: "Abs", Inputs: []string{"t"}, Outputs: second.Outputs, Origin: both},
	}}
	if m, err = m.Apply(p); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		var buf bytes.Buffer
		if err := Write(&buf, m); err != nil {
			t.Fatal(err)
		}
		if m, err = Read(buf.Bytes(), "", DefaultBudget()); err != nil {
			t.Fatal(err)
		}
		want := map[string][]model.NodeID{"Relu": {"first"}, "Neg": both, "Abs": both}
		for _, n := range m.Graph.Nodes {
			if !reflect.DeepEqual(n.Origin, want[n.Op]) {
				t.Errorf("round %d: %s stands for %v, want %v", round, n.Op, n.Origin, want[n.Op])
			}
		}
		// an edit of one node must not lose or double the others' entries
		neg := *m.Graph.Nodes[1]
		neg.Raw, neg.Name = nil, "renamed"
		if m, err = m.Apply(&model.Patch{Drop: []model.NodeID{neg.ID}, Add: []*model.Node{&neg}}); err != nil {
			t.Fatal(err)
		}
	}
}
