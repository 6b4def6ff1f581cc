package agent

import (
	"context"
	"errors"
	"io"
	"time"

	"fettle/internal/fail"
	"fettle/internal/sandbox"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// maxInputs bounds the bytes of the tensors of one job.
const maxInputs = 1 << 30

// maxRuns bounds a measurement: launches times inferences.
const maxRuns = 1 << 20

// childJob is what a serving agent tells its child.
type childJob struct {
	Store    string           `json:"store"`
	Manifest *bundle.Manifest `json:"manifest"`
	Launch   int              `json:"launch"`
	Run      *wire.RunJob     `json:"run,omitempty"`
	Profile  *wire.ProfileJob `json:"profile,omitempty"`
}

// Files that a second agent on the same store finds locked.
const (
	lockDeployments = "lock"
	lockMeasure     = "measure.lock"
)

const (
	verbChildRun     = "child-run"
	verbChildProfile = "child-profile"
)

// manifest finds the model of a job.
func (a *Agent) manifest(s wire.Source) (*bundle.Manifest, error) {
	if s.Name != "" {
		return a.store.Active(s.Name)
	}
	m, err := a.store.Vouched(s.Manifest, bundle.Signature(s.Vouch))
	if err != nil {
		return nil, err
	}
	for i, c := range m.Chunks {
		if !a.store.chunks.Has(c.SHA256, c.Len) {
			return nil, fail.New(fail.NotFound, "chunk %d of the model is not on the board", i).Try("send it first")
		}
	}
	return m, nil
}

// tensors reads the input tensors that follow a request.
func tensors(r *wire.Request, in []wire.Input) ([]byte, error) {
	var n int64
	for _, t := range in {
		if t.Len < 0 || t.Len > maxInputs {
			return nil, fail.New(fail.TooBig, "input %.80q has %d bytes", t.Name, t.Len)
		}
		if n += t.Len; n > maxInputs {
			return nil, fail.New(fail.TooBig, "the inputs have more than %d bytes", int64(maxInputs))
		}
	}
	b, err := io.ReadAll(io.LimitReader(r, n+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != n {
		return nil, fail.New(fail.Corrupt, "the inputs have %d bytes, %d were announced", len(b), n)
	}
	return b, nil
}

// inChild starts a child, gives it the job, and hands each element of its answer to take.
func (a *Agent) inChild(ctx context.Context, verb string, job childJob, inputs []byte, memory int64, take func(wire.Type, []byte) error, result any) error {
	p, err := a.startChild(ctx, memory, job.limit())
	if err != nil {
		return err
	}
	defer p.release()
	err = a.talk(ctx, p.Process, verb, job, inputs, take, result)
	return a.explain(p, job.Manifest, err)
}

// explain says how a child died where that is the better reason than that nobody answers.
func (a *Agent) explain(p *started, m *bundle.Manifest, err error) error {
	if fail.Is(err, fail.Corrupt) && m != nil {
		_ = a.store.verify(m) // a child may not remove a chunk that the disk damaged; this does, so that it is sent again
	}
	if err == nil || !fail.Is(err, fail.Unreachable) && !fail.Is(err, fail.Corrupt) {
		return err
	}
	werr := p.died()
	if werr == nil && fail.Is(err, fail.Unreachable) {
		werr = fail.New(fail.Failed, "it ended without an answer: %s", fail.From(err).Why)
	}
	if werr != nil && !fail.Is(werr, fail.Cancelled) {
		return fail.In(werr, "", fail.Where{Field: "the process that ran the model"})
	}
	return err
}

// limit is how long a step of the job may take, 0: the usual limit.
func (j childJob) limit() time.Duration {
	switch {
	case j.Run != nil:
		return time.Duration(j.Run.StepNS)
	case j.Profile != nil:
		return time.Duration(j.Profile.StepNS)
	}
	return 0
}

func (a *Agent) talk(ctx context.Context, p *sandbox.Process, verb string, job childJob, inputs []byte, take func(wire.Type, []byte) error, result any) error {
	c, err := wire.NewClient(ctx, stdio{p.Stdout, p.Stdin}, wire.DefaultLimits())
	if err != nil {
		return err
	}
	defer c.Close()
	k, err := c.Call(ctx, verb, job)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := k.Send(inputs); err != nil {
		return err
	}
	if err := k.SendEnd(); err != nil {
		return err
	}
	for {
		t, b, err := k.Next()
		if errors.Is(err, io.EOF) {
			return k.Result(result)
		}
		if err == nil {
			err = take(t, b)
		}
		if err != nil {
			return err
		}
	}
}

func (a *Agent) run(ctx context.Context, r *wire.Request) (any, error) {
	var job wire.RunJob
	if err := r.Head(&job); err != nil {
		return nil, err
	}
	in, err := tensors(r, job.Inputs)
	if err != nil {
		return nil, err
	}
	if job.Service {
		return a.callService(ctx, r, job, in)
	}
	m, err := a.manifest(job.Source)
	if err != nil {
		return nil, err
	}
	if l, err := a.leases.look(); err == nil && l.Held && !a.leases.mine(l.Epoch) {
		return nil, a.leases.busy() // it would spoil what the other measures
	}
	var done wire.RunDone
	err = a.inChild(ctx, verbChildRun, childJob{Store: a.dir, Manifest: m, Run: &job}, in, job.Memory, r.Forward, &done)
	return done, err
}
