package views

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"fyne.io/fyne/v2"

	"fettle/app"
)

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
	shot("window-empty.png")
	press("Ctrl+Return")
	d := settled(t, w).Doc
	if d.Quant == nil || d.Quant.Plan == nil || d.Quantized() == nil || d.Info.FileBytes >= d.BaseInfo.FileBytes/2 {
		t.Fatalf("nothing was quantized: %+v", d.Quant)
	}
	s.MeasureLayers(app.LocalTarget)
	s.CheckQuantized()
	d = settled(t, w).Doc
	q := d.Quant
	if len(q.Layers) == 0 || q.NoTime != "" || q.Advice == nil || q.Layers[0].FloatNs == nil || q.Layers[0].Int8Ns == nil || q.Quality == nil || len(q.Answers) == 0 {
		t.Fatalf("%d layers, %d answers, %s", len(q.Layers), len(q.Answers), q.NoTime)
	}
	var origins []string
	for _, o := range q.Layers[2].Origin {
		origins = append(origins, string(o))
	}
	s.Select(origins, "test")
	s.SetLayerType(q.Layers[2].ID, "float")
	d = settled(t, w).Doc
	if d.LayerType(q.Layers[2].ID) != "float" {
		t.Error("the layer keeps its type")
	}
	s.CheckQuantized()
	s.Select(origins, "test")
	settled(t, w)
	s.Select(origins, "test")
	shot("window-dark.png")
	s.SetDark(false)
	s.SetLanguage("zh")
	settled(t, w)
	shot("window-light-zh.png")
	press("Ctrl+Z")
	press("Ctrl+Z")
	if d = settled(t, w).Doc; d.Model.Hash() != d.Base.Hash() {
		t.Error("undo does not lead back to the opened model")
	}
}
