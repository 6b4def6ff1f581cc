package main

import (
	"fmt"
	"io"
	"time"

	"fettle/app"
	"fettle/internal/fail"
)

type goalCmd struct {
	Model    string        `arg:"" optional:"" help:"ONNX file; without one the built-in boards are listed."`
	Board    string        `help:"Target, or a built-in board: pi3, pi4, pi5, rk3399, rk3588, jetson-nano, jetson-orin-nano, jetson-agx-orin." default:"pi4"`
	Goal     string        `help:"Limits, separated by commas: ms<=30,size<=18MB." default:""`
	Measured time.Duration `help:"What the model was measured to take on the board."`
	Used     float64       `help:"Best share of the board's peak that this engine has shown there, 0 to 1."`
	JSON     bool          `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (goalCmd) Help() string {
	return "Example:\n  fettle sample resnet50 -o resnet50.onnx\n  fettle goal resnet50.onnx --board pi5 --goal \"ms<=30,size<=30MB\"\n\nThe exit code is 1 where the goal is impossible."
}

// Run answers.
func (c goalCmd) Run(e *env) error {
	if c.Model == "" {
		all := app.BuiltInBoards()
		return e.print(c.JSON, all, func(w io.Writer) {
			for _, b := range all {
				fmt.Fprintf(w, "%-18s %s\n", b.Name, b.Title)
			}
		})
	}
	if c.Used < 0 || c.Used > 1 || c.Measured < 0 {
		return fail.New(fail.Usage, "--used %g, --measured %v", c.Used, c.Measured).Try("give a share from 0 to 1, and a time above 0")
	}
	v, err := e.app.Feasible(e.ctx, c.Model, c.Board, c.Goal, float64(c.Measured), c.Used, c.asks(e, ""))
	if err != nil {
		return err
	}
	err = e.print(c.JSON, v, func(w io.Writer) {
		for _, a := range v.Answers {
			fmt.Fprintf(w, "%s: %s\n  %s\n", a.Limit, a.Verdict, a.Why)
			for _, x := range a.Ways {
				mark := " "
				if x.Enough {
					mark = "*"
				}
				fmt.Fprintf(w, "%s %s", mark, x.What)
				if x.Ms[1] > x.Ms[0] {
					fmt.Fprintf(w, ": %.0f to %.0f ms", x.Ms[0], x.Ms[1])
				}
				if x.Top1 > 0 {
					fmt.Fprintf(w, ", about %.0f %% top-1 published", x.Top1)
				}
				fmt.Fprintf(w, " (%s)\n", x.Why)
			}
		}
	})
	if err == nil && v.Verdict == "impossible" {
		err = errNo
	}
	return err
}
