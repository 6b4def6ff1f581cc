package compress

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"

	"fettle/app"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/views/kit"
)

// spy records what the screen asks for.
type spy struct {
	measured, data, shown string
	tried, checked        int
	layer                 model.NodeID
	as, precision         string
	selected              []string
	stopped               int64
}

func (s *spy) MeasureLayers(b string)     { s.measured = b }
func (s *spy) Recommend()                 { s.tried++ }
func (s *spy) CheckQuantized()            { s.checked++ }
func (s *spy) SetPrecision(key, v string) { s.precision = key + "=" + v }
func (s *spy) Passes() []app.PassInfo {
	return []app.PassInfo{{Name: "quantize", Options: []spec.Option{{Key: "weights", Kind: spec.Enum, Enum: []string{"int8", "int4"}, Default: "int8"}, {Key: "samples", Kind: spec.Int}}}}
}
func (s *spy) SetLayerType(id model.NodeID, as string) { s.layer, s.as = id, as }
func (s *spy) SetData(dir string)                      { s.data = dir }
func (s *spy) Select(o []string, _ string)             { s.selected = o }
func (s *spy) CancelJob(id int64)                      { s.stopped = id }
func (s *spy) Show(screen string)                      { s.shown = screen }

func open(t *testing.T, dark bool, lang string) (*screen, *spy, fyne.Window) {
	a := test.NewTempApp(t)
	w := test.NewTempWindow(t, nil)
	u := kit.NewUI(nil, w, kit.NewDirectBridge(), lang, dark)
	a.Settings().SetTheme(u.Theme)
	do := &spy{}
	s := newScreen(u, do)
	w.SetPadded(false)
	w.SetContent(kit.Fill(u.Theme.Bg1, container.NewBorder(kit.Pad(5, 16, 5, 16, s.Toolbar()), nil, nil, nil, s.Content())))
	w.Resize(fyne.NewSize(1372, 790))
	return s, do, w
}

func f(kl, db float64) app.Fidelity {
	same := 1 - kl
	return app.Fidelity{N: 64, SQNR: db, KL: &kl, Same: &same}
}

func ns(v float64) *float64 { return &v }

// doc is a quantized network of n layers with everything measured.
func doc(n int) *app.Doc {
	g := &model.Graph{Name: "net"}
	q := &app.Quant{Target: app.LocalTarget, Advice: &app.Int8Advice{Target: app.LocalTarget, Most: 2, Against: .8, Slower: 4, Layers: n, Why: "32 products of 8 bits a cycle where floats have 16 (AVX2)"}}
	step := app.StepResult{Pass: "quantize", Enabled: true, Options: map[string]any{"layers": []string{"layer3.conv2=float"}}}
	for i := range n {
		id := model.NodeID("layer" + string(rune('1'+i)) + ".conv2")
		g.Nodes = append(g.Nodes, &model.Node{ID: id, Name: string(id), Op: "Conv", Origin: []model.NodeID{id}})
		l := app.QuantLayer{MACs: 1 << 20, FloatNs: ns(float64(40+i*7) * 1e3), Int8Ns: ns(float64(90-i*8) * 1e3)}
		l.ID, l.Origin, l.Name, l.Op, l.Bytes = id, []model.NodeID{id}, string(id), "Conv", int64(9216*(i+1))
		l.At = append(l.At, app.TypeDamage{As: "int8", Bytes: l.Bytes / 4, Damage: f(1e-5*float64(1+i*i), 44)}, app.TypeDamage{As: "int4", Bytes: l.Bytes / 8, Damage: f(1e-3*float64(1+i), 22)})
		q.Layers = append(q.Layers, l)
		out := app.Finding{Rule: "quantize", Nodes: []model.NodeID{id}, Label: string(id), Outcome: "applied"}
		if i == 2 {
			out.Outcome = "refused"
		}
		step.Findings = append(step.Findings, out)
	}
	base := &model.Model{Graph: g}
	quantized := &model.Model{Graph: &model.Graph{Name: "net, quantized"}}
	step.Model = quantized
	q.Of, q.Checked = base.Hash(), quantized.Hash()
	before, after, other := f(1.7e-4, 37.4), f(1.2e-4, 36.1), f(2.6e-4, 37)
	q.Plan = &app.QuantPlan{Items: 64, Best: after, Trials: []app.QuantTrial{
		{Title: "8-bit weights and values", After: &before, Kept: true},
		{Title: "Bias correction", Kept: true, Reason: "outputs on 32 held-out items: KL 0.0002, 35.5 dB, 100.0 % the same answer without, KL 9.6e-05, 36.4 dB, 100.0 % the same answer with it"},
		{Title: "Smooth matrix products", Reason: "no layer normalisation"},
		{Title: "Ranges: all values", Before: &before, After: &other},
		{Title: "Ranges: least divergence", Before: &before, After: &after, Kept: true},
	}}
	share := .0004
	q.Quality = &app.QuantQuality{Items: 32, Values: []app.DebugMatch{{Float: "layer1.relu", SQNR: 31.24}}, Saturated: &app.DebugMatch{Float: "layer2.relu", Saturated: &share}}
	img := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for i := range 32 * 32 {
		img.Set(i%32, i/32, color.NRGBA{uint8(8 * (i % 32)), uint8(8 * (i / 32)), 120, 255})
	}
	for i := range 24 {
		a := app.AnswerPair{File: "a.png", Picture: img, Before: app.Answer{Class: "ring", Share: .98}, After: app.Answer{Class: "ring", Share: .97}}
		if i == 0 {
			a.After = app.Answer{Class: "disc", Share: .52}
		}
		q.Answers = append(q.Answers, a)
	}
	info := func(bytes int64) *app.Inspection { return &app.Inspection{FileBytes: bytes} }
	ledger := []app.Entry{{On: true}}
	ledger[0].Pass, ledger[0].Options = "quantize", step.Options
	return &app.Doc{ID: 1, Name: "net", Base: base, BaseInfo: info(309000), Info: info(92000), Model: quantized, Data: app.SampleCalibrate, Sample: true, Trained: true,
		Steps: []app.StepResult{step}, Revisions: []*app.Revision{{Label: "Opened", Entries: ledger}}, Quant: q}
}

func state(d *app.Doc) *app.State {
	return &app.State{Doc: d, Boards: []*app.Board{{Name: app.LocalTarget, Local: true}, {Name: "lab-pi4"}}}
}

func TestRows(t *testing.T) {
	d := doc(6)
	l := layers(d)
	if len(l) != 6 || l[0].as != "int8" || l[2].as != "float" || l[2].chosen != "float" || *l[0].gain() >= 0 || *l[5].gain() <= 0 {
		t.Fatalf("%+v", l)
	}
	order(l, columnDamage, false)
	if l[0].name != "layer6.conv2" || l[5].name != "layer1.conv2" {
		t.Errorf("by damage: %s first", l[0].name)
	}
	sum := totals(d, layers(d))
	if len(sum) != 2 || sum[0].token != "gain" || sum[1].after == sum[1].before {
		t.Errorf("%+v", sum)
	}
	if got := trials(d.Quant.Plan)[1].text; got != "KL 2.0e−4 → KL 9.6e−5" {
		t.Errorf("bias correction: %q", got)
	}
	marks := ""
	for _, r := range trials(d.Quant.Plan) {
		marks += r.mark + ", "
	}
	if marks != "start, kept, nothing to do, reverted, kept, " {
		t.Error(marks)
	}
	d.Quant.Of = "of another model"
	if len(layers(d)) != 0 {
		t.Error("numbers of another model are shown")
	}
}

// TestButtons: what can be done is offered, and nothing else.
func TestButtons(t *testing.T) {
	s, do, _ := open(t, true, "en")
	st := state(doc(6))
	s.Show(&app.State{})
	if !s.try.Off() || !s.measure.Off() || !s.check.Off() {
		t.Error("something can be done without a model")
	}
	s.Show(st)
	test.Tap(s.measure)
	test.Tap(s.check)
	s.Primary()
	if do.measured != app.LocalTarget || do.checked != 1 || do.tried != 1 {
		t.Errorf("%+v", do)
	}
	s.board.Choose("lab-pi4")
	test.Tap(s.measure)
	if do.measured != "lab-pi4" {
		t.Errorf("measured on %s", do.measured)
	}
	bare := *st.Doc
	bare.Data = ""
	s.Show(state(&bare))
	if s.Primary(); do.tried != 1 || !strings.Contains(s.try.Tip, "calibration") {
		t.Error("a search begins without data")
	}
	busy := state(st.Doc)
	busy.Jobs = []*app.Job{{ID: 7, Title: "Try all methods of quantization", What: "Equalize channels"}}
	s.Show(busy)
	if s.stop.Hidden || s.try.Tip == "" || !strings.Contains(s.note.Text(), "Equalize") {
		t.Errorf("%q", s.note.Text())
	}
	test.Tap(s.stop)
	if do.stopped != 7 {
		t.Error("the search goes on")
	}
}

// TestLooks draws the screen dark and light, in both languages; FETTLE_SHOTS keeps the pictures.
func TestLooks(t *testing.T) {
	for _, c := range []struct {
		dark bool
		lang string
	}{{true, "en"}, {false, "zh"}} {
		s, _, w := open(t, c.dark, c.lang)
		st := state(doc(9))
		st.Selection.Origins = []string{"layer4.conv2"}
		s.Show(st)
		if s.chosen != "layer4.conv2" {
			t.Errorf("the chosen layer is %q", s.chosen)
		}
		img := w.Canvas().Capture()
		if dir := os.Getenv("FETTLE_SHOTS"); dir != "" {
			out, err := os.Create(filepath.Join(dir, "compress-"+c.lang+".png"))
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
