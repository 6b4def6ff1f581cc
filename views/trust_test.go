package views

import (
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/views/kit"
)

// inWindow gives the objects of a kind that are in sight, in order.
func inWindow[T fyne.CanvasObject](root fyne.CanvasObject, want func(T) bool) (out []T) {
	if root == nil || !root.Visible() {
		return nil
	}
	if x, ok := root.(T); ok && want(x) {
		out = append(out, x)
	}
	switch o := root.(type) {
	case *fyne.Container:
		for _, c := range o.Objects {
			out = append(out, inWindow(c, want)...)
		}
	case fyne.Widget:
		for _, c := range test.WidgetRenderer(o).Objects() {
			out = append(out, inWindow(c, want)...)
		}
	}
	return out
}

// click presses the button with a label; it has to be there and on.
func click(t *testing.T, w *testWindow, label string) {
	t.Helper()
	all := inWindow(fyne.CanvasObject(w.frame), func(b *kit.Button) bool { return b.Label() == label })
	if top := w.win.Canvas().Overlays().Top(); top != nil {
		all = inWindow(top, func(b *kit.Button) bool { return b.Label() == label })
	}
	if len(all) == 0 || all[0].Off() {
		t.Fatalf("no button %q that works (%d are there)", label, len(all))
	}
	all[0].Tapped(nil)
}

// tab chooses a segment by its words.
func tab(t *testing.T, w *testWindow, label string) {
	t.Helper()
	for _, s := range inWindow(fyne.CanvasObject(w.frame), func(*kit.Segmented) bool { return true }) {
		if i := slices.Index(s.Labels(), label); i >= 0 {
			s.Choose(i)
			return
		}
	}
	t.Fatalf("no tab %q", label)
}

// says reports whether a text is in sight.
func says(w *testWindow, part string) bool {
	return len(inWindow(fyne.CanvasObject(w.frame), func(l *kit.Line) bool { return strings.Contains(l.Text(), part) })) > 0
}

var _ desktop.Hoverable = (*kit.Button)(nil)

// TestTrustInTheWindow: floors in words with a verdict on a limit, the staircase of a layer foretold and measured, the audit of the board with its way to the
// graph, counters or why there are none, two models measured in turns, the noise of identical code, and who measures.
func TestTrustInTheWindow(t *testing.T) {
	w, s, shot := compressWindow(t, "prune")
	s.ApplyStandard()
	settled(t, w)
	s.Show("profile")
	settled(t, w)

	tab(t, w, "Floors")
	settled(t, w)
	limit := 2e3 // below any floor: two microseconds
	s.SetGoals(app.Goals{P99Ns: &limit})
	st := settled(t, w)
	b := st.Doc.BoundNow()
	if b == nil || len(b.Layers) == 0 {
		t.Fatalf("no floors: %+v, %v", b, notices(st))
	}
	s.FindFloors("pi4") // no such board is at hand
	b = settled(t, w).Doc.BoundNow()
	if b.Target != "pi4" || b.Verdict != "impossible" || b.Floors.Int8 < 1e4 || len(b.Answers) != 1 || len(b.Answers[0].Ways) == 0 {
		t.Fatalf("on a Pi 4: %+v", b.GoalVerdict)
	}
	if l := b.Layers[0]; l.FloorNs == nil || !strings.Contains(l.FloorWhy, "MAC") {
		t.Errorf("a floor without its arithmetic: %+v", l)
	}

	tab(t, w, "Staircase")
	st = settled(t, w)
	n := st.Doc.StairsNow()
	if n == nil || len(n.List) < 4 || n.Told == nil {
		t.Fatalf("staircases: %+v, %v", n, notices(st))
	}
	click(t, w, "Measure the treads")
	n = settled(t, w).Doc.StairsNow()
	measured := slices.ContainsFunc(n.List, func(x app.Staircase) bool {
		return !slices.ContainsFunc(x.Treads, func(k app.Tread) bool { return k.Measured == nil })
	})
	if !measured {
		t.Fatalf("no staircase was measured: %+v, %v", n.List, notices(w.state))
	}
	shot("profile-stairs")

	s.Profile(app.ProfileForm{Runs: 20, Count: true})
	st = settled(t, w)
	if len(st.Runs) != 1 || st.Runs[0].Profile.Counters == nil {
		t.Fatalf("runs %d, %v", len(st.Runs), notices(st))
	}
	if n := st.Doc.StairsNow(); n == nil || !slices.ContainsFunc(n.List, func(x app.Staircase) bool { return x.Treads[0].Measured != nil }) {
		t.Error("a run takes the staircase away")
	}
	tab(t, w, "Roofline")
	tab(t, w, "Counters")
	settled(t, w)
	if c := st.Runs[0].Profile.Counters; len(c.Absent) > 0 && len(inWindow(fyne.CanvasObject(w.frame), func(o *kit.Line) bool { return true })) == 0 {
		t.Error("nothing says why there are no counters")
	}
	shot("profile-counters")

	tab(t, w, "Audit")
	settled(t, w)
	click(t, w, "Audit the board")
	st = settled(t, w)
	a := st.Doc.AuditNow()
	if a == nil || len(a.Layers) < 4 || a.Inputs != 3 {
		t.Fatalf("no audit: %+v, %v", a, notices(st))
	}
	if a.First != nil || !says(w, "No layer computes something else") {
		t.Errorf("this computer differs from itself: %+v", a.First)
	}
	looks(t, w, s, shot, "profile-audit", func() { tab(t, w, w.u.T("Roofline")); tab(t, w, w.u.T("Audit")) })
	looks(t, w, s, shot, "profile-floors", func() { tab(t, w, w.u.T("Floors")); tab(t, w, w.u.T("Staircase")) })

	s.Show("compare")
	settled(t, w)
	click(t, w, "Measure in turns")
	st = settled(t, w)
	if st.Compared == nil || st.Compared.A.Label != app.Original || st.Compared.B.Label == app.Original {
		t.Fatalf("not compared: %+v %v", st.Compared, notices(st))
	}
	// how many pairs are left undisturbed is the computer's affair; that they ran in turns is not
	if a, b := st.Compared.A.Profile, st.Compared.B.Profile; a.Schedule == "" || a.Schedule != b.Schedule || len(a.Launches) < 8 || len(a.Launches) != len(b.Launches) {
		t.Errorf("not in pairs: %q and %q, %d and %d launches", a.Schedule, b.Schedule, len(a.Launches), len(b.Launches))
	}
	if !says(w, "measured in turns") {
		t.Error("nothing says that the comparison is paired")
	}
	looks(t, w, s, shot, "compare-paired")

	s.Show("boards")
	settled(t, w)
	click(t, w, "Ask the board")
	settled(t, w)
	if b := s.State().Board(app.LocalTarget); b.Access == nil || b.Access.Lease.Held {
		t.Errorf("who measures: %+v", b.Access)
	}
	s.MeasureNoise(app.LocalTarget)
	st = settled(t, w)
	if n := st.Board(app.LocalTarget).Noise; n == nil && len(notices(st)) == 0 {
		t.Error("neither a noise nor a reason")
	}
	looks(t, w, s, shot, "boards")
}
