package blocks_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/optimizer/blocks"
	"fettle/optimizer/catalog"
)

// network is a stem and residual blocks.
func network(t *testing.T, count int) *model.Model {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 5))
	b := model.NewBuilder("net", 17)
	weights := func(name string, gain float64, shape ...int) string {
		x := model.NewTensor(model.Float32, shape...)
		fan := x.Len() / shape[0]
		for i := range model.Data[float32](x) {
			model.Data[float32](x)[i] = float32(r.NormFloat64() * math.Sqrt(gain/float64(fan)))
		}
		return b.Const(name, x)
	}
	conv := func(name, x string, in, out int, gain float64) string {
		return b.Node("Conv", name, []string{x, weights(name+".w", gain, out, in, 3, 3), weights(name+".b", 0.1, out)}, model.IntsAttr("kernel_shape", 3, 3), model.IntsAttr("pads", 1, 1, 1, 1))
	}
	x := b.Node("Relu", "stem.relu", []string{conv("stem", b.Input("x", model.Float32, model.FixedShape(1, 3, 4, 4)), 3, 8, 2)})
	for k := range count {
		y := b.Node("Relu", fmt.Sprint("relu", k), []string{conv(fmt.Sprint("a", k), x, 8, 8, 2)})
		y = conv(fmt.Sprint("b", k), y, 8, 8, 1)
		x = b.Node("Relu", fmt.Sprint("out", k), []string{b.Node("Add", fmt.Sprint("sum", k), []string{y, x})})
	}
	y := b.Node("Flatten", "flat", []string{x})
	b.Output(b.Node("Gemm", "fc", []string{y, weights("fc.w", 2, 5, 128), weights("fc.b", 0.1, 5)}, model.IntAttr("transB", 1)), model.Float32, model.FixedShape(1, 5))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// idled is network with the block idle adding exactly nothing.
func idled(t *testing.T, count, idle int) *model.Model {
	m := network(t, count)
	p := &model.Patch{}
	for _, w := range []string{fmt.Sprintf("b%d.w", idle), fmt.Sprintf("b%d.b", idle)} {
		p.Inits = append(p.Inits, &model.Init{Name: w, Tensor: model.NewTensor(model.Float32, m.Graph.Init(w).Shape...)})
	}
	out, err := m.Apply(p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type items []map[string]*model.Tensor

func (d items) Len() int     { return len(d) }
func (d items) Hash() string { return "items" }
func (d items) Each(_ context.Context, limit int, visit func(int, map[string]*model.Tensor) error) error {
	for i, x := range d[:min(limit, len(d))] {
		if err := visit(i, x); err != nil {
			return err
		}
	}
	return nil
}

func setup(t *testing.T, m *model.Model) (env *optimizer.Env, rest []map[string]*model.Tensor) {
	t.Helper()
	in, err := optimizer.RandomInputs(m, 68, 5)
	if err != nil {
		t.Fatal(err)
	}
	return &optimizer.Env{Passes: catalog.Passes(), Base: m, Data: items(in[:48]), Seed: 4}, in[48:]
}

func apply(t *testing.T, env *optimizer.Env, m *model.Model, o map[string]any) (*model.Model, []optimizer.Finding, error) {
	t.Helper()
	p := blocks.New()
	all := map[string]any{"samples": int64(48), "minutes": 100.0, "slower": "keep"}
	for k, v := range o {
		all[k] = v
	}
	if err := spec.Decode(p.Options(), all); err != nil {
		t.Fatal(err)
	}
	return p.Apply(context.Background(), env, m)
}

// apart is the squared distance of the answers on items never given to the pass, as a share of how they vary.
func apart(t *testing.T, a, b *model.Model, in []map[string]*model.Tensor) float64 {
	t.Helper()
	var want, got [][]float32
	for _, x := range in {
		p, err := ops.Evaluate(context.Background(), a, x)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ops.Evaluate(context.Background(), b, x)
		if err != nil {
			t.Fatal(err)
		}
		want, got = append(want, model.Data[float32](p[0])), append(got, model.Data[float32](q[0]))
	}
	off, size := 0.0, 0.0
	for k := range want[0] {
		mean := 0.0
		for i := range want {
			mean += float64(want[i][k]) / float64(len(want))
		}
		for i := range want {
			d, v := float64(want[i][k]-got[i][k]), float64(want[i][k])-mean
			off, size = off+d*d, size+v*v
		}
	}
	return off / size
}

// TestIdentityIsFound: of residual blocks the one that adds nothing goes first, at no damage.
func TestIdentityIsFound(t *testing.T) {
	m := idled(t, 3, 1)
	env, rest := setup(t, m)
	out, found, err := apply(t, env, m, map[string]any{"macs": 0.75, "steps": int64(0)})
	if err != nil {
		t.Fatal(err)
	}
	if d := apart(t, m, out, rest); d > 1e-9 {
		t.Errorf("the answers moved by %g", d)
	}
	if out.Graph.Node("a1") != nil || out.Graph.Node("a0") == nil || out.Graph.Init("b1.w") != nil {
		t.Error("another block went, or its weights stayed")
	}
	for _, f := range found {
		if took := strings.HasPrefix(f.Reason, "identity stands in"); took != (f.Label == "a1 to out1") {
			t.Errorf("%s: %s", f.Label, f.Reason)
		}
	}
	whole, _ := optimizer.Measure(m)
	size, _ := optimizer.Measure(out)
	if float64(size.MACs) > 0.75*float64(whole.MACs) {
		t.Errorf("%d of %d multiply-adds", size.MACs, whole.MACs)
	}
}

// TestStandInsLearn: stand-ins that learned from the blocks answer more as the model does than those that did not, and those that were
// taught what belongs to other items gain nothing.
func TestStandInsLearn(t *testing.T) {
	m := network(t, 3)
	env, rest := setup(t, m)
	run := func(o map[string]any) (float64, []optimizer.Finding) {
		o["macs"] = 0.4
		out, found, err := apply(t, env, m, o)
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := optimizer.Measure(m)
		if size, _ := optimizer.Measure(out); float64(size.MACs) > 0.4*float64(whole.MACs) {
			t.Errorf("%d of %d multiply-adds", size.MACs, whole.MACs)
		}
		return apart(t, m, out, rest), found
	}
	plain, _ := run(map[string]any{"steps": int64(0), "try": []any{"thin-75"}})
	taught, found := run(map[string]any{"steps": int64(60), "rate": 0.03, "try": []any{"thin-75"}})
	shuffled, ledger := run(map[string]any{"steps": int64(60), "rate": 0.03, "try": []any{"thin-75"}, "control": true})
	t.Logf("squared distance %.3g as made, %.3g taught, %.3g taught wrong", plain, taught, shuffled)
	if !(taught < 0.95*plain) {
		t.Errorf("squared distance %.3g as made, %.3g taught", plain, taught)
	}
	if shuffled < 0.999*plain {
		t.Errorf("squared distance %.3g as made, %.3g taught what belongs to other items", plain, shuffled)
	}
	if last := ledger[len(ledger)-1].Reason; !strings.HasPrefix(last, "CONTROL") {
		t.Errorf("the ledger says %q", last)
	}
	if !strings.Contains(found[1].Reason, "thin-75 stands in (distance to the original on") {
		t.Errorf("the ledger says %q", found[1].Reason)
	}
}

// TestAllKinds: each kind of stand-in can be made of a residual block and keeps the model sound; what is impossible says the floor.
func TestAllKinds(t *testing.T) {
	m := network(t, 2)
	env, _ := setup(t, m)
	for _, kind := range []string{"identity", "thin-25", "thin-50", "thin-75", "separable", "low-rank", "small-kernel"} {
		t.Run(kind, func(t *testing.T) {
			_, _, err := apply(t, env, m, map[string]any{"macs": 0.01, "steps": int64(0), "try": []any{kind}})
			if !fail.Is(err, fail.Invalid) || !strings.Contains(err.Error(), "of the multiply-adds are left with the least stand-in") {
				t.Fatalf("one hundredth of the work: %v", err)
			}
			share := 0.0
			if n, _ := fmt.Sscanf(fail.From(err).Why, "impossible: %f of", &share); n != 1 || share > 0.999 {
				t.Fatal(err)
			}
			out, found, err := apply(t, env, m, map[string]any{"macs": share + 0.001, "steps": int64(0), "try": []any{kind}})
			if err != nil {
				t.Fatal(err)
			}
			if f := found[1]; !strings.HasPrefix(f.Reason, kind+" stands in") || f.Gain.Bytes <= 0 {
				t.Errorf("the ledger says %q, %d bytes saved", f.Reason, f.Gain.Bytes)
			}
			if size, _ := optimizer.Measure(out); size.MACs <= 0 {
				t.Errorf("%d multiply-adds", size.MACs)
			}
		})
	}
}

type memory struct {
	mu sync.Mutex
	m  map[string][]byte
	n  int
}

func (k *memory) Get(key string) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b, ok := k.m[key]
	return b, ok
}

func (k *memory) Put(key string, b []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.m[key] = b
	k.n++
	return nil
}

// TestStoppedAndRefused: a run that is cancelled leaves the model as it was; bad budgets, little data and an unknown stand-in are refused in words.
func TestStoppedAndRefused(t *testing.T) {
	m := network(t, 2)
	env, _ := setup(t, m)
	hash := m.Hash()
	ctx, cancel := context.WithCancel(context.Background())
	e := *env
	e.Progress = func(done, total int64, what string) {
		if strings.Contains(what, "block 2") {
			cancel()
		}
	}
	if _, _, err := blocks.New().Apply(ctx, &e, m); !fail.Is(err, fail.Cancelled) {
		t.Errorf("cancelled: %v", err)
	}
	if m.Hash() != hash {
		t.Error("the model changed")
	}
	for _, c := range []struct {
		name string
		o    map[string]any
		data optimizer.Data
		kind fail.Kind
	}{
		{"no budget", map[string]any{"macs": 0.0}, env.Data, fail.Usage},
		{"three budgets", map[string]any{"kb": 1.0, "ms": 1.0}, env.Data, fail.Usage},
		{"unknown stand-in", map[string]any{"try": []any{"magic"}}, env.Data, fail.Usage},
		{"no data", nil, nil, fail.Usage},
		{"little data", nil, env.Data.(items)[:10], fail.Usage},
	} {
		e := *env
		e.Data = c.data
		if _, _, err := apply(t, &e, m, c.o); !fail.Is(err, c.kind) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
