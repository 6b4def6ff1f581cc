package main

import (
	"fmt"
	"io"
	"time"

	"fettle/app"
)

type searchCmd struct {
	Model      string        `arg:"" help:"ONNX file."`
	Goal       string        `required:"" help:"Limits, separated by commas: ms<=30 (on this computer or the target) and p99<=40 (on this computer), size<=18MB, macs<=0.5 (share that stays), drop<=1 (points of the score)."`
	Data       string        `required:"" help:"Data to fit on: a folder or file; sample:calibrate for the sample's own."`
	Score      string        `required:"" help:"Held-out labelled data; sample:score for the sample's own."`
	Preprocess string        `help:"File with the block that says how a picture becomes a tensor."`
	Out        string        `short:"o" required:"" help:"Folder for recipes, models and results; a search that was stopped goes on there."`
	Distill    float64       `default:"0" help:"Minutes of distillation for each recipe."`
	Budget     time.Duration `default:"10m" help:"No further recipe begins after this time."`
	Optimizer  string        `default:"exact" enum:"exact,gp,tpe,evolution,random" help:"exact: a row of budgets, the channels of each chosen exactly. gp (Gaussian process), tpe (Parzen trees), evolution, random: roll-outs over how many channels of each group go, low rank and 8 bits."`
	Rollouts   int           `default:"24" help:"Recipes that gp, tpe, evolution and random try."`
	Target     string        `help:"Whose times count: by its learned table of kernels (fettle target learn), else each file is sent there and run; without: this computer."`
	Threads    int           `default:"1" help:"Workers that share each layer on the target."`
	Seed       int64         `default:"1" help:"Seed of the recipes and of the optimizer: the same seed tries the same."`
	JSON       bool          `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (searchCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx\n  fettle search sample.onnx --goal \"macs<=0.6,drop<=3\" --data sample:calibrate --score sample:score -o found"
}

// Run searches.
func (c searchCmd) Run(e *env) error {
	r, err := e.app.Search(e.ctx, c.Model, app.SearchRequest{Goal: c.Goal, Data: c.Data, Score: c.Score, Preprocess: c.Preprocess, Out: c.Out,
		Distil: c.Distill, Optimizer: c.Optimizer, Rollouts: c.Rollouts, Seed: c.Seed, Budget: c.Budget, Progress: e.progress,
		Target: c.Target, Threads: c.Threads, Asks: c.asks(e, "")})
	if err != nil {
		return err
	}
	return e.print(c.JSON, r, func(w io.Writer) {
		row := func(x app.Experiment) {
			mark := " "
			if x.Meets {
				mark = "*"
			}
			fmt.Fprintf(w, "%s %-40s %9s %9s %8.1fM MACs  score %.4f  %+.2f points\n", mark, x.Name, ms(x.Ms*1e6), size(x.Bytes), float64(x.MACs)/1e6, x.Score, -x.Drop)
		}
		for _, x := range r.Front {
			row(x)
		}
		for _, o := range r.Rollouts {
			fmt.Fprintf(w, "  roll-out %3d: reward %+.4f, best so far %+.4f  %v\n", o.N, o.Reward, o.Best, o.Point)
		}
		if r.Times != "" {
			fmt.Fprintf(w, "times are %s\n", r.Times)
		}
		fmt.Fprintf(w, "floor of all recipes: %s, %s, %.1fM MACs\n", ms(r.Floor.Ms*1e6), size(r.Floor.Bytes), float64(r.Floor.MACs)/1e6)
		fmt.Fprintf(w, "%s: %s\n%d recipes tried, %d left for another time; * holds all limits\n", r.Verdict, r.Why, r.Tried, r.Untried)
	})
}
