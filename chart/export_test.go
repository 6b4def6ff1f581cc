package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/profiler"
	"fettle/profiler/trace"
)

// example is a profile of a small network with hostile and Chinese names.
func example(scale float64) *profiler.Profile {
	rng := rand.New(rand.NewPCG(1, 2))
	p50 := 0.0
	p := &profiler.Profile{Schema: 1, ID: "0123456789ab", Complete: true, Model: trace.Model{Name: "resnet20 <b>é 残差网络</b>", SHA256: "ab"},
		Target: trace.Target{Name: "pi4", CPU: "Cortex-A72"}, Runtime: trace.Runtime{Name: "fettle", Version: "0.1"}, Plan: trace.Plan{Threads: 4, Precision: "int8"},
		Conditions: profiler.Conditions{Seal: profiler.Amber, Why: []string{`the governor "ondemand" lets the clock move; set it to "performance" for the run`}}}
	names := []string{"conv1", "layer1.0.conv1", "layer1.0.relu", "a_very_long_name_of_a_layer_that_some_exporter_made/with/slashes/Conv_17", "卷积层一", "/layer3/layer3.0/conv1/Gemm", "<script>alert(1)</script>", "add\x1b[31m"}
	ops := []string{"Conv", "Conv", "Relu", "Conv", "Conv", "Gemm", "MaxPool", "Add"}
	for i := range names {
		ns := scale * math.Exp(11+2*rng.Float64())
		floor := ns * 0.6
		l := profiler.Layer{ID: fmt.Sprint("s", i), Name: names[i], Op: ops[i], Origin: []string{fmt.Sprint("n", i)}, DType: "int8", Kernel: "k", P50Ns: ns,
			Interval: [2]float64{0.95 * ns, 1.06 * ns}, UnitsNs: []float64{ns, 1.01 * ns, 0.99 * ns}}
		if i%2 == 0 {
			l.FloorNs = &floor
		}
		p.Layers = append(p.Layers, l)
		p50 += ns
	}
	p.UnattributedNs = 0.015 * p50
	p50 += p.UnattributedNs
	for i := range p.Layers {
		p.Layers[i].Share = p.Layers[i].P50Ns / p50
	}
	p.Closure = p.UnattributedNs / p50
	p.Clean = profiler.Clean{N: 60, Launches: 3, P50Ns: &p50, IntervalP50: [2]float64{0.99 * p50, 1.01 * p50}}
	for range 60 {
		p.Clean.SamplesNs = append(p.Clean.SamplesNs, int64(p50*(1+0.01*rng.NormFloat64()+0.02*rng.ExpFloat64())))
	}
	p.Launches = []profiler.LaunchResult{{N: 20, P50Ns: p50, Used: true}, {N: 20, P50Ns: 1.01 * p50, Used: true}, {N: 20, P50Ns: 0.99 * p50, Used: true}}
	return p
}

func examples(t testing.TB) map[string]*Chart {
	a, b := example(1), example(0.8)
	b.Layers[1].P50Ns *= 1.3
	c, err := profiler.Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	zh := Words{"Layers of %s": "%s 的各层", "time of one inference": "单次推理时间", "unattributed": "未归属"}
	curve := &Chart{Kind: Lines, Title: "Latency over channels", X: Axis{Label: "channels"}, Y: Axis{Label: "time", Unit: "ms", Scale: 1e6, Zero: true}}
	for k, name := range []string{"fettle", "onnxruntime"} {
		s := Series{Name: name, Color: []Token{"runA", "runB"}[k], Mark: Shape(k)}
		for ch := 8; ch <= 64; ch += 4 {
			y := 1e6 * math.Ceil(float64(ch)/16) * (1 + 0.3*float64(k))
			s.Points = append(s.Points, Point{X: float64(ch), Y: y, Lo: 0.93 * y, Hi: 1.08 * y})
		}
		curve.Series = append(curve.Series, s)
	}
	front := &Chart{Kind: Scatter, Title: "Trade-off", X: Axis{Label: "latency", Unit: "ms", Scale: 1e6, Log: true}, Y: Axis{Label: "accuracy", Unit: "%"}}
	for k := range 6 {
		s := Series{Name: string(rune('A' + k)), Color: Token("run" + string(rune('A'+k))), Mark: Shape(k)}
		for i := range 4 {
			s.Points = append(s.Points, Point{X: 1e6 * float64(1+i*3+k), Y: 90 - float64(i) - float64(k)/3, Lo: 89.5 - float64(i) - float64(k)/3, Hi: 90.6 - float64(i) - float64(k)/3, State: State(i % 2)})
		}
		front.Series = append(front.Series, s)
	}
	faster := example(1)
	faster.Layers[3].P50Ns *= 0.6
	p50 := *a.Clean.P50Ns - 0.4*a.Layers[3].P50Ns
	faster.Clean.P50Ns = &p50
	cut, err := profiler.Compare(a, faster)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*Chart{"bars": Bars(a), "bars-zh": zh.Bars(a), "waterfall": Waterfall(c), "waterfall-cut": Waterfall(cut), "samples": Samples(a), "curve": curve, "front": front,
		"empty": Bars(&profiler.Profile{}), "empty-samples": Samples(&profiler.Profile{}), "empty-waterfall": Waterfall(&profiler.Comparison{})}
}

// FETTLE_CHARTS=DIR keeps the pictures, to be looked at.
func TestWriteAllFormats(t *testing.T) {
	for name, c := range examples(t) {
		for _, format := range Formats() {
			if format == "pdf" && name != "bars-zh" {
				continue // making the fonts of a PDF takes half a second
			}
			var b bytes.Buffer
			if err := Write(&b, c, format); err != nil {
				t.Fatalf("%s.%s: %v", name, format, err)
			}
			if dir := os.Getenv("FETTLE_CHARTS"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+"."+format), b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			switch format {
			case "png":
				img, err := png.Decode(&b)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				inks := map[color.Color]bool{}
				for y := 0; y < img.Bounds().Dy(); y += 2 {
					for x := 0; x < img.Bounds().Dx(); x += 2 {
						inks[img.At(x, y)] = true
					}
				}
				if len(inks) < 3 {
					t.Errorf("%s: %d colours: nothing was drawn", name, len(inks))
				}
			case "svg":
				well(t, name, b.String())
			case "pdf":
				if !bytes.HasPrefix(b.Bytes(), []byte("%PDF-")) || !bytes.Contains(b.Bytes(), []byte("%%EOF")) {
					t.Errorf("%s: no PDF", name)
				}
			}
		}
	}
	if err := Write(io.Discard, examples(t)["bars"], "bmp"); !fail.Is(err, fail.Usage) {
		t.Errorf("bmp: %v", err)
	}
}

// well checks that an SVG is well formed and that no name became an element.
func well(t *testing.T, name, svg string) {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(svg))
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e, ok := tok.(xml.StartElement); ok && (e.Name.Local == "script" || e.Name.Local == "b") {
			t.Errorf("%s: a name of the model became <%s>", name, e.Name.Local)
		}
	}
}

func TestHanziAreDrawn(t *testing.T) {
	ty := newType()
	for _, s := range []string{"推理时间", Minus + "1", "→", "≤", "µs", "é", NoBrk} {
		for _, r := range ty.runs(s, false) {
			for _, c := range r.text {
				if !r.face.has(c) {
					t.Errorf("no font has %q", c)
				}
			}
		}
	}
	if w := ty.Width("推理", 12, false); math.Abs(w-24) > 0.5 {
		t.Errorf("two hanzi at 12 are %g wide", w)
	}
	if w := ty.Width("a\x1bb\n", 12, false); w != ty.Width("a b ", 12, false) {
		t.Error("control signs are not spaces")
	}
}

// No two texts of a chart may touch, and none may leave it: in any kind, with long and Chinese names.
func TestTextsDoNotTouch(t *testing.T) {
	ty := newType()
	for name, c := range examples(t) {
		s := Layout(c, ty.Width)
		var boxes []Rect
		var texts []string
		for _, d := range s.Draws {
			if d.Op != OpText {
				continue
			}
			w := ty.Width(d.Text, d.Size, d.Bold)
			x := d.Points[0].X - w*float64(d.Align)/2
			r := Rect{x, d.Points[0].Y - 0.75*d.Size, w, 0.9 * d.Size}
			if r.X < 0 || r.Y < 0 || r.X+r.W > s.W || r.Y+r.H > s.H {
				t.Errorf("%s: %q leaves the chart (%.0f x %.0f): %+v", name, d.Text, s.W, s.H, r)
			}
			for i, b := range boxes {
				if r.X < b.X+b.W && b.X < r.X+r.W && r.Y < b.Y+b.H && b.Y < r.Y+r.H {
					t.Errorf("%s: %q touches %q", name, d.Text, texts[i])
				}
			}
			boxes, texts = append(boxes, r), append(texts, d.Text)
		}
	}
}

func TestHit(t *testing.T) {
	c := Bars(example(1))
	s := Layout(c, newType().Width)
	if len(s.Marks) != len(c.Series[0].Points) {
		t.Fatalf("%d marks for %d points", len(s.Marks), len(c.Series[0].Points))
	}
	for i, m := range s.Marks {
		if got := s.Hit(m.At.X+m.At.W/2, m.At.Y+m.At.H/2); got != i {
			t.Errorf("middle of mark %d hits %d", i, got)
		}
	}
	if got := s.Hit(s.W/2, -100); got != -1 {
		t.Errorf("far away hits %d", got)
	}
}

// Only a cut axis says that it is one.
func TestCutIsSaid(t *testing.T) {
	says := func(c *Chart) bool {
		for _, d := range Layout(c, newType().Width).Draws {
			if strings.HasPrefix(d.Text, "The axis begins above") {
				return true
			}
		}
		return false
	}
	all := examples(t)
	if !says(all["waterfall-cut"]) {
		t.Error("a cut axis without its sentence")
	}
	p50 := 0.2 * all["waterfall"].Series[0].Points[0].To
	if c := Waterfall(&profiler.Comparison{A: profiler.RunRef{P50Ns: 5 * p50}, B: profiler.RunRef{P50Ns: p50}, Bars: []profiler.Bar{{Label: "x", DeltaNs: -4 * p50}}}); says(c) {
		t.Error("a whole axis says that it is cut")
	}
}

// The tops of the moves lead from A to B without a gap.
func TestWaterfallLeadsFromAToB(t *testing.T) {
	for name, c := range examples(t) {
		if c.Kind != Falls || name == "empty-waterfall" {
			continue
		}
		pts := c.Series[0].Points
		level := pts[0].To
		for _, p := range pts[1 : len(pts)-1] {
			if p.From != level {
				t.Errorf("%s: %s begins at %g, not %g", name, p.Label, p.From, level)
			}
			level = p.To
		}
		if last := pts[len(pts)-1].To; math.Abs(level-last) > 1 {
			t.Errorf("%s: the moves end at %g, B is %g", name, level, last)
		}
	}
}

func TestHatchStaysInside(t *testing.T) {
	for _, r := range []Rect{{10, 20, 40, 12}, {0, 0, 3, 90}, {5, 5, 0.5, 0.5}} {
		for _, l := range HatchLines(r) {
			for _, p := range l {
				if p.X < r.X-1e-9 || p.X > r.X+r.W+1e-9 || p.Y < r.Y-1e-9 || p.Y > r.Y+r.H+1e-9 {
					t.Errorf("%+v leaves %+v", p, r)
				}
			}
		}
	}
}

func TestPalettes(t *testing.T) {
	for _, theme := range []string{"light", "dark"} {
		p := Palette(theme)
		for _, k := range []Token{"bg2", "text1", "text2", "text3", "line1", "line2", "line3", "runA", "runF", "gain", "loss", "floor", "opConv", "opOther"} {
			if p[k].A != 255 {
				t.Errorf("%s: no colour %s", theme, k)
			}
		}
	}
}
