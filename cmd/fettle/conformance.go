package main

import (
	"fmt"
	"io"
)

type conformanceCmd struct {
	Dir     string `arg:"" help:"Folder with model.onnx and test_data_set_* below it."`
	Runtime string `default:"fettle" help:"Engine."`
	Filter  string `help:"Only cases whose name matches this regular expression."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (conformanceCmd) Help() string {
	return "Example (Debian package libonnx-testdata):\n  fettle conformance /usr/share/libonnx-testdata/data --filter relu"
}

// Run runs the cases; exit 1 where one fails.
func (c conformanceCmd) Run(e *env) error {
	if err := onlyFettle(c.Runtime); err != nil {
		return err
	}
	r, err := e.app.Conformance(e.ctx, c.Dir, c.Filter, e.progress)
	if err != nil {
		return err
	}
	err = e.print(c.JSON, r, func(w io.Writer) {
		for _, k := range r.Cases {
			if k.Status != "passed" {
				fmt.Fprintf(w, "%s %s: %s\n", k.Status, k.Name, k.Reason)
			}
		}
		fmt.Fprintf(w, "passed %d, failed %d, unsupported %d\n", r.Passed, r.Failed, r.Unsupported)
	})
	if err == nil && r.Failed > 0 {
		return errNo
	}
	return err
}
