package views

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
)

// statusLine is the line at the foot: boards, model, running job.
type statusLine struct {
	object fyne.CanvasObject
	u      *kit.UI
	boards *kit.Line
	model  *kit.Line
	job    *kit.Line
	tip    *kit.Line
}

func newStatusLine(u *kit.UI) *statusLine {
	s := &statusLine{u: u, boards: u.Caption("").Whole(), model: u.Caption("").Whole(), job: u.Caption(""), tip: kit.NewLine("", u.Theme.Caption(), u.Theme.Text1).Right()}
	row := kit.Cols(6, kit.Space(8, 0), kit.Icon("boards", "text3", 14), s.boards, kit.Space(12, 0), kit.Icon("model", "text3", 14), s.model, kit.Space(12, 0),
		kit.Icon("clock", "text3", 14), kit.Flex(s.job), kit.Flex(s.tip), kit.Space(12, 0))
	s.object = container.NewStack(canvas.NewRectangle(u.Theme.Bg0), row, container.NewBorder(u.HRule(), nil, nil, nil))
	return s
}

// hint says what is under the pointer.
func (l *statusLine) hint(text string) { l.tip.SetText(text) }

func (l *statusLine) show(s *app.State) {
	t := statusTexts(l.u, s)
	l.boards.SetText(t[0])
	l.model.SetText(t[1])
	ink := l.u.Theme.Text3
	if len(s.Active()) > 0 {
		ink = l.u.Theme.Text1
	}
	l.job.Set(t[2], ink)
	l.object.Refresh()
}

// statusTexts are the three parts of the line.
func statusTexts(u *kit.UI, s *app.State) [3]string {
	ready, added := 0, 0
	for _, b := range s.Boards {
		if !b.Local {
			added++
		}
		if b.Connected || b.Local {
			ready++
		}
	}
	boards := u.T("This computer")
	if added > 0 {
		boards = u.F("%d of %d boards ready", ready, len(s.Boards))
	}
	doc := u.T("no model")
	if d := s.Doc; d != nil {
		doc = u.F("%s nodes", kit.Count(int64(d.Info.Nodes))) + " · " + kit.MACs(d.Info.MACs) + " · " + kit.Bytes(d.Info.FileBytes)
		if !d.Trained {
			doc += " · " + u.T("random weights")
		}
	}
	job := u.T("no job running")
	if a := s.Active(); len(a) > 0 {
		j := a[len(a)-1]
		job = u.T(j.Title)
		if j.Detail != "" {
			job += " · " + j.Detail
		}
		if j.Total > 0 {
			job += " · " + kit.Percent(float64(j.Done)/float64(j.Total))
		}
	}
	return [3]string{boards, doc, job}
}

// toastStack shows the last notices over the right foot: good news for five seconds, errors until they are closed.
type toastStack struct {
	object *fyne.Container
	u      *kit.UI
	close  func(int64)
	shown  []int64
}

const toastWidth = 360

func newToastStack(u *kit.UI, close func(int64)) *toastStack {
	return &toastStack{object: kit.Rows(8), u: u, close: close}
}

// show reports whether the stack has another size than before.
func (t *toastStack) show(s *app.State) bool {
	list := s.Notices
	if n := len(list); n > 3 {
		list = list[n-3:]
	}
	same := len(list) == len(t.shown)
	for i := range list {
		same = same && list[i].ID == t.shown[i]
	}
	if same {
		return false
	}
	t.shown, t.object.Objects = nil, nil
	for _, n := range list {
		t.shown = append(t.shown, n.ID)
		t.object.Objects = append(t.object.Objects, t.toast(n))
	}
	t.object.Refresh()
	return true
}

func (t *toastStack) toast(n *app.Notice) fyne.CanvasObject {
	u, id := t.u, n.ID
	if n.Err != nil {
		return kit.Fixed(toastWidth, 0, u.ErrorPanel(n.Err, u.NewButton(kit.Outline, "", u.T("Close"), func() { t.close(id) }).Small()))
	}
	row := kit.Cols(10, kit.Icon("check", "success", 16), kit.Flex(u.Body(u.F(n.Text, n.Args...))), u.NewButton(kit.Ghost, "close", "", func() { t.close(id) }).Small())
	bar := kit.Fixed(4, 0, kit.Plate(u.Theme.Success, u.Theme.Success, 2))
	return kit.Fixed(toastWidth, 0, container.NewStack(kit.Plate(u.Theme.Bg2, u.Theme.Line2, 8), container.NewBorder(nil, nil, bar, nil, kit.Pad(8, 8, 8, 10, row))))
}
