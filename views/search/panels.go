package search

import (
	"image/color"
	"path/filepath"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/plot"
	"fettle/views/kit/theme"
)

// verdictLooks are the words, icon and colours of each verdict.
var verdictLooks = map[string]struct{ words, icon, token string }{
	"met":         {"All limits are held", "check", "success"},
	"best-effort": {"No recipe holds all limits", "warning", "warning"},
	"impossible":  {"Impossible with these recipes", "floor", "danger"},
}

// showVerdict says over everything whether the goal is met, what binds, and the floor.
func (s *screen) showVerdict() {
	u, h := s.u, s.doc.Hunt
	s.verdict.Objects = nil
	if h == nil || h.Result == nil || h.Result.Verdict == "" {
		if h != nil && !h.Running && !h.Ended { // it was stopped before the first recipe
			s.sayVerdict("info", "text2", u.Theme.Bg3, kit.Rows(3, u.Strong(u.T("A search was begun")+"  ·  "+goalWords(u, h.Form)), u.Para(u.T("Search goes on where it was."))), "")
		}
		s.verdict.Refresh()
		return
	}
	r := h.Result
	look := verdictLooks[r.Verdict]
	fill := map[string]color.Color{"success": u.Theme.SuccessTint, "warning": u.Theme.WarningTint, "danger": u.Theme.DangerTint}[look.token]
	words := kit.Rows(3, u.Strong(u.T(look.words)+"  ·  "+goalWords(u, h.Form)), u.Para(s.say.Say(r.Why)))
	if r.Verdict != "met" {
		floor := u.F("Floor of what was tried: %s, %s at p99, %s, %s", kit.Ms(r.Floor.Ms*1e6), kit.Ms(r.Floor.P99*1e6), kit.Bytes(r.Floor.Bytes), kit.MACs(r.Floor.MACs))
		if h.Form.Target != "" {
			floor = u.F("Floor of what was tried: %s, %s, %s", kit.Ms(r.Floor.Ms*1e6), kit.Bytes(r.Floor.Bytes), kit.MACs(r.Floor.MACs))
		}
		words.Add(u.Caption(floor))
	}
	if r.Times != "" {
		words.Add(u.Caption(u.T("Times") + ": " + s.say.Say(r.Times)))
	}
	note := u.F("%d tried", r.Tried)
	if r.Untried > 0 {
		note += ", " + u.F("%d left for another time", r.Untried)
	}
	switch {
	case h.Running:
		note += " …"
	case !h.Ended:
		words.Add(u.Caption(u.T("Search goes on where it was.")))
	}
	s.sayVerdict(look.icon, look.token, fill, words, note)
	s.verdict.Refresh()
}

// sayVerdict fills the line over everything.
func (s *screen) sayVerdict(icon, ink string, fill color.Color, words fyne.CanvasObject, note string) {
	line := container.NewBorder(nil, nil, kit.Pad(1, 10, 0, 0, kit.Icon(icon, ink, 18)), s.u.Caption(note).Whole(), words)
	s.verdict.Objects = []fyne.CanvasObject{kit.Pad(0, 0, gap, 0, container.NewStack(kit.Plate(fill, color.Transparent, 6), kit.Pad(8, 14, 8, 14, line)))}
}

// showFront draws all experiments; those that nobody beats are joined.
func (s *screen) showFront() {
	u, h := s.u, s.doc.Hunt
	list := points(h)
	if len(list) == 0 {
		s.fronts.SetText(u.T("Give limits and search: every recipe that is tried becomes a point."))
		s.front.Set(nil)
		return
	}
	other := h.Form.Target != "" // whose 99th percentile is not known
	if s.axis.SetOff(1, other); other && s.over == 1 {
		s.over = 0
		s.axis.Set(0)
	}
	a := axes()[s.over]
	s.fronts.SetText(u.F("%d experiments, numbers of their files", len(list)))
	f := &plot.Cloud{XTitle: a.name(u, h.Form.Target), YTitle: u.T("score, %"), XTick: plot.Tick, YTick: plot.Tick, StairsColour: u.Theme.Primary, Stairs: stairs(list, a.of),
		Selected: func(keys []string) bool { return keys[0] == s.look }}
	for _, p := range list {
		c, r := u.Theme.Text3, float32(3.5)
		if p.front {
			c, r = u.Theme.Primary, 4.5
		}
		pt := plot.CloudPoint{Keys: []string{p.Name}, X: a.of(p.Experiment), Y: 100 * p.Score, Colour: c, Radius: r,
			Tip: []string{p.Name, a.text(p.Experiment) + " · " + kit.Percent(p.Score) + " · " + kit.Bytes(p.Bytes), missText(u, p.Experiment)}}
		if p.Name == "original" {
			pt.Shape, pt.Colour, pt.Name = 1, u.Theme.Text1, u.T("original")
		} else if p.Meets {
			pt.Colour = u.Theme.Success
		}
		f.Points = append(f.Points, pt)
	}
	if a.limit != nil && a.limit(h.Form) > 0 {
		f.LimitX = []plot.Guide{{At: a.limit(h.Form), Text: "≤ " + plot.Tick(a.limit(h.Form)), Colour: u.Theme.Success}}
	}
	if h.Form.MACs > 0 && a.key == "macs" {
		v := h.Form.MACs * float64(h.Result.Base.MACs) / 1e6
		f.LimitX = []plot.Guide{{At: v, Text: "≤ " + kit.Sig(v), Colour: u.Theme.Success}}
	}
	if h.Form.Drop >= 0 {
		v := 100*h.Result.Base.Score - h.Form.Drop
		f.LimitY = []plot.Guide{{At: v, Text: "≥ " + kit.Sig(v), Colour: u.Theme.Success}}
	}
	if v := a.floor(h.Result); v > 0 {
		f.Floor = &plot.Guide{At: v, Text: u.F("floor %s", kit.Sig(v))}
	}
	f.Legend = []plot.ShapeEntry{{Colour: u.Theme.Success, Text: u.T("holds all limits")}, {Colour: u.Theme.Primary, Text: u.T("nobody is faster, smaller and better")}, {Colour: u.Theme.Text3, Text: u.T("beaten")}}
	s.front.Set(f)
}

// name is the axis' title; times are those of a board.
func (a axis) name(u *kit.UI, target string) string {
	if a.key == "p50" || a.key == "p99" {
		return u.T(a.title) + " · " + u.BoardName(target)
	}
	return u.T(a.title)
}

func missText(u *kit.UI, x app.Experiment) string {
	if x.Meets {
		return u.T("holds all limits")
	}
	return x.Misses
}

// showReward draws the reward of roll-outs and the best so far.
func (s *screen) showReward() {
	u, h := s.u, s.doc.Hunt
	if h == nil || h.Result == nil || len(h.Result.Rollouts) == 0 {
		s.rewards.SetText(u.T("reward of each recipe that gp, tpe, evolution or random proposes; the exact search has none"))
		s.reward.Set(nil)
		return
	}
	each := plot.Series{Colour: u.Theme.Text3, Dashed: true, Dots: true}
	best := plot.Series{Colour: u.Theme.Primary, Stairs: true}
	for _, r := range h.Result.Rollouts {
		if r.Damage == nil {
			continue
		}
		each.Points = append(each.Points, plot.CurvePoint{Keys: []string{r.Name}, X: float64(r.N), Y: r.Reward, Tip: []string{r.Name, u.F("reward %s", kit.Sig(r.Reward))}})
		best.Points = append(best.Points, plot.CurvePoint{X: float64(r.N), Y: r.Best})
	}
	s.rewards.SetText(u.F("%s, seed %d: less damage, less over the limits; bold: the best so far", h.Form.Optimizer, h.Form.Seed))
	s.reward.OnTap = func(m plot.Mark) { s.look = m.Keys[0]; s.redraw() }
	s.reward.Set(&plot.Curve{Series: []plot.Series{best, each}, XTitle: u.T("roll-out"), YTitle: u.T("reward"), XTick: plot.Whole, YTick: plot.Tick,
		Selected: func(keys []string) bool { return len(keys) == 1 && keys[0] == s.look }})
}

// goalWords are the limits as they are read.
func goalWords(u *kit.UI, f app.HuntForm) string {
	var l []string
	add := func(on bool, key, value string) {
		if on {
			l = append(l, u.T(key)+" ≤ "+value)
		}
	}
	add(f.P50Ms > 0, "median", kit.Ms(f.P50Ms*1e6))
	add(f.P99Ms > 0, "p99", kit.Ms(f.P99Ms*1e6))
	add(f.MB > 0, "file", kit.Bytes(int64(f.MB*1e6)))
	add(f.MACs > 0, "multiply-adds", kit.Percent(f.MACs))
	add(f.Drop >= 0, "points lost", kit.Sig(f.Drop))
	return strings.Join(l, ", ")
}

// showTree lists the kept recipes, each below what it was made from.
func (s *screen) showTree() {
	u := s.u
	s.tree.Objects = nil
	list := tree(s.state)
	for _, b := range list {
		s.tree.Add(s.branchRow(b))
	}
	if len(list) == 1 {
		s.tree.Add(kit.Pad(14, 14, 0, 14, u.Note(u.T("Keep the ledger under a name; go back to a step, change something and keep again: that is a branch."))))
	}
	s.tree.Refresh()
}

func (s *screen) branchRow(b branch) fyne.CanvasObject {
	u, id := s.u, b.id()
	name := u.T("original")
	bytes, macs := s.doc.BaseInfo.FileBytes, s.doc.BaseInfo.MACs
	if b.KeptRecipe != nil {
		name, bytes, macs = b.Name, b.Bytes, b.MACs
	}
	title := u.Dense(name)
	dot := kit.Plate(u.Theme.Bg2, u.Theme.Text2, 5)
	dot.StrokeWidth = 2
	fill := color.Color(color.Transparent)
	if b.at {
		title.Bold()
		dot.FillColor, dot.StrokeColor = u.Theme.Primary, u.Theme.Primary
		fill = u.Theme.Selection
	}
	stem := canvas.NewRectangle(color.Transparent)
	if b.depth > 0 {
		stem = canvas.NewRectangle(u.Theme.Line3)
	}
	mark := kit.Cols(4, kit.Space(float32(14*b.depth), 0), kit.Fixed(8, 2, stem), kit.Fixed(10, 10, dot))
	facts := []string{kit.Bytes(bytes), kit.MACs(macs)}
	if b.ns != nil {
		facts = append([]string{kit.Ms(*b.ns)}, facts...)
	}
	if b.score != nil {
		facts = append(facts, kit.Percent(*b.score))
	}
	pick := func(label string, at *int) *kit.Button {
		look := kit.Outline
		if *at == id {
			look = kit.Filled
		}
		return u.NewButton(look, "", label, func() {
			if *at == id {
				*at = -1
			} else {
				*at = id
			}
			s.redraw()
		}).Small()
	}
	line := kit.Cols(6, mark, kit.Flex(title), u.Caption(strings.Join(facts, " · ")).Whole(), pick("A", &s.a), pick("B", &s.b))
	plate := kit.Plate(fill, color.Transparent, 4)
	row := u.NewTappable(plate, kit.Pad(4, 10, 4, 10, line), func() {
		if id != s.doc.At || s.doc.Model.Hash() != hashOf(s.doc, b) {
			s.do.GoToKept(id)
		}
	})
	row.Plate(fill, color.Transparent)
	return kit.Fixed(0, 36, row)
}

func hashOf(d *app.Doc, b branch) string {
	if b.KeptRecipe == nil {
		return d.Base.Hash()
	}
	return b.Hash
}

// showSide is the experiment that is looked at, or the difference of two recipes.
func (s *screen) showSide() {
	u := s.u
	rows := kit.Rows(8)
	if text := s.difference(); text != nil {
		rows.Add(text)
		rows.Add(u.HRule())
	} else if one := s.one(); one != nil {
		rows.Add(one)
		rows.Add(u.HRule())
	}
	rows.Add(s.experiment())
	rows.Add(u.HRule())
	rows.Add(s.dataLines())
	s.side.Objects = []fyne.CanvasObject{kit.Pad(12, 14, 12, 14, rows)}
	s.side.Refresh()
}

// experiment is the point that was clicked, with its recipe.
func (s *screen) experiment() fyne.CanvasObject {
	u, h := s.u, s.doc.Hunt
	for _, p := range points(h) {
		if p.Name != s.look {
			continue
		}
		p99 := kit.Absent
		if p.P99 > 0 {
			p99 = kit.Ms(p.P99 * 1e6)
		}
		facts := []kit.Fact{{Key: "p50", Value: kit.Ms(p.Ms * 1e6)}, {Key: "p99", Value: p99}, {Key: u.T("file"), Value: kit.Bytes(p.Bytes)},
			{Key: "MAC", Value: kit.MACs(p.MACs)}, {Key: u.T("score"), Value: kit.Percent(p.Score)}, {Key: u.T("points lost"), Value: kit.Sig(p.Drop)}}
		rows := kit.Rows(6, u.Strong(p.Name), u.Facts(facts), u.Note(missText(u, p.Experiment)))
		name := p.Name
		apply := u.NewButton(kit.Filled, "check", u.T("Apply as one step"), func() { s.do.TryExperiment(name) })
		apply.SetOff(s.doc.Busy, u.T("the ledger is being applied"))
		rows.Add(kit.Cols(0, apply))
		if text := h.Recipes[p.Name]; text != "" {
			rows.Add(u.Caption(u.T("Recipe")))
			rows.Add(recipeBox(u, plain(text)))
		}
		return rows
	}
	return kit.Rows(4, u.Strong(u.T("No experiment is chosen")), u.Note(u.T("Click a point to see its recipe; applying it is one step that undo takes back.")))
}

// difference compares the recipes A and B of the tree, nil: not both are chosen.
func (s *screen) difference() fyne.CanvasObject {
	u := s.u
	if s.a < 0 || s.b < 0 || s.a == s.b {
		return nil
	}
	text := func(id int) (name, recipe string, ok bool) {
		if id == 0 {
			return u.T("original"), "", true
		}
		for _, k := range s.doc.Kept {
			if k.ID == id {
				return k.Name, k.Recipe, true
			}
		}
		return "", "", false
	}
	nameA, a, okA := text(s.a)
	nameB, b, okB := text(s.b)
	if !okA || !okB {
		return nil
	}
	rows := kit.Rows(6, u.Section(u.T("Difference of two recipes"), ""), u.Soft("A  "+nameA), u.Soft("B  "+nameB), recipeBox(u, app.DiffRecipes(a, b)))
	if s.b != 0 {
		rows.Add(s.naming(s.b, nameB))
	}
	return rows
}

// naming gives a kept recipe another name, or takes it out of the tree.
func (s *screen) naming(id int, name string) fyne.CanvasObject {
	u := s.u
	rename := widget.NewEntry()
	rename.SetText(name)
	rename.OnSubmitted = func(t string) { s.do.RenameKept(id, t) }
	return kit.Cols(6, kit.Flex(rename), u.NewButton(kit.Outline, "", u.T("Rename"), func() { s.do.RenameKept(id, rename.Text) }).Small(),
		u.NewButton(kit.Outline, "close", u.T("Forget"), func() { s.a, s.b = -1, -1; s.do.ForgetKept(id) }).Small())
}

// one is the kept recipe that alone is chosen, nil: none or two.
func (s *screen) one() fyne.CanvasObject {
	u := s.u
	if s.a >= 0 == (s.b >= 0) && s.a != s.b {
		return nil
	}
	for _, k := range s.doc.Kept {
		if k.ID == max(s.a, s.b) {
			return kit.Rows(6, u.Section(k.Name, u.T("choose another as well to compare")), recipeBox(u, plain(k.Recipe)), s.naming(k.ID, k.Name))
		}
	}
	return nil
}

func plain(text string) []app.RecipeLine { return app.DiffRecipes(text, text) }

// recipeBox shows lines of recipes; those of one alone are coloured.
func recipeBox(u *kit.UI, l []app.RecipeLine) fyne.CanvasObject {
	rows := kit.Rows(0)
	for _, x := range l {
		ink := u.Theme.Text2
		mark := "  "
		switch x.Mark {
		case '-':
			ink, mark = u.Theme.Loss, "− "
		case '+':
			ink, mark = u.Theme.Gain, "+ "
		}
		rows.Add(kit.NewLine(mark+x.Text, theme.Dense, ink).Mono())
	}
	return container.NewStack(kit.Plate(u.Theme.Bg3, color.Transparent, 4), kit.Pad(6, 8, 6, 8, rows))
}

// dataLines say what recipes are fitted to and scored on.
func (s *screen) dataLines() fyne.CanvasObject {
	u := s.u
	name := func(dir, own string) string {
		switch {
		case dir == "":
			return u.T("none chosen")
		case dir == own:
			return u.T("the sample's own pictures")
		}
		return filepath.Base(dir)
	}
	held := s.scored
	if held == "" && s.doc.Sample && s.doc.Trained {
		held = app.SampleScore
	}
	pick := func(text string, f func(dir string)) fyne.CanvasObject {
		return kit.Cols(8, kit.Flex(u.Soft(text)), u.NewButton(kit.Outline, "folder", u.T("Choose a folder"), func() { u.AskFolder(f) }).Small())
	}
	rows := kit.Rows(6, u.Section(u.T("Calibration"), ""), pick(name(s.doc.Data, app.SampleCalibrate), s.do.SetData), u.Section(u.T("Held-out data"), ""),
		pick(name(held, app.SampleScore), func(dir string) { s.scored = dir; s.showTools(); s.redraw() }))
	if h := s.doc.Hunt; h != nil && h.Result != nil && len(h.Result.Failed) > 0 {
		rows.Add(u.Section(u.T("Recipes that do not fit"), strconv.Itoa(len(h.Result.Failed))))
		for i, x := range h.Result.Failed {
			if i == 3 {
				break
			}
			rows.Add(u.Note(x.Name + ": " + s.say.Say(x.Problem)))
		}
	}
	return rows
}
