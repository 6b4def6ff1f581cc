package deploy

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"maps"
	"slices"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/profiler/trace"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// Source is the model of a job: one that is deployed, or a bundle that travels as a deployment does but changes none.
type Source struct {
	name   string
	bundle *bundle.Bundle
}

// Deployed is the active version of a name.
func Deployed(name string) Source { return Source{name: name} }

// FromBundle is a model that need not be deployed.
func FromBundle(b *bundle.Bundle) Source { return Source{name: b.Name, bundle: b} }

// bring makes sure that the board has the source.
func (c *Conn) bring(ctx context.Context, s Source) (wire.Source, error) {
	if s.bundle == nil {
		return wire.Source{Name: s.name}, nil
	}
	signed, err := c.signed(s.bundle)
	if err != nil {
		return wire.Source{}, err
	}
	if _, err := c.send(ctx, s.bundle, signed, nil); err != nil {
		return wire.Source{}, err
	}
	return wire.Source{Manifest: signed.Manifest, Vouch: signed.Vouch}, nil
}

// How says how a model runs. The zero value is the first runtime with one thread.
type How struct {
	Runtime   string           // "" is Fettle's own
	Threads   int              // 0 is 1
	ISA       string           // poorer instruction set to use, "" is the best
	Shapes    map[string][]int // of inputs with open dimensions
	Memory    int64            // bytes that the process of the model may hold, 0: no limit
	Pack      string           // auto, small or fast: what packed weights may need; "" is auto
	Precision string           // exact or fast; "" is exact
	Fresh     bool             // neither use nor keep a prepared plan
	Service   bool             // the running service of the deployment answers; the rest says nothing then
	Step      time.Duration    // longest time of one step before the model counts as stuck, 0: two minutes
}

// Inference is what Run gives.
type Inference struct {
	Outputs map[string]*model.Tensor
	TotalNS int64
	LoadNS  int64
}

// Run makes one inference. Without inputs the agent makes random ones: a check that the deployment works.
func (c *Conn) Run(ctx context.Context, s Source, how How, inputs map[string]*model.Tensor) (*Inference, error) {
	out, err := c.run(ctx, s, how, inputs)
	if err != nil {
		return nil, c.because(err, "run "+s.name)
	}
	return out, nil
}

func (c *Conn) run(ctx context.Context, s Source, how How, inputs map[string]*model.Tensor) (*Inference, error) {
	src, err := c.bring(ctx, s)
	if err != nil {
		return nil, err
	}
	heads, data := encode(inputs)
	k, err := c.link().Call(ctx, wire.VerbRun, wire.RunJob{Source: src, Runtime: how.Runtime, Threads: how.Threads, ISA: how.ISA, Shapes: how.Shapes, Inputs: heads, Memory: how.Memory, Pack: how.Pack, Precision: how.Precision, Fresh: how.Fresh, Service: how.Service, StepNS: how.Step.Nanoseconds()})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	if err := feed(k, data); err != nil {
		return nil, err
	}
	var outs wire.Outputs
	var raw []byte
	for {
		t, b, err := k.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if t == wire.TypeData {
			raw = append(raw, b...)
		} else if err := json.Unmarshal(b, &outs); err != nil {
			return nil, fail.New(fail.Corrupt, "the agent's list of outputs cannot be read")
		}
	}
	var done wire.RunDone
	if err := k.Result(&done); err != nil {
		return nil, err
	}
	r := &Inference{Outputs: map[string]*model.Tensor{}, TotalNS: done.TotalNS, LoadNS: done.LoadNS}
	for _, o := range outs.Outputs {
		if o.Len < 0 || o.Len > int64(len(raw)) {
			return nil, fail.New(fail.Corrupt, "output %.80q is cut", o.Name)
		}
		t, _, err := onnx.ReadTensor(raw[:o.Len])
		if err != nil {
			return nil, fail.In(err, "", fail.Where{Tensor: o.Name})
		}
		r.Outputs[o.Name], raw = t, raw[o.Len:]
	}
	return r, nil
}

func encode(inputs map[string]*model.Tensor) ([]wire.Input, []byte) {
	var heads []wire.Input
	var data []byte
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		b := onnx.WriteTensor(name, inputs[name])
		heads = append(heads, wire.Input{Name: name, Len: int64(len(b))})
		data = append(data, b...)
	}
	return heads, data
}

func feed(k *wire.Call, data []byte) error {
	if err := k.Send(data); err != nil {
		return err
	}
	return k.SendEnd()
}

// ProfileOptions say what to measure.
type ProfileOptions struct {
	How
	Inputs   map[string]*model.Tensor // nil: random ones of Seed
	Seed     uint64
	Launches int  // processes started one after the other: the unit of replication
	Runs     int  // clean inferences of each launch, and as many instrumented ones
	Warmup   int  // 0: until the times are steady
	Count    bool // count cycles, misses and energy at the end of each launch
	Again    int  // how often launches are measured again during which the machine changed; 0: never

	Cooling time.Duration    // how long a board that throttles may take to cool before that, 0: a minute
	Waiting func(why string) // hears that it has to cool first; may be nil
}

// NewProfileOptions are 3 launches of 20 runs.
func NewProfileOptions() ProfileOptions {
	return ProfileOptions{Seed: 1, Launches: 3, Runs: 20}
}

// Sample is one inference as it arrives. Kind is wire.KindWarmup, KindClean or KindLayers.
type Sample struct {
	wire.Sample
	Done, Total int // clean and instrumented inferences so far, and in all
}

func (c *Conn) profile(ctx context.Context, s Source, o ProfileOptions, live func(Sample)) (*trace.Trace, error) {
	facts, err := c.Facts(ctx)
	if fail.Is(err, fail.Unreachable) && c.again != nil && ctx.Err() == nil {
		// it was cut after the last call: nothing is lost yet
		if c.reconnect(ctx, 0) == nil {
			facts, err = c.Facts(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	src, err := c.bring(ctx, s)
	if err != nil {
		return nil, err
	}
	model, err := c.identify(ctx, s)
	if err != nil {
		return nil, err
	}
	heads, data := encode(o.Inputs)
	job := wire.ProfileJob{ID: newID(), Lease: c.epoch(), Holder: Holder(), Source: src, Runtime: o.Runtime, Threads: o.Threads, ISA: o.ISA, Shapes: o.Shapes,
		Inputs: heads, Seed: o.Seed, Launches: o.Launches, Runs: o.Runs, Warmup: o.Warmup, Memory: o.Memory, Pack: o.Pack, Precision: o.Precision, Fresh: o.Fresh, StepNS: o.Step.Nanoseconds(), Count: o.Count}
	begin := time.Now()
	m := &measurement{col: newCollector(c.name, model, facts, o), sum: sha256.New(), live: live}
	err = c.because(m.start(ctx, c.now().wire, job, data), "")
	for tries := 0; err != nil && m.begun && fail.Is(err, fail.Unreachable) && c.again != nil && c.now().hello.Protocol >= 2 && ctx.Err() == nil && tries < len(backoff); tries++ {
		// the measurement goes on without us: come back for the rest of the same one
		before := m.col.seq
		if rerr := c.reconnect(ctx, backoff[max(tries, 0)]); rerr != nil {
			if ctx.Err() != nil || !fail.Is(rerr, fail.Unreachable) {
				break
			}
			continue
		}
		if err = c.because(m.attach(ctx, c.now().wire, job.ID), ""); m.col.seq > before {
			tries = -1 // it got on: another cut is a new one
		}
	}
	if err != nil {
		if m.begun && !fail.Is(err, fail.Unreachable) && ctx.Err() == nil {
			c.forget(ctx, job.ID)
		}
		if ctx.Err() == nil || fail.Is(err, fail.Unreachable) {
			err = interrupted(err, m.col)
		}
		return m.col.trace(), err
	}
	if m.done.Events != m.col.seq || m.done.SHA256 != hex.EncodeToString(m.sum.Sum(nil)) {
		return m.col.trace(), fail.New(fail.Corrupt, "the end mark says %d events, %d arrived, or their digest differs", m.done.Events, m.col.seq).Try("measure again")
	}
	c.forget(ctx, job.ID)
	if err := m.col.whole(time.Since(begin)); err != nil {
		return m.col.trace(), err
	}
	c.asked(m.done.Asked)
	tr := m.col.trace()
	tr.Close()
	return tr, nil
}

// forget lets the board drop what arrived.
func (c *Conn) forget(ctx context.Context, id string) {
	if c.now().hello.Protocol >= 2 {
		_ = c.link().Do(ctx, wire.VerbAttach, wire.Attach{ID: id, From: -1}, nil) // else it is swept later
	}
}

// backoff is how long to wait before each try to come back to a board; the agent keeps a measurement going for two minutes.
var backoff = []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second}

// measurement is one run, over as many connections as it takes.
type measurement struct {
	col   *collector
	sum   hash.Hash
	live  func(Sample)
	begun bool // the board has all it needs
	done  wire.ProfileDone
}

func (m *measurement) start(ctx context.Context, w *wire.Client, job wire.ProfileJob, data []byte) error {
	k, err := w.Call(ctx, wire.VerbProfile, job)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := feed(k, data); err != nil {
		return err
	}
	m.begun = true
	return m.follow(k)
}

func (m *measurement) attach(ctx context.Context, w *wire.Client, id string) error {
	k, err := w.Call(ctx, wire.VerbAttach, wire.Attach{ID: id, From: m.col.seq})
	if err != nil {
		return err
	}
	defer k.Close()
	if err := k.SendEnd(); err != nil {
		return err
	}
	return m.follow(k)
}

// follow takes events until the end.
func (m *measurement) follow(k *wire.Call) error {
	for {
		t, b, err := k.Next()
		if errors.Is(err, io.EOF) {
			return k.Result(&m.done)
		}
		if err == nil && t != wire.TypeItem {
			err = fail.New(fail.Corrupt, "the agent sent raw bytes in a measurement")
		}
		if err != nil {
			return err
		}
		sample, err := m.col.take(b)
		if err != nil {
			return err
		}
		m.sum.Write(b)
		if sample != nil && m.live != nil {
			m.live(*sample)
		}
	}
}

// reconnect replaces a connection that was cut.
func (c *Conn) reconnect(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return fail.From(ctx.Err())
	case <-time.After(wait):
	}
	old := c.now()
	_ = old.close() // it is cut
	s, err := c.again(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.session = s
	c.mu.Unlock()
	return nil
}

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// identify names what will run.
func (c *Conn) identify(ctx context.Context, s Source) (trace.Model, error) {
	if s.bundle != nil {
		return trace.Model{SHA256: string(s.bundle.SHA256), Name: s.name}, nil
	}
	all, err := c.List(ctx)
	if err != nil {
		return trace.Model{}, err
	}
	for _, d := range all {
		if d.Name == s.name {
			return trace.Model{SHA256: d.SHA256, Name: d.Name}, nil
		}
	}
	return trace.Model{}, fail.New(fail.NotFound, "no deployment is named %s", s.name).Try("see fettle deployments")
}

// interrupted says how far a measurement came.
func interrupted(err error, col *collector) error {
	e := fail.From(err)
	if e.Kind != fail.Unreachable && e.Kind != fail.Corrupt && e.Kind != fail.Failed {
		return err
	}
	c := *e
	c.Why = e.Why + ": the run is interrupted after " + col.reached()
	return &c
}
