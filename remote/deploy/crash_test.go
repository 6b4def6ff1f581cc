package deploy

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/runtimes"
	"fettle/runtimes/native"

	"fettle/model/onnx"
	"fettle/sample"
)

// faulty are runtimes that run as Fettle's own does until a step, which the word for the instruction set numbers; there
// each does one bad thing.
func faulty(rt runtimes.Runtime) []runtimes.Runtime {
	return []runtimes.Runtime{
		faultyRuntime{rt, "segv", func() { _ = syscall.Kill(os.Getpid(), syscall.SIGSEGV); select {} }},
		faultyRuntime{rt, "ill", func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }},
		faultyRuntime{rt, "spin", func() {
			for {
			}
		}},
		faultyRuntime{rt, "eat", func() {
			var all [][]byte
			for {
				b := make([]byte, 1<<20)
				for i := range b {
					b[i] = 1
				}
				all = append(all, b)
			}
		}},
	}
}

type faultyRuntime struct {
	runtimes.Runtime
	name string
	do   func()
}

func (f faultyRuntime) Name() string { return f.name }

func (f faultyRuntime) Prepare(ctx context.Context, m *model.Model, o runtimes.Options) (runtimes.Session, error) {
	at, err := strconv.Atoi(o.ISA)
	if err != nil {
		return nil, err
	}
	o.ISA = ""
	s, err := f.Runtime.Prepare(ctx, m, o)
	return &faultySession{Session: s, at: at, do: f.do}, err
}

type faultySession struct {
	runtimes.Session
	at   int
	do   func()
	mark *int64
}

func (s *faultySession) Mark(at *int64) { s.mark = at }

func (s *faultySession) Exec(ctx context.Context, ns []int64) error {
	for i := range s.Steps() {
		if s.mark != nil {
			atomic.StoreInt64(s.mark, int64(i))
		}
		if i == s.at {
			s.do()
		}
	}
	return s.Session.Exec(ctx, ns)
}

// TestCrashesAreNamed lets a model crash, stay, and eat its memory at many of its nodes: the error names the node, and the
// agent lives on.
func TestCrashesAreNamed(t *testing.T) {
	m, err := onnx.Read(sample.Shapes(), "", onnx.DefaultBudget())
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
	steps := s.Steps()
	s.Close()
	c := local(t, t.TempDir())
	pid := c.Agent().PID
	for _, k := range []struct {
		name  string
		every int
		how   How
		say   string
	}{
		{"segv", 2, How{}, "SIGSEGV"},
		{"ill", 8, How{}, "killed"},
		{"spin", 12, How{Step: 400 * time.Millisecond}, "did not get on for 400ms"},
		{"eat", 20, How{Memory: 300 << 20}, ""},
	} {
		for at := 0; at < len(steps); at += k.every {
			how := k.how
			how.Runtime, how.ISA, how.Fresh = k.name, strconv.Itoa(at), true
			start := time.Now()
			_, err := c.Run(t.Context(), FromBundle(net(t, "net", 0)), how, nil)
			e := fail.From(err)
			if !fail.Is(err, fail.Failed) || e.Where.Node != steps[at].Name || e.Where.Op != steps[at].Op || !strings.Contains(e.Why, k.say) || e.Fix == "" {
				t.Errorf("%s at step %d (%s %s): %v", k.name, at, steps[at].Op, steps[at].Name, err)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("%s at step %d took %v", k.name, at, d)
			}
		}
	}
	if f, err := c.Facts(t.Context()); err != nil || c.Agent().PID != pid {
		t.Errorf("the agent did not survive: %v", err)
	} else if why := fmt.Sprint(f.Absent); len(f.Agent.Guards) < 2 && !strings.Contains(why, "this build links C") {
		t.Errorf("guards %v, %v", f.Agent.Guards, f.Absent) // this test's program is the agent, and may link C where a real one never does
	}
	if _, err := c.Run(t.Context(), FromBundle(net(t, "net", 0)), How{}, nil); err != nil {
		t.Errorf("the model as it is: %v", err)
	}
}
