package theme

import (
	"image/color"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	fynetheme "fyne.io/fyne/v2/theme"

	"fettle/assets"
)

// TestPaletteIsComplete holds the struct to the tokens: a token without a field could not be painted.
func TestPaletteIsComplete(t *testing.T) {
	fields := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(Palette{})) {
		fields[tokenName(f.Name)] = true
	}
	for _, look := range []string{"dark", "light"} {
		for token := range readTokens().Color[look] {
			if !fields[token] {
				t.Errorf("%s: token %s has no field", look, token)
			}
		}
	}
}

// TestContrast checks what the design promises: text 4.5:1 and marks 3:1 on every background.
func TestContrast(t *testing.T) {
	for _, dark := range []bool{true, false} {
		p := Colors(dark)
		for _, bg := range []color.NRGBA{p.Bg0, p.Bg1, p.Bg2, p.Bg3} {
			for name, c := range map[string]color.NRGBA{"text1": p.Text1, "text2": p.Text2, "text3": p.Text3, "primary": p.Primary,
				"success": p.Success, "warning": p.Warning, "danger": p.Danger} {
				if r := contrast(c, bg); r < 4.5 {
					t.Errorf("dark %v: %s on %v is %.2f:1", dark, name, bg, r)
				}
			}
			if r := contrast(p.Line3, bg); r < 3 {
				t.Errorf("dark %v: line3 on %v is %.2f:1", dark, bg, r)
			}
		}
	}
}

func contrast(a, b color.NRGBA) float64 {
	x, y := luminance(a), luminance(b)
	return (math.Max(x, y) + 0.05) / (math.Min(x, y) + 0.05)
}

func luminance(c color.NRGBA) float64 {
	f := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*f(c.R) + 0.7152*f(c.G) + 0.0722*f(c.B)
}

// TestMapping: each name of the table in the design comes from its token, in both appearances.
func TestMapping(t *testing.T) {
	for _, dark := range []bool{true, false} {
		th := New(dark, "en")
		for name, want := range map[fyne.ThemeColorName]color.NRGBA{
			fynetheme.ColorNameBackground: th.Bg1, fynetheme.ColorNameButton: th.Bg3, fynetheme.ColorNameForeground: th.Text1,
			fynetheme.ColorNamePlaceHolder: th.Text3, fynetheme.ColorNameError: th.Danger, fynetheme.ColorNameInputBorder: th.Line3,
			fynetheme.ColorNameForegroundOnPrimary: th.OnPrimary, Color("runB"): th.RunB, Color("text2"): th.Text2,
		} {
			if got := th.Color(name, fynetheme.VariantDark); got != want {
				t.Errorf("dark %v: %s is %v, want %v", dark, name, got, want)
			}
		}
	}
	if s := New(true, "en").Size(fynetheme.SizeNameCaptionText); s != 11 {
		t.Errorf("caption is %v", s)
	}
	if s := New(true, "zh").Size(fynetheme.SizeNameCaptionText); s != 12 {
		t.Errorf("Chinese caption is %v", s)
	}
	if New(true, "en").Size(SizeTitle) != 15 || New(true, "en").Size(fynetheme.SizeNameText) != 13 {
		t.Error("sizes do not come from the tokens")
	}
}

// TestIcons: the toolkit recolours only fills, so an icon with a stroke would stay black.
func TestIcons(t *testing.T) {
	files, err := fs.Glob(assets.Icons, "icons/*.svg")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d icons, %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(f, "icons/"), ".svg")
		if b := string(raw(name).Content()); strings.Contains(b, "stroke") {
			t.Errorf("%s has a stroke", name)
		}
	}
}

func TestHeat(t *testing.T) {
	p := Colors(true)
	for _, c := range []struct {
		t    float64
		want color.NRGBA
	}{{math.NaN(), p.Heat[0]}, {-1, p.Heat[0]}, {0, p.Heat[0]}, {1, p.Heat[9]}, {7, p.Heat[9]}, {1.0 / 9, p.Heat[1]}} {
		if got := p.HeatAt(c.t); got != c.want {
			t.Errorf("heat at %v is %v, want %v", c.t, got, c.want)
		}
	}
}
