package app

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
	"fettle/profiler/predict"
	"fettle/remote/bundle"
	"fettle/remote/deploy"
)

// LatencyTable is what was measured of kernels on a target.
type LatencyTable = predict.Table

// KindInfo is one kind of kernels of a table.
type KindInfo = predict.KindInfo

// FuseRule says when two nodes become one step.
type FuseRule = predict.Rule

// LearnRequest says how a target's kernels are measured. Target, Threads, ISA, Asks, Manner, Waiting and Progress of the embedded request are
// used.
type LearnRequest struct {
	ProfileRequest
	Budget time.Duration  // how long to go on
	Anew   bool           // forget what was measured before
	Also   []*model.Model // models at hand, measured as well: kinds of layers that probes do not have
	Names  []string       // of those
	Floats bool           // nothing on 8-bit integers
	Seed   uint64
}

// Learned is a table with what it knows.
type Learned struct {
	Table *LatencyTable `json:"-"`
	File  string        `json:"file"`
	CPU   string        `json:"cpu"`
	Nets  int           `json:"networks"`
	Here  int           `json:"measured_now"`
	Rows  int           `json:"rows"`
	Error float64       `json:"median_error"` // of kinds that cost time, with each row left out
	Kinds []KindInfo    `json:"kinds"`
	Rules []FuseRule    `json:"rules"` // when two nodes become one step, the most seen first
}

const (
	probeRuns   = 10 // inferences of a probe, clean and watched each
	candidates  = 16 // drafts that one probe is chosen from
	refitEvery  = 16 // probes after which the surfaces are made anew
	enoughNets  = 400
	tidyEvery   = 24 // probes after which the board is freed of their weights
	leastBudget = 5 * time.Second
)

// Learn measures kernels on a target until the budget is spent, the networks first that teach most, and keeps the table after each: a run
// that was stopped, or killed, goes on where it was.
func (a *App) Learn(ctx context.Context, q LearnRequest) (*Learned, error) {
	const what = "learn the target's kernels"
	if q.Budget < leastBudget || q.Budget > time.Hour || q.Threads < 0 || q.Threads > maxThreads {
		return nil, fail.New(fail.Usage, "%v, %d threads", q.Budget, q.Threads).Doing(what).Try("give %v to 1h (2m is usual) and 1 to %d threads", leastBudget, maxThreads)
	}
	q.Threads = max(q.Threads, 1)
	if q.Seed == 0 {
		q.Seed = 1
	}
	if err := a.ensureHome(); err != nil {
		return nil, err
	}
	var t *LatencyTable
	nets := 0
	progress := q.Progress
	q.Progress = nil // the single measurements are not the user's
	err := a.measuring(ctx, q.ProfileRequest, func(c *deploy.Conn) error {
		f, err := c.Facts(ctx)
		if err != nil {
			return err
		}
		var parts []string
		for _, k := range f.Cores {
			if !slices.Contains(parts, k.Part) {
				parts = append(parts, k.Part)
			}
		}
		cpu := strings.Join(parts, " + ")
		if t = a.latencyTable(q.Target, q.Threads); t == nil || q.Anew || t.CPU != cpu || t.Runtime.Version != Version {
			t = &LatencyTable{Schema: predict.TableSchema, Target: targetName(q.Target), CPU: cpu, ISA: q.ISA, Threads: q.Threads}
			t.Runtime.Name, t.Runtime.Version = "fettle", Version
		}
		begin, before := time.Now(), t.Spent
		gauge, err := newGauge()
		if err != nil {
			return err
		}
		measure := func(name string, m *model.Model, shapes map[string][]int) error {
			if err := a.probe(ctx, c, q, t, gauge, name, m, shapes); err != nil {
				return err
			}
			if nets++; nets%tidyEvery == 0 {
				tidy(ctx, c)
			}
			t.Spent, t.Taken = before+time.Since(begin).Seconds(), time.Now().Unix()
			return a.keepTable(q.Target, t)
		}
		for i, m := range q.Also {
			shapes, err := a.openShapes(ctx, m)
			if err != nil {
				return err
			}
			for _, form := range a.forms(ctx, m, q.Floats) {
				if err := measure(q.Names[i], form, shapes); err != nil {
					return fail.In(err, "measure "+q.Names[i], fail.Where{})
				}
			}
		}
		var p *predict.Predictor
		for time.Since(begin) < q.Budget && t.Probes < enoughNets {
			spent := time.Since(begin)
			progress.Report(int64(spent.Seconds()), int64(q.Budget.Seconds()), fmt.Sprintf("measure kernels: %d networks, %d rows", t.Probes, len(t.Points)))
			if p == nil || nets%refitEvery == 0 {
				p = predict.NewPredictor(t)
			}
			m, err := chooseProbe(p, q.Seed, uint64(t.Probes))
			if err != nil {
				return err
			}
			if m, err = a.dress(ctx, m, t.Probes, q.Floats); err != nil {
				return err
			}
			if err := measure(fmt.Sprintf("probe-%d", t.Probes), m, nil); err != nil {
				return err
			}
		}
		tidy(ctx, c)
		progress.Report(int64(q.Budget.Seconds()), int64(q.Budget.Seconds()), fmt.Sprintf("measured kernels: %d networks, %d rows", t.Probes, len(t.Points)))
		return nil
	})
	if err != nil {
		return nil, fail.In(err, what, fail.Where{})
	}
	return a.learned(q.Target, t, nets), nil
}

// learned says what a table knows.
func (a *App) learned(target string, t *LatencyTable, now int) *Learned {
	l := &Learned{Table: t, File: a.tablePath(target, t.Threads), CPU: t.CPU, Nets: t.Probes, Here: now, Rows: len(t.Points), Kinds: predict.NewPredictor(t).Kinds()}
	l.Rules = t.Fused()
	sum, n := 0.0, 0
	for _, k := range l.Kinds {
		if k.Points > 0 && k.Low != nil {
			sum, n = sum+k.Error*float64(k.Points), n+k.Points
		}
	}
	if n > 0 {
		l.Error = sum / float64(n)
	}
	return l
}

// forms are a model as written, after the recipe standard, and on 8-bit integers, where these change anything.
func (a *App) forms(ctx context.Context, m *model.Model, floats bool) []*model.Model {
	out := []*model.Model{m}
	o, err := a.plainStandard(ctx, m)
	if err != nil {
		return out
	}
	if o.Hash() != m.Hash() {
		out = append(out, o)
	}
	if !floats {
		if b, err := a.roughInt8(ctx, o); err == nil && b.Hash() != o.Hash() {
			out = append(out, b)
		}
	}
	return out
}

// dress gives the i-th probe the form in which it is measured: the ends after the recipe standard and on integers, of the others one in
// four on integers, one in eight as written, and the rest after the recipe.
func (a *App) dress(ctx context.Context, m *model.Model, i int, floats bool) (*model.Model, error) {
	ends := i < 2*predict.Ends
	if !ends && i%8 == 1 {
		return m, nil
	}
	m, err := a.plainStandard(ctx, m)
	if integers := ends && i >= predict.Ends || !ends && i%4 == 3; err != nil || floats || !integers {
		return m, err
	}
	return a.roughInt8(ctx, m)
}

// roughInt8 is m on 8-bit integers, with ranges from inputs drawn at random: only its time is asked for.
func (a *App) roughInt8(ctx context.Context, m *model.Model) (*model.Model, error) {
	in, err := a.verifyInputs(ctx, m, 1)
	if err != nil || len(in) == 0 {
		return m, err
	}
	return a.plainInt8(ctx, m, drawn(in[:1]))
}

// drawn are inputs made here, as data.
type drawn []map[string]*model.Tensor

// Len is their number.
func (d drawn) Len() int { return len(d) }

// Hash says that they are nobody's data.
func (d drawn) Hash() string { return "drawn" }

// Each visits them.
func (d drawn) Each(ctx context.Context, limit int, visit func(int, map[string]*model.Tensor) error) error {
	for i, in := range d[:min(max(limit, 0), len(d))] {
		if err := visit(i, in); err != nil {
			return err
		}
	}
	return nil
}

// plainStandard applies the recipe standard without proofs: only its time is asked for.
func (a *App) plainStandard(ctx context.Context, m *model.Model) (*model.Model, error) {
	r := a.StandardRecipe()
	steps, err := optimizer.Run(ctx, m, &r, a.passEnv(nil))
	if err != nil {
		return nil, err
	}
	if n := len(steps); n > 0 {
		m = steps[n-1].Model
	}
	return m, nil
}

// chooseProbe drafts several networks and takes the one of whose layers least is known; each fourth is taken as it comes, so that
// what the table does not doubt is tried too.
func chooseProbe(p *predict.Predictor, seed, i uint64) (*model.Model, error) {
	n := candidates
	if i%4 == 0 || i < 2*predict.Ends { // the first ones are the ends
		n = 1
	}
	var best *model.Model
	most := math.Inf(-1)
	for k := range n {
		m, err := predict.NewProbe(seed, i+uint64(k)*100_000).Build()
		if err != nil {
			return nil, err
		}
		g, err := predict.NewGraph(m, nil)
		if err != nil {
			return nil, err
		}
		if d := p.Doubt(p.Units(g)); d > most {
			best, most = m, d
		}
	}
	return best, nil
}

// probe measures one network and adds it to the table. A measurement in which inferences differ much, or beside which the gauge was slow, is made
// once more.
func (a *App) probe(ctx context.Context, c *deploy.Conn, q LearnRequest, t *LatencyTable, gauge *gauge, name string, m *model.Model, shapes map[string][]int) error {
	b, err := pack(name, m)
	if err != nil {
		return err
	}
	g, err := predict.NewGraph(m, shapes)
	if err != nil {
		return err
	}
	opt := deploy.NewProfileOptions()
	opt.Threads, opt.ISA, opt.Shapes, opt.Fresh = q.Threads, q.ISA, shapes, true
	opt.Launches, opt.Runs = 1, probeRuns
	for begin, try := time.Now(), 0; ; try++ {
		tr, err := c.Profile(ctx, deploy.FromBundle(b), opt, nil)
		if err != nil {
			return err
		}
		moment, err := gauge.look(ctx, c, q)
		if err != nil {
			return err
		}
		v := slices.Sorted(slices.Values(tr.Launches[0].Clean))
		steady := float64(v[len(v)/4]) <= 1.15*float64(v[0]) && moment <= 1.25*gauge.least
		if steady || try == 1 || time.Since(begin) > 3*time.Second {
			return t.Add(g, tr, moment)
		}
	}
}

// gauge is the network that is measured beside each probe.
type gauge struct {
	b     *bundle.Bundle
	last  float64 // what it took before the probe, 0: not known
	least float64
}

func newGauge() (*gauge, error) {
	m, err := predict.Gauge()
	if err != nil {
		return nil, err
	}
	b, err := pack("gauge", m)
	return &gauge{b: b}, err
}

// look measures the gauge and gives what it takes now, in the middle between this look and the one before.
func (x *gauge) look(ctx context.Context, c *deploy.Conn, q LearnRequest) (float64, error) {
	opt := deploy.NewProfileOptions()
	opt.Threads, opt.ISA, opt.Launches, opt.Runs = q.Threads, q.ISA, 1, probeRuns
	tr, err := c.Profile(ctx, deploy.FromBundle(x.b), opt, nil)
	if err != nil {
		return 0, err
	}
	v := slices.Sorted(slices.Values(tr.Launches[0].Clean))
	now := float64(v[len(v)/4])
	before := now
	if x.last > 0 {
		before = x.last
	}
	x.last = now
	if x.least == 0 || now < x.least {
		x.least = now
	}
	return math.Sqrt(now * before), nil
}

// tidy takes away what probes left on the board. Where that fails they are swept with the next free-space.
func tidy(ctx context.Context, c *deploy.Conn) {
	_, _ = c.Fix(ctx, deploy.FixSpace, deploy.FixOptions{})
}

func targetName(name string) string {
	if name == "" {
		return LocalTarget
	}
	return name
}

func (a *App) tablePath(target string, threads int) string {
	return filepath.Join(a.home, "kernels", fmt.Sprintf("%s-%d.json", targetName(target), max(threads, 1)))
}

// latencyTable is the table of a target, nil where there is none that can be read.
func (a *App) latencyTable(target string, threads int) *LatencyTable {
	b, err := os.ReadFile(a.tablePath(target, threads))
	if err != nil || len(b) > 64<<20 {
		return nil
	}
	var t LatencyTable
	if json.Unmarshal(b, &t) != nil || t.Schema != predict.TableSchema {
		return nil // it is measured again
	}
	return &t
}

func (a *App) keepTable(target string, t *LatencyTable) error {
	file := a.tablePath(target, t.Threads)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fail.New(fail.Denied, "cannot create %s: %v", filepath.Dir(file), err)
	}
	b, err := json.Marshal(t)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	return atomicWrite(file, b)
}
