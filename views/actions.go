package views

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"

	"fettle/app"
	"fettle/views/kit"
)

// actions is the one table of commands: the keys of the window, the palette, the project menu and the help read it.
func (w *Window) actions() []kit.Action {
	s := w.studio
	noDoc := func(st *app.State) bool { return st.Doc == nil }
	list := []kit.Action{
		{ID: "open", Title: "Open a model", Where: "File", Keys: "Ctrl+O", Run: w.openModel},
		{ID: "sample", Title: "Open the trained sample", Where: "File", Run: func() { w.leave(func() { s.OpenSample("") }) }},
		{ID: "save", Title: "Save the model", Where: "File", Keys: "Ctrl+S", Run: w.saveModel, Off: noDoc},
		{ID: "save-recipe", Title: "Save the recipe", Where: "File", Run: w.saveRecipe, Off: noDoc},
		{ID: "load-recipe", Title: "Load a recipe", Where: "File", Run: w.loadRecipe, Off: noDoc},
		{ID: "undo", Title: "Undo", Where: "History", Keys: "Ctrl+Z", Run: s.Undo, Off: func(st *app.State) bool { return !st.Doc.CanUndo() }},
		{ID: "redo", Title: "Redo", Where: "History", Keys: "Ctrl+Shift+Z", Run: s.Redo, Off: func(st *app.State) bool { return !st.Doc.CanRedo() }},
		{ID: "standard", Title: "Apply the standard rewrites", Where: "Rewrites", Run: s.ApplyStandard, Off: noDoc},
		{ID: "score", Title: "Measure the accuracy", Where: "Rewrites", Run: w.score, Off: noDoc},
		{ID: "profile", Title: "Profile on this computer", Where: "Profile", Keys: "Ctrl+R", Run: w.profile, Off: noDoc},
		{ID: "primary", Title: "The filled button of this screen", Where: "Window", Keys: "Ctrl+Return", Run: w.primary},
		{ID: "connect", Title: "Connect a board", Where: "Boards", Run: func() { s.Show("boards") }},
		{ID: "goal", Title: "Set a limit", Where: "Goal bar", Keys: "Ctrl+G", Run: w.goals.edit, Off: noDoc},
		{ID: "find", Title: "Find", Where: "Window", Keys: "Ctrl+F", Run: w.find},
		{ID: "panel", Title: "Jobs, log and problems", Where: "Window", Keys: "Ctrl+J", Run: w.bottom.toggle},
		{ID: "palette", Title: "All commands", Where: "Window", Keys: "Ctrl+Shift+P", Run: w.openPalette},
		{ID: "quick", Title: "Open a recent model", Where: "File", Keys: "Ctrl+P", Run: w.openQuick},
		{ID: "language", Title: "中文 / English", Where: "Window", Keys: "Ctrl+L", Run: w.switchLanguage},
		{ID: "theme", Title: "Dark or light", Where: "Window", Keys: "Ctrl+Shift+L", Run: func() { s.SetDark(!w.state.Settings.Dark) }},
		{ID: "help", Title: "Keys", Where: "Help", Keys: "F1", Run: w.help},
	}
	for i, r := range routes() {
		list = append(list, kit.Action{ID: "screen-" + r.id, Title: r.title, Where: "Screen", Keys: "Ctrl+" + string(rune('1'+i)), Run: func() { s.Show(r.id) }})
	}
	if a, ok := w.screen.(kit.Actor); ok {
		list = append(list, a.Actions()...)
	}
	return list
}

// perform runs a command by its id, unless it does not apply now.
func (w *Window) perform(id string) {
	for _, a := range w.actions() {
		if a.ID == id {
			w.run(a)
			return
		}
	}
}

func (w *Window) run(a kit.Action) {
	if a.Off == nil || !a.Off(w.state) {
		w.u.Safely(a.Run)
	}
}

// bindKeys gives the window the keys of the table. Commands of a screen have single letters, which typed brings.
func (w *Window) bindKeys() {
	for _, a := range w.actions() {
		key, ok := shortcut(a.Keys)
		if !ok {
			continue
		}
		id := a.ID
		w.win.Canvas().AddShortcut(key, func(fyne.Shortcut) {
			if w.win.Canvas().Overlays().Top() == nil { // a dialog is answered first
				w.perform(id)
			}
		})
	}
	w.win.Canvas().SetOnTypedKey(func(e *fyne.KeyEvent) {
		if k, ok := w.screen.(kit.Keyed); ok && k.Key(e) {
			return
		}
		switch e.Name {
		case fyne.KeyF1:
			w.help()
		case fyne.KeyEscape:
			w.escape()
		}
	})
	w.win.Canvas().SetOnTypedRune(func(r rune) {
		if k, ok := w.screen.(kit.Keyed); ok {
			k.Rune(r)
		}
	})
}

// shortcut reads "Ctrl+Shift+P"; keys without a modifier are no shortcuts of the toolkit.
func shortcut(keys string) (fyne.Shortcut, bool) {
	switch keys { // the toolkit has types of its own for these
	case "Ctrl+Z":
		return &fyne.ShortcutUndo{}, true
	case "Ctrl+Y":
		return &fyne.ShortcutRedo{}, true
	}
	parts := strings.Split(keys, "+")
	c := &desktop.CustomShortcut{KeyName: fyne.KeyName(parts[len(parts)-1])}
	for _, p := range parts[:len(parts)-1] {
		switch p {
		case "Ctrl":
			c.Modifier |= fyne.KeyModifierShortcutDefault
		case "Shift":
			c.Modifier |= fyne.KeyModifierShift
		}
	}
	return c, c.Modifier != 0
}
