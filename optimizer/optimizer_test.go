package optimizer_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/text"
	"fettle/optimizer"
	"fettle/optimizer/catalog"
)

func parse(t *testing.T, s string) *model.Model {
	t.Helper()
	m, err := text.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const recipe = `schema = 1
seed = 3
[[step]]
pass = "fold-constants"
max_bytes = 100
[[step]]
pass = "quantize"
weights = "int8"
scope = { exclude = ["conv1", "re:^head/"] }
`

func TestRecipe(t *testing.T) {
	r, err := optimizer.ParseRecipe([]byte(recipe), catalog.Passes())
	if err != nil {
		t.Fatal(err)
	}
	again, err := optimizer.ParseRecipe(r.Format(), catalog.Passes())
	if err != nil || !bytes.Equal(r.Format(), again.Format()) {
		t.Fatalf("%v\n%s", err, r.Format())
	}
	if r.Seed != 3 || len(r.Steps) != 2 || r.Steps[1].Scope.Exclude[1] != "re:^head/" {
		t.Fatalf("%+v", r)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key on top", "seed = 3", "sed = 3", `line 2, column 1: unknown key "sed"`},
		{"unknown pass", "fold-constants", "fold-constant", `line 4, column 1: unknown pass "fold-constant"; did you mean "fold-constants"?`},
		{"unknown option", "max_bytes", "max_byte", `line 5, column 1: unknown option "max_byte"`},
		{"wrong type", "max_bytes = 100", `max_bytes = "x"`, "line 5, column 1"},
		{"over the limit", "max_bytes = 100", "max_bytes = -1", "line 5, column 1"},
		{"enum", `"int8"`, `"int9"`, "line 8, column 1"},
		{"scope key", "exclude", "exlude", `line 9, column 1: unknown key "exlude" in scope`},
		{"bad expression", "re:^head/", "re:(", "no regular expression"},
		{"schema", "schema = 1", "schema = 2", "line 1, column 1: schema 2"},
		{"no schema", "schema = 1", "", "the key schema is absent"},
		{"broken toml", `pass = "quantize"`, `pass = quantize`, "line 7"},
		{"wrong type of seed", "seed = 3", `seed = "3"`, "line 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := optimizer.ParseRecipe([]byte(strings.Replace(recipe, c.old, c.new, 1)), catalog.Passes())
			if !fail.Is(err, fail.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v\nwant ...%s", err, c.want)
			}
		})
	}
}

func FuzzRecipe(f *testing.F) {
	f.Add(recipe)
	f.Add("schema = 1\n[[step]]\n[step.scope]\ninclude = [1]")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := optimizer.ParseRecipe([]byte(s), catalog.Passes())
		if err != nil {
			if fail.Is(err, fail.Internal) {
				t.Fatal(err)
			}
			return
		}
		if again, err := optimizer.ParseRecipe(r.Format(), catalog.Passes()); err != nil || !bytes.Equal(again.Format(), r.Format()) {
			t.Fatalf("%v\n%s", err, r.Format())
		}
	})
}

const net = `g (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y)
<float[2, 2, 1, 1] w = random(1), float[2] a = random(2), float[2] b = random(3)>
{
  [bias] c = Add (a, b)
  [conv] z = Conv (x, w, c)
  [id] i = Identity (z)
  [relu] r = Relu (i)
  [id2] j = Identity (r)
  [conv2] y = Conv (j, w)
}`

func steps(names ...string) *optimizer.Recipe {
	r := &optimizer.Recipe{Schema: 1, Seed: 1}
	for _, n := range names {
		r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: n})
	}
	return r
}

func TestRunAndCache(t *testing.T) {
	m := parse(t, net)
	env := optimizer.Env{Passes: catalog.Passes(), Cache: optimizer.NewCache(16)}
	var err error
	if env.Verify, err = optimizer.RandomInputs(m, 2, 1); err != nil {
		t.Fatal(err)
	}
	got, err := optimizer.Run(context.Background(), m, steps("eliminate-dead", "fold-constants"), env)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Cached || len(got[1].Model.Graph.Nodes) != 3 || got[1].Proof == nil || !got[1].Proof.Within {
		t.Fatalf("%+v", got)
	}
	again, err := optimizer.Run(context.Background(), m, steps("eliminate-dead", "fold-constants"), env)
	if err != nil || !again[1].Cached || again[1].Model != got[1].Model {
		t.Fatalf("%v: not cached", err)
	}
	other := steps("eliminate-dead")
	other.Steps[0].Scope.Exclude = []string{"id2"}
	scoped, err := optimizer.Run(context.Background(), m, other, env)
	if err != nil || scoped[0].Cached || len(scoped[0].Model.Graph.Nodes) != 5 {
		t.Fatalf("%v: a scope takes one rewrite out: %d nodes", err, len(scoped[0].Model.Graph.Nodes))
	}
	env.Limit = 1
	one, err := optimizer.Run(context.Background(), m, steps("eliminate-dead"), env)
	if err != nil || len(one[0].Applied()) != 1 {
		t.Fatalf("%v: a limit of one applies %d", err, len(one[0].Applied()))
	}
	wrong := steps("eliminate-dead")
	wrong.Model = "sha256:00"
	if _, err := optimizer.Run(context.Background(), m, wrong, env); !fail.Is(err, fail.Invalid) {
		t.Fatalf("a recipe of another model: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := optimizer.Run(ctx, m, steps("eliminate-dead"), optimizer.Env{Passes: catalog.Passes()}); !fail.Is(err, fail.Cancelled) {
		t.Fatalf("cancelled: %v", err)
	}
}

// TestUndo walks random histories of recipes: every revisited point gives the same bytes, and base stays.
func TestUndo(t *testing.T) {
	m := parse(t, net)
	hash := m.Hash()
	names := []string{"eliminate-dead", "fold-constants", "fold-batchnorm"}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		seen := map[string]string{}
		env := optimizer.Env{Passes: catalog.Passes(), Cache: optimizer.NewCache(1 + r.IntN(8))}
		for range 12 {
			list := make([]string, r.IntN(4))
			for i := range list {
				list[i] = names[r.IntN(len(names))]
			}
			got, err := optimizer.Run(context.Background(), m, steps(list...), env)
			if err != nil {
				t.Fatalf("seed %d, %v: %v", seed, list, err)
			}
			at := m.Hash()
			if len(got) > 0 {
				at = got[len(got)-1].Hash
			}
			key := strings.Join(list, " ")
			if was, ok := seen[key]; ok && was != at {
				t.Fatalf("seed %d: %s gave %s, now %s", seed, key, was, at)
			}
			seen[key] = at
		}
	}
	if fresh := parse(t, net); fresh.Hash() != hash || m.Hash() != hash {
		t.Fatal("the base was written")
	}
}

// breaker is a pass with a fault, to see that the runner notices.
type breaker struct {
	fault func(m *model.Model) *model.Model
}

func (b breaker) Info() optimizer.Info {
	return optimizer.Info{Name: "breaker", Exactness: optimizer.Exact}
}
func (b breaker) Options() any { return nil }
func (b breaker) Check(*optimizer.Env, *model.Model) ([]optimizer.Finding, error) {
	return nil, nil
}
func (b breaker) Apply(_ context.Context, _ *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	return b.fault(m), nil, nil
}

func TestFaultyPassesAreCaught(t *testing.T) {
	edit := func(f func(g *model.Graph)) func(*model.Model) *model.Model {
		return func(m *model.Model) *model.Model {
			g := &model.Graph{Name: m.Graph.Name, Nodes: append([]*model.Node(nil), m.Graph.Nodes...), Inputs: m.Graph.Inputs, Outputs: m.Graph.Outputs, Inits: m.Graph.Inits}
			f(g)
			return m.WithGraph(g)
		}
	}
	node := func(g *model.Graph, i int, f func(n *model.Node)) {
		c := *g.Nodes[i]
		f(&c)
		g.Nodes[i] = &c
	}
	for _, c := range []struct {
		name  string
		fault func(*model.Model) *model.Model
		want  string
	}{
		{"none", edit(func(g *model.Graph) {}), ""},
		{"loses a node", edit(func(g *model.Graph) { g.Nodes = g.Nodes[1:] }), "which nothing makes"},
		{"no origin", edit(func(g *model.Graph) { node(g, 0, func(n *model.Node) { n.Origin = nil }) }), "no origin"},
		{"foreign origin", edit(func(g *model.Graph) { node(g, 0, func(n *model.Node) { n.Origin = []model.NodeID{"x9"} }) }), "x9"},
		{"other output", edit(func(g *model.Graph) { g.Outputs = []model.Value{{Name: "z", Type: g.Outputs[0].Type}} }), "became"},
		{"wrong shape", edit(func(g *model.Graph) { node(g, 1, func(n *model.Node) { n.Inputs = []string{"x", "c"} }) }), "conv"},
		{"wrong numbers", edit(func(g *model.Graph) { node(g, 3, func(n *model.Node) { n.Op = "Sigmoid" }) }), "promises exact"},
		{"panics", func(*model.Model) *model.Model { panic("boom") }, "boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, net)
			env := optimizer.Env{Passes: optimizer.Table{{New: func() optimizer.Pass { return breaker{c.fault} }}}}
			env.Verify, _ = optimizer.RandomInputs(m, 1, 1)
			_, err := optimizer.Run(context.Background(), m, steps("breaker"), env)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !fail.Is(err, fail.Internal) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "breaker") {
				t.Fatalf("got %v, want ...%s", err, c.want)
			}
		})
	}
}
