package main

import (
	"fmt"
	"io"
	"time"

	"fettle/app"
	"fettle/internal/fail"
)

type deployCmd struct {
	Model     string        `arg:"" help:"ONNX file."`
	Target    []string      `required:"" help:"Board; several, with commas between them, at once."`
	Name      string        `help:"Name of the deployment; the file's name without one."`
	Service   bool          `help:"Keep it running as a service of the board's user."`
	Samples   string        `help:"Folder of inputs for the health check; without one two random ones." placeholder:"DIR"`
	Tolerance float64       `help:"Largest difference from this computer's outputs, as a share of the largest value; 0: 0.001, quantized 0.02."`
	Shadow    time.Duration `help:"Run it beside the version before for this long first: 10m."`
	MaxP99    time.Duration `name:"max-p99" help:"Take it back if its p99 is above this: 30ms."`
	MinAgree  float64       `name:"min-agree" help:"Take it back if it agrees less than this share with the version before: 0.99; needs --shadow."`
	Threads   int           `default:"1" help:"Workers of the trial and the service."`
	NoHealth  bool          `name:"no-health" help:"No health check."`
	JSON      bool          `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (deployCmd) Help() string {
	return "Example:\n  fettle sample -o sample.onnx && fettle deploy sample.onnx --target local --name shapes"
}

// Run deploys.
func (c deployCmd) Run(e *env) error {
	switch {
	case c.MinAgree > 0 && c.Shadow == 0:
		return fail.New(fail.Usage, "--min-agree needs --shadow: agreement is seen when both versions run").At(fail.Where{Option: "min-agree"}).Try("add --shadow 10s")
	case c.NoHealth && (c.Shadow > 0 || c.MaxP99 > 0 || c.Samples != ""):
		return fail.New(fail.Usage, "--no-health excludes --shadow, --max-p99 and --samples").At(fail.Where{Option: "no-health"}).Try("leave it away")
	}
	m, err := e.app.Load(e.ctx, c.Model)
	if err != nil {
		return err
	}
	name := c.Name
	if name == "" {
		name = app.BaseName(c.Model)
	}
	q := app.DeployRequest{Model: m, Name: name, Progress: e.progress, Asks: c.asks(e, ""), Service: c.Service, Health: app.HealthRule{None: c.NoHealth, Data: c.Samples,
		Tolerance: c.Tolerance, MaxP99: c.MaxP99, MinAgree: c.MinAgree, Shadow: c.Shadow, Threads: c.Threads}}
	all, err := e.app.DeployAll(e.ctx, q, c.Target)
	if err != nil {
		return err
	}
	if len(all) == 1 {
		if all[0].Err != nil {
			return all[0].Err
		}
		return e.print(c.JSON, all[0].Deployment, func(w io.Writer) { printDeployed(w, all[0].Deployment) })
	}
	return c.several(e, all)
}

// several reports each board; the first that failed gives the exit code.
func (c deployCmd) several(e *env, all []app.DeployResult) error {
	var first error
	for _, r := range all {
		if r.Err != nil && first == nil {
			first = r.Err
		}
	}
	err := e.print(c.JSON, all, func(w io.Writer) {
		for _, r := range all {
			if r.Err == nil {
				printDeployed(w, r.Deployment)
			} else {
				fmt.Fprintf(w, "%s: %v\n", r.Target, r.Err)
			}
		}
	})
	if first == nil || err != nil || c.JSON {
		if first != nil && err == nil {
			return errNo
		}
		return err
	}
	return first
}

func printDeployed(w io.Writer, d *app.Deployment) {
	fmt.Fprintf(w, "%s version %d is %s on %s: %s, of which %s travelled\n", d.Name, d.Version, d.State, d.Target, size(d.Bytes), size(d.Sent))
	if u := d.Upload; u != nil {
		fmt.Fprintf(w, "  in %.1f s over %d connection(s), %s on the wire", u.Seconds, u.Streams, size(u.Wire))
		if held, of := u.Held(); of > 0 {
			fmt.Fprintf(w, "; the time left was said %d times, and the truth lay in it %d times", of, held)
		}
		fmt.Fprintln(w)
	}
	if d.Service != nil {
		fmt.Fprintf(w, "  it is kept running and answers on %s\n", d.Service.Socket)
	}
	for _, n := range d.Notes {
		fmt.Fprintln(w, "  note:", n)
	}
	if h := d.Health; h != nil {
		fmt.Fprintf(w, "  %d samples differ from this computer by %.2g of their largest value at most, %.2g is allowed\n", h.Samples, h.MaxError, h.Tolerance)
		if h.Runs > 0 {
			fmt.Fprintf(w, "  p99 %s, p50 %s of %d inferences\n", ms(float64(h.P99Ns)), ms(float64(h.P50Ns)), h.Runs)
		}
		if h.Shadow > 0 {
			fmt.Fprintf(w, "  beside the version before: %d inferences, %.2f %% agree, p50 %s, before %s\n", h.Shadow, 100*h.Agree, ms(float64(h.P50Ns)), ms(float64(h.BeforeP50)))
		}
	}
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
			if d.Trial != "" {
				fmt.Fprintf(w, ", a trial was cut at: %s", d.Trial)
			}
			if d.Previous > 0 {
				fmt.Fprintf(w, ", before: version %d", d.Previous)
			}
			fmt.Fprintln(w)
		}
	})
}

type serviceCmd struct {
	Name   string `arg:"" optional:"" help:"Deployment."`
	Target string `required:"" help:"Board."`
	Start  bool   `help:"Keep it running."`
	Stop   bool   `help:"No longer."`
	JSON   bool   `name:"json" help:"Print JSON."`
	login
}

// Help gives an example that works.
func (serviceCmd) Help() string { return "Example:\n  fettle service --target local" }

// Run starts, stops or lists services.
func (c serviceCmd) Run(e *env) error {
	switch {
	case (c.Start || c.Stop) && c.Name == "", c.Start && c.Stop:
		return fail.New(fail.Usage, "--start and --stop need the name of one deployment, and exclude each other").Try("fettle service NAME --target BOARD --start")
	case c.Start:
		_, notes, err := e.app.StartService(e.ctx, c.Target, c.Name, c.asks(e, ""))
		for _, n := range notes {
			e.note("%s", n)
		}
		if err != nil {
			return err
		}
	case c.Stop:
		if err := e.app.StopService(e.ctx, c.Target, c.Name, c.asks(e, "")); err != nil {
			return err
		}
	}
	list, err := e.app.Services(e.ctx, c.Target, c.asks(e, ""))
	if err != nil {
		return err
	}
	return e.print(c.JSON, list, func(w io.Writer) {
		for _, s := range list {
			fmt.Fprintf(w, "%-20s %s, version %d, %d inferences, %s", s.Name, s.State, s.Version, s.Count, s.Socket)
			if s.Note != "" {
				fmt.Fprintf(w, "; %s", s.Note)
			}
			fmt.Fprintln(w)
		}
	})
}
