package quantize

import (
	"context"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/optimizer"
)

// try runs the pass with options on random items.
func try(t *testing.T, env *optimizer.Env, m *model.Model, options map[string]any) (*model.Model, []optimizer.Finding, error) {
	t.Helper()
	in, err := optimizer.RandomInputs(m, 24, 3)
	if err != nil {
		t.Fatal(err)
	}
	p := New()
	decode(t, p, options)
	env.Data = items(in)
	return p.Apply(context.Background(), env, m)
}

func decode(t *testing.T, p optimizer.Pass, options map[string]any) {
	t.Helper()
	if err := spec.Decode(p.Options(), options); err != nil {
		t.Fatal(err)
	}
}

func TestTypesOfSingleLayers(t *testing.T) {
	m := parse(t, net)
	name := func(k int) string { // of the k-th layer
		for _, n := range m.Graph.Nodes {
			if is(n, "Conv", "Gemm") {
				if k--; k < 0 {
					return n.Label()
				}
			}
		}
		return ""
	}
	weight := func(out *model.Model, w string) string {
		for _, in := range out.Graph.Inits {
			if in.Name == w || in.Name == w+"_q" || in.Name == w+"_fp16" {
				return in.Tensor.DType.String()
			}
		}
		return ""
	}
	for _, c := range []struct {
		name    string
		options map[string]any
		want    string // types of w1 w2 w3
		kind    fail.Kind
	}{
		{"one float among int8", map[string]any{"layers": []any{name(1) + "=float"}}, "int8 float32 int8", ""},
		{"weights only", map[string]any{"activations": "none", "weights": "int8", "layers": []any{name(0) + "=fp16", name(2) + "=int4"}}, "float16 int8 int4", ""},
		{"fixed in mixed", map[string]any{"activations": "none", "weights": "mixed", "size": 30.0, "layers": []any{name(0) + "=float"}}, "float32", ""},
		{"int4 beside integer values", map[string]any{"layers": []any{name(0) + "=int4"}}, "", fail.Unsupported},
		{"no such layer", map[string]any{"layers": []any{"nobody=float"}}, "", fail.NotFound},
		{"no type", map[string]any{"layers": []any{"conv"}}, "", fail.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, _, err := try(t, &optimizer.Env{}, m, c.options)
			if c.kind != "" {
				if !fail.Is(err, c.kind) {
					t.Fatalf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join([]string{weight(out, "w1"), weight(out, "w2"), weight(out, "w3")}, " ")
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// gains predicts by a table: what each layer takes in floats and as integers.
type gains map[string][2]float64

func (g gains) PredictNs(m *model.Model) (float64, error) {
	sum := 0.0
	for _, n := range m.Graph.Nodes {
		if t, ok := g[n.Label()]; ok {
			k := 0
			if p := m.Graph.Producer(n.Inputs[1]); p != nil {
				k = 1
			}
			sum += t[k]
		}
	}
	return sum, nil
}

// TestMixedHoldsTheTime: integers go where they save time, and only as many as the budget asks for; a layer that they make
// slower stays float.
func TestMixedHoldsTheTime(t *testing.T) {
	m := parse(t, net)
	var layers []string
	for _, n := range m.Graph.Nodes {
		if is(n, "Conv", "Gemm") {
			layers = append(layers, n.Label())
		}
	}
	cost := gains{layers[0]: {400, 100}, layers[1]: {400, 100}, layers[2]: {200, 300}}
	for _, c := range []struct {
		time  float64 // % of 1000
		fits  bool
		most  float64
		int8s int // at most
	}{{100, true, 1000, 0}, {75, true, 750, 1}, {45, true, 450, 2}, {30, false, 400, 2}} {
		out, found, err := try(t, &optimizer.Env{Cost: cost}, m, map[string]any{"weights": "mixed", "budget": "time", "time": c.time})
		if err != nil {
			t.Fatal(err)
		}
		ns, _ := cost.PredictNs(out)
		log, int8s := "", 0
		for _, f := range found {
			log += f.Label + ": " + f.Reason + "\n"
		}
		for _, l := range layers {
			if out.Graph.Producer(nodeOf(out, l).Inputs[1]) != nil {
				int8s++
			}
		}
		if ns > c.most || int8s > c.int8s || strings.Contains(log, "cannot be held") == c.fits {
			t.Errorf("%v %%: %v ns, %d layers of integers\n%s", c.time, ns, int8s, log)
		}
	}
	if _, _, err := try(t, &optimizer.Env{}, m, map[string]any{"weights": "mixed", "budget": "time"}); !fail.Is(err, fail.Usage) {
		t.Errorf("without a target: %v", err)
	}
}

func nodeOf(m *model.Model, label string) *model.Node {
	for _, n := range m.Graph.Nodes {
		if n.Label() == label {
			return n
		}
	}
	return nil
}
