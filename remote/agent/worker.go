package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// worker is a child that keeps a model loaded and answers one inference after the other.
type worker struct {
	a *Agent
	m *bundle.Manifest
	p *started
	c *wire.Client
}

// openWorker starts a child for a model, in the way that its health rule says.
func (a *Agent) openWorker(ctx context.Context, m *bundle.Manifest) (*worker, error) {
	job := wire.RunJob{}
	if m.Health != nil {
		job.Threads, job.Shapes = m.Health.Threads, m.Health.Shapes
	}
	p, err := a.startChild(ctx, 0, 0)
	if err != nil {
		return nil, err
	}
	w := &worker{a: a, m: m, p: p}
	if w.c, err = wire.NewClient(ctx, stdio{p.Stdout, p.Stdin}, wire.DefaultLimits()); err == nil {
		err = w.c.Do(ctx, verbChildOpen, childJob{Store: a.dir, Manifest: m, Run: &job}, nil)
	}
	if err != nil {
		return nil, w.died(err)
	}
	return w, nil
}

// died says how the child ended where that is the better reason, and takes it away.
func (w *worker) died(err error) error {
	err = w.a.explain(w.p, w.m, err)
	w.close()
	return err
}

func (w *worker) close() {
	if w.c != nil {
		_ = w.c.Close() // it is told to end
	}
	w.p.release()
}

// infer runs one inference and gives the outputs and how long it took.
func (w *worker) infer(ctx context.Context, in []wire.Input, data []byte) ([]wire.Input, []byte, time.Duration, error) {
	return w.call(ctx, verbChildInfer, in, data)
}

func (w *worker) call(ctx context.Context, verb string, head any, data []byte) ([]wire.Input, []byte, time.Duration, error) {
	k, err := w.c.Call(ctx, verb, head)
	if err != nil {
		return nil, nil, 0, err
	}
	defer k.Close()
	if err := k.Send(data); err != nil {
		return nil, nil, 0, err
	}
	if err := k.SendEnd(); err != nil {
		return nil, nil, 0, err
	}
	var outs wire.Outputs
	var raw []byte
	for {
		t, b, err := k.Next()
		switch {
		case errors.Is(err, io.EOF):
			var done wire.RunDone
			if err := k.Result(&done); err != nil {
				return nil, nil, 0, err
			}
			return outs.Outputs, raw, time.Duration(done.TotalNS), nil
		case err != nil:
			return nil, nil, 0, err
		case t == wire.TypeData:
			raw = append(raw, b...)
		default:
			if err := json.Unmarshal(b, &outs); err != nil {
				return nil, nil, 0, fail.New(fail.Internal, "the child's list of outputs cannot be read")
			}
		}
	}
}

// tensorsOf decodes outputs by name.
func tensorsOf(heads []wire.Input, raw []byte) (map[string]*model.Tensor, error) {
	out := map[string]*model.Tensor{}
	for _, h := range heads {
		if h.Len < 0 || h.Len > int64(len(raw)) {
			return nil, fail.New(fail.Corrupt, "tensor %.80q is cut", h.Name)
		}
		t, _, err := onnx.ReadTensor(raw[:h.Len])
		if err != nil {
			return nil, fail.In(err, "", fail.Where{Tensor: h.Name})
		}
		out[h.Name], raw = t, raw[h.Len:]
	}
	return out, nil
}

// What a child that stays answers.
const (
	verbChildOpen  = "child-open"
	verbChildInfer = "child-infer"
)

func (c *child) open(ctx context.Context, job childJob) error {
	p, err := c.prepare(ctx, job, choice{job.Run.Runtime, job.Run.Threads, job.Run.ISA, job.Run.Shapes, job.Run.Pack, job.Run.Precision, job.Run.Fresh, job.Run.Memory})
	if err == nil {
		c.kept = p
		slim()
	}
	return err
}

func (c *child) infer(ctx context.Context, r *wire.Request) (any, error) {
	var in []wire.Input
	if err := r.Head(&in); err != nil {
		return nil, err
	}
	if c.kept == nil {
		return nil, fail.New(fail.Usage, "the child has no model yet")
	}
	raw, err := tensors(r, in)
	if err != nil {
		return nil, err
	}
	if err := c.kept.feed(in, raw, 1); err != nil {
		return nil, err
	}
	return c.answer(ctx, r, c.kept)
}

// answer makes one inference and sends its outputs.
func (c *child) answer(ctx context.Context, r *wire.Request, p *prepared) (any, error) {
	start := time.Now()
	if err := c.exec(ctx, p, nil); err != nil {
		return nil, err
	}
	total := time.Since(start).Nanoseconds()
	var head wire.Outputs
	var all []byte
	outs := p.Outputs()
	for i, t := range p.Result() {
		b, err := encoded(outs[i].Name, t)
		if err != nil {
			return nil, err
		}
		head.Outputs = append(head.Outputs, wire.Input{Name: outs[i].Name, Len: int64(len(b))})
		all = append(all, b...)
	}
	if err := r.Item(head); err != nil {
		return nil, err
	}
	if err := r.Data(all); err != nil {
		return nil, err
	}
	return wire.RunDone{TotalNS: total, LoadNS: p.loadNS}, nil
}
