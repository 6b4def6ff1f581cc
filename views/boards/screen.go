// Package boards is the screen of the targets: what each is, how it is now, what of it spoils measurements and how to mend
// that, and the form that adds one.
//
// It opens no connection; rows.go decides what of the facts is worth a place. Start reading at New, then at Show.
package boards

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
)

// verbs are what the screen asks of the studio.
type verbs interface {
	AddBoard(app.AddBoardForm)
	Connect(name string)
	ForgetBoard(name string, removeAgent bool)
	FixBoard(name, fix string)
	MeasureBoard(name string)
	AskAccess(name string)
	RequestBoard(name string)
	TakeBoard(name string)
	MeasureNoise(name string)
	TrustKey(name, key string, drop bool)
	Show(screen string)
}

type screen struct {
	u   *kit.UI
	do  verbs
	say *kit.Phrases

	state   *app.State
	chosen  string
	adding  bool
	asked   bool // this computer was asked once by itself
	cards   map[*app.Board]*card
	content fyne.CanvasObject
	count   *kit.Line
	add     *kit.Button
	list    *fyne.Container
	right   *fyne.Container
	form    *form
	detail  *app.Board // what the right side was made of
}

// New makes the screen.
func New(u *kit.UI) kit.Screen { return newScreen(u, u.Studio) }

func newScreen(u *kit.UI, do verbs) *screen {
	s := &screen{u: u, do: do, say: u.NewPhrases(), chosen: app.LocalTarget, cards: map[*app.Board]*card{}}
	s.form = newForm(s)
	s.count = u.Caption("")
	s.add = u.NewButton(kit.Filled, "plus", u.T("Add board"), func() { s.setAdding(true) })
	head := kit.Cols(10, kit.NewLine(u.T("Boards"), 18, u.Theme.Text1).Bold().Whole(), kit.Flex(s.count), s.add)
	s.list = kit.Rows(10)
	s.right = container.NewStack()
	left := container.NewBorder(kit.Pad(0, 0, 10, 0, head), nil, nil, nil, container.NewVScroll(kit.Pad(0, 10, 0, 0, s.list)))
	s.content = kit.Pad(12, 16, 10, 16, container.NewBorder(nil, nil, kit.Pad(0, 12, 0, 0, kit.Fixed(478, 0, left)), nil, s.right))
	return s
}

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Primary is part of kit.Primary.
func (s *screen) Primary() {
	if s.adding {
		s.form.send()
		return
	}
	s.setAdding(true)
}

// Show brings the screen up to a state.
func (s *screen) Show(st *app.State) {
	s.state = st
	if local := st.Board(app.LocalTarget); local != nil && local.Facts == nil && local.Err == nil && !local.Busy && !s.asked {
		s.asked = true
		s.do.Connect(app.LocalTarget)
	}
	if st.Board(s.chosen) == nil {
		s.chosen = app.LocalTarget
	}
	s.showCards()
	s.showCount()
	if s.adding && s.form.sent != "" && st.Board(s.form.sent) != nil {
		s.chosen = s.form.sent
		s.setAdding(false)
		return
	}
	s.showRight()
}

func (s *screen) showCount() {
	ok := 0
	for _, b := range s.state.Boards {
		if b.Connected && b.Err == nil {
			ok++
		}
	}
	s.count.SetText(s.u.F("%d in the list, %d reached", len(s.state.Boards), ok))
}

// showCards makes the cards of the boards that changed and keeps the others.
func (s *screen) showCards() {
	keep := map[*app.Board]*card{}
	var objects []fyne.CanvasObject
	for _, b := range s.state.Boards {
		c := s.cards[b]
		if c == nil {
			c = newCard(s, b)
		}
		c.choose(b.Name == s.chosen && !s.adding)
		keep[b] = c
		objects = append(objects, c.object)
	}
	same := len(objects) == len(s.list.Objects)
	for i := 0; same && i < len(objects); i++ {
		same = objects[i] == s.list.Objects[i]
	}
	s.cards = keep
	if !same {
		s.list.Objects = objects
		s.list.Refresh()
	}
}

func (s *screen) choose(name string) {
	s.chosen, s.adding = name, false
	s.refresh()
}

func (s *screen) setAdding(on bool) {
	s.adding = on
	if on {
		s.form.clear()
	}
	s.refresh()
}

func (s *screen) refresh() {
	look := kit.Filled
	if s.adding { // the form has the filled button
		look = kit.Outline
	}
	s.add.SetLook(look)
	s.detail = nil
	if s.state != nil {
		s.showCards()
		s.showRight()
	}
}

func (s *screen) showRight() {
	if s.adding {
		s.form.show(s.state)
		s.setRight(s.form.object)
		s.detail = nil
		return
	}
	if b := s.state.Board(s.chosen); b != nil && b != s.detail {
		s.detail = b
		s.setRight(s.detailOf(b))
	}
}

func (s *screen) setRight(o fyne.CanvasObject) {
	if len(s.right.Objects) == 1 && s.right.Objects[0] == o {
		return
	}
	s.right.Objects = []fyne.CanvasObject{o}
	s.right.Refresh()
}
