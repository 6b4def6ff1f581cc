package theme

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	fynetheme "fyne.io/fyne/v2/theme"
	"golang.org/x/image/font/sfnt"

	"fettle/assets"
)

// The toolkit puts each face of a line on its own base line and measures by the first: only with equal metrics do Latin
// letters and Chinese characters stand on one line, and are descenders not cut.
func TestFacesShareABaseLine(t *testing.T) {
	test.NewTempApp(t)
	metrics := func(b []byte) (ascent, descent float64) {
		f, err := sfnt.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		var buf sfnt.Buffer
		m, err := f.Metrics(&buf, 1000<<6, 0)
		if err != nil {
			t.Fatal(err)
		}
		return float64(m.Ascent) / 64, float64(m.Descent) / 64
	}
	a, d := metrics(fynetheme.DefaultTheme().Font(fyne.TextStyle{}).Content())
	ca, cd := metrics(assets.FontCJK)
	if diff := max(a-ca, ca-a, d-cd, cd-d); diff > 1 {
		t.Errorf("Noto Sans rises %.0f and falls %.0f of 1000, the Chinese face %.0f and %.0f", a, d, ca, cd)
	}
}
