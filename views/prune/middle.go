package prune

import (
	"math"
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/graph"
	"fettle/views/kit/plot"
)

// centre makes the curves, the map and the network, of which one is in sight.
func (s *screen) centre(post func(func())) {
	u := s.u
	s.stairs, s.curve, s.cloud = plot.NewChart(s.ink, 200, 120), plot.NewChart(s.ink, 200, 120), plot.NewChart(s.ink, 200, 200)
	for _, c := range []*plot.Chart{s.stairs, s.curve} {
		c.OnTap = func(m plot.Mark) { s.tapCut(m.Keys) }
	}
	s.cloud.OnTap = func(m plot.Mark) { s.tapMove(m.Keys) }
	s.cloud.OnDrag = s.lasso
	for i := range s.titles {
		s.titles[i] = u.Caption("")
	}
	panel := func(title string, note *kit.Line, c fyne.CanvasObject) fyne.CanvasObject {
		return u.Card(container.NewBorder(kit.Pad(10, 14, 2, 14, kit.Cols(8, u.Strong(title).Whole(), kit.Flex(note))), nil, nil, nil, kit.Pad(0, 6, 4, 6, c)))
	}
	s.net = graph.New(graph.Options{Fonts: graph.Fonts(), Inks: graph.NewInks(u.Theme.Palette, u.Theme.Dark), Caption: float64(u.Theme.Caption()), Still: true,
		Words: graph.Words{NotMeasured: u.T("stays"), NoData: u.T("no data"), Node: u.T("node"), Group: u.T("group")}, Post: post})
	s.net.OnSelect = s.tapNodes
	curves := kit.PanesDown(gap, []float32{.5, .5}, panel(u.T("Staircase"), s.titles[0], s.stairs), panel(u.T("Sensitivity"), s.titles[1], s.curve))
	views := []fyne.CanvasObject{curves, panel(u.T("Bang for buck"), s.titles[2], s.cloud), u.Card(s.net)}
	stack := container.NewStack(views...)
	s.views = u.NewSegmented([]string{u.T("Curves"), u.T("Bang for buck"), u.T("Network")}, 0, func(i int) {
		s.view = i
		for k, v := range views {
			v.Hide()
			if k == i {
				v.Show()
			}
		}
		stack.Refresh()
		if s.doc != nil {
			s.showMiddle()
		}
	})
	views[1].Hide()
	views[2].Hide()
	s.middle = container.NewBorder(kit.Pad(0, 0, 8, 0, kit.Cols(0, s.views)), nil, nil, nil, stack)
}

func (s *screen) showMiddle() {
	switch s.view {
	case seeCurves:
		s.showCurves()
	case seeMap:
		s.showMap()
	case seeNetwork:
		s.showNetwork()
	}
}

// cutKey names a cut of the group that is looked at.
func cutKey(group, cut int) []string { return []string{strconv.Itoa(group), strconv.Itoa(cut)} }

func readKey(keys []string) (group, cut int, ok bool) {
	if len(keys) != 2 {
		return 0, 0, false
	}
	g, err := strconv.Atoi(keys[0])
	k, err2 := strconv.Atoi(keys[1])
	return g, k, err == nil && err2 == nil
}

func (s *screen) tapCut(keys []string) {
	if g, k, ok := readKey(keys); ok {
		s.do.SetCuts(map[int]int{g: k}, false)
	}
}

// tapMove takes the move, or takes it back where it is picked.
func (s *screen) tapMove(keys []string) {
	g, k, ok := readKey(keys)
	if !ok || s.doc == nil || s.doc.CutsNow() == nil {
		return
	}
	if s.doc.Cuts.Picks[g] == k {
		k = 0
	}
	s.do.SetCuts(map[int]int{g: k}, false)
	s.choose(g)
}

// showCurves draws time and damage of the group that is looked at over the channels that stay.
func (s *screen) showCurves() {
	u, c := s.u, s.doc.CutsNow()
	if c == nil || c.Study == nil || s.chosen < 0 || len(c.Study.Groups[s.chosen].Cuts) < 2 {
		text := u.T("Study the channels to see what each cut saves and costs")
		if c != nil && s.chosen >= 0 && c.Groups[s.chosen].Locked != "" {
			text = s.say.Say(c.Groups[s.chosen].Locked)
		}
		s.titles[0].SetText(text)
		s.titles[1].SetText("")
		s.stairs.Set(nil)
		s.curve.Set(nil)
		return
	}
	g, pick := c.Study.Groups[s.chosen], c.Picks[s.chosen]
	all := c.Groups[s.chosen].Channels
	time := plot.Series{Colour: u.Theme.Primary, Stairs: true, Dots: true}
	damage := plot.Series{Colour: u.Theme.Primary, Dots: true}
	local := plot.Series{Colour: u.Theme.Text3, Dashed: true, Name: u.T("from moments alone, scaled")}
	timed := c.Study.Ns > 0
	scale := 0.0
	if n := len(g.Damage); n > 1 {
		if last := g.Cuts[len(g.Cuts)-1]; last.Gone < n && g.Damage[last.Gone] > 0 {
			scale = last.Damage / g.Damage[last.Gone]
		}
	}
	for k := len(g.Cuts) - 1; k >= 0; k-- {
		cut := g.Cuts[k]
		x := float64(all - cut.Gone)
		y, what := cut.MACs/1e6, kit.MACs(int64(cut.MACs))
		if timed {
			y, what = cut.Ns/1e6, kit.Ms(cut.Ns)
		}
		name := u.F("%d of %d channels", all-cut.Gone, all)
		time.Points = append(time.Points, plot.CurvePoint{Keys: cutKey(s.chosen, k), X: x, Y: y, Tip: []string{name, what}})
		damage.Points = append(damage.Points, plot.CurvePoint{Keys: cutKey(s.chosen, k), X: x, Y: cut.Damage, Tip: []string{name, Sci(cut.Damage)}})
	}
	for gone := len(g.Damage) - 1; gone >= 0 && scale > 0; gone-- {
		if gone <= g.Cuts[len(g.Cuts)-1].Gone {
			local.Points = append(local.Points, plot.CurvePoint{X: float64(all - gone), Y: g.Damage[gone] * scale})
		}
	}
	at := float64(all - g.Cuts[pick].Gone)
	note := []string{u.F("%d of %d channels", int(at), all)}
	yTitle := "MMAC"
	if timed {
		yTitle = "ms"
		note = append(note, kit.Ms(g.Cuts[pick].Ns)+", "+kit.DeltaMs(g.Cuts[pick].Ns-c.Study.Ns))
	} else {
		note = append(note, kit.MACs(int64(g.Cuts[pick].MACs)))
	}
	where := u.F("%s: the whole model, this group alone, timed on %s", c.Groups[s.chosen].Name, u.BoardInText(c.Target))
	if now := s.board.Board(); now != c.Target && !(now == app.LocalTarget && c.Target == "") {
		where = u.F("timed on %s; study the channels again for %s", u.BoardInText(c.Target), u.BoardInText(now))
	}
	s.titles[0].SetText(where)
	s.titles[1].SetText(u.F("%s, this group alone, on %d items, after the fit", s.say.Say(c.Study.Unit), c.Study.Items))
	s.stairs.Set(&plot.Curve{Series: []plot.Series{time}, XTitle: u.T("channels kept"), YTitle: yTitle, XTick: plot.Whole, YTick: plot.Tick, Cursor: &at, Note: note})
	series := []plot.Series{damage}
	if len(local.Points) > 1 {
		series = append(series, local)
	}
	s.curve.Set(&plot.Curve{Series: series, XTitle: u.T("channels kept"), YTitle: u.T("damage"), XTick: plot.Whole, YTick: plot.Tick, FromZero: true, Cursor: &at, Note: []string{Sci(g.Cuts[pick].Damage)}})
}

// showMap draws all moves by what they save and cost.
func (s *screen) showMap() {
	u, c := s.u, s.doc.CutsNow()
	list, timed := moves(s.doc)
	if len(list) == 0 {
		s.titles[2].SetText(u.T("Study the channels to see what each cut saves and costs"))
		s.cloud.Set(nil)
		return
	}
	s.titles[2].SetText(u.T("each mark is one cut of one group; up and left is better; draw a loop around marks to take them"))
	f := &plot.Cloud{XTitle: u.T("damage of the answers"), YTitle: u.T("ms saved"), XTick: plot.Tick, YTick: plot.Tick, FromZero: true,
		Selected: func(keys []string) bool { g, k, ok := readKey(keys); return ok && c.Picks[g] == k }}
	if !timed {
		f.YTitle = u.T("M multiply-adds saved")
	}
	var rates []float64
	for _, m := range list {
		y := m.saved / 1e6
		p := plot.CloudPoint{Keys: cutKey(m.group, m.cut), X: m.damage, Y: y, Shape: 1, Colour: u.Theme.Primary, Radius: 4,
			Tip: []string{m.name, u.F("%d of %d channels go", m.gone, m.of), u.F("damage %s", Sci(m.damage))}}
		if m.group == s.chosen {
			p.Shape, p.Colour = 0, u.Theme.Gain
		}
		f.Points = append(f.Points, p)
		if m.damage > 0 && y > 0 {
			rates = append(rates, y/m.damage)
		}
	}
	if len(rates) > 2 {
		for _, q := range []float64{.75, .25} {
			r := quantile(rates, q)
			f.Rays = append(f.Rays, plot.Guide{At: r, Text: u.F("%s for 0.01 of damage", plot.Tick(round2(r/100))), Colour: u.Theme.Line3})
		}
	}
	f.Legend = []plot.ShapeEntry{{Shape: 0, Colour: u.Theme.Gain, Text: u.T("the group that is looked at")}, {Shape: 1, Colour: u.Theme.Primary, Text: u.T("other groups")}}
	if old, ok := s.cloud.Figure().(*plot.Cloud); ok {
		f.Lasso = old.Lasso
	}
	s.cloud.Set(f)
}

func quantile(v []float64, q float64) float64 {
	l := append([]float64(nil), v...)
	for i := range l {
		for j := i; j > 0 && l[j] < l[j-1]; j-- {
			l[j], l[j-1] = l[j-1], l[j]
		}
	}
	return l[int(q*float64(len(l)-1))]
}

func round2(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-1)
	return math.Round(v/unit) * unit
}

// lasso follows the pointer; when it ends, the strongest move of each group inside is taken, and nothing else.
func (s *screen) lasso(at fyne.Position, ended bool) {
	f, ok := s.cloud.Figure().(*plot.Cloud)
	if !ok {
		return
	}
	next := *f
	if len(f.Lasso) > 0 && s.looped {
		next.Lasso = nil
	}
	s.looped = ended
	if !ended {
		next.Lasso = append(append([]float32(nil), next.Lasso...), at.X, at.Y)
		s.cloud.Set(&next)
		return
	}
	z := s.cloud.Size()
	list, _ := moves(s.doc)
	if in := f.Inside(z.Width, z.Height); len(in) > 0 {
		s.do.SetCuts(strongest(list, in), true)
	}
}

// showNetwork draws the model; what goes of each layer is its colour.
func (s *screen) showNetwork() {
	u := s.u
	base := s.doc.CutBase()
	lens := func() *graph.Reading {
		return graph.Read(s.drawn.tree, graph.Lens{Name: u.T("channels that go"), Values: s.drawn.gone(s.doc), Format: kit.Percent, Tick: kit.Percent})
	}
	if s.drawn == nil || s.drawn.m != base {
		s.drawn = draw(base)
		s.net.SetTree(s.drawn.tree, lens())
	} else {
		s.net.SetReading(lens())
	}
	if c := s.doc.CutsNow(); c != nil && s.chosen >= 0 {
		s.net.Select(s.drawn.of(c.Groups[s.chosen].Keys), false)
	}
}

// tapNodes looks at the group of the node that was clicked.
func (s *screen) tapNodes(items []int32) {
	if s.drawn == nil || s.doc == nil || len(items) == 0 {
		return
	}
	var keys []string
	for _, i := range items {
		keys = append(keys, s.drawn.items[i].Origins...)
	}
	if at := holding(s.doc, keys, -1); at >= 0 {
		s.choose(at)
	}
}
