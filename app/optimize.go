package app

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/optimizer/catalog"
	"fettle/runtimes"
)

// PassInfo is a pass with its options, for lists, forms and documents.
type PassInfo struct {
	Name      string        `json:"name"`
	Title     string        `json:"title"`
	Promise   string        `json:"promise"`
	Exactness string        `json:"exactness"`
	Paper     string        `json:"paper,omitempty"`
	Undo      string        `json:"undo,omitempty"`
	NeedsData bool          `json:"needs_data"`
	After     []PassOrder   `json:"after,omitempty"`
	Options   []spec.Option `json:"-"`
	Schema    any           `json:"options"` // JSON Schema of the options
}

// PassOrder is a constraint on the order with its reason.
type PassOrder struct {
	Pass string `json:"pass"`
	Why  string `json:"why"`
}

// Passes lists every pass in the order of the catalog.
func (a *App) Passes() []PassInfo {
	var out []PassInfo
	for _, row := range catalog.Passes() {
		p := row.New()
		i := p.Info()
		info := PassInfo{Name: i.Name, Title: i.Title, Promise: i.Promise, Exactness: string(i.Exactness), Paper: i.Paper, Undo: i.Undo, NeedsData: i.NeedsData}
		for _, o := range row.After {
			info.After = append(info.After, PassOrder{o.Pass, o.Why})
		}
		if o := p.Options(); o != nil {
			info.Options = spec.Of(o)
		}
		info.Schema = schemaOf(info.Options)
		out = append(out, info)
	}
	return out
}

// schemaOf writes options as JSON Schema (draft 2020-12).
func schemaOf(opts []spec.Option) map[string]any {
	props := map[string]any{}
	for _, o := range opts {
		s := map[string]any{"description": o.Help, "default": o.Default}
		switch o.Kind {
		case spec.Bool:
			s["type"] = "boolean"
		case spec.Int:
			s["type"] = "integer"
		case spec.Float:
			s["type"] = "number"
		case spec.String:
			s["type"] = "string"
		case spec.Enum:
			s["type"], s["enum"] = "string", o.Enum
		case spec.List:
			s["type"], s["items"] = "array", map[string]any{"type": "string"}
		case spec.Table:
			s["type"], s["additionalProperties"] = "object", map[string]any{"type": "number"}
		case spec.Group:
			s = schemaOf(o.Options)
		}
		if o.Min != nil {
			s["minimum"] = *o.Min
		}
		if o.Max != nil {
			s["maximum"] = *o.Max
		}
		props[o.Key] = s
	}
	return map[string]any{"type": "object", "properties": props, "additionalProperties": false}
}

// StandardRecipe is the built-in recipe: every exact rewrite.
func (a *App) StandardRecipe() optimizer.Recipe { return *catalog.Standard() }

// ReadRecipe reads a recipe file.
func (a *App) ReadRecipe(path string) (*optimizer.Recipe, error) {
	b, err := readSmall(path, 1<<20)
	if err != nil {
		return nil, err
	}
	r, err := optimizer.ParseRecipe(b, catalog.Passes())
	if err != nil {
		return nil, fail.In(err, "read recipe", fail.Where{File: path})
	}
	return r, nil
}

// WriteRecipe saves a recipe in one step.
func (a *App) WriteRecipe(path string, r optimizer.Recipe) error {
	return exportFile(path, r.Format())
}

// OptimizeOptions are what a recipe may use.
type OptimizeOptions struct {
	Data       string // folder or file of calibration data, SampleCalibrate; "": none
	Score      string // held-out data to score each step on; "": none
	Preprocess string // file of the preprocessing block; "": the one in the model
	Unproven   bool   // do not compare each exact step with the one before: for predictions
	Target     string // whose time passes predict; "": this computer, where a step asks for quantizing within a time
	Threads    int    // on the target
	Asks       Asks
	Progress   task.Progress
}

// passEnv is what every pass may use.
func (a *App) passEnv(p task.Progress) optimizer.Env {
	return optimizer.Env{Passes: catalog.Passes(), Runner: engineRunner{a}, Progress: p, Keep: a.calibrations()}
}

// timed reports whether a recipe quantizes within a time.
func timed(r *optimizer.Recipe) bool {
	return slices.ContainsFunc(r.Steps, func(s optimizer.RecipeStep) bool { return s.Pass == "quantize" && s.Options["budget"] == "time" })
}

// Optimized is a recipe's outcome.
type Optimized struct {
	Steps      []optimizer.Step
	Model      *model.Model
	Report     *optimizer.Report
	Preprocess *dataset.Preprocess // what was used, kept in the model; nil: none
	Warnings   []string            // that score data look unlike calibration data
}

// Optimize derives a model from base by a recipe. Each exact step is compared with the step before on seeded inputs.
func (a *App) Optimize(ctx context.Context, base *model.Model, r *optimizer.Recipe, opt OptimizeOptions) (*Optimized, error) {
	env := a.passEnv(opt.Progress)
	if !opt.Unproven {
		env.Cache = a.cache // holds proven steps only
	}
	pre, err := preprocessOf(base, opt.Preprocess, opt.Data, opt.Score)
	if err != nil {
		return nil, err
	}
	out := &Optimized{Preprocess: pre}
	if opt.Data != "" {
		set, err := a.openData(opt.Data, base, pre)
		if err != nil {
			return nil, err
		}
		env.Data = set
	}
	if opt.Target == "" && timed(r) {
		opt.Target = LocalTarget
	}
	if opt.Target != "" && !timed(r) { // what thins layers: whole models by the table of kernels, or run there
		env.Cost = a.boardCost(ctx, opt.Target, opt.Threads, opt.Asks)
	} else if opt.Target != "" {
		env.Cost = &targetCost{a: a, ctx: ctx, data: env.Data, q: timesQuery{target: opt.Target, threads: opt.Threads, asks: opt.Asks, progress: opt.Progress}}
	}
	if !opt.Unproven {
		env.Race = a.race(func(ctx context.Context, m *model.Model) ([]map[string]*model.Tensor, error) {
			return a.verifyInputs(ctx, m, r.Seed)
		})
	}
	// A model whose inputs cannot be made at random is still optimised, without the numeric comparison.
	if !opt.Unproven {
		if env.Verify, err = a.verifyInputs(ctx, base, r.Seed); err != nil {
			return nil, err
		}
	}
	if opt.Data != "" && opt.Score != "" {
		if out.Warnings, err = a.compareData(ctx, opt.Data, opt.Score, base, pre); err != nil {
			return nil, err
		}
	}
	out.Steps, err = optimizer.Run(ctx, base, r, env)
	if err != nil {
		return out, err
	}
	out.Model = base
	if n := len(out.Steps); n > 0 {
		out.Model = out.Steps[n-1].Model
	}
	if opt.Preprocess != "" && pre != nil && out.Model.Meta(dataset.MetadataKey) != string(pre.Format()) {
		if out.Model, err = out.Model.Apply(&model.Patch{Meta: []model.KV{{Key: dataset.MetadataKey, Value: string(pre.Format())}}}); err != nil {
			return out, err
		}
	}
	if out.Report, err = optimizer.MakeReport(base, out.Steps); err != nil {
		return out, err
	}
	if opt.Score != "" {
		if err := a.scoreSteps(ctx, base, out, opt, pre); err != nil {
			return out, err
		}
	}
	return out, nil
}

// openSizes are tried for dimensions that a model leaves open, until it runs.
var openSizes = []int{1, 16, 64, 256, 512, 1024}

// verifyInputs makes seeded inputs that base runs on; none where there are no such, which is no error.
func (a *App) verifyInputs(ctx context.Context, base *model.Model, seed int64) ([]map[string]*model.Tensor, error) {
	batch, open := map[string]bool{}, false
	for _, v := range base.Graph.Free() {
		for i, d := range v.Type.Shape {
			if i == 0 && !d.Known() {
				batch[d.Sym] = true
			}
			open = open || i > 0 && !d.Known()
		}
	}
	for _, size := range openSizes {
		in, err := optimizer.RandomInputsOf(base, 2, seed, func(v model.Value, dim int) int {
			if d := v.Type.Shape[dim]; dim == 0 || d.Sym != "" && batch[d.Sym] {
				return 1
			}
			return size
		})
		if fail.Is(err, fail.Unsupported) || fail.Is(err, fail.TooBig) {
			return nil, nil
		}
		if err != nil || !open {
			return in, err
		}
		run, done, err := a.scoreRun(ctx, base)
		if err == nil {
			_, err = run(ctx, in[0])
			done()
		}
		switch {
		case err == nil:
			return in, nil
		case ctx.Err() != nil:
			return nil, fail.From(ctx.Err())
		}
	}
	return nil, nil
}

// scoreSteps scores the model before and after each step.
func (a *App) scoreSteps(ctx context.Context, base *model.Model, out *Optimized, opt OptimizeOptions, pre *dataset.Preprocess) error {
	judge := func(m *model.Model) (*float64, error) {
		r, err := a.evalModel(ctx, m, base, opt.Score, pre, 0, opt.Progress)
		if err != nil {
			return nil, err
		}
		if r.Score != nil {
			return r.Score, nil
		}
		return &r.Agreement.Top1, nil
	}
	before, err := judge(base)
	if err != nil {
		return err
	}
	for i := range out.Report.Steps {
		after, err := judge(out.Steps[i].Model)
		if err != nil {
			return err
		}
		out.Report.Steps[i].Before.Score, out.Report.Steps[i].After.Score = before, after
		before = after
	}
	return nil
}

// Advice lists steps of a recipe that stand in an order that costs something, with the reason.
func (a *App) Advice(r *optimizer.Recipe) []string {
	var out []string
	for _, ad := range catalog.Advise(r) {
		out = append(out, r.Steps[ad.Step].Pass+" should come after "+r.Steps[ad.Before].Pass+": "+ad.Why)
	}
	return out
}

// engineRunner runs models of passes on the engine; what it has no kernel for runs on the reference kernels.
type engineRunner struct{ a *App }

// Open prepares nothing yet: the plan depends on the shapes of the inputs.
func (r engineRunner) Open(_ context.Context, m *model.Model) (optimizer.Session, error) {
	return &engineSession{a: r.a, m: m}, nil
}

// keptPlans is how many plans an engineSession keeps: data of a few sizes that take turns is planned once for each size.
const keptPlans = 4

// engineSession compiles for the shapes of the inputs it is given, and keeps the plans of the shapes that it met last.
type engineSession struct {
	a     *App
	m     *model.Model
	made  []shaped          // used last first
	plans int               // made so far
	plain optimizer.Session // reference kernels, where the engine has none for an operator
}

// shaped is a session for inputs of some shapes and types.
type shaped struct {
	runtimes.Session
	key string
}

// shapesKey names what a plan for these inputs depends on.
func shapesKey(in map[string]*model.Tensor) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(in)) {
		fmt.Fprintf(&b, "%q %d %v ", name, in[name].DType, in[name].Shape)
	}
	return b.String()
}

// Run computes the outputs in the order of the graph.
func (e *engineSession) Run(ctx context.Context, in map[string]*model.Tensor) ([]*model.Tensor, error) {
	if e.plain != nil {
		return e.plain.Run(ctx, in)
	}
	s, err := e.session(ctx, in)
	if fail.Is(err, fail.Unsupported) {
		if e.plain, err = (optimizer.Reference{}).Open(ctx, e.m); err != nil {
			return nil, err
		}
		return e.plain.Run(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	if err := s.Feed(in); err != nil {
		return nil, err
	}
	if err := s.Exec(ctx, nil); err != nil {
		return nil, err
	}
	return s.Result(), nil
}

// session finds or makes the session for inputs like these.
func (e *engineSession) session(ctx context.Context, in map[string]*model.Tensor) (runtimes.Session, error) {
	key := shapesKey(in)
	i := slices.IndexFunc(e.made, func(s shaped) bool { return s.key == key })
	if i < 0 {
		s, err := e.a.prepare(ctx, e.m, in, 1)
		if err != nil {
			return nil, err
		}
		e.plans++
		if len(e.made) == keptPlans {
			last := e.made[keptPlans-1]
			e.made = e.made[:keptPlans-1]
			if err := last.Close(); err != nil {
				return nil, err
			}
		}
		i = len(e.made)
		e.made = append(e.made, shaped{s, key})
	}
	s := e.made[i]
	copy(e.made[1:i+1], e.made[:i])
	e.made[0] = s
	return s, nil
}

// Close frees the sessions.
func (e *engineSession) Close() error {
	var first error
	for _, s := range e.made {
		if err := s.Close(); err != nil && first == nil {
			first = err
		}
	}
	e.made = nil
	return first
}

// FileSizes completes a report with the sizes of the files on both ends.
func (a *App) FileSizes(o *Optimized, before, after string) error {
	size := func(path string) (*int64, error) {
		st, err := os.Stat(path)
		if err != nil {
			return nil, fail.New(fail.NotFound, "%v", err).At(fail.Where{File: path})
		}
		n := st.Size()
		return &n, nil
	}
	if len(o.Report.Steps) == 0 {
		return nil
	}
	var err error
	if o.Report.Steps[0].Before.FileBytes, err = size(before); err != nil {
		return err
	}
	o.Report.Steps[len(o.Report.Steps)-1].After.FileBytes, err = size(after)
	return err
}
