package engine_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/model/text"
	"fettle/ops"
)

// levels are the instruction sets of this machine, from portable code up.
func levels(t testing.TB) []cpu.Features {
	t.Helper()
	var out []cpu.Features
	for _, isa := range cpu.Detect().Levels() {
		f, err := cpu.Detect().Parse(isa.String())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

func best() cpu.Features { return cpu.Detect() }

func parse(t testing.TB, s string) *model.Model {
	t.Helper()
	m, err := text.Parse(s)
	if err != nil {
		t.Fatalf("%v\n%s", err, s)
	}
	return m
}

// inputs draws a tensor for each input of m: floats near one, integers below 100, unknown dimensions as 1.
func inputs(t testing.TB, m *model.Model, seed uint64) map[string]*model.Tensor {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 17))
	out := map[string]*model.Tensor{}
	for _, v := range m.Graph.Free() {
		dims := make([]int, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			dims[i] = 1
			if d.Known() {
				dims[i] = d.N
			}
		}
		x := model.NewTensor(v.Type.DType, dims...)
		for i := range x.Len() {
			switch {
			case x.DType == model.String:
				x.Strs[i] = fmt.Sprint("s", r.IntN(5))
			case x.DType == model.Bool:
				x.SetInt64(i, r.Int64N(2))
			case x.DType.Float():
				x.SetFloat64(i, r.NormFloat64())
			default:
				x.SetInt64(i, r.Int64N(100))
			}
		}
		out[v.Name] = x
	}
	return out
}

func run(t testing.TB, m *model.Model, opt engine.Options, in map[string]*model.Tensor) ([]*model.Tensor, *engine.Plan) {
	t.Helper()
	ctx := context.Background()
	p, err := engine.Compile(ctx, m, opt)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatalf("session: %v", err)
	}
	defer s.Close()
	var out []*model.Tensor
	for range 2 { // the second run finds the arena as the first left it
		if out, err = s.Run(ctx, in); err != nil {
			t.Fatalf("run: %v", err)
		}
	}
	return out, p
}

// differ is the largest difference of two lists of outputs by the largest magnitude of the output; -1 where they are
// not comparable.
func differ(want, got []*model.Tensor) (float64, string) {
	if len(want) != len(got) {
		return -1, fmt.Sprintf("%d outputs instead of %d", len(got), len(want))
	}
	worst, where := 0.0, ""
	for k, w := range want {
		g := got[k]
		if w == nil || g == nil {
			return -1, fmt.Sprintf("output %d is missing", k)
		}
		if w.DType != g.DType || fmt.Sprint(w.Shape) != fmt.Sprint(g.Shape) {
			return -1, fmt.Sprintf("output %d is %s%v instead of %s%v", k, g.DType, g.Shape, w.DType, w.Shape)
		}
		if w.DType == model.String {
			if fmt.Sprint(w.Strs) != fmt.Sprint(g.Strs) {
				return -1, fmt.Sprintf("output %d is %v instead of %v", k, g.Strs, w.Strs)
			}
			continue
		}
		if w.DType == model.Sequence {
			if d, s := differ(w.Elems, g.Elems); d != 0 {
				return d, s
			}
			continue
		}
		top := 1e-6
		for i := range w.Len() {
			if v := math.Abs(w.Float64At(i)); v-v == 0 {
				top = math.Max(top, v)
			}
		}
		for i := range w.Len() {
			a, b := w.Float64At(i), g.Float64At(i)
			if a == b || a != a && b != b {
				continue
			}
			d := math.Abs(a-b) / top
			if d != d || d > worst || math.IsInf(d, 0) {
				worst, where = d, fmt.Sprintf("output %d element %d of %v is %v instead of %v", k, i, w.Shape, b, a)
			}
			if d != d || math.IsInf(d, 0) {
				return math.Inf(1), where
			}
		}
	}
	return worst, where
}

// equalBits reports whether two lists of outputs hold the same bytes.
func equalBits(a, b []*model.Tensor) bool {
	for i := range a {
		if string(a[i].Raw) != string(b[i].Raw) {
			return false
		}
	}
	return len(a) == len(b)
}

// covered checks that every node of the compiled model is in exactly one step or free, and that every step has an origin.
func covered(t testing.TB, p *engine.Plan) {
	t.Helper()
	seen := map[model.NodeID]int{}
	for _, s := range p.Steps {
		for _, n := range s.Nodes {
			seen[n]++
		}
		if len(s.Nodes) == 0 && s.Op != "Layout" {
			t.Errorf("step %s (%s) covers no node", s.Name, s.Op)
		}
		if len(s.Origin) == 0 && len(p.Model.Graph.Nodes) > 0 {
			t.Errorf("step %s (%s, %s) has no origin", s.Name, s.Op, s.Kernel)
		}
		if s.Kernel == "" || s.DType == "" {
			t.Errorf("step %s (%s): kernel %q, dtype %q", s.Name, s.Op, s.Kernel, s.DType)
		}
	}
	for _, f := range p.Free {
		seen[f.Node]++
	}
	for _, n := range p.Model.Graph.Nodes {
		if seen[n.ID] != 1 {
			t.Errorf("node %s (%s) is covered %d times", n.Label(), n.Op, seen[n.ID])
		}
	}
}

// check compares the engine with the reference on every instruction set and 1 to 3 threads, with a poisoned arena.
func check(t testing.TB, m *model.Model, in map[string]*model.Tensor, bound float64) *engine.Plan {
	t.Helper()
	want, err := ops.Evaluate(context.Background(), m, in)
	if err != nil {
		t.Fatalf("reference: %v", err)
	}
	var plan *engine.Plan
	for _, f := range levels(t) {
		var first []*model.Tensor
		for threads := 1; threads <= 3; threads++ {
			got, p := run(t, m, engine.Options{Threads: threads, Features: f, Verify: true, Shapes: shapes(in)}, in)
			plan = p
			if d, where := differ(want, got); d < 0 || d > bound {
				t.Fatalf("%v, %d threads: off by %g of the largest: %s\n%s", f, threads, d, where, steps(p))
			}
			if first == nil {
				first = got
				covered(t, p)
			} else if !equalBits(first, got) {
				t.Fatalf("%v: %d threads give other bits than 1", f, threads)
			}
		}
	}
	return plan
}

func shapes(in map[string]*model.Tensor) map[string][]int {
	out := map[string][]int{}
	for k, v := range in {
		if v.DType != model.Sequence {
			out[k] = v.Shape
		}
	}
	return out
}

// steps prints a plan for a failure message.
func steps(p *engine.Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "  %-24s %-16s %s %s\n", s.Name, s.Op, s.Kernel, s.DType)
	}
	return b.String()
}
