package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"fettle/app"
	"fettle/internal/fail"
)

type compareCmd struct {
	A        string `arg:"" optional:"" help:"Profile: a JSON file, or the id of a run; or an ONNX file, with another one to measure both in turns."`
	B        string `arg:"" optional:"" help:"Profile or ONNX file that is compared with it."`
	From     string `placeholder:"FILE" help:"File that -o wrote: the verdict is made again from its samples."`
	Out      string `short:"o" placeholder:"FILE" help:"Write every sample with the verdict, to make it again anywhere."`
	Target   string `default:"local" help:"Where two ONNX files are measured."`
	Launches int    `default:"20" help:"Pairs of starts, in random order; 8 is quick."`
	Runs     int    `default:"20" help:"Inferences a launch, clean and instrumented each."`
	Threads  int    `default:"1" help:"Workers that share each layer."`
	JSON     bool   `name:"json" help:"Print JSON."`
	turn
	login
}

// Help gives an example that works.
func (compareCmd) Help() string {
	return "Example:\n  fettle profile a.onnx -o a.json && fettle profile b.onnx -o b.json && fettle compare a.json b.json\n  fettle compare a.onnx b.onnx --launches 8 -o both.json && fettle compare --from both.json"
}

// Run compares.
func (c compareCmd) Run(e *env) error {
	if c.From != "" && c.A == "" {
		r, err := e.app.CompareFrom(e.ctx, c.From)
		if err != nil {
			return err
		}
		return e.print(c.JSON, r, func(w io.Writer) { printComparison(w, r) })
	}
	if c.From != "" || c.A == "" || c.B == "" {
		return fail.New(fail.Usage, "it is not clear what to compare").Doing("compare").Try("give two profiles, two ONNX files, or --from FILE alone")
	}
	x, y := isModel(c.A), isModel(c.B)
	if x != y {
		return fail.New(fail.Usage, "one is an ONNX file, the other is not").Doing("compare").Try("give two profiles, or two ONNX files to measure in turns")
	}
	if x {
		return c.paired(e)
	}
	r, err := e.app.CompareRuns(e.ctx, c.A, c.B)
	if err == nil {
		err = c.keep(e, c.A, c.B)
	}
	if err != nil {
		return err
	}
	return e.print(c.JSON, r, func(w io.Writer) { printComparison(w, r) })
}

func isModel(path string) bool { return strings.EqualFold(filepath.Ext(path), ".onnx") }

// paired measures both in turns, so that what the target changes meanwhile meets both.
func (c compareCmd) paired(e *env) error {
	manner, err := c.manner()
	if err != nil {
		return err
	}
	a, err := e.app.Load(e.ctx, c.A)
	if err != nil {
		return err
	}
	b, err := e.app.Load(e.ctx, c.B)
	if err != nil {
		return err
	}
	p, err := e.app.ComparePaired(e.ctx, app.PairedRequest{B: b, NameB: app.BaseName(c.B), ProfileRequest: app.ProfileRequest{Model: a, Name: app.BaseName(c.A), Target: c.Target,
		Threads: c.Threads, Launches: c.Launches, Runs: c.Runs, Again: app.Again, Progress: e.progress, Manner: manner, Waiting: waiting(e), Asks: c.asks(e, "")}})
	if err == nil {
		err = c.keep(e, p.A.ID, p.B.ID)
	}
	if err != nil {
		return err
	}
	return e.print(c.JSON, p.Result, func(w io.Writer) { printComparison(w, p.Result) })
}

// keep writes the samples of both runs where that was asked for.
func (c compareCmd) keep(e *env, a, b string) error {
	if c.Out == "" {
		return nil
	}
	return e.app.Export(e.ctx, app.ExportRequest{Run: a + "," + b, Format: "samples", Out: c.Out})
}

func printComparison(w io.Writer, r *app.ProfileComparison) {
	verdict := map[string]string{"faster": "B is faster", "slower": "B is slower", "none": "no difference shown"}[r.Verdict]
	if r.Inconclusive != "" { // medians of what was disturbed are no verdict
		fmt.Fprintf(w, "no verdict: %s (medians %s -> %s)\n", r.Inconclusive, ms(r.A.P50Ns), ms(r.B.P50Ns))
	} else {
		fmt.Fprintf(w, "%s: %s -> %s, time ratio %.3f (%.3f to %.3f), could have seen %.1f %%\n", verdict, ms(r.A.P50Ns), ms(r.B.P50Ns), r.Ratio[1], r.Ratio[0], r.Ratio[2], 100*r.Detectable)
	}
	for i, b := range r.Bars {
		if i == 25 {
			fmt.Fprintf(w, "  … %d more\n", len(r.Bars)-i)
			break
		}
		fmt.Fprintf(w, "  %-32.32s %10s -> %10s  %+.4f ms  %-6s %s\n", b.Label, ms(b.FromNs), ms(b.ToNs), b.DeltaNs/1e6, b.Verdict, b.Why)
	}
	for _, s := range r.Conditions {
		fmt.Fprintln(w, "  note:", s)
	}
}

type exportCmd struct {
	Source string `arg:"" name:"run" help:"Profile: a JSON file, or the id of a run; two joined by a comma for a comparison. Or the JSON file of a curve over time: csv, json, svg, png, pdf."`
	Format string `required:"" enum:"html,csv,json,samples,svg,png,pdf,perfetto,pprof" help:"html, csv, json, samples (every sample, with the verdict of two runs), svg, png, pdf, perfetto or pprof."`
	Out    string `short:"o" required:"" help:"File to write."`
	Lang   string `default:"en" enum:"en,zh" help:"Language of a report."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help gives an example that works.
func (exportCmd) Help() string {
	return "Example:\n  fettle profile a.onnx -o a.json && fettle export a.json --format svg -o layers.svg"
}

// Run writes the export.
func (c exportCmd) Run(e *env) error {
	if err := e.app.Export(e.ctx, app.ExportRequest{Run: c.Source, Format: c.Format, Out: c.Out, Lang: c.Lang}); err != nil {
		return err
	}
	return e.print(c.JSON, map[string]string{"file": c.Out, "format": c.Format}, func(w io.Writer) { fmt.Fprintln(w, "wrote", c.Out) })
}
