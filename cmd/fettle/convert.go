package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"fettle/app"
	"fettle/internal/fail"
)

type convertCmd struct {
	In             string   `arg:"" help:"File to read."`
	Out            string   `arg:"" help:"File to write."`
	Shape          []string `help:"Fix an input: NAME=1,3,224,224." placeholder:"NAME=DIMS" sep:"none"`
	Opset          int      `help:"Raise the ai.onnx opset to at least this."`
	Extract        string   `help:"Write only the part from value A to value B: A..B."`
	FoldPreprocess bool     `help:"Make the preprocessing part of the model: its input becomes the picture, uint8 RGB."`
	Preprocess     string   `help:"File with the block to fold; without one, the block in the model."`
	Level          string   `enum:",int4" default:"" help:"Of nested weights: int4 writes their upper halves alone."`
	JSON           bool     `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (convertCmd) Help() string {
	return "Example:\n  fettle sample resnet20 -o net.onnx && fettle convert net.onnx fixed.onnx --shape input=1,3,32,32"
}

// Run converts.
func (c convertCmd) Run(e *env) error {
	shapes, err := parseShapes(c.Shape)
	if err != nil {
		return err
	}
	in, err := e.app.Convert(e.ctx, app.ConvertRequest{In: c.In, Out: c.Out, Shapes: shapes, Opset: c.Opset, Extract: c.Extract, Level: c.Level, Fold: c.FoldPreprocess, Preprocess: c.Preprocess})
	if err != nil {
		return err
	}
	return e.print(c.JSON, in, func(w io.Writer) {
		for _, n := range in.Notes {
			fmt.Fprintln(w, "note: "+n)
		}
		fmt.Fprintf(w, "wrote %s: %d nodes, opset %d, %s of weights\n", c.Out, in.Nodes, in.Opsets[""], size(in.WeightBytes))
	})
}

// parseShapes reads NAME=1,3,224,224.
func parseShapes(words []string) (map[string][]int, error) {
	out := map[string][]int{}
	for _, w := range words {
		name, list, ok := strings.Cut(w, "=")
		if !ok || name == "" {
			return nil, fail.New(fail.Usage, "%q is no shape", w).Try("write --shape NAME=1,3,224,224")
		}
		dims := []int{}
		for _, d := range strings.Split(list, ",") {
			if list == "" {
				break // a scalar
			}
			n, err := strconv.Atoi(strings.TrimSpace(d))
			if err != nil || n < 0 || n > 1<<30 {
				return nil, fail.New(fail.Usage, "%q in %q is no dimension", d, w).Try("write --shape NAME=1,3,224,224")
			}
			dims = append(dims, n)
		}
		out[name] = dims
	}
	return out, nil
}
