package app

import "testing"

// The screen that was asked for at the start wins over the one that opening a model leads to, once.
func TestShowFirst(t *testing.T) {
	s := studio(t)
	s.ShowFirst("boards")
	s.OpenSample("")
	if st := idle(t, s); st.Doc == nil || st.Screen != "boards" {
		t.Errorf("the first model leads to %q", st.Screen)
	}
	openSample(t, s)
	if st := idle(t, s); st.Screen != "model" {
		t.Errorf("the second model leads to %q", st.Screen)
	}
}
