// Package assets embeds what the window needs besides code: design tokens, icons, a font and the words of other
// languages. It imports nothing of ours and decides nothing.
package assets

import (
	"embed"
	"encoding/json"
)

// Icons holds icons/NAME.svg: one filled path each, so that a theme can recolour them.
//
//go:embed icons/*.svg
var Icons embed.FS

// Tokens is the table of colours, sizes and rules that every painter reads.
//
//go:embed tokens.json
var Tokens []byte

// AppIcon is the picture of the program: icon.svg, whose strokes the toolkit's reader draws wrong, as a PNG.
//
//go:embed icon.png
var AppIcon []byte

// FontCJK has the Chinese characters and the mathematical signs that the toolkit's own font lacks, and no Latin letters.
//
//go:embed fonts/cjk.ttf
var FontCJK []byte

//go:embed i18n/*.json
var words embed.FS

// Words is the table of translations of a language: the key is the English text. English and unknown languages have an
// empty table, so that every text comes out in English.
func Words(lang string) map[string]string {
	out := map[string]string{}
	b, err := words.ReadFile("i18n/" + lang + ".json")
	if err != nil {
		return out
	}
	if err := json.Unmarshal(b, &out); err != nil {
		panic("assets: i18n/" + lang + ".json: " + err.Error()) // embedded: a test reads every file
	}
	return out
}
