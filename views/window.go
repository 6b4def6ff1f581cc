// Package views owns the main window: the frame around the screens, the table of screens, the table of commands, and the
// dialogs that belong to no screen.
//
// It changes nothing itself: it calls methods of app.Studio and shows the states that come back. Start reading at New,
// then at Window.show.
package views

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// Window is the main window.
type Window struct {
	toolkit fyne.App
	studio  *app.Studio
	win     fyne.Window
	bridge  *kit.Bridge
	state   *app.State
	faulty  bool // the last state could not be shown

	// Made anew with each language and appearance.
	u        *kit.UI
	screens  map[string]kit.Screen
	screen   kit.Screen
	shown    string // id of screen
	activity *activityBar
	goals    *goalBar
	bottom   *bottomPanel
	status   *statusLine
	toasts   *toastStack
	tools    *fyne.Container
	centre   *fyne.Container
	frame    *fyne.Container
	dialogs  dialogs
	palette  *palette
}

// New makes the window and shows the studio's states in it from now on.
func New(toolkit fyne.App, s *app.Studio) *Window { return newWindow(toolkit, s, kit.NewBridge()) }

func newWindow(toolkit fyne.App, s *app.Studio, bridge *kit.Bridge) *Window {
	w := &Window{toolkit: toolkit, studio: s, bridge: bridge, state: s.State()}
	w.win = toolkit.NewWindow("Fettle")
	w.win.SetMaster()
	w.win.SetIcon(theme.AppIcon())
	w.win.SetPadded(false)
	w.win.Resize(fyne.NewSize(1440, 900))
	w.win.SetOnDropped(func(_ fyne.Position, files []fyne.URI) {
		if len(files) > 0 {
			w.leave(func() { s.Open(files[0].Path()) })
		}
	})
	w.win.SetCloseIntercept(func() { w.leave(w.quit) })
	w.build()
	w.bridge.OnState(w.showSafely)
	s.Subscribe(w.bridge.Publish)
	return w
}

// Run shows the window until it is closed.
func (w *Window) Run() { w.win.ShowAndRun() }

// Toolkit gives the toolkit's window, for tests and pictures.
func (w *Window) Toolkit() fyne.Window { return w.win }

func (w *Window) quit() {
	w.bridge.Close()
	w.win.SetCloseIntercept(nil)
	w.win.Close()
}

// build makes everything in the language and appearance of the state.
func (w *Window) build() {
	c := w.state.Settings
	w.u = kit.NewUI(w.studio, w.win, w.bridge, c.Language, c.Dark)
	w.u.Do, w.u.Leave = w.perform, w.leave
	w.toolkit.Settings().SetTheme(w.u.Theme)
	w.screens, w.screen, w.shown = map[string]kit.Screen{}, nil, ""
	w.activity = newActivityBar(w.u, w.studio.Show, w.switchLanguage, func() { w.perform("theme") })
	w.goals = newGoalBar(w)
	w.bottom = newBottomPanel(w.u, w.reflow)
	w.status = newStatusLine(w.u)
	w.u.Hint = w.status.hint
	w.toasts = newToastStack(w.u, w.studio.CloseNotice)
	w.tools, w.centre = container.NewStack(), container.NewStack()
	w.palette = nil
	w.frame = container.New(&frameLayout{w: w}, kit.Fill(w.u.Theme.Bg1, w.centre), w.tools, w.goals.object, w.bottom.object, w.activity.object, w.status.object, w.toasts.object)
	w.win.SetContent(w.frame)
	w.bindKeys()
	w.show(w.state)
}

// showSafely reports a bug in showing a state once; reporting it each time would publish the next state that fails.
func (w *Window) showSafely(s *app.State) {
	err := task.Safely("show a state", func() error { w.show(s); return nil })
	if err != nil && !w.faulty {
		w.studio.Report(err)
	}
	w.faulty = err != nil
}

// show brings the window up to a state, on the toolkit's goroutine.
func (w *Window) show(s *app.State) {
	before := w.state
	w.state = s
	if s.Settings.Language != w.u.Lang() || s.Settings.Dark != w.u.Theme.Dark {
		w.build()
		return
	}
	if err := task.Safely("show "+s.Screen, func() error { w.showScreen(s); return nil }); err != nil {
		w.broken(err)
	}
	w.activity.show(s)
	w.goals.show(s)
	w.bottom.show(s)
	w.status.show(s)
	if w.toasts.show(s) {
		w.reflow()
	}
	w.dialogs.show(w, s)
	if before.Doc == nil != (s.Doc == nil) || before.Doc != nil && s.Doc != nil && before.Doc.Name != s.Doc.Name {
		title := "Fettle"
		if s.Doc != nil {
			title = s.Doc.Name + " – Fettle"
		}
		w.win.SetTitle(title)
	}
}

func (w *Window) showScreen(s *app.State) {
	if s.Screen != w.shown || w.screen == nil {
		w.route(s.Screen)
	}
	w.screen.Show(s)
}

// broken shows the error of a screen in its place; the other screens go on, and choosing it again makes it anew.
func (w *Window) broken(err error) {
	delete(w.screens, w.shown)
	w.screen = brokenScreen{kit.Pad(24, 24, 24, 24, container.NewVBox(w.u.ErrorPanel(fail.From(err))))}
	w.centre.Objects, w.tools.Objects = []fyne.CanvasObject{w.screen.Content()}, nil
	w.reflow()
}

type brokenScreen struct{ content fyne.CanvasObject }

// Content is part of kit.Screen.
func (b brokenScreen) Content() fyne.CanvasObject { return b.content }

// Show has nothing to show.
func (b brokenScreen) Show(*app.State) {}

// route puts a screen into the centre; an unknown one falls back to the first.
func (w *Window) route(id string) {
	r := routes()[0]
	for _, x := range routes() {
		if x.id == id {
			r = x
		}
	}
	w.shown = id
	w.win.Canvas().Unfocus() // an entry of the screen that leaves would go on taking the keys, undo among them
	if w.screens[r.id] == nil {
		w.screens[r.id] = r.make(w.u)
	}
	w.screen = w.screens[r.id]
	w.centre.Objects = []fyne.CanvasObject{w.screen.Content()}
	w.tools.Objects = nil
	if t, ok := w.screen.(kit.Toolbar); ok {
		line := kit.Pad(0, theme.Gutter, 0, theme.Gutter, t.Toolbar())
		w.tools.Objects = []fyne.CanvasObject{kit.Fill(w.u.Theme.Bg1, line), underline(w.u)}
	}
	w.reflow()
}

// reflow lays the frame out again.
func (w *Window) reflow() {
	if w.frame != nil {
		w.frame.Refresh()
	}
}

// frameLayout is the frame of the design: activity bar at the left over the full height, goal bar and toolbar on top,
// bottom bar and status line at the foot, toasts over the right foot.
type frameLayout struct{ w *Window }

func (l *frameLayout) Layout(o []fyne.CanvasObject, size fyne.Size) {
	w := l.w
	place := func(i int, x, y, wd, h float32) {
		o[i].Move(fyne.NewPos(x, y))
		o[i].Resize(fyne.NewSize(max(wd, 0), max(h, 0)))
	}
	left := float32(theme.ActivityWidth)
	right := size.Width - left
	tools := float32(0)
	if len(w.tools.Objects) > 0 {
		tools = theme.ToolbarHeight
	}
	foot := w.bottom.height()
	bodyTop := theme.GoalHeight + tools
	place(0, left, bodyTop, right, size.Height-bodyTop-foot-theme.StatusHeight)
	place(1, left, theme.GoalHeight, right, tools)
	place(2, left, 0, right, theme.GoalHeight)
	place(3, left, size.Height-theme.StatusHeight-foot, right, foot)
	place(4, 0, 0, left, size.Height-theme.StatusHeight)
	place(5, 0, size.Height-theme.StatusHeight, size.Width, theme.StatusHeight)
	m := o[6].MinSize()
	place(6, size.Width-m.Width-16, size.Height-theme.StatusHeight-foot-m.Height-12, m.Width, m.Height)
}

func (l *frameLayout) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(1100, 700) }
