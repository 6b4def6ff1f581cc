package views

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/compress"
	"fettle/views/distill"
	"fettle/views/kit"
	"fettle/views/methods"
	"fettle/views/prune"
	"fettle/views/search"
)

// compressTabs are the parts of the screen Compress, in the order of their tabs.
var compressTabs = []struct {
	id, title string
	make      func(*kit.UI) kit.Screen
}{{"prune", "Prune", prune.New}, {"quantize", "Quantize", compress.New}, {"distill", "Distill", distill.New}, {"search", "Search", search.New}, {"methods", "Other methods", methods.New}}

// tabbed is the screen Compress: four screens of which one is in sight. Which one is part of the state.
type tabbed struct {
	u       *kit.UI
	at      int
	parts   []kit.Screen
	state   *app.State
	tabs    *kit.Segmented
	content *fyne.Container
	tools   *fyne.Container
	lines   *fyne.Container
}

func newCompress(u *kit.UI) kit.Screen {
	s := &tabbed{u: u, at: -1, parts: make([]kit.Screen, len(compressTabs)), content: container.NewStack(), lines: container.NewStack()}
	var labels []string
	for _, t := range compressTabs {
		labels = append(labels, u.T(t.title))
	}
	s.tabs = u.NewSegmented(labels, -1, func(i int) { u.Studio.ShowCompress(compressTabs[i].id) })
	s.tools = kit.Cols(12, s.tabs, kit.Flex(s.lines))
	return s
}

// Content is part of kit.Screen.
func (s *tabbed) Content() fyne.CanvasObject { return s.content }

// Toolbar is part of kit.Toolbar.
func (s *tabbed) Toolbar() fyne.CanvasObject { return s.tools }

// Primary is part of kit.Primary.
func (s *tabbed) Primary() {
	if p, ok := s.part().(kit.Primary); ok {
		p.Primary()
	}
}

// Actions is part of kit.Actor: the tabs, and what the one in sight offers.
func (s *tabbed) Actions() []kit.Action {
	out := []kit.Action{
		{ID: "compress.prune", Title: "Prune channels in sight of what they cost", Where: "Compress", Run: func() { s.u.Studio.ShowCompress("prune") }},
		{ID: "compress.quantize", Title: "Quantize in sight of what it costs", Where: "Compress", Run: func() { s.u.Studio.ShowCompress("quantize") }},
		{ID: "compress.distill", Title: "Distill in sight of the loss", Where: "Compress", Run: func() { s.u.Studio.ShowCompress("distill") }},
		{ID: "compress.search", Title: "Search for recipes within limits", Where: "Compress", Run: func() { s.u.Studio.ShowCompress("search") }},
		{ID: "compress.methods", Title: "Stand-ins, low rank, zeros and other methods", Where: "Compress", Run: func() { s.u.Studio.ShowCompress("methods") }},
	}
	if a, ok := s.part().(kit.Actor); ok {
		out = append(out, a.Actions()...)
	}
	return out
}

func (s *tabbed) part() kit.Screen {
	if s.at < 0 {
		return nil
	}
	return s.parts[s.at]
}

// Show is part of kit.Screen.
func (s *tabbed) Show(st *app.State) {
	s.state = st
	at := slices.IndexFunc(compressTabs, func(t struct {
		id, title string
		make      func(*kit.UI) kit.Screen
	}) bool {
		return t.id == st.Compress
	})
	if at < 0 {
		at = 1 // integers: what most people want first
	}
	if at != s.at {
		s.at = at
		s.tabs.Set(at)
		if s.parts[at] == nil {
			s.parts[at] = compressTabs[at].make(s.u)
		}
		s.content.Objects = []fyne.CanvasObject{s.parts[at].Content()}
		s.lines.Objects = nil
		if t, ok := s.parts[at].(kit.Toolbar); ok {
			s.lines.Objects = []fyne.CanvasObject{t.Toolbar()}
		}
		s.content.Refresh()
		s.tools.Refresh()
	}
	s.parts[at].Show(st)
}
