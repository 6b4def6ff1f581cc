package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
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
	if _, err := c.send(ctx, s.bundle, nil); err != nil {
		return wire.Source{}, err
	}
	raw, _, err := s.bundle.Encode()
	return wire.Source{Manifest: raw}, err
}

// How says how a model runs. The zero value is the first runtime with one thread.
type How struct {
	Runtime string           // "" is Fettle's own
	Threads int              // 0 is 1
	ISA     string           // poorer instruction set to use, "" is the best
	Shapes  map[string][]int // of inputs with open dimensions
	Memory  int64            // bytes that the process of the model may hold, 0: no limit
	Pack    string           // auto, small or fast: what packed weights may need; "" is auto
	Fresh   bool             // neither use nor keep a prepared plan
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
	k, err := c.wire.Call(ctx, wire.VerbRun, wire.RunJob{Source: src, Runtime: how.Runtime, Threads: how.Threads, ISA: how.ISA, Shapes: how.Shapes, Inputs: heads, Memory: how.Memory, Pack: how.Pack, Fresh: how.Fresh})
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
	Launches int // processes started one after the other: the unit of replication
	Runs     int // clean inferences of each launch, and as many instrumented ones
	Warmup   int // 0: until the times are steady
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

// Profile measures a model layer by layer. live sees each sample as it arrives and must return soon; it may be nil.
//
// A run is complete only when every sample of every launch came in order, with the end mark and the digest of all. A
// cut one gives an error and the trace of what arrived, without its end mark: an interrupted run, never a short one.
func (c *Conn) Profile(ctx context.Context, s Source, o ProfileOptions, live func(Sample)) (*trace.Trace, error) {
	t, err := c.profile(ctx, s, o, live)
	if err != nil {
		return t, c.because(err, "profile "+s.name)
	}
	return t, nil
}

func (c *Conn) profile(ctx context.Context, s Source, o ProfileOptions, live func(Sample)) (*trace.Trace, error) {
	facts, err := c.Facts(ctx)
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
	begin := time.Now()
	k, err := c.wire.Call(ctx, wire.VerbProfile, wire.ProfileJob{Source: src, Runtime: o.Runtime, Threads: o.Threads, ISA: o.ISA, Shapes: o.Shapes,
		Inputs: heads, Seed: o.Seed, Launches: o.Launches, Runs: o.Runs, Warmup: o.Warmup, Memory: o.Memory, Pack: o.Pack, Fresh: o.Fresh})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	col := newCollector(c.name, model, facts, o)
	if err := feed(k, data); err != nil {
		return col.trace(), err
	}
	sum := sha256.New()
	for {
		t, b, err := k.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && t != wire.TypeItem {
			err = fail.New(fail.Corrupt, "the agent sent raw bytes in a measurement")
		}
		var sample *Sample
		if err == nil {
			sum.Write(b)
			sample, err = col.take(b)
		}
		if err != nil {
			return col.trace(), interrupted(c.because(err, ""), col)
		}
		if sample != nil && live != nil {
			live(*sample)
		}
	}
	var done wire.ProfileDone
	if err := k.Result(&done); err != nil {
		return col.trace(), err
	}
	if done.Events != col.seq || done.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
		return col.trace(), fail.New(fail.Corrupt, "the end mark says %d events, %d arrived, or their digest differs", done.Events, col.seq).Try("measure again")
	}
	if err := col.whole(time.Since(begin)); err != nil {
		return col.trace(), err
	}
	tr := col.trace()
	tr.Close()
	return tr, nil
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
	if e.Kind != fail.Unreachable && e.Kind != fail.Corrupt {
		return err
	}
	c := *e
	c.Why = e.Why + ": the run is interrupted after " + col.reached()
	return &c
}
