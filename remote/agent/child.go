package agent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/internal/mapped"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/profiler/trace"
	"fettle/remote/board"
	"fettle/remote/wire"
	"fettle/runtimes"
)

// child runs one model.
type child struct {
	cfg  Config
	mark *mark     // where the agent sees how far it is; nil: nobody watches
	kept *prepared // of a child that stays
	runs int
}

// exec is one inference. The first goes step by step, so that a death has a place; the others run as fast as they can.
func (c *child) exec(ctx context.Context, p *prepared, ns []int64) error {
	if c.mark == nil {
		return p.Exec(ctx, ns)
	}
	marker, ok := p.Session.(runtimes.Marker)
	switch {
	case c.runs > 0 || !ok:
		c.mark.enter(phaseRun)
	default:
		c.mark.setSteps(p.Steps())
		c.mark.enter(phaseStep)
		marker.Mark(c.mark.word(0))
		defer marker.Mark(nil)
	}
	err := p.Exec(ctx, ns)
	c.runs++
	c.mark.enter(phaseIdle)
	return err
}

func (c *child) handle(ctx context.Context, r *wire.Request) (any, error) {
	if r.Verb == verbChildInfer {
		return c.infer(ctx, r)
	}
	var job childJob
	if err := r.Head(&job); err != nil {
		return nil, err
	}
	switch {
	case r.Verb == verbChildOpen && job.Run != nil:
		return nil, c.open(ctx, job)
	case r.Verb == verbChildRun && job.Run != nil:
		return c.run(ctx, r, job)
	case r.Verb == verbChildProfile && job.Profile != nil:
		return nil, c.profile(ctx, r, job)
	}
	return nil, fail.New(fail.Usage, "a child does not know %.40q", r.Verb)
}

// loadGC collects while a model is loaded where the heap has grown by a megabyte, not by four: what the heap once had in use is spread over
// so many places that much of it stays.
const loadGC = 25

// slim gives back what only loading needed, before the weights come in: garbage, and pages of the program. A small board
// has little more memory than a model takes.
func slim() {
	debug.FreeOSMemory()
	mapped.ForgetProgram()
}

// prepared is a model ready to run.
type prepared struct {
	runtimes.Session
	facts  runtimes.Facts
	loadNS int64
}

type choice struct {
	name      string
	threads   int
	isa       string
	shapes    map[string][]int
	pack      string
	precision string
	fresh     bool
	memory    int64 // that this process may hold, 0: any
}

func (c *child) prepare(ctx context.Context, job childJob, ch choice) (*prepared, error) {
	start := time.Now()
	runtime.GOMAXPROCS(min(runtime.NumCPU(), max(1, ch.threads)+1)) // each takes memory: the workers, and one for who listens
	defer debug.SetGCPercent(debug.SetGCPercent(loadGC))
	if err := job.Manifest.Check(); err != nil {
		return nil, err
	}
	store, err := OpenStore(job.Store, cas.OS{})
	if err != nil {
		return nil, err
	}
	rt, err := c.cfg.runtime(ch.name)
	if err != nil {
		return nil, err
	}
	opt := runtimes.NewOptions()
	opt.ISA, opt.Shapes = ch.isa, ch.shapes
	if ch.threads > 0 {
		opt.Threads = ch.threads
	}
	opt.Pack, opt.Precision, opt.Room = ch.pack, ch.precision, ch.memory/2
	if !ch.fresh {
		opt.Cache, opt.ModelID = store.plans(), "sha256:"+string(job.Manifest.SHA256)
	}
	s, err := runtimes.Open(ctx, rt, opt, func() (*model.Model, error) {
		b, err := store.File(job.Manifest)
		if err != nil {
			return nil, err
		}
		return onnx.Read(b, "", onnx.DefaultBudget())
	})
	if err != nil {
		return nil, err
	}
	return &prepared{s, rt.Probe(ctx), time.Since(start).Nanoseconds()}, nil
}

// feed gives the session its inputs: those that came, or random ones of seed where none did.
func (p *prepared) feed(in []wire.Input, raw []byte, seed uint64) error {
	inputs := map[string]*model.Tensor{}
	for _, i := range in {
		t, _, err := onnx.ReadTensor(raw[:i.Len])
		if err != nil {
			return fail.In(err, "", fail.Where{Tensor: i.Name})
		}
		inputs[i.Name], raw = t, raw[i.Len:]
	}
	if len(in) == 0 {
		rng := rand.New(rand.NewPCG(seed, 0x66657474))
		for _, v := range p.Inputs() {
			t, err := randomTensor(rng, v)
			if err != nil {
				return err
			}
			inputs[v.Name] = t
		}
	}
	return p.Feed(inputs)
}

// randomTensor fills floats from [0, 1) and integers with 0 or 1, which are valid positions and masks everywhere.
func randomTensor(rng *rand.Rand, v model.Value) (*model.Tensor, error) {
	dims, known := v.Type.Shape.Ints()
	if !known || v.Type.Kind != model.KindTensor || v.Type.DType == model.String {
		return nil, fail.New(fail.Unsupported, "no random input can be made for %s", v.Type).At(fail.Where{Tensor: v.Name}).Try("give the input, or fix its shape")
	}
	if _, err := model.Count(dims); err != nil {
		return nil, err
	}
	t := model.NewTensor(v.Type.DType, dims...)
	for i := range t.Len() {
		switch v.Type.DType {
		case model.Float32:
			binary.LittleEndian.PutUint32(t.Raw[4*i:], math.Float32bits(rng.Float32()))
		case model.Float64, model.Float16, model.BFloat16:
			t.SetFloat64(i, rng.Float64())
		default:
			t.SetInt64(i, int64(rng.IntN(2)))
		}
	}
	return t, nil
}

func (c *child) run(ctx context.Context, r *wire.Request, job childJob) (any, error) {
	in, err := tensors(r, job.Run.Inputs)
	if err != nil {
		return nil, err
	}
	p, err := c.prepare(ctx, job, choice{job.Run.Runtime, job.Run.Threads, job.Run.ISA, job.Run.Shapes, job.Run.Pack, job.Run.Precision, job.Run.Fresh, job.Run.Memory})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if err := p.feed(job.Run.Inputs, in, 1); err != nil {
		return nil, err
	}
	slim()
	return c.answer(ctx, r, p)
}

// Between two looks at the board lie blockRuns pairs of runs, fewer where they take longer than blockTime: who watches a
// slow model wants to see it move, and the look costs nothing against it.
const (
	blockRuns = 10
	blockTime = 250 * time.Millisecond
)

func blockSize(run int64) int {
	return int(max(1, min(blockRuns, blockTime.Nanoseconds()/max(1, 2*run))))
}

// profile measures one launch. Within a block clean and instrumented runs take turns, so that a drift of the clock
// meets both; nothing is sent while a block is measured.
func (c *child) profile(ctx context.Context, r *wire.Request, job childJob) error {
	q := job.Profile
	in, err := tensors(r, q.Inputs)
	if err != nil {
		return err
	}
	p, err := c.prepare(ctx, job, choice{q.Runtime, q.Threads, q.ISA, q.Shapes, q.Pack, q.Precision, q.Fresh, q.Memory})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.feed(q.Inputs, in, q.Seed); err != nil {
		return err
	}
	slim()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := &meter{c: c, p: p, launch: job.Launch, ctx: ctx, steps: make([]int64, len(p.Steps()))}
	first, err := m.once(nil)
	if err != nil {
		return err
	}
	mem := p.Memory()
	launch := &wire.Launch{Index: job.Launch, LoadNS: p.loadNS, FirstNS: first, Runtime: p.facts.Name, Version: p.facts.Version, Path: p.facts.Path,
		Steps: []wire.Step{}, Weights: mem.Weights, Arena: mem.Arena, Floor: mem.Floor, Prepared: mem.Prepared, Small: mem.Small}
	for _, s := range p.Steps() {
		launch.Steps = append(launch.Steps, wire.Step{ID: s.ID, Name: s.Name, Op: s.Op, Origin: s.Origin, Kernel: s.Kernel, Why: s.Why, DType: s.DType, Device: s.Device, MACs: s.MACs, Bytes: s.Bytes,
			Window: s.Window, Strides: s.Strides})
	}
	if err := r.Item(wire.Event{Launch: launch}); err != nil {
		return err
	}
	if err := m.warm(q.Warmup); err != nil {
		return err
	}
	size := blockSize(m.samples[len(m.samples)-1].TotalNS)
	if err := m.send(r); err != nil {
		return err
	}
	for left := q.Runs; left > 0; left -= size {
		if err := c.block(r, m, nil); err != nil {
			return err
		}
		if err := m.measure(min(left, size)); err != nil {
			return err
		}
		if err := m.send(r); err != nil {
			return err
		}
	}
	var counts *wire.Counts
	if q.Count { // after all that is timed: opening and reading counters is no part of it
		if counts, err = c.count(m, first); err != nil {
			return err
		}
	}
	return c.block(r, m, counts)
}

// At the end of a launch at least countRuns inferences are counted, for countTime: sensors of power are slow.
const (
	countRuns = 5
	countTime = 300 * time.Millisecond
	costRuns  = 11 // of each way, for what counting itself takes
)

// count measures what one inference takes of the processor and of the power supply. run is how long one takes.
func (c *child) count(m *meter, run int64) (*wire.Counts, error) {
	n := int(max(countRuns, min(10_000, countTime.Nanoseconds()/max(1, run))))
	dir := c.cfg.Root
	if dir == "" {
		dir = "/"
	}
	energy := board.StartMeter(dir)
	out, err := countWork(n, func() error { _, err := m.once(nil); return err })
	j, by, why := energy.Joules()
	if err != nil {
		return nil, err
	}
	if out.Layers, err = countSteps(m.ctx, m.p.Session, min(n, countRuns)); err != nil {
		return nil, err
	}
	if out.Cost, err = countCost(m.ctx, m.p.Session, min(n, costRuns)); err != nil {
		return nil, err
	}
	if out.Layers == nil && len(out.Values) > 0 {
		out.Absent = append(out.Absent, "layers: the engine does not say which one runs")
	}
	if out.Joules, out.EnergyBy = j/float64(n), by; by == "" {
		out.Absent = append(out.Absent, why)
	}
	return out, nil
}

// block reports what the board is like now.
func (c *child) block(r *wire.Request, m *meter, counts *wire.Counts) error {
	dir := c.cfg.Root
	if dir == "" {
		dir = "/"
	}
	cond, err := json.Marshal(board.Sense(dir))
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	b := usage()
	b.Launch, b.CanaryNS, b.Conditions, b.Counts = m.launch, m.sink.canary(), cond, counts
	return r.Item(wire.Event{Block: &b})
}

// meter times inferences and keeps the samples until they are sent.
type meter struct {
	c       *child
	p       *prepared
	ctx     context.Context
	launch  int
	steps   []int64
	samples []wire.Sample
	sink    sunk
}

func (m *meter) once(ns []int64) (int64, error) {
	start := time.Now()
	err := m.c.exec(m.ctx, m.p, ns)
	return time.Since(start).Nanoseconds(), err
}

func (m *meter) keep(kind string, ns []int64) (int64, error) {
	total, err := m.once(ns)
	if err != nil {
		return 0, err
	}
	s := wire.Sample{Launch: m.launch, Kind: kind, TotalNS: total}
	if ns != nil {
		s.StepNS = slices.Clone(ns)
	}
	m.samples = append(m.samples, s)
	return total, nil
}

// Warm-up ends when the medians of two neighbouring windows differ by less than 2 %, or after warmLimit samples or
// warmTime. The desk gets every sample and judges the change point itself.
const (
	warmWindow = 5
	warmLimit  = 60
	warmTime   = 3 * time.Second
)

func (m *meter) warm(n int) error {
	start := time.Now()
	var got []int64
	for {
		ns, err := m.keep(wire.KindWarmup, nil)
		if err != nil {
			return err
		}
		got = append(got, ns)
		if n > 0 {
			if len(got) >= n {
				return nil
			}
			continue
		}
		if k := len(got); k >= 2*warmWindow && steady(got[k-2*warmWindow:k-warmWindow], got[k-warmWindow:]) || k >= warmLimit || time.Since(start) > warmTime {
			return nil
		}
	}
}

func steady(a, b []int64) bool {
	x, y := median(a), median(b)
	return math.Abs(float64(x-y)) < 0.02*float64(y)
}

func median(v []int64) int64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func (m *meter) measure(n int) error {
	runtime.GC()
	old := debug.SetGCPercent(-1) // no collection of ours inside a block
	defer debug.SetGCPercent(old)
	for i := range n {
		kinds := []string{wire.KindClean, wire.KindLayers}
		if i%2 == 1 {
			slices.Reverse(kinds)
		}
		for _, k := range kinds {
			var ns []int64
			if k == wire.KindLayers {
				ns = m.steps
			}
			if _, err := m.keep(k, ns); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *meter) send(r *wire.Request) error {
	for i := range m.samples {
		if err := r.Item(wire.Event{Sample: &m.samples[i]}); err != nil {
			return err
		}
	}
	m.samples = m.samples[:0]
	return nil
}

// sunk keeps the canary's result, so that the compiler keeps its work.
type sunk struct{ v float64 }

// canary is the fastest of three: what interrupted one of them says nothing about how fast the machine is.
func (s *sunk) canary() int64 {
	best := int64(math.MaxInt64)
	for range 3 {
		start := time.Now()
		s.v = trace.Canary()
		best = min(best, time.Since(start).Nanoseconds())
	}
	return best
}
