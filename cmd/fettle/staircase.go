package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"fettle/app"
)

// charted are the options of a command whose result is also a picture.
type charted struct {
	Out  string `short:"o" help:"Write a picture or table instead: the name ends in .svg, .png, .pdf, .csv or .json."`
	Lang string `default:"en" enum:"en,zh" help:"Language of the picture."`
}

// write exports in the format that the file's name ends in.
func (c charted) write(e *env, asJSON bool, export func(format string) error) error {
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(c.Out)), ".")
	if err := export(format); err != nil {
		return err
	}
	return e.print(asJSON, map[string]string{"file": c.Out, "format": format}, func(w io.Writer) { fmt.Fprintln(w, "wrote", c.Out) })
}

type staircaseCmd struct {
	Model   string `arg:"" help:"ONNX file."`
	Layer   string `help:"Name of a convolution; without one, all."`
	Measure bool   `help:"Measure each number of channels on the target, too."`
	charted
	timed
}

// Help gives an example that works.
func (staircaseCmd) Help() string {
	return "A layer's time goes up in steps with its channels, because kernels work on several at once. The numbers marked with * are the last before such a step: channels beyond them cost more than their share, channels below save little.\n\n" +
		"Example:\n  fettle sample resnet18 -o r.onnx\n  fettle staircase r.onnx --layer layer1.0.conv1 --measure"
}

// Run draws staircases.
func (c staircaseCmd) Run(e *env) error {
	q, err := c.request(e, c.Model)
	if err != nil {
		return err
	}
	q.Runs = 10
	all, err := e.app.Staircases(e.ctx, q, c.Layer, c.Measure)
	if err != nil {
		return err
	}
	if c.Out != "" {
		return c.write(e, c.JSON, func(format string) error { return e.app.ExportStaircases(all, c.Target, format, c.Lang, c.Out) })
	}
	return e.print(c.JSON, all, func(w io.Writer) {
		for _, s := range all {
			fmt.Fprintf(w, "%s (%s), %d channels\n", s.Label, s.Kind, s.Now)
			if s.Why != "" {
				fmt.Fprintf(w, "  not predicted everywhere: %s\n", s.Why)
			}
			most := 0.0
			for _, t := range s.Treads {
				most = max(most, t.Ns)
				if t.Measured != nil {
					most = max(most, *t.Measured)
				}
			}
			for _, t := range s.Treads {
				mark, v, told := " ", t.Ns, "-"
				if t.Edge {
					mark = "*"
				}
				if t.Ns > 0 {
					told = ms(t.Ns)
				}
				measured := ""
				if t.Measured != nil {
					v, measured = *t.Measured, "measured "+ms(*t.Measured)
				}
				fmt.Fprintf(w, "%s %5d  predicted %10s  %-20s %s\n", mark, t.Channels, told, measured, strings.Repeat("▇", int(40*v/max(most, 1))))
			}
		}
	})
}

type rooflineCmd struct {
	Model    string `arg:"" help:"ONNX file."`
	Optimize bool   `help:"Apply the recipe standard first."`
	Runs     int    `default:"20" help:"Inferences a launch, clean and instrumented each."`
	Launches int    `default:"3" help:"Starts of the program."`
	charted
	timed
}

// Help gives an example that works.
func (rooflineCmd) Help() string {
	return "Each layer by the products it makes for a byte that it must move, and by those it makes in a second, against what the target can do at most. The speed of memory is measured by fettle target facts NAME --speed.\n\n" +
		"Example:\n  fettle target facts local --speed\n  fettle sample -o sample.onnx\n  fettle roofline sample.onnx --optimize"
}

// Run measures and places the layers.
func (c rooflineCmd) Run(e *env) error {
	q, err := c.request(e, c.Model)
	if err != nil {
		return err
	}
	q.Optimize, q.Runs, q.Launches = c.Optimize, c.Runs, c.Launches
	p, err := e.app.Profile(e.ctx, q)
	if err != nil {
		return err
	}
	if c.Out != "" {
		return c.write(e, c.JSON, func(format string) error { return e.app.ExportRoofline(p, format, c.Lang, c.Out) })
	}
	r := app.NewRoofline(p)
	return e.print(c.JSON, r, func(w io.Writer) {
		giga := func(v float64) string {
			if v == 0 {
				return "not known"
			}
			return fmt.Sprintf("%.3g G", v/1e9)
		}
		fmt.Fprintf(w, "%s, %d thread(s): peak %s MAC/s in floats, %s in 8 bits; fastest layer %s MAC/s; memory %sB/s\n", p.Target.CPU, p.Plan.Threads,
			giga(r.Roof.PeakMACs), giga(r.Roof.Peak8), giga(r.Roof.BestMACs), giga(r.Roof.Bandwidth))
		if r.Roof.Why != "" {
			fmt.Fprintf(w, "  %s\n", r.Roof.Why)
		}
		for _, x := range r.Points {
			note := x.Bound
			if x.Winograd {
				note += ", Winograd"
			}
			fmt.Fprintf(w, "  %-36.36s %8.2f MAC/B %8.2f GMAC/s %8.2f GB/s %5.0f %% of the roof  %s\n", x.Label, x.Intensity, x.Rate/1e9, x.Moved/1e9, 100*x.Reached, note)
		}
	})
}
