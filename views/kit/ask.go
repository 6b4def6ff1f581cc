package kit

import (
	"os"
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/widget"
)

// AskOpen asks for a file with one of the extensions, given with their dot.
func (u *UI) AskOpen(exts []string, chosen func(path string)) {
	d := dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
		if err != nil || r == nil {
			return
		}
		defer r.Close()
		chosen(r.URI().Path())
	}, u.Window)
	d.SetFilter(storage.NewExtensionFileFilter(exts))
	u.place(d)
}

// AskSave asks where to write; name is proposed.
func (u *UI) AskSave(name string, chosen func(path string)) {
	d := dialog.NewFileSave(func(w fyne.URIWriteCloser, err error) {
		if err != nil || w == nil {
			return
		}
		path := w.URI().Path()
		_ = w.Close()
		// The dialog has created an empty file; whoever writes replaces it in one step. An error must not leave it.
		if st, err := os.Stat(path); err == nil && st.Size() == 0 {
			_ = os.Remove(path)
		}
		chosen(path)
	}, u.Window)
	d.SetFileName(filepath.Base(name))
	u.place(d)
}

// AskFolder asks for a folder.
func (u *UI) AskFolder(chosen func(path string)) {
	d := dialog.NewFolderOpen(func(l fyne.ListableURI, err error) {
		if err == nil && l != nil {
			chosen(l.Path())
		}
	}, u.Window)
	u.place(d)
}

type fileDialog interface {
	Resize(fyne.Size)
	Show()
	SetLocation(fyne.ListableURI)
}

func (u *UI) place(d fileDialog) {
	if dir, err := os.Getwd(); err == nil {
		if l, err := storage.ListerForURI(storage.NewFileURI(dir)); err == nil {
			d.SetLocation(l)
		}
	}
	d.Show() // before Resize, which wants what Show makes
	size := u.Window.Canvas().Size()
	d.Resize(fyne.NewSize(min(size.Width-80, 900), min(size.Height-80, 620)))
}

// Confirm asks a question with two answers; the safe one is to do nothing.
func (u *UI) Confirm(title, words, yes string, do func()) {
	l := widget.NewLabel(words)
	l.Wrapping = fyne.TextWrapWord
	d := dialog.NewCustomConfirm(title, yes, u.T("Cancel"), AtLeast(380, 0, l), func(ok bool) {
		if ok {
			do()
		}
	}, u.Window)
	d.Show()
}
