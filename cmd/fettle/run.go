package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"fettle/app"
	"fettle/internal/fail"
)

type runCmd struct {
	Model      string   `arg:"" help:"ONNX file."`
	Input      []string `short:"i" help:"NAME=FILE (.npy, .npz, .pb, .wav, picture), or random:SEED for all that are not given." sep:"none" required:""`
	Out        string   `short:"o" help:"Write the outputs: .npz, or .npy for one."`
	Preprocess string   `help:"File with the block that says how a picture becomes a tensor."`
	Threads    int      `default:"1" help:"Workers that share each layer."`
	Runtime    string   `default:"fettle" help:"Engine."`
	Optimize   bool     `help:"Apply the recipe standard first."`
	Precision  string   `default:"exact" enum:"exact,fast,half" help:"fast: products may err by 1e-5 of the largest output of their layer, where AMX with bf16 gains by it; half: by 5e-3, where an Arm processor has arithmetic in half precision; elsewhere both are exact."`
	Pack       string   `default:"auto" enum:"auto,small,fast" help:"Packed weights: small takes no algorithm that needs much more memory than the file's weights, fast any; auto: small where memory is short."`
	NoCache    bool     `help:"Neither use nor keep a prepared plan."`
	LevelFlags `embed:""`
	Deadline   time.Duration `help:"With --level auto: int8 is not asked where it would not be done so long after the start." placeholder:"50ms"`
	JSON       bool          `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (runCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx && fettle run sample.onnx -i random:1"
}

// Run runs one inference.
func (c runCmd) Run(e *env) error {
	if err := onlyFettle(c.Runtime); err != nil {
		return err
	}
	levels, err := c.levels()
	if err != nil {
		return err
	}
	levels.Deadline = c.Deadline
	r, err := e.app.Run(e.ctx, app.RunRequest{Levels: levels, Model: c.Model, Inputs: c.Input, Preprocess: c.Preprocess, Threads: c.Threads, Optimize: c.Optimize, Precision: c.Precision, Pack: c.Pack, Fresh: c.NoCache})
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := e.app.WriteOutputs(c.Out, r); err != nil {
			return err
		}
	}
	return e.print(c.JSON, r, func(w io.Writer) {
		for _, o := range r.Outputs {
			fmt.Fprintf(w, "%s %s%v", o.Name, o.DType, o.Shape)
			if len(o.Values) > 0 {
				fmt.Fprintf(w, " %v", o.Values)
			}
			fmt.Fprintln(w)
		}
		if r.Level != "" {
			fmt.Fprintf(w, "level %s", r.Level)
			if r.Margin != nil {
				fmt.Fprintf(w, ", margin of int4 %.4f", *r.Margin)
			}
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\n", ms(float64(r.TotalNs)))
	})
}

// onlyFettle refuses engines that are not built in yet.
func onlyFettle(name string) error {
	if name != "" && name != "fettle" {
		return fail.New(fail.Unsupported, "runtime %q is not supported", name).At(fail.Where{Option: "runtime"}).Try("use fettle")
	}
	return nil
}

// LevelFlags say which level of nested weights computes.
type LevelFlags struct {
	Level string `enum:",int4,int8,auto" default:"" help:"Of nested weights: int4, int8, or auto, which asks int4 first and int8 where it is not sure."`
	Tau   string `help:"With --level auto: int8 is asked where the two largest probabilities of int4 differ by less; inf: always. Default: what the file suggests." placeholder:"0.3"`
}

func (c LevelFlags) levels() (app.Levels, error) {
	out := app.Levels{Level: c.Level}
	if c.Tau == "" {
		return out, nil
	}
	tau, err := strconv.ParseFloat(c.Tau, 64)
	if err != nil || math.IsNaN(tau) || tau < 0 {
		return out, fail.New(fail.Usage, "%q is no margin", c.Tau).At(fail.Where{Option: "tau"}).Try("give a number from 0 to 1, or inf")
	}
	out.Tau = &tau
	return out, nil
}
