package views

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
)

// dialogs shows the questions of a login. They are the only modal dialogs of the window: the connection waits for them.
type dialogs struct {
	key      *app.HostKeyQuestion
	password *app.PasswordQuestion
	close    func() // takes the dialog away without an answer, nil: none is open
}

func (d *dialogs) show(w *Window, s *app.State) {
	if d.key != s.HostKey || d.password != s.Password {
		if d.close != nil {
			d.close()
			d.close = nil
		}
		d.key, d.password = s.HostKey, s.Password
		switch {
		case s.HostKey != nil:
			d.close = hostKeyDialog(w, s.HostKey)
		case s.Password != nil:
			d.close = passwordDialog(w, s.Password)
		}
	}
}

// hostKeyDialog shows the fingerprint of a key that was never seen; the safe answer is the one that Esc gives.
func hostKeyDialog(w *Window, q *app.HostKeyQuestion) (close func()) {
	u := w.u
	why := u.Para(u.T("This board was never connected from here. Compare the fingerprint with the one that the board shows: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"))
	body := kit.AtLeast(520, 0, kit.Rows(8,
		u.Facts([]kit.Fact{{Key: u.T("Board"), Value: q.Name}, {Key: u.T("Address"), Value: q.Address}, {Key: u.T("Kind of key"), Value: q.KeyType}}),
		kit.NewLine(q.Fingerprint, 13, u.Theme.Text1).Mono(), why))
	answered := false
	d := dialog.NewCustomConfirm(u.T("Is this the right board?"), u.T("Accept and keep this key"), u.T("Refuse"), body, func(ok bool) {
		if !answered {
			answered = true
			w.studio.AnswerHostKey(ok)
		}
	}, w.win)
	d.Show()
	return func() { answered = true; d.Hide() } // hiding counts as an answer for the toolkit
}

func passwordDialog(w *Window, q *app.PasswordQuestion) (close func()) {
	u := w.u
	entry := widget.NewPasswordEntry()
	words := u.F("Password of %s on %s. It is used to log in and never written.", q.User, q.Host)
	if q.File != "" {
		words = u.F("Passphrase of the key %s. It is used to log in and never written.", q.File)
	}
	rows := []fyne.CanvasObject{u.Para(words), entry}
	if q.Again {
		rows = append(rows, kit.NewLine(u.T("The board refused the one before."), u.Theme.Caption(), u.Theme.Danger))
	}
	answered := false
	d := dialog.NewCustomConfirm(u.T("Log in to the board"), u.T("Log in"), u.T("Cancel"), kit.AtLeast(420, 0, kit.Rows(8, rows...)), func(ok bool) {
		if !answered {
			answered = true
			w.studio.AnswerPassword(entry.Text, ok)
		}
	}, w.win)
	entry.OnSubmitted = func(string) { d.Confirm() }
	d.Show()
	w.win.Canvas().Focus(entry)
	return func() { answered = true; d.Hide() }
}
