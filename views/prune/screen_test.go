package prune

import (
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/model"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// spy records what the screen asks for.
type spy struct {
	found, applied, measured, refined int
	studied                           string
	picks                             map[int]int
	only                              bool
	kind                              string
	share                             float64
	by                                string
	selected                          []string
	shown                             string
}

func (s *spy) FindGroups()                      { s.found++ }
func (s *spy) StudyChannels(b string)           { s.studied = b }
func (s *spy) SetCuts(p map[int]int, only bool) { s.picks, s.only = p, only }
func (s *spy) KeepShare(kind string, v float64) { s.kind, s.share = kind, v }
func (s *spy) ApplyCuts(by string)              { s.applied++; s.by = by }
func (s *spy) MeasureCuts(by string)            { s.measured++; s.by = by }
func (s *spy) RefineCuts()                      { s.refined++ }
func (s *spy) SetData(string)                   {}
func (s *spy) Select(o []string, _ string)      { s.selected = o }
func (s *spy) CancelJob(int64)                  {}
func (s *spy) Show(screen string)               { s.shown = screen }

// doc is a chain of n layers whose groups were studied, the last one locked by the output.
func doc(t *testing.T, n int) *app.Doc {
	t.Helper()
	g := &model.Graph{Name: "net", Inputs: []model.Value{{Name: "x"}}}
	last := "x"
	c := &app.Cuts{Kind: "macs", Floor: .3, Target: app.LocalTarget}
	var studied []string
	for i := range n {
		id := fmt.Sprintf("layer%d.conv", i+1)
		g.Nodes = append(g.Nodes, &model.Node{ID: model.NodeID(id), Name: id, Op: "Conv", Inputs: []string{last, id + ".w"}, Outputs: []string{id + ".y"}, Origin: []model.NodeID{model.NodeID(id)}})
		last = id + ".y"
	}
	g.Outputs = []model.Value{{Name: last}}
	for i := range n {
		a := string(g.Nodes[i].ID)
		group := app.ChannelGroup{Name: a, Text: "32 channels of " + a, Makers: []string{a}, Channels: 32, Keys: []string{a}, Making: 1}
		var cuts []string
		if i == n-1 {
			group.Locked = "the value " + last + " is an output of the model"
		} else {
			b := string(g.Nodes[i+1].ID)
			group.Readers, group.Keys = []string{b}, append(group.Keys, b)
			for k := range 5 {
				cuts = append(cuts, fmt.Sprintf(`{"gone": %d, "damage": %g, "macs": %d, "bytes": %d, "ns": %d}`, 6*k, float64(k*k*(i+1))*1e-3, 9e6-int64(k*(i+2))*2e5, 300000-k*9000, 2000000-k*(n-i)*40000))
			}
		}
		c.Groups, c.Picks = append(c.Groups, group), append(c.Picks, 0)
		studied = append(studied, fmt.Sprintf(`{"group": {"Makers": [%q], "Channels": 32}, "cuts": [%s], "layers": [%q]}`, a, strings.Join(cuts, ","), a))
	}
	c.Study = &app.Study{}
	if err := json.Unmarshal([]byte(`{"unit": "KL of the answers", "items": 32, "macs": 9000000, "bytes": 300000, "ns": 2000000, "groups": [`+strings.Join(studied, ",")+`]}`), c.Study); err != nil {
		t.Fatal(err)
	}
	base := &model.Model{Graph: g}
	c.Of = base.Hash()
	c.Totals = app.CutTotals{MACs: 9e6, Bytes: 3e5, Ns: 2e6}
	return &app.Doc{ID: 1, Name: "net", Base: base, Model: base, BaseInfo: &app.Inspection{}, Info: &app.Inspection{}, Data: app.SampleCalibrate, Revisions: []*app.Revision{{Label: "Opened"}}, Cuts: c}
}

func open(t *testing.T, dark bool, lang string) (*screen, *spy, fyne.Window) {
	a := test.NewTempApp(t)
	w := test.NewTempWindow(t, nil)
	u := kit.NewUI(nil, w, kit.NewDirectBridge(), lang, dark)
	a.Settings().SetTheme(u.Theme)
	do := &spy{}
	s := newScreen(u, do, func(f func()) { f() })
	w.SetPadded(false)
	w.SetContent(kit.Fill(u.Theme.Bg1, container.NewBorder(kit.Pad(5, 16, 5, 16, s.Toolbar()), nil, nil, nil, s.Content())))
	w.Resize(fyne.NewSize(1372, 790))
	return s, do, w
}

func state(d *app.Doc) *app.State {
	return &app.State{Doc: d, Boards: []*app.Board{{Name: app.LocalTarget, Local: true}, {Name: "lab-pi4"}}}
}

func TestRows(t *testing.T) {
	d := doc(t, 4)
	d.Cuts.Picks[1] = 2
	l := groups(d)
	if len(l) != 4 || l[1].kept != 20 || l[1].saved == nil || *l[1].saved <= 0 || l[0].saved != nil || l[3].locked == "" || l[3].cuts != nil {
		t.Fatalf("%+v", l)
	}
	for _, c := range []struct {
		name   string
		picked []string
		want   int
	}{{"the layer that makes the channels", []string{"layer2.conv"}, 1}, {"a whole group", []string{"layer1.conv", "layer2.conv"}, 0}, {"nothing", nil, -1}, {"a node of no group", []string{"pool"}, -1}} {
		if got := holding(d, c.picked, -1); got != c.want {
			t.Errorf("%s: group %d, want %d", c.name, got, c.want)
		}
	}
	list, timed := moves(d)
	if !timed || len(list) != 12 {
		t.Fatalf("%d moves, timed %v", len(list), timed)
	}
	if got := strongest(list, []int{0, 2, 5}); !reflect.DeepEqual(got, map[int]int{0: 3, 1: 2}) {
		t.Errorf("the strongest of each group: %v", got)
	}
	for x, want := range map[float64]string{0: "0", 0.0204: "0.0204", 2.1e-6: "2.1e−6", 0.00031: "3.1e−4"} {
		if got := Sci(x); got != want {
			t.Errorf("%g is %q, want %q", x, got, want)
		}
	}
	d.Cuts.Of = "of another model"
	if len(groups(d)) != 0 || len(totals(d)) != 0 {
		t.Error("numbers of another model are shown")
	}
}

// TestButtons: groups are asked for once, rows and nodes light their group up, sliders and the lasso choose cuts, and what is chosen is applied.
func TestButtons(t *testing.T) {
	s, do, _ := open(t, true, "en")
	bare := doc(t, 4)
	bare.Cuts = nil
	s.Show(state(bare))
	s.Show(state(bare))
	if do.found != 1 || !s.apply.Off() || s.study.Off() {
		t.Errorf("groups were asked for %d times", do.found)
	}
	s.board.Choose("lab-pi4")
	s.Primary()
	if do.studied != "lab-pi4" {
		t.Errorf("studied on %q", do.studied)
	}
	d := doc(t, 4)
	s.Show(state(d))
	if !strings.Contains(s.titles[0].Text(), "study the channels again for lab-pi4") {
		t.Errorf("times of this computer are shown for the board that is chosen: %q", s.titles[0].Text())
	}
	s.board.Choose(app.LocalTarget)
	if !strings.Contains(s.titles[0].Text(), "timed on this computer") {
		t.Errorf("times are said to be of another board: %q", s.titles[0].Text())
	}
	s.rows[1].box.Tapped(nil)
	if !reflect.DeepEqual(do.selected, []string{"layer2.conv", "layer3.conv"}) || s.chosen != 1 {
		t.Errorf("a row lights up %v", do.selected)
	}
	s.rows[2].slider.SetValue(1)
	if !reflect.DeepEqual(do.picks, map[int]int{2: 3}) || do.only {
		t.Errorf("the slider picks %v", do.picks)
	}
	s.slider.SetValue(.5)
	if do.kind != "macs" || do.share != .5 {
		t.Errorf("keep %g of %s", do.share, do.kind)
	}
	s.views.Choose(seeNetwork)
	s.net.Wait()
	s.tapNodes(s.drawn.of([]string{"layer3.conv"}))
	if s.chosen != 2 || do.selected[0] != "layer3.conv" {
		t.Errorf("a node leads to group %d, %v", s.chosen, do.selected)
	}

	s.views.Choose(seeMap)
	f := s.cloud.Figure().(*plot.Cloud)
	z := s.cloud.Size()
	want := map[int]int{}
	list, _ := moves(d)
	var corners []fyne.Position // around the first two moves of group 0
	for i := range 2 {
		x, y := f.Place(i, z.Width, z.Height)
		corners = append(corners, fyne.NewPos(x-3, y+3), fyne.NewPos(x+3, y-3))
		want[list[i].group] = list[i].cut
	}
	for _, p := range []fyne.Position{corners[0], {X: corners[0].X, Y: corners[3].Y}, corners[3], {X: corners[3].X, Y: corners[0].Y}} {
		s.cloud.Dragged(&fyne.DragEvent{PointEvent: fyne.PointEvent{Position: p}})
	}
	in := s.cloud.Figure().(*plot.Cloud).Inside(z.Width, z.Height)
	s.cloud.DragEnd()
	if !do.only || !reflect.DeepEqual(do.picks, strongest(list, in)) || do.picks[0] != 2 {
		t.Errorf("the lasso holds %v and picks %v, want %v of group 0", in, do.picks, want)
	}

	now := *d
	c := *d.Cuts
	c.Picks, c.Totals.Changed = []int{2, 0, 0, 0}, 1
	now.Cuts = &c
	s.Show(state(&now))
	if test.Tap(s.refine); do.refined != 1 {
		t.Error("nothing is refined")
	}
	s.criterion.SetSelected("taylor")
	s.Primary()
	if do.applied != 1 || do.by != "taylor" {
		t.Errorf("applied %d times by %q", do.applied, do.by)
	}
	busy := state(&now)
	busy.Jobs = []*app.Job{{ID: 3, Title: "Study the channels"}}
	s.Show(busy)
	if s.stop.Hidden || !s.apply.Off() {
		t.Error("two jobs at a time")
	}
	s.Show(&app.State{})
	if s.none.Hidden || !s.study.Off() {
		t.Error("something can be done without a model")
	}
}

// TestLooks draws the map and the network; FETTLE_SHOTS keeps the pictures.
func TestLooks(t *testing.T) {
	for _, c := range []struct {
		dark bool
		lang string
	}{{true, "en"}, {false, "zh"}} {
		s, _, w := open(t, c.dark, c.lang)
		d := doc(t, 9)
		d.Cuts.Picks[1], d.Cuts.Picks[4] = 2, 3
		d.Cuts.Refined = &app.Refined{Single: .021, SingleErr: .004, Even: .034, EvenErr: .006, Best: .017, BestErr: .003, Runs: 60, Items: 64}
		st := state(d)
		st.Selection.Origins = []string{"layer4.conv"}
		s.Show(st)
		if s.chosen != 3 {
			t.Errorf("the layer that is selected makes group 3, %d is shown", s.chosen)
		}
		for view, name := range []string{"curves", "map", "network"} {
			s.views.Choose(view)
			s.net.Wait()
			img := w.Canvas().Capture()
			if dir := os.Getenv("FETTLE_SHOTS"); dir != "" {
				out, err := os.Create(filepath.Join(dir, "prune-"+name+"-"+c.lang+".png"))
				if err != nil {
					t.Fatal(err)
				}
				if err := png.Encode(out, img); err != nil {
					t.Fatal(err)
				}
				out.Close()
			}
		}
	}
}
