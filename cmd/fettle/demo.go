package main

import (
	"fmt"
	"io"
)

type demoCmd struct {
	Out  string `default:"fettle-demo" help:"Folder for models, profiles and the report."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (demoCmd) Help() string { return "Example:\n  fettle demo --out demo" }

// Run does the main job on this computer.
func (c demoCmd) Run(e *env) error {
	r, err := e.app.Demo(e.ctx, c.Out, e.progress)
	if err != nil {
		return err
	}
	return e.print(c.JSON, r, func(w io.Writer) {
		for _, s := range r.Lines {
			fmt.Fprintln(w, s)
		}
		fmt.Fprintln(w, "The report lies at", r.Report)
	})
}
