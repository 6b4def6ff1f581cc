package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/internal/sandbox"
	"fettle/internal/task"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// A measurement runs in a process of its own that writes its events into a file. The serving agent reads the file and
// sends it on; when a connection is cut, the measurement goes on, and the desk comes back for the rest.
//
//	jobs/<id>/job.json   what to do
//	jobs/<id>/inputs     tensors
//	jobs/<id>/events     one event a line; the last line starts with a word: done or fail
//	jobs/<id>/alive      locked while the measurement runs
//	jobs/<id>/reader     its time is that of the last look of a serving agent
//	jobs/<id>/stop       asks it to stop
type jobFile struct {
	Job      wire.ProfileJob  `json:"job"`
	Manifest *bundle.Manifest `json:"manifest"`
	Epoch    int64            `json:"epoch"`
}

const (
	doneMark = "done "
	failMark = "fail "
)

// patience is how long a measurement goes on with nobody there to read it.
const patience = 2 * time.Minute

// keepJobs is how long a measurement that is over waits for its desk.
const keepJobs = time.Hour

func (a *Agent) jobDir(id string) string { return filepath.Join(a.dir, "jobs", id) }

// profile starts a measurement and sends what it says.
func (a *Agent) profile(ctx context.Context, r *wire.Request) (any, error) {
	var job wire.ProfileJob
	if err := r.Head(&job); err != nil {
		return nil, err
	}
	if job.Launches < 1 || job.Runs < 1 || job.Warmup < 0 || job.Launches > maxRuns || job.Runs > maxRuns || job.Warmup > maxRuns || job.Launches*job.Runs > maxRuns {
		return nil, fail.New(fail.Usage, "%d launches of %d runs after %d cannot be measured", job.Launches, job.Runs, job.Warmup).Try("use at least 1 of each and at most %d runs in all", maxRuns)
	}
	m, err := a.manifest(job.Source)
	if err != nil {
		return nil, err
	}
	in, err := tensors(r, job.Inputs)
	if err != nil {
		return nil, err
	}
	if job.ID == "" {
		job.ID = newID()
	}
	if err := bundle.CheckName(job.ID); err != nil {
		return nil, fail.New(fail.Usage, "%.80q cannot name a measurement", job.ID)
	}
	a.sweepJobs()
	lock, epoch, err := a.leases.use(job.Lease, job.Holder)
	if err != nil {
		return nil, err
	}
	err = a.startJob(jobFile{job, m, epoch}, in, lock)
	lock.Close() // the measurement has it now, and it alone
	if err != nil {
		return nil, err
	}
	return a.follow(ctx, r, job.ID, 0)
}

// startJob writes down what to do and starts the process that does it. lock is the right to measure: the process has it
// until it ends.
func (a *Agent) startJob(j jobFile, in []byte, lock *os.File) (err error) {
	dir := a.jobDir(j.Job.ID)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return cas.Explain(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fail.New(fail.Usage, "a measurement %s was started already", j.Job.ID).Try("attach to it")
		}
		return cas.Explain(err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir) // swept later if it stays
		}
	}()
	raw, err := json.Marshal(j)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	for name, b := range map[string][]byte{"job.json": raw, "inputs": in, "events": nil, "reader": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return cas.Explain(err)
		}
	}
	alive, err := claim(filepath.Join(dir, "alive"))
	if err != nil {
		return err
	}
	defer alive.Close()
	said, err := os.OpenFile(filepath.Join(dir, "stderr"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return cas.Explain(err)
	}
	defer said.Close()
	args := append(append([]string(nil), a.cfg.Self[1:]...), "job", "--store", a.dir, "--id", j.Job.ID)
	p, err := sandbox.Detach(sandbox.Spec{Path: a.cfg.Self[0], Args: args}, said, alive, lock)
	if err != nil {
		return err
	}
	g := task.NewGroup(context.Background()) // nobody waits: it may outlive this agent
	g.Go("reap", func(context.Context) error { p.Wait(); return nil })
	return nil
}

// attach goes on sending a measurement, or forgets one that has arrived.
func (a *Agent) attach(ctx context.Context, r *wire.Request) (any, error) {
	var q wire.Attach
	if err := r.Head(&q); err != nil {
		return nil, err
	}
	if err := bundle.CheckName(q.ID); err != nil {
		return nil, err
	}
	if q.From < 0 {
		return nil, cas.Explain(os.RemoveAll(a.jobDir(q.ID)))
	}
	return a.follow(ctx, r, q.ID, q.From)
}

// follow sends the events of a measurement from one on, as they are written, and then its end.
func (a *Agent) follow(ctx context.Context, r *wire.Request, id string, from int64) (any, error) {
	dir := a.jobDir(id)
	f, err := os.Open(filepath.Join(dir, "events"))
	if err != nil {
		return nil, fail.New(fail.NotFound, "there is no measurement %s on the board", id).Try("measure again")
	}
	defer f.Close()
	var rest []byte
	buf := make([]byte, 64<<10)
	pause, seen, seq := 2*time.Millisecond, time.Time{}, int64(0)
	for ended := false; ; {
		if time.Since(seen) > time.Second {
			seen = time.Now()
			_ = os.Chtimes(filepath.Join(dir, "reader"), seen, seen) // a measurement without readers ends
			a.leases.touch()
		}
		n, err := f.Read(buf)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, cas.Explain(err)
		}
		rest = append(rest, buf[:n]...)
		for {
			line, after, ok := bytes.Cut(rest, []byte{'\n'})
			if !ok {
				break
			}
			if word, text := cutMark(line); word != "" {
				a.gone(ctx, dir, 2*time.Second)
				return a.ended(word, text)
			}
			if seq >= from {
				if err := r.Forward(wire.TypeItem, line); err != nil {
					return nil, a.left(ctx, r, dir, err)
				}
			}
			seq++
			rest = append(rest[:0:0], after...)
		}
		if n > 0 {
			pause = 2 * time.Millisecond
			continue
		}
		if ended {
			said, _ := os.ReadFile(filepath.Join(dir, "stderr")) // absent is as good as silent
			what := "the process that measured is gone"
			if line := firstLine(said); line != "" {
				what += ": " + line
			}
			return nil, fail.New(fail.Failed, "%s", what).Try("measure again; if it stays so, please report it")
		}
		if lock, err := claim(filepath.Join(dir, "alive")); err == nil {
			lock.Close()
			ended = true // its last words may have been written since
			continue
		}
		select {
		case <-r.Done():
			return nil, a.left(ctx, r, dir, fail.From(ctx.Err()))
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte{'\n'})
	return string(line[:min(len(line), 300)])
}

// left stops a measurement that the desk called off. One whose connection was cut goes on: the desk may come back.
func (a *Agent) left(_ context.Context, r *wire.Request, dir string, err error) error {
	if r.CalledOff() {
		_ = os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600)
	}
	return err
}

func cutMark(line []byte) (word string, text []byte) {
	for _, w := range []string{doneMark, failMark} {
		if t, ok := bytes.CutPrefix(line, []byte(w)); ok {
			return w, t
		}
	}
	return "", nil
}

// ended is what a measurement said last.
func (a *Agent) ended(word string, text []byte) (any, error) {
	if word == failMark {
		return nil, wire.DecodeError(text)
	}
	var done wire.ProfileDone
	if err := json.Unmarshal(text, &done); err != nil {
		return nil, fail.New(fail.Corrupt, "the end of a measurement cannot be read").Try("measure again")
	}
	if l, err := a.leases.look(); err == nil {
		done.Asked = l.Asked
	}
	return done, nil
}

// measure is the process of a measurement.
func (a *Agent) measure(ctx context.Context, id string) error {
	if err := bundle.CheckName(id); err != nil {
		return err
	}
	dir := a.jobDir(id)
	raw, err := os.ReadFile(filepath.Join(dir, "job.json"))
	if err != nil {
		return cas.Explain(err)
	}
	var j jobFile
	if err := json.Unmarshal(raw, &j); err != nil {
		return fail.New(fail.Corrupt, "the measurement %s cannot be read", id)
	}
	in, err := os.ReadFile(filepath.Join(dir, "inputs"))
	if err != nil {
		return cas.Explain(err)
	}
	out, err := os.OpenFile(filepath.Join(dir, "events"), os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return cas.Explain(err)
	}
	defer out.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	g := task.NewGroup(ctx)
	g.Go("watch", func(ctx context.Context) error { a.watch(ctx, dir, j.Epoch, stop); return nil })
	done, err := a.launches(ctx, j, in, out)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	g.Cancel()
	_ = g.Wait() // watching has no errors
	var last []byte
	if err != nil {
		last = append([]byte(failMark), wire.EncodeError(err)...)
	} else {
		text, jerr := json.Marshal(done)
		if jerr != nil {
			return fail.New(fail.Internal, "%v", jerr)
		}
		last = append([]byte(doneMark), text...)
	}
	_, err = out.Write(append(last, '\n'))
	return cas.Explain(err)
}

// watch stops a measurement that was called off, lost its lease, or has had no reader for long.
func (a *Agent) watch(ctx context.Context, dir string, epoch int64, stop context.CancelCauseFunc) {
	t := time.NewTicker(leaseWatch)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		_, err := os.Stat(filepath.Join(dir, "stop"))
		st, rerr := os.Stat(filepath.Join(dir, "reader"))
		switch {
		case err == nil:
			stop(fail.New(fail.Cancelled, "stopped on request"))
		case a.leases.over(epoch):
			stop(a.leases.stale(epoch))
		case rerr != nil, time.Since(st.ModTime()).Abs() > patience:
			stop(fail.New(fail.Unreachable, "nobody asked for the measurement for %v", patience))
		}
	}
}

// launches measures one launch after the other and writes each event down as a line.
func (a *Agent) launches(ctx context.Context, j jobFile, in []byte, out io.Writer) (wire.ProfileDone, error) {
	sum := sha256.New()
	var seq int64
	for i := range j.Job.Launches {
		err := a.inChild(ctx, verbChildProfile, childJob{Store: a.dir, Manifest: j.Manifest, Launch: i, Profile: &j.Job}, in, j.Job.Memory, func(t wire.Type, b []byte) error {
			var e wire.Event
			if err := json.Unmarshal(b, &e); err != nil || t != wire.TypeItem {
				return fail.New(fail.Internal, "the child sent what is no event")
			}
			e.Seq = seq
			seq++
			text, err := json.Marshal(e)
			if err != nil {
				return fail.New(fail.Internal, "%v", err)
			}
			sum.Write(text)
			_, err = out.Write(append(text, '\n'))
			return cas.Explain(err)
		}, nil)
		if err != nil {
			return wire.ProfileDone{}, err
		}
	}
	return wire.ProfileDone{Events: seq, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// sweepJobs removes measurements that are over and that nobody came back for.
func (a *Agent) sweepJobs() {
	entries, err := os.ReadDir(filepath.Join(a.dir, "jobs"))
	if err != nil {
		return // there are none
	}
	for _, e := range entries {
		dir := filepath.Join(a.dir, "jobs", e.Name())
		st, err := e.Info()
		if err != nil || time.Since(st.ModTime()).Abs() < keepJobs {
			continue
		}
		if lock, err := claim(filepath.Join(dir, "alive")); err == nil {
			lock.Close()
			_ = os.RemoveAll(dir) // again next time
		}
	}
}

// stopJobs ends the measurements of all desks, before the store goes away.
func (a *Agent) stopJobs(ctx context.Context) {
	entries, err := os.ReadDir(filepath.Join(a.dir, "jobs"))
	if err != nil {
		return // there are none
	}
	for _, e := range entries {
		dir := filepath.Join(a.dir, "jobs", e.Name())
		_ = os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600)
		a.gone(ctx, dir, yieldWithin)
	}
}

// gone waits until the process of a measurement has ended, and with it its right to measure.
func (a *Agent) gone(ctx context.Context, dir string, limit time.Duration) {
	for end := time.Now().Add(limit); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(3 * time.Millisecond) {
		if lock, err := claim(filepath.Join(dir, "alive")); err == nil {
			lock.Close()
			return
		}
	}
}

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}
