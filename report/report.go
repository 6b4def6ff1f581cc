// Package report writes a profile or a comparison for people and for other programs: a page, a picture, a table, JSON, a
// Perfetto trace, a pprof profile.
//
// It measures nothing and asks nobody: what it writes is in the value it was given. Names come from models and boards, so every form
// escapes them. Start reading at Profile and Comparison.
package report

import (
	"encoding/json"
	"io"
	"slices"

	"fettle/chart"
	"fettle/internal/fail"
	"fettle/profiler"
)

// Options of a report.
type Options struct {
	Lang string // of the page and the pictures: "en" or "zh"
}

// Formats lists what Profile and Comparison write.
func Formats() []string {
	return []string{"html", "csv", "json", "svg", "png", "pdf", "perfetto", "pprof"}
}

// Profile writes a profile. Error: fail.Usage for an unknown format.
func Profile(w io.Writer, p *profiler.Profile, format string, opt Options) error {
	t, err := words(opt.Lang)
	if err != nil {
		return err
	}
	if t != nil && slices.Contains([]string{"html", "svg", "png", "pdf"}, format) { // for people; programs get the words as they are
		p = chineseProfile(p)
	}
	switch format {
	case "html":
		return profileHTML(w, p, t)
	case "csv":
		return profileCSV(w, p)
	case "json":
		return writeJSON(w, p)
	case "svg", "png", "pdf":
		return chart.Write(w, t.Bars(p), format)
	case "perfetto":
		return profilePerfetto(w, p)
	case "pprof":
		return profilePprof(w, p)
	}
	return unknown(format)
}

// Comparison writes a comparison. Error: fail.Usage for an unknown format.
func Comparison(w io.Writer, c *profiler.Comparison, format string, opt Options) error {
	t, err := words(opt.Lang)
	if err != nil {
		return err
	}
	if t != nil && slices.Contains([]string{"html", "svg", "png", "pdf"}, format) {
		c = chineseComparison(c)
	}
	switch format {
	case "html":
		return comparisonHTML(w, c, t)
	case "csv":
		return comparisonCSV(w, c)
	case "json":
		return writeJSON(w, c)
	case "svg", "png", "pdf":
		return chart.Write(w, t.Waterfall(c), format)
	case "perfetto":
		return comparisonPerfetto(w, c)
	case "pprof":
		return comparisonPprof(w, c)
	}
	return unknown(format)
}

func unknown(format string) error {
	return fail.New(fail.Usage, "no report format %q", format).Try("use one of %v", Formats())
}

func words(lang string) (chart.Words, error) {
	switch lang {
	case "", "en":
		return nil, nil
	case "zh":
		return chinese(), nil
	}
	return nil, fail.New(fail.Usage, "no report in the language %q", lang).Try("use en or zh")
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(v)
}

// byTime are the layers, longest first.
func byTime(p *profiler.Profile) []profiler.Layer {
	l := slices.Clone(p.Layers)
	slices.SortStableFunc(l, func(a, b profiler.Layer) int {
		switch {
		case a.P50Ns > b.P50Ns:
			return -1
		case a.P50Ns < b.P50Ns:
			return 1
		}
		return 0
	})
	return l
}
