// Package kit owns what all screens share: the UI that they are built with, the bridge from the document loop to the
// toolkit's goroutine, the form of numbers, and the widgets that the toolkit lacks.
//
// It knows no screen and computes nothing about models or runs. Start reading at UI.
package kit

import (
	"fmt"
	"runtime/debug"

	"fyne.io/fyne/v2"

	"fettle/app"
	"fettle/assets"
	"fettle/internal/fail"
	"fettle/views/kit/theme"
)

// UI is what a screen is built with. It is made anew when the language or the appearance changes, and all screens
// with it.
type UI struct {
	Studio *app.Studio
	Window fyne.Window
	Theme  *theme.Theme
	Bridge *Bridge
	Do     func(command string) // runs a command of the shortcuts table by its id
	Leave  func(do func())      // asks before unsaved rewrites are lost, then does it
	Hint   func(text string)    // says what is under the pointer; "" for nothing
	words  map[string]string

	phrases *Phrases // made on first use
}

// NewUI makes the UI of a language and an appearance.
func NewUI(s *app.Studio, w fyne.Window, b *Bridge, lang string, dark bool) *UI {
	return &UI{Studio: s, Window: w, Bridge: b, Theme: theme.New(dark, lang), words: assets.Words(lang), Do: func(string) {}, Leave: func(do func()) { do() }, Hint: func(string) {}}
}

// T translates a text; the key is the English text, which is also what an unknown key gives.
func (u *UI) T(key string) string {
	if t, ok := u.words[key]; ok {
		return t
	}
	return key
}

// F translates a format and fills it in. A translation uses explicit argument indexes where its order differs.
func (u *UI) F(key string, args ...any) string { return fmt.Sprintf(u.T(key), args...) }

// Safely runs what a tap or a key started: a bug in it is shown as an error, and the window lives on.
func (u *UI) Safely(f func()) {
	defer func() {
		if r := recover(); r != nil {
			u.Studio.Report(&fail.Error{Kind: fail.Internal, What: u.T("show the window"), Why: fmt.Sprint("a bug in the window: ", r),
				Fix: "please report it with the steps that led here", Err: fmt.Errorf("%v\n%s", r, debug.Stack())})
		}
	}()
	f()
}

// Lang is the language of the window.
func (u *UI) Lang() string { return u.Theme.Lang }

// Screen is one centre of the window. Content is built once; Show brings it up to a state, on the toolkit's goroutine,
// and redraws only what differs from the state before.
type Screen interface {
	Content() fyne.CanvasObject
	Show(s *app.State)
}

// Toolbar is a screen with a line of its own tools under the goal bar.
type Toolbar interface {
	Toolbar() fyne.CanvasObject
}

// Keyed is a screen with single-letter keys; they reach it only while no entry has the focus. It reports whether it
// used the key.
type Keyed interface {
	Key(e *fyne.KeyEvent) bool
	Rune(r rune) bool
}

// Finder is a screen with something to search: Ctrl+F.
type Finder interface {
	Find()
}

// Action is a command: a line of the palette, an entry of the help, a key.
type Action struct {
	ID    string
	Title string // English; a key of the translations
	Where string // the screen or area it belongs to, for the palette
	Keys  string // as shown: "Ctrl+Shift+P"; "" for none
	Run   func()
	Off   func(s *app.State) bool // nil: always available
}

// Actor is a screen with commands of its own, shown in the palette.
type Actor interface {
	Actions() []Action
}

// Primary is a screen with a next sensible step: its one filled button, also Ctrl+Enter.
type Primary interface {
	Primary()
}
