package boards

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
)

// form adds a board: where it is, and how to log in.
type form struct {
	s        *screen
	object   fyne.CanvasObject
	address  *widget.Entry
	name     *widget.Entry
	identity *widget.Entry
	password *widget.Entry
	jump     *widget.Entry
	install  *widget.Check
	measure  *widget.Check
	wrong    map[string]*kit.Line
	connect  *kit.Button
	failed   *fyne.Container
	body     *fyne.Container
	named    bool   // the user typed a name
	touched  bool   // something was sent or typed: what is missing is said from then on
	sent     string // name of the board that is being connected
	job      int64
}

func newForm(s *screen) *form {
	u := s.u
	f := &form{s: s, wrong: map[string]*kit.Line{}, failed: container.NewStack()}
	f.address, f.name, f.identity, f.jump = widget.NewEntry(), widget.NewEntry(), widget.NewEntry(), widget.NewEntry()
	f.password = widget.NewPasswordEntry()
	f.install = widget.NewCheck(u.T("Put a key on the board, so that the password is not needed again"), nil)
	f.measure = widget.NewCheck(u.T("Measure the built-in sample at once"), nil)
	f.address.SetPlaceHolder("pi@192.168.1.20:22")
	f.identity.SetPlaceHolder(u.T("the SSH agent's keys and the usual files"))
	f.password.SetPlaceHolder(u.T("only if the board wants one; it is never written"))
	f.jump.SetPlaceHolder("user@gateway")
	f.address.OnChanged = func(t string) {
		if !f.named {
			f.name.SetText(nameFor(t))
			f.named = false
		}
		f.check()
	}
	f.name.OnChanged = func(t string) { f.named = t != nameFor(f.address.Text); f.check() }
	for _, e := range []*widget.Entry{f.address, f.name, f.identity, f.password, f.jump} {
		e.OnSubmitted = func(string) { f.send() }
	}
	browse := u.NewButton(kit.Outline, "folder", u.T("Choose"), func() { u.AskOpen(nil, f.identity.SetText) })
	f.connect = u.NewButton(kit.Filled, "link", u.T("Test and add"), f.send)
	cancel := u.NewButton(kit.Outline, "", u.T("Cancel"), func() { s.setAdding(false) })
	row := func(key, label string, e fyne.CanvasObject) fyne.CanvasObject {
		f.wrong[key] = kit.NewLine("", u.Theme.Caption(), u.Theme.Danger)
		return container.NewBorder(nil, nil, kit.Rows(0, kit.Fixed(110, 30, u.Soft(label))), nil, kit.Rows(2, e, f.wrong[key]))
	}
	f.body = kit.Rows(6,
		row("address", u.T("Address"), f.address), row("name", u.T("Name"), f.name),
		row("identity", u.T("Key file"), container.NewBorder(nil, nil, nil, kit.Pad(0, 0, 0, 8, browse), f.identity)),
		row("password", u.T("Password"), f.password), row("jump", u.T("Jump host"), f.jump), f.install, f.measure,
		u.Para(u.T("Fettle logs in over SSH, shows the host key once, and puts a small agent into the home folder of that user. It opens no port on the board and needs no root.")),
		kit.Cols(10, kit.Gap(), cancel, f.connect), f.failed)
	f.object = container.NewBorder(kit.Pad(0, 0, 10, 0, kit.Fixed(0, 30, kit.NewLine(u.T("Add a board"), 18, u.Theme.Text1).Bold())), nil, nil, nil,
		container.NewVScroll(kit.Pad(0, 10, 0, 0, kit.Rows(0, u.Panel(kit.AtLeast(420, 0, f.body))))))
	return f
}

func (f *form) clear() {
	f.named, f.touched, f.sent = false, false, ""
	for _, e := range []*widget.Entry{f.address, f.name, f.identity, f.password, f.jump} {
		e.SetText("")
	}
	f.install.SetChecked(false)
	f.measure.SetChecked(false)
	f.named, f.touched = false, false
	f.failed.RemoveAll()
	f.check()
}

func (f *form) values() app.AddBoardForm {
	return app.AddBoardForm{Name: f.name.Text, Address: f.address.Text, Identity: f.identity.Text, Password: f.password.Text, Jump: f.jump.Text, InstallKey: f.install.Checked, Measure: f.measure.Checked}
}

// check says what is wrong beside each field, once something was typed.
func (f *form) check() bool {
	if f.s.state == nil {
		return false
	}
	bad := checkForm(f.values(), f.s.state.Boards)
	for key, line := range f.wrong {
		text := bad[key]
		if text != "" && !f.touched && (key != "name" || f.name.Text == "") {
			text = "" // an empty form is not yet wrong
		}
		if text != "" {
			text = f.s.u.T(text)
		}
		line.SetText(text)
	}
	return len(bad) == 0
}

func (f *form) send() {
	f.touched = true
	if !f.check() || f.connect.Off() {
		return
	}
	v := f.values()
	f.sent = v.Name
	f.failed.RemoveAll()
	f.s.do.AddBoard(v)
}

// show follows the job that connects: while it runs the button waits, and an error stays beside the form.
func (f *form) show(st *app.State) {
	u := f.s.u
	var last *app.Job
	for _, j := range st.Jobs {
		if j.Title == "Connect a board" {
			last = j
		}
	}
	running := last != nil && last.Running()
	f.connect.SetOff(running, u.T("connecting"))
	if running {
		f.connect.SetLabel("clock", u.T("Connecting"))
		f.job = last.ID
	} else {
		f.connect.SetLabel("link", u.T("Test and add"))
	}
	if f.sent != "" && last != nil && !running && last.Err != nil && last.ID >= f.job && len(f.failed.Objects) == 0 {
		f.failed.Objects = []fyne.CanvasObject{u.ErrorPanel(last.Err)}
		f.body.Refresh() // the panel needs room
		f.failed.Refresh()
	}
}
