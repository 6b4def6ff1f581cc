package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
	Seed       int64
	Budget     time.Duration
	Progress   task.Progress
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
}

// SearchResult is the front and the verdict.
type SearchResult struct {
	Verdict  string       `json:"verdict"` // met, best-effort, impossible
	Why      string       `json:"why"`
	Base     Experiment   `json:"base"`
	Floor    Experiment   `json:"floor"` // the least of each that any recipe reached
	Front    []Experiment `json:"front"` // nobody is faster, smaller and better
	Tried    int          `json:"tried"`
	Untried  int          `json:"untried"` // the time was over
	LastSeed int64        `json:"seed"`
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
	add(l.ms > 0 && x.Ms > l.ms, "%.3g ms of %.3g", x.Ms, l.ms)
	add(l.p99 > 0 && x.P99 > l.p99, "%.3g ms at the 99th percentile of %.3g", x.P99, l.p99)
	add(l.bytes > 0 && float64(x.Bytes) > l.bytes, "%.3g MB of %.3g", float64(x.Bytes)/1e6, l.bytes/1e6)
	add(l.macs > 0 && float64(x.MACs) > l.macs*float64(base.MACs), "%.2f of the multiply-adds, %.2f were allowed", float64(x.MACs)/float64(base.MACs), l.macs)
	add(l.drop >= 0 && x.Drop > l.drop, "%.2f points lost of %.2f", x.Drop, l.drop)
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
	return out
}

// Search tries recipes on a model and gives those that nobody beats, with a verdict on the goal. What it tried lies in the folder, so that a
// search that was stopped goes on.
func (a *App) Search(ctx context.Context, path string, q SearchRequest) (*SearchResult, error) {
	l, err := parseGoal(q.Goal)
	if err != nil {
		return nil, err
	}
	base, err := a.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(q.Out, 0o755); err != nil {
		return nil, fail.New(fail.Denied, "%v", err).Doing("search")
	}
	inputs, err := a.verifyInputs(ctx, base, q.Seed)
	if err != nil || len(inputs) == 0 {
		return nil, fail.New(fail.Unsupported, "the model cannot be run on inputs made here").Doing("search")
	}
	r := &SearchResult{LastSeed: q.Seed}
	r.Base, err = a.known(ctx, q, base, "original", inputs[0], func() (*model.Model, float64, error) {
		first := optimizer.Recipe{Schema: 1, Seed: q.Seed, Steps: []optimizer.RecipeStep{{Pass: "eliminate-dead"}}}
		o, err := a.Optimize(ctx, base, &first, OptimizeOptions{Score: q.Score, Preprocess: q.Preprocess, Unproven: true})
		if err != nil {
			return nil, 0, err
		}
		return base, number(o.Report.Steps[0].Before.Score), nil
	})
	if err != nil {
		return nil, err
	}
	begin, plans := time.Now(), q.plans()
	var all []Experiment
	impossible := ""
	for i, p := range plans {
		if time.Since(begin) > q.Budget {
			r.Untried = len(plans) - i
			break
		}
		name := planName(p)
		q.Progress.Report(int64(i), int64(len(plans)), "trying "+name)
		x, err := a.known(ctx, q, base, name, inputs[0], func() (*model.Model, float64, error) {
			o, err := a.Optimize(ctx, base, &p, OptimizeOptions{Data: q.Data, Score: q.Score, Preprocess: q.Preprocess, Unproven: true})
			if err != nil {
				return nil, 0, err
			}
			return o.Model, number(o.Report.Steps[len(o.Report.Steps)-1].After.Score), nil
		})
		if fail.Is(err, fail.Cancelled) {
			return nil, err
		}
		if err != nil { // one recipe that does not fit is no end of the search
			impossible = fail.From(err).Error()
			all = append(all, Experiment{Name: name, Problem: impossible})
			continue
		}
		if err := a.WriteRecipe(filepath.Join(q.Out, x.Recipe), p); err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	r.judge(all, l, impossible)
	b, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(q.Out, "search.json"), append(b, '\n'), 0o644)
	}
	if err != nil {
		return nil, fail.New(fail.Denied, "%v", err).Doing("search")
	}
	return r, nil
}

func number(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

// planName says what a recipe does, in a file name.
func planName(p optimizer.Recipe) string {
	var parts []string
	for _, s := range p.Steps {
		n := s.Pass
		if v, ok := s.Options["macs"].(float64); ok {
			n += fmt.Sprintf("-%02.0f", 100*v)
		}
		parts = append(parts, n)
	}
	return strings.Join(parts, "+")
}

func (q SearchRequest) keep(name string, x Experiment) error {
	b, err := json.MarshalIndent(x, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(q.Out, name+".json"), append(b, '\n'), 0o644)
	}
	if err != nil {
		return fail.New(fail.Denied, "%v", err).Doing("search")
	}
	return nil
}

// known gives the numbers of an experiment: from the folder, where it was made before, else made now and measured from its file.
func (a *App) known(ctx context.Context, q SearchRequest, base *model.Model, name string, in map[string]*model.Tensor, build func() (*model.Model, float64, error)) (Experiment, error) {
	x := Experiment{Name: name, Recipe: name + ".toml", Model: name + ".onnx", Of: fmt.Sprint("2 ", base.Hash(), " ", q.Data, " ", q.Score, " ", q.Seed, " ", q.Distil)}
	if b, err := os.ReadFile(filepath.Join(q.Out, name+".json")); err == nil {
		var old Experiment
		if _, gone := os.Stat(filepath.Join(q.Out, x.Model)); json.Unmarshal(b, &old) == nil && old.Of == x.Of && gone == nil {
			return old, nil
		}
	}
	m, score, err := build()
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
	if x.Ms, x.P99, err = a.timeRuns(ctx, m, in); err != nil {
		return x, err
	}
	return x, q.keep(name, x)
}

// timeRuns gives the median and the 99th percentile of the time of runs of m on this computer.
func (a *App) timeRuns(ctx context.Context, m *model.Model, in map[string]*model.Tensor) (ms, p99 float64, err error) {
	s, err := engineRunner{a}.Open(ctx, m)
	if err != nil {
		return 0, 0, err
	}
	defer s.Close()
	var l []float64
	for i := range 103 {
		begin := time.Now()
		if _, err := s.Run(ctx, in); err != nil {
			return 0, 0, err
		}
		if i >= 3 {
			l = append(l, float64(time.Since(begin))/1e6)
		}
	}
	return stats.Median(l), stats.Quantile(l, 0.99), nil
}

// judge makes the front of all experiments and the verdict.
func (r *SearchResult) judge(all []Experiment, l limits, impossible string) {
	r.Floor = r.Base
	r.Floor.Name, r.Floor.Model, r.Floor.Recipe = "floor", "", ""
	var points []search.Point
	var ok []Experiment
	for _, x := range append([]Experiment{r.Base}, all...) {
		if x.Problem != "" {
			continue
		}
		x.Drop = 100 * (r.Base.Score - x.Score)
		x.Misses = l.misses(x, r.Base)
		x.Meets = x.Misses == ""
		r.Floor.Ms, r.Floor.P99, r.Floor.Bytes, r.Floor.MACs = min(r.Floor.Ms, x.Ms), min(r.Floor.P99, x.P99), min(r.Floor.Bytes, x.Bytes), min(r.Floor.MACs, x.MACs)
		points, ok = append(points, search.Point{Name: x.Name, Costs: []float64{x.Ms, float64(x.Bytes), x.Drop}}), append(ok, x)
	}
	r.Tried = len(ok) - 1
	for _, i := range search.Front(points) {
		r.Front = append(r.Front, ok[i])
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
		r.Verdict, r.Why = "impossible", "below the floor of all recipes: "+out
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
		r.Why = fmt.Sprintf("the binding limit: %s (%s)", near.Misses, near.Name)
	}
}
