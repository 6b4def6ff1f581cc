package views

import (
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"

	"fettle/app"
	"fettle/views/kit"
)

// leave asks before a model with rewrites that were not saved is closed.
func (w *Window) leave(do func()) {
	d := w.state.Doc
	if !d.Unsaved() {
		do()
		return
	}
	w.u.Confirm(w.u.T("The rewritten model is not saved"), w.u.F("%s has rewrites that are not saved. They are lost when it is closed.", d.Name), w.u.T("Close without saving"), do)
}

func (w *Window) openModel() {
	w.u.AskOpen([]string{".onnx", ".tflite"}, func(path string) { w.leave(func() { w.studio.Open(path) }) })
}

func (w *Window) saveModel() {
	w.u.AskSave(fileName(w.state.Doc, ".onnx"), w.studio.Save)
}

func (w *Window) saveRecipe() {
	w.u.AskSave(fileName(w.state.Doc, ".toml"), w.studio.SaveRecipe)
}

func (w *Window) loadRecipe() { w.u.AskOpen([]string{".toml"}, w.studio.LoadRecipe) }

// fileName proposes a name that does not overwrite the opened file.
func fileName(d *app.Doc, ext string) string {
	if d == nil {
		return "model" + ext
	}
	name := strings.TrimSuffix(filepath.Base(d.Name), ext)
	if ext == ".onnx" && d.Unsaved() {
		name += "-fit"
	}
	return name + ext
}

func (w *Window) profile() {
	s := w.state
	if s.Doc == nil {
		return
	}
	w.studio.Show("profile")
	which := app.Original
	if s.Doc.Model != s.Doc.Base {
		which = app.Rewritten
	}
	w.studio.Profile(app.ProfileForm{Board: app.LocalTarget, Which: which})
}

// score judges on the sample's own pictures, or on a folder that the user chooses.
func (w *Window) score() {
	d := w.state.Doc
	if d == nil {
		return
	}
	if d.Sample && d.Trained {
		w.studio.Score("")
		return
	}
	w.u.AskFolder(w.studio.Score)
}

func (w *Window) primary() {
	if p, ok := w.screen.(kit.Primary); ok {
		p.Primary()
		return
	}
	w.profile()
}

func (w *Window) find() {
	if f, ok := w.screen.(kit.Finder); ok {
		f.Find()
	}
}

func (w *Window) switchLanguage() {
	if w.u.Lang() == "zh" {
		w.studio.SetLanguage("en")
	} else {
		w.studio.SetLanguage("zh")
	}
}

// escape closes what lies on top, else clears the selection.
func (w *Window) escape() {
	top := w.win.Canvas().Overlays().Top()
	switch {
	case w.palette != nil:
		w.palette.close()
	case w.state.HostKey != nil:
		w.studio.AnswerHostKey(false)
	case w.state.Password != nil:
		w.studio.AnswerPassword("", false)
	case top != nil:
		top.Hide()
		w.win.Canvas().Overlays().Remove(top)
	default:
		w.studio.Select(nil, "window")
	}
}

// help lists the keys, from the table of commands.
func (w *Window) help() {
	var left, right []fyne.CanvasObject
	list := w.actions()
	n := 0
	for _, a := range list {
		if a.Keys != "" {
			n++
		}
	}
	i := 0
	for _, a := range list {
		if a.Keys == "" {
			continue
		}
		row := kit.Fixed(0, 26, kit.Cols(10, kit.Fixed(120, 0, kit.Cols(0, w.u.KeyCap(keyText(a.Keys)))), kit.Flex(w.u.Dense(w.u.T(a.Title)))))
		if i < (n+1)/2 {
			left = append(left, row)
		} else {
			right = append(right, row)
		}
		i++
	}
	body := kit.Cols(24, kit.Fixed(340, 0, kit.Rows(0, left...)), kit.Fixed(340, 0, container.NewVBox(kit.Rows(0, right...))))
	d := dialog.NewCustom(w.u.T("Keys"), w.u.T("Close"), container.NewPadded(body), w.win)
	d.Show()
}

// keyText is a key as it is shown: "Ctrl Shift P".
func keyText(keys string) string {
	return strings.NewReplacer("+", " ", "Return", "Enter").Replace(keys)
}
