package boards

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/internal/fail"
	"fettle/views/kit"
	"fettle/views/kit/fake"
)

// spy records what the screen asks for.
type spy struct {
	added     []app.AddBoardForm
	connected []string
	forgot    string
	removed   bool
	shown     string
	asked     []string
}

func (s *spy) AddBoard(f app.AddBoardForm)      { s.added = append(s.added, f) }
func (s *spy) Connect(n string)                 { s.connected = append(s.connected, n) }
func (s *spy) ForgetBoard(n string, agent bool) { s.forgot, s.removed = n, agent }
func (s *spy) Show(screen string)               { s.shown = screen }

func open(t *testing.T, dark bool, lang string) (*screen, *spy, fyne.Window) {
	a := test.NewTempApp(t)
	w := test.NewTempWindow(t, nil)
	u := kit.NewUI(nil, w, kit.NewDirectBridge(), lang, dark)
	a.Settings().SetTheme(u.Theme)
	do := &spy{}
	s := newScreen(u, do)
	w.SetPadded(false)
	w.SetContent(kit.Fill(u.Theme.Bg1, s.Content()))
	w.Resize(fyne.NewSize(1372, 752))
	return s, do, w
}

// This computer is asked once by itself, never again while it does not answer.
func TestAsksThisComputerOnce(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := &app.State{Boards: []*app.Board{{Name: "local", Local: true}}}
	s.Show(st)
	s.Show(st)
	if len(do.connected) != 1 || do.connected[0] != "local" {
		t.Errorf("asked %v", do.connected)
	}
}

func TestCardsAreKept(t *testing.T) {
	s, _, _ := open(t, true, "en")
	st := fake.State()
	s.Show(st)
	before := append([]fyne.CanvasObject(nil), s.list.Objects...)
	next := *st
	next.Boards = append([]*app.Board(nil), st.Boards...)
	changed := *st.Boards[1]
	changed.Busy = true
	next.Boards[1] = &changed
	s.Show(&next)
	for i := range before {
		if same := before[i] == s.list.Objects[i]; same == (i == 1) {
			t.Errorf("card %d kept: %v; only card 1 changed", i, same)
		}
	}
}

func TestAddForm(t *testing.T) {
	s, do, w := open(t, true, "en")
	s.Show(fake.State())
	test.Tap(s.add)
	f := s.form
	test.Tap(f.connect)
	if len(do.added) != 0 || f.wrong["address"].Text() == "" {
		t.Fatalf("an empty form was sent, or nothing is said: %v", do.added)
	}
	w.Canvas().Focus(f.address)
	test.Type(f.address, "pi@raspberrypi.local:2222")
	if f.name.Text != "raspberrypi" || f.wrong["address"].Text() != "" {
		t.Errorf("name %q, complaint %q", f.name.Text, f.wrong["address"].Text())
	}
	f.password.SetText("secret")
	test.Tap(f.connect)
	if len(do.added) != 1 || do.added[0] != (app.AddBoardForm{Name: "raspberrypi", Address: "pi@raspberrypi.local:2222", Password: "secret"}) {
		t.Fatalf("sent %+v", do.added)
	}
	st := fake.State()
	st.Jobs = []*app.Job{{ID: 3, Title: "Connect a board", Started: time.Now(), Ended: time.Now(), Err: fail.New(fail.Denied, "the board refused the password").Doing("log in")}}
	s.Show(st)
	if len(f.failed.Objects) != 1 {
		t.Error("the error does not stand beside the form")
	}
	next := *st
	next.Boards = append(append([]*app.Board(nil), st.Boards...), &app.Board{Name: "raspberrypi", Facts: fake.Facts(), Connected: true})
	s.Show(&next)
	if s.adding || s.chosen != "raspberrypi" {
		t.Errorf("after the board is there: adding %v, chosen %q", s.adding, s.chosen)
	}
}

func TestChoose(t *testing.T) {
	s, _, _ := open(t, true, "en")
	st := fake.State()
	s.Show(st)
	test.Tap(s.cards[st.Boards[4]].tap)
	if s.detail != st.Boards[4] {
		t.Errorf("tap on gate-07 shows %+v", s.detail)
	}
}

// Every finding of a check-up, its name and its fix have Chinese words.
func TestFindingsInChinese(t *testing.T) {
	s, _, _ := open(t, false, "zh")
	silent, hot := &app.TargetFacts{StorageFree: -1}, fake.Facts()
	v, yes, no, few := 81.0, true, false, int64(1<<20)
	hot.Governor, hot.TemperatureC, hot.Throttled, hot.Undervoltage, hot.Load, hot.MemoryFree, hot.StorageFree = "ondemand", &v, &yes, &yes, &v, &few, 1<<20
	hot.Hz[0] = 600000000
	cool := fake.Facts()
	cool.Undervoltage = &no
	for _, f := range []*app.TargetFacts{silent, hot, cool} {
		for _, x := range app.BoardFindings(f) {
			for _, text := range []string{x.Name, x.Why, x.Fix} {
				data := x.Name == "temperature" && text == x.Why || x.Name == "runtime fettle" && text == x.Why || strings.HasPrefix(text, "sudo ")
				if got := s.say.Say(text); got == text && text != "" && !data {
					t.Errorf("%s: %q has no Chinese words", x.Name, text)
				}
			}
		}
	}
}

// The smallest window is 1100 x 700: what the frame leaves of it must be enough.
func TestFitsTheSmallestWindow(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		s, _, _ := open(t, true, lang)
		s.Show(fake.State())
		if m := s.Content().MinSize(); m.Width > 1100-68 || m.Height > 700-64-40-28-26 {
			t.Errorf("%s: needs %v", lang, m)
		}
	}
}

// TestPictures paints the screen for eyes: FETTLE_PICTURES names the folder.
func TestPictures(t *testing.T) {
	dir := os.Getenv("FETTLE_PICTURES")
	if dir == "" {
		t.Skip("FETTLE_PICTURES is not set")
	}
	for _, c := range []struct {
		name, lang string
		dark       bool
		do         func(*screen, *app.State)
	}{
		{"boards-light-zh", "zh", false, func(s *screen, st *app.State) { s.choose("rk3588-a") }},
		{"boards-dark", "en", true, func(s *screen, st *app.State) { s.choose("gate-07") }},
		{"boards-add-dark", "en", true, func(s *screen, st *app.State) {
			s.setAdding(true)
			s.form.address.SetText("pi@rasp berry")
			s.form.send()
		}},
	} {
		s, _, w := open(t, c.dark, c.lang)
		st := fake.State()
		s.Show(st)
		c.do(s, st)
		f, err := os.Create(filepath.Join(dir, c.name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, w.Canvas().Capture()); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
