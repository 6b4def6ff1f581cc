package app

import (
	"slices"
)

// Show changes the screen.
func (s *Studio) Show(screen string) {
	s.edit(func(st *State) { st.Screen = screen })
}

// ShowFirst shows a screen, and shows it again once the first model is open: opening one leads to the screen Model otherwise.
func (s *Studio) ShowFirst(screen string) {
	s.edit(func(st *State) { st.Screen, s.first = screen, screen })
}

// landing is the screen that opening a model leads to.
func (s *Studio) landing() string {
	screen := "model"
	if s.first != "" {
		screen, s.first = s.first, ""
	}
	return screen
}

// ShowCompress changes to a part of the screen Compress: prune, quantize, distill or search.
func (s *Studio) ShowCompress(part string) {
	s.edit(func(st *State) { st.Screen, st.Compress = "compress", part })
}

// Select selects imported nodes everywhere; from names who did, so that a view does not scroll under the pointer.
func (s *Studio) Select(origins []string, from string) {
	origins = slices.Clone(origins)
	s.edit(func(st *State) {
		if !slices.Equal(st.Selection.Origins, origins) {
			st.Selection = Selection{Origins: origins, From: from}
		}
	})
}

// SetLanguage chooses the language of the window: "en" or "zh".
func (s *Studio) SetLanguage(lang string) {
	s.settings(func(c *Settings) { c.Language = lang })
}

// SetDark chooses the appearance.
func (s *Studio) SetDark(dark bool) {
	s.settings(func(c *Settings) { c.Dark = dark })
}

// SetThreads chooses how many threads a run uses.
func (s *Studio) SetThreads(n int) {
	s.settings(func(c *Settings) { c.Threads = min(max(n, 1), 64) })
}

func (s *Studio) settings(change func(*Settings)) {
	s.edit(func(st *State) {
		change(&st.Settings)
		if err := s.app.saveSettings(st.Settings); err != nil {
			s.notify(st, err)
		}
	})
}

// ForgetRecent takes a model out of the list on the start screen.
func (s *Studio) ForgetRecent(path string) {
	s.edit(func(st *State) {
		list, err := s.app.forget(path)
		if err != nil {
			s.notify(st, err)
			return
		}
		st.Recent = list
	})
}
