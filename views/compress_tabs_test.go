package views

import (
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
)

// compressWindow opens the sample in a part of the screen Compress. shot keeps a picture where FETTLE_SHOTS names a folder.
func compressWindow(t *testing.T, part string) (w *testWindow, s *app.Studio, shot func(name string)) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short was asked for: models are not cut, trained and searched for")
	}
	w, s = newTestWindow(t)
	w.win.Resize(fyne.NewSize(1440, 900))
	s.OpenSample("")
	settled(t, w)
	s.ShowCompress(part)
	settled(t, w)
	return w, s, func(name string) {
		dir := os.Getenv("FETTLE_SHOTS")
		if dir == "" {
			return
		}
		f, err := os.Create(filepath.Join(dir, name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := png.Encode(f, w.win.Canvas().Capture()); err != nil {
			t.Fatal(err)
		}
	}
}

// looks shows the window dark and light, in both languages, and reads what is left of English in Chinese. again brings a screen back to where it was: it is
// made anew with the language.
func looks(t *testing.T, w *testWindow, s *app.Studio, shot func(string), name string, again ...func()) {
	t.Helper()
	shot(name + "-dark")
	s.SetDark(false)
	s.SetLanguage("zh")
	settled(t, w)
	for _, f := range again {
		f()
		settled(t, w)
	}
	shot(name + "-light-zh")
	english(t, w, name)
	s.SetDark(true)
	s.SetLanguage("en")
	settled(t, w)
}

var (
	word      = regexp.MustCompile(`^[A-Za-z][a-z']+[,.;:]?$`)
	sentences = 3 // words of English in a row that are no name
)

// english reports texts in sight that are not in the language of the window. Names of nodes, files and methods are no sentences.
func english(t *testing.T, w *testWindow, where string) {
	t.Helper()
	for _, x := range inWindow(fyne.CanvasObject(w.frame), func(x *canvas.Text) bool { return x.Text != "" }) {
		if strings.Contains(x.Text, "avx") || strings.Contains(x.Text, "asimd") {
			continue // instruction sets
		}
		row := 0
		for _, f := range strings.Fields(x.Text) {
			if row++; !word.MatchString(f) {
				row = 0
			}
			if row == sentences {
				t.Errorf("%s: %q is English", where, x.Text)
				break
			}
		}
	}
}

// primary presses the filled button.
func primary(w *testWindow) {
	for _, a := range w.actions() {
		if a.Keys == "Ctrl+Return" {
			w.run(a)
		}
	}
}

// TestPruneInTheWindow: the groups are there at once, a study shows what cuts cost, a slider is followed within 100 ms, the cuts become one step
// of the ledger that undo takes back, and what was measured corrects the totals.
func TestPruneInTheWindow(t *testing.T) {
	w, s, shot := compressWindow(t, "prune")
	c := settled(t, w).Doc.CutsNow()
	if c == nil || len(c.Groups) < 4 || c.Study != nil {
		t.Fatalf("no groups without a study: %+v", c)
	}
	locked := slices.IndexFunc(c.Groups, func(g app.ChannelGroup) bool { return g.Locked != "" && len(g.LockKeys) == 1 })
	if locked < 0 || !strings.Contains(c.Groups[locked].Locked, c.Groups[locked].LockKeys[0]) {
		t.Errorf("no locked group names a node: %+v", c.Groups)
	}
	shot("prune-empty")
	primary(w)
	st := settled(t, w)
	c = st.Doc.CutsNow()
	if c == nil || c.Study == nil || c.Study.Ns == 0 || c.Study.Law == nil {
		t.Fatalf("not studied: %+v, notices %v", c, notices(st))
	}
	free := slices.IndexFunc(c.Groups, func(g app.ChannelGroup) bool { return g.Locked == "" })
	s.Select(c.Groups[free].Keys[:1], "model") // a node of the canvas was clicked
	settled(t, w)
	quickest := time.Hour
	for i := range 5 {
		share := 0.9 - 0.05*float64(i)
		begin := time.Now()
		s.KeepShare("macs", share)
		for { // until the window shows it
			select {
			case f := <-w.posted:
				f()
			case <-time.After(time.Millisecond):
			}
			if d := w.state.Doc; d.Cuts.Keep == share {
				break
			}
		}
		quickest = min(quickest, time.Since(begin))
		// The first state that has the slider has the totals too, and no job was begun for them: nothing is waited for, however busy the computer is.
		if c := w.state.Doc.Cuts; c.Totals.Changed == 0 || c.Totals.Damage <= 0 || len(w.state.Active()) > 0 {
			t.Errorf("at %.2f the totals are %+v, %d jobs run", share, c.Totals, len(w.state.Active()))
		}
	}
	t.Logf("a slider waits %v for its totals", quickest) // goal: 100 ms on an idle computer; what keeps it is checked above: nothing is waited for
	c = settled(t, w).Doc.Cuts
	if c.Totals.Changed == 0 || !c.Totals.Exact || c.Totals.MACs > 0.75*c.Study.MACs || c.Totals.Damage <= 0 {
		t.Fatalf("%+v", c.Totals)
	}
	s.KeepShare("macs", 0.01)
	if c = settled(t, w).Doc.Cuts; c.Told == nil {
		t.Error("nothing says that a hundredth is impossible")
	}
	s.KeepShare("macs", 0.6)
	settled(t, w)
	single := s.State().Doc.Cuts.Totals
	click(t, w, "Refine")
	c = settled(t, w).Doc.Cuts
	if f := c.Refined; f == nil || f.Best > f.Single || f.Best > f.Even || f.BestErr <= 0 || f.Runs < 2 || c.Totals.Damage != f.Best || c.Totals.MACs > single.MACs*1.02 {
		t.Fatalf("refined: %+v, totals %+v, before %+v", f, c.Totals, single)
	}
	if !says(w, "refined") && !says(w, "run as a whole") {
		t.Error("the window does not say how whole choices fared")
	}
	s.MeasureCuts("obc")
	c = settled(t, w).Doc.Cuts
	if c.Measured == nil || c.Measured.Items < 32 || c.Measured.Ns == 0 || c.Measured.MACs != int64(c.Totals.MACs) {
		t.Fatalf("not measured: %+v %v", c.Measured, notices(w.state))
	}
	s.Select(c.Groups[free].Keys[:1], "model")
	settled(t, w)
	looks(t, w, s, shot, "prune")
	macs := c.Totals.MACs
	primary(w)
	d := settled(t, w).Doc
	if len(d.Ledger()) != 1 || d.Ledger()[0].Pass != "prune-channels" || float64(d.Info.MACs) != macs {
		t.Fatalf("the ledger is %v, %d multiply-adds, %.0f were promised", d.Ledger(), d.Info.MACs, macs)
	}
	if d.CutsNow() == nil {
		t.Error("the study is of another model now")
	}
	s.SetCuts(map[int]int{free: 1}, true)
	s.ApplyCuts("l1")
	if d = settled(t, w).Doc; len(d.Ledger()) != 1 {
		t.Errorf("a second cut is added to the first: %v", d.Ledger())
	}
	s.Undo()
	s.Undo()
	if d = settled(t, w).Doc; d.Model.Hash() != d.Base.Hash() {
		t.Error("undo does not lead back to the opened model")
	}
}

func notices(st *app.State) []string {
	var out []string
	for _, n := range st.Notices {
		if n.Err != nil {
			out = append(out, n.Err.Error())
		}
	}
	return out
}

// TestDistillInTheWindow: without a step before it there is nothing to learn; then the loss appears while the training runs, a stop changes
// nothing, and what helps becomes a step.
func TestDistillInTheWindow(t *testing.T) {
	w, s, shot := compressWindow(t, "distill")
	primary(w)
	if d := settled(t, w).Doc; d.Course != nil {
		t.Fatal("a model learns from itself")
	}
	s.AddStep("prune-channels", map[string]any{"ratio": 0.5, "refit": "none", "samples": int64(64)})
	settled(t, w)
	before := s.State().Doc.Model.Hash()
	s.Distill(map[string]any{"samples": int64(192), "minutes": 5.0, "epochs": int64(500)})
	for deadline := time.Now().Add(patience); ; {
		st := s.State()
		if st.Doc.Course != nil && len(st.Doc.Course.Losses) > 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no loss appears: %+v, %v", st.Doc.Course, notices(st))
		}
		select {
		case f := <-w.posted:
			f()
		case <-time.After(5 * time.Millisecond):
		}
	}
	for _, j := range s.State().Active() {
		s.CancelJob(j.ID)
	}
	d := settled(t, w).Doc
	if d.Model.Hash() != before || len(d.Ledger()) != 1 || d.Course.Err == nil || d.Course.Running {
		t.Fatalf("a stopped training changed the document: %v, %+v", d.Ledger(), d.Course)
	}
	s.Distill(map[string]any{"samples": int64(192), "minutes": 5.0, "epochs": int64(8)})
	d = settled(t, w).Doc
	if c := d.Course; !c.Kept || len(c.Held) != 8 || c.Held[0].KL <= 0 || c.Losses[len(c.Losses)-1].Loss >= c.Losses[0].Loss {
		t.Fatalf("%+v %v", d.Course, notices(w.state))
	}
	if len(d.Ledger()) != 2 || d.Ledger()[1].Pass != "distill" || d.Model.Hash() != d.Course.Of {
		t.Fatalf("the ledger is %v", d.Ledger())
	}
	s.Score("")
	settled(t, w)
	looks(t, w, s, shot, "distill")
	s.Undo()
	if d = settled(t, w).Doc; d.Model.Hash() != before {
		t.Error("undo does not take the training back")
	}

	tab(t, w, "A student")
	settled(t, w)
	typed(t, w, "1", "2") // minutes
	typed(t, w, "", "0.000001")
	click(t, w, "Find a student")
	d = settled(t, w).Doc
	if c := d.Class; c == nil || !c.Ended || c.Form.Minutes != 2 || c.Form.Ms != 1e-6 || len(c.Report.Rows) < 4 || len(c.Report.Front) != 1 {
		t.Fatalf("no student is fast enough for a nanosecond: %+v %v", c, notices(w.state))
	}
	class := app.NewStudentForm()
	class.Minutes, class.Passes = 30, 2 // by passes, not by the clock: a busy computer learns as much
	s.FindStudents(class)
	d = settled(t, w).Doc
	if c := d.Class; !c.Ended || len(c.Report.Front) < 2 {
		t.Fatalf("nobody learned: %+v %v", c.Report, notices(w.state))
	}
	first := d.Class.Report.Rows[slices.IndexFunc(d.Class.Report.Rows, func(x app.StudentRow) bool { return x.Model != "" })]
	row(t, w, first.Name)
	looks(t, w, s, shot, "students", func() { tab(t, w, "学生网络") })
	tab(t, w, "A student")
	row(t, w, first.Name)
	click(t, w, "Apply as one step")
	if d = settled(t, w).Doc; d.Ledger()[len(d.Ledger())-1].Pass != "distill" || d.Model.Hash() == before {
		t.Errorf("the ledger is %v", d.Ledger())
	}
	s.Undo()
	if d = settled(t, w).Doc; d.Model.Hash() != before {
		t.Error("undo does not take the student back")
	}
}

// typed puts a text into the entry in sight that has another one.
func typed(t *testing.T, w *testWindow, was, text string) {
	t.Helper()
	all := inWindow(fyne.CanvasObject(w.frame), func(e *widget.Entry) bool { return e.Text == was && e.PlaceHolder == "" })
	if len(all) == 0 {
		t.Fatalf("no entry has %q", was)
	}
	all[0].SetText(text)
}

// row clicks the line in sight that says a text.
func row(t *testing.T, w *testWindow, text string) {
	t.Helper()
	all := inWindow(fyne.CanvasObject(w.frame), func(r *kit.Tappable) bool {
		return len(inWindow(fyne.CanvasObject(r), func(l *kit.Line) bool { return l.Text() == text })) > 0
	})
	if len(all) == 0 {
		t.Fatalf("no line says %q", text)
	}
	all[len(all)-1].Tapped(nil)
}

// TestSearchInTheWindow: limits, a front whose points are recipes, one of them applied as one step, roll-outs with their reward, an impossible
// goal, and the tree of kept recipes with a branch.
func TestSearchInTheWindow(t *testing.T) {
	w, s, shot := compressWindow(t, "search")
	limits := inWindow(fyne.CanvasObject(w.frame), func(e *widget.Entry) bool { return e.Text == "" && e.PlaceHolder == "" })
	if len(limits) != 5 { // median, p99, file, multiply-adds, points lost
		t.Fatalf("%d limits can be typed", len(limits))
	}
	limits[3].SetText("70")
	limits[4].SetText("5")
	typed(t, w, "24", "4")
	method := inWindow(fyne.CanvasObject(w.frame), func(x *widget.Select) bool { return x.Selected == "exact" })
	if len(method) != 1 {
		t.Fatal("no method can be chosen")
	}
	method[0].SetSelected("evolution")
	click(t, w, "Search")
	st := settled(t, w)
	h := st.Doc.Hunt
	if h != nil && (h.Form.MACs != 0.7 || h.Form.Drop != 5 || h.Form.Target != "") {
		t.Errorf("asked for %+v", h.Form)
	}
	if h == nil || h.Result == nil || h.Running || len(h.Result.Rollouts) != 4 || len(h.Result.Front) < 2 {
		t.Fatalf("%+v %v", h, notices(st))
	}
	for i, a := range h.Result.Front {
		for j, b := range h.Result.Front {
			if i != j && a.Ms <= b.Ms && a.Bytes <= b.Bytes && a.Score >= b.Score && (a.Ms < b.Ms || a.Bytes < b.Bytes || a.Score > b.Score) {
				t.Errorf("%s of the front is beaten by %s", b.Name, a.Name)
			}
		}
	}
	tried := h.Result.Rollouts[0].Name
	if h.Recipes[tried] == "" {
		t.Errorf("%s has no recipe: %v", tried, h.Recipes)
	}
	s.TryExperiment(tried)
	d := settled(t, w).Doc
	if d.Cursor != 1 || len(d.Ledger()) == 0 || d.Info.MACs >= d.BaseInfo.MACs*7/10+1 {
		t.Fatalf("applied: %v, %d of %d multiply-adds", d.Ledger(), d.Info.MACs, d.BaseInfo.MACs)
	}
	s.KeepRecipe("first cut")
	s.AddStep("fold-batchnorm", nil)
	settled(t, w)
	s.KeepRecipe("and folded")
	settled(t, w)
	s.GoToKept(1)
	settled(t, w)
	s.AddStep("eliminate-dead", nil)
	settled(t, w)
	s.KeepRecipe("another way")
	d = settled(t, w).Doc
	if len(d.Kept) != 3 || d.Kept[1].Parent != 1 || d.Kept[2].Parent != 1 || d.At != 3 {
		t.Fatalf("the tree is %+v, at %d", d.Kept, d.At)
	}
	diff := app.DiffRecipes(d.Kept[1].Recipe, d.Kept[2].Recipe)
	text := ""
	for _, l := range diff {
		if l.Mark != ' ' {
			text += string(l.Mark) + l.Text + "\n"
		}
	}
	if text != "-pass = \"fold-batchnorm\"\n+pass = \"eliminate-dead\"\n" {
		t.Errorf("the difference is\n%s", text)
	}
	pick := func(letter string, n int) {
		all := inWindow(fyne.CanvasObject(w.frame), func(b *kit.Button) bool { return b.Label() == letter })
		if len(all) != 4 { // original and three kept ones
			t.Fatalf("%d buttons %s", len(all), letter)
		}
		all[n].Tapped(nil)
	}
	pick("A", 2)
	pick("B", 3)
	if !says(w, "+ pass = \"eliminate-dead\"") || !says(w, "− pass = \"fold-batchnorm\"") {
		t.Error("the difference of A and B is not in sight")
	}
	name := inWindow(fyne.CanvasObject(w.frame), func(e *widget.Entry) bool { return e.Text == "another way" })
	if len(name) != 1 {
		t.Fatal("B cannot be renamed")
	}
	name[0].SetText("cleaned")
	click(t, w, "Rename")
	if e := inWindow(fyne.CanvasObject(w.frame), func(e *widget.Entry) bool { return e.Text == "70" }); len(e) != 1 {
		t.Error("the limits of the search are not in its fields")
	}
	settled(t, w)
	looks(t, w, s, shot, "search")
	s.ForgetKept(1)
	if d = settled(t, w).Doc; len(d.Kept) != 2 || d.Kept[0].Parent != 0 || d.Kept[1].Name != "cleaned" {
		t.Errorf("the tree is %+v", d.Kept)
	}
	f := app.NewHuntForm()
	f.Optimizer, f.MB = "evolution", 0.001
	f.Rollouts = 2
	s.Hunt(f)
	h = settled(t, w).Doc.Hunt
	if h.Result.Verdict != "impossible" || !strings.Contains(h.Result.Why, "floor") || h.Result.Binding == "" {
		t.Errorf("%s: %s", h.Result.Verdict, h.Result.Why)
	}
	shot("search-impossible")
	s.OpenSample("") // the tree is kept with the model
	if d = settled(t, w).Doc; len(d.Kept) != 2 {
		t.Errorf("the tree is lost: %+v", d.Kept)
	}
}
