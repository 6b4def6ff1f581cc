package main

import (
	"fmt"
	"io"
)

type sampleCmd struct {
	Name string `arg:"" optional:"" help:"Network; without one, the trained sample."`
	Out  string `short:"o" help:"File to write; without one, the networks are listed."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (sampleCmd) Help() string { return "Example:\n  fettle sample resnet50 -o resnet50.onnx" }

// Run lists or writes networks.
func (c sampleCmd) Run(e *env) error {
	if c.Out == "" && c.Name == "" {
		list := e.app.Samples()
		return e.print(c.JSON, list, func(w io.Writer) {
			for _, s := range list {
				what := "untrained: seeded random weights"
				if s.Trained {
					what = "trained"
				}
				fmt.Fprintf(w, "%-20s %s; %s (%s)\n", s.Name, s.Title, what, s.Source)
			}
		})
	}
	m, err := e.app.Sample(c.Name)
	if err != nil {
		return err
	}
	out := c.Out
	if out == "" {
		out = c.Name + ".onnx"
	}
	if err := e.app.Save(out, m); err != nil {
		return err
	}
	return e.print(c.JSON, map[string]string{"file": out, "sha256": m.Hash()}, func(w io.Writer) { fmt.Fprintln(w, "wrote", out) })
}
