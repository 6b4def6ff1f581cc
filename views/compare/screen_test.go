package compare

import (
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/fake"
	"fettle/views/kit/plot"
)

// spy records what the screen asks for.
type spy struct {
	paired   []app.PairedForm
	canceled int64
	a, b     string
	selected []string
	exported []string
	shown    string
}

func (s *spy) CompareRuns(a, b string)            { s.a, s.b = a, b }
func (s *spy) Select(o []string, _ string)        { s.selected = o }
func (s *spy) ExportCompared(format, path string) { s.exported = append(s.exported, format+" "+path) }
func (s *spy) ComparePaired(f app.PairedForm)     { s.paired = append(s.paired, f) }
func (s *spy) CancelJob(id int64)                 { s.canceled = id }
func (s *spy) Show(screen string)                 { s.shown = screen }

func open(t *testing.T, dark bool, lang string) (*screen, *spy, fyne.Window) {
	a := test.NewTempApp(t)
	w := test.NewTempWindow(t, nil)
	u := kit.NewUI(nil, w, kit.NewDirectBridge(), lang, dark)
	a.Settings().SetTheme(u.Theme)
	do := &spy{}
	s := newScreen(u, do)
	w.SetPadded(false)
	w.SetContent(kit.Fill(u.Theme.Bg1, container.NewBorder(kit.Pad(5, 16, 5, 16, s.Toolbar()), nil, nil, nil, s.Content())))
	w.Resize(fyne.NewSize(1372, 790))
	return s, do, w
}

func TestShowsTheVerdict(t *testing.T) {
	s, _, _ := open(t, true, "en")
	st := fake.State()
	s.Show(st)
	if s.head.what.Text() != "B is faster" || s.head.against.Text() != "mixed-1 against original" {
		t.Errorf("verdict %q, %q", s.head.what.Text(), s.head.against.Text())
	}
	if got := s.head.pairs[1].a.Text(); got != kit.Absent {
		t.Errorf("p99 of A was not measured, but shows %q", got)
	}
	none := *st.Compared.Result
	none.Verdict = profiler.NoDifference
	next := *st
	next.Compared = &app.Comparison{A: st.Compared.A, B: st.Compared.B, Result: &none}
	s.Show(&next)
	if s.head.what.Text() != "No difference shown" || s.head.change.Text() != "could have seen ≥ 0.800\u00a0%" {
		t.Errorf("verdict %q, %q", s.head.what.Text(), s.head.change.Text())
	}
}

// The columns on screen add up to the difference of the medians in every grouping, with the joined ones.
func TestWaterfallAddsUp(t *testing.T) {
	s, _, _ := open(t, true, "en")
	st := fake.State()
	s.Show(st)
	for i := range 3 {
		s.groups.Choose(i)
		f := s.fall.Figure().(*plot.Waterfall)
		level := 0.0
		for _, x := range f.Steps[:len(f.Steps)-1] {
			level += x.Value
		}
		if b := f.Steps[len(f.Steps)-1].Value; math.Abs(level-b) > 1e-6 || len(f.Steps) > mostColumns+4 {
			t.Errorf("grouping %d: %d columns end at %g ms, B is %g", i, len(f.Steps), level, b)
		}
	}
}

func TestLinkedSelection(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := fake.State()
	st.Selection = app.Selection{}
	s.Show(st)
	test.TapAt(s.table, fyne.NewPos(60, plot.HeadHeight+5))
	if len(do.selected) == 0 || do.selected[0] != s.listed[0].keys[0] {
		t.Errorf("tap on the first row selected %v, want %v", do.selected, s.listed[0].keys)
	}
	next := *st
	next.Selection = app.Selection{Origins: []string{"layer4.0.conv1.bn"}, From: "model"}
	s.Show(&next)
	for i, r := range s.listed {
		if chosen := s.tableRow(s.listed[i], zero{at: .5}).Chosen; chosen != (r.name == "layer4.0.conv1") {
			t.Errorf("row %q chosen: %v; the selected BatchNormalization is a part of layer4.0.conv1", r.name, chosen)
		}
	}
}

func TestSwapAndEmpty(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := fake.State()
	s.Show(st)
	test.Tap(s.bar.swap)
	if do.a != "B-0412" || do.b != "A-0409" {
		t.Errorf("swap asked for %q, %q", do.a, do.b)
	}
	next := *st
	next.Compared, next.CompareA, next.CompareB = nil, "", ""
	s.Show(&next)
	if s.full.Visible() || !s.none.Visible() || !s.bar.export.Off() {
		t.Error("without a comparison the screen shows one")
	}
}

// The smallest window is 1100 x 700: what the frame leaves of it must be enough.
func TestFitsTheSmallestWindow(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		s, _, _ := open(t, true, lang)
		s.Show(fake.State())
		if m := s.Content().MinSize(); m.Width > 1100-68 || m.Height > 700-64-40-28-26 {
			t.Errorf("%s: needs %v", lang, m)
		}
	}
}

// TestPictures paints the screen for eyes: FETTLE_PICTURES names the folder.
func TestPictures(t *testing.T) {
	dir := os.Getenv("FETTLE_PICTURES")
	if dir == "" {
		t.Skip("FETTLE_PICTURES is not set")
	}
	for _, c := range []struct {
		name, lang string
		dark       bool
		group      int
		edit       func(*app.State)
	}{{"compare-dark", "en", true, 0, nil}, {"compare-light-zh", "zh", false, 1, nil}, {"compare-empty", "en", true, 0, func(st *app.State) { st.Compared = nil }}} {
		s, _, w := open(t, c.dark, c.lang)
		st := fake.State()
		if c.edit != nil {
			c.edit(st)
		}
		s.Show(st)
		s.groups.Choose(c.group)
		f, err := os.Create(filepath.Join(dir, c.name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, w.Canvas().Capture()); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
