package profile

import (
	"fmt"
	"slices"
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
)

// toolbar is where a run is chosen and started.
type toolbar struct {
	s       *screen
	row     fyne.CanvasObject
	boards  *widget.Select
	names   []string // of the boards, as the select lists them
	threads *widget.Select
	which   *kit.Segmented
	start   *kit.Button
	stop    *kit.Button
	job     int64
}

func newToolbar(s *screen) *toolbar {
	u := s.u
	t := &toolbar{s: s}
	t.boards = widget.NewSelect(nil, nil)
	t.boards.PlaceHolder = u.T("board")
	t.threads = widget.NewSelect(nil, func(v string) {
		if n, err := strconv.Atoi(v); err == nil && s.state != nil && n != s.state.Settings.Threads {
			s.do.SetThreads(n)
		}
	})
	t.which = u.NewSegmented([]string{u.T("Rewritten"), u.T("Original")}, 0, nil)
	t.start = u.NewButton(kit.Filled, "play", u.T("Profile"), s.start)
	t.stop = u.NewButton(kit.Outline, "stop", u.T("Stop"), func() { s.do.CancelJob(t.job) })
	t.row = kit.Cols(10, u.Soft(u.T("Board")).Whole(), s.boxed(190, t.boards), kit.Space(4, 0), u.Soft(u.T("Model")).Whole(), t.which, kit.Space(4, 0),
		u.Soft(u.T("Threads")).Whole(), s.boxed(78, t.threads), kit.Gap(), t.stop, t.start)
	return t
}

func (t *toolbar) show(st *app.State) {
	u := t.s.u
	names, labels := []string(nil), []string(nil)
	cores := 0
	for _, b := range st.Boards {
		names = append(names, b.Name)
		label := b.Name
		if b.Local {
			label = u.T("This computer")
		} else if b.Err != nil {
			label = u.F("%s (not reached)", b.Name)
		}
		labels = append(labels, label)
	}
	if !slices.Equal(names, t.names) || !slices.Equal(labels, t.boards.Options) {
		at := max(t.boards.SelectedIndex(), 0)
		t.names = names
		t.boards.SetOptions(labels)
		if at < len(labels) {
			t.boards.SetSelectedIndex(at)
		}
	}
	if b := st.Board(t.board()); b != nil && b.Facts != nil {
		cores = len(b.Facts.Cores)
	}
	t.setThreads(max(cores, st.Settings.Threads, 1), st.Settings.Threads)
	t.which.SetOff(0, st.Doc == nil || st.Doc.Cursor == 0)
	if st.Doc != nil && st.Doc.Cursor == 0 {
		t.which.Set(1)
	}
	job := profiling(st)
	t.stop.Hidden = job == nil
	if job != nil {
		t.job = job.ID
	}
	t.start.SetOff(st.Doc == nil || job != nil || st.Doc.Busy, t.reason(st, job))
	look := kit.Filled
	if len(st.Runs) == 0 { // the empty state has the filled button
		look = kit.Outline
	}
	t.start.SetLook(look)
	t.row.Refresh()
}

func (t *toolbar) reason(st *app.State, job *app.Job) string {
	u := t.s.u
	switch {
	case st.Doc == nil:
		return u.T("open a model first")
	case job != nil:
		return u.T("one measurement at a time")
	case st.Doc.Busy:
		return u.T("the ledger is being applied")
	}
	return ""
}

// setThreads offers the powers of two up to n, n itself, and what is set.
func (t *toolbar) setThreads(n, set int) {
	var opts []string
	for k := 1; k < n; k *= 2 {
		opts = append(opts, fmt.Sprint(k))
	}
	opts = append(opts, fmt.Sprint(n))
	if want := fmt.Sprint(set); set > 0 && !slices.Contains(opts, want) {
		opts = append(opts, want)
	}
	if !slices.Equal(opts, t.threads.Options) {
		t.threads.SetOptions(opts)
	}
	if want := fmt.Sprint(max(set, 1)); t.threads.Selected != want {
		t.threads.SetSelected(want)
	}
}

func (t *toolbar) board() string {
	if i := t.boards.SelectedIndex(); i >= 0 && i < len(t.names) {
		return t.names[i]
	}
	return app.LocalTarget
}

func (t *toolbar) form() app.ProfileForm {
	f := app.ProfileForm{Board: t.board(), Which: app.Rewritten, Threads: t.s.state.Settings.Threads, Count: t.s.behind.count.Checked}
	if t.which.Chosen() == 1 {
		f.Which = app.Original
	}
	return f
}
