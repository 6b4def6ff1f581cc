package deploy

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/profiler"
	"fettle/remote/agent"
	"fettle/remote/bundle"
	"fettle/runtimes"
	"fettle/runtimes/native"
	"fettle/sample"
)

// TestMain makes the test's program an agent when it is called as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"serve", "child", "job", "service", "supervise", "hash", "version"}, os.Args[1]) {
		rt, err := native.New("")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		speak, _ := strconv.Atoi(os.Getenv("FETTLE_SPEAK")) // absent is the newest
		os.Exit(agent.Main(agent.Config{Version: "test", Speak: speak, Root: os.Getenv("FETTLE_ROOT"), Runtimes: append([]runtimes.Runtime{rt}, faulty(rt)...)}, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// local is this test's program as an agent over a pipe.
func local(t *testing.T, home string) *Conn {
	t.Helper()
	c, err := Local(t.Context(), "here", LocalOptions{Home: home, Self: []string{os.Args[0]}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// net is the sample network with one weight changed by v, so that versions differ in one tensor.
func net(t *testing.T, name string, v byte) *bundle.Bundle {
	t.Helper()
	m, err := onnx.Read(sample.Shapes(), "", onnx.DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	file := slices.Clone(sample.Shapes())
	if v != 0 {
		big := m.Graph.Inits[0]
		for _, i := range m.Graph.Inits {
			if len(i.Tensor.Raw) > len(big.Tensor.Raw) {
				big = i
			}
		}
		at := bytes.Index(file, big.Tensor.Raw)
		if at < 0 || len(big.Tensor.Raw) < bundle.MinTensor {
			t.Fatal("the sample has no tensor of its own chunk")
		}
		file[at] ^= v
	}
	b, err := bundle.FromBytes(name, file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMainJob is the whole of it over a pipe: facts, two deployments, a run, a measurement, a rollback, removal.
func TestMainJob(t *testing.T) {
	home := t.TempDir()
	c := local(t, home)
	ctx := t.Context()
	f, err := c.Facts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if f.Arch == "" || len(f.Cores) == 0 || f.MemoryBytes == 0 || len(f.Runtimes) == 0 || !f.Runtimes[0].Present || f.StorageFree <= 0 || len(f.Agent.SHA256) != 64 {
		t.Errorf("facts: %+v", f)
	}

	one, two := net(t, "net", 0), net(t, "net", 1)
	var last int64
	r, err := c.Push(ctx, one, func(done, total int64, _ string) { last = done })
	if err != nil {
		t.Fatal(err)
	}
	if r.Version != 1 || r.SHA256 != string(one.SHA256) || r.Bytes != one.Size || r.Sent == 0 || r.Sent > one.Size || last != r.Sent || r.State != "active" {
		t.Errorf("receipt %+v, progress ended at %d", r, last)
	}
	again, err := c.Push(ctx, one, nil)
	if err != nil || again.Sent != 0 || again.Version != 1 {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	r2, err := c.Push(ctx, two, nil)
	if err != nil || r2.Version != 2 || r2.Previous != 1 || r2.Sent == 0 || r2.Sent > r.Sent/2 {
		t.Errorf("one changed tensor: %+v, %v", r2, err)
	}

	inf, err := c.Run(ctx, Deployed("net"), How{}, nil)
	if err != nil || len(inf.Outputs) != 1 || inf.TotalNS <= 0 || inf.LoadNS <= 0 {
		t.Fatalf("run: %+v, %v", inf, err)
	}
	m, err := onnx.Read(sample.Shapes(), "", onnx.DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	in := picture(t, m)
	got, err := c.Run(ctx, FromBundle(net(t, "other", 0)), How{Threads: 2}, in)
	if err != nil {
		t.Fatal(err)
	}
	same(t, m, in, got.Outputs)

	o := NewProfileOptions()
	o.Launches, o.Runs = 2, 12
	var seen []Sample
	tr, err := c.Profile(ctx, Deployed("net"), o, func(s Sample) { seen = append(seen, s) })
	if err != nil {
		t.Fatal(err)
	}
	if !tr.Complete() || tr.Samples() != 24 || tr.Model.SHA256 != string(two.SHA256) || tr.Target.Name != "here" || len(tr.Steps) == 0 || tr.Runtime.Name != "fettle" {
		t.Errorf("trace: complete %v, %d samples, %+v, %+v", tr.Complete(), tr.Samples(), tr.Model, tr.Target)
	}
	for i, l := range tr.Launches {
		if l.LoadNs <= 0 || l.FirstNs <= 0 || len(l.Warmup) == 0 || len(l.CanaryNs) < 2 || l.Memory.RSSPeak == 0 || l.Before.Load == nil || l.After.Load == nil || len(l.Before.CoreIDs) == 0 {
			t.Errorf("launch %d: %+v", i, l)
		}
	}
	if n := len(seen); n == 0 || seen[n-1].Done != 48 || seen[n-1].Total != 48 {
		t.Errorf("live saw %d samples", n)
	}
	if p, err := profiler.Summarize(tr); err != nil || !p.Complete || len(p.Layers) != len(tr.Steps) {
		t.Errorf("the profiler says %v", err)
	}

	back, err := c.Rollback(ctx, "net")
	if err != nil || back.Version != 1 || back.SHA256 != string(one.SHA256) {
		t.Errorf("rollback: %+v, %v", back, err)
	}
	if _, err := c.Rollback(ctx, "net"); !fail.Is(err, fail.NotFound) || fail.From(err).Where.Board != "here" {
		t.Errorf("a second rollback: %v", err)
	}
	if list, err := c.List(ctx); err != nil || len(list) != 1 || list[0].Version != 1 {
		t.Errorf("list: %+v, %v", list, err)
	}
	if n, err := c.Remove(ctx, "net"); err != nil {
		t.Errorf("remove: %d, %v", n, err)
	}
	if list, err := c.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("list after removal: %+v, %v", list, err)
	}
	if err := c.RemoveAgent(ctx); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "store")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

func picture(t *testing.T, m *model.Model) map[string]*model.Tensor {
	t.Helper()
	v := m.Graph.Inputs[0]
	dims, _ := v.Type.Shape.Ints()
	if len(dims) == 0 || dims[0] != 1 {
		dims = []int{1, 3, 32, 32}
	}
	x := model.NewTensor(model.Float32, dims...)
	pix, _ := sample.Tensor(sample.ScoreSplit, 3)
	for i := range x.Len() {
		x.SetFloat64(i, float64(pix[i%len(pix)]))
	}
	return map[string]*model.Tensor{v.Name: x}
}

// same runs the model in this process and compares.
func same(t *testing.T, m *model.Model, in, got map[string]*model.Tensor) {
	t.Helper()
	rt, err := native.New("")
	if err != nil {
		t.Fatal(err)
	}
	opt := runtimes.NewOptions()
	opt.Threads = 2
	s, err := rt.Prepare(t.Context(), m, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want, err := runtimes.Run(t.Context(), s, in)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range want {
		if g := got[name]; g == nil || !bytes.Equal(g.Raw, w.Raw) {
			t.Errorf("output %s differs from a run in this process", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	c := local(t, t.TempDir())
	ctx := t.Context()
	notONNX, err := bundle.FromBytes("text", []byte("this is no model"))
	if err != nil {
		t.Fatal(err)
	}
	b := net(t, "net", 0)
	o := NewProfileOptions()
	none := o
	none.Runs = 0
	cases := []struct {
		name string
		do   func() error
		want fail.Kind
	}{
		{"run what is not deployed", func() error { _, err := c.Run(ctx, Deployed("none"), How{}, nil); return err }, fail.NotFound},
		{"profile what is not deployed", func() error { _, err := c.Profile(ctx, Deployed("none"), o, nil); return err }, fail.NotFound},
		{"roll back what is not deployed", func() error { _, err := c.Rollback(ctx, "none"); return err }, fail.NotFound},
		{"a name that leaves the folder", func() error { _, err := c.Rollback(ctx, "../x"); return err }, fail.Usage},
		{"a runtime that is not there", func() error { _, err := c.Run(ctx, FromBundle(b), How{Runtime: "none"}, nil); return err }, fail.Unsupported},
		{"an input of another name", func() error {
			_, err := c.Run(ctx, FromBundle(b), How{}, map[string]*model.Tensor{"wrong": model.NewTensor(model.Float32, 1)})
			return err
		}, fail.Invalid},
		{"a file that is no model", func() error { _, err := c.Run(ctx, FromBundle(notONNX), How{}, nil); return err }, fail.Invalid},
		{"nothing to measure", func() error { _, err := c.Profile(ctx, FromBundle(b), none, nil); return err }, fail.Usage},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			err := k.do()
			got := fail.KindOf(err)
			if got == fail.Usage && k.want == fail.Invalid || got == fail.Corrupt && k.want == fail.Invalid || got == fail.NotFound && k.want == fail.Invalid {
				got = k.want // which of these it is does not matter here
			}
			if got != k.want || fail.From(err).Where.Board != "here" {
				t.Errorf("got %v (%s), want %s", err, fail.KindOf(err), k.want)
			}
		})
	}
	if _, err := c.Facts(ctx); err != nil {
		t.Errorf("the agent did not survive: %v", err)
	}
}

// TestCancel stops a measurement: it returns at once, the connection stays, and no child is left.
func TestCancel(t *testing.T) {
	c := local(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	o := NewProfileOptions()
	o.Runs = 100_000
	o.Launches = 1
	var stopped time.Time
	tr, err := c.Profile(ctx, FromBundle(net(t, "net", 0)), o, func(s Sample) {
		if s.Done == 0 && stopped.IsZero() {
			stopped = time.Now()
			cancel()
		}
	})
	if !fail.Is(err, fail.Cancelled) || tr == nil || tr.Complete() {
		t.Fatalf("got %v", err)
	}
	if d := time.Since(stopped); d > time.Second {
		t.Errorf("it took %v to stop", d)
	}
	if _, err := c.Facts(t.Context()); err != nil {
		t.Errorf("the connection did not survive: %v", err)
	}
	// the lock of the measurement ends with its child
	o.Runs = 2
	for end := time.Now().Add(5 * time.Second); ; {
		_, err := c.Profile(t.Context(), FromBundle(net(t, "net", 0)), o, nil)
		if err == nil {
			break
		}
		if !fail.Is(err, fail.Busy) || time.Now().After(end) {
			t.Fatalf("measuring again: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestTwoDesks lets two desks use one store: both see the same deployments, and only one measures at a time. The other hears
// who has the board, waits for it or takes it; whoever lost it is told so.
func TestTwoDesks(t *testing.T) {
	home := t.TempDir()
	a, b := local(t, home), local(t, home)
	ctx := t.Context()
	if _, err := a.Push(ctx, net(t, "net", 0), nil); err != nil {
		t.Fatal(err)
	}
	if list, err := b.List(ctx); err != nil || len(list) != 1 {
		t.Errorf("the other desk sees %+v, %v", list, err)
	}
	o := NewProfileOptions()
	o.Launches, o.Runs = 1, 5
	lease, err := a.Acquire(ctx, Refuse, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"a measurement": func() error { _, err := b.Profile(ctx, Deployed("net"), o, nil); return err },
		"a run":         func() error { _, err := b.Run(ctx, Deployed("net"), How{}, nil); return err },
		"the lease":     func() error { _, err := b.Acquire(ctx, Refuse, nil); return err },
	} {
		if err := f(); !fail.Is(err, fail.Busy) || !strings.Contains(err.Error(), Holder()+" measures on this board") {
			t.Errorf("%s beside a lease: %v", name, err)
		}
	}
	// b waits; a hears of it after its measurement and gives the board back
	got := make(chan error, 1)
	var theirs *Lease
	g := task.NewGroup(ctx)
	g.Go("wait", func(ctx context.Context) (err error) {
		theirs, err = b.Acquire(ctx, Wait, nil)
		got <- err
		return err
	})
	for a.Waiting() == "" {
		if _, err := a.Profile(ctx, Deployed("net"), o, nil); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-got:
		t.Fatalf("b got the board while a had it: %v", err)
	default:
	}
	if err := lease.Release(ctx); err != nil {
		t.Error(err)
	}
	if err := g.Wait(); err != nil || theirs.Epoch != lease.Epoch+1 {
		t.Fatalf("b waited: %v", err)
	}
	// a takes the board from b's measurement, which ends with the reason and no result
	o.Runs = 100_000
	tried := false
	tr, err := b.Profile(ctx, Deployed("net"), o, func(Sample) {
		if tried {
			return
		}
		tried = true
		if lease, err = a.Acquire(ctx, Take, nil); err != nil {
			t.Error(err)
		}
	})
	if !fail.Is(err, fail.Busy) || !strings.Contains(err.Error(), "is over") || tr.Complete() {
		t.Errorf("b's measurement: %v", err)
	}
	o.Runs = 5
	if _, err := b.Profile(ctx, Deployed("net"), o, nil); !fail.Is(err, fail.Busy) || !strings.Contains(err.Error(), "is over") {
		t.Errorf("b measures under its old lease: %v", err)
	}
	if _, err := a.Profile(ctx, Deployed("net"), o, nil); err != nil {
		t.Error(err)
	}
}

// TestMemoryLimit gives the child too little: its death is an error of the run, and the agent lives on.
func TestMemoryLimit(t *testing.T) {
	c := local(t, t.TempDir())
	_, err := c.Run(t.Context(), FromBundle(net(t, "net", 0)), How{Memory: 1 << 20}, nil)
	if !fail.Is(err, fail.Failed) || !strings.Contains(err.Error(), "the process that ran the model") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Facts(t.Context()); err != nil {
		t.Error(err)
	}
}

// random is a deployable of n bytes that nothing else shares.
func random(t *testing.T, name string, n int) *bundle.Bundle {
	t.Helper()
	data := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(data) // it never fails
	b, err := bundle.FromBytes(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDamagedChunk flips a bit in the store between deployment and run: the error keeps its kind on its way from the
// model's process to the desk, and deploying again sends that chunk alone.
func TestDamagedChunk(t *testing.T) {
	home := t.TempDir()
	c := local(t, home)
	b := net(t, "net", 0)
	if _, err := c.Push(t.Context(), b, nil); err != nil {
		t.Fatal(err)
	}
	big := b.Chunks[0]
	for _, ch := range b.Chunks {
		if ch.Len > big.Len {
			big = ch
		}
	}
	h := string(big.SHA256)
	path := filepath.Join(home, "store", "chunks", h[:2], h)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[5] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), Deployed("net"), How{}, nil); !fail.Is(err, fail.Corrupt) || fail.From(err).Fix == "" {
		t.Errorf("running a damaged model: %v", err)
	}
	if r, err := c.Push(t.Context(), b, nil); err != nil || r.Sent != big.Len {
		t.Errorf("deploying again: %+v, %v", r, err)
	}
	if _, err := c.Run(t.Context(), Deployed("net"), How{}, nil); err != nil {
		t.Error(err)
	}
}
