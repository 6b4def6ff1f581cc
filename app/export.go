package app

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"fettle/internal/fail"
	"fettle/report"
)

// ExportRequest says which run or comparison to write as what.
type ExportRequest struct {
	Run    string // file or id of a profile, or the file of a curve over time; two profiles joined by a comma for a comparison
	Format string // one of ExportFormats, or "samples": every sample, and of two runs the verdict that follows from them
	Out    string
	Lang   string // of pages and pictures
}

// ExportFormats are html, csv, json, svg, png, pdf, perfetto and pprof.
func ExportFormats() []string { return report.Formats() }

// Export writes a profile or a comparison.
func (a *App) Export(ctx context.Context, q ExportRequest) error {
	x, y, two := strings.Cut(q.Run, ",")
	if c := readCurve(x); c != nil && !two {
		return a.ExportCurve(c, q.Format, q.Lang, q.Out)
	}
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

// ExportCurve writes a model's speed over time to a file in one step.
func (a *App) ExportCurve(c *Sustained, format, lang, path string) error {
	var b bytes.Buffer
	if err := report.Curve(&b, c, format, report.Options{Lang: lang}); err != nil {
		return fail.In(err, "export the curve", fail.Where{File: path})
	}
	return exportFile(path, b.Bytes())
}

// ExportStaircases writes layers' times by their channels on a target to a file in one step.
func (a *App) ExportStaircases(list []Staircase, target, format, lang, path string) error {
	var b bytes.Buffer
	if err := report.Staircases(&b, list, targetName(target), format, report.Options{Lang: lang}); err != nil {
		return fail.In(err, "export the staircase", fail.Where{File: path})
	}
	return exportFile(path, b.Bytes())
}

// ExportRoofline writes the layers of a run under the roof of its target to a file in one step.
func (a *App) ExportRoofline(p *Profile, format, lang, path string) error {
	var b bytes.Buffer
	if err := report.Roofline(&b, NewRoofline(p), p.Model.Name, p.Target.Name, format, report.Options{Lang: lang}); err != nil {
		return fail.In(err, "export the roofline", fail.Where{File: path})
	}
	return exportFile(path, b.Bytes())
}

// readCurve is nil where a file holds no curve: it may be a profile.
func readCurve(path string) *Sustained {
	b, err := readSmall(path, maxProfile)
	if err != nil {
		return nil
	}
	var c Sustained
	if json.Unmarshal(b, &c) != nil || len(c.Points) == 0 {
		return nil
	}
	return &c
}
