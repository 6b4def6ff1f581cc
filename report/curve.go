package report

import (
	"encoding/csv"
	"io"
	"strconv"

	"fettle/chart"
	"fettle/internal/fail"
	"fettle/profiler"
)

// CurveFormats lists what Curve writes.
func CurveFormats() []string { return []string{"csv", "json", "svg", "png", "pdf"} }

// Curve writes a model's speed over time. Error: fail.Usage for a format that is not among CurveFormats.
func Curve(w io.Writer, c *profiler.Curve, format string, o Options) error {
	t, err := words(o.Lang)
	if err != nil {
		return err
	}
	switch format {
	case "csv":
		return curveCSV(w, c)
	case "json":
		return writeJSON(w, c)
	case "svg", "png", "pdf":
		return chart.Write(w, t.Curve(c), format)
	}
	return fail.New(fail.Usage, "a curve over time is not written as %q", format).Try("use one of %v", CurveFormats())
}

// curveCSV writes one row a launch. What the target does not say is an empty cell.
func curveCSV(w io.Writer, c *profiler.Curve) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"after_s", "p50_ns", "hz", "temperature_c", "throttled", "watts"}}
	for _, p := range c.Points {
		hz, throttled := "", ""
		if p.Hz != nil {
			hz = strconv.FormatInt(*p.Hz, 10)
		}
		if p.Throttled != nil {
			throttled = strconv.FormatBool(*p.Throttled)
		}
		rows = append(rows, []string{num(p.AfterS), num(p.P50Ns), hz, opt(p.TemperatureC), throttled, opt(p.Watts)})
	}
	return out.WriteAll(rows)
}
