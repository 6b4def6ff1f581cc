package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"fettle/chart"
	"fettle/internal/fail"
	"fettle/profiler/predict"
)

// Staircases writes layers' times by their output channels on a target, a panel a layer. Error: fail.Usage for a format that is not among CurveFormats.
func Staircases(w io.Writer, list []predict.Staircase, target, format string, o Options) error {
	t, err := words(o.Lang)
	if err != nil {
		return err
	}
	switch format {
	case "csv":
		return stairsCSV(w, list)
	case "json":
		return writeJSON(w, list)
	case "svg", "png", "pdf":
		return chart.Write(w, stairsChart(list, target, t), format)
	}
	return fail.New(fail.Usage, "a staircase is not written as %q", format).Try("use one of %v", CurveFormats())
}

// stairsChart draws each layer on axes of its own: layers differ in channels and in time.
func stairsChart(list []predict.Staircase, target string, t chart.Words) *chart.Chart {
	var all []*chart.Chart
	var known []string
	for i := range list {
		if p := stairsOf(&list[i], t); len(p.Series) > 0 {
			all, known = append(all, p), append(known, list[i].Label)
		}
	}
	c := &chart.Chart{Kind: chart.Lines, Title: t.T("Staircases of %d layers on %s", len(all), target)}
	if len(all) > 0 {
		c.Series, c.X, c.Y = all[0].Series, all[0].X, all[0].Y
	}
	if len(all) == 1 {
		c.Title = t.T("Staircase of %s on %s", known[0], target)
	} else if len(all) > 1 {
		for i, p := range all {
			p.Y.Label = known[i]
		}
		c.Y.Label = known[0]
		c.Below = all[1:]
	}
	if len(list) == 1 {
		c.Subtitle = t.T("%d channels now", list[0].Now)
	}
	c.Notes = []string{t.T("foretold from the target's kernels, with the interval")}
	for i := range list {
		if why := list[i].Why; why != "" {
			if t != nil {
				why = toChinese(why)
			}
			if note := t.T("not foretold everywhere: %s", why); !slices.Contains(c.Notes, note) {
				c.Notes = append(c.Notes, note)
			}
		}
	}
	return c
}

func stairsOf(s *predict.Staircase, t chart.Words) *chart.Chart {
	longest := 0.0
	told, seen, edges := chart.Series{Name: t.T("foretold"), Color: "runA", Join: chart.Stairs, Mark: chart.Circle}, chart.Series{Name: t.T("measured"), Color: "text1", Join: chart.Stairs, Mark: chart.Circle},
		chart.Series{Name: t.T("last before a step"), Color: "gain", Join: chart.Loose, Mark: chart.Diamond}
	for _, k := range s.Treads {
		last := 0.0
		if k.Ns > 0 {
			told.Points = append(told.Points, chart.Point{X: float64(k.Channels), Y: k.Ns, Lo: k.Low, Hi: k.High, State: chart.Predicted})
			last = k.Ns
		}
		if k.Measured != nil {
			seen.Points = append(seen.Points, chart.Point{X: float64(k.Channels), Y: *k.Measured})
			last = *k.Measured
		}
		if longest = math.Max(longest, math.Max(last, k.High)); k.Edge && last > 0 {
			edges.Points = append(edges.Points, chart.Point{X: float64(k.Channels), Y: last})
		}
	}
	c := &chart.Chart{Kind: chart.Lines, X: chart.Axis{Label: t.T("output channels"), Whole: true}, Y: chart.TimeAxis(t.T("time of the layer"), longest)}
	for _, x := range []chart.Series{told, seen, edges} {
		if len(x.Points) > 0 {
			c.Series = append(c.Series, x)
		}
	}
	return c
}

func stairsCSV(w io.Writer, list []predict.Staircase) error {
	rows := [][]string{{"layer", "channels", "predicted_ns", "low_ns", "high_ns", "measured_ns", "edge"}}
	for _, s := range list {
		for _, k := range s.Treads {
			row := []string{s.Label, strconv.Itoa(k.Channels), "", "", "", opt(k.Measured), strconv.FormatBool(k.Edge)}
			if k.Ns > 0 {
				row[2], row[3], row[4] = num(k.Ns), num(k.Low), num(k.High)
			}
			rows = append(rows, row)
		}
	}
	return csv.NewWriter(w).WriteAll(rows)
}

// Roofline writes a run's layers under the roof of its target. Error: fail.Usage for a format that is not among CurveFormats.
func Roofline(w io.Writer, r *predict.Roofline, model, target, format string, o Options) error {
	t, err := words(o.Lang)
	if err != nil {
		return err
	}
	switch format {
	case "csv":
		rows := [][]string{{"layer", "op", "macs_per_byte", "macs_per_second", "bytes_per_second", "ns", "roof_macs_per_second", "bound", "winograd"}}
		for _, p := range r.Points {
			rows = append(rows, []string{p.Label, p.Op, num(p.Intensity), num(p.Rate), num(p.Moved), num(p.Ns), num(p.Roof), p.Bound, strconv.FormatBool(p.Winograd)})
		}
		return csv.NewWriter(w).WriteAll(rows)
	case "json":
		return writeJSON(w, r)
	case "svg", "png", "pdf":
		return chart.Write(w, roofChart(r, model, target, t), format)
	}
	return fail.New(fail.Usage, "a roofline is not written as %q", format).Try("use one of %v", CurveFormats())
}

// namedLayers of a roofline have their names beside them: more would cover each other.
const namedLayers = 5

func roofChart(r *predict.Roofline, model, target string, t chart.Words) *chart.Chart {
	giga := func(v float64, unit string) string {
		if v == 0 {
			return t.T("not known")
		}
		return fmt.Sprintf("%.3g G%s", v/1e9, unit)
	}
	c := &chart.Chart{Kind: chart.Lines, Title: t.T("Roofline of %s on %s", model, target), X: chart.Axis{Label: t.T("products for each byte"), Log: true},
		Y:        chart.Axis{Label: t.T("products a second"), Unit: "G", Scale: 1e9, Log: true},
		Subtitle: t.T("peak %s, memory %s, fastest layer without Winograd %s", giga(r.Roof.PeakMACs, "MAC/s"), giga(r.Roof.Bandwidth, "B/s"), giga(r.Roof.BestMACs, "MAC/s"))}
	if why := r.Roof.Why; why != "" {
		if t != nil {
			why = toChinese(why)
		}
		c.Notes = append(c.Notes, why)
	}
	lo, hi := math.Inf(1), 0.0
	order := make([]int, len(r.Points))
	for i, p := range r.Points {
		order[i] = i
		lo, hi = math.Min(lo, p.Intensity), math.Max(hi, p.Intensity)
	}
	if len(order) == 0 {
		return c
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if r.Points[a].Ns > r.Points[b].Ns {
			return -1
		}
		return 1
	})
	lo, hi = lo/1.5, hi*1.5
	roof := func(peak float64, color chart.Token) {
		if peak <= 0 {
			return
		}
		s := chart.Series{Color: color, Plain: true}
		if b := r.Roof.Bandwidth; b > 0 && peak/b > lo {
			s.Points = append(s.Points, chart.Point{X: lo, Y: b * lo})
			if ridge := peak / b; ridge < hi {
				s.Points = append(s.Points, chart.Point{X: ridge, Y: peak}, chart.Point{X: hi, Y: peak})
			} else {
				s.Points = append(s.Points, chart.Point{X: hi, Y: b * hi})
			}
		} else {
			s.Points = []chart.Point{{X: lo, Y: peak}, {X: hi, Y: peak}}
		}
		c.Series = append(c.Series, s)
	}
	roof(r.Roof.PeakMACs, "floor")
	roof(r.Roof.BestMACs, "text3")
	plain, saved := chart.Series{Color: "runB", Join: chart.Loose, Mark: chart.Circle}, chart.Series{Color: "runA", Join: chart.Loose, Mark: chart.Triangle}
	for n, i := range order {
		p := r.Points[i]
		x := chart.Point{ID: p.Label, X: p.Intensity, Y: p.Rate, Tip: p.Label}
		if n < namedLayers {
			x.Label = p.Label
		}
		if p.Winograd {
			saved.Points = append(saved.Points, x)
		} else {
			plain.Points = append(plain.Points, x)
		}
	}
	for _, s := range []chart.Series{plain, saved} {
		if len(s.Points) > 0 {
			c.Series = append(c.Series, s)
		}
	}
	if len(saved.Points) > 0 {
		c.Notes = append(c.Notes, t.T("triangles: Winograd, which saves products"))
	}
	return c
}
