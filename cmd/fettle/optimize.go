package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"fettle/app"
	"fettle/internal/fail"
)

type optimizeCmd struct {
	Model      string `arg:"" help:"ONNX file."`
	Recipe     string `short:"r" help:"Recipe file; without one, the built-in recipe standard."`
	Out        string `short:"o" required:"" help:"File to write."`
	Data       string `help:"Calibration data: a folder or file; sample:calibrate for the sample's own."`
	Score      string `help:"Held-out data to score each step on; sample:score for the sample's own."`
	Preprocess string `help:"File with the block that says how a picture becomes a tensor."`
	Board      string `help:"Target whose time passes predict, such as quantize with budget = \"time\"; local for this computer."`
	Report     string `help:"Write the report as JSON."`
	JSON       bool   `name:"json" help:"Print the report as JSON."`
	login
}

// Help gives an example that works.
func (optimizeCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx && fettle optimize sample.onnx -o fused.onnx"
}

// Run applies the recipe.
func (c optimizeCmd) Run(e *env) error {
	m, err := e.app.Load(e.ctx, c.Model)
	if err != nil {
		return err
	}
	r := e.app.StandardRecipe()
	if c.Recipe != "" {
		p, err := e.app.ReadRecipe(c.Recipe)
		if err != nil {
			return err
		}
		r = *p
	}
	for _, a := range e.app.Advice(&r) {
		e.note("%s", a)
	}
	o, err := e.app.Optimize(e.ctx, m, &r, app.OptimizeOptions{Data: c.Data, Score: c.Score, Preprocess: c.Preprocess, Target: c.Board, Asks: c.asks(e, ""), Progress: e.progress})
	if err != nil {
		return err
	}
	for _, w := range o.Warnings {
		e.note("%s", w)
	}
	if err := e.app.Save(c.Out, o.Model); err != nil {
		return err
	}
	if err := e.app.FileSizes(o, c.Model, c.Out); err != nil {
		return err
	}
	if c.Report != "" {
		b, err := json.MarshalIndent(o.Report, "", " ")
		if err == nil {
			err = os.WriteFile(c.Report, append(b, '\n'), 0o644)
		}
		if err != nil {
			return fail.New(fail.Denied, "%v", err).At(fail.Where{File: c.Report}).Doing("write the report")
		}
	}
	return e.print(c.JSON, o.Report, func(w io.Writer) {
		for _, s := range o.Report.Steps {
			fmt.Fprintf(w, "%-18s %4d nodes touched, %d -> %d nodes, %s -> %s of weights, %s", s.Pass, len(s.NodesTouched), s.Before.Nodes, s.After.Nodes,
				size(s.Before.WeightBytes), size(s.After.WeightBytes), s.Proof.Kind)
			if s.Proof.MaxAbs > 0 {
				fmt.Fprintf(w, " (max |e| %.2g)", s.Proof.MaxAbs)
			}
			if s.Before.Score != nil && s.After.Score != nil {
				fmt.Fprintf(w, ", score %.4f -> %.4f", *s.Before.Score, *s.After.Score)
			}
			fmt.Fprintln(w)
			shown := 0
			for _, f := range s.Findings { // what is said of the whole step, and why nothing happened
				whole, refused := len(f.Nodes) == 0 && f.Label != "", string(f.Outcome) == "refused" && len(s.NodesTouched) == 0
				if (whole || refused) && f.Reason != "" && shown < 4 {
					fmt.Fprintf(w, "  %s: %s: %s\n", f.Label, f.Outcome, f.Reason)
					shown++
				}
			}
		}
		fmt.Fprintln(w, "wrote", c.Out)
	})
}

type passesCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (passesCmd) Help() string { return "Example:\n  fettle passes" }

// Run lists the passes.
func (c passesCmd) Run(e *env) error {
	list := e.app.Passes()
	return e.print(c.JSON, list, func(w io.Writer) {
		for _, p := range list {
			fmt.Fprintf(w, "%-18s %s (%s)\n", p.Name, p.Promise, p.Exactness)
			for _, o := range p.Options {
				fmt.Fprintf(w, "    %s = %v", o.Key, o.Default)
				if len(o.Enum) > 0 {
					fmt.Fprintf(w, "  one of %v", o.Enum)
				}
				if o.Min != nil && o.Max != nil {
					fmt.Fprintf(w, "  from %v to %v%s", *o.Min, *o.Max, o.Unit)
				}
				fmt.Fprintf(w, "  %s\n", o.Help)
			}
		}
	})
}
