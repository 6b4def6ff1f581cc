package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
)

// DemoResult is what the demo did; Report is a page in Out.
type DemoResult struct {
	Report string             `json:"report"`
	Files  []string           `json:"files"`
	Lines  []string           `json:"lines"`
	Result *ProfileComparison `json:"comparison"`
}

// demoRecipe folds, fuses and quantizes.
func demoRecipe(standard optimizer.Recipe) *optimizer.Recipe {
	r := standard
	r.Steps = append(append([]optimizer.RecipeStep(nil), r.Steps...), optimizer.RecipeStep{Pass: "quantize", Options: map[string]any{"weights": "int8", "activations": "int8"}})
	return &r
}

// Demo does the main job on this computer with the sample: rewrite and quantize it, score both, deploy both, measure both,
// compare them, roll back, and write everything to out with a report.
func (a *App) Demo(ctx context.Context, out string, p task.Progress) (*DemoResult, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, fail.New(fail.Denied, "%v", err).Doing("demo").Try("choose a folder that can be written: --out DIR")
	}
	d := &DemoResult{}
	file := func(name string) string {
		path := filepath.Join(out, name)
		d.Files = append(d.Files, path)
		return path
	}
	say := func(format string, args ...any) { d.Lines = append(d.Lines, fmt.Sprintf(format, args...)) }
	base, err := a.Sample("")
	if err != nil {
		return nil, err
	}
	r := demoRecipe(a.StandardRecipe())
	o, err := a.Optimize(ctx, base, r, OptimizeOptions{Data: SampleCalibrate, Progress: p})
	if err != nil {
		return nil, err
	}
	models := []struct {
		name  string
		model *model.Model
	}{{"original", base}, {"int8", o.Model}}
	if err := a.WriteRecipe(file("recipe.toml"), *r); err != nil {
		return nil, err
	}
	var runs []*Profile
	for _, m := range models {
		path := file(m.name + ".onnx")
		if err := a.Save(path, m.model); err != nil {
			return nil, err
		}
		st, err := os.Stat(path)
		if err != nil {
			return nil, fail.New(fail.NotFound, "%v", err)
		}
		score, err := a.EvalModel(ctx, m.model, base, SampleScore, "", 0, p)
		if err != nil {
			return nil, err
		}
		if score.Score == nil {
			return nil, fail.New(fail.Internal, "the sample's pictures have no labels")
		}
		dep, err := a.Deploy(ctx, DeployRequest{Model: m.model, Target: LocalTarget, Name: "demo", Progress: p})
		if err != nil {
			return nil, err
		}
		run, err := a.Profile(ctx, ProfileRequest{Model: m.model, Name: m.name, Target: LocalTarget, Threads: 1, Runs: 50, Launches: 3, Progress: p})
		if err != nil {
			return nil, err
		}
		if err := a.WriteProfile(file(m.name+".json"), run); err != nil {
			return nil, err
		}
		if err := a.ExportProfile(run, "svg", "en", file(m.name+".svg")); err != nil {
			return nil, err
		}
		runs = append(runs, run)
		say("%-9s %3d nodes, %6.1f kB, top-1 %.1f %% of %d (%.1f to %.1f %%), p50 %.4f ms, seal %s, deployed as version %d (%.1f kB travelled)", m.name,
			len(m.model.Graph.Nodes), float64(st.Size())/1e3, 100**score.Score, score.N, 100*score.Interval[0], 100*score.Interval[1], *run.Clean.P50Ns/1e6,
			run.Conditions.Seal, dep.Version, float64(dep.Sent)/1e3)
	}
	if d.Result, err = a.Compare(runs[0], runs[1]); err != nil {
		return nil, err
	}
	if err := a.ExportComparison(d.Result, "svg", "en", file("compare.svg")); err != nil {
		return nil, err
	}
	d.Report = file("report.html")
	if err := a.ExportComparison(d.Result, "html", "en", d.Report); err != nil {
		return nil, err
	}
	back, err := a.Rollback(ctx, LocalTarget, "demo", Asks{})
	if err != nil {
		return nil, err
	}
	say("int8 against original: %s, time ratio %.3f (%.3f to %.3f)", d.Result.Verdict, d.Result.Ratio[1], d.Result.Ratio[0], d.Result.Ratio[2])
	say("rolled back to version %d", back.Version)
	return d, nil
}
