package deploy

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
)

// list is the right side: what lies on the chosen board, then on the others.
type list struct {
	s      *screen
	object fyne.CanvasObject
	title  *kit.Line
	again  *kit.Button
	rows   *fyne.Container
	made   []app.Deployment // what the rows were made of
	board  string
	busy   bool
	doc    string
	access *app.Access
}

func newList(s *screen) *list {
	u := s.u
	l := &list{s: s, title: kit.NewLine("", 18, u.Theme.Text1).Bold()}
	l.again = u.NewButton(kit.Outline, "redo", u.T("Ask the board"), func() { s.do.RefreshDeployments(s.board()) })
	l.rows = kit.Rows(10)
	l.object = container.NewBorder(kit.Pad(0, 0, 10, 0, kit.Cols(10, kit.Flex(l.title), l.again)), nil, nil, nil, container.NewVScroll(kit.Pad(0, 10, 0, 0, l.rows)))
	return l
}

func (l *list) show(st *app.State, board string) {
	u := l.s.u
	b := st.Board(board)
	busy := b != nil && b.Busy
	l.again.SetOff(busy, u.T("the board is busy"))
	doc := ""
	if st.Doc != nil {
		doc = st.Doc.SHA256
	}
	var access *app.Access
	if b != nil {
		access = b.Access
	}
	if l.board == board && l.busy == busy && l.doc == doc && l.access == access && sameSlice(l.made, st.Deploys) && len(l.rows.Objects) > 0 {
		return
	}
	l.made, l.board, l.busy, l.doc, l.access = st.Deploys, board, busy, doc, access
	l.title.SetText(l.name(b, board))
	var rows []fyne.CanvasObject
	for _, v := range versions(st, board) {
		rows = append(rows, l.card(v, b, busy))
	}
	if len(rows) == 0 {
		note := u.T("Nothing of ours is known to be on this board. Ask it, or deploy the open model.")
		if b != nil && b.Err != nil {
			rows = append(rows, u.ErrorPanel(b.Err))
		}
		rows = append(rows, u.Panel(kit.Rows(4, u.Strong(u.T("No deployment")), u.Soft(note))))
	}
	for _, o := range st.Boards {
		vs := versions(st, o.Name)
		if o.Name == board || len(vs) == 0 {
			continue
		}
		rows = append(rows, kit.Pad(6, 0, 0, 2, u.Strong(l.name(o, o.Name))))
		for _, v := range vs {
			rows = append(rows, l.card(v, o, o.Busy))
		}
	}
	l.rows.Objects = rows
	l.rows.Refresh()
}

func (l *list) name(b *app.Board, name string) string {
	if b != nil && b.Local {
		return l.s.u.T("On this computer")
	}
	return l.s.u.F("On %s", name)
}

// sameSlice reports whether two states share the same list.
func sameSlice(a, b []app.Deployment) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// card is one deployment: name, version, state, bytes and hash, and the way back.
func (l *list) card(v version, b *app.Board, busy bool) fyne.CanvasObject {
	u, do := l.s.u, l.s.do
	head := []fyne.CanvasObject{u.Title(v.Name).Whole(), u.Pill(versionName(v.Version), "primary"), u.Pill(u.T(v.State), map[bool]string{true: "success", false: "text2"}[v.State == "active"])}
	if v.open {
		head = append(head, u.Pill(u.T("the open model"), "text2"))
	}
	back := u.NewButton(kit.Outline, "rollback", u.F("Back to %s", versionName(v.Previous)), func() {
		u.Confirm(u.F("Roll back %s?", v.Name), u.F("%s becomes active again on %s; %s stays on the board.", versionName(v.Previous), v.Target, versionName(v.Version)), u.T("Roll back"), func() { do.Rollback(v.Target, v.Name) })
	})
	if v.Previous == 0 {
		back.SetLabel("rollback", u.T("No version before"))
	}
	back.SetOff(v.Previous == 0 || busy, u.T("there is no version before this one"))
	remove := u.NewButton(kit.Outline, "minus", u.T("Remove"), func() {
		u.Confirm(u.F("Remove %s from %s?", v.Name, v.Target), u.T("All its versions leave the board. This cannot be undone."), u.T("Remove"), func() { do.RemoveDeployment(v.Target, v.Name) })
	})
	remove.SetOff(busy, u.T("the board is busy"))
	line := kit.Cols(8, kit.Flex(kit.Fit(8, head...)), back, remove)
	before := kit.Absent
	if v.Previous > 0 {
		before = versionName(v.Previous)
	}
	sent := kit.Absent
	if v.Sent > 0 {
		sent = u.F("%s of %s", kit.Bytes(v.Sent), kit.Bytes(v.Bytes))
	}
	pair := func(key, value string, mono bool) fyne.CanvasObject {
		line := u.Dense(value).Whole()
		if mono {
			line.Mono()
		}
		if value == kit.Absent {
			line.Set(value, u.Theme.Text3)
		}
		return kit.Rows(1, u.Caption(key).Whole(), line)
	}
	facts := kit.Cols(28, pair(u.T("model file"), kit.Bytes(v.Bytes), false), pair(u.T("sent last time"), sent, false), pair(u.T("version before"), before, false), pair("sha256", v.sha, true), kit.Gap())
	return u.Panel(kit.Rows(8, line, facts, l.service(v, b, busy)))
}

// service says whether the deployment is kept running, and starts or stops that.
func (l *list) service(v version, b *app.Board, busy bool) fyne.CanvasObject {
	u, do := l.s.u, l.s.do
	if b == nil || b.Access == nil {
		ask := u.NewButton(kit.Outline, "redo", u.T("Ask"), func() { do.AskAccess(v.Target) }).Small()
		ask.SetOff(busy, u.T("the board is busy"))
		return container.NewBorder(nil, nil, nil, ask, u.Caption(u.T("whether it is kept running was not asked")))
	}
	text, on := u.T("not kept running"), false
	for _, x := range b.Access.Services {
		if x.Name != v.Name {
			continue
		}
		text, on = u.T(x.State), x.State == "serving"
		if on {
			text = u.F("serving %s: %d inferences", versionName(x.Version), x.Count)
			if x.P99Ns > 0 {
				text += " · p99 " + kit.Ms(float64(x.P99Ns))
			}
		}
		if x.Note != "" {
			text += " · " + x.Note
		}
	}
	label := u.T("Keep running")
	if on {
		label = u.T("Stop the service")
	}
	turn := u.NewButton(kit.Outline, "", label, func() { do.KeepRunning(v.Target, v.Name, !on) }).Small()
	turn.SetOff(busy, u.T("the board is busy"))
	return container.NewBorder(nil, nil, nil, turn, u.Soft(text))
}
