package main

import (
	"fmt"
	"io"

	"fettle/app"
	"fettle/internal/fail"
)

type deployCmd struct {
	Model    string `arg:"" help:"ONNX file."`
	Target   string `required:"" help:"Board."`
	Name     string `help:"Name of the deployment; the file's name without one."`
	Service  bool   `help:"Keep it running as a service."`
	Shadow   string `help:"Run it beside the version before for this long first."`
	MaxP99   string `name:"max-p99" help:"Take it back if its p99 is above this."`
	MinAgree string `name:"min-agree" help:"Take it back if it agrees less than this."`
	JSON     bool   `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (deployCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx && fettle deploy sample.onnx --target local --name shapes"
}

// Run deploys.
func (c deployCmd) Run(e *env) error {
	for _, o := range []struct {
		set  bool
		name string
	}{{c.Service, "service"}, {c.Shadow != "", "shadow"}, {c.MaxP99 != "", "max-p99"}, {c.MinAgree != "", "min-agree"}} {
		if o.set {
			return fail.New(fail.Unsupported, "--%s is not supported yet", o.name).At(fail.Where{Option: o.name}).Try("deploy without it")
		}
	}
	m, err := e.app.Load(e.ctx, c.Model)
	if err != nil {
		return err
	}
	name := c.Name
	if name == "" {
		name = app.BaseName(c.Model)
	}
	d, err := e.app.Deploy(e.ctx, app.DeployRequest{Model: m, Target: c.Target, Name: name, Progress: e.progress, Asks: c.asks(e, "")})
	if err != nil {
		return err
	}
	return e.print(c.JSON, d, func(w io.Writer) {
		fmt.Fprintf(w, "%s version %d is %s on %s: %s, of which %s travelled\n", d.Name, d.Version, d.State, d.Target, size(d.Bytes), size(d.Sent))
	})
}

type rollbackCmd struct {
	Name   string `arg:"" help:"Deployment."`
	Target string `required:"" help:"Board."`
	JSON   bool   `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (rollbackCmd) Help() string { return "Example:\n  fettle rollback shapes --target local" }

// Run rolls back.
func (c rollbackCmd) Run(e *env) error {
	d, err := e.app.Rollback(e.ctx, c.Target, c.Name, c.asks(e, ""))
	if err != nil {
		return err
	}
	return e.print(c.JSON, d, func(w io.Writer) { fmt.Fprintf(w, "%s is at version %d again\n", d.Name, d.Version) })
}

type deploymentsCmd struct {
	Target string `required:"" help:"Board."`
	Remove string `help:"Remove this deployment." placeholder:"NAME"`
	JSON   bool   `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (deploymentsCmd) Help() string { return "Example:\n  fettle deployments --target local" }

// Run lists or removes.
func (c deploymentsCmd) Run(e *env) error {
	if c.Remove != "" {
		freed, err := e.app.RemoveDeployment(e.ctx, c.Target, c.Remove, c.asks(e, ""))
		if err != nil {
			return err
		}
		return e.print(c.JSON, map[string]any{"name": c.Remove, "freed_bytes": freed}, func(w io.Writer) { fmt.Fprintf(w, "removed %s: %s\n", c.Remove, size(freed)) })
	}
	list, err := e.app.Deployments(e.ctx, c.Target, c.asks(e, ""))
	if err != nil {
		return err
	}
	return e.print(c.JSON, list, func(w io.Writer) {
		for _, d := range list {
			fmt.Fprintf(w, "%-20s version %d, %s, %.12s, %s", d.Name, d.Version, d.State, d.SHA256, size(d.Bytes))
			if d.Previous > 0 {
				fmt.Fprintf(w, ", before: version %d", d.Previous)
			}
			fmt.Fprintln(w)
		}
	})
}
