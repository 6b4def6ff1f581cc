package views

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/internal/fail"
	"fettle/views/kit"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" { // "this computer" runs this program as its agent
		os.Exit(app.AgentMain([]string{os.Args[0], "agent"}, os.Args[2:], "", os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// newTestWindow is the whole window over a real studio with an empty home folder.
func newTestWindow(t *testing.T) (*testWindow, *app.Studio) {
	t.Helper()
	t.Setenv("LANG", "C.UTF-8")
	posted := make(chan func(), 1024)
	a, err := app.Open(app.Options{Home: t.TempDir(), Self: []string{os.Args[0], "agent"}})
	if err != nil {
		t.Fatal(err)
	}
	s := a.NewStudio(context.Background())
	s.SetLanguage("en")
	// The test's goroutine is the toolkit's: what is posted runs when settled takes it.
	w := newWindow(test.NewTempApp(t), s, kit.NewBridgeOn(func(f func()) {
		select {
		case posted <- f:
		case <-s.Done():
		}
	}))
	t.Cleanup(func() {
		w.bridge.Close()
		if err := errors.Join(s.Close(), a.Close()); err != nil {
			t.Error(err)
		}
	})
	return &testWindow{Window: w, posted: posted}, s
}

type testWindow struct {
	*Window
	posted chan func()
	fence  int
}

// patience is for a computer on which much else runs: a job that never ends is found all the same.
const patience = 10 * time.Minute

// settled waits until no job runs and everything is shown.
func settled(t *testing.T, w *testWindow) *app.State {
	t.Helper()
	// A command of our own comes back behind all that were given before.
	w.fence++
	fence := fmt.Sprint("fence ", w.fence)
	last := time.Now()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case f := <-w.posted:
			f()
			last = time.Now()
		case <-time.After(5 * time.Millisecond):
			s := w.studio.State()
			switch {
			case len(s.Active()) > 0 || w.state != s || time.Since(last) < 20*time.Millisecond:
			case s.Selection.Has([]string{fence}):
				return s
			default:
				w.studio.Select([]string{fence}, "test")
				last = time.Now()
			}
		}
	}
	t.Fatal("jobs do not end")
	return nil
}

// TestEveryScreenShowsEveryState: nothing open, a model, rewrites, an error; dark and light, English and Chinese. A
// screen that panics fails here.
func TestEveryScreenShowsEveryState(t *testing.T) {
	w, s := newTestWindow(t)
	visit := func() {
		for _, r := range routes() {
			s.Show(r.id)
			if settled(t, w); w.shown != r.id {
				t.Fatalf("screen %s is not shown", r.id)
			}
		}
	}
	visit()
	s.OpenSample("")
	settled(t, w)
	s.ApplyStandard()
	visit()
	s.Open(filepath.Join(t.TempDir(), "none.onnx"))
	if st := settled(t, w); len(st.Notices) != 1 || len(w.toasts.object.Objects) != 1 {
		t.Errorf("the error is not shown: %+v", st.Notices)
	}
	visit()
	s.SetLanguage("zh")
	s.SetDark(false)
	settled(t, w)
	if w.u.Lang() != "zh" || w.u.Theme.Dark {
		t.Errorf("language %s, dark %v", w.u.Lang(), w.u.Theme.Dark)
	}
	for _, r := range routes() {
		s.Show(r.id)
		settled(t, w)
		english(t, w, r.id)
	}
}

// TestUndoByKey: the keys of the table reach the studio.
func TestUndoByKey(t *testing.T) {
	w, s := newTestWindow(t)
	s.OpenSample("")
	settled(t, w)
	s.ApplyStandard()
	if d := settled(t, w).Doc; !d.CanUndo() {
		t.Fatal("nothing to undo")
	}
	press := func(keys string) {
		for _, a := range w.actions() {
			if a.Keys == keys {
				w.run(a)
			}
		}
	}
	press("Ctrl+Z")
	if d := settled(t, w).Doc; d.CanUndo() || len(d.Steps) != 0 {
		t.Error("Ctrl+Z does not undo")
	}
	press("Ctrl+Shift+Z")
	if d := settled(t, w).Doc; d.CanRedo() || len(d.Steps) == 0 {
		t.Error("Ctrl+Shift+Z does not redo")
	}
	press("Ctrl+L")
	if settled(t, w); w.u.Lang() != "zh" {
		t.Error("Ctrl+L does not change the language")
	}
}

// TestGoalIsTyped: a click on a cell, a number and Enter set a limit; a text that is no number does not.
func TestGoalIsTyped(t *testing.T) {
	w, s := newTestWindow(t)
	s.OpenSample("")
	settled(t, w)
	cell := w.goals.cells[goalSize]
	cell.tapped()
	if !cell.entry.Visible() || w.win.Canvas().Focused() != fyne.Focusable(cell.entry) {
		t.Fatal("the limit cannot be typed")
	}
	cell.entry.SetText("200 kB")
	cell.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	st := settled(t, w)
	if g := st.Doc.Goals.Bytes; g == nil || *g != 200_000 || cell.entry.Visible() {
		t.Fatalf("goals %+v", st.Doc.Goals)
	}
	if cell.verdict.Text() != "over" {
		t.Errorf("verdict %q", cell.verdict.Text())
	}
	cell.tapped()
	cell.entry.SetText("small")
	cell.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if g := settled(t, w).Doc.Goals.Bytes; g == nil || *g != 200_000 || !cell.entry.Visible() {
		t.Error("a word was taken for a limit")
	}
	cell.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if cell.entry.Visible() {
		t.Error("Esc does not give up")
	}
}

// TestPalette: typing narrows the list, Enter runs what is chosen, Esc closes.
func TestPalette(t *testing.T) {
	w, _ := newTestWindow(t)
	w.openPalette()
	w.palette.entry.SetText("dark light")
	if len(w.palette.found) != 1 {
		t.Fatalf("found %+v", w.palette.found)
	}
	w.palette.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if settled(t, w); w.u.Theme.Dark || w.palette != nil {
		t.Error("Enter does not run the command")
	}
	w.openQuick()
	w.palette.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDown})
	if w.palette.chosen != 1 {
		t.Error("the arrow keys do not move the choice")
	}
	w.palette.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if w.palette != nil {
		t.Error("Esc does not close")
	}
	w.help()
}

// TestMatching: every word has to occur; what starts with the query comes first.
func TestMatching(t *testing.T) {
	rows := []paletteRow{{title: "Save the recipe"}, {title: "Load a recipe"}, {title: "Recipe of today"}}
	got := matching(rows, "recipe")
	if len(got) != 3 || got[0].title != "Recipe of today" {
		t.Errorf("%+v", got)
	}
	if got := matching(rows, "recipe sav"); len(got) != 1 || got[0].title != "Save the recipe" {
		t.Errorf("%+v", got)
	}
}

// TestKeysAreUnique: two commands on one key would make one of them unreachable.
func TestKeysAreUnique(t *testing.T) {
	w, _ := newTestWindow(t)
	for _, r := range routes() {
		w.route(r.id)
		seen := map[string]string{}
		for _, a := range w.actions() {
			if a.Keys != "" && seen[a.Keys] != "" {
				t.Errorf("%s: %s and %s are both on %s", r.id, a.ID, seen[a.Keys], a.Keys)
			}
			seen[a.Keys] = a.ID
		}
	}
}

// TestQuestions: a host key and a password are asked for; taking the question away closes the dialog without an answer.
func TestQuestions(t *testing.T) {
	w, s := newTestWindow(t)
	st := *s.State()
	st.HostKey = &app.HostKeyQuestion{Name: "lab", Fingerprint: "SHA256:abc"}
	w.show(&st)
	if w.win.Canvas().Overlays().Top() == nil {
		t.Fatal("no dialog asks about the host key")
	}
	st.HostKey, st.Password = nil, &app.PasswordQuestion{Board: "lab", User: "pi", Host: "lab", Again: true}
	w.show(&st)
	if w.win.Canvas().Overlays().Top() == nil {
		t.Fatal("no dialog asks for the password")
	}
	st.Password = nil
	w.show(&st)
	if w.win.Canvas().Overlays().Top() != nil {
		t.Error("a dialog is left over")
	}
}

// TestUnsavedIsAsked: closing a model with rewrites asks first.
func TestUnsavedIsAsked(t *testing.T) {
	w, s := newTestWindow(t)
	asked := false
	w.leave(func() { asked = true })
	if !asked {
		t.Error("nothing is open and yet something is asked")
	}
	s.OpenSample("")
	settled(t, w)
	s.ApplyStandard()
	settled(t, w)
	left := false
	w.leave(func() { left = true })
	if left || w.win.Canvas().Overlays().Top() == nil {
		t.Error("rewrites that are not saved are thrown away without a question")
	}
}

// TestToastsLeave: good news go by themselves, errors do not.
func TestToastsLeave(t *testing.T) {
	w, _ := newTestWindow(t)
	st := *w.state
	st.Notices = []*app.Notice{{ID: 1, Text: "Saved %s", Args: []any{"x"}}, {ID: 2, Err: fail.New(fail.NotFound, "gone").Try("look")}}
	w.show(&st)
	if n := len(w.toasts.object.Objects); n != 2 {
		t.Fatalf("%d toasts", n)
	}
	st.Notices = nil
	w.show(&st)
	if n := len(w.toasts.object.Objects); n != 0 {
		t.Errorf("%d toasts are left", n)
	}
}

// TestBrokenScreen: a screen that panics shows the error in its place, and the rest of the window goes on.
func TestBrokenScreen(t *testing.T) {
	w, s := newTestWindow(t)
	settled(t, w)
	w.screens["rewrites"] = panicking{}
	s.Show("rewrites")
	settled(t, w)
	if _, ok := w.screen.(brokenScreen); !ok {
		t.Fatalf("the screen is %T", w.screen)
	}
	s.Show("start")
	if settled(t, w); w.shown != "start" {
		t.Error("no way out of a broken screen")
	}
	s.Show("rewrites")
	settled(t, w)
	if _, ok := w.screen.(brokenScreen); ok {
		t.Error("choosing the screen again does not make it anew")
	}
	w.u.NewButton(kit.Outline, "", "x", func() { panic("bug") }).Tapped(nil)
	if st := settled(t, w); len(st.Notices) != 1 || st.Notices[0].Err.Kind != fail.Internal {
		t.Errorf("notices %+v", st.Notices)
	}
}

type panicking struct{}

// Content is empty.
func (panicking) Content() fyne.CanvasObject { return kit.Space(1, 1) }

// Show has a bug.
func (panicking) Show(*app.State) { panic("a bug in a screen") }

// TestFileDialogs: each of them opens, and Esc closes it.
func TestFileDialogs(t *testing.T) {
	w, s := newTestWindow(t)
	s.OpenSample("")
	settled(t, w)
	for _, id := range []string{"open", "save", "save-recipe", "load-recipe", "help"} {
		w.perform(id)
		if w.win.Canvas().Overlays().Top() == nil {
			t.Fatalf("%s opens nothing", id)
		}
		if w.escape(); w.win.Canvas().Overlays().Top() != nil {
			t.Fatalf("Esc does not close %s", id)
		}
	}
	w.u.AskFolder(func(string) {})
	if w.win.Canvas().Overlays().Top() == nil {
		t.Error("no dialog asks for a folder")
	}
	if st := settled(t, w); len(st.Notices) != 0 {
		t.Errorf("notices %+v", st.Notices[0].Err)
	}
}

// TestTips: a button that is off says why in the status line while the pointer is on it.
func TestTips(t *testing.T) {
	w, _ := newTestWindow(t)
	settled(t, w)
	w.goals.button.MouseIn(nil)
	if got := w.status.tip.Text(); got != "open a model first" || !w.goals.button.Off() {
		t.Errorf("tip %q, off %v", got, w.goals.button.Off())
	}
	w.goals.button.MouseOut()
	if got := w.status.tip.Text(); got != "" {
		t.Errorf("the tip %q stays", got)
	}
}
