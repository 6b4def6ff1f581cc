// Package start is the first screen: recent models, a place to drop a file, built-in samples, and the boards.
//
// rows.go turns the state into rows; start reading at New.
package start

import (
	"image"
	"image/color"
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

const (
	recentCards  = 6
	boardCards   = 2
	firstSamples = 5
)

type screen struct {
	u       *kit.UI
	content fyne.CanvasObject
	recent  *fyne.Container
	boards  *fyne.Container
	state   *app.State
}

// New makes the screen.
func New(u *kit.UI) kit.Screen {
	s := &screen{u: u, recent: container.New(&cardGrid{2}), boards: container.New(&thirds{})}
	left := kit.Rows(18, s.head(), s.dropZone(), s.samples(), kit.Rows(10, u.Title(u.T("Boards")), s.boards), u.Caption(u.F("Version %s · works offline", app.Version)))
	right := kit.Rows(14, kit.Space(0, 8), u.Title(u.T("Recent models")), s.recent,
		u.Caption(u.T("Ctrl O open · Ctrl P quick open · Ctrl Shift P every command · F1 keys")))
	s.content = container.NewVScroll(kit.Pad(32, 24, 16, 32, container.New(&halves{}, left, right)))
	return s
}

// Content is part of kit.Screen.
func (s *screen) Content() fyne.CanvasObject { return s.content }

// Primary opens a model.
func (s *screen) Primary() { s.u.Do("open") }

// Show is part of kit.Screen.
func (s *screen) Show(st *app.State) {
	before := s.state
	s.state = st
	if before == nil || len(before.Recent) != len(st.Recent) || len(st.Recent) > 0 && &before.Recent[0] != &st.Recent[0] {
		s.showRecent(st)
	}
	changed := before == nil || len(before.Boards) != len(st.Boards)
	for i := 0; !changed && i < len(st.Boards); i++ {
		changed = before.Boards[i] != st.Boards[i]
	}
	if changed {
		s.showBoards(st)
	}
}

func (s *screen) head() fyne.CanvasObject {
	return kit.Rows(6, s.u.Hero(s.u.T("Make the network fit the board.")), s.u.Soft(s.u.T("Open a model, see where the time goes, trim it, put it on the board, measure again.")))
}

func (s *screen) dropZone() fyne.CanvasObject {
	u := s.u
	button := u.NewButton(kit.Filled, "folder", u.T("Open a model"), func() { u.Do("open") }).Large()
	inner := kit.Rows(8, container.NewCenter(kit.Icon("model", "primary", 36)), kit.NewLine(u.T("Drop an .onnx or .tflite file here"), 15, u.Theme.Text1).Center(),
		u.Caption(u.T("nothing leaves this computer")).Center(), kit.Space(0, 2), container.NewCenter(button))
	return container.NewStack(dashed(u.Theme.Line3, 10), kit.Fixed(0, 190, container.NewCenter(kit.Fixed(360, 0, inner))))
}

// dashed is the edge of a place to drop something.
func dashed(c color.NRGBA, radius float64) *canvas.Raster {
	return kit.NewRaster(func(img *image.NRGBA) {
		w, h := float64(img.Rect.Dx()), float64(img.Rect.Dy())
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				// Distance to a rounded rectangle one pixel inside of the edge.
				dx := math.Abs(float64(x)+0.5-w/2) - (w/2 - 1 - radius)
				dy := math.Abs(float64(y)+0.5-h/2) - (h/2 - 1 - radius)
				d := math.Abs(math.Hypot(math.Max(dx, 0), math.Max(dy, 0)) + math.Min(math.Max(dx, dy), 0) - radius)
				if d <= 1 && (x+y)%12 < 7 {
					img.SetNRGBA(x, y, theme.Alpha(c, 1-d))
				}
			}
		}
	})
}

func (s *screen) samples() fyne.CanvasObject {
	u := s.u
	list := samples(u.Studio.State().Samples)
	box := kit.Rows(0)
	var fill func(n int)
	all := u.NewButton(kit.Link, "", u.F("All samples (%d)", len(list)), func() { fill(len(list)) }).Small()
	fill = func(n int) {
		box.Objects = nil
		for i, r := range list[:min(n, len(list))] {
			if i > 0 {
				box.Objects = append(box.Objects, kit.Pad(0, 10, 0, 10, u.HRule()))
			}
			box.Objects = append(box.Objects, s.sample(r))
		}
		if n >= len(list) {
			all.Hide()
		}
		if s.content != nil {
			s.content.Refresh()
		}
	}
	fill(firstSamples)
	return kit.Rows(6, kit.Cols(8, u.Title(u.T("Samples")).Whole(), kit.Gap(), u.Caption(u.T("included, no network needed")).Whole(), all), box)
}

func (s *screen) sample(r sampleRow) fyne.CanvasObject {
	u := s.u
	token, mark := "text2", u.Caption(u.T("random weights")).Whole()
	if r.Trained {
		token, mark = "primary", kit.NewLine(u.T("trained"), u.Theme.Caption(), u.Theme.Success).Whole()
	}
	icon := container.NewStack(kit.Plate(u.Theme.Bg3, color.Transparent, 6), container.NewCenter(kit.Icon("model", token, 16)))
	row := kit.Cols(12, kit.Fixed(28, 28, icon), kit.Flex(kit.Rows(0, u.Strong(r.Title), u.Caption(u.T(r.About)))), mark, kit.Icon("chevron-right", "text2", 16))
	return u.NewTappable(kit.Plate(color.Transparent, color.Transparent, 6), kit.Fixed(0, 46, kit.Pad(0, 10, 0, 10, row)), func() { u.Leave(func() { u.Studio.OpenSample(r.Name) }) })
}

func (s *screen) showRecent(st *app.State) {
	s.recent.Objects = nil
	s.recent.Layout = &cardGrid{2}
	for _, c := range cards(st.Recent, recentCards) {
		s.recent.Objects = append(s.recent.Objects, s.card(c))
	}
	if len(s.recent.Objects) == 0 {
		s.recent.Layout = &cardGrid{1}
		s.recent.Objects = []fyne.CanvasObject{s.u.Panel(kit.AtLeast(0, 160, s.u.Empty("model", s.u.T("No model was open yet"), s.u.T("What you open shows here, with its last measurement."),
			s.u.T("Open the trained sample"), func() { s.u.Do("sample") })))}
	}
	s.recent.Refresh()
	if s.content != nil {
		s.content.Refresh()
	}
}

func (s *screen) card(c card) fyne.CanvasObject {
	u := s.u
	number := func(caption, value string) fyne.CanvasObject {
		return kit.Rows(0, u.Caption(u.T(caption)), kit.NewLine(value, theme.Title, u.Theme.Text1).Bold())
	}
	goal := kit.Rows(0, u.Caption(u.T("limit p99")).Right(), kit.NewLine(c.Goal, theme.Body, u.Theme.Text2).Right())
	if c.Goal == "" {
		goal = kit.Rows(0)
	}
	board := c.Board
	if board == "" {
		board = u.T("not measured yet")
	} else if board == app.LocalTarget {
		board = u.T("This computer")
	}
	step := c.Step
	if step == "" {
		step = u.T("as opened")
	}
	var past fyne.CanvasObject = kit.Fixed(0, 40, s.u.Hatch())
	if len(c.Past) > 0 {
		past = kit.Fixed(0, 40, container.New(&bars{c.Past, c.GoalAt}, s.barObjects(c)...))
	}
	body := kit.Rows(7,
		kit.Cols(8, kit.Flex(u.Title(c.Name)), u.Caption(c.When.Format("2 Jan 15:04")).Whole()), u.Soft(board), u.HRule(),
		container.New(&quarters{}, number("p50", c.P50), number("file", c.File), number("accuracy", c.Accuracy), goal), past, u.HRule(),
		kit.Cols(8, u.SealMark(c.Seal, 15), kit.Flex(u.Soft(step)), kit.NewLine(u.T("Open"), theme.Dense, u.Theme.Primary).Whole()))
	return u.NewTappable(kit.Plate(u.Theme.Bg2, u.Theme.Line1, 8), kit.Pad(12, 15, 12, 15, body), func() { u.Leave(func() { u.Studio.Open(c.Path) }) })
}

func (s *screen) barObjects(c card) []fyne.CanvasObject {
	var out []fyne.CanvasObject
	for i := range c.Past {
		fill := s.u.Theme.Bg4
		if i == len(c.Past)-1 {
			fill = s.u.Theme.RunB
		}
		out = append(out, kit.Plate(fill, color.Transparent, 2))
	}
	limit := canvas.NewRectangle(s.u.Theme.Text1)
	return append(out, limit)
}

func (s *screen) showBoards(st *app.State) {
	u := s.u
	s.boards.Objects = nil
	for _, b := range boards(st.Boards, boardCards) {
		name := b.Name
		if b.Local {
			name = u.T("This computer")
		}
		facts := b.Facts
		if facts == "" {
			facts = u.T("see Boards for its facts")
		}
		body := kit.Rows(3, kit.Cols(8, kit.Icon("chip", "text1", 16), kit.Flex(u.Strong(name))), u.Caption(facts), kit.Cols(6, kit.Icon(b.Icon, b.Token, 13), kit.Flex(u.Caption(u.T(b.State)))))
		s.boards.Objects = append(s.boards.Objects, u.NewTappable(kit.Plate(u.Theme.Bg2, u.Theme.Line1, 8), kit.Pad(9, 10, 9, 10, body), func() { u.Studio.Show("boards") }))
	}
	add := kit.Rows(3, kit.Cols(8, kit.Icon("plus", "primary", 16), kit.Flex(kit.NewLine(u.T("Connect a board"), theme.Body, u.Theme.Primary))),
		u.Caption(u.T("user@address, about 60 s")), u.Caption(u.T("no root, no open port")))
	s.boards.Objects = append(s.boards.Objects, container.NewStack(dashed(u.Theme.Line3, 8), u.NewTappable(kit.Plate(color.Transparent, color.Transparent, 8), kit.Pad(9, 10, 9, 10, add), func() { u.Do("connect") })))
	s.boards.Refresh()
}
