package views

import (
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/jobs"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// bottomPanel is the bar with jobs, log and problems, and their panel when it is open.
type bottomPanel struct {
	object fyne.CanvasObject
	u      *kit.UI
	panel  *jobs.Panel
	open   bool
	tabs   [3]*kit.Button
	note   *kit.Line
	reflow func()
	faults int
}

func newBottomPanel(u *kit.UI, reflow func()) *bottomPanel {
	b := &bottomPanel{u: u, panel: jobs.New(u), reflow: reflow, note: u.Caption("").Right()}
	row := []fyne.CanvasObject{kit.Space(4, 0)}
	for i, t := range []struct{ icon, title string }{{"play", "Jobs"}, {"report", "Log"}, {"warning", "Problems"}} {
		b.tabs[i] = u.NewButton(kit.Ghost, t.icon, u.T(t.title), func() { b.choose(i) }).Small()
		row = append(row, b.tabs[i])
	}
	row = append(row, kit.Flex(b.note), kit.Space(12, 0))
	bar := kit.Fixed(0, theme.BottomHeight, kit.Cols(2, row...))
	b.object = container.NewStack(kit.Fill(u.Theme.Bg1, container.NewBorder(container.NewStack(kit.Fill(u.Theme.Bg0, bar), container.NewBorder(u.HRule(), nil, nil, nil)), nil, nil, nil, b.panel.Object)))
	return b
}

// height is that of the bar, and of the panel where it is open.
func (b *bottomPanel) height() float32 {
	if b.open {
		return theme.BottomPanel
	}
	return theme.BottomHeight
}

func (b *bottomPanel) toggle() {
	b.open = !b.open
	b.reflow()
}

func (b *bottomPanel) choose(tab int) {
	switch {
	case b.open && b.panel.Tab() == tab:
		b.open = false
	default:
		b.open = true
		b.panel.Choose(tab)
	}
	b.reflow()
}

func (b *bottomPanel) show(s *app.State) {
	b.panel.Show(s)
	faults := 0
	for _, n := range s.Notices {
		if n.Err != nil {
			faults++
		}
	}
	if faults != b.faults {
		b.faults = faults
		label := b.u.T("Problems")
		if faults > 0 {
			label += " " + strconv.Itoa(faults)
		}
		b.tabs[jobs.Problems].SetLabel("warning", label)
	}
	note := ""
	if r := shownRun(s); r != nil {
		note = b.u.F("run %s · %d launches × %d · %d threads · %s", r.ID, r.Profile.Clean.Launches, r.Profile.Clean.N/max(r.Profile.Clean.Launches, 1), r.Profile.Plan.Threads, r.Target)
	}
	b.note.SetText(note)
}

// shownRun is the last run of the open model.
func shownRun(s *app.State) *app.Run {
	if s.Doc == nil {
		return nil
	}
	return s.LastRun(s.Doc.Model.Hash())
}
