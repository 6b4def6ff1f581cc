package kit

import (
	"slices"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		name, text string
		width      int // runes
		want       []string
	}{
		{"words", "one two three", 8, []string{"one two", "three"}},
		{"fits", "one two", 20, []string{"one two"}},
		{"empty", "", 8, []string{""}},
		{"a word that is too long", "abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"line ends stay", "a\nb", 8, []string{"a", "b"}},
		{"Chinese breaks between characters", "量化权重并计算", 4, []string{"量化权重", "并计算"}},
		{"no full stop at the start of a line", "量化权重。好", 4, []string{"量化权", "重。好"}},
		{"no opening bracket at the end of a line", "量化权（重好）", 4, []string{"量化权", "（重好）"}},
		{"Latin words stay whole in Chinese", "用 AVX2 指令", 5, []string{"用", "AVX2", "指令"}},
	} {
		got := wrapText(c.text, func(s string) bool { return len([]rune(s)) <= c.width })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
