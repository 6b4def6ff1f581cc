package text

import (
	"strings"
	"testing"

	"fettle/internal/fail"
)

const sample = `<ir_version: 8, opset_import: ["" : 17, "fettle" : 1]>
net (float[N, 3, 8, 8] x, bool[] c) => (float[N, 4, ?, 8] y)
<float[4, 3, 1, 1] w = random(7),
 float[2] "odd name" = {1.0, -2.5},
 int64[2] s = {-1, 9},
 string[1] t = {"a\"b"}>
{
  [c1] h = Conv <pads: ints = [0, 0, 0, 0], group = 1> (x, w)
  h2 = fettle.Conv <activation = "relu", alpha = 0.5> (h, w, , h)
  v = Constant <value = int64[1] {3}> ()
  [pick] y = If <then_branch = a () => (float p)
  {
    p = Relu (h2)
  }
  , else_branch = b () => (float q)
  {
    q = Identity (h2)
  }
  > (c)
}
<domain: "fettle", opset_import: ["" : 17]>
Conv <activation, alpha> (X, W, B, R) => (Y)
{
  Y = LeakyRelu <alpha: float = @alpha> (X)
}
`

func TestRoundTrip(t *testing.T) {
	m, err := Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	once := Print(m, Options{})
	again, err := Parse(once)
	if err != nil {
		t.Fatalf("%v\n%s", err, once)
	}
	if twice := Print(again, Options{}); twice != once {
		t.Fatalf("printing is not stable:\n%s\n---\n%s", once, twice)
	}
	if m.Hash() != again.Hash() {
		t.Fatal("the parsed text of a model has another hash")
	}
	n := m.Graph.Nodes[1]
	if n.Domain != "fettle" || n.Op != "Conv" || len(n.Inputs) != 4 || n.Inputs[2] != "" || n.Float("alpha", 0) != 0.5 {
		t.Fatalf("%+v", n)
	}
	if m.Graph.Inputs[0].Type.Shape[0].Sym != "N" || m.Graph.Nodes[3].Attr("then_branch").G == nil {
		t.Fatalf("%+v", m.Graph)
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, why string }{
		{"empty", "", "expected a name"},
		{"too few elements", "g () => () <float[2] w = {1}> {}", "1 elements, want 2"},
		{"too many elements", "g () => () <float[1] w = {1, 2}> {}", "more than 1"},
		{"symbol in a constant", "g () => () <float[N] w = {1}> {}", "fixed dimensions"},
		{"huge constant", "g () => () <float[99999999] w = fill(0)> {}", "more than"},
		{"unknown type", "g (flot x) => () {}", `unknown element type "flot"`},
		{"reads nothing", "g () => () { y = Relu(x) }", "which nothing makes"},
		{"open text", `g () => () { y = Relu("x) }`, "not closed"},
		{"rest", "g () => () {} x", "expected the end"},
		{"deep", strings.Repeat("g () => () { y = If <b = ", 40), "nested more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.in)
			if err == nil || !strings.Contains(err.Error(), c.why) || fail.Is(err, fail.Internal) {
				t.Fatalf("got %v, want ...%s", err, c.why)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("g (float[1] x) => (float[1] y) { y = Relu (x) }")
	f.Add("g () => () <int4[3] w = {1, -8, 7}> {}")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := Parse(s)
		if err != nil {
			if fail.KindOf(err) == fail.Internal {
				t.Fatalf("not a typed error: %v", err)
			}
			return
		}
		for _, in := range m.Graph.Inits {
			if err := in.Tensor.Check(); err != nil {
				t.Fatal(err)
			}
		}
		out := Print(m, Options{MaxElements: 1 << 20})
		back, err := Parse(out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if len(back.Graph.Nodes) != len(m.Graph.Nodes) {
			t.Fatal("nodes were lost")
		}
	})
}
