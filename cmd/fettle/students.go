package main

import (
	"fmt"
	"io"
	"slices"

	"fettle/app"
)

type studentsCmd struct {
	Model      string  `arg:"" help:"ONNX file."`
	Data       string  `required:"" help:"Data to learn from, no labels needed: a folder or file; sample:calibrate for the sample's own."`
	Score      string  `required:"" help:"Held-out data; labelled, or the original's answers count. sample:score for the sample's own."`
	Preprocess string  `help:"File with the block that says how a picture becomes a tensor."`
	Out        string  `short:"o" required:"" help:"Folder for models and recipes."`
	Minutes    float64 `default:"2" help:"Minutes that each student may learn."`
	Ms         float64 `default:"0" help:"Longest time of a run; slower ones are not trained. 0: no bound."`
	Target     string  `help:"Target whose predicted time counts (fettle target learn measures its kernels); without one, times are measured on this computer."`
	Threads    int     `default:"1" help:"Threads on the target."`
	Seed       int64   `default:"1" help:"Seed of weights and of the order of the data."`
	JSON       bool    `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (studentsCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx\n  fettle students sample.onnx --data sample:calibrate --score sample:score --minutes 0.2 -o students\n\nA run that was stopped goes on with the same command."
}

// Run lets small networks learn.
func (c studentsCmd) Run(e *env) error {
	r, err := e.app.Students(e.ctx, c.Model, app.StudentsRequest{Data: c.Data, Score: c.Score, Preprocess: c.Preprocess, Out: c.Out, Minutes: c.Minutes,
		Ms: c.Ms, Target: c.Target, Threads: c.Threads, Seed: c.Seed, Progress: e.progress})
	if err != nil {
		return err
	}
	return e.print(c.JSON, r, func(w io.Writer) {
		for _, x := range r.Rows {
			before := ""
			if x.Kept {
				before = "  (kept of a run before)"
			}
			if x.Problem != "" {
				fmt.Fprintf(w, "  %-14s %-9s %s%s\n", x.Name, x.Kind, x.Problem, before)
				continue
			}
			mark, how := " ", "measured"
			if slices.Contains(r.Front, x.Name) {
				mark = "*"
			}
			if x.Guess {
				how = "predicted"
			}
			fmt.Fprintf(w, "%s %-14s %-9s %9s %s %9s %8.1fM MACs  score %.4f%s\n", mark, x.Name, x.Kind, ms(x.Ms*1e6), how, size(x.Bytes), float64(x.MACs)/1e6, x.Score, before)
		}
		what := "score: how often it agrees with the original"
		if r.Labelled {
			what = "score: accuracy"
		}
		fmt.Fprintln(w, what+"; * nobody is both faster and better")
	})
}
