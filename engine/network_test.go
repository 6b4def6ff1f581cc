package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/optimizer/catalog"
	"fettle/sample"
)

// resized is a built-in network for pictures of another size.
func resized(t testing.TB, name string, size int) *model.Model {
	t.Helper()
	m, err := sample.Build(name)
	if err != nil {
		t.Fatal(err)
	}
	if size == 0 {
		return m
	}
	g := m.Graph
	ng := &model.Graph{Name: g.Name, Nodes: g.Nodes, Inits: g.Inits, Outputs: make([]model.Value, len(g.Outputs))}
	for _, v := range g.Inputs {
		s := append(model.Shape(nil), v.Type.Shape...)
		s[2], s[3] = model.Fixed(size), model.Fixed(size)
		v.Type.Shape = s
		ng.Inputs = append(ng.Inputs, v)
	}
	for i, v := range g.Outputs {
		v.Type.Ranked, v.Type.Shape = false, nil
		ng.Outputs[i] = v
	}
	return m.WithGraph(ng)
}

// optimized is m behind the recipe "standard".
func optimized(t testing.TB, m *model.Model) *model.Model {
	t.Helper()
	steps, err := optimizer.Run(context.Background(), m, catalog.Standard(), optimizer.Env{Passes: catalog.Passes()})
	if err != nil {
		t.Fatal(err)
	}
	return steps[len(steps)-1].Model
}

func passes() optimizer.Table { return catalog.Passes() }

func recipe(names ...string) *optimizer.Recipe {
	r := &optimizer.Recipe{Schema: 1, Seed: 1}
	for _, n := range names {
		r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: n})
	}
	return r
}

// TestNetworks runs whole networks, as exported and behind the rewrites, on every instruction set and 1 to 3 threads.
func TestNetworks(t *testing.T) {
	for _, c := range []struct {
		name string
		size int // of the pictures; 0: as built
	}{
		{"resnet18", 32}, {"resnet50", 32}, {"resnet20", 0}, {"mobilenetv1", 64}, {"mobilenetv2", 64}, {"efficientnet-b0", 64}, {"efficientnet-lite0", 32},
		{"squeezenet11", 64}, {"yolov8n", 64}, {"bert-mini", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := resized(t, c.name, c.size)
			in := inputs(t, m, 3)
			want, err := ops.Evaluate(context.Background(), m, in)
			if err != nil {
				t.Fatalf("reference: %v", err)
			}
			forms := map[string]*model.Model{"as exported": m, "optimized": optimized(t, m)}
			for form, m := range forms {
				all := levels(t)
				for i, f := range all {
					most := 3
					if i < len(all)-1 { // poorer instruction sets are slow: one thread, one form
						most = 1
						if form != "optimized" {
							continue
						}
					}
					var first []*model.Tensor
					for threads := 1; threads <= most; threads++ {
						got, p := run(t, m, engine.Options{Threads: threads, Features: f, Verify: true, Shapes: shapes(in)}, in)
						if d, where := differ(want, got); d < 0 || d > 2e-4 {
							t.Fatalf("%s, %v, %d threads: off by %g of the largest: %s", form, f, threads, d, where)
						}
						if threads > 1 {
							if !equalBits(first, got) {
								t.Fatalf("%s, %v: %d threads give other bits than 1", form, f, threads)
							}
							continue
						}
						first = got
						covered(t, p)
						for _, s := range p.Steps {
							if s.Kernel == "reference" {
								t.Errorf("%s: %s (%s) has only the reference kernel", form, s.Name, s.Op)
							}
						}
					}
				}
			}
		})
	}
}

// TestRandomGraphs draws small graphs of pictures: every join of layouts, borders and lifetimes that the rows can make.
func TestRandomGraphs(t *testing.T) {
	count := 60
	if testing.Short() {
		count = 15
	}
	for seed := range uint64(count) {
		src := randomGraph(seed)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := parse(t, header+src)
			defer func() {
				if t.Failed() {
					t.Log(src)
				}
			}()
			check(t, m, inputs(t, m, seed), 1e-4)
		})
	}
}

func randomGraph(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 99))
	var body, weights strings.Builder
	channels := []int{3, 8, 16, 20, 32}
	type val struct {
		name string
		c, s int
	}
	vals := []val{{"x", channels[r.IntN(len(channels))], 5 + r.IntN(9)}}
	head := fmt.Sprintf("g (float[1, %d, %d, %d] x) => (float y, float z)", vals[0].c, vals[0].s, vals[0].s)
	add := func(c, s int, format string, a ...any) {
		v := val{fmt.Sprintf("v%d", len(vals)), c, s}
		fmt.Fprintf(&body, "  %s = %s\n", v.name, fmt.Sprintf(format, a...))
		vals = append(vals, v)
	}
	for i := range 4 + r.IntN(10) {
		v := vals[max(0, len(vals)-1-r.IntN(3))]
		switch r.IntN(9) {
		case 0, 1, 2:
			c, k := channels[r.IntN(len(channels))], []int{1, 3, 3, 5}[r.IntN(4)]
			fmt.Fprintf(&weights, ", float[%d, %d, %d, %d] w%d = random(%d, -0.3, 0.3)", c, v.c, k, k, i, seed+uint64(i))
			add(c, v.s, "Conv <pads = [%d, %d, %d, %d]> (%s, w%d)", k/2, k/2, k/2, k/2, v.name, i)
		case 3:
			fmt.Fprintf(&weights, ", float[%d, 1, 3, 3] w%d = random(%d)", v.c, i, seed+uint64(i))
			add(v.c, v.s, "Conv <pads = [1, 1, 1, 1], group = %d> (%s, w%d)", v.c, v.name, i)
		case 4:
			add(v.c, v.s, "%s (%s)", []string{"Relu", "Sigmoid", "HardSwish", "Tanh", "Identity"}[r.IntN(5)], v.name)
		case 5:
			add(v.c, v.s, "MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (%s)", v.name)
		case 6:
			for _, o := range vals {
				if o.c == v.c && o.s == v.s && o.name != v.name {
					add(v.c, v.s, "%s (%s, %s)", []string{"Add", "Mul", "Max"}[r.IntN(3)], v.name, o.name)
					break
				}
			}
		case 7:
			for _, o := range vals {
				if o.s == v.s && o.c+v.c < 80 {
					add(v.c+o.c, v.s, "Concat <axis = 1> (%s, %s)", v.name, o.name)
					break
				}
			}
		case 8:
			add(v.s, v.c, "Transpose <perm = [0, 2, 3, 1]> (%s)", v.name)
			last := vals[len(vals)-1]
			vals = vals[:len(vals)-1]
			add2 := val{last.name + "b", v.c, v.s}
			fmt.Fprintf(&body, "  %s = Transpose <perm = [0, 3, 1, 2]> (%s)\n", add2.name, last.name)
			vals = append(vals, add2)
		}
	}
	y, z := vals[len(vals)-1], vals[len(vals)/2]
	fmt.Fprintf(&body, "  y = Relu (%s)\n  z = Sigmoid (%s)\n", y.name, z.name)
	return fmt.Sprintf("%s\n<float unused = {1.0}%s>\n{\n%s}", head, weights.String(), body.String())
}
