package main

import (
	"fmt"
	"io"

	"fettle/app"
)

type debugCmd struct {
	Float      string  `arg:"" help:"ONNX file before quantization."`
	Quantized  string  `arg:"" help:"ONNX file after it."`
	Data       string  `required:"" help:"Folder or file of data; sample:score for the sample's own."`
	Preprocess string  `help:"File with the block that says how a picture becomes a tensor."`
	Limit      int     `default:"32" help:"Run at most this many items, spread evenly."`
	Least      float64 `default:"15" help:"Decibels of signal over error below which a value is called broken."`
	JSON       bool    `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (debugCmd) Help() string {
	return "Example:\n  fettle sample -o a.onnx && printf 'schema = 1\\n[[step]]\\npass = \"quantize\"\\n' > q.toml && fettle optimize a.onnx -r q.toml -o b.onnx --data sample:calibrate && fettle debug a.onnx b.onnx --data sample:score"
}

// Run compares value by value.
func (c debugCmd) Run(e *env) error {
	d, err := e.app.DebugQuantized(e.ctx, app.DebugRequest{Float: c.Float, Quantized: c.Quantized, Data: c.Data, Preprocess: c.Preprocess,
		Limit: c.Limit, Least: c.Least, Progress: e.progress})
	if err != nil {
		return err
	}
	return e.print(c.JSON, d, func(w io.Writer) {
		list := func(what string, rows []app.DebugMatch) {
			fmt.Fprintf(w, "%s, the worst first:\n", what)
			for _, v := range rows[:min(len(rows), 20)] {
				fmt.Fprintf(w, "%7.1f dB  cosine %.6f", v.SQNR, v.Cosine)
				if v.Saturated != nil {
					fmt.Fprintf(w, "  %6.3f %% saturated", 100**v.Saturated)
				}
				fmt.Fprintf(w, "  %s %s\n", v.Op, v.Float)
			}
		}
		list("values", d.Values)
		list("weights", d.Weights)
		if d.First == nil {
			fmt.Fprintf(w, "no value is below %g dB (%d compared on %d items)\n", c.Least, len(d.Values), d.Items)
			return
		}
		fmt.Fprintf(w, "first value below %g dB: %s %s with %.1f dB\n", c.Least, d.First.Op, d.First.Float, d.First.SQNR)
	})
}
