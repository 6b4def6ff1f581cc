package boards

import (
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/remote/board"
	"fettle/remote/deploy"
	"fettle/remote/wire"
	"fettle/views/kit"
	"fettle/views/kit/fake"
)

func (s *spy) FixBoard(n, fix string) { s.asked = append(s.asked, "fix "+n+" "+fix) }
func (s *spy) MeasureBoard(n string)  { s.asked = append(s.asked, "measure "+n) }
func (s *spy) AskAccess(n string)     { s.asked = append(s.asked, "access "+n) }
func (s *spy) TakeBoard(n string)     { s.asked = append(s.asked, "take "+n) }
func (s *spy) MeasureNoise(n string)  { s.asked = append(s.asked, "noise "+n) }
func (s *spy) RequestBoard(n string)  { s.asked = append(s.asked, "request "+n) }
func (s *spy) TrustKey(n, k string, d bool) {
	s.asked = append(s.asked, fmt.Sprint("trust ", n, " ", k, " ", d))
}

// find gives the objects under root that are wanted, in order.
func find[T fyne.CanvasObject](root fyne.CanvasObject, want func(T) bool) (out []T) {
	if x, ok := root.(T); ok && want(x) {
		out = append(out, x)
	}
	switch o := root.(type) {
	case *fyne.Container:
		for _, c := range o.Objects {
			out = append(out, find(c, want)...)
		}
	case fyne.Widget:
		for _, c := range test.WidgetRenderer(o).Objects() {
			out = append(out, find(c, want)...)
		}
	}
	return out
}

func tap(t *testing.T, s *screen, label string) {
	t.Helper()
	all := find(s.Content(), func(b *kit.Button) bool { return b.Label() == label })
	if len(all) == 0 || all[0].Off() {
		t.Fatalf("no button %q that works (%d)", label, len(all))
	}
	test.Tap(all[0])
}

// used is a hot board that was pinned before, on which somebody measures.
func used() *app.State {
	st := fake.State()
	f := fake.Facts()
	hot, yes := 84.5, true
	f.Governor, f.TemperatureC, f.Throttled = "ondemand", &hot, &yes
	f.Caches = []board.Cache{{Level: 1, Kind: "Data", Bytes: 32 << 10}, {Level: 2, Kind: "Unified", Bytes: 1 << 20}}
	f.Sensors = []board.Sensor{{Chip: "ina219", Name: "power1", Watts: 4.31, Kind: "power"}}
	f.Libraries = []board.Library{{Name: "ncnn", Version: "20240102", Soname: "libncnn.so.1"}}
	f.Memory = &board.MemorySpeed{ReadBps: 3.9e9, CopyBps: 4.4e9, Cores: 4}
	f.Storage = &board.Storage{WriteBps: 18.2e6, ReadBps: 43e6, FlushNs: 6e6}
	f.Clock = &board.Clock{AheadNs: -12e6, WithinNs: 3e6}
	b := *st.Board("lab-pi4")
	b.Facts = f
	b.Fixes = []app.FixRecord{{Unix: 1790000000, Target: "lab-pi4", Fixed: deploy.Fixed{Fix: deploy.FixPin, Before: "ondemand", After: "performance", Undo: deploy.FixRestore}},
		{Unix: 1789990000, Target: "lab-pi4", Fixed: deploy.Fixed{Fix: deploy.FixCool, Before: "84.5 C", After: "61.0 C"}, Failed: "after 10m it still has 61.0 C, 55 were wanted"}}
	p50 := 61e6
	b.First = &app.First{AddNs: 3.1e9, KeyNs: 1.2e9, ProfileNs: 6.6e9, TotalNs: 10.9e9, P50Ns: &p50}
	b.Noise = &app.NoiseFloor{Floor: .013, Pairs: 8, Runs: 100}
	b.Access = &app.Access{Lease: wire.Lease{Epoch: 4, Holder: "eve@desk", ForS: 42, Held: true}, Own: "ed25519:AAAAmine", Keys: []string{"ed25519:AAAAmine", "ed25519:BBBBtheirsBBBBBBBBBBBBBBBBBB"}}
	for i := range st.Boards {
		if st.Boards[i].Name == b.Name {
			st.Boards[i] = &b
		}
	}
	return st
}

// TestBoardButtons taps what mends a board, measures it, asks for it and says whose models it takes.
func TestBoardButtons(t *testing.T) {
	s, do, _ := open(t, true, "en")
	s.Show(used())
	s.choose("lab-pi4")
	for _, label := range []string{"Pin the clock", "Wait until it is cool", "Restore the clock", "Measure memory and storage", "Ask the board", "Ask for the board", "Measure the noise"} {
		tap(t, s, label)
	}
	key := find(s.Content(), func(e *widget.Entry) bool { return e.PlaceHolder == "ed25519:…" })
	if len(key) != 1 {
		t.Fatal("no place for a key")
	}
	key[0].SetText(" ed25519:CCCC ")
	tap(t, s, "Take theirs too")
	want := []string{"fix lab-pi4 pin-clock", "fix lab-pi4 cool-down", "fix lab-pi4 restore-clock", "measure lab-pi4", "access lab-pi4", "request lab-pi4", "noise lab-pi4", "trust lab-pi4 ed25519:CCCC false"}
	if fmt.Sprint(do.asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", do.asked, want)
	}
	if b := find(s.Content(), func(b *kit.Button) bool { return b.Label() == "Take it" }); len(b) != 1 || b[0].Off() {
		t.Error("a board on which somebody measures cannot be taken")
	}
	for _, want := range []string{"eve@desk measures", "from nothing to the first profile", "10.9 s"} {
		if l := find(s.Content(), func(l *kit.Line) bool { return strings.Contains(l.Text(), want) }); len(l) == 0 {
			t.Errorf("nothing says %q", want)
		}
	}
	// control: on a board at rest there is nothing to mend
	s.Show(fake.State())
	s.choose("lab-pi4")
	if b := find(s.Content(), func(b *kit.Button) bool { return b.Label() == "Pin the clock" }); len(b) > 0 {
		t.Error("a board at rest wants its clock pinned")
	}
	s.setAdding(true)
	s.form.address.SetText("pi@new")
	s.form.install.SetChecked(true)
	s.form.measure.SetChecked(true)
	test.Tap(s.form.connect)
	if len(do.added) != 1 || !do.added[0].InstallKey || !do.added[0].Measure {
		t.Errorf("sent %+v", do.added)
	}
}

// TestAccessPictures paints for eyes: FETTLE_PICTURES names the folder.
func TestAccessPictures(t *testing.T) {
	dir := os.Getenv("FETTLE_PICTURES")
	if dir == "" {
		t.Skip("FETTLE_PICTURES is not set")
	}
	for _, c := range []struct {
		lang string
		dark bool
	}{{"en", true}, {"en", false}, {"zh", true}, {"zh", false}} {
		s, _, w := open(t, c.dark, c.lang)
		s.Show(used())
		s.choose("lab-pi4")
		w.Resize(fyne.NewSize(1372, 1300))
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("boards-used-%s-%v.png", c.lang, c.dark)))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, w.Canvas().Capture()); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
