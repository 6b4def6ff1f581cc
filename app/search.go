package app

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/internal/stats"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/optimizer/search"
)

// SearchRequest is a goal and what it is looked for with.
type SearchRequest struct {
	Goal       string // "ms<=30,size<=18MB,macs<=0.5,drop<=1"
	Data       string // to calibrate and fit on
	Score      string // held-out, labelled
	Preprocess string
	Out        string  // folder of the front: recipes, models, and what is known; a search that was stopped goes on there
	Distil     float64 // minutes of distillation for each recipe; 0: none
	Optimizer  string  // "" or exact: a row of budgets, solved exactly; gp, tpe, evolution, random: roll-outs over groups of channels
	Rollouts   int     // how many of these
	Target     string  // whose times count: by its learned table of kernels, else each file is run there; "": this computer, in this program
	Threads    int     // on the target
	Asks       Asks
	Seed       int64
	Budget     time.Duration
	Progress   task.Progress
	Live       func(SearchResult) // sees the result so far after each recipe; may be nil
}

// Experiment is one recipe that was tried. Numbers are of the file itself: no guess stays in.
type Experiment struct {
	Name    string  `json:"name"`
	Recipe  string  `json:"recipe"` // file in the folder
	Model   string  `json:"model"`
	MACs    int64   `json:"macs"`
	Bytes   int64   `json:"bytes"`
	Ms      float64 `json:"ms"`  // median on this computer, one run at a time
	P99     float64 `json:"p99"` // of 99 of 100 runs at most
	Score   float64 `json:"score"`
	Drop    float64 `json:"drop"` // points lost against the original
	Meets   bool    `json:"meets"`
	Misses  string  `json:"misses,omitempty"` // the limits that it does not hold
	Problem string  `json:"problem,omitempty"`
	Of      string  `json:"of"` // model, data and seed that the numbers belong to

	Point  []int    `json:"point,omitempty"`  // of a roll-out
	Damage *float64 `json:"damage,omitempty"` // of a roll-out: distance of the answers on items of the data that it was not fitted to
}

// SearchResult is the front and the verdict.
type SearchResult struct {
	Verdict  string       `json:"verdict"` // met, best-effort, impossible
	Why      string       `json:"why"`
	Binding  string       `json:"binding,omitempty"` // the limits that the nearest recipe does not hold
	Base     Experiment   `json:"base"`
	Floor    Experiment   `json:"floor"`            // the least of each that any recipe reached
	Front    []Experiment `json:"front"`            // nobody is faster, smaller and better
	Beaten   []Experiment `json:"beaten,omitempty"` // the others
	Failed   []Experiment `json:"failed,omitempty"`
	Rollouts []Rollout    `json:"rollouts,omitempty"`
	Tried    int          `json:"tried"`
	Untried  int          `json:"untried"` // the time was over
	LastSeed int64        `json:"seed"`
	Times    string       `json:"times,omitempty"` // where they come from, if not from this computer
}

// limits are the bounds of a goal; 0: none, drop below 0: none.
type limits struct{ ms, p99, bytes, macs, drop float64 }

func parseGoal(s string) (limits, error) {
	l := limits{drop: -1}
	for _, part := range strings.Split(s, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "<=")
		factor := 1.0
		for _, u := range []struct {
			unit string
			by   float64
		}{{"MB", 1e6}, {"kB", 1e3}, {"ms", 1}, {"%", 1}} {
			if cut, found := strings.CutSuffix(value, u.unit); found {
				value, factor = cut, u.by
				break
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if !ok || err != nil || v < 0 {
			return l, fail.New(fail.Usage, "%q is no limit", part).Doing("search").Try("write for example ms<=30,size<=18MB,macs<=0.5,drop<=1")
		}
		switch v *= factor; strings.TrimSpace(key) {
		case "ms", "p50":
			l.ms = v
		case "p99":
			l.p99 = v
		case "size":
			l.bytes = v
		case "macs":
			l.macs = v
		case "drop":
			l.drop = v
		default:
			return l, fail.New(fail.Usage, "no limit is called %q", key).Doing("search").Try("known are ms (or p50), p99, size, macs (share that stays) and drop (points)")
		}
	}
	return l, nil
}

// misses names the limits that x does not hold.
func (l limits) misses(x, base Experiment) string {
	var out []string
	add := func(bad bool, format string, args ...any) {
		if bad {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(l.ms > 0 && x.Ms > l.ms, "%.3g ms where %.3g are allowed", x.Ms, l.ms)
	add(l.p99 > 0 && x.P99 > l.p99, "%.3g ms at the 99th percentile where %.3g are allowed", x.P99, l.p99)
	add(l.bytes > 0 && float64(x.Bytes) > l.bytes, "%.3g MB where %.3g are allowed", float64(x.Bytes)/1e6, l.bytes/1e6)
	add(l.macs > 0 && float64(x.MACs) > l.macs*float64(base.MACs), "%.2f of the multiply-adds where %.2f are allowed", float64(x.MACs)/float64(base.MACs), l.macs)
	add(l.drop >= 0 && x.Drop > l.drop, "%.2f points lost where %.2f are allowed", x.Drop, l.drop)
	return strings.Join(out, "; ")
}

// plans are the recipes that a search tries, the mildest first.
func (q SearchRequest) plans() []optimizer.Recipe {
	var out []optimizer.Recipe
	add := func(steps ...optimizer.RecipeStep) {
		if q.Distil > 0 && len(steps) > 0 {
			steps = append(steps, optimizer.RecipeStep{Pass: "distill", Options: map[string]any{"minutes": q.Distil}})
		}
		out = append(out, optimizer.Recipe{Schema: 1, Seed: q.Seed, Steps: steps})
	}
	lean := optimizer.RecipeStep{Pass: "factorize", Options: map[string]any{"error": 0.03}}
	for _, share := range []float64{0.85, 0.7, 0.55, 0.4, 0.3, 0.2} {
		cut := optimizer.RecipeStep{Pass: "prune-channels", Options: map[string]any{"allocation": "damage", "macs": share, "samples": int64(128)}}
		add(cut)
		if share == 0.7 || share == 0.4 {
			add(cut, lean)
		}
	}
	add(lean)
	add(optimizer.RecipeStep{Pass: "remove-blocks"})
	if q.Distil > 0 { // stand-ins of blocks are nothing before they learned
		for _, share := range []float64{0.7, 0.4} {
			add(optimizer.RecipeStep{Pass: "replace-blocks", Options: map[string]any{"macs": share, "minutes": q.Distil}})
		}
	}
	if l, err := parseGoal(q.Goal); err == nil && l.ms > 0 && q.Target != "" { // the budget itself, in the target's time
		add(optimizer.RecipeStep{Pass: "prune-channels", Options: map[string]any{"allocation": "damage", "ms": l.ms, "samples": int64(128)}})
	}
	return out
}

// Search tries recipes on a model and gives those that nobody beats, with a verdict on the goal. What it tried lies in the folder, so that a
// search that was stopped or killed goes on.
func (a *App) Search(ctx context.Context, path string, q SearchRequest) (*SearchResult, error) {
	base, err := a.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	return a.SearchModel(ctx, base, q)
}

// SearchModel is Search for a model that is open.
func (a *App) SearchModel(ctx context.Context, base *model.Model, q SearchRequest) (*SearchResult, error) {
	l, err := parseGoal(q.Goal)
	if err != nil {
		return nil, err
	}
	if exact := q.Optimizer == "" || q.Optimizer == "exact"; !exact && (search.NewSampler(q.Optimizer, nil, 0) == nil || q.Rollouts < 1 || q.Rollouts > mostRollouts) {
		return nil, fail.New(fail.Usage, "optimizer %q with %d roll-outs", q.Optimizer, q.Rollouts).Doing("search").
			Try("known are exact, %s; give 1 to %d roll-outs", strings.Join(search.Samplers(), ", "), mostRollouts)
	}
	if err := os.MkdirAll(q.Out, 0o755); err != nil {
		return nil, fail.New(fail.Denied, "%v", err).Doing("search")
	}
	inputs, err := a.verifyInputs(ctx, base, q.Seed)
	if err != nil || len(inputs) == 0 {
		return nil, fail.New(fail.Unsupported, "the model cannot be run on inputs made here").Doing("search")
	}
	h := &hunt{a: a, q: q, base: base, limits: l, in: inputs[0], begin: time.Now(), r: &SearchResult{LastSeed: q.Seed}}
	if q.Target != "" {
		if l.p99 > 0 {
			return nil, fail.New(fail.Usage, "p99 is measured on this computer alone").Doing("search").Try("limit ms for the target, and measure p99 of what is found with fettle profile")
		}
		h.board = a.boardCost(ctx, q.Target, max(q.Threads, 1), q.Asks)
	}
	h.r.Base, err = a.known(ctx, h, Experiment{Name: "original"}, func(*Experiment) (*model.Model, float64, error) {
		score, err := a.scored(ctx, base, base, q)
		return base, score, err
	})
	if err != nil {
		return nil, err
	}
	if q.Optimizer == "" || q.Optimizer == "exact" {
		err = h.exact(ctx)
	} else {
		err = h.rollouts(ctx)
	}
	if err != nil {
		return nil, err
	}
	h.r.judge(h.all, l, h.impossible)
	if h.board != nil {
		h.r.Times = h.board.how()
	}
	return h.r, h.save()
}

// FoundBefore is what an earlier search with the same request left in its folder, nil: nothing. Nothing is tried.
func (a *App) FoundBefore(base *model.Model, q SearchRequest) *SearchResult {
	l, err := parseGoal(q.Goal)
	if err != nil {
		return nil
	}
	h := &hunt{a: a, q: q, base: base, limits: l, r: &SearchResult{LastSeed: q.Seed}}
	take := func(name string) (Experiment, bool) {
		x, ok := q.read(name)
		return x, ok && x.Of == q.of(base, x.Point)
	}
	var ok bool
	if h.r.Base, ok = take("original"); !ok {
		return nil
	}
	if q.Optimizer == "" || q.Optimizer == "exact" {
		plans := q.plans()
		for _, p := range plans {
			if x, ok := take(planName(p)); ok {
				h.all = append(h.all, x)
			}
		}
		h.r.Untried = len(plans) - len(h.all)
	} else {
		best, last := math.Inf(-1), 0
		for i := range q.Rollouts {
			x, ok := take(q.rolloutName(i))
			if !ok { // a recipe that does not fit leaves nothing
				continue
			}
			h.all = append(h.all, x)
			last = i + 1
			now := Rollout{N: i + 1, Name: x.Name, Point: x.Point, Damage: x.Damage, Reward: h.reward(x)}
			best = max(best, now.Reward)
			now.Best = best
			h.r.Rollouts = append(h.r.Rollouts, now)
		}
		h.r.Untried = q.Rollouts - last
	}
	h.r.judge(h.all, l, "")
	if q.Target != "" {
		h.r.Times = "those of " + targetName(q.Target)
	}
	return h.r
}

// hunt is a search under way.
type hunt struct {
	a          *App
	q          SearchRequest
	base       *model.Model
	limits     limits
	in         map[string]*model.Tensor
	begin      time.Time
	r          *SearchResult
	all        []Experiment
	impossible string
	board      *boardCost // nil: times are those of this computer
}

// late reports whether the time is over.
func (h *hunt) late() bool { return time.Since(h.begin) > h.q.Budget }

// exact tries a row of budgets, the choice of channels within each being exact.
func (h *hunt) exact(ctx context.Context) error {
	plans := h.q.plans()
	for i, p := range plans {
		if h.late() {
			h.r.Untried = len(plans) - i
			return nil
		}
		h.q.Progress.Report(int64(i), int64(len(plans)), "trying "+planName(p))
		if _, err := h.try(ctx, Experiment{Name: planName(p)}, p, nil); err != nil {
			return err
		}
	}
	return nil
}

// try makes an experiment of a recipe; one that does not fit is no end of the search. more adds what is to be kept with its numbers.
func (h *hunt) try(ctx context.Context, x Experiment, p optimizer.Recipe, more func(x *Experiment, m *model.Model) error) (Experiment, error) {
	got, err := h.a.known(ctx, h, x, func(x *Experiment) (*model.Model, float64, error) {
		o, err := h.a.Optimize(ctx, h.base, &p, OptimizeOptions{Data: h.q.Data, Preprocess: h.q.Preprocess, Unproven: true, Target: h.q.Target, Threads: max(h.q.Threads, 1), Asks: h.q.Asks})
		if err != nil {
			return nil, 0, err
		}
		if more != nil {
			if err := more(x, o.Model); err != nil {
				return nil, 0, err
			}
		}
		if err := h.a.WriteRecipe(filepath.Join(h.q.Out, x.Recipe), p); err != nil {
			return nil, 0, err
		}
		score, err := h.a.scored(ctx, o.Model, h.base, h.q)
		return o.Model, score, err
	})
	if fail.Is(err, fail.Cancelled) || fail.Is(err, fail.Denied) {
		return got, err
	}
	if err != nil {
		h.impossible = fail.From(err).Error()
		got.Problem = h.impossible
	}
	h.all = append(h.all, got)
	h.tell()
	return got, nil
}

// tell shows the result so far to whoever looks on.
func (h *hunt) tell() {
	if h.q.Live == nil {
		return
	}
	now := *h.r
	now.judge(h.all, h.limits, h.impossible)
	if h.board != nil {
		now.Times = h.board.how()
	}
	h.q.Live(now)
}

// save writes the result.
func (h *hunt) save() error {
	b, err := json.MarshalIndent(h.r, "", " ")
	if err != nil {
		return fail.New(fail.Internal, "%v", err).Doing("search")
	}
	return exportFile(filepath.Join(h.q.Out, "search.json"), append(b, '\n'))
}

// scored is how good a model is on the held-out data: its accuracy, or how often it agrees with the original where there are no labels.
func (a *App) scored(ctx context.Context, m, base *model.Model, q SearchRequest) (float64, error) {
	r, err := a.EvalModel(ctx, m, base, q.Score, q.Preprocess, 0, nil)
	if err != nil {
		return 0, err
	}
	if r.Score != nil {
		return *r.Score, nil
	}
	return r.Agreement.Top1, nil
}

// planName says what a recipe does, in a file name.
func planName(p optimizer.Recipe) string {
	var parts []string
	for _, s := range p.Steps {
		n := s.Pass
		if v, ok := s.Options["macs"].(float64); ok {
			n += fmt.Sprintf("-%02.0f", 100*v)
		}
		if v, ok := s.Options["ms"].(float64); ok {
			n += fmt.Sprintf("-%.4gms", v)
		}
		parts = append(parts, n)
	}
	return strings.Join(parts, "+")
}

// keep writes an experiment in one step: a search that is killed finds whole ones.
func (q SearchRequest) keep(x Experiment) error {
	b, err := json.MarshalIndent(x, "", " ")
	if err != nil {
		return fail.New(fail.Internal, "%v", err).Doing("search")
	}
	return exportFile(filepath.Join(q.Out, x.Name+".json"), append(b, '\n'))
}

// of names what the numbers of an experiment belong to.
func (q SearchRequest) of(base *model.Model, point []int) string {
	return fmt.Sprint("4 ", base.Hash(), " ", q.Data, " ", q.Score, " ", q.Seed, " ", q.Distil, " ", point, " ", q.Target, " ", q.Threads)
}

// read gives an experiment of the folder whose model is there too.
func (q SearchRequest) read(name string) (x Experiment, ok bool) {
	b, err := os.ReadFile(filepath.Join(q.Out, name+".json"))
	if err != nil || json.Unmarshal(b, &x) != nil {
		return Experiment{}, false
	}
	_, err = os.Stat(filepath.Join(q.Out, name+".onnx"))
	return x, err == nil
}

// known gives the numbers of an experiment: from the folder, where it was made before, else made now and measured from its file.
func (a *App) known(ctx context.Context, h *hunt, x Experiment, build func(x *Experiment) (*model.Model, float64, error)) (Experiment, error) {
	q := h.q
	x.Recipe, x.Model = x.Name+".toml", x.Name+".onnx"
	x.Of = q.of(h.base, x.Point)
	if old, ok := q.read(x.Name); ok && old.Of == x.Of {
		return old, nil
	}
	m, score, err := build(&x)
	if err != nil {
		return x, err
	}
	file := filepath.Join(q.Out, x.Model)
	if err := a.Save(file, m); err != nil {
		return x, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return x, fail.New(fail.Denied, "%v", err).Doing("search")
	}
	size, err := optimizer.Measure(m)
	if err != nil {
		return x, err
	}
	x.Bytes, x.MACs, x.Score = info.Size(), size.MACs, score
	if h.board != nil {
		x.Ms, err = h.board.PredictNs(m)
		x.Ms /= 1e6
	} else {
		x.Ms, x.P99, err = a.timeRuns(ctx, m, h.in)
	}
	if err != nil {
		return x, err
	}
	return x, q.keep(x)
}

// timeRuns gives the median of what the thread works for a run of m on this computer, and the 99th percentile of the time that a run takes, other
// programs included.
func (a *App) timeRuns(ctx context.Context, m *model.Model, in map[string]*model.Tensor) (ms, p99 float64, err error) {
	s, err := engineRunner{a}.Open(ctx, m)
	if err != nil {
		return 0, 0, err
	}
	defer s.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var work, all []float64
	for i := range 103 {
		begin, start := time.Now(), threadClock()
		if _, err := s.Run(ctx, in); err != nil {
			return 0, 0, err
		}
		if i >= 3 {
			work, all = append(work, float64(threadClock()-start)/1e6), append(all, float64(time.Since(begin))/1e6)
		}
	}
	return stats.Median(work), stats.Quantile(all, 0.99), nil
}

// judge makes the front of all experiments and the verdict.
func (r *SearchResult) judge(all []Experiment, l limits, impossible string) {
	r.Floor, r.Front, r.Beaten, r.Failed, r.Binding = r.Base, nil, nil, nil, ""
	r.Floor.Name, r.Floor.Model, r.Floor.Recipe = "floor", "", ""
	var points []search.Point
	var ok []Experiment
	for _, x := range append([]Experiment{r.Base}, all...) {
		if x.Problem != "" {
			r.Failed = append(r.Failed, x)
			continue
		}
		x.Drop = 100 * (r.Base.Score - x.Score)
		x.Misses = l.misses(x, r.Base)
		x.Meets = x.Misses == ""
		r.Floor.Ms, r.Floor.P99, r.Floor.Bytes, r.Floor.MACs = min(r.Floor.Ms, x.Ms), min(r.Floor.P99, x.P99), min(r.Floor.Bytes, x.Bytes), min(r.Floor.MACs, x.MACs)
		points, ok = append(points, search.Point{Name: x.Name, Costs: []float64{x.Ms, float64(x.Bytes), x.Drop}}), append(ok, x)
	}
	r.Tried = len(ok) - 1
	front := search.Front(points)
	for _, i := range front {
		r.Front = append(r.Front, ok[i])
	}
	for i, x := range ok {
		if !slices.Contains(front, i) {
			r.Beaten = append(r.Beaten, x)
		}
	}
	best := -1
	for i, x := range r.Front {
		if x.Meets && (best < 0 || x.Drop < r.Front[best].Drop) {
			best = i
		}
	}
	below := l // whatever the answers are worth
	below.drop = -1
	switch out := below.misses(r.Floor, r.Base); {
	case best >= 0:
		r.Verdict, r.Why = "met", fmt.Sprintf("%s holds all limits and loses %.2f points, the least of those that do", r.Front[best].Name, r.Front[best].Drop)
	case out != "":
		r.Verdict, r.Why, r.Binding = "impossible", "below the floor of all recipes: "+out, out
		if r.Untried > 0 {
			r.Why = "below the floor of the recipes tried so far: " + out
		}
		if impossible != "" {
			r.Why += "; " + impossible
		}
	default:
		r.Verdict = "best-effort"
		near := r.Front[len(r.Front)-1]
		for _, x := range r.Front {
			if below.misses(x, r.Base) == "" && (below.misses(near, r.Base) != "" || x.Drop < near.Drop) {
				near = x
			}
		}
		r.Binding = near.Misses
		r.Why = fmt.Sprintf("the binding limit: %s (%s)", near.Misses, near.Name)
	}
}
