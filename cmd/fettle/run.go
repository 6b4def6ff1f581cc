package main

import (
	"fmt"
	"io"

	"fettle/app"
	"fettle/internal/fail"
)

type runCmd struct {
	Model      string   `arg:"" help:"ONNX file."`
	Input      []string `short:"i" help:"NAME=FILE (.npy, .npz, .pb, picture), or random:SEED for all that are not given." sep:"none" required:""`
	Out        string   `short:"o" help:"Write the outputs: .npz, or .npy for one."`
	Preprocess string   `help:"File with the block that says how a picture becomes a tensor."`
	Threads    int      `default:"1" help:"Workers that share each layer."`
	Runtime    string   `default:"fettle" help:"Engine."`
	Optimize   bool     `help:"Apply the recipe standard first."`
	Precision  string   `default:"exact" enum:"exact,fast" help:"fast: products may err by 1e-5 of the largest output of their layer; needs AMX with bf16."`
	Pack       string   `default:"auto" enum:"auto,small,fast" help:"Packed weights: small takes no algorithm that needs much more memory than the file's weights, fast any; auto: small where memory is short."`
	NoCache    bool     `help:"Neither use nor keep a prepared plan."`
	JSON       bool     `name:"json" help:"Print JSON."`
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
	r, err := e.app.Run(e.ctx, app.RunRequest{Model: c.Model, Inputs: c.Input, Preprocess: c.Preprocess, Threads: c.Threads, Optimize: c.Optimize, Precision: c.Precision, Pack: c.Pack, Fresh: c.NoCache})
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
