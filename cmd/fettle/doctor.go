package main

import "io"

type doctorCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (doctorCmd) Help() string { return "Example:\n  fettle doctor" }

// Run checks this computer.
func (c doctorCmd) Run(e *env) error {
	rows := e.app.Doctor(e.ctx)
	return e.print(c.JSON, rows, func(w io.Writer) { printRows(w, rows) })
}
