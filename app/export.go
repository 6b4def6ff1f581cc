package app

import (
	"bytes"
	"context"

	"strings"

	"fettle/internal/fail"
	"fettle/report"
)

// ExportRequest says which run or comparison to write as what.
type ExportRequest struct {
	Run    string // file or id of a profile; two joined by a comma for a comparison
	Format string // one of ExportFormats, or "samples": every sample, and of two runs the verdict that follows from them
	Out    string
	Lang   string // of pages and pictures
}

// ExportFormats are html, csv, json, svg, png, pdf, perfetto and pprof.
func ExportFormats() []string { return report.Formats() }

// Export writes a profile or a comparison.
func (a *App) Export(ctx context.Context, q ExportRequest) error {
	x, y, two := strings.Cut(q.Run, ",")
	p, err := a.ReadProfile(ctx, x)
	if err != nil {
		return err
	}
	if !two && q.Format == "samples" {
		return a.exportSamples(ctx, q.Out, p)
	}
	if !two {
		return a.ExportProfile(p, q.Format, q.Lang, q.Out)
	}
	r, err := a.ReadProfile(ctx, y)
	if err != nil {
		return err
	}
	if q.Format == "samples" {
		return a.exportSamples(ctx, q.Out, p, r)
	}
	c, err := a.Compare(p, r)
	if err != nil {
		return err
	}
	return a.ExportComparison(c, q.Format, q.Lang, q.Out)
}

// ExportProfile writes a profile to a file in one step.
func (a *App) ExportProfile(p *Profile, format, lang, path string) error {
	var b bytes.Buffer
	if err := report.Profile(&b, p, format, report.Options{Lang: lang}); err != nil {
		return fail.In(err, "export the run", fail.Where{File: path})
	}
	return exportFile(path, b.Bytes())
}

// ExportComparison writes a comparison to a file in one step.
func (a *App) ExportComparison(c *ProfileComparison, format, lang, path string) error {
	var b bytes.Buffer
	if err := report.Comparison(&b, c, format, report.Options{Lang: lang}); err != nil {
		return fail.In(err, "export the comparison", fail.Where{File: path})
	}
	return exportFile(path, b.Bytes())
}
