package canvas

import (
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/views/kit"
)

type spy struct {
	selected []string
	from     string
	shown    string
}

func (s *spy) Select(o []string, from string) { s.selected, s.from = o, from }
func (s *spy) Show(screen string)             { s.shown = screen }

// queue stands for the toolkit's goroutine, which is the test's: what was posted runs when the test waits.
type queue struct {
	mu sync.Mutex
	fs []func()
}

func (q *queue) post(f func()) {
	q.mu.Lock()
	q.fs = append(q.fs, f)
	q.mu.Unlock()
}

func (q *queue) drain() int {
	q.mu.Lock()
	fs := q.fs
	q.fs = nil
	q.mu.Unlock()
	for _, f := range fs {
		f()
	}
	return len(fs)
}

// opened is a screen with its surroundings.
type opened struct {
	*screen
	*spy
	q queue
	w fyne.Window
}

func open(t *testing.T, dark bool, lang string) *opened {
	a := test.NewTempApp(t)
	o := &opened{spy: &spy{}, w: test.NewTempWindow(t, nil)}
	u := kit.NewUI(nil, o.w, kit.NewDirectBridge(), lang, dark)
	a.Settings().SetTheme(u.Theme)
	o.screen = newScreen(u, o.spy, o.q.post)
	o.still = true
	o.w.SetPadded(false)
	o.w.SetContent(kit.Fill(u.Theme.Bg1, container.NewBorder(kit.Pad(5, 16, 5, 16, o.Toolbar()), nil, nil, nil, o.Content())))
	o.w.Resize(fyne.NewSize(1372, 780))
	return o
}

// show hands over a state and waits for the drawing.
func (o *opened) show(st *app.State) {
	o.screen.Show(st)
	o.wait()
}

func (o *opened) wait() {
	for {
		o.draw.Wait()
		o.graph.Wait()
		o.look.stats.Wait()
		if o.q.drain() == 0 {
			return
		}
	}
}

// TestPictures paints the screen for eyes: FETTLE_PICTURES names the folder.
func TestPictures(t *testing.T) {
	dir := os.Getenv("FETTLE_PICTURES")
	if dir == "" {
		t.Skip("FETTLE_PICTURES is not set")
	}
	resnet, squeeze := openDoc(t, "resnet50"), openDoc(t, "squeezenet11")
	run := measured(resnet)
	for _, c := range []struct {
		name, lang string
		dark       bool
		do         func(*opened)
	}{
		{"model-dark", "en", true, func(s *opened) {
			s.show(state(resnet, run))
			s.setMode(executed)
			s.wait()
			s.bar.search.SetText("conv 3x3 layer3")
			s.wait()
			s.bar.step(1)
			s.wait()
		}},
		{"model-light-zh", "zh", false, func(s *opened) {
			s.show(state(resnet))
			s.graph.Select(s.d.hits("layer2.0.conv2"), true)
			s.wait()
			s.userSelected(s.d.hits("layer2.0.conv2")[:1])
			s.look.tabs.Choose(tabWeights)
			s.wait()
		}},
		{"squeeze-dark-zh", "zh", true, func(s *opened) { s.show(state(squeeze, measured(squeeze))) }},
		{"squeeze-light", "en", false, func(s *opened) {
			s.show(state(squeeze))
			s.setLens(byWork)
			s.wait()
			s.userSelected([]int32{5})
			s.look.tabs.Choose(tabNode)
		}},
		{"rewritten-dark", "en", true, func(s *opened) { s.show(state(rewrittenDoc(t))) }},
		{"empty-light", "en", false, func(s *opened) { s.show(&app.State{}) }},
	} {
		s := open(t, c.dark, c.lang)
		c.do(s)
		s.wait()
		f, err := os.Create(filepath.Join(dir, c.name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, s.w.Canvas().Capture()); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// tapItem taps the middle of an item's box.
func (o *opened) tapItem(item int32) {
	o.graph.Tapped(&fyne.PointEvent{Position: o.graph.At(item)})
	o.wait()
}

func TestTapSelectsEverywhere(t *testing.T) {
	o := open(t, true, "en")
	doc := rewrittenDoc(t)
	o.show(state(doc, of(chainRun(), doc)))
	if o.mode != executed || o.lens != byTime {
		t.Fatalf("mode %v, lens %v: a measured model opens as it was executed, in ms", o.mode, o.lens)
	}
	o.tapItem(o.d.item(t, "conv1"))
	if want := []string{"conv1", "bn1", "relu1"}; !slices.Equal(o.selected, want) || o.from != name {
		t.Errorf("selected %v from %q, want %v", o.selected, o.from, want)
	}
	if o.look.subject == nil || o.look.subject.title != "conv1" || o.look.subject.ns == nil {
		t.Errorf("the inspector shows %+v", o.look.subject)
	}
	marked := 0
	for _, r := range o.tree.rows {
		if r.sel {
			marked++
		}
	}
	if marked != 1 {
		t.Errorf("%d rows of the tree are selected", marked)
	}
	// the state that comes back with the same origins does not widen the selection
	st := *o.state
	st.Seq, st.Selection = 2, app.Selection{Origins: o.selected, From: name}
	o.show(&st)
	if len(o.chosen) != 1 {
		t.Errorf("%d items after the echo", len(o.chosen))
	}
	// another screen selects a node that the same step covers
	st2 := st
	st2.Seq, st2.Selection = 3, app.Selection{Origins: []string{"conv2"}, From: "profile"}
	o.show(&st2)
	if len(o.chosen) != 1 || o.d.items[o.chosen[0]].Name != "conv2" || o.look.subject.title != "conv2" {
		t.Errorf("chosen %v", o.chosen)
	}
}

func TestSearchFinds(t *testing.T) {
	o := open(t, true, "en")
	o.show(state(openDoc(t, "resnet20")))
	o.graph.CloseAll()
	o.wait()
	o.bar.search.SetText("layer3.1 3x3")
	o.wait()
	if got := o.bar.count.Text(); got != "1 / 2" {
		t.Errorf("count %q", got)
	}
	o.bar.search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	o.wait()
	if got := o.bar.count.Text(); got != "2 / 2" || !slices.Equal(o.selected, []string{"layer3.1.conv2"}) {
		t.Errorf("after Enter: %q, selected %v", got, o.selected)
	}
	if !o.graph.Open()["/layer3"] || !o.graph.Open()["/layer3/1"] {
		t.Error("the hit's groups stayed closed")
	}
	if o.bar.path[len(o.bar.path)-1] != "layer3.1" {
		t.Errorf("breadcrumb %v", o.bar.path)
	}
	o.bar.search.SetText("no such layer")
	if got := o.bar.count.Text(); got != "no hit" {
		t.Errorf("count %q", got)
	}
	o.bar.search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if o.bar.search.Text != "" || o.bar.count.Text() != "" {
		t.Error("Escape left the search")
	}
}

func TestCollapseTogglesInTreeAndGraph(t *testing.T) {
	o := open(t, true, "zh")
	o.show(state(openDoc(t, "resnet20")))
	at := func(title string) (row, int) {
		for i, r := range o.tree.rows {
			if r.title == title {
				return r, i
			}
		}
		t.Fatalf("no row %q in %v", title, titles(o.tree.rows))
		return row{}, 0
	}
	before, _ := at("layer2")
	o.tree.tap(before, chevronX(before.depth)+4)
	o.wait()
	after, _ := at("layer2")
	if before.open == after.open || o.graph.Open()["/layer2"] != after.open {
		t.Errorf("the chevron changed %v to %v, graph %v", before.open, after.open, o.graph.Open()["/layer2"])
	}
	o.tree.tap(after, 100) // beside the chevron: select all of it
	if len(o.selected) != 23 || o.title != "layer2" {
		t.Errorf("%d origins of %q selected", len(o.selected), o.title)
	}
}

func TestLensAndModeKeys(t *testing.T) {
	o := open(t, false, "en")
	doc := rewrittenDoc(t)
	o.show(state(doc))
	if o.mode != rewritten || o.lens != byKind {
		t.Fatalf("mode %v, lens %v", o.mode, o.lens)
	}
	o.Rune('4')
	o.wait()
	if o.lens != byWork || o.read.Unit != "MMAC" {
		t.Errorf("key 4: lens %v, unit %q", o.lens, o.read.Unit)
	}
	o.bar.modes.Choose(int(executed))
	o.bar.modes.Choose(int(original))
	o.wait()
	if o.mode != original || o.d.mode != original {
		t.Errorf("mode %v: without a run there is nothing executed", o.mode)
	}
	// the ledger is emptied: the choice stays, and no mode is shown that is not there
	st := *o.state
	d := *doc
	d.Model, d.Info, d.SHA256 = d.Base, d.BaseInfo, d.Base.Hash()
	st.Seq, st.Doc = 2, &d
	o.show(&st)
	if o.mode != original || o.d.tree == nil {
		t.Errorf("mode %v", o.mode)
	}
}

func TestWithoutModel(t *testing.T) {
	o := open(t, true, "en")
	o.show(&app.State{})
	if !o.none.Visible() || o.full.Visible() || o.Key(&fyne.KeyEvent{Name: fyne.KeyLeft}) || o.Rune('f') {
		t.Error("without a model the screen shows a graph")
	}
	o.show(state(rewrittenDoc(t)))
	if o.none.Visible() || !o.full.Visible() || len(o.d.items) == 0 {
		t.Error("the model did not come")
	}
	o.show(&app.State{Seq: 3})
	if !o.none.Visible() {
		t.Error("the model did not go")
	}
}

// A lens that is chosen while another graph is drawn must not stick to the graph of before.
func TestLensWhileDrawn(t *testing.T) {
	o := open(t, true, "en")
	doc := rewrittenDoc(t)
	o.show(state(doc, of(chainRun(), doc)))
	o.setMode(original)
	o.setLens(byKind)
	o.wait()
	if o.d.mode != original || o.read.Class == nil || len(o.d.items) != 8 {
		t.Errorf("drawn as %v with %d items", o.d.mode, len(o.d.items))
	}
}

// The smallest window is 1100 wide, of which the activity bar takes 68.
func TestFitsSmallWindow(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		o := open(t, true, lang)
		if w := max(o.Toolbar().MinSize().Width+32, o.Content().MinSize().Width); w > 1100-68 {
			t.Errorf("%s: the screen is at least %v wide", lang, w)
		}
	}
}

// A model that is closed while it is drawn must not come back.
func TestClosedWhileDrawn(t *testing.T) {
	o := open(t, true, "en")
	o.screen.Show(state(rewrittenDoc(t)))
	o.draw.Wait() // the drawing is done and waits to be shown
	o.show(&app.State{Seq: 2})
	if o.d != nil || !o.none.Visible() {
		t.Error("the drawing of a closed model was shown")
	}
}

func TestWeightsAreRead(t *testing.T) {
	o := open(t, true, "en")
	o.show(state(openDoc(t, "resnet20")))
	o.userSelected([]int32{o.d.item(t, "layer1.0.conv")})
	o.look.tabs.Choose(tabWeights)
	o.wait()
	if n := len(o.look.body.Objects); n < 4 {
		t.Errorf("%d objects in the weights tab", n)
	}
	for _, tab := range []int{tabNode, tabOrigin, tabCost} {
		o.look.tabs.Choose(tab)
		if len(o.look.body.Objects) == 0 {
			t.Errorf("tab %d is empty", tab)
		}
	}
}
