package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/profiler"
	"fettle/profiler/predict"
	"fettle/profiler/trace"
	"fettle/remote/deploy"
)

// ProfileRequest says what to measure, where and how.
type ProfileRequest struct {
	Model     *model.Model
	Name      string // what the run is called
	Target    string // "" is this computer
	Threads   int
	ISA       string
	Pack      string // auto, small or fast: what packed weights may need; "" is auto
	Precision string // exact, fast or half; "" is exact
	Fresh     bool   // neither use nor keep a prepared plan
	Optimize  bool   // apply the recipe standard first
	Warmup    int    // inferences before the measurement, 0: until the times settle
	Runs      int    // inferences a launch, clean and instrumented each
	Launches  int
	Again     int           // how often launches are measured again during which the machine changed
	Count     bool          // count cycles, misses and energy at the end of each launch, where the target has the means
	Every     time.Duration // of Sustain: a launch each so long, 0: one after the other
	Shapes    map[string][]int
	Inputs    map[string]*model.Tensor // nil: seeded random ones
	Progress  task.Progress
	Live      func(LiveSample) // sees each inference as it arrives; may be nil
	Asks      Asks
	Manner    Manner           // what to do where another desk measures on the board
	Waiting   func(who string) // hears who asked for the board meanwhile; may be nil
}

// LiveSample is one inference of a run under way.
type LiveSample struct {
	Launch  int
	Kind    string // "warmup", "clean" or "layers"
	TotalNs int64
	StepNs  []int64
	Done    int // inferences so far
	Total   int // inferences in all
}

// bounds of a measurement: what a person may wait for.
const (
	maxRuns     = 100_000
	maxLaunches = 1000
	maxThreads  = 64
)

// Again is how often launches are usually measured again during which the machine changed.
const Again = 3

// Profile measures a model on a target, layer by layer, and keeps the run in the history.
func (a *App) Profile(ctx context.Context, q ProfileRequest) (*Profile, error) {
	if q.Runs < 1 || q.Runs > maxRuns || q.Launches < 1 || q.Launches > maxLaunches || q.Threads < 0 || q.Threads > maxThreads || q.Again < 0 || q.Again > 10 {
		return nil, fail.New(fail.Usage, "%d runs, %d launches (%d times again), %d threads", q.Runs, q.Launches, q.Again, q.Threads).Doing("profile").
			Try("give 1 to %d runs, 1 to %d launches (up to 10 times again) and 1 to %d threads", maxRuns, maxLaunches, maxThreads)
	}
	m := q.Model
	if q.Optimize {
		r := a.StandardRecipe()
		o, err := a.Optimize(ctx, m, &r, OptimizeOptions{})
		if err != nil {
			return nil, err
		}
		m = o.Model
	}
	b, err := pack(q.Name, m)
	if err != nil {
		return nil, err
	}
	opt, err := a.profileOptions(ctx, m, q)
	if err != nil {
		return nil, err
	}
	var p *Profile
	err = a.measuring(ctx, q, func(c *deploy.Conn) error {
		t, err := c.Profile(ctx, deploy.FromBundle(b), opt, func(s deploy.Sample) {
			q.Progress.Report(int64(s.Done), int64(s.Total), "measure")
			if q.Live != nil {
				q.Live(LiveSample{Launch: s.Launch, Kind: s.Kind, TotalNs: s.TotalNS, StepNs: s.StepNS, Done: s.Done, Total: s.Total})
			}
		})
		if err != nil {
			return err
		}
		p, err = a.summarize(ctx, t, q.Target)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// profileOptions are the request's as the agent takes them.
func (a *App) profileOptions(ctx context.Context, m *model.Model, q ProfileRequest) (opt deploy.ProfileOptions, err error) {
	if len(q.Shapes) == 0 && q.Inputs == nil {
		if q.Shapes, err = a.openShapes(ctx, m); err != nil {
			return opt, err
		}
	}
	opt = deploy.NewProfileOptions()
	opt.Threads, opt.ISA, opt.Shapes, opt.Inputs = max(q.Threads, 1), q.ISA, q.Shapes, q.Inputs
	opt.Pack, opt.Precision, opt.Fresh = q.Pack, q.Precision, q.Fresh
	opt.Launches, opt.Runs, opt.Warmup, opt.Count = q.Launches, q.Runs, q.Warmup, q.Count
	opt.Again = q.Again
	opt.Waiting = func(why string) { q.Progress.Report(0, 0, why) }
	return opt, nil
}

// summarize makes a profile of a trace, with what is known of the target, and keeps both.
func (a *App) summarize(ctx context.Context, t *trace.Trace, target string) (*Profile, error) {
	if n := a.noise(target, t.Target.CPU); n != nil {
		t.Target.NoiseFloor = &n.Floor
	}
	if m := a.memorySpeed(target, t.Target.CPU); m != nil {
		t.Target.MemoryBps = m.Best()
	}
	if t.End != nil {
		t.Close() // the digest is over these facts too
	}
	p, err := profiler.Summarize(t)
	if err != nil {
		return nil, err
	}
	predict.Annotate(p)
	p.TakenUnix = time.Now().Unix()
	return p, a.keep(ctx, p, t)
}

// openShapes are shapes of inputs that the model runs with, where 1 for each open dimension but the first may be too
// small; nil where no dimension but the first is open, or none will do.
func (a *App) openShapes(ctx context.Context, m *model.Model) (map[string][]int, error) {
	open := false
	for _, v := range m.Graph.Free() {
		for i, d := range v.Type.Shape {
			open = open || i > 0 && !d.Known()
		}
	}
	if !open {
		return nil, nil
	}
	in, err := a.verifyInputs(ctx, m, 1)
	if err != nil || in == nil {
		return nil, err
	}
	shapes := map[string][]int{}
	for name, t := range in[0] {
		shapes[name] = t.Shape
	}
	return shapes, nil
}

// keep puts a run into the history.
func (a *App) keep(ctx context.Context, p *Profile, t any) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return fail.New(fail.Internal, "trace: %v", err)
	}
	s, err := a.history()
	if err != nil {
		// a history that cannot be opened must not lose the measurement
		p.Warnings = append(p.Warnings, "the run is not kept: "+err.Error())
		return nil
	}
	id, err := s.Put(ctx, p, raw)
	if err != nil {
		p.Warnings = append(p.Warnings, "the run is not kept: "+err.Error())
		return nil
	}
	p.ID = id
	return nil
}

// StandardSaves says what the recipe standard would change in m, "" for nothing. It predicts from the graph alone.
func (a *App) StandardSaves(ctx context.Context, m *model.Model) string {
	r := a.StandardRecipe()
	o, err := a.Optimize(ctx, m, &r, OptimizeOptions{Unproven: true})
	if err != nil || len(o.Report.Steps) == 0 {
		return ""
	}
	before, after := o.Report.Steps[0].Before.Nodes, o.Report.Steps[len(o.Report.Steps)-1].After.Nodes
	if before == after {
		return ""
	}
	return fmt.Sprintf("the model runs as written; --optimize would make %d nodes of %d without changing its results beyond rounding", after, before)
}
