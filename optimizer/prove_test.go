package optimizer_test

import (
	"testing"

	"fettle/model"
	"fettle/optimizer"
)

// TestRandomRows: random whole numbers that choose rows of a table stay within it, also behind a conversion; others go up to three.
func TestRandomRows(t *testing.T) {
	b := model.NewBuilder("rows", 17)
	shape := model.FixedShape(1, 64)
	table := func(name string, rows int) string { return b.Const(name, model.NewTensor(model.Float32, rows, 4)) }
	kinds := b.Node("Gather", "kinds", []string{table("kinds.t", 2), b.Input("type", model.Int64, shape)})
	cast := b.Node("Cast", "cast", []string{b.Input("narrow", model.Int32, shape)}, model.IntAttr("to", int64(model.Int64)))
	thin := b.Node("Gather", "thin", []string{table("thin.t", 1), cast})
	words := b.Node("Gather", "words", []string{table("words.t", 100), b.Input("ids", model.Int64, shape)})
	b.Output(b.Node("Add", "sum", []string{b.Node("Add", "two", []string{kinds, thin}), words}), model.Float32, model.FixedShape(1, 64, 4))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	in, err := optimizer.RandomInputs(m, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"type": 1, "narrow": 0, "ids": 3} {
		most := int64(0)
		for i := range in[0][name].Len() {
			most = max(most, in[0][name].Int64At(i))
		}
		if most != want {
			t.Errorf("%s goes up to %d, want %d", name, most, want)
		}
	}
}
