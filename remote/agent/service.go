package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/internal/sandbox"
	"fettle/internal/task"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// A service keeps the active version of a deployment loaded and answers on a socket that only its user may open, or on its
// standard input and output; it never opens a port. It follows the active version, and goes back to the version before when
// the new one breaks its rule.
//
//	run/<name>.sock   mode 0600, in a folder of mode 0700
//	run/<name>.lock   locked while the service runs
//	run/<name>.json   how it goes
//	run/<name>.stop   asks it and its supervisor to end
type service struct {
	a    *Agent
	name string

	mu     sync.Mutex
	state  wire.ServiceState
	m      *bundle.Manifest
	w      *worker
	ref    *worker // of the version before, where agreement is watched
	times  []int64
	same   int
	seen   int
	count  int64
	deaths int
}

const (
	// window is how many inferences a p99 of a service is taken over, and refEvery how many there are to one that the version
	// before answers too, whose agreement is taken over refWindow of these.
	window    = leastRuns
	refEvery  = 10
	refWindow = 50
	// maxDeaths of one version's process bring the version before back.
	maxDeaths = 3
)

func (s *Store) run(name, ending string) string {
	return filepath.Join(s.dir, "run", name+"."+ending)
}

// serveModel runs a service until its context or its input ends, or it is asked to stop. conn is for its input and output;
// nil: a socket.
func (a *Agent) serveModel(ctx context.Context, name string, conn *stdio) error {
	if err := bundle.CheckName(name); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(a.store.run(name, "x")), 0o700); err != nil {
		return cas.Explain(err)
	}
	if conn == nil {
		lock, err := claim(a.store.run(name, "lock"))
		if fail.Is(err, fail.Busy) {
			return fail.New(fail.Busy, "the service of %s runs already", name)
		}
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	s := &service{a: a, name: name}
	defer s.close()
	if err := s.load(ctx); err != nil {
		s.write("failed: " + err.Error())
		return err
	}
	g := task.NewGroup(ctx)
	g.Go("follow the active version", func(ctx context.Context) error { return s.follow(ctx, conn == nil) })
	if conn != nil {
		g.Go("answer", func(ctx context.Context) error {
			defer g.Cancel()
			return wire.Serve(ctx, conn, s.handle)
		})
		return g.Wait()
	}
	l, err := listen(a.store.run(name, "sock"))
	if err != nil {
		g.Cancel()
		return errors.Join(err, g.Wait())
	}
	g.Go("close", func(ctx context.Context) error { <-ctx.Done(); return l.Close() })
	g.Go("accept", func(ctx context.Context) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return nil // closed
			}
			g.Go("answer", func(ctx context.Context) error {
				_ = wire.Serve(ctx, c, s.handle) // a client that says nonsense ends its own connection
				return nil
			})
		}
	})
	s.write("serving")
	err = g.Wait()
	s.write("stopped")
	if fail.Is(err, errStop.Kind) && fail.From(err).Why == errStop.Why {
		return nil
	}
	return err
}

// errStop says that a service was asked to end.
var errStop = fail.New(fail.Cancelled, "the service was asked to stop")

// listen makes a socket that only this user may open.
func listen(path string) (net.Listener, error) {
	_ = os.Remove(path) // of a service that was killed: its lock is free
	// the folder has mode 0700, so nobody comes between
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fail.New(fail.Failed, "%v", err).Doing("open the socket of the service").Try("the path of the store may be too long for a socket")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, cas.Explain(err)
	}
	return l, nil
}

// load opens the active version in a process of its own.
func (s *service) load(ctx context.Context) error {
	cur, err := s.a.store.current(s.name)
	if err != nil {
		return err
	}
	m, err := s.a.store.Active(s.name)
	if err != nil {
		return err
	}
	w, err := s.a.openWorker(ctx, m)
	if err != nil {
		return err
	}
	var ref *worker
	if m.Health != nil && m.Health.MinAgree > 0 && cur.Previous > 0 {
		if old, err := s.a.store.version(s.name, cur.Previous); err == nil {
			ref, _ = s.a.openWorker(ctx, old) // one that cannot run is no reference
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, oldRef := s.w, s.ref
	s.m, s.w, s.ref = m, w, ref
	s.times, s.same, s.seen, s.deaths = nil, 0, 0, 0
	s.state.Version = cur.Version
	for _, x := range []*worker{old, oldRef} {
		if x != nil {
			x.close()
		}
	}
	return nil
}

func (s *service) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range []*worker{s.w, s.ref} {
		if x != nil {
			x.close()
		}
	}
	s.w, s.ref = nil, nil
}

// follow looks whether another version is active now, and whether it should end.
func (s *service) follow(ctx context.Context, files bool) error {
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if files {
			if _, err := os.Stat(s.a.store.run(s.name, "stop")); err == nil {
				return errStop
			}
		}
		cur, err := s.a.store.current(s.name)
		if fail.Is(err, fail.NotFound) {
			return errStop // the deployment was taken away
		}
		s.mu.Lock()
		other := err == nil && cur.Version != s.state.Version
		s.mu.Unlock()
		if other {
			if err := s.load(ctx); err != nil && ctx.Err() == nil {
				s.takeBack("it does not start: " + fail.From(err).Why)
			}
		}
		if files && (other || n%20 == 0) {
			s.write("serving")
		}
	}
}

// takeBack makes the version before the active one again; follow loads it.
func (s *service) takeBack(why string) {
	d, err := s.a.store.Rollback(s.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.state.Note = "version " + itoa(s.state.Version) + " should go: " + why + "; but " + fail.From(err).Why
		return
	}
	s.state.Note = "version " + itoa(s.state.Version) + " was taken back: " + why + "; version " + itoa(d.Version) + " serves again"
}

// handle answers a client: one inference after the other.
func (s *service) handle(ctx context.Context, r *wire.Request) (any, error) {
	switch r.Verb {
	case wire.VerbHello:
		return wire.Hello{Protocol: wire.Version, Oldest: wire.Oldest, Version: s.a.cfg.Version, SHA256: s.a.sha256, PID: os.Getpid(), Store: s.a.dir}, nil
	case wire.VerbRun:
		var job wire.RunJob
		if err := r.Head(&job); err != nil {
			return nil, err
		}
		in, err := tensors(r, job.Inputs)
		if err != nil {
			return nil, err
		}
		return s.infer(ctx, r, job.Inputs, in)
	}
	return nil, fail.New(fail.Unsupported, "a service does not know %.40q", r.Verb)
}

func (s *service) infer(ctx context.Context, r *wire.Request, heads []wire.Input, data []byte) (any, error) {
	s.mu.Lock()
	if s.w == nil {
		s.mu.Unlock()
		return nil, fail.New(fail.Busy, "the service ends")
	}
	outs, raw, took, err := s.w.infer(ctx, heads, data)
	why := ""
	if err != nil {
		why, err = s.failed(ctx, err)
	} else {
		why = s.judge(ctx, heads, data, outs, raw, took)
	}
	s.mu.Unlock()
	if why != "" {
		s.takeBack(why)
	}
	if err != nil {
		return nil, err
	}
	if err := r.Item(wire.Outputs{Outputs: outs}); err != nil {
		return nil, err
	}
	if err := r.Data(raw); err != nil {
		return nil, err
	}
	return wire.RunDone{TotalNS: took.Nanoseconds()}, nil
}

// failed starts the model's process again where it died, and gives the reason to go back where it died too often.
func (s *service) failed(ctx context.Context, err error) (why string, out error) {
	if !fail.Is(err, fail.Unreachable) && !fail.Is(err, fail.Corrupt) || ctx.Err() != nil {
		return "", err // what the client sent was wrong
	}
	err = s.w.died(err)
	s.deaths++
	if s.deaths >= maxDeaths {
		why = "its process died " + itoa(s.deaths) + " times: " + fail.From(err).Why
	}
	w, oerr := s.a.openWorker(ctx, s.m)
	if oerr != nil {
		w = nil
	}
	s.w = w
	return why, err
}

// judge gives the reason to go back, "" for none.
func (s *service) judge(ctx context.Context, heads []wire.Input, data []byte, outs []wire.Input, raw []byte, took time.Duration) string {
	s.count++
	h := s.m.Health
	if h == nil {
		return ""
	}
	if h.MaxP99Ns > 0 {
		if s.times = append(s.times, took.Nanoseconds()); len(s.times) >= window {
			p99 := quantile(s.times, 0.99)
			s.times = s.times[:0]
			s.state.P99Ns = p99
			if p99 > h.MaxP99Ns {
				return "its p99 was " + time.Duration(p99).String() + ", " + time.Duration(h.MaxP99Ns).String() + " is allowed"
			}
		}
	}
	if s.ref != nil && s.count%refEvery == 0 {
		ho, ro, _, err := s.ref.infer(ctx, heads, data)
		if err != nil {
			return "" // the version before cannot answer this; it judges nothing
		}
		if ok, err := agree(outs, raw, ho, ro); err == nil && ok {
			s.same++
		}
		if s.seen++; s.seen >= refWindow {
			share := float64(s.same) / float64(s.seen)
			s.same, s.seen, s.state.Agree = 0, 0, share
			if share < h.MinAgree {
				return "it agreed with the version before in " + percent(share) + " of " + itoa(refWindow) + " inferences, " + percent(h.MinAgree) + " is asked for"
			}
		}
	}
	return ""
}

// write says how the service goes, for others to read.
func (s *service) write(state string) {
	s.mu.Lock()
	s.state.Name, s.state.State, s.state.PID, s.state.Count, s.state.Socket = s.name, state, os.Getpid(), s.count, s.a.store.run(s.name, "sock")
	b, err := json.Marshal(s.state)
	s.mu.Unlock()
	if err == nil {
		_ = cas.WriteFile(cas.OS{}, s.a.store.run(s.name, "json"), b) // said again in a moment
	}
}

// supervise starts a service again whenever it dies, where the system has nothing that does.
func (a *Agent) supervise(ctx context.Context, name string) error {
	if err := bundle.CheckName(name); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(a.store.run(name, "x")), 0o700); err != nil {
		return cas.Explain(err)
	}
	lock, err := claim(a.store.run(name, "super"))
	if err != nil {
		return err
	}
	defer lock.Close()
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		start := time.Now()
		args := append(append([]string(nil), a.cfg.Self[1:]...), "service", "--store", a.dir, "--name", name)
		p, err := sandbox.Start(ctx, sandbox.Spec{Path: a.cfg.Self[0], Args: args})
		if err == nil {
			err = p.Wait()
		}
		if _, serr := os.Stat(a.store.run(name, "stop")); serr == nil || ctx.Err() != nil || err == nil {
			return nil
		}
		if time.Since(start) > time.Minute {
			wait = time.Second
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// control starts, stops or describes services for a desk.
func (a *Agent) control(ctx context.Context, q wire.ServiceAsk) (any, error) {
	if q.Do == wire.ServiceList {
		return a.services()
	}
	if err := bundle.CheckName(q.Name); err != nil {
		return nil, err
	}
	switch q.Do {
	case wire.ServiceStart:
		if _, err := a.store.Active(q.Name); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Dir(a.store.run(q.Name, "x")), 0o700); err != nil {
			return nil, cas.Explain(err)
		}
		_ = os.Remove(a.store.run(q.Name, "stop"))
		if q.Supervised {
			args := append(append([]string(nil), a.cfg.Self[1:]...), "supervise", "--store", a.dir, "--name", q.Name)
			p, err := sandbox.Detach(sandbox.Spec{Path: a.cfg.Self[0], Args: args}, nil)
			if err != nil {
				return nil, err
			}
			g := task.NewGroup(context.Background()) // nobody waits: it outlives this agent
			g.Go("reap", func(context.Context) error { p.Wait(); return nil })
		}
		return a.untilService(ctx, q.Name, true)
	case wire.ServiceStop:
		if _, err := os.Stat(filepath.Dir(a.store.run(q.Name, "x"))); err != nil {
			return wire.ServiceState{Name: q.Name, State: "stopped"}, nil
		}
		if err := os.WriteFile(a.store.run(q.Name, "stop"), nil, 0o600); err != nil {
			return nil, cas.Explain(err)
		}
		return a.untilService(ctx, q.Name, false)
	}
	return nil, fail.New(fail.Unsupported, "this agent does not know what %.40q of a service is", q.Do)
}

// serviceWithin is how long a service may take to come or go.
const serviceWithin = 20 * time.Second

func (a *Agent) untilService(ctx context.Context, name string, up bool) (wire.ServiceState, error) {
	for end := time.Now().Add(serviceWithin); ; {
		st, err := a.serviceState(name)
		if err == nil && up && st.State == "serving" || !up && !a.alive(name) {
			st.Name = name
			return st, nil
		}
		if up && err == nil && len(st.State) > 7 && st.State[:7] == "failed:" {
			_ = os.WriteFile(a.store.run(name, "stop"), nil, 0o600) // no use in trying again
			return st, fail.New(fail.Failed, "the service of %s does not start: %s", name, st.State[7:]).Try("run it once: fettle run, or deploy a version that works")
		}
		if time.Now().After(end) {
			return st, fail.New(fail.Failed, "the service of %s did not come or go within %v", name, serviceWithin).Try("see fettle service --target BOARD")
		}
		select {
		case <-ctx.Done():
			return st, fail.From(ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// alive reports whether a service or its supervisor runs.
func (a *Agent) alive(name string) bool {
	for _, ending := range []string{"lock", "super"} {
		lock, err := claim(a.store.run(name, ending))
		if fail.Is(err, fail.Busy) {
			return true
		}
		if err == nil {
			lock.Close()
		}
	}
	return false
}

func (a *Agent) serviceState(name string) (wire.ServiceState, error) {
	st := wire.ServiceState{Name: name, State: "stopped"}
	b, err := os.ReadFile(a.store.run(name, "json"))
	if err != nil {
		return st, cas.Explain(err)
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return st, fail.New(fail.Corrupt, "the state of the service of %s cannot be read", name)
	}
	if st.State == "serving" && !a.alive(name) {
		st.State = "stopped"
	}
	return st, nil
}

func (a *Agent) services() ([]wire.ServiceState, error) {
	files, err := filepath.Glob(a.store.run("*", "json"))
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	out := []wire.ServiceState{}
	for _, f := range files {
		name := filepath.Base(f[:len(f)-len(".json")])
		if bundle.CheckName(name) != nil {
			continue
		}
		st, err := a.serviceState(name)
		if err != nil {
			st.State = "broken: " + fail.From(err).Why
		}
		out = append(out, st)
	}
	return out, nil
}

// stopServices ends all services, before the store goes away.
func (a *Agent) stopServices(ctx context.Context) {
	list, err := a.services()
	if err != nil {
		return // the store goes away all the same
	}
	for _, st := range list {
		if a.alive(st.Name) {
			_, _ = a.control(ctx, wire.ServiceAsk{Do: wire.ServiceStop, Name: st.Name})
		}
	}
}

// callService has a running service answer a desk.
func (a *Agent) callService(ctx context.Context, r *wire.Request, job wire.RunJob, in []byte) (any, error) {
	if err := bundle.CheckName(job.Source.Name); err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", a.store.run(job.Source.Name, "sock"))
	if err != nil {
		return nil, fail.New(fail.NotFound, "no service of %s answers: %v", job.Source.Name, err).Try("start it: fettle service %s --start", job.Source.Name)
	}
	c, err := wire.NewClient(ctx, conn, wire.DefaultLimits())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	w := &worker{c: c}
	outs, raw, took, err := w.call(ctx, wire.VerbRun, wire.RunJob{Inputs: job.Inputs}, in)
	if err != nil {
		return nil, err
	}
	if err := r.Item(wire.Outputs{Outputs: outs}); err != nil {
		return nil, err
	}
	if err := r.Data(raw); err != nil {
		return nil, err
	}
	return wire.RunDone{TotalNS: took.Nanoseconds()}, nil
}

func itoa(n int) string { return strconv.Itoa(n) }

func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) + " %" }
