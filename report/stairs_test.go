package report

import (
	"bytes"
	"encoding/csv"
	"image/png"
	"slices"
	"strings"
	"testing"

	"fettle/chart"
	"fettle/internal/fail"
	"fettle/profiler/predict"
)

func treads() []predict.Staircase {
	seen := 3.1e5
	return []predict.Staircase{
		{Label: "layer1.conv", Now: 32, Treads: []predict.Tread{{Channels: 8, Ns: 1e5, Low: 9e4, High: 1.1e5}, {Channels: 16, Ns: 2e5, Low: 1.8e5, High: 2.2e5, Edge: true}, {Channels: 32, Ns: 3e5, Low: 2.8e5, High: 3.2e5, Measured: &seen}}},
		{Label: hostile, Now: 8, Treads: []predict.Tread{{Channels: 4}, {Channels: 8, Measured: &seen, Edge: true}}, Why: "its kind was never measured"},
	}
}

// every writes in each format and language and looks at what can be seen in the bytes; html is refused.
func every(t *testing.T, write func(b *bytes.Buffer, format string, o Options) error) (rows [][]string) {
	t.Helper()
	for _, f := range append(CurveFormats(), "html") {
		english := ""
		for _, lang := range []string{"en", "zh"} {
			var b bytes.Buffer
			err := write(&b, f, Options{Lang: lang})
			switch {
			case f == "html":
				if !fail.Is(err, fail.Usage) {
					t.Errorf("html: %v", err)
				}
				continue
			case err != nil || b.Len() == 0:
				t.Fatalf("%s: %v", f, err)
			}
			switch f {
			case "svg":
				if !strings.Contains(b.String(), "<svg") || b.String() == english { // letters are drawn: only that they differ can be seen
					t.Errorf("%s in %s", f, lang)
				}
				english = b.String()
			case "png":
				if _, err := png.Decode(&b); err != nil {
					t.Error(err)
				}
			case "pdf":
				if !strings.HasPrefix(b.String(), "%PDF") {
					t.Error("no PDF")
				}
			case "csv":
				if rows, err = csv.NewReader(&b).ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return rows
}

// TestStaircases: each layer is a panel, what is not told is an empty cell, edges are marked, lines go up at the tread before.
func TestStaircases(t *testing.T) {
	rows := every(t, func(b *bytes.Buffer, f string, o Options) error { return Staircases(b, treads(), "pi", f, o) })
	if len(rows) != 6 || strings.Join(rows[2], ",") != "layer1.conv,16,200000,180000,220000,,true" || strings.Join(rows[4][1:], ",") != "4,,,,,false" {
		t.Errorf("%q", rows)
	}
	c := stairsChart(treads(), "pi", nil)
	if len(c.Below) != 1 || len(c.Series) != 3 || len(c.Below[0].Series) != 2 || !slices.Contains(c.Notes, "not foretold everywhere: its kind was never measured") {
		t.Fatalf("%d panels, %d and %d series, notes %q", len(c.Below), len(c.Series), len(c.Below[0].Series), c.Notes)
	}
	s := chart.Layout(c, func(s string, size float64, _ bool) float64 { return size / 2 * float64(len(s)) })
	for _, d := range s.Draws {
		if d.Op == chart.OpLine && d.Stroke == "runA" {
			if p := d.Points; len(p) != 5 || p[0].X != p[1].X || p[1].Y != p[2].Y || p[1].Y >= p[0].Y {
				t.Errorf("the steps are %v", p)
			}
			return
		}
	}
	t.Error("no steps are drawn")
}

// TestRooflinePicture: the roof bends where memory and products meet; layers with Winograd have a mark of their own; without bandwidth it is a level.
func TestRooflinePicture(t *testing.T) {
	r := &predict.Roofline{Roof: predict.Roof{PeakMACs: 8e9, Bandwidth: 4e9, BestMACs: 6e9},
		Points: []predict.RoofPoint{{Label: "a", Intensity: 0.5, Rate: 1e9, Ns: 1e5, Bound: "memory"}, {Label: "b", Intensity: 20, Rate: 5e9, Ns: 3e5, Bound: "compute"}, {Label: "c", Intensity: 30, Rate: 11e9, Ns: 2e5, Winograd: true}}}
	rows := every(t, func(b *bytes.Buffer, f string, o Options) error { return Roofline(b, r, "net", "pi", f, o) })
	if len(rows) != 4 || rows[1][0] != "a" || rows[3][8] != "true" {
		t.Errorf("%q", rows)
	}
	c := roofChart(r, "net", "pi", nil)
	if len(c.Series) != 4 {
		t.Fatalf("%d series", len(c.Series))
	}
	if p := c.Series[0].Points; len(p) != 3 || p[1].X != 2 || p[1].Y != 8e9 || p[0].Y != 4e9*p[0].X {
		t.Errorf("the roof is %+v", p)
	}
	if p := c.Series[3].Points; len(p) != 1 || c.Series[3].Mark != chart.Triangle || c.Series[2].Points[0].ID != "b" {
		t.Errorf("Winograd: %+v, longest %+v", p, c.Series[2].Points)
	}
	r.Roof.Bandwidth = 0
	if p := roofChart(r, "net", "pi", nil).Series[0].Points; len(p) != 2 || p[0].Y != p[1].Y {
		t.Errorf("without a speed of memory the roof is %+v", p)
	}
	if c := roofChart(&predict.Roofline{}, "net", "pi", nil); len(c.Series) != 0 {
		t.Error("no layers, and something is drawn")
	}
}
