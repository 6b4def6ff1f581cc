package app

import (
	"context"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/remote/agent"
	"fettle/runtimes"
	"fettle/runtimes/native"
)

// alter names, to the agent of these tests, a node whose kernel is to compute something else, and alterBy by which factor; 1.01 without.
const (
	alter   = "FETTLE_TEST_ALTER"
	alterBy = "FETTLE_TEST_ALTER_BY"
)

// altered is an engine in which the weights of one node are wrong by a factor.
type altered struct {
	runtimes.Runtime
	node string
	by   float64
}

func (r altered) Prepare(ctx context.Context, m *model.Model, opt runtimes.Options) (runtimes.Session, error) {
	for _, n := range m.Graph.Nodes {
		if n.Label() != r.node {
			continue
		}
		weights := n.Inputs[min(1, len(n.Inputs)-1)]
		if p := m.Graph.Producer(weights); p != nil { // in bytes
			weights = p.Inputs[0]
		}
		g := m.Graph.Shallow()
		g.Inits = append([]*model.Init(nil), g.Inits...)
		for i, in := range g.Inits {
			if in.Name == weights {
				w := *in.Tensor
				w.Raw = append([]byte(nil), w.Raw...)
				for k := range w.Len() {
					w.SetFloat64(k, math.Max(-127, math.Min(127, r.by*w.Float64At(k))))
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
	by := 1.01
	if f, err := strconv.ParseFloat(os.Getenv(alterBy), 64); err == nil {
		by = f
	}
	return agent.Main(agent.Config{Version: Version, Runtimes: []runtimes.Runtime{altered{rt, node, by}}, Self: []string{os.Args[0], "agent"}}, words, os.Stdin, os.Stdout, os.Stderr)
}

func audited(t *testing.T, a *App, m *model.Model) *Audit { t.Helper(); return auditedBy(t, a, m, "") }

func auditedBy(t *testing.T, a *App, m *model.Model, isa string) *Audit {
	t.Helper()
	r, err := a.Audit(t.Context(), AuditRequest{Model: m, Name: "net", Target: LocalTarget, Inputs: 2, ISA: isa})
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

// TestAuditOfOthers follows networks through a target with other instructions than this computer's, in floats and in bytes: nothing is called wrong. Controls: with the
// same other instructions a kernel that is wrong by 3 in 10,000 is named in floats, which is less than Winograd is allowed elsewhere, and one whose larger
// weights are a step off in bytes.
func TestAuditOfOthers(t *testing.T) {
	a := open(t)
	base, fused := fusedSample(t, a)
	o, err := a.Optimize(t.Context(), base, demoRecipe(a.StandardRecipe()), OptimizeOptions{Data: SampleCalibrate})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, by string
		m        *model.Model
	}{{"floats", "1.0003", fused}, {"bytes", "1.02", o.Model}} {
		r := auditedBy(t, a, c.m, "generic")
		if r.First != nil {
			t.Errorf("%s: other instructions are called wrong: %+v", c.name, r.First)
		}
		for _, l := range r.Layers {
			if l.Tolerance > 5e-4 && l.Tolerance < 1 {
				t.Errorf("%s: %s may be off by %g", c.name, l.Name, l.Tolerance)
			}
		}
		tried := 0
		for _, n := range c.m.Graph.Nodes {
			if n.Op != "Conv" && n.Op != "FusedConv" && n.Op != "QLinearConv" || len(n.Inputs) < 2 {
				continue
			}
			if tried++; tried%4 != 2 {
				continue
			}
			t.Setenv(alter, n.Label())
			t.Setenv(alterBy, c.by)
			if r := auditedBy(t, open(t), c.m, "generic"); r.First == nil || !slices.ContainsFunc(n.Origin, func(o model.NodeID) bool { return slices.Contains(r.First.Origin, string(o)) }) {
				t.Errorf("%s: the kernel of %s is wrong, the audit says %+v", c.name, n.Label(), r.First)
			}
			t.Setenv(alter, "")
		}
		if tried < 6 {
			t.Errorf("%s: %d convolutions", c.name, tried)
		}
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
