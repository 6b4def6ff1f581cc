package search

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/model"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// spy records what the screen asks for.
type spy struct {
	hunted  []app.HuntForm
	stopped int64
}

func (s *spy) Hunt(f app.HuntForm)    { s.hunted = append(s.hunted, f) }
func (s *spy) TryExperiment(string)   {}
func (s *spy) KeepRecipe(string)      {}
func (s *spy) RenameKept(int, string) {}
func (s *spy) ForgetKept(int)         {}
func (s *spy) GoToKept(int)           {}
func (s *spy) SetData(string)         {}
func (s *spy) CancelJob(id int64)     { s.stopped = id }
func (s *spy) Show(string)            {}

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

func state(d *app.Doc) *app.State {
	return &app.State{Doc: d, Boards: []*app.Board{{Name: app.LocalTarget, Local: true}, {Name: "lab-pi4"}}}
}

func doc() *app.Doc {
	base := &model.Model{Graph: &model.Graph{Name: "net"}}
	return &app.Doc{ID: 1, Name: "net", Base: base, Model: base, BaseInfo: &app.Inspection{FileBytes: 1e6, MACs: 3e6}, Info: &app.Inspection{}, Data: app.SampleCalibrate, Sample: true, Trained: true,
		Revisions: []*app.Revision{{Label: "Opened", Result: &app.Derived{}}}}
}

// left is a search of yesterday: for a board, stopped on the way.
func left() *app.Hunt {
	f := app.NewHuntForm()
	f.P50Ms, f.Drop, f.Target, f.Optimizer, f.Rollouts, f.Score = 4.5, 1, "lab-pi4", "tpe", 30, app.SampleScore
	r := &app.SearchResult{Verdict: "best-effort", Why: "the binding limit: 6.2 ms where 4.5 are allowed (tpe-1-002)", Binding: "6.2 ms where 4.5 are allowed", Tried: 2, Untried: 28, Times: "predicted for lab-pi4 by its table of kernels",
		Base: app.Experiment{Name: "original", Ms: 9.1, Bytes: 1e6, MACs: 3e6, Score: .9}, Floor: app.Experiment{Ms: 6.2, Bytes: 6e5, MACs: 2e6}}
	r.Front = []app.Experiment{r.Base, {Name: "tpe-1-002", Ms: 6.2, Bytes: 6e5, MACs: 2e6, Score: .88, Drop: 2, Misses: "6.2 ms where 4.5 are allowed"}}
	r.Beaten = []app.Experiment{{Name: "tpe-1-001", Ms: 8, Bytes: 8e5, MACs: 25e5, Score: .8, Drop: 10, Misses: "8 ms where 4.5 are allowed"}}
	d := 0.1
	r.Rollouts = []app.Rollout{{N: 1, Name: "tpe-1-001", Damage: &d, Reward: -5, Best: -5}, {N: 2, Name: "tpe-1-002", Damage: &d, Reward: -3, Best: -3}}
	return &app.Hunt{Form: f, Result: r, Recipes: map[string]string{}}
}

// said are all texts in sight.
func said(o fyne.CanvasObject) map[string]bool {
	out := map[string]bool{}
	var walk func(o fyne.CanvasObject)
	walk = func(o fyne.CanvasObject) {
		if !o.Visible() {
			return
		}
		switch x := o.(type) {
		case *canvas.Text:
			out[x.Text] = true
		case *fyne.Container:
			for _, c := range x.Objects {
				walk(c)
			}
		case fyne.Widget:
			for _, c := range test.WidgetRenderer(x).Objects() {
				walk(c)
			}
		}
	}
	walk(o)
	return out
}

// TestTargetIsChosen: limits are typed, a board is chosen whose times they are about, and the search is asked for that. A 99th percentile is no limit there.
func TestTargetIsChosen(t *testing.T) {
	s, do, _ := open(t, true, "en")
	s.Show(state(doc()))
	if s.Primary(); len(do.hunted) != 0 {
		t.Fatal("a search without limits")
	}
	s.entries["p99"].SetText("9")
	s.entries["p50"].SetText("4,5")
	test.Tap(s.start)
	if len(do.hunted) != 1 || do.hunted[0].P50Ms != 4.5 || do.hunted[0].P99Ms != 9 || do.hunted[0].Target != app.LocalTarget {
		t.Fatalf("%+v", do.hunted)
	}
	s.board.Choose("lab-pi4")
	s.method.SetSelected("tpe")
	test.Tap(s.start)
	if f := do.hunted[len(do.hunted)-1]; f.Target != "lab-pi4" || f.P99Ms != 0 || f.P50Ms != 4.5 || f.Optimizer != "tpe" {
		t.Errorf("%+v", f)
	}
	if !s.entries["p99"].Disabled() {
		t.Error("a limit can be typed that is not looked at")
	}
	s.entries["p50"].SetText("soon")
	if test.Tap(s.start); len(do.hunted) != 2 {
		t.Error("a word is taken for a limit")
	}
}

// TestSearchOfYesterday: what a stopped search had found is there with its limits and its board, and says that it can go on.
func TestSearchOfYesterday(t *testing.T) {
	for _, c := range []struct {
		dark     bool
		lang     string
		goes, at string
	}{{true, "en", "Search goes on where it was.", "median time, ms · lab-pi4"}, {false, "zh", "再点“搜索”会从中断处继续。", "中位时间，ms · lab-pi4"}} {
		s, do, w := open(t, c.dark, c.lang)
		d := doc()
		d.Hunt = left()
		s.Show(state(d))
		if s.entries["p50"].Text != "4.5" || s.entries["tries"].Text != "30" || s.board.Board() != "lab-pi4" || s.method.Selected != "tpe" {
			t.Errorf("the form is %q, %q on %s by %s", s.entries["p50"].Text, s.entries["tries"].Text, s.board.Board(), s.method.Selected)
		}
		img := w.Canvas().Capture()
		all := said(w.Canvas().Content())
		if !all[c.goes] {
			t.Errorf("%s: nothing says that it goes on", c.lang)
		}
		for text := range all {
			if strings.Contains(text, "0 µs") {
				t.Errorf("what is not known is shown as zero: %q", text)
			}
		}
		if f, ok := s.front.Figure().(*plot.Cloud); !ok || f.XTitle != c.at {
			t.Errorf("the axis says %+v", f)
		}
		test.Tap(s.start)
		if len(do.hunted) != 1 || do.hunted[0].Target != "lab-pi4" || do.hunted[0].Rollouts != 30 {
			t.Errorf("it goes on with %+v", do.hunted)
		}
		if dir := os.Getenv("FETTLE_SHOTS"); dir != "" {
			out, err := os.Create(filepath.Join(dir, "search-left-"+c.lang+".png"))
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(out, img); err != nil {
				t.Fatal(err)
			}
			out.Close()
		}
	}
}
