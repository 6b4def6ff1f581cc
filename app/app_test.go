package app

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// TestMain makes the test program an agent where it is started as one, as the command line does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		if node := os.Getenv(alter); node != "" {
			os.Exit(alteredAgent(node, os.Args[2:]))
		}
		os.Exit(AgentMain([]string{os.Args[0], "agent"}, os.Args[2:], "", os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// open makes an App with a home of its own.
func open(t *testing.T) *App {
	t.Helper()
	a, err := Open(Options{Home: t.TempDir(), Self: []string{os.Args[0], "agent"}, Own: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// fusedSample is the trained sample and what the standard recipe makes of it.
func fusedSample(t *testing.T, a *App) (base, fused *model.Model) {
	t.Helper()
	base, err := a.Sample("")
	if err != nil {
		t.Fatal(err)
	}
	r := a.StandardRecipe()
	o, err := a.Optimize(context.Background(), base, &r, OptimizeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return base, o.Model
}

// TestMainJob does the whole job on this computer: optimise, deploy both versions, measure both, compare, roll back.
func TestMainJob(t *testing.T) {
	ctx, a := context.Background(), open(t)
	base, fused := fusedSample(t, a)
	if len(fused.Graph.Nodes) >= len(base.Graph.Nodes) {
		t.Errorf("standard left %d of %d nodes", len(fused.Graph.Nodes), len(base.Graph.Nodes))
	}
	var profiles []*Profile
	first := ""
	for i, m := range []struct {
		name    string
		version *model.Model
	}{{"original", base}, {"fused", fused}} {
		d, err := a.Deploy(ctx, DeployRequest{Model: m.version, Target: LocalTarget, Name: "net"})
		if err != nil {
			t.Fatal(err)
		}
		// the samples of the health check travel with it: two pictures of 12 kB, and 10 numbers each
		if d.Version != i+1 || d.Sent <= 0 || d.Sent > d.Bytes+32<<10 || d.Health == nil || d.Health.MaxError > d.Health.Tolerance {
			t.Errorf("deployment %d: version %d, %d of %d bytes sent", i, d.Version, d.Sent, d.Bytes)
		}
		if i == 0 {
			first = d.SHA256
		}
		seen := 0
		p, err := a.Profile(ctx, ProfileRequest{Model: m.version, Name: m.name, Runs: 12, Launches: 2, Live: func(LiveSample) { seen++ }})
		if err != nil {
			t.Fatal(err)
		}
		if !p.Complete || p.ID == "" || seen < 2*2*12 {
			t.Errorf("%s: complete %v, id %q, %d samples seen, warnings %v", m.name, p.Complete, p.ID, seen, p.Warnings)
		}
		sum := p.UnattributedNs
		for _, l := range p.Layers {
			sum += l.P50Ns
			if len(l.Origin) == 0 {
				t.Errorf("%s: layer %s stands for nothing", m.name, l.Name)
			}
			if l.Op == "Conv" && (len(l.Window) != 2 || len(l.Strides) != 2) {
				t.Errorf("%s: convolution %s slides %v by %v", m.name, l.Name, l.Window, l.Strides)
			}
		}
		if p.Clean.P50Ns == nil || math.Abs(sum-*p.Clean.P50Ns) > 0.02**p.Clean.P50Ns {
			t.Errorf("%s: layers and unattributed add up to %g, the clean total is %v", m.name, sum, p.Clean.P50Ns)
		}
		back, err := a.ReadProfile(ctx, p.ID)
		if err != nil || back.Clean.N != p.Clean.N {
			t.Errorf("the history gives back %v, %v", back, err)
		}
		profiles = append(profiles, p)
	}
	c, err := a.Compare(profiles[0], profiles[1])
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, b := range c.Bars {
		sum += b.DeltaNs
	}
	if sum != c.DeltaNs {
		t.Errorf("bars add up to %g, the difference is %g", sum, c.DeltaNs)
	}
	back, err := a.Rollback(ctx, LocalTarget, "net", Asks{})
	if err != nil || back.Version != 1 || back.SHA256 != first {
		t.Errorf("rolled back to %+v, %v", back, err)
	}
}

// TestSavedModelsKeepTheirOrigins compares by provenance after a round trip through a file.
func TestSavedModelsKeepTheirOrigins(t *testing.T) {
	ctx, a := context.Background(), open(t)
	base, fused := fusedSample(t, a)
	path := filepath.Join(t.TempDir(), "fused.onnx")
	if err := a.Save(path, fused); err != nil {
		t.Fatal(err)
	}
	m, err := a.Load(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range m.Graph.Nodes {
		want := fused.Graph.Nodes[i]
		if originKey(n) != originKey(want) {
			t.Errorf("node %s stands for %v, want %v", n.Label(), n.Origin, want.Origin)
		}
		for _, id := range n.Origin {
			if base.Graph.Node(id) == nil {
				t.Errorf("node %s stands for %s, which the imported model does not have", n.Label(), id)
			}
		}
	}
}

// TestQuantizedLayersStayApart compares the sample with its int8 form: each convolution is a bar of its own, although the
// quantized nodes between them stand for their neighbours.
func TestQuantizedLayersStayApart(t *testing.T) {
	ctx, a := context.Background(), open(t)
	base, err := a.Sample("")
	if err != nil {
		t.Fatal(err)
	}
	o, err := a.Optimize(ctx, base, demoRecipe(a.StandardRecipe()), OptimizeOptions{Data: SampleCalibrate})
	if err != nil {
		t.Fatal(err)
	}
	var runs []*Profile
	for _, q := range []ProfileRequest{{Model: base, Name: "original"}, {Model: o.Model, Name: "int8"}} {
		q.Runs, q.Launches = 8, 1
		p, err := a.Profile(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, p)
	}
	c, err := a.Compare(runs[0], runs[1])
	if err != nil {
		t.Fatal(err)
	}
	convolutions := 0
	for _, b := range c.Bars {
		n := 0
		for _, l := range runs[1].Layers {
			if l.Op == "Conv" && slices.Contains(b.To, l.ID) {
				n++
			}
		}
		if n > 1 {
			t.Errorf("bar %s joins %d convolutions", b.Label, n)
		}
		convolutions += n
	}
	if convolutions != 9 {
		t.Errorf("%d convolutions in the bars, want 9", convolutions)
	}
}

// TestOpenSizes takes a model whose open dimension cannot be 1: it is described, rewritten and compared with itself.
func TestOpenSizes(t *testing.T) {
	b := model.NewBuilder("sound", 17)
	x := b.Input("x", model.Float32, model.Shape{model.Sym("batch"), model.Fixed(2), model.Sym("samples")})
	w := model.NewTensor(model.Float32, 3, 2, 40)
	for i := range w.Len() {
		w.SetFloat64(i, float64(i%7)-3)
	}
	y := b.Node("Conv", "conv", []string{x, b.Const("w", w)})
	b.Output(b.Node("Relu", "relu", []string{y}), model.Float32, model.Shape{model.Sym("batch"), model.Fixed(3), model.Sym("rest")})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	if in, err := Describe(m); err != nil || in.Nodes != 2 {
		t.Fatalf("%v, %v", in, err)
	}
	a := open(t)
	r := a.StandardRecipe()
	o, err := a.Optimize(context.Background(), m, &r, OptimizeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p := o.Steps[len(o.Steps)-1].Proof; len(o.Model.Graph.Nodes) != 1 || p == nil || !p.Within {
		t.Errorf("%d nodes, proof %+v", len(o.Model.Graph.Nodes), p)
	}
}

// TestUnreachable holds that a target that is not there is no file that is not there.
func TestUnreachable(t *testing.T) {
	a := open(t)
	_, err := a.TargetFacts(context.Background(), "nowhere", Asks{})
	if !fail.Is(err, fail.NotFound) || fail.ExitCode(err) != 4 {
		t.Errorf("got %v with exit %d, want not-found with exit 4", err, fail.ExitCode(err))
	}
}

// TestConformance runs the ONNX backend cases on the engine; none may fail.
func TestConformance(t *testing.T) {
	const dir = "/usr/share/libonnx-testdata/data"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("libonnx-testdata is not installed")
	}
	r, err := open(t).Conformance(context.Background(), dir, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Cases {
		if c.Status == "failed" {
			t.Errorf("%s: %s", c.Name, c.Reason)
		}
	}
	if r.Passed < 1070 {
		t.Errorf("%d passed, %d unsupported; 1,070 of 1,072 passed before", r.Passed, r.Unsupported)
	}
}
