package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"fettle/app"
)

type sensitivityCmd struct {
	Model      string  `arg:"" help:"ONNX file."`
	Data       string  `required:"" help:"Typical inputs, no labels: a folder or file; sample:calibrate for the sample's own."`
	Preprocess string  `help:"File with the block that says how a picture becomes a tensor."`
	Tier       int     `default:"3" help:"1: second moments alone; 2: runs with one group cut at a time; 3: and with many."`
	Samples    int     `default:"256" help:"Items for moments; an eighth of them judges."`
	Multiple   int     `default:"1" help:"Channels that stay are a multiple of this: the tile of the board's kernels."`
	Test       int     `default:"0" help:"Joint cuts to test the prediction on, beside those that it is fitted to."`
	Time       bool    `help:"Time each cut: the staircase. On this computer, or with --target on a board."`
	Target     string  `help:"Time each cut on this target: every cut is sent there and run."`
	Threads    int     `default:"1" help:"Workers that share each layer on the target."`
	Limit      string  `default:"macs" enum:"macs,bytes,ms" help:"What the choice is to keep within: macs, bytes or ms (with --time or --target)."`
	Keep       float64 `help:"Choose what goes so that this share of the limit's whole stays, 0 to 1."`
	Refine     int     `default:"0" help:"Improve the choice by so many runs of whole choices, each fitted as the recipe will be; 0: the exact choice from single damages."`
	Out        string  `short:"o" help:"Write the choice as a recipe."`
	Seed       int64   `default:"1" help:"Seed of joint cuts and of the recipe."`
	JSON       bool    `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (sensitivityCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx\n  fettle sensitivity sample.onnx --data sample:calibrate --keep 0.6 -o cut.toml"
}

// sensitivityResult is the study with the choice.
type sensitivityResult struct {
	*app.Study
	Floor   float64      `json:"floor,omitempty"`
	SolveMs float64      `json:"solve_ms,omitempty"` // to solve for all limits at once
	SlideMs float64      `json:"slide_ms,omitempty"` // from a limit to a choice
	Choice  *app.Choice  `json:"choice,omitempty"`
	Whole   *app.Refined `json:"whole,omitempty"`
}

// Run studies.
func (c sensitivityCmd) Run(e *env) error {
	m, err := e.app.Load(e.ctx, c.Model)
	if err != nil {
		return err
	}
	q := app.NewSensitivityRequest(c.Data)
	q.Preprocess, q.Seed, q.Progress = c.Preprocess, c.Seed, e.progress
	q.Tier, q.Samples, q.Multiple, q.Test, q.Timed = c.Tier, c.Samples, c.Multiple, c.Test, c.Time || c.Target != ""
	q.Target, q.Threads, q.Asks = c.Target, c.Threads, c.asks(e, "")
	r := sensitivityResult{}
	if r.Study, err = e.app.Sensitivity(e.ctx, m, q); err != nil {
		return err
	}
	if c.Keep > 0 && c.Tier > 1 {
		begin := time.Now()
		t, err := app.NewTradeoff(r.Study, c.Limit)
		if err != nil {
			return err
		}
		r.SolveMs = time.Since(begin).Seconds() * 1e3
		r.Floor = t.Floor()
		begin = time.Now()
		if r.Choice, err = t.At(c.Keep * t.Whole()); err != nil {
			return err
		}
		r.SlideMs = time.Since(begin).Seconds() * 1e3
		if c.Refine > 0 {
			if r.Choice, r.Whole, err = e.app.Refine(e.ctx, m, q, t, c.Keep*t.Whole(), c.Refine); err != nil {
				return err
			}
		}
		if c.Out != "" {
			if err := e.app.WriteRecipe(c.Out, r.Choice.Recipe(c.Seed, c.Samples)); err != nil {
				return err
			}
		}
	}
	return e.print(c.JSON, r, func(w io.Writer) { r.text(w, c.Limit) })
}

func (r sensitivityResult) text(w io.Writer, limit string) {
	for _, g := range r.Groups {
		fmt.Fprintf(w, "%-40s %4d channels", strings.Join(g.Group.Makers, "+"), g.Group.Channels)
		switch {
		case g.Problem != "":
			fmt.Fprintf(w, "  stay: %s\n", g.Problem)
			continue
		case len(g.Cuts) == 0:
			n := len(g.Damage) - 1
			fmt.Fprintf(w, "  variance lost behind: quarter %.2g, half %.2g, three quarters %.2g\n", g.Damage[n/4], g.Damage[n/2], g.Damage[3*n/4])
			continue
		}
		for _, c := range g.Cuts[1:] {
			fmt.Fprintf(w, "  -%d: %.2g", c.Gone, c.Damage)
			if c.Ns > 0 {
				fmt.Fprintf(w, " (%+.3g ms)", (c.Ns-r.Ns)/1e6)
			}
		}
		fmt.Fprintln(w)
	}
	if r.Unit != "" {
		fmt.Fprintf(w, "damages are %s on %d items\n", r.Unit, r.Items)
	}
	if l := r.Law; l != nil {
		fmt.Fprintf(w, "many cuts at once: %.3g * sum^%.3g, within a factor of %.3g for two thirds of %d\n", l.Factor, l.Power, math.Exp(l.Spread), l.Fitted)
		if l.Tested > 0 {
			fmt.Fprintf(w, "rank correlation with the truth over %d others: %.3f\n", l.Tested, l.Rank)
		}
	}
	if f := r.Whole; f != nil {
		fmt.Fprintf(w, "run as a whole on %d items that nothing was fitted to: exact choice from single damages %.3g +- %.2g, the same share of every group %.3g +- %.2g, improved in %d runs %.3g +- %.2g (standard errors)\n",
			f.Items, f.Single, f.SingleErr, f.Even, f.EvenErr, f.Runs, f.Best, f.BestErr)
	}
	if r.Choice != nil {
		fmt.Fprintf(w, "solved for all limits in %.3g ms, a limit is answered in %.3g ms; floor %.4g %s\n", r.SolveMs, r.SlideMs, r.Floor, limit)
		fmt.Fprintf(w, "choice: %s\nexpected: %.4g %s, damage %.3g (%.3g to %.3g)\n", r.Choice, r.Choice.Cost, limit, r.Choice.Damage, r.Choice.Low, r.Choice.High)
	}
}
