package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	stdnet "net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/chaos"
	"fettle/internal/fail"
	"fettle/internal/sandbox"
	"fettle/internal/task"
	"fettle/profiler/trace"
	"fettle/remote/board"
	"fettle/remote/wire"
)

// raw starts an agent on a store and gives the pipe to it, with a link in between.
func raw(t *testing.T, home string, set func(*chaos.Link)) (*sandbox.Process, *chaos.Link) {
	t.Helper()
	p, err := sandbox.Start(context.Background(), sandbox.Spec{Path: os.Args[0], Args: []string{"serve", "--store", filepath.Join(home, "store")}})
	if err != nil {
		t.Fatal(err)
	}
	link := chaos.NewLink(pipe{p.Stdout, p.Stdin})
	if set != nil {
		set(link)
	}
	return p, link
}

// pushOver deploys two over a link that is cut; then the agent is killed, as a board that loses power.
func pushOver(t *testing.T, home string, v byte, set func(*chaos.Link)) (*chaos.Link, error) {
	t.Helper()
	p, link := raw(t, home, set)
	defer func() { p.Kill(); _ = p.Wait() }()
	s, err := attach(t.Context(), link, "")
	if err != nil {
		return link, err
	}
	c := &Conn{name: "bar", session: s}
	_, err = c.Push(t.Context(), net(t, "net", v), nil)
	p.Kill()
	c.link().Close()
	return link, err
}

// TestKilledAtEveryRequest cuts the link to the agent and kills it at points all through a deployment: what is active
// then is the version before or the new one, and deploying again sends no more than the first time would have.
func TestKilledAtEveryRequest(t *testing.T) {
	start := t.TempDir()
	if _, err := pushOver(t, start, 0, nil); err != nil {
		t.Fatal(err)
	}
	copyOf := func() string {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(start)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "store"), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	link, err := pushOver(t, copyOf(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrote, read := link.Counts()
	one, two := net(t, "net", 0), net(t, "net", 1)
	points := 24
	if testing.Short() {
		points = 6
	}
	seen := map[string]int{}
	for i := range points {
		for _, way := range []string{"to the agent", "to the desk"} {
			at := wrote * int64(i) / int64(points)
			set := func(l *chaos.Link) { l.CutWrite = at }
			if way == "to the desk" {
				at = read * int64(i) / int64(points)
				set = func(l *chaos.Link) { l.CutRead = at }
			}
			home := copyOf()
			if _, err := pushOver(t, home, 1, set); err != nil {
				if k := fail.KindOf(err); k != fail.Unreachable && k != fail.Corrupt {
					t.Errorf("cut %s at %d: %v", way, at, err)
				}
			}
			c := local(t, home)
			list, err := c.List(t.Context())
			if err != nil || len(list) != 1 || list[0].State != "active" {
				t.Fatalf("cut %s at %d: %+v, %v", way, at, list, err)
			}
			seen[list[0].SHA256]++
			if h := list[0].SHA256; h != string(one.SHA256) && h != string(two.SHA256) {
				t.Errorf("cut %s at %d: %s is active", way, at, h)
			}
			r, err := c.Push(t.Context(), two, nil)
			if err != nil || r.SHA256 != string(two.SHA256) || r.Sent > two.Size {
				t.Errorf("cut %s at %d: again gives %+v, %v", way, at, r, err)
			}
			c.Close()
		}
	}
	if len(seen) != 2 {
		t.Errorf("after the cuts only %v was active; both versions should have been", seen)
	}
}

// TestKilledAgent kills the serving agent and the measurement's process in a run: a serving agent is started again and the
// same run goes on, each sample once and in order; a measurement that died itself is an interrupted run, with the reason.
func TestKilledAgent(t *testing.T) {
	home := t.TempDir()
	c := local(t, home)
	o := NewProfileOptions()
	o.Launches, o.Runs = 1, 60
	kills := 0
	var seen []int
	tr, err := c.Profile(t.Context(), FromBundle(net(t, "net", 0)), o, func(s Sample) {
		if s.Kind != wire.KindWarmup {
			seen = append(seen, s.Done)
		}
		if kills < 3 && s.Done == 20*(kills+1) {
			kills++
			c.now().proc.Kill()
		}
	})
	if err != nil || !tr.Complete() || kills != 3 {
		t.Fatalf("after %d kills: %v", kills, err)
	}
	for i, d := range seen {
		if d != i+1 {
			t.Fatalf("sample %d came where %d was due", d, i+1)
		}
	}
	if len(seen) != 120 {
		t.Errorf("%d samples of 120", len(seen))
	}
	// control: without coming back the same kill is an interrupted run
	c2 := local(t, home)
	c2.again = nil
	defer endJobs(t, home)
	o.Runs = 100_000
	tr, err = c2.Profile(t.Context(), FromBundle(net(t, "net", 0)), o, func(s Sample) {
		if s.Done == 20 {
			c2.session.proc.Kill()
		}
	})
	if !fail.Is(err, fail.Unreachable) || tr == nil || tr.Complete() || !strings.Contains(err.Error(), "interrupted after") {
		t.Errorf("got %v", err)
	}
	// the measurement still runs and holds the board; taking the board stops it
	d := local(t, home)
	if _, err := d.Acquire(t.Context(), Refuse, nil); !fail.Is(err, fail.Busy) || !strings.Contains(err.Error(), Holder()) {
		t.Errorf("the board of a run without a desk: %v", err)
	}
	l, err := d.Acquire(t.Context(), Take, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// liar is an agent that answers a measurement with given events.
func liar(t *testing.T, events func(o ProfileOptions) []wire.Event, change func(d *wire.ProfileDone)) (*trace.Trace, error) {
	t.Helper()
	desk, far := stdnet.Pipe()
	g := task.NewGroup(context.Background())
	o := NewProfileOptions()
	o.Launches, o.Runs = 1, 2
	g.Go("lie", func(ctx context.Context) error {
		return wire.Serve(ctx, far, func(_ context.Context, r *wire.Request) (any, error) {
			switch r.Verb {
			case wire.VerbHello:
				return wire.Hello{Protocol: wire.Version}, nil
			case wire.VerbFacts:
				return board.Facts{}, nil
			case wire.VerbList:
				return []wire.Deployment{{Name: "net", SHA256: strings.Repeat("0", 64)}}, nil
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				return nil, err
			}
			done := wire.ProfileDone{}
			for i, e := range events(o) {
				if e.Seq == 0 {
					e.Seq = int64(i)
				}
				text, err := json.Marshal(e)
				if err != nil {
					return nil, err
				}
				done.Events++
				done.SHA256 += string(text)
				if err := r.Forward(wire.TypeItem, text); err != nil {
					return nil, err
				}
			}
			done.SHA256 = sum(done.SHA256)
			if change != nil {
				change(&done)
			}
			return done, nil
		})
	})
	s, err := attach(t.Context(), desk, "")
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{name: "bar", session: s}
	time.Sleep(2 * time.Millisecond)
	tr, err := c.Profile(t.Context(), Deployed("net"), o, nil)
	c.Close()
	_ = g.Wait()
	return tr, err
}

// TestLiars is about agents whose measurements cannot be: each is refused, and the trace never counts as complete.
func TestLiars(t *testing.T) {
	step := wire.Step{ID: "s", Name: "s", Op: "Conv", Origin: []string{"n"}, DType: "float32"}
	good := func() []wire.Event {
		e := []wire.Event{{Launch: &wire.Launch{LoadNS: 5, FirstNS: 5, Runtime: "x", Steps: []wire.Step{step}}}, {Block: &wire.Block{CanaryNS: 5, Conditions: []byte(`{}`)}}}
		for range 2 {
			e = append(e, wire.Event{Sample: &wire.Sample{Kind: wire.KindClean, TotalNS: 10}}, wire.Event{Sample: &wire.Sample{Kind: wire.KindLayers, TotalNS: 10, StepNS: []int64{9}}})
		}
		return append(e, wire.Event{Block: &wire.Block{CanaryNS: 5, Conditions: []byte(`{}`)}})
	}
	edit := func(f func(e []wire.Event) []wire.Event) func(ProfileOptions) []wire.Event {
		return func(ProfileOptions) []wire.Event { return f(good()) }
	}
	cases := []struct {
		name   string
		events func(ProfileOptions) []wire.Event
		done   func(*wire.ProfileDone)
		says   string // "" is right
	}{
		{"right", edit(func(e []wire.Event) []wire.Event { return e }), nil, ""},
		{"one sample short", edit(func(e []wire.Event) []wire.Event { return append(e[:5], e[6:]...) }), nil, "1 instrumented"},
		{"one event skipped", edit(func(e []wire.Event) []wire.Event { e[3].Seq = 9; return e }), nil, "event 9 came where 3"},
		{"nothing at all", edit(func([]wire.Event) []wire.Event { return nil }), nil, "0 of 1 launches"},
		{"no second look at the board", edit(func(e []wire.Event) []wire.Event { return e[:6] }), nil, "1 canaries"},
		{"a negative time", edit(func(e []wire.Event) []wire.Event { e[2].Sample.TotalNS = -1; return e }), nil, "-1 ns"},
		{"a time of three centuries", edit(func(e []wire.Event) []wire.Event { e[2].Sample.TotalNS = 1 << 62; return e }), nil, "clock"},
		{"more work than time", edit(func(e []wire.Event) []wire.Event { e[2].Sample.TotalNS = int64(time.Hour); return e }), nil, "of work in"},
		{"layers longer than the whole", edit(func(e []wire.Event) []wire.Event { e[3].Sample.StepNS[0] = int64(time.Hour); return e }), nil, "the whole"},
		{"another number of layers", edit(func(e []wire.Event) []wire.Event { e[3].Sample.StepNS = []int64{1, 2}; return e }), nil, "2 layers"},
		{"a sample of another launch", edit(func(e []wire.Event) []wire.Event { e[3].Sample.Launch = 7; return e }), nil, "launch 7"},
		{"a sample before the launch", edit(func(e []wire.Event) []wire.Event { return e[2:] }), nil, "launch"},
		{"a second launch", edit(func(e []wire.Event) []wire.Event { return append(e, e[0]) }), nil, "launch 0 came"},
		{"conditions that are none", edit(func(e []wire.Event) []wire.Event { e[1].Block.Conditions = []byte(`[]`); return e }), nil, "conditions"},
		{"an empty event", edit(func(e []wire.Event) []wire.Event { e[4] = wire.Event{}; return e }), nil, "empty"},
		{"a kind that nobody knows", edit(func(e []wire.Event) []wire.Event { e[2].Sample.Kind = "odd"; return e }), nil, "odd"},
		{"an end mark of another count", edit(func(e []wire.Event) []wire.Event { return e }), func(d *wire.ProfileDone) { d.Events++ }, "8 events"},
		{"an end mark of another digest", edit(func(e []wire.Event) []wire.Event { return e }), func(d *wire.ProfileDone) { d.SHA256 = sum("") }, "digest"},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			tr, err := liar(t, k.events, k.done)
			if k.says == "" {
				if err != nil || !tr.Complete() {
					t.Errorf("got %v", err)
				}
				return
			}
			if !fail.Is(err, fail.Corrupt) || !strings.Contains(err.Error(), k.says) || fail.From(err).Where.Board != "bar" {
				t.Errorf("got %v, want it to say %q", err, k.says)
			}
			if tr == nil || tr.Complete() {
				t.Error("the trace counts as complete")
			}
		})
	}
}

func sum(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }

// TestWorst joins two looks at a board: a board that was hot in between does not look well.
func TestWorst(t *testing.T) {
	yes, no := true, false
	a := trace.Conditions{Hz: []int64{600, 1500}, TemperatureC: []float64{84}, Throttled: &yes, ThrottleWhy: "84.0 C", PageFaults: 1}
	b := trace.Conditions{Hz: []int64{1500, 1500}, TemperatureC: []float64{60}, Throttled: &no, PageFaults: 5}
	got := worst(a, b)
	if got.Hz[0] != 600 || got.TemperatureC[0] != 84 || !*got.Throttled || got.ThrottleWhy != "84.0 C" || got.PageFaults != 5 {
		t.Errorf("got %+v", got)
	}
	if got := worst(b, a); !*got.Throttled || got.TemperatureC[0] != 84 {
		t.Errorf("got %+v", got)
	}
	if got := worst(trace.Conditions{}, trace.Conditions{}); got.Throttled != nil || got.TemperatureC != nil {
		t.Errorf("nothing known gives %+v", got)
	}
}
