package main

import (
	"fmt"
	"io"

	"fettle/app"
)

type evalCmd struct {
	Model      string `arg:"" help:"ONNX file."`
	Data       string `required:"" help:"Folder or file of data; sample:score for the sample's own."`
	Reference  string `help:"Model to agree with."`
	Preprocess string `help:"File with the block that says how a picture becomes a tensor."`
	Task       string `default:"classify" help:"What the outputs mean: classify."`
	Limit      int    `help:"Score at most this many items, spread evenly."`
	LevelFlags `embed:""`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (evalCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx && fettle eval sample.onnx --data sample:score"
}

// Run scores.
func (c evalCmd) Run(e *env) error {
	levels, err := c.levels()
	if err != nil {
		return err
	}
	r, err := e.app.Eval(e.ctx, app.EvalRequest{Levels: levels, Model: c.Model, Reference: c.Reference, Data: c.Data, Preprocess: c.Preprocess, Task: c.Task,
		Limit: c.Limit, Progress: e.progress})
	if err != nil {
		return err
	}
	return e.print(c.JSON, r, func(w io.Writer) {
		if r.Score != nil {
			fmt.Fprintf(w, "%s %.2f %% of %d (%.2f to %.2f %%, 95 %%)\n", r.Metric, 100**r.Score, r.N, 100*r.Interval[0], 100*r.Interval[1])
		}
		if r.Twice != nil {
			fmt.Fprintf(w, "%d of %d items computed by both levels\n", *r.Twice, r.N)
		}
		if g := r.Agreement; g != nil {
			fmt.Fprintf(w, "agrees with the reference on %.2f %% of %d (%.2f to %.2f %%), KL %.4g, %d gained, %d lost\n", 100*g.Top1, r.N,
				100*g.Interval[0], 100*g.Interval[1], g.KL, g.Gains, g.Losses)
		}
	})
}
