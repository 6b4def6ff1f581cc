package app

import (
	"context"
	"slices"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/optimizer/quantize"
	"fettle/profiler/predict"
)

// Fidelity is how close a model's outputs are to those of the float model.
type Fidelity = quantize.Fidelity

// TypeDamage is one type for a layer.
type TypeDamage = quantize.TypeDamage

// Finding is one line of what a step did.
type Finding = optimizer.Finding

// QuantLayer is a layer with what each type costs it and how long it takes.
type QuantLayer struct {
	quantize.LayerDamage
	MACs    int64    `json:"macs"`
	FloatNs *float64 `json:"float_ns,omitempty"` // on the target, nil: not known
	Int8Ns  *float64 `json:"int8_ns,omitempty"`  // the same with all layers on 8-bit integers
	Int8    *predict.Gain
}

// Int8Advice says before anything is tried how much 8-bit integers can win on a target, from its instructions.
type Int8Advice struct {
	Target  string  `json:"target"`
	Most    float64 `json:"most"`    // over all layers, against the direct algorithm; 0: not known
	Against float64 `json:"against"` // against the best float algorithm
	Slower  int     `json:"slower"`  // layers in which floats may stay faster
	Layers  int     `json:"layers"`
	Why     string  `json:"why"`
}

// QuantRequest says what to look at.
type QuantRequest struct {
	Model      *model.Model
	Data       string
	Preprocess string
	Target     string // "": no times and no advice
	Threads    int
	Types      []string // of weights; nil: int8 and int4
	Samples    int      // calibration items, 0: 64
	Asks       Asks
	Progress   task.Progress
}

// QuantLayers are the layers of a model with damage and times.
type QuantLayers struct {
	Layers []QuantLayer `json:"layers"`
	Advice *Int8Advice  `json:"advice,omitempty"`
	Times  string       `json:"times,omitempty"`         // where they come from
	TimesE string       `json:"times_missing,omitempty"` // why there are none
}

// QuantizeLayers measures, for each layer alone, what fewer bits cost the outputs, and on a target how long layers take in floats and
// on integers.
func (a *App) QuantizeLayers(ctx context.Context, q QuantRequest) (*QuantLayers, error) {
	if q.Types == nil {
		q.Types = []string{"int8", "int4"}
	}
	if q.Samples == 0 {
		q.Samples = 64
	}
	pre, err := preprocessOf(q.Model, q.Preprocess, q.Data)
	if err != nil {
		return nil, err
	}
	env := a.passEnv(q.Progress)
	if q.Data != "" {
		set, err := a.openData(q.Data, q.Model, pre)
		if err != nil {
			return nil, err
		}
		env.Data = set
	}
	list, err := quantize.Damages(ctx, &env, q.Model, q.Types, q.Samples)
	if err != nil {
		return nil, err
	}
	info, err := Describe(q.Model)
	if err != nil {
		return nil, err
	}
	out := &QuantLayers{}
	by := map[model.NodeID]*LayerInfo{}
	for i := range info.Layers {
		by[model.NodeID(info.Layers[i].ID)] = &info.Layers[i]
	}
	for _, d := range list {
		l := QuantLayer{LayerDamage: d}
		if i := by[d.ID]; i != nil {
			l.MACs = i.MACs
		}
		out.Layers = append(out.Layers, l)
	}
	if q.Target == "" {
		return out, nil
	}
	t, err := a.timesOn(ctx, q, env.Data, func(f *TargetFacts) { out.Advice = advise(predict.Board(*f), q.Target, out.Layers, by) })
	if fail.Is(err, fail.Cancelled) {
		return nil, err
	}
	if err != nil { // the damage is worth showing without
		out.TimesE = err.Error()
		return out, nil
	}
	out.Times = t.how
	for i := range out.Layers {
		l := &out.Layers[i]
		if f, ok := t.float[l.ID]; ok {
			l.FloatNs = &f
		}
		if n, ok := t.int8[l.ID]; ok && l.Refused == "" {
			l.Int8Ns = &n
		}
	}
	return out, nil
}

// timesOn measures layers on the target; facts come first, as they may be all that there is.
func (a *App) timesOn(ctx context.Context, q QuantRequest, data optimizer.Data, facts func(*TargetFacts)) (*layerTimes, error) {
	f, err := a.TargetFacts(ctx, q.Target, q.Asks)
	if err != nil {
		return nil, err
	}
	facts(f)
	int8, err := a.plainInt8(ctx, q.Model, data)
	if err != nil {
		return nil, err
	}
	return a.layerTimes(ctx, timesQuery{float: q.Model, int8: int8, target: q.Target, threads: q.Threads, asks: q.Asks, progress: q.Progress})
}

// advise reckons the gain of 8-bit integers over all layers, weighing each by its least time.
func advise(m predict.Machine, target string, layers []QuantLayer, by map[model.NodeID]*LayerInfo) *Int8Advice {
	adv := &Int8Advice{Target: target}
	floats, direct, ints, least := 0.0, 0.0, 0.0, 0.0
	for i := range layers {
		l := by[layers[i].ID]
		if l == nil || l.MACs == 0 {
			continue
		}
		g := predict.Int8(m, predict.Work{Op: l.Op, DType: l.dtype, MACs: l.MACs, Window: l.window, Strides: l.strides})
		layers[i].Int8 = &g
		if adv.Why == "" || g.Most > 0 && floats == 0 {
			adv.Why = g.Why
		}
		if g.Most == 0 {
			continue
		}
		adv.Layers++
		if g.Against < 1 {
			adv.Slower++
		}
		work := float64(l.MACs) // time of the direct algorithm in floats, in some unit
		direct += work
		floats += work * g.Against / g.Best
		least += work / g.Most
		ints += work / g.Best
	}
	if ints > 0 {
		adv.Most, adv.Against = direct/least, floats/ints
	}
	return adv
}

// QuantTrial is one method that was tried.
type QuantTrial struct {
	Title  string    `json:"title"` // a key of the translations
	Before *Fidelity `json:"before,omitempty"`
	After  *Fidelity `json:"after,omitempty"` // nil: it found nothing to do, or did not run
	Kept   bool      `json:"kept"`
	Inside bool      `json:"inside,omitempty"` // a pass tried it on its own held-out items; Reason gives both distances
	Reason string    `json:"reason,omitempty"`
}

// AutoRequest says what to quantize with what.
type AutoRequest struct {
	Model      *model.Model
	Steps      []optimizer.RecipeStep // that come first; steps of quantization among them are replaced
	Data       string
	Preprocess string
	MaxDrop    float64 // percent of held-out answers that may differ, beyond which layers stay float
	Progress   task.Progress
}

// QuantPlan is the recipe that trying everything led to.
type QuantPlan struct {
	Recipe optimizer.Recipe `json:"-"`
	Trials []QuantTrial     `json:"trials"`
	Best   Fidelity         `json:"best"`
	Items  int              `json:"items"` // that judged; no trial saw them
}

// heldShare is what of the data judges: every so many-th item, at most heldMost.
const heldShare, heldMost = 4, 128

// AutoQuantize tries the methods one after another on top of what was kept before, judges each by items that none of them sees, and keeps
// what brings the outputs closer to the float model by more than a fiftieth.
func (a *App) AutoQuantize(ctx context.Context, q AutoRequest) (*QuantPlan, error) {
	pre, err := preprocessOf(q.Model, q.Preprocess, q.Data)
	if err != nil {
		return nil, err
	}
	if q.Data == "" {
		return nil, fail.New(fail.Usage, "trying methods of quantization needs data").Doing("quantize").Try("give a folder of typical inputs with --data")
	}
	set, err := a.openData(q.Data, q.Model, pre)
	if err != nil {
		return nil, err
	}
	if _, err := set.Hashes(ctx); err != nil {
		return nil, err
	}
	tune, held := set.Split(heldShare)
	if held.Len() < 4 {
		return nil, fail.New(fail.Usage, "%d items are too few to hold some out", set.Len()).Doing("quantize").Try("give at least %d items", 4*heldShare)
	}
	env := a.passEnv(q.Progress)
	env.Data, env.Cache = tune, optimizer.NewCache(cachedSteps)
	j, err := quantize.NewJudge(ctx, &env, q.Model, held, heldMost)
	if err != nil {
		return nil, err
	}
	t := &trier{a: a, env: env, base: q.Model, judge: j, plan: &QuantPlan{Items: j.Items()}}
	return t.plan, t.all(ctx, q)
}

// trier is a search under way.
type trier struct {
	a     *App
	env   optimizer.Env
	base  *model.Model
	judge *quantize.Judge
	plan  *QuantPlan
	steps []optimizer.RecipeStep // kept so far
	found map[string][]optimizer.Finding
}

// family are the passes that a plan of quantization is made of.
var family = []string{"equalize", "smooth", "quantize", "cluster-weights", "reestimate-batchnorm"}

func (t *trier) all(ctx context.Context, q AutoRequest) error {
	for _, s := range q.Steps {
		if !slices.Contains(family, s.Pass) {
			t.steps = append(t.steps, s)
		}
	}
	for i, s := range t.a.StandardRecipe().Steps { // integers begin behind what leaves the outputs equal
		if !slices.ContainsFunc(t.steps, func(x optimizer.RecipeStep) bool { return x.Pass == s.Pass }) {
			t.steps = slices.Insert(t.steps, min(i, len(t.steps)), s)
		}
	}
	t.steps = append(t.steps, optimizer.RecipeStep{Pass: "quantize", Options: map[string]any{}})
	first, found, err := t.run(ctx, t.steps)
	if err != nil {
		return err
	}
	t.plan.Best = first
	t.tell(QuantTrial{Title: "8-bit weights and values", After: &first, Kept: true})
	t.inner(found["quantize"], "Bias correction", "bias correction")
	t.inner(found["quantize"], "Pairs that cannot overflow 16 bits", "pairs of weights")
	before := func(pass string) func([]optimizer.RecipeStep) []optimizer.RecipeStep {
		return func(s []optimizer.RecipeStep) []optimizer.RecipeStep {
			return slices.Insert(slices.Clone(s), len(s)-1, optimizer.RecipeStep{Pass: pass})
		}
	}
	option := func(key string, value any) func([]optimizer.RecipeStep) []optimizer.RecipeStep {
		return func(s []optimizer.RecipeStep) []optimizer.RecipeStep {
			out := slices.Clone(s)
			i := slices.IndexFunc(out, func(x optimizer.RecipeStep) bool { return x.Pass == "quantize" })
			with := map[string]any{key: value}
			for k, v := range out[i].Options {
				if k != key {
					with[k] = v
				}
			}
			out[i].Options = with
			return out
		}
	}
	for _, m := range []struct {
		title, pass, label string
		change             func([]optimizer.RecipeStep) []optimizer.RecipeStep
	}{
		{"Equalize channels", "equalize", "equalisation", before("equalize")},
		{"Smooth matrix products", "smooth", "", before("smooth")},
		{"Ranges: all values", "", "", option("calibration", "minmax")},
		{"Ranges: 99.99 % of the values", "", "", option("calibration", "percentile")},
		{"Ranges: least divergence", "", "", option("calibration", "entropy")},
		{"Weights of 7 bits", "", "", option("reduce_range", "on")},
		{"Rounding by columns (GPTQ)", "", "", option("rounding", "gptq")},
		{"Rounding by descent (AdaRound)", "", "", option("rounding", "adaround")},
		{"Re-estimate normalisations", "reestimate-batchnorm", "", func(s []optimizer.RecipeStep) []optimizer.RecipeStep {
			return append(slices.Clone(s), optimizer.RecipeStep{Pass: "reestimate-batchnorm"})
		}},
	} {
		if err := t.try(ctx, m.title, m.pass, m.change(t.steps)); err != nil {
			return err
		}
		if m.pass == "equalize" {
			t.inner(t.found["equalize"], "Absorb high biases", "high biases")
		}
	}
	// 16-bit values lose next to nothing, but few kernels are fast with them: only where 8 bits do not do.
	if q.MaxDrop > 0 && t.plan.Best.Drop() > q.MaxDrop {
		wide := option("activations", "int16")(t.steps)
		delete(wide[slices.IndexFunc(wide, func(x optimizer.RecipeStep) bool { return x.Pass == "quantize" })].Options, "reduce_range") // no pairs of bytes there
		if err := t.try(ctx, "16-bit values", "", wide); err != nil {
			return err
		}
	}
	if q.MaxDrop > 0 && t.plan.Best.Drop() > q.MaxDrop {
		if err := t.try(ctx, "Keep the worst layers in floats", "", option("max_drop", q.MaxDrop)(t.steps)); err != nil {
			return err
		}
	}
	t.plan.Recipe = optimizer.Recipe{Schema: 1, Seed: 1, Steps: t.steps}
	return nil
}

// run derives a model by steps and judges it.
func (t *trier) run(ctx context.Context, steps []optimizer.RecipeStep) (Fidelity, map[string][]optimizer.Finding, error) {
	r := optimizer.Recipe{Schema: 1, Seed: 1, Steps: steps}
	done, err := optimizer.Run(ctx, t.base, &r, t.env)
	if err != nil {
		return Fidelity{}, nil, err
	}
	found := map[string][]optimizer.Finding{}
	for _, s := range done {
		found[s.Pass] = s.Findings
	}
	f, err := t.judge.Of(ctx, done[len(done)-1].Model)
	return f, found, err
}

// try runs steps and keeps them where they bring the outputs closer. pass is what must have something to do, "" where there is none.
func (t *trier) try(ctx context.Context, title, pass string, steps []optimizer.RecipeStep) error {
	t.env.Progress.Report(int64(len(t.plan.Trials)), 0, title)
	x := QuantTrial{Title: title}
	before := t.plan.Best
	after, found, err := t.run(ctx, steps)
	t.found = found
	switch {
	case fail.Is(err, fail.Cancelled):
		return err
	case err != nil: // one method that cannot be used must not end the search
		x.Reason = err.Error()
	case pass != "" && !slices.ContainsFunc(found[pass], func(f optimizer.Finding) bool { return f.Outcome == optimizer.Applied }):
		x.Reason = why(found[pass])
		x.Inside = slices.ContainsFunc(found[pass], func(f optimizer.Finding) bool { return len(f.Nodes) == 0 && f.Outcome == optimizer.Refused })
	case labelled(found["quantize"], "max_drop", optimizer.Nothing) != "":
		x.Reason = "on the items that the pass holds out itself " + labelled(found["quantize"], "max_drop", optimizer.Nothing)
	default:
		x.Before, x.After = &before, &after
		if x.Kept = closer(after, before); x.Kept {
			t.steps, t.plan.Best = steps, after
		}
	}
	t.tell(x)
	return nil
}

// closer reports whether f is nearer to the float model than g by more than chance among few items would often give.
func closer(f, g Fidelity) bool { return f.Damage() < 0.98*g.Damage() }

// why is the reason that a pass did nothing: of the model as a whole, else the first.
func why(found []optimizer.Finding) string {
	for _, f := range found {
		if len(f.Nodes) == 0 && f.Reason != "" {
			return f.Reason
		}
	}
	for _, f := range found {
		if f.Reason != "" {
			return f.Reason
		}
	}
	return "it finds nothing to do in this model"
}

// labelled is the reason of the finding with a label and an outcome, "" where there is none.
func labelled(found []optimizer.Finding, label string, o optimizer.Outcome) string {
	for _, f := range found {
		if f.Label == label && f.Outcome == o {
			return f.Reason
		}
	}
	return ""
}

// inner tells what a pass tried on its own.
func (t *trier) inner(found []optimizer.Finding, title, label string) {
	for _, f := range found {
		if f.Label == label {
			t.tell(QuantTrial{Title: title, Kept: f.Outcome == optimizer.Applied, Inside: f.Outcome != optimizer.Nothing, Reason: f.Reason})
		}
	}
}

func (t *trier) tell(x QuantTrial) { t.plan.Trials = append(t.plan.Trials, x) }

// QuantQuality says how good the calibration of a quantized model is.
type QuantQuality struct {
	Items     int          `json:"items"`
	Values    []DebugMatch `json:"values"`              // the worst first
	First     *DebugMatch  `json:"first,omitempty"`     // in order of the graph below brokenBelow
	Saturated *DebugMatch  `json:"saturated,omitempty"` // the value with the largest share beyond its range
}

// brokenBelow is where a value is called broken, in decibels.
const brokenBelow = 15

// quality compares a quantized model with the float model on items of a set.
func (a *App) quality(ctx context.Context, float, quant *model.Model, set *dataset.Set, items int, p task.Progress) (*QuantQuality, error) {
	env := a.passEnv(p)
	env.Data = set
	d, err := quantize.Debug(ctx, &env, float, quant, items, brokenBelow)
	if err != nil {
		return nil, err
	}
	q := &QuantQuality{Items: d.Items, Values: d.Values, First: d.First}
	for i := range d.Values {
		if v := &d.Values[i]; v.Saturated != nil && (q.Saturated == nil || *v.Saturated > *q.Saturated.Saturated) {
			q.Saturated = v
		}
	}
	return q, nil
}

// Names of layers in recipes: the node's own where it has one that no other node has, else its id.
func layerName(m *model.Model, id model.NodeID) string {
	n := m.Graph.Node(id)
	if n == nil || n.Name == "" {
		return string(id)
	}
	for _, o := range m.Graph.Nodes {
		if o != n && o.Name == n.Name {
			return string(id)
		}
	}
	return n.Name
}
