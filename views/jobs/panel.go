// Package jobs is the panel at the foot of the window: jobs with progress and cancel, the log, and problems.
//
// It starts no job. rows.go turns jobs into rows; start reading at New.
package jobs

import (
	"image/color"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// The three lists of the panel.
const (
	Jobs = iota
	Log
	Problems
)

// Panel shows one of the lists.
type Panel struct {
	Object fyne.CanvasObject
	u      *kit.UI
	tab    int
	state  *app.State
	jobs   *fyne.Container
	shown  map[int64]*jobView
	order  []int64
	log    *widget.List
	faults *fyne.Container
	faulty []int64
	stack  *fyne.Container
	parts  [3]fyne.CanvasObject
}

// New makes the panel.
func New(u *kit.UI) *Panel {
	p := &Panel{u: u, shown: map[int64]*jobView{}, jobs: kit.Rows(0), faults: kit.Rows(8)}
	p.log = widget.NewList(func() int {
		if p.state == nil {
			return 0
		}
		return len(p.state.Log)
	}, func() fyne.CanvasObject {
		return kit.Cols(12, kit.Fixed(64, 22, u.Caption("").Mono()), kit.Fixed(220, 22, u.Dense("")), kit.Flex(u.Soft("")))
	}, func(i widget.ListItemID, o fyne.CanvasObject) { p.logLine(len(p.state.Log)-1-i, o.(*fyne.Container)) })
	p.parts = [3]fyne.CanvasObject{container.NewVScroll(kit.Pad(0, 8, 8, 8, p.jobs)), p.log, container.NewVScroll(kit.Pad(8, 14, 8, 14, p.faults))}
	p.stack = container.NewStack()
	p.Object = kit.Fill(u.Theme.Bg1, p.stack)
	p.Choose(Jobs)
	return p
}

// Choose shows a list.
func (p *Panel) Choose(tab int) {
	p.tab = tab
	p.stack.Objects = []fyne.CanvasObject{p.parts[tab]}
	p.stack.Refresh()
}

// Tab is the list that is shown.
func (p *Panel) Tab() int { return p.tab }

// Show brings the panel up to a state.
func (p *Panel) Show(s *app.State) {
	before := p.state
	p.state = s
	if before == nil || !same(before.Jobs, s.Jobs) || len(s.Active()) > 0 {
		p.showJobs(s)
	}
	if before == nil || len(before.Log) != len(s.Log) || len(s.Log) > 0 && before.Log[len(before.Log)-1] != s.Log[len(s.Log)-1] {
		p.log.Refresh()
	}
	p.showFaults(s)
}

func same(a, b []*app.Job) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (p *Panel) showJobs(s *app.State) {
	rows := rowsOf(s.Jobs, time.Now())
	order := make([]int64, len(rows))
	for i, r := range rows {
		order[i] = r.ID
		v := p.shown[r.ID]
		if v == nil {
			v = newJobView(p.u, r)
			p.shown[r.ID] = v
		}
		v.show(p.u, r)
	}
	if len(order) == len(p.order) {
		equal := true
		for i := range order {
			equal = equal && order[i] == p.order[i]
		}
		if equal {
			return
		}
	}
	p.order = order
	p.jobs.Objects = nil
	for _, id := range order {
		p.jobs.Objects = append(p.jobs.Objects, p.shown[id].object)
	}
	for id := range p.shown {
		if !contains(order, id) {
			delete(p.shown, id)
		}
	}
	if len(order) == 0 {
		p.jobs.Objects = []fyne.CanvasObject{kit.Pad(12, 0, 0, 8, p.u.Soft(p.u.T("No job has run yet. Long work shows here, with its progress and a way to stop it.")))}
	}
	p.jobs.Refresh()
}

func contains(l []int64, x int64) bool {
	for _, e := range l {
		if e == x {
			return true
		}
	}
	return false
}

// jobView is one row: sign, title and state, time, cancel; a line of progress at its foot.
type jobView struct {
	object fyne.CanvasObject
	sign   *fyne.Container
	icon   string
	title  *kit.Line
	state  *kit.Line
	time   *kit.Line
	cancel *kit.Button
	done   *canvas.Rectangle
	bar    *fyne.Container
	part   float64
}

func newJobView(u *kit.UI, r row) *jobView {
	v := &jobView{sign: container.NewStack(), title: u.Dense(""), state: u.Caption(""), time: u.Soft("").Right().Whole(), done: canvas.NewRectangle(u.Theme.Primary)}
	id := r.ID
	v.cancel = u.NewButton(kit.Ghost, "close", "", func() { u.Studio.CancelJob(id) }).Small()
	v.bar = container.New(v, v.done)
	line := kit.Cols(10, v.sign, kit.Flex(kit.Rows(0, v.title, v.state)), v.time, kit.Fixed(26, 26, v.cancel))
	v.object = container.NewStack(kit.Plate(color.Transparent, color.Transparent, 6), kit.Fixed(0, theme.RowJob, kit.Pad(2, 10, 2, 10, line)), v.bar)
	return v
}

func (v *jobView) show(u *kit.UI, r row) {
	if key := r.Icon + r.Token; key != v.icon {
		v.icon = key
		v.sign.Objects = []fyne.CanvasObject{kit.Icon(r.Icon, r.Token, 16)}
		v.sign.Refresh()
	}
	title := u.T(r.Title)
	if r.Detail != "" {
		title += " · " + r.Detail
	}
	v.title.SetText(title)
	switch {
	case r.Failed != "":
		v.state.Set(u.Fault(r.Err), u.Theme.Danger)
	default:
		v.state.Set(u.Say(r.What), u.Theme.Text3)
	}
	v.time.SetText(r.Time)
	if r.Running {
		v.cancel.Show()
	} else {
		v.cancel.Hide()
	}
	if v.part != r.Progress {
		v.part = r.Progress
		v.Layout(nil, v.bar.Size())
		v.done.Refresh()
	}
}

// Layout implements fyne.Layout for the line of progress.
func (v *jobView) Layout(_ []fyne.CanvasObject, size fyne.Size) {
	if v.part < 0 {
		v.done.Hide()
		return
	}
	v.done.Show()
	v.done.Move(fyne.NewPos(0, size.Height-2))
	v.done.Resize(fyne.NewSize(size.Width*float32(v.part), 2))
}

// MinSize implements fyne.Layout.
func (v *jobView) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(10, 2) }

func (p *Panel) logLine(i int, row *fyne.Container) {
	l := p.state.Log[i]
	line := func(k int) *kit.Line { return row.Objects[k].(*fyne.Container).Objects[0].(*kit.Line) }
	line(0).SetText(l.At.Format("15:04:05"))
	line(1).SetText(p.u.T(l.Text))
	if l.Err != nil {
		line(2).Set(p.u.Fault(l.Err), p.u.Theme.Danger)
	} else {
		line(2).Set(l.Args, p.u.Theme.Text2)
	}
}

// showFaults lists the errors that are still open, newest first, as panels that can be copied and closed.
func (p *Panel) showFaults(s *app.State) {
	var ids []int64
	for _, n := range s.Notices {
		if n.Err != nil {
			ids = append(ids, n.ID)
		}
	}
	if p.faulty != nil && len(ids) == len(p.faulty) && (len(ids) == 0 || ids[len(ids)-1] == p.faulty[len(ids)-1]) {
		return
	}
	p.faulty = append([]int64{}, ids...)
	p.faults.Objects = nil
	for i := len(s.Notices) - 1; i >= 0; i-- {
		n := s.Notices[i]
		if n.Err == nil {
			continue
		}
		id := n.ID
		p.faults.Objects = append(p.faults.Objects, p.u.ErrorPanel(n.Err, p.u.NewButton(kit.Outline, "", p.u.T("Close"), func() { p.u.Studio.CloseNotice(id) }).Small()))
	}
	if len(ids) == 0 {
		p.faults.Objects = []fyne.CanvasObject{p.u.Soft(p.u.T("No problems."))}
	}
	p.faults.Refresh()
}
