package theme

import (
	"image/color"
	"strings"

	"fyne.io/fyne/v2"
	fynetheme "fyne.io/fyne/v2/theme"

	"fettle/assets"
)

// Sizes of the window in device-independent pixels, beside those that the toolkit asks for.
const (
	ActivityWidth = 68
	GoalHeight    = 64
	ToolbarHeight = 40
	StatusHeight  = 26
	BottomHeight  = 28
	BottomPanel   = 220
	TreeWidth     = 232
	Inspector     = 324
	Gutter        = 16
	PanelGap      = 10

	Hero    = 24
	Heading = 18
	Title   = 15
	Body    = 13
	Dense   = 12

	RowTree   = 26
	RowTable  = 28
	RowHeader = 24
	RowLedger = 36
	RowJob    = 40
)

// Custom names of the toolkit's theme: every token that Fyne has no name for is served as "fettle.TOKEN".
const (
	SizeTitle fyne.ThemeSizeName = "fettleTitle"
	SizeDense fyne.ThemeSizeName = "fettleDense"
)

// Color is the theme's name of a token, for widgets that take a fyne.ThemeColorName.
func Color(token string) fyne.ThemeColorName { return fyne.ThemeColorName("fettle." + token) }

// Theme is the toolkit's theme made from the tokens.
type Theme struct {
	*Palette
	Dark bool
	Lang string
	file tokenFile
	size map[fyne.ThemeSizeName]float32
	font fyne.Resource
}

var _ fyne.Theme = (*Theme)(nil)

// New is the theme of an appearance and a language, "en" or "zh": Chinese has larger captions and more space
// between lines, and no row changes its height.
func New(dark bool, lang string) *Theme {
	file := readTokens()
	t := &Theme{Palette: file.palette(dark), Dark: dark, Lang: lang, file: file, size: map[fyne.ThemeSizeName]float32{},
		font: fyne.NewStaticResource("cjk.ttf", assets.FontCJK)}
	add := func(m map[string]float32) {
		for k, v := range m {
			t.size[fyne.ThemeSizeName(k)] = v
		}
	}
	add(file.Fyne.Sizes)
	add(file.Fyne.CustomSizes)
	if lang == "zh" {
		add(file.Fyne.SizesZh)
	}
	return t
}

// Color serves the toolkit's names by the table in the tokens, and ours as they are. The variant is ours to choose.
func (t *Theme) Color(name fyne.ThemeColorName, _ fyne.ThemeVariant) color.Color {
	if token, ok := strings.CutPrefix(string(name), "fettle."); ok {
		return t.Token(token)
	}
	if token, ok := t.file.Fyne.Colors[string(name)]; ok {
		return t.Token(token)
	}
	variant := fynetheme.VariantLight
	if t.Dark {
		variant = fynetheme.VariantDark
	}
	return fynetheme.DefaultTheme().Color(name, variant)
}

// Font gives the Chinese face first: it has no Latin letters, so the toolkit falls back to its own Noto Sans for those,
// and takes the signs that Noto Sans lacks from ours. Its space would have the wrong width in a monospaced text.
func (t *Theme) Font(style fyne.TextStyle) fyne.Resource {
	if style.Symbol || style.Monospace {
		return fynetheme.DefaultTheme().Font(style)
	}
	return t.font
}

// Icon leaves the toolkit's own icons alone.
func (t *Theme) Icon(name fyne.ThemeIconName) fyne.Resource {
	return fynetheme.DefaultTheme().Icon(name)
}

// Size serves the tokens.
func (t *Theme) Size(name fyne.ThemeSizeName) float32 {
	if s, ok := t.size[name]; ok {
		return s
	}
	return fynetheme.DefaultTheme().Size(name)
}

// Caption is the size of the smallest text: Chinese characters are not legible under 12.
func (t *Theme) Caption() float32 { return t.size[fynetheme.SizeNameCaptionText] }

// Icon is one of ours in the text colour; it follows the theme. An unknown name is a bug and panics.
func Icon(name string) fyne.Resource { return fynetheme.NewThemedResource(raw(name)) }

// IconIn is one of our icons in the colour of a token.
func IconIn(name, token string) fyne.Resource {
	return fynetheme.NewColoredResource(raw(name), Color(token))
}

func raw(name string) fyne.Resource {
	b, err := assets.Icons.ReadFile("icons/" + name + ".svg")
	if err != nil {
		panic("theme: no icon " + name)
	}
	return fyne.NewStaticResource(name+".svg", b)
}

// AppIcon is the picture of the program.
func AppIcon() fyne.Resource { return fyne.NewStaticResource("fettle.png", assets.AppIcon) }

// SealIcon is the name of the icon of a seal.
func SealIcon(seal string) string {
	switch seal {
	case "green", "amber", "red":
		return "seal-" + seal
	}
	return "seal-none"
}
