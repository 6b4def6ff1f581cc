package profile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
)

// floors is the part that says in words what a board allows: the verdict on each limit with the ways out, and the floor of each layer with its
// arithmetic. The board need not be at hand.
type floors struct {
	s      *screen
	object fyne.CanvasObject
	tools  fyne.CanvasObject
	boards *widget.Select
	names  []string
	rows   *fyne.Container
	asked  string
	shown  *app.Bound
	goals  app.Goals
	set    bool // the screen itself moves the list
}

func newFloors(s *screen) *floors {
	u := s.u
	f := &floors{s: s, rows: kit.Rows(8)}
	f.boards = widget.NewSelect(nil, func(string) {
		if !f.set {
			f.asked = ""
			f.find()
		}
	})
	f.tools = s.boxed(210, f.boards)
	f.rows.Add(u.Note(u.T("What the board allows is reckoned from its facts.")))
	f.object = container.NewVScroll(kit.Pad(2, 14, 10, 14, f.rows))
	return f
}

// board is the one whose floors are shown.
func (f *floors) board() string {
	if i := f.boards.SelectedIndex(); i >= 0 && i < len(f.names) {
		return f.names[i]
	}
	return app.LocalTarget
}

// find asks once for each model, board and set of limits.
func (f *floors) find() {
	st := f.s.state
	if st == nil || st.Doc == nil || st.Doc.Busy {
		return
	}
	g := st.Doc.Goals
	key := fmt.Sprint(st.Doc.Model.Hash(), f.board(), deref(g.P99Ns), deref(g.Bytes))
	if f.asked != key {
		f.asked = key
		f.s.do.FindFloors(f.board())
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (f *floors) show(st *app.State) {
	u := f.s.u
	names, labels := []string(nil), []string(nil)
	for _, b := range st.Boards {
		label := b.Name
		if b.Local {
			label = u.T("This computer")
		}
		names, labels = append(names, b.Name), append(labels, label)
	}
	for _, k := range app.BuiltInBoards() {
		names, labels = append(names, k.Name), append(labels, k.Title)
	}
	if !slices.Equal(names, f.names) {
		was := f.board()
		if f.names == nil {
			was = f.s.bar.board()
		}
		f.set = true
		f.names = names
		f.boards.SetOptions(labels)
		f.boards.SetSelectedIndex(max(slices.Index(names, was), 0))
		f.set = false
	}
	if st.Doc == nil {
		return
	}
	b := st.Doc.BoundNow()
	if at := slices.Index(f.names, boundTarget(b)); b != f.shown && at >= 0 && at != f.boards.SelectedIndex() { // asked for elsewhere
		f.set = true
		f.boards.SetSelectedIndex(at)
		f.set = false
	}
	if b == nil || b.Target != f.board() || b.Goals != st.Doc.Goals {
		f.find()
	}
	if b != nil && (b != f.shown || f.goals != st.Doc.Goals) {
		f.shown, f.goals = b, st.Doc.Goals
		f.fill(b)
	}
}

func boundTarget(b *app.Bound) string {
	if b == nil {
		return ""
	}
	return b.Target
}

// fill writes what is known.
func (f *floors) fill(b *app.Bound) {
	u := f.s.u
	f.rows.RemoveAll()
	defer f.rows.Refresh()
	if b.GoalVerdict == nil {
		return
	}
	for i := range b.Answers {
		f.rows.Add(f.answer(&b.Answers[i]))
	}
	if len(b.Answers) == 0 {
		f.rows.Add(u.Note(u.T("Set a limit of time or size in the goal bar, and it is judged here.")))
	}
	if b.Unpredicted != "" {
		f.rows.Add(u.Note(u.F("not foretold: %s", f.s.say.Say(b.Unpredicted))))
	}
	w := b.Floors
	if w.MACs == 0 {
		f.rows.Add(u.Para(u.F("No floor is known: %s", f.s.say.Say(w.Why))))
	} else {
		f.rows.Add(u.Facts([]kit.Fact{{Key: u.T("floats, direct"), Value: kit.Ms(w.Direct)}, {Key: u.T("floats, best algorithm"), Value: kit.Ms(w.Winograd)}, {Key: u.T("8 bits"), Value: kit.Ms(w.Int8)}}))
		if len(b.Answers) == 0 { // an answer has the arithmetic in its reason
			f.rows.Add(u.Note(f.s.say.Say(w.Why)))
		}
	}
	f.rows.Add(u.HRule())
	f.layers(b.Layers)
}

// verdictLooks are word, icon and colour of what can be said of a limit.
var verdictLooks = map[string]struct{ word, icon, token string }{
	"met": {"met", "check", "success"}, "likely": {"likely", "check", "success"}, "unlikely": {"unlikely", "warning", "warning"},
	"impossible": {"impossible", "floor", "danger"}, "unknown": {"not known", "info", "text3"},
}

// answer is one limit: the verdict, why, and the ways out.
func (f *floors) answer(a *app.GoalAnswer) fyne.CanvasObject {
	u := f.s.u
	look := verdictLooks[a.Verdict]
	rows := kit.Rows(3, kit.Cols(8, kit.Icon(look.icon, look.token, 16), u.Strong(u.T(look.word)).Whole(), kit.Flex(u.Soft(f.s.say.Say(a.Limit)))), u.Para(sentences(f.s.say, a.Why)))
	for _, w := range a.Ways {
		icon, token := "minus", "text3"
		if w.Enough {
			icon, token = "check", "success"
		}
		text := f.s.say.Say(w.What)
		if w.Ms[0] > 0 && w.Ms[0] != w.Ms[1] {
			text += ": " + kit.Ms(w.Ms[0]*1e6) + " – " + kit.Ms(w.Ms[1]*1e6)
		}
		if w.Top1 > 0 {
			text += " · top-1 " + kit.Sig(w.Top1) + " %"
		}
		rows.Add(container.NewBorder(nil, nil, kit.Pad(2, 6, 0, 0, kit.Icon(icon, token, 13)), nil, kit.Rows(0, u.Note(text), u.Caption(f.s.say.Say(w.Why)))))
	}
	return rows
}

// sentences translates a text that has several of them.
func sentences(say *kit.Phrases, text string) string {
	parts := strings.Split(text, ". ")
	for i := range parts {
		parts[i] = say.Say(parts[i])
	}
	sep := ". "
	if len(parts) > 0 && parts[0] != strings.Split(text, ". ")[0] {
		sep = "。"
	}
	return strings.Join(parts, sep)
}

// mostFloors is how many layers are listed; the others are counted.
const mostFloors = 40

// layers lists the floor of each layer with its arithmetic, the largest first.
func (f *floors) layers(all []app.LayerInfo) {
	u := f.s.u
	var list []app.LayerInfo
	for _, l := range all {
		if l.MACs > 0 {
			list = append(list, l)
		}
	}
	slices.SortStableFunc(list, func(a, b app.LayerInfo) int { return cmp.Compare(deref(b.FloorNs), deref(a.FloorNs)) })
	for i, l := range list {
		if i == mostFloors {
			f.rows.Add(u.Caption(u.F("and %d more", len(list)-mostFloors)))
			return
		}
		ns := kit.Absent
		if l.FloorNs != nil {
			ns = kit.Ms(float64(*l.FloorNs))
		}
		words := kit.Rows(0, kit.Cols(8, kit.Flex(u.Dense(cmp.Or(l.Name, l.ID))), u.Dense(ns).Whole()), u.Caption(f.s.say.Say(l.FloorWhy)))
		f.rows.Add(u.NewTappable(nil, words, func() { f.s.do.Select(f.s.originsOf(l.ID), "profile") }))
	}
}

// originsOf are the imported nodes that a node of the model stands for.
func (s *screen) originsOf(id string) []string {
	if s.state != nil && s.state.Doc != nil {
		for _, n := range s.state.Doc.Model.Graph.Nodes {
			if string(n.ID) == id && len(n.Origin) > 0 {
				var out []string
				for _, o := range n.Origin {
					out = append(out, string(o))
				}
				return out
			}
		}
	}
	return []string{id}
}
