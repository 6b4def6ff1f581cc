package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
)

// StudentsRequest says what small networks are looked for.
type StudentsRequest struct {
	Data       string // unlabelled, to learn from
	Score      string // held-out
	Preprocess string
	Target     string  // whose predicted time counts; "": measured on this computer
	Threads    int     // on the target
	Minutes    float64 // of learning, each
	Passes     int     // over the data at most; 0: as many as the time allows, up to 200
	Ms         float64 // longest time; 0: no bound
	Out        string  // folder for models and recipes
	Seed       int64
	Progress   task.Progress
	Live       func(StudentsReport) // sees the ranking so far after each student; may be nil
}

// StudentRow is one small network that learned, or why it did not.
type StudentRow struct {
	Name    string  `json:"name"`
	Kind    string  `json:"kind"` // original, thinned, ready
	Ms      float64 `json:"ms"`
	Guess   bool    `json:"predicted"` // Ms is a prediction for the target, not a measurement
	MACs    int64   `json:"macs"`
	Bytes   int64   `json:"bytes"`
	Score   float64 `json:"score"` // of the file on the held-out data
	Model   string  `json:"model,omitempty"`
	Problem string  `json:"problem,omitempty"`
	Kept    bool    `json:"kept,omitempty"` // it was done before, by a search that was stopped
}

// StudentsReport ranks them: the best first, those that nobody beats in time and score marked.
type StudentsReport struct {
	Labelled bool         `json:"labelled"` // Score is accuracy; else how often it agrees with the original
	Rows     []StudentRow `json:"rows"`
	Front    []string     `json:"front"`
}

// studentPlans are thinned versions of the model itself and ready small forms.
func (q StudentsRequest) plans() map[string][]optimizer.RecipeStep {
	passes := q.Passes
	if passes == 0 {
		passes = 200
	}
	learn := func(features float64) optimizer.RecipeStep {
		return optimizer.RecipeStep{Pass: "distill", Options: map[string]any{"minutes": q.Minutes, "features": features, "epochs": int64(passes)}}
	}
	plans := map[string][]optimizer.RecipeStep{}
	for _, r := range []float64{0.25, 0.5, 0.75} {
		plans[fmt.Sprintf("thinned-%.0f", 100*r)] = []optimizer.RecipeStep{{Pass: "prune-channels", Options: map[string]any{"ratio": r, "sums": true, "slower": "keep"}}, learn(1)}
	}
	for _, s := range []struct {
		form  string
		width int64
	}{{"plain", 16}, {"separable", 16}, {"separable", 32}, {"residual", 16}} {
		plans[fmt.Sprintf("%s-%d", s.form, s.width)] = []optimizer.RecipeStep{{Pass: "student", Options: map[string]any{"form": s.form, "width": s.width}}, learn(0)}
	}
	return plans
}

// Students lets small networks learn from a model and ranks them by what they score, with the time that each takes on the target. A network
// that is too slow is not trained at all. A search that was stopped goes on when it is asked for again with the same folder.
func (a *App) Students(ctx context.Context, path string, q StudentsRequest) (*StudentsReport, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	base, err := a.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	return a.StudentsOf(ctx, base, q)
}

const findStudent = "find a student"

func (q StudentsRequest) check() error {
	if q.Minutes <= 0 || q.Ms < 0 || q.Data == "" || q.Score == "" || q.Out == "" {
		return fail.New(fail.Usage, "%g minutes, data %q, score %q, folder %q", q.Minutes, q.Data, q.Score, q.Out).Doing(findStudent).Try("give the minutes that each may learn, data to learn from, held-out data and a folder")
	}
	return nil
}

// StudentsOf is Students for a model that is open.
func (a *App) StudentsOf(ctx context.Context, base *model.Model, q StudentsRequest) (*StudentsReport, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(q.Out, 0o755); err != nil {
		return nil, fail.New(fail.Denied, "%v", err).Doing(findStudent)
	}
	done := q.doneIn(base)
	r := &StudentsReport{}
	first, ok := done.row("original")
	if ok {
		r.Labelled = done.Labelled
	} else {
		var err error
		if first, err = a.studentRow(ctx, q, r, base, base, "original", "original"); err != nil {
			return nil, fail.In(err, findStudent, fail.Where{})
		}
		done.Labelled = r.Labelled
		if err := done.add(first); err != nil {
			return nil, err
		}
	}
	r.take(q, first)
	plans := q.plans()
	names := q.names()
	for i, name := range names {
		q.Progress.Report(int64(i), int64(len(names)), "student "+name)
		if row, ok := done.row(name); ok {
			r.take(q, row)
			continue
		}
		kind := "ready"
		if plans[name][0].Pass == "prune-channels" {
			kind = "thinned"
		}
		row, err := a.student(ctx, q, r, base, name, kind, plans[name])
		if fail.Is(err, fail.Cancelled) {
			return nil, err
		}
		if err != nil {
			row.Name, row.Kind, row.Problem = name, kind, fail.From(err).Error()
		} else if err := done.add(row); err != nil {
			return nil, err
		}
		r.take(q, row)
	}
	return r, nil
}

// StudentsBefore are those that an earlier search with the same request left in its folder, nil: none. missing is how many are not done.
func (a *App) StudentsBefore(base *model.Model, q StudentsRequest) (r *StudentsReport, missing int) {
	done := q.doneIn(base)
	r = &StudentsReport{Labelled: done.Labelled}
	for _, name := range append([]string{"original"}, q.names()...) {
		if row, ok := done.row(name); ok {
			r.Rows = append(r.Rows, row)
		} else {
			missing++
		}
	}
	if len(r.Rows) == 0 {
		return nil, missing
	}
	r.rank()
	return r, missing
}

// names are those of the plans, in order.
func (q StudentsRequest) names() []string {
	var names []string
	for name := range q.plans() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// take adds a row to the ranking and shows it.
func (r *StudentsReport) take(q StudentsRequest, row StudentRow) {
	r.Rows = append(r.Rows, row)
	r.rank()
	if q.Live != nil {
		q.Live(StudentsReport{r.Labelled, slices.Clone(r.Rows), slices.Clone(r.Front)})
	}
}

// student makes one: its time comes first, since a network that is too slow need not learn.
func (a *App) student(ctx context.Context, q StudentsRequest, r *StudentsReport, base *model.Model, name, kind string, steps []optimizer.RecipeStep) (StudentRow, error) {
	recipe := optimizer.Recipe{Schema: 1, Seed: q.Seed, Steps: steps}
	opt := OptimizeOptions{Data: q.Data, Preprocess: q.Preprocess, Unproven: true, Progress: q.Progress}
	if q.Ms > 0 {
		bare := recipe
		bare.Steps = steps[:1]
		o, err := a.Optimize(ctx, base, &bare, opt)
		if err != nil {
			return StudentRow{}, err
		}
		ms, guess, err := a.timeFor(ctx, o.Model, q)
		if err != nil {
			return StudentRow{}, err
		}
		if ms > q.Ms {
			return StudentRow{Name: name, Kind: kind, Ms: ms, Guess: guess, Problem: fmt.Sprintf("%.3f ms, %.3f are allowed: not trained", ms, q.Ms)}, nil
		}
	}
	o, err := a.Optimize(ctx, base, &recipe, opt)
	if err != nil {
		return StudentRow{}, err
	}
	for _, s := range o.Report.Steps {
		if len(s.NodesTouched) == 0 {
			why := "it changed nothing"
			if n := len(s.Findings); n > 0 {
				why = s.Findings[n-1].Reason
			}
			return StudentRow{Name: name, Kind: kind, Problem: s.Pass + ": " + why}, nil
		}
	}
	row, err := a.studentRow(ctx, q, r, o.Model, base, name, kind)
	if err != nil {
		return row, err
	}
	row.Model = name + ".onnx"
	if err := a.WriteRecipe(filepath.Join(q.Out, name+".toml"), recipe); err != nil {
		return row, err
	}
	return row, a.Save(filepath.Join(q.Out, row.Model), o.Model)
}

// studentRow measures and scores a model.
func (a *App) studentRow(ctx context.Context, q StudentsRequest, r *StudentsReport, m, base *model.Model, name, kind string) (StudentRow, error) {
	row := StudentRow{Name: name, Kind: kind}
	size, err := optimizer.Measure(m)
	if err != nil {
		return row, err
	}
	row.MACs, row.Bytes = size.MACs, size.WeightBytes
	if row.Ms, row.Guess, err = a.timeFor(ctx, m, q); err != nil {
		return row, err
	}
	e, err := a.EvalModel(ctx, m, base, q.Score, q.Preprocess, 0, nil)
	if err != nil {
		return row, err
	}
	if r.Labelled = e.Score != nil; r.Labelled {
		row.Score = *e.Score
	} else {
		row.Score = e.Agreement.Top1
	}
	return row, nil
}

// timeFor is the predicted time on the target, or the measured one on this computer, of m behind the recipe standard: nobody deploys it
// as it was exported, and students differ in how much that leaves to fuse.
func (a *App) timeFor(ctx context.Context, m *model.Model, q StudentsRequest) (ms float64, guess bool, err error) {
	if m, err = a.plainStandard(ctx, m); err != nil {
		return 0, false, err
	}
	if q.Target != "" {
		p, err := a.Predict(ctx, m, q.Target, max(q.Threads, 1), nil)
		if err != nil {
			return 0, true, err
		}
		return p.Ns / 1e6, true, nil
	}
	in, err := a.verifyInputs(ctx, m, q.Seed)
	if err != nil || len(in) == 0 {
		return 0, false, err
	}
	ms, _, err = a.timeRuns(ctx, m, in[0])
	return ms, false, err
}

// rank puts the best first and names those that nobody beats in both time and score.
func (r *StudentsReport) rank() {
	r.Front = nil
	slices.SortStableFunc(r.Rows, func(x, y StudentRow) int {
		switch {
		case (x.Problem == "") != (y.Problem == ""):
			if x.Problem == "" {
				return -1
			}
			return 1
		case x.Score != y.Score:
			if x.Score > y.Score {
				return -1
			}
			return 1
		}
		return 0
	})
	for _, x := range r.Rows {
		beaten := func(y StudentRow) bool {
			return y.Problem == "" && y.Ms <= x.Ms && y.Score >= x.Score && (y.Ms < x.Ms || y.Score > x.Score)
		}
		if x.Problem == "" && !slices.ContainsFunc(r.Rows, beaten) {
			r.Front = append(r.Front, x.Name)
		}
	}
}
