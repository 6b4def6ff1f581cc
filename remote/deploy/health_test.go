package deploy

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/remote/bundle"
	"fettle/runtimes"
	"fettle/runtimes/native"
	"fettle/sample"
)

// samples are inputs with what this process computes for them; spoil changes the outputs, as those of another model.
func samples(t *testing.T, n int, spoil func(*model.Tensor)) [][2][]bundle.Tensor {
	t.Helper()
	return samplesOf(t, sample.Shapes(), n, spoil)
}

func samplesOf(t *testing.T, file []byte, n int, spoil func(*model.Tensor)) [][2][]bundle.Tensor {
	t.Helper()
	m, err := onnx.Read(file, "", onnx.DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	rt, err := native.New("")
	if err != nil {
		t.Fatal(err)
	}
	s, err := rt.Prepare(t.Context(), m, runtimes.NewOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out [][2][]bundle.Tensor
	for i := range n {
		in := picture(t, m)
		for _, x := range in {
			x.SetFloat64(i, 0.5)
		}
		got, err := runtimes.Run(t.Context(), s, in)
		if err != nil {
			t.Fatal(err)
		}
		var pair [2][]bundle.Tensor
		for name, x := range in {
			pair[0] = append(pair[0], bundle.Tensor{Name: name, Data: onnx.WriteTensor(name, x)})
		}
		for name, x := range got {
			if spoil != nil {
				x = x.Clone()
				spoil(x)
			}
			pair[1] = append(pair[1], bundle.Tensor{Name: name, Data: onnx.WriteTensor(name, x)})
		}
		out = append(out, pair)
	}
	return out
}

// healthy is net with a rule.
func healthy(t *testing.T, v byte, rule bundle.Health, s [][2][]bundle.Tensor) *bundle.Bundle {
	t.Helper()
	b := net(t, "net", v)
	if err := b.SetHealth(rule, s); err != nil {
		t.Fatal(err)
	}
	return b
}

func off(by float64) func(*model.Tensor) {
	return func(x *model.Tensor) {
		for i := range x.Len() {
			x.SetFloat64(i, by-x.Float64At(i))
		}
	}
}

// TestHealth deploys versions that break their rule in one way each: what was active stays, nothing of the trial stays, and
// the error names what was not met. One that keeps its rule becomes active.
func TestHealth(t *testing.T) {
	home := t.TempDir()
	c := local(t, home)
	c.key = newKey(t)
	ctx := t.Context()
	good := samples(t, 3, nil)
	rule := bundle.Health{Tolerance: 1e-3, Runs: 200}
	one := healthy(t, 0, rule, good)
	r, err := c.Push(ctx, one, nil)
	if err != nil || r.Version != 1 || r.Health == nil || r.Health.Samples != 3 || r.Health.MaxError > 1e-4 {
		t.Fatalf("a healthy version: %+v, %v", r, err)
	}
	before := listing(t, home)
	slow, agrees := rule, rule
	slow.MaxP99Ns, agrees.MinAgree = 1, 1
	agrees.Tolerance = 1
	notONNX := random(t, "net", 9000)
	if err := notONNX.SetHealth(rule, good); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, say string
		b         *bundle.Bundle
		shadow    time.Duration
		kind      fail.Kind
	}{
		{"other outputs than the host's", "differs from the host's by", healthy(t, 0x40, rule, samples(t, 3, off(3))), 0, fail.Failed},
		{"too slow", "its p99 is", healthy(t, 0, slow, good), 0, fail.Failed},
		{"it is no model", "", notONNX, 0, fail.Invalid},
		{"an output of another name", "it is absent", healthy(t, 0, rule, renamed(good)), 0, fail.Failed},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			_, err := c.Install(ctx, k.b, k.shadow, nil)
			if got := fail.KindOf(err); got != k.kind && !(k.kind == fail.Invalid && got == fail.Corrupt) || !strings.Contains(err.Error(), k.say) {
				t.Errorf("got %v", err)
			}
			list, err := c.List(ctx)
			if err != nil || len(list) != 1 || list[0].Version != 1 || list[0].Trial != "" {
				t.Errorf("after it: %+v, %v", list, err)
			}
			deployments := func(all []string) (out []string) {
				for _, f := range all {
					if strings.Contains(f, "deployments") {
						out = append(out, f)
					}
				}
				return out
			}
			if a, b := deployments(listing(t, home)), deployments(before); strings.Join(a, " ") != strings.Join(b, " ") {
				t.Errorf("files %v, before %v", a, b)
			}
		})
	}
	var states []string
	p := task.Progress(func(_, _ int64, what string) {
		if len(states) == 0 || states[len(states)-1] != what {
			states = append(states, what)
		}
	})
	slow.MaxP99Ns, slow.MinAgree = int64(10*time.Second), 0.9
	r, err = c.Install(ctx, healthy(t, 1, slow, good), 300*time.Millisecond, p)
	if err != nil || r.Version != 2 || r.Health.Shadow < 6 || r.Health.Agree < 0.9 || r.Health.P99Ns <= 0 || r.Health.BeforeP50 <= 0 {
		t.Fatalf("the second version: %+v %+v, %v", r, r.Health, err)
	}
	if got := strings.Join(states, ", "); !strings.Contains(got, "try: health, try: p99, try: shadow, try: verify") {
		t.Errorf("states: %s", got)
	}
	start := time.Now()
	if d, err := c.Rollback(ctx, "net"); err != nil || d.Version != 1 {
		t.Errorf("rollback: %+v, %v", d, err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("rolling back took %v", d)
	}
}

func renamed(all [][2][]bundle.Tensor) [][2][]bundle.Tensor {
	var out [][2][]bundle.Tensor
	for _, p := range all {
		o := p[1][0]
		out = append(out, [2][]bundle.Tensor{p[0], {{Name: "nowhere", Data: o.Data}}})
	}
	return out
}

// TestDisagreement is a second version that the rule of the first would let pass, but that answers otherwise: the shadow run
// sees it. The control has no shadow run, and lets it pass.
func TestDisagreement(t *testing.T) {
	c := local(t, t.TempDir())
	ctx := t.Context()
	rule := bundle.Health{Tolerance: 1, MinAgree: 1}
	if _, err := c.Push(ctx, healthy(t, 0, rule, samples(t, 2, nil)), nil); err != nil {
		t.Fatal(err)
	}
	other, file := otherNet(t)
	if err := other.SetHealth(rule, samplesOf(t, file, 2, nil)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Install(ctx, other, 50*time.Millisecond, nil)
	if !fail.Is(err, fail.Failed) || !strings.Contains(err.Error(), "it agrees with version 1 in 0.00 %") {
		t.Errorf("got %v", err)
	}
	if list, err := c.List(ctx); err != nil || list[0].Version != 1 {
		t.Errorf("after it: %+v, %v", list, err)
	}
	if _, err := c.Push(ctx, other, nil); err != nil {
		t.Errorf("without a shadow run: %v", err)
	}
}

// otherNet is the sample with its last bias changed, so that it always answers the least likely class.
func otherNet(t *testing.T) (*bundle.Bundle, []byte) {
	t.Helper()
	m, err := onnx.Read(sample.Shapes(), "", onnx.DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	in := picture(t, m)
	out := m.Graph.Outputs[0].Name
	rt, err := native.New("")
	if err != nil {
		t.Fatal(err)
	}
	s, err := rt.Prepare(t.Context(), m, runtimes.NewOptions())
	if err != nil {
		t.Fatal(err)
	}
	got, err := runtimes.Run(t.Context(), s, in)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	n := got[out].Len()
	file := append([]byte(nil), sample.Shapes()...)
	for _, init := range m.Graph.Inits {
		if len(init.Tensor.Shape) == 1 && init.Tensor.Shape[0] == n && init.Tensor.DType == model.Float32 {
			at := strings.Index(string(file), string(init.Tensor.Raw))
			x := init.Tensor.Clone()
			least := 0
			for i := range n {
				if got[out].Float64At(i) < got[out].Float64At(least) {
					least = i
				}
			}
			x.SetFloat64(least, x.Float64At(least)+100)
			copy(file[at:], x.Raw)
			b, err := bundle.FromBytes("net", file)
			if err != nil {
				t.Fatal(err)
			}
			return b, file
		}
	}
	t.Fatal("the sample has no last bias")
	return nil, nil
}

// TestCutTrial kills the agent while a version is being tried: the version before is active, the state says how far it came,
// and both ways lead on: deploying again and rolling back.
func TestCutTrial(t *testing.T) {
	for _, then := range []string{"again", "roll back"} {
		t.Run(then, func(t *testing.T) {
			home := t.TempDir()
			c := local(t, home)
			ctx := t.Context()
			rule := bundle.Health{Tolerance: 1e-3}
			if _, err := c.Push(ctx, healthy(t, 0, rule, samples(t, 2, nil)), nil); err != nil {
				t.Fatal(err)
			}
			two := healthy(t, 1, rule, samples(t, 2, nil))
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			_, err := c.Install(ctx, two, time.Minute, func(done, _ int64, what string) {
				if what == "try: shadow" && done > 0 {
					c.now().proc.Kill()
				}
			})
			if !fail.Is(err, fail.Unreachable) {
				t.Fatalf("a killed agent: %v", err)
			}
			c = local(t, home)
			if list, err := c.List(ctx); err != nil || list[0].Version != 1 || list[0].State != "active" || list[0].Trial != "shadow" {
				t.Fatalf("after it: %+v, %v", list, err)
			}
			if then == "again" {
				if r, err := c.Push(ctx, two, nil); err != nil || r.Version != 2 || r.Sent != 0 || r.Trial != "" {
					t.Errorf("again: %+v, %v", r, err)
				}
				return
			}
			if d, err := c.Rollback(ctx, "net"); err != nil || d.Version != 1 || d.Trial != "" {
				t.Errorf("rolled back: %+v, %v", d, err)
			}
			if left, _ := filepath.Glob(filepath.Join(home, "store", "deployments", "net", "2.*")); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}
