package deploy

import (
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/internal/fail"
	"fettle/views/kit"
	"fettle/views/kit/fake"
	"fettle/views/kit/plot"
)

// spy records what the screen asks for.
type spy struct {
	deployed, back, removed, asked []string
	canceled                       int64
	shown                          string
	form                           app.DeployForm
	kept                           []string
}

func (s *spy) DeployAs(b, n string, f app.DeployForm) {
	s.deployed, s.form = append(s.deployed, b+" "+n), f
}
func (s *spy) KeepRunning(b, n string, on bool) {
	s.kept = append(s.kept, fmt.Sprint(b, " ", n, " ", on))
}
func (s *spy) AskAccess(b string)           { s.kept = append(s.kept, "ask "+b) }
func (s *spy) Rollback(b, n string)         { s.back = append(s.back, b+" "+n) }
func (s *spy) RemoveDeployment(b, n string) { s.removed = append(s.removed, b+" "+n) }
func (s *spy) RefreshDeployments(b string)  { s.asked = append(s.asked, b) }
func (s *spy) CancelJob(id int64)           { s.canceled = id }
func (s *spy) Show(screen string)           { s.shown = screen }

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

func state() *app.State {
	st := fake.State()
	st.Screen = "deploy"
	st.Doc = &app.Doc{ID: 5, Name: "resnet50.onnx", SHA256: "9f3c71aa04be55d2c4e1", Info: &app.Inspection{WeightBytes: 25500000, FileBytes: 25700000}}
	return st
}

func TestDeployButton(t *testing.T) {
	s, do, _ := open(t, true, "en")
	s.Show(state())
	if s.name.Text != "resnet50" || s.board() != "lab-pi4" {
		t.Errorf("proposed %q on %q", s.name.Text, s.board())
	}
	s.name.SetText("a/b")
	test.Tap(s.start)
	if len(do.deployed) != 0 || s.wrong.Text() == "" {
		t.Error("a bad name was sent, or nothing is said")
	}
	s.name.SetText("front-door")
	test.Tap(s.start)
	if len(do.deployed) != 1 || do.deployed[0] != "lab-pi4 front-door" {
		t.Errorf("asked for %v", do.deployed)
	}
}

func TestFollowsTheJob(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := state()
	st.Jobs = []*app.Job{{ID: 9, Title: "Deploy", Detail: "resnet50 → lab-pi4", What: "send resnet50", Done: 1e6, Total: 3.2e6, Started: time.Now()}}
	s.Show(st)
	f := s.stages.Figure().(*plot.Stages)
	if f.List[0].State != plot.Done || f.List[1].State != plot.Under || f.List[1].Note != "1.00\u00a0MB of 3.20\u00a0MB" || s.bar.Hidden || !s.start.Off() {
		t.Errorf("stages %+v", f.List)
	}
	test.Tap(s.stop)
	if do.canceled != 9 {
		t.Errorf("Stop cancelled %d", do.canceled)
	}
	next := *st
	j := *st.Jobs[0]
	j.Ended, j.Err = time.Now(), fail.New(fail.NoSpace, "the board has 1 MB free, 2.2 MB are missing").Doing("deploy resnet50")
	next.Jobs = []*app.Job{&j}
	s.Show(&next)
	f = s.stages.Figure().(*plot.Stages)
	if f.List[1].State != plot.Failed || f.List[2].State != plot.Ahead || len(s.failed.Objects) != 1 || s.start.Off() {
		t.Errorf("after the failure: %+v, %d panels", f.List, len(s.failed.Objects))
	}
}

// A board that is reached is asked once what lies on it, only while this screen is shown.
func TestAsksABoardOnce(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := state()
	st.Deploys = nil
	st.Screen = "profile"
	s.Show(st)
	if len(do.asked) != 0 {
		t.Errorf("asked %v while another screen is shown", do.asked)
	}
	next := *st
	next.Screen = "deploy"
	s.Show(&next)
	s.Show(&next)
	if len(do.asked) != 1 || do.asked[0] != "lab-pi4" {
		t.Errorf("asked %v", do.asked)
	}
}

func TestListIsKept(t *testing.T) {
	s, _, _ := open(t, true, "en")
	st := state()
	s.Show(st)
	before := s.list.rows.Objects[0]
	next := *st
	next.Seq++
	s.Show(&next)
	if s.list.rows.Objects[0] != before {
		t.Error("the list was made again although nothing changed")
	}
	s.boards.SetSelectedIndex(2)
	if len(s.list.rows.Objects) == 0 || s.list.rows.Objects[0] == before || s.list.title.Text() != "On lab-pi5" {
		t.Errorf("another board: title %q", s.list.title.Text())
	}
}

func TestEmpty(t *testing.T) {
	s, do, _ := open(t, true, "en")
	s.Show(&app.State{})
	if s.full.Visible() || !s.none.Visible() {
		t.Error("without a model and deployments there is something to see")
	}
	s.Primary()
	if len(do.deployed) != 0 {
		t.Error("deployed without a model")
	}
}

// The smallest window is 1100 x 700: what the frame leaves of it must be enough.
func TestFitsTheSmallestWindow(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		s, _, _ := open(t, true, lang)
		s.Show(state())
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
		edit       func(*app.State)
	}{
		{"deploy-light-zh", "zh", false, func(st *app.State) {
			st.Jobs = []*app.Job{{ID: 9, Title: "Deploy", Detail: "resnet50 → lab-pi4", What: "send resnet50", Done: 1e6, Total: 3.2e6, Started: time.Now()}}
		}},
		{"deploy-dark", "en", true, func(st *app.State) {
			e := fail.New(fail.NoSpace, "the board has 1 MB free, 2.2 MB are missing").Doing("deploy resnet50").Try("remove old deployments, or free space on the board")
			st.Jobs = []*app.Job{{ID: 9, Title: "Deploy", Detail: "resnet50 → lab-pi4", What: "send resnet50", Done: 1e6, Total: 3.2e6, Ended: time.Now(), Err: e}}
		}},
	} {
		s, _, w := open(t, c.dark, c.lang)
		st := state()
		c.edit(st)
		s.Show(st)
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

// buttons are those under root with a label.
func buttons(root fyne.CanvasObject, label string) (out []*kit.Button) {
	if b, ok := root.(*kit.Button); ok && b.Label() == label {
		out = append(out, b)
	}
	switch o := root.(type) {
	case *fyne.Container:
		for _, c := range o.Objects {
			out = append(out, buttons(c, label)...)
		}
	case fyne.Widget:
		for _, c := range test.WidgetRenderer(o).Objects() {
			out = append(out, buttons(c, label)...)
		}
	}
	return out
}

// TestTrialAndService chooses a shadow run and a service, and starts and stops the service of what lies on a board.
func TestTrialAndService(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := state()
	s.Show(st)
	test.Tap(s.start)
	if do.form != (app.DeployForm{}) {
		t.Errorf("without a trial: %+v", do.form)
	}
	s.shadow.SetSelectedIndex(2)
	s.service.SetChecked(true)
	test.Tap(s.start)
	if f := do.form; f.Shadow != 10*time.Minute || f.MinAgree != 0.98 || !f.Service {
		t.Errorf("with one: %+v", f)
	}
	test.Tap(buttons(s.Content(), "Ask")[0])
	b := *st.Board("lab-pi4")
	b.Access = &app.Access{Services: []app.ServiceState{{Name: "resnet50", State: "serving", Version: 7, Count: 1234, P99Ns: 51e6}}}
	next := *st
	next.Boards = append([]*app.Board(nil), st.Boards...)
	for i := range next.Boards {
		if next.Boards[i].Name == b.Name {
			next.Boards[i] = &b
		}
	}
	s.Show(&next)
	test.Tap(buttons(s.Content(), "Stop the service")[0])
	test.Tap(buttons(s.Content(), "Keep running")[0])
	if got := fmt.Sprint(do.kept); got != "[ask lab-pi4 lab-pi4 resnet50 false lab-pi4 labels-demo true]" {
		t.Errorf("asked %s", got)
	}
	if dir := os.Getenv("FETTLE_PICTURES"); dir != "" {
		for _, c := range []struct {
			lang string
			dark bool
		}{{"en", true}, {"zh", false}} {
			s, _, w := open(t, c.dark, c.lang)
			s.Show(&next)
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("deploy-service-%s-%v.png", c.lang, c.dark)))
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, w.Canvas().Capture()); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
}
