package plot

import (
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"fettle/views/kit/theme"
)

var update = flag.Bool("update", false, "rewrite the golden pictures")

func inkOf(_ testing.TB, dark bool, lang string) *Ink { return NewInk(theme.New(dark, lang)) }

func draw(k *Ink, f Figure, w, h int, scale float32) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, int(float32(w)*scale), int(float32(h)*scale)))
	f.Paint(newPen(k, img, scale, k.Bg2))
	return img
}

func tick(v float64) string { return fmt.Sprintf("%g", v) }

func fall() *Waterfall {
	f := &Waterfall{Tick: tick, Foot: "Bars add up exactly to the difference.",
		FootCut: func(at string) string {
			return "Bars add up exactly to the difference. Axis starts at " + at + " ms (cut marks on A and B)."
		},
		Selected: func(k []string) bool { return len(k) > 0 && k[0] == "layer2" }}
	f.Steps = []Step{{Label: "A", Sub: "original", Value: 248, Text: "248", Kind: TotalA}}
	for _, m := range []struct {
		name, sub string
		v         float64
	}{{"int8", "layer1", -10.3}, {"int8", "layer2", -16.9}, {"int8", "layer3", -23}, {"int8", "layer4", -17.4}, {"fold BN", "× 53", -21.8},
		{"fuse ReLU", "× 49", -16.9}, {"int8 add", "× 16", -4.5}, {"pool", "× 2", -1.6}, {"int8 fc", "× 1", -1.2}, {"new casts", "× 4", 4}} {
		f.Steps = append(f.Steps, Step{Keys: []string{m.sub}, Label: m.name, Sub: m.sub, Value: m.v, Text: fmt.Sprintf("%+.3g", m.v)})
	}
	f.Steps = append(f.Steps, Step{Label: "unattrib.", Value: -2.4, Text: "−2.40", Kind: Unattributed},
		Step{Label: "B", Sub: "mixed-1", Value: 136, Text: "136", Kind: TotalB})
	return f
}

func samples(n int) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]float64, n)
	for i := range out {
		out[i] = 248 + r.NormFloat64()*1.6
		if i%25 == 24 {
			out[i] += 14
		}
	}
	return out
}

func number(v float64) *float64 { return &v }

func figures(k *Ink) map[string]Figure {
	bars := &Bars{Selected: func(x []string) bool { return x[0] == "MatMul" }, Rows: []Bar{
		{Keys: []string{"Conv"}, Label: "Conv", Note: "53 层", Value: 190, Lo: 188, Hi: 193, Floor: number(120), Text: "190", Colour: k.OpConv},
		{Keys: []string{"MatMul"}, Label: "MatMul", Note: "1 layer", Value: 30, Floor: number(12), Text: "30.0", Colour: k.OpMat},
		{Keys: []string{"u"}, Label: "未归属", Value: 12, Text: "12.0", Hatch: true}}}
	line := &Line{Dots: true, Joined: true, Colour: k.RunB, Tick: tick, Unit: "ms", Selected: func(key string) bool { return key == "3" }}
	for i, v := range []float64{248, 240, 190, 141, 136} {
		line.Points = append(line.Points, Point{Key: fmt.Sprint(i), X: float64(i), Y: v, Lo: v - 4, Hi: v + 4, Label: fmt.Sprintf("step %d", i)})
	}
	roof := &Roofline{Peak: 28.8, Bandwidth: 3.9, PeakTag: "direct fp32: 28.8", BandTag: "memory 3.9 GB/s", XTitle: "MAC per byte moved", YTitle: "GMAC/s",
		Shapes: []string{"1×1, 36 layers", "3×3, 16 layers", ""}, Tick: tick, Selected: func(k []string) bool { return k[0] == "3" }}
	for i := range 14 {
		x := 3 + float64(i*i)*.8
		roof.Spots = append(roof.Spots, Spot{Keys: []string{fmt.Sprint(i)}, Name: fmt.Sprintf("conv%d", i), X: x, Y: min(3.9*x, 28.8) * (.5 + .03*float64(i%9)), Heat: float64(i) / 14, Shape: uint8(i % 2), Radius: 3 + float32(i)/5})
	}
	return map[string]Figure{"waterfall": fall(), "roofline": roof, "bars": bars, "line": line,
		"histogram": &Histogram{Values: samples(67), Mid: 248, MidTag: "p50", Note: "67 samples, 3 outliers kept", Tick: tick, Colour: k.RunA}}
}

// Every figure looks as it did, in both themes, at 100 and 150 %.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name, figure, lang string
		dark               bool
		w, h               int
		scale              float32
	}{
		{"waterfall-dark", "waterfall", "en", true, 760, 250, 1},
		{"bars-light-150", "bars", "zh", false, 360, 80, 1.5},
		{"roofline-dark", "roofline", "en", true, 480, 300, 1},
		{"line-light", "line", "en", false, 360, 140, 1},
		{"histogram-dark", "histogram", "en", true, 360, 80, 1},
	} {
		k := inkOf(t, c.dark, c.lang)
		golden(t, c.name, draw(k, figures(k)[c.figure], c.w, c.h, c.scale))
	}
}

func golden(t *testing.T, name string, img *image.RGBA) {
	t.Helper()
	file := filepath.Join("testdata", name+".png")
	if *update {
		write(t, file, img)
		return
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if want.Bounds() != img.Bounds() {
		t.Fatalf("%s: %v, want %v", name, img.Bounds(), want.Bounds())
	}
	far, sum := 0, 0
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			a, b := img.RGBAAt(x, y), color.RGBAModel.Convert(want.At(x, y)).(color.RGBA)
			for _, d := range []int{int(a.R) - int(b.R), int(a.G) - int(b.G), int(a.B) - int(b.B)} {
				d = max(d, -d)
				sum += d
				if d > 24 {
					far++
				}
			}
		}
	}
	// other processors may fuse multiply and add: allow a rounding step at rims
	if n := img.Rect.Dx() * img.Rect.Dy() * 3; far > n/2000 || sum > n/20 {
		t.Errorf("%s: %d of %d channels differ by more than 24; look at the picture, then -update", name, far, n)
	}
}

func write(t *testing.T, file string, img image.Image) {
	t.Helper()
	os.MkdirAll(filepath.Dir(file), 0o755)
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
}

func TestTicksAreRound(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		want   []float64
	}{
		{0, 8, []float64{0, 2, 4, 6, 8}}, {120, 260, []float64{150, 200, 250}}, {0, 1e-3, []float64{0, 2e-4, 4e-4, 6e-4, 8e-4, 1e-3}},
		{3, 3, nil}, {5, 2, nil},
	} {
		got := ticks(c.lo, c.hi)
		if len(got) != len(c.want) {
			t.Errorf("ticks(%g, %g) = %v, want %v", c.lo, c.hi, got, c.want)
			continue
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-9 {
				t.Errorf("ticks(%g, %g) = %v, want %v", c.lo, c.hi, got, c.want)
			}
		}
	}
}

// Columns of a waterfall stand one on the level of the other, from A to B, with and without a cut axis.
func TestWaterfallAddsUp(t *testing.T) {
	for _, c := range []struct {
		name string
		f    *Waterfall
		cut  bool
	}{
		{"cut axis", fall(), true},
		{"from zero", &Waterfall{Tick: tick, Steps: []Step{{Kind: TotalA, Value: 10}, {Value: -4}, {Value: -4.5}, {Value: .5}, {Kind: TotalB, Value: 2}}}, false},
	} {
		l := c.f.layout(760, 250)
		if l.cut != c.cut {
			t.Errorf("%s: cut %v", c.name, l.cut)
		}
		for i, s := range c.f.Steps[1:] {
			prev, col := l.cols[i].level, l.cols[i+1]
			if s.Kind == TotalB {
				if math.Abs(float64(prev-col.y0)) > .01 {
					t.Errorf("%s: B begins at %g, the moves end at %g", c.name, col.y0, prev)
				}
				continue
			}
			if from := col.y0 + col.y1 - col.level; math.Abs(float64(from-prev)) > .01 {
				t.Errorf("%s: column %d begins at %g, the one before ends at %g", c.name, i+1, from, prev)
			}
		}
		if l.cols[0].x1 > l.cols[1].x0 {
			t.Errorf("%s: columns touch", c.name)
		}
	}
}

func TestMergeSmallKeepsTheSum(t *testing.T) {
	f := fall()
	for i := range 90 {
		s := Step{Keys: []string{fmt.Sprint("tiny", i)}, Value: .001 * float64(i%7-3)}
		f.Steps = append(f.Steps[:3:3], append([]Step{s}, f.Steps[3:]...)...)
	}
	sum := func(steps []Step) (v float64, keys int) {
		for _, s := range steps {
			if s.Kind == Move {
				v, keys = v+s.Value, keys+len(s.Keys)
			}
		}
		return
	}
	before, nb := sum(f.Steps)
	got := MergeSmall(f.Steps, .01, 8, func(j []Step, v float64) Step { return Step{Label: "small", Text: fmt.Sprint(len(j))} })
	after, na := sum(got)
	if math.Abs(before-after) > 1e-9 || nb != na {
		t.Errorf("sum %g of %d became %g of %d", before, nb, after, na)
	}
	moves, small := 0, -1
	for i, s := range got {
		if s.Kind == Move {
			moves++
		}
		if s.Label == "small" {
			small = i
		}
	}
	if moves != 9 || got[small].Text != "92" {
		t.Errorf("%d moves, want the 8 largest and one of 92 joined; joined %q", moves, got[small].Text)
	}
	if got[small+1].Kind != Unattributed {
		t.Errorf("the joined column stands before %v, want after all moves", got[small+1])
	}
	few := fall().Steps
	if n := len(MergeSmall(few, 0, 20, nil)); n != len(few) {
		t.Errorf("nothing is small, but %d steps became %d", len(few), n)
	}
}

func TestBinsKeepOutliers(t *testing.T) {
	v := append(samples(67), 900) // one far beyond all others
	s := bins(v, 60)
	n := s.beyond
	for _, c := range s.count {
		n += c
	}
	if n != 68 || s.beyond != 1 || len(s.count) > 60 || len(s.count) < 8 {
		t.Errorf("%d of 68 samples in %d bins, %d beyond", n, len(s.count), s.beyond)
	}
	if one := bins([]float64{5, 5, 5}, 60); len(one.count) != 1 || one.count[0] != 3 || one.beyond != 0 {
		t.Errorf("equal samples: %+v", one)
	}
	if none := bins(nil, 60); none.count != nil {
		t.Errorf("no samples: %+v", none)
	}
}

func TestWaterfallHit(t *testing.T) {
	f := fall()
	l := f.layout(760, 250)
	m, ok := f.At(nil, 760, 250, l.cols[2].x0+3, l.plot.Y1-1)
	if !ok || m.Keys[0] != "layer2" {
		t.Errorf("hit %v %v under the second move", m, ok)
	}
	if _, ok := f.At(nil, 760, 250, 2, 2); ok {
		t.Error("the corner is a datum")
	}
}

func tableOf(k *Ink, n int) *Table {
	t := NewTable(k, []Column{{ID: "name", Title: "Layer", Width: 120, Grow: 1}, {ID: "kind", Title: "Kind", Width: 110, Caption: true},
		{ID: "ms", Title: "ms", Width: 50, Align: Right}, {Title: "0", End: "8 ms", Width: 180, Measured: true}, {Title: "%", Width: 50, Align: Right}})
	t.SetRows(n, func(i int) Row {
		v := 1 - float64(i%20)/22
		r := Row{Keys: []string{fmt.Sprint(i)}, Cells: []Cell{{Text: fmt.Sprintf("layer%d.conv", i), Sub: "3×3"}, {Text: "Conv"},
			{Text: fmt.Sprintf("%.2f", v*8)}, {Bar: &RowBar{To: v, Lo: v - .02, Hi: v + .02, Floor: v * .6, Colour: k.HeatAt(v)}}, {Text: "3.06"}}}
		r.Chosen = i == 2
		if i == 4 {
			r.Cells[2], r.Cells[3] = Cell{Text: "–"}, Cell{Hatch: true}
		}
		return r
	})
	t.SetSort("ms", false)
	return t
}

func TestTableGolden(t *testing.T) {
	a := test.NewTempApp(t)
	a.Settings().SetTheme(theme.New(true, "en"))
	tb := tableOf(inkOf(t, true, "en"), 9)
	tb.Resize(fyne.NewSize(560, 220))
	golden(t, "table-dark", tb.paint(560, 220).(*image.RGBA))
}

// In a narrow table the optional columns go, the last first, and the others stay inside.
func TestOptionalColumnsGo(t *testing.T) {
	cols := []Column{{Width: 100, Grow: 1}, {Width: 40, Optional: true}, {Width: 60}, {Width: 50, Optional: true}}
	for _, c := range []struct {
		w     float32
		shown []bool
	}{{300, []bool{true, true, true, true}}, {250, []bool{true, true, true, false}}, {200, []bool{true, false, true, false}}} {
		x := places(cols, c.w)
		for i := range cols {
			if shown := x[i][1] > x[i][0]; shown != c.shown[i] || x[i][1] > c.w-inset+.5 {
				t.Errorf("%g wide: column %d from %g to %g, shown %v", c.w, i, x[i][0], x[i][1], shown)
			}
		}
	}
}

// A table asks only for the rows in sight, and the keys walk through all of them.
func TestTableAsksForRowsInSight(t *testing.T) {
	test.NewTempApp(t)
	tb := tableOf(inkOf(t, true, "en"), 5000)
	w := test.NewTempWindow(t, tb)
	w.Resize(fyne.NewSize(600, 300))
	asked := map[int]bool{}
	row := tb.row
	tb.SetRows(5000, func(i int) Row { asked[i] = true; return row(i) })
	var chosen []string
	tb.OnSelect = func(k []string) { chosen = k }
	w.Canvas().Capture()
	if len(asked) > 12 || len(asked) < 5 {
		t.Errorf("asked for %d rows of 5000", len(asked))
	}
	w.Canvas().Focus(tb)
	for _, k := range []fyne.KeyName{fyne.KeyEnd, fyne.KeyUp} {
		tb.TypedKey(&fyne.KeyEvent{Name: k})
	}
	if len(chosen) != 1 || chosen[0] != "4998" {
		t.Errorf("End, Up chose %v, want 4998", chosen)
	}
	test.TapAt(tb, fyne.NewPos(20, HeadHeight+2))
	if chosen[0] == "4998" || len(chosen[0]) != 4 {
		t.Errorf("tap on the first row in sight chose %v", chosen)
	}
	sorted := ""
	tb.OnSort = func(c string) { sorted = c }
	test.TapAt(tb, fyne.NewPos(20, 5))
	if sorted != "name" {
		t.Errorf("tap on the head sorted by %q", sorted)
	}
}

// The mouse over a chart shows a tip and paints nothing again.
func TestChartTipAndTap(t *testing.T) {
	test.NewTempApp(t)
	k := inkOf(t, true, "en")
	c := NewChart(k, 400, 200)
	f := fall()
	f.Steps[2].Tip = []string{"layer2", "−16.9 ms"}
	c.Set(f)
	w := test.NewTempWindow(t, c)
	w.Resize(fyne.NewSize(800, 300))
	l := f.layout(c.Size().Width, c.Size().Height)
	at := fyne.NewPos(l.cols[2].x0+4, l.cols[2].y0+2)
	test.MoveMouse(w.Canvas(), at.Add(c.Position()))
	if !c.tip.box.Visible() || c.tip.lines[0].Text != "layer2" || c.tip.lines[2].Visible() {
		t.Errorf("tip %v %q", c.tip.box.Visible(), c.tip.lines[0].Text)
	}
	var hit Mark
	c.OnTap = func(m Mark) { hit = m }
	test.TapAt(c, at)
	if len(hit.Keys) != 1 || hit.Keys[0] != "layer2" {
		t.Errorf("tapped %v", hit.Keys)
	}
}
