package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"fettle/internal/fail"
	"fettle/internal/sandbox"
	"fettle/internal/task"
)

// Limits of a child. A step that takes longer than stepLimit is taken for an endless loop, a model that is not ready after
// loadLimit too.
const (
	stepLimit = 2 * time.Minute
	loadLimit = 15 * time.Minute
)

// started is a child with the page that says where it is.
type started struct {
	*sandbox.Process
	mark  *mark
	limit time.Duration
	stuck atomic.Pointer[fail.Error] // why it was killed
	group *task.Group
	once  sync.Once
}

// startChild starts this program as a child that runs one model, and watches it. limit bounds one step, 0: stepLimit.
func (a *Agent) startChild(ctx context.Context, memory int64, limit time.Duration) (*started, error) {
	m, err := newMark(a.dir)
	if err != nil {
		return nil, err
	}
	spec := sandbox.Spec{Path: a.cfg.Self[0], Args: append(append([]string(nil), a.cfg.Self[1:]...), "child", "--store", a.dir), Memory: memory}
	if m != nil {
		spec.Args, spec.Files = append(spec.Args, "--mark"), append(spec.Files, m.file)
	}
	p, err := sandbox.Start(ctx, spec)
	if err != nil {
		if m != nil {
			m.close()
		}
		return nil, err
	}
	if limit <= 0 {
		limit = stepLimit
	}
	s := &started{Process: p, mark: m, limit: limit, group: task.NewGroup(context.Background())} // release ends it
	if m != nil {
		s.group.Go("watch a child", func(ctx context.Context) error { s.watch(ctx); return nil })
	}
	return s, nil
}

// watch kills a child that does not get on.
func (s *started) watch(ctx context.Context) {
	t := time.NewTicker(s.limit / 8)
	defer t.Stop()
	last, since := s.mark.now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := s.mark.now()
		if now != last || now[1] == phaseIdle {
			last, since = now, time.Now()
			continue
		}
		limit := s.limit
		if now[1] == phaseLoad {
			limit = max(limit, loadLimit)
		}
		if time.Since(since) > limit {
			where, what := s.mark.where()
			s.stuck.Store(fail.New(fail.Failed, "it did not get on for %v %s and was stopped", limit.Round(time.Millisecond), what).At(where).Doing("run the model").
				Try("leave the node out or write it otherwise; an endless loop of the same model again is a bug, please report it"))
			s.Kill()
			return
		}
	}
}

// died says how the child ended and in which node; nil where it ended well. It waits for its end.
func (s *started) died() error {
	late := time.AfterFunc(2*time.Second, s.Kill) // one that hangs does not end by itself
	defer late.Stop()
	err := s.Wait()
	if e := s.stuck.Load(); e != nil {
		return e
	}
	if err == nil || fail.Is(err, fail.Cancelled) || s.mark == nil {
		return err
	}
	e := fail.From(err)
	where, what := s.mark.where()
	if e.Fix == "" {
		e = e.Try("leave the node out, or try a smaller batch; a crash of the same model again is a bug, please report it")
	}
	return fail.New(e.Kind, "%s, %s", e.Why, what).At(where).Doing("%s", e.What).Try("%s", e.Fix)
}

// release ends the child and forgets its page.
func (s *started) release() {
	s.Kill()
	_ = s.Wait() // it was asked to end
	s.once.Do(func() {
		s.group.Cancel()
		_ = s.group.Wait() // a watcher has no errors
		if s.mark != nil {
			s.mark.close()
		}
	})
}
