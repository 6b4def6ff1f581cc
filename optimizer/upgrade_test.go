package optimizer_test

import (
	"context"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/text"
	"fettle/optimizer"
)

// TestUpgradeBeyond17 raises to the newest opset that the tables describe.
func TestUpgradeBeyond17(t *testing.T) {
	for _, c := range []struct{ name, in, out, body string }{
		{"reduce", "float[2, 3] x", "float[2] y", "y = ReduceMean <axes = [1], keepdims = 0> (x)"},
		{"split in equal parts", "float[6] x", "float[3] y, float[3] z", "y, z = Split <axis = 0> (x)"},
		{"split by sizes", "float[6] x", "float[2] y, float[4] z", "s = Constant <value = int64[2] {2, 4}> () y, z = Split <axis = 0> (x, s)"},
		{"grid", "float[1, 1, 3, 3] x, float[1, 2, 2, 2] g", "float[1, 1, 2, 2] y", `y = GridSample <mode = "bilinear"> (x, g)`},
		{"flatten and matrix product", "float[2, 3, 1] x", "float[2, 3] y", "y = Flatten (x)"},
		{"plain", "float[1, 2, 4, 4] x", "float[1, 2, 1, 1] y", "a = Relu (x) b = Add (a, x) y = GlobalAveragePool (b)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, "<ir_version: 8, opset_import: [\"\" : 17]> g ("+c.in+") => ("+c.out+") { "+c.body+" }")
			up, err := optimizer.Upgrade(m, 22, 10)
			if err != nil {
				t.Fatal(err)
			}
			in, err := optimizer.RandomInputs(m, 3, 5)
			if err != nil {
				t.Fatal(err)
			}
			p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, up, in, optimizer.Exact)
			if err != nil || !p.Within || up.Opset("") != 22 {
				t.Fatalf("%v %+v, opset %d", err, p, up.Opset(""))
			}
		})
	}
}

// TestUpgrade compares each old form with its new one on random inputs.
func TestUpgrade(t *testing.T) {
	for _, c := range []struct{ name, opset, in, out, body, refuse string }{
		{"clip", "6", "float[2, 3] x", "float[2, 3] y", "y = Clip <min = -0.5, max = 0.5> (x)", ""},
		{"clip without limits", "6", "float[2, 3] x", "float[2, 3] y", "y = Clip (x)", ""},
		{"pad", "8", "float[1, 1, 2, 3] x", "float[1, 1, 4, 5] y", "y = Pad <pads = [0, 0, 1, 1, 0, 0, 1, 1], value = 2.5> (x)", ""},
		{"pad reflect", "2", "float[1, 1, 3, 3] x", "float[1, 1, 5, 5] y", `y = Pad <mode = "reflect", pads = [0, 0, 1, 1, 0, 0, 1, 1]> (x)`, ""},
		{"squeeze", "11", "float[1, 2, 1] x", "float[2, 1] y", "y = Squeeze <axes = [0]> (x)", ""},
		{"unsqueeze", "9", "float[2] x", "float[1, 2] y", "y = Unsqueeze <axes = [0]> (x)", ""},
		{"reduce sum", "11", "float[2, 3] x", "float[2] y", "y = ReduceSum <axes = [1], keepdims = 0> (x)", ""},
		{"split", "9", "float[6] x", "float[2] y, float[4] z", "y, z = Split <axis = 0, split = [2, 4]> (x)", ""},
		{"slice", "9", "float[4, 5] x", "float[2, 5] y", "y = Slice <starts = [1], ends = [3], axes = [0]> (x)", ""},
		{"softmax of a matrix", "9", "float[4, 5] x", "float[4, 5] y", "y = Softmax (x)", ""},
		{"softmax before pooled channels", "9", "float[4, 5, 1, 1] x", "float[4, 5, 1, 1] y", "y = Softmax (x)", ""},
		{"softmax of a sequence", "9", "float[2, 4, 5] x", "float[2, 4, 5] y", "y = Softmax <axis = 2> (x)", ""},
		{"softmax over several axes", "9", "float[2, 4, 5] x", "float[2, 4, 5] y", "y = Softmax (x)", "several dimensions at once"},
		{"dropout", "9", "float[2, 3] x", "float[2, 3] y", "y = Dropout <ratio = 0.3> (x)", ""},
		{"upsample", "9", "float[1, 1, 2, 3] x", "float[1, 1, 4, 6] y", "s = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> () y = Upsample (x, s)", ""},
		{"upsample bilinear", "7", "float[1, 1, 2, 3] x", "float[1, 1, 4, 6] y", `y = Upsample <mode = "bilinear", scales = [1.0, 1.0, 2.0, 2.0]> (x)`, ""},
		{"plain", "7", "float[1, 2, 4, 4] x", "float[1, 2, 2, 2] y", "a = Relu (x) b = Add (a, x) y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)", ""},
		{"broadcast of opset 6", "6", "float[2, 3] x, float[3] b", "float[2, 3] y", "y = Add <broadcast = 1, axis = 1> (x, b)", "has no conversion"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, "<ir_version: 3, opset_import: [\"\" : "+c.opset+"]> g ("+c.in+") => ("+c.out+") { "+c.body+" }")
			up, err := optimizer.Upgrade(m, 15, 8)
			if c.refuse != "" {
				if !fail.Is(err, fail.Unsupported) || !strings.Contains(err.Error(), c.refuse) {
					t.Fatalf("got %v, want ...%s", err, c.refuse)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if up.Opset("") != 15 || up.IRVersion != 8 || up.Graph.Nodes[0].ID != m.Graph.Nodes[0].ID {
				t.Fatalf("opset %d, IR %d", up.Opset(""), up.IRVersion)
			}
			in, err := optimizer.RandomInputs(m, 3, 5)
			if err != nil {
				t.Fatal(err)
			}
			p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, up, in, optimizer.Exact)
			if err != nil || !p.Within {
				t.Fatalf("%v %+v", err, p)
			}
			if again, err := optimizer.Upgrade(up, 15, 8); err != nil || again != up {
				t.Fatalf("raised twice: %v", err)
			}
		})
	}
}

// TestUpgradeFunctions: a function follows the model where its operators stay the same, and stops it where one does not.
func TestUpgradeFunctions(t *testing.T) {
	m, err := text.Parse(`<ir_version: 8, opset_import: ["" : 15]> g (float[2] x) => (float[2] y) { [a] y = Relu (x) }`)
	if err != nil {
		t.Fatal(err)
	}
	with := func(op string) *model.Model {
		c := m.WithGraph(m.Graph)
		c.Functions = []*model.Function{{Name: "F", Domain: "own", Inputs: []string{"X"}, Outputs: []string{"Y"}, Opsets: []model.Opset{{Version: 15}},
			Nodes: []*model.Node{{Op: op, Inputs: []string{"X"}, Outputs: []string{"Y"}}}}}
		return c
	}
	before := with("Clip")
	up, err := optimizer.Upgrade(before, 21, 10)
	if err != nil || up.Functions[0].Opsets[0].Version != 21 || before.Functions[0].Opsets[0].Version != 15 {
		t.Errorf("%v", err)
	}
	if _, err := optimizer.Upgrade(with("ReduceMean"), 21, 10); !fail.Is(err, fail.Unsupported) {
		t.Errorf("ReduceMean, which has another form since 18: %v", err)
	}
}
