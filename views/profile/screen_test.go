package profile

import (
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/model"
	"fettle/views/kit"
	"fettle/views/kit/fake"
	"fettle/views/kit/plot"
)

// spy records what the screen asks for.
type spy struct {
	profiled []app.ProfileForm
	selected []string
	a, b     string
	exported []string
	canceled int64
	threads  int
	shown    string
	asked    []string

	roof, steps string // what was exported of them
}

func (s *spy) FindFloors(b string)   { s.asked = append(s.asked, "floors "+b) }
func (s *spy) FindStairs(b string)   { s.asked = append(s.asked, "stairs "+b) }
func (s *spy) LearnKernels(b string) { s.asked = append(s.asked, "learn "+b) }
func (s *spy) AuditBoard(b string)   { s.asked = append(s.asked, "audit "+b) }
func (s *spy) MeasureStairs(b string, n model.NodeID) {
	s.asked = append(s.asked, "treads "+b+" "+string(n))
}

func (s *spy) Profile(f app.ProfileForm)               { s.profiled = append(s.profiled, f) }
func (s *spy) Select(o []string, _ string)             { s.selected = o }
func (s *spy) CompareRuns(a, b string)                 { s.a, s.b = a, b }
func (s *spy) ExportRoofline(id, format, path string)  { s.roof = format + " of " + id }
func (s *spy) ExportStairs(layer, format, path string) { s.steps = format + " of " + layer }
func (s *spy) ExportRun(id, format, path string) {
	s.exported = append(s.exported, id+" "+format+" "+path)
}
func (s *spy) CancelJob(id int64) { s.canceled = id }
func (s *spy) SetThreads(n int)   { s.threads = n }
func (s *spy) Show(screen string) { s.shown = screen }

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

// The numbers of a run reach the screen, and what is absent is not written as zero.
func TestShowsTheRun(t *testing.T) {
	s, _, _ := open(t, true, "en")
	st := fake.State()
	s.Show(st)
	if s.live.title.Text() != "mixed-1" || s.strip.what.Text() != "Green: the conditions held" {
		t.Errorf("title %q, seal %q", s.live.title.Text(), s.strip.what.Text())
	}
	n := s.live.headline(st.Runs[1].Profile).List
	if n[0].Text == "" || n[2].Text != "" || n[2].Note != "needs n ≥ 1000" {
		t.Errorf("numbers %+v", n)
	}
	s.pick("A-0409")
	if s.live.title.Text() != "original" || s.strip.more.Hidden || s.strip.values[1].Text() != "ondemand" {
		t.Errorf("picked run: title %q, governor %q", s.live.title.Text(), s.strip.values[1].Text())
	}
}

func TestLiveRun(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := fake.State()
	st.Runs = append(st.Runs, &app.Run{ID: "live-1", Label: "mixed-2", Target: "local", Partial: true, Live: []float64{5e6, 6e6, 5e6}})
	st.Jobs = []*app.Job{{ID: 7, Title: "Profile", Done: 3, Total: 120, What: "launch 1 of 3"}}
	s.Show(st)
	if got := s.live.spread.Figure().(*plot.Histogram); len(got.Values) != 3 || got.Mid != 0 {
		t.Errorf("live samples %v", got.Values)
	}
	if n := s.live.numbers.Figure().(*plot.Numbers); n.List[0].Text != "" {
		t.Errorf("a median without an interval is printed: %q", n.List[0].Text)
	}
	if s.bar.stop.Hidden || !s.bar.start.Off() || s.live.progress.Hidden {
		t.Error("a run is under way, but Stop or the progress is hidden, or Profile is offered")
	}
	test.Tap(s.bar.stop)
	if do.canceled != 7 {
		t.Errorf("Stop cancelled job %d", do.canceled)
	}
}

// A run that waits for the board says for whom, and may take it.
func TestWaitsForTheBoard(t *testing.T) {
	s, do, w := open(t, true, "en")
	st := fake.State()
	st.Runs = append(st.Runs, &app.Run{ID: "live-1", Label: "mixed-2", Target: "lab-pi4", Which: app.Rewritten, Partial: true})
	st.Jobs = []*app.Job{{ID: 7, Title: "Profile", What: "wait: eve@desk measures on this board, for 42s so far"}}
	s.Show(st)
	if s.strip.what.Text() != "Waiting for the board" || !strings.Contains(s.strip.reason.Text(), "eve@desk") || s.strip.more.Hidden {
		t.Fatalf("%q %q", s.strip.what.Text(), s.strip.reason.Text())
	}
	test.Tap(s.strip.more)
	top := w.Canvas().Overlays().Top()
	if top == nil || len(do.profiled) != 0 {
		t.Fatal("the board is taken without a question")
	}
	s.strip.takeNow(st.Runs[len(st.Runs)-1])
	if do.canceled != 7 || len(do.profiled) != 1 || !do.profiled[0].Take || do.profiled[0].Board != "lab-pi4" {
		t.Errorf("cancelled %d, asked for %+v", do.canceled, do.profiled)
	}
	st.Jobs = []*app.Job{{ID: 7, Title: "Profile", Done: 3, Total: 9, What: "launch 1"}}
	s.Show(st)
	if s.strip.what.Text() != "Measuring" || !s.strip.more.Hidden {
		t.Error("a run that measures waits")
	}
}

// What stands behind a run: floors are asked for once, an audit names the layer and leads to the graph, absent counters are joined by their reason.
func TestBehindARun(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := fake.State()
	m, err := model.NewBuilder("net", 17).Model()
	if err != nil {
		t.Fatal(err)
	}
	st.Doc = &app.Doc{Name: "resnet50", Base: m, Model: m, Revisions: []*app.Revision{{}}}
	s.Show(st)
	s.behind.tabs.Choose(tabFloors)
	s.Show(st)
	if len(do.asked) != 1 || !strings.HasPrefix(do.asked[0], "floors ") {
		t.Errorf("asked %q", do.asked)
	}
	next := *st
	d := *st.Doc
	d.Audited = &app.Audited{Of: m.Hash(), Audit: &app.Audit{Target: "lab-pi4", Inputs: 3, First: &app.AuditLayer{Name: "fc", Origin: []string{"fc"}, Own: .01, Tolerance: 5e-5, Input: 1, Verdict: app.AuditDiffers},
		Layers: []app.AuditLayer{{Name: "conv1", Origin: []string{"conv1"}, Verdict: app.AuditSame}, {Name: "fc", Origin: []string{"fc"}, Own: .01, Tolerance: 5e-5, Input: 1, Verdict: app.AuditDiffers}}}}
	next.Doc = &d
	s.behind.tabs.Choose(tabAudit)
	s.Show(&next)
	_, token, text, more := headlineOf(s.u, d.Audited)
	if token != "danger" || text != "First layer that differs: fc, on input 2 (0.01 of the largest value, 5e-05 allowed)" || !strings.Contains(more, "1 differ") {
		t.Errorf("%q %q", text, more)
	}
	test.Tap(s.behind.audit.graph)
	if do.shown != "model" || len(do.selected) != 1 || do.selected[0] != "fc" {
		t.Errorf("shows %q with %v", do.shown, do.selected)
	}
	test.Tap(s.behind.audit.start)
	if do.asked[len(do.asked)-1] != "audit lab-pi4" && do.asked[len(do.asked)-1] != "audit local" {
		t.Errorf("asked %q", do.asked)
	}
	got := reasons([]string{"cycles: no such counter", "instructions: no such counter", "power: nothing measures it"})
	if len(got) != 2 || got[0] != "cycles, instructions: no such counter" {
		t.Errorf("%q", got)
	}
	s.see(seeStairs)
	if do.asked[len(do.asked)-1][:6] != "stairs" {
		t.Errorf("asked %q", do.asked)
	}
}

func TestLinkedSelection(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := fake.State()
	st.Selection = app.Selection{}
	s.Show(st)
	s.modes.Choose(1)
	test.TapAt(s.table, fyne.NewPos(60, plot.HeadHeight+5))
	if len(do.selected) == 0 || do.selected[0] != "conv1" {
		t.Fatalf("tap on the hottest layer selected %v", do.selected)
	}
	next := *st
	next.Selection = app.Selection{Origins: []string{"fc"}, From: "model"}
	s.Show(&next)
	chosen := 0
	for i, r := range s.listed {
		if s.tableRow(s.listed[i], 1e9).Chosen {
			chosen++
			if r.name != "fc" {
				t.Errorf("row %q is chosen", r.name)
			}
		}
	}
	if chosen != 1 {
		t.Errorf("%d rows are chosen, want the one of node fc", chosen)
	}
}

func TestProfileButton(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := fake.State()
	s.Show(st)
	if !s.bar.start.Off() {
		t.Error("without a model Profile is offered")
	}
	next := *st
	next.Doc = &app.Doc{Name: "resnet50", Cursor: 2}
	s.Show(&next)
	s.bar.boards.SetSelectedIndex(1)
	test.Tap(s.bar.start)
	if len(do.profiled) != 1 || do.profiled[0].Board != "lab-pi4" || do.profiled[0].Which != app.Rewritten || do.profiled[0].Threads != 4 {
		t.Errorf("asked for %+v", do.profiled)
	}
}

func TestHistoryPicksForCompare(t *testing.T) {
	s, do, _ := open(t, true, "en")
	s.Show(fake.State())
	test.TapAt(s.past.table, fyne.NewPos(60, plot.HeadHeight+plot.RowHeight+5))
	if s.run.ID != "A-0409" {
		t.Fatalf("shows %s after a tap on the older run", s.run.ID)
	}
	s.state.CompareA, s.state.CompareB = "", ""
	s.past.show(s.state, s.run)
	test.Tap(s.past.a)
	if do.a != "A-0409" || do.b != "" {
		t.Errorf("compare %q and %q", do.a, do.b)
	}
}

// 5000 layers must not slow the screen down: only rows in sight are made.
func TestManyLayers(t *testing.T) {
	s, _, w := open(t, true, "en")
	st := fake.State()
	p := *st.Runs[1].Profile
	p.Layers = nil
	for i := range 5000 {
		l := st.Runs[1].Profile.Layers[i%40]
		l.ID, l.Name = fmt.Sprint(i), fmt.Sprint("node", i)
		p.Layers = append(p.Layers, l)
	}
	st.Runs[1] = &app.Run{ID: "big", Label: "big", Target: "local", Profile: &p}
	few := fake.State()
	s.Show(few)
	s.modes.Choose(1)
	before := objects(w.Canvas().Content())
	s.Show(st)
	w.Canvas().Capture()
	if n := objects(w.Canvas().Content()); n > before+200 {
		t.Errorf("5000 layers make %d objects, a few make %d", n, before)
	}
}

// objects counts what a window holds.
func objects(o fyne.CanvasObject) int {
	n := 1
	switch x := o.(type) {
	case *fyne.Container:
		for _, c := range x.Objects {
			n += objects(c)
		}
	case fyne.Widget:
		for _, c := range test.WidgetRenderer(x).Objects() {
			n += objects(c)
		}
	}
	return n
}

// The reasons of a seal have Chinese words, with the numbers in their places.
func TestReasonsInChinese(t *testing.T) {
	s, _, _ := open(t, false, "zh")
	for in, want := range map[string]string{
		"the target does not say whether its clock is fixed; times may follow the clock":                                                            "目标不报告频率是否固定；时间可能随频率变化",
		"other work was running: load 8.88 a core where below 0.1 counts as idle; stop it and run again":                                            "有其他工作在运行：每核负载 8.88，低于 0.1 才算空闲；请停止后重新运行",
		"1 of 3 launches were left out (the canary moved 8.2 % within the launch); run again with nothing else on the target":                       "",
		"the governor \"ondemand\" lets the clock move; set it to \"performance\" for the run":                                                      "",
		"the target was throttled while the samples were taken; let it cool down, check its fan and power supply, then run again":                   "",
		"no canary ran, so a change of the machine would not have been seen; update the agent":                                                      "",
		"the load of the target is not known; make sure that nothing else runs on it":                                                               "",
		"the machine changed in every launch (throttled); stop other work on the target and run again":                                              "",
		"the machine changed in every launch, also in 9 that were run again (throttled): inconclusive; stop other work on the target and run again": "",
	} {
		got := s.say.Say(in)
		if want != "" && got != want || want == "" && strings.Contains(got, "the ") {
			t.Errorf("%q\n says %q\nwant %q", in, got, want)
		}
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
		chart      int
		edit       func(*app.State)
	}{
		{"profile-dark", "en", true, 1, nil}, {"profile-light-zh", "zh", false, 0, nil},
		{"profile-live-dark", "en", true, 2, func(st *app.State) {
			live := fake.Run("C", "mixed-2", 0, "")
			live.Partial = true
			live.Profile.Clean.P90Ns = nil
			st.Runs = append(st.Runs, live)
			st.Jobs = []*app.Job{{ID: 4, Title: "Profile", Done: 67, Total: 120, What: "launch 2 of 3, inference 27 of 40", Started: live.Started}}
		}},
		{"profile-empty-zh", "zh", true, 0, func(st *app.State) { st.Runs = nil; st.Doc = &app.Doc{Name: "x"} }},
	} {
		s, _, w := open(t, c.dark, c.lang)
		st := fake.State()
		if c.edit != nil {
			c.edit(st)
		}
		s.Show(st)
		s.kinds.Choose(c.chart)
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
