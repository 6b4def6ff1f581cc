package main

import (
	"fmt"
	"io"

	"fettle/app"
)

type diffCmd struct {
	A          string   `arg:"" help:"Model to compare with."`
	B          string   `arg:"" help:"Model that is compared."`
	Input      []string `short:"i" help:"NAME=FILE, or random:SEED." sep:"none" default:"random:1"`
	Preprocess string   `help:"File with the block that says how a picture becomes a tensor."`
	Tolerance  float64  `default:"1e-4" help:"Largest difference allowed, as a share of an output's largest value."`
	JSON       bool     `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (diffCmd) Help() string {
	return "Example:\n  fettle sample -o a.onnx && fettle convert a.onnx b.onnx --opset 17 && fettle diff a.onnx b.onnx"
}

// Run compares; exit 1 above the tolerance.
func (c diffCmd) Run(e *env) error {
	d, err := e.app.Diff(e.ctx, app.DiffRequest{A: c.A, B: c.B, Inputs: c.Input, Preprocess: c.Preprocess, Tolerance: c.Tolerance})
	if err != nil {
		return err
	}
	err = e.print(c.JSON, d, func(w io.Writer) {
		fmt.Fprintf(w, "outputs: largest difference %.3g (%.3g of the largest value), cosine %.6f\n", d.MaxAbs, d.MaxRel, d.Cosine)
		if d.First == nil {
			fmt.Fprintf(w, "no layer differs by more than %.3g of its largest value (%d compared)\n", d.Tolerance, len(d.Layers))
			return
		}
		fmt.Fprintf(w, "first layer that differs: %s %s: %.3g (%.3g), cosine %.6f\n", d.First.Op, d.First.A, d.First.MaxAbs, d.First.MaxRel, d.First.Cosine)
	})
	if err == nil && !d.Within {
		return errNo
	}
	return err
}
