package canvas

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"fettle/views/kit"
	"fettle/views/kit/theme"
)

const crumbsWidth = 160

// toolbar is the line under the goal bar: where one is, which graph, which colours, search.
type toolbar struct {
	s      *screen
	row    fyne.CanvasObject
	crumbs *fyne.Container
	path   []string // as shown
	modes  *kit.Segmented
	lenses *kit.Segmented
	search *searchEntry
	count  *kit.Line
	hits   []int32
	hit    int
}

func newToolbar(s *screen) *toolbar {
	u := s.u
	b := &toolbar{s: s, crumbs: kit.Cols(6), hit: -1}
	b.modes = u.NewSegmented([]string{u.T("Original"), u.T("Rewritten"), u.T("Executed")}, 0, func(i int) { s.setMode(mode(i)) })
	var names []string
	for _, n := range lensNames {
		names = append(names, u.T(n))
	}
	b.lenses = u.NewSegmented(names, 0, func(i int) { s.setLens(lens(i)) })
	b.search = newSearchEntry()
	b.search.SetPlaceHolder(u.T("Find a layer"))
	b.search.OnChanged = func(string) { b.find() }
	b.search.step = b.step
	b.count = u.Caption("").Whole()
	next := u.NewButton(kit.Ghost, "chevron-down", "", func() { b.step(1) }).Small()
	clear := u.NewButton(kit.Ghost, "close", "", func() { b.search.SetText("") }).Small()
	b.row = kit.Cols(8, kit.Fixed(crumbsWidth, 0, b.crumbs), b.modes, u.Caption(u.T("Colour")).Whole(), b.lenses, kit.Gap(),
		kit.Icon("search", "text3", 16), kit.Fixed(130, 28, b.search), kit.AtLeast(44, 0, b.count), kit.Cols(0, next, clear))
	return b
}

// update follows the screen's mode, lens and selection.
func (b *toolbar) update() {
	s := b.s
	b.modes.Set(int(s.mode))
	b.lenses.Set(int(s.lens))
	has := s.state != nil && s.state.Doc != nil
	b.modes.SetOff(int(original), !has)
	b.modes.SetOff(int(rewritten), !has || s.state.Doc.Model == s.state.Doc.Base)
	b.modes.SetOff(int(executed), !has || s.executedRun() == nil)
	b.showPath()
}

// showPath writes the breadcrumb: the model, then the groups around what is selected.
func (b *toolbar) showPath() {
	s := b.s
	var path []string
	var groups []int32
	if s.state != nil && s.state.Doc != nil {
		path = []string{s.state.Doc.Name}
		if s.d != nil {
			groups = crumbs(s.d.tree, s.chosen)
			for _, g := range groups {
				path = append(path, s.d.tree.Groups[g].Title)
			}
		}
	}
	if slices.Equal(path, b.path) {
		return
	}
	b.path = path
	b.crumbs.Objects = nil
	if len(path) > 2 { // the goal bar names the model already
		path = path[len(path)-2:]
	}
	for i, p := range path {
		if i > 0 {
			b.crumbs.Add(kit.Icon("chevron-right", "text3", 12))
		}
		if i == len(path)-1 {
			b.crumbs.Add(kit.Flex(s.u.Strong(p)))
		} else {
			b.crumbs.Add(s.u.Soft(kit.Cut(p, 70, theme.Dense, fyne.TextStyle{})).Whole())
		}
	}
	b.crumbs.Refresh()
}

// find searches anew after the text changed, and goes to the first hit.
func (b *toolbar) find() {
	s := b.s
	b.hits, b.hit = nil, -1
	if s.d == nil {
		return
	}
	b.hits = s.d.hits(b.search.Text)
	if len(b.hits) > 0 {
		b.hit = 0
	}
	s.graph.Search(b.hits, b.hit)
	b.showCount()
}

// research keeps the marks of a search when the graph behind it changes; the camera stays.
func (b *toolbar) research() {
	b.hits, b.hit = b.s.d.hits(b.search.Text), -1
	b.s.graph.Search(b.hits, b.hit)
	b.showCount()
}

// step goes to the next or previous hit and selects it.
func (b *toolbar) step(by int) {
	n := len(b.hits)
	if n == 0 {
		return
	}
	if b.hit < 0 && by < 0 {
		b.hit = 0
	}
	b.hit = ((b.hit+by)%n + n) % n
	b.s.graph.Search(b.hits, b.hit)
	b.s.graph.Select([]int32{b.hits[b.hit]}, false)
	b.s.userSelected([]int32{b.hits[b.hit]})
	b.showCount()
}

func (b *toolbar) showCount() {
	u := b.s.u
	switch {
	case b.search.Text == "":
		b.count.Set("", u.Theme.Text3)
	case len(b.hits) == 0:
		b.count.Set(u.T("no hit"), u.Theme.Warning)
	case b.hit < 0:
		b.count.Set(kit.Count(int64(len(b.hits))), u.Theme.Text3)
	default:
		b.count.Set(kit.Count(int64(b.hit+1))+" / "+kit.Count(int64(len(b.hits))), u.Theme.Text3)
	}
}

// searchEntry gives Enter and Shift+Enter to the search, and Escape clears it.
type searchEntry struct {
	widget.Entry
	step func(by int)
}

func newSearchEntry() *searchEntry {
	e := &searchEntry{}
	e.ExtendBaseWidget(e)
	return e
}

// TypedKey is part of fyne.Focusable.
func (e *searchEntry) TypedKey(k *fyne.KeyEvent) {
	switch k.Name {
	case fyne.KeyReturn, fyne.KeyEnter:
		by := 1
		if d, ok := fyne.CurrentApp().Driver().(desktop.Driver); ok && d.CurrentKeyModifiers()&fyne.KeyModifierShift != 0 {
			by = -1
		}
		e.step(by)
	case fyne.KeyEscape:
		e.SetText("")
	default:
		e.Entry.TypedKey(k)
	}
}
