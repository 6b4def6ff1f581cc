package app

import (
	"context"
	"os"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/remote/agent"
	"fettle/runtimes"
	"fettle/runtimes/native"
)

// alter names, to the agent of these tests, a node whose kernel is to compute something else.
const alter = "FETTLE_TEST_ALTER"

// altered is an engine in which the kernel of one node is wrong by one part in a hundred.
type altered struct {
	runtimes.Runtime
	node string
}

func (r altered) Prepare(ctx context.Context, m *model.Model, opt runtimes.Options) (runtimes.Session, error) {
	for _, n := range m.Graph.Nodes {
		if n.Label() != r.node {
			continue
		}
		g := m.Graph.Shallow()
		g.Inits = append([]*model.Init(nil), g.Inits...)
		for i, in := range g.Inits {
			if len(n.Inputs) > 1 && in.Name == n.Inputs[1] {
				w := *in.Tensor
				w.Raw = append([]byte(nil), w.Raw...)
				for k := range w.Len() {
					w.SetFloat64(k, 1.01*w.Float64At(k))
				}
				c := *in
				c.Tensor = &w
				g.Inits[i] = &c
			}
		}
		m = m.WithGraph(g)
	}
	return r.Runtime.Prepare(ctx, m, opt)
}

// alteredAgent is AgentMain with such an engine.
func alteredAgent(node string, words []string) int {
	rt, err := native.New("")
	if err != nil {
		return fail.ExitCode(err)
	}
	return agent.Main(agent.Config{Version: Version, Runtimes: []runtimes.Runtime{altered{rt, node}}, Self: []string{os.Args[0], "agent"}}, words, os.Stdin, os.Stdout, os.Stderr)
}

func audited(t *testing.T, a *App, m *model.Model) *Audit {
	t.Helper()
	r, err := a.Audit(t.Context(), AuditRequest{Model: m, Name: "net", Target: LocalTarget, Inputs: 2})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAudit follows the sample through a sound target, and through one in which a kernel is wrong, for each convolution: it is named and no
// other one, although all behind it differ too.
func TestAudit(t *testing.T) {
	a := open(t)
	base, fused := fusedSample(t, a)
	for name, m := range map[string]*model.Model{"as written": base, "fused": fused} {
		r := audited(t, a, m)
		if r.First != nil || len(r.Layers) < 5 {
			t.Errorf("%s: %d layers, first difference %+v", name, len(r.Layers), r.First)
		}
		for _, l := range r.Layers {
			if l.Verdict != AuditSame {
				t.Errorf("%s: the same engine gives %+v", name, l)
			}
		}
	}
	tried := 0
	for _, n := range fused.Graph.Nodes {
		if n.Op != "Conv" && n.Op != "FusedConv" {
			continue
		}
		tried++
		if tried%3 != 1 {
			continue
		}
		t.Setenv(alter, n.Label())
		r := audited(t, open(t), fused)
		if r.First == nil || r.First.Name != n.Label() || r.First.Input < 0 || r.First.Input > 1 || r.First.Own < 1e-3 {
			t.Errorf("the kernel of %s is wrong, the audit says %+v", n.Label(), r.First)
			continue
		}
		before, behind := true, 0
		for _, l := range r.Layers {
			switch {
			case l.Value == r.First.Value:
				before = false
			case l.Verdict == AuditDiffers, before && l.Verdict != AuditSame:
				t.Errorf("the kernel of %s is wrong, the audit says of %s: %s, own %g", n.Label(), l.Name, l.Verdict, l.Own)
			case l.Verdict == AuditInherited:
				behind++
			}
		}
		if behind == 0 && before {
			t.Errorf("%s: nothing behind it differs", n.Label())
		}
	}
	if tried < 6 {
		t.Errorf("%d convolutions", tried)
	}
}

// TestAuditOfBytes does the same with 8-bit integers, where a step more or less is allowed.
func TestAuditOfBytes(t *testing.T) {
	a := open(t)
	base, err := a.Sample("")
	if err != nil {
		t.Fatal(err)
	}
	o, err := a.Optimize(t.Context(), base, demoRecipe(a.StandardRecipe()), OptimizeOptions{Data: SampleCalibrate})
	if err != nil {
		t.Fatal(err)
	}
	r := audited(t, a, o.Model)
	bytes := 0
	for _, l := range r.Layers {
		if l.DType == "int8" || l.DType == "uint8" {
			bytes++
		}
	}
	if r.First != nil || bytes < 5 {
		t.Errorf("%d of %d values are bytes, first difference %+v", bytes, len(r.Layers), r.First)
	}
}

func TestAuditRefuses(t *testing.T) {
	a := open(t)
	m, err := a.Sample("")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []AuditRequest{{Inputs: 0}, {Inputs: 1001}, {Inputs: 1, Tolerance: -1}, {Inputs: 1, Tolerance: 2}} {
		q.Model, q.Name, q.Target = m, "net", LocalTarget
		if _, err := a.Audit(t.Context(), q); !fail.Is(err, fail.Usage) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
