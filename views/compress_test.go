package views

import (
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"
)

// choose takes an entry of the list in sight that offers another one too.
func choose(t *testing.T, w *testWindow, offers, entry string) {
	t.Helper()
	for _, l := range inWindow(fyne.CanvasObject(w.frame), func(l *widget.Select) bool {
		return slices.Contains(l.Options, offers) && slices.Contains(l.Options, entry)
	}) {
		l.SetSelected(entry)
		return
	}
	t.Fatalf("no list offers %q and %q", offers, entry)
}

// shown shows states until one is as wanted.
func shown(w *testWindow, is func() bool) {
	for !is() {
		select {
		case f := <-w.posted:
			f()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestCompressInTheWindow does a quantization from the window: try all, measure, compare, a layer in floats, undo. FETTLE_SHOTS keeps pictures of it.
func TestCompressInTheWindow(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: every method of quantization is not tried")
	}
	w, s := newTestWindow(t)
	w.win.Resize(fyne.NewSize(1440, 900))
	s.OpenSample("")
	settled(t, w)
	s.Show("compress")
	settled(t, w)
	shot := func(name string) {
		dir := os.Getenv("FETTLE_SHOTS")
		if dir == "" {
			return
		}
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := png.Encode(f, w.win.Canvas().Capture()); err != nil {
			t.Fatal(err)
		}
	}
	press := func(keys string) {
		for _, a := range w.actions() {
			if a.Keys == keys {
				w.run(a)
			}
		}
	}
	shot("quantize-empty.png")
	press("Ctrl+Return")
	d := settled(t, w).Doc
	if d.Quant == nil || d.Quant.Plan == nil || d.Quantized() == nil || d.Info.FileBytes >= d.BaseInfo.FileBytes/2 {
		t.Fatalf("nothing was quantized: %+v", d.Quant)
	}
	click(t, w, "Measure the layers")
	settled(t, w)
	click(t, w, "Compare the answers")
	d = settled(t, w).Doc
	q := d.Quant
	if len(q.Layers) == 0 || q.NoTime != "" || q.Advice == nil || q.Layers[0].FloatNs == nil || q.Layers[0].Int8Ns == nil || q.Quality == nil || len(q.Answers) == 0 {
		t.Fatalf("%d layers, %d answers, %s", len(q.Layers), len(q.Answers), q.NoTime)
	}
	var origins []string
	for _, o := range q.Layers[2].Origin {
		origins = append(origins, string(o))
	}
	look := func() { // settled selects something of its own
		s.Select(origins, "test")
		shown(w, func() bool { return w.state.Selection.Has(origins) })
	}
	look()
	choose(t, w, "As the others", "float")
	d = settled(t, w).Doc
	if d.LayerType(q.Layers[2].ID) != "float" {
		t.Error("the layer keeps its type")
	}
	click(t, w, "Compare the answers")
	settled(t, w)
	look()
	shot("quantize-dark.png")
	s.SetDark(false)
	s.SetLanguage("zh")
	settled(t, w)
	look()
	shot("quantize-light-zh.png")
	s.SetLanguage("en")
	settled(t, w)
	choose(t, w, "int16", "none") // values as floats: weights alone become smaller, and may have other types
	d = settled(t, w).Doc
	if o, _ := d.QuantOptions(); o["activations"] != "none" || !slices.Contains(d.LayerTypes(), "int3") || d.LayerType(q.Layers[2].ID) != "float" {
		t.Errorf("options %v, types %v", o, d.LayerTypes())
	}
	look()
	choose(t, w, "As the others", "int4")
	if d = settled(t, w).Doc; d.LayerType(q.Layers[2].ID) != "int4" || d.Quantized() == nil || d.Steps[len(d.Steps)-1].Err != nil {
		t.Errorf("a layer in 4 bits: %+v", d.Steps[len(d.Steps)-1].Err)
	}
	file := filepath.Join(t.TempDir(), "recipe.toml")
	s.SaveRecipe(file)
	settled(t, w)
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "quantize") || !strings.Contains(string(b), "=int4") {
		t.Errorf("the recipe is %q, %v", b, err)
	}
	for range 4 {
		press("Ctrl+Z")
	}
	if d = settled(t, w).Doc; d.Model.Hash() != d.Base.Hash() {
		t.Error("undo does not lead back to the opened model")
	}
}
