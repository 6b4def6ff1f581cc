package kit

import (
	"image/color"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
)

// BoardPick is the list from which a board is chosen; this computer is always in it.
type BoardPick struct {
	Box fyne.CanvasObject

	u      *UI
	list   *widget.Select
	names  []string
	silent bool
}

// NewBoardPick makes a list of a width. changed is called when somebody chooses; it may be nil.
func (u *UI) NewBoardPick(width float32, changed func()) *BoardPick {
	p := &BoardPick{u: u}
	p.list = widget.NewSelect(nil, func(string) {
		if changed != nil && !p.silent {
			changed()
		}
	})
	p.list.PlaceHolder = u.T("board")
	p.Box = Fixed(width, 28, container.NewStack(p.list, Plate(color.Transparent, u.Theme.Line3, 5)))
	return p
}

// Show brings the list up to the boards of a state; what was chosen stays.
func (p *BoardPick) Show(boards []*app.Board) {
	names, labels := []string{}, []string{}
	for _, b := range boards {
		label := p.u.BoardName(b.Name)
		if !b.Local && b.Err != nil {
			label = p.u.F("%s (not reached)", b.Name)
		}
		names, labels = append(names, b.Name), append(labels, label)
	}
	if slices.Equal(names, p.names) && slices.Equal(labels, p.list.Options) {
		return
	}
	now := p.Board()
	p.names = names
	p.silent = true
	p.list.SetOptions(labels)
	p.silent = false
	p.Set(now)
}

// Board is the one that is chosen.
func (p *BoardPick) Board() string {
	if i := p.list.SelectedIndex(); i >= 0 && i < len(p.names) {
		return p.names[i]
	}
	return app.LocalTarget
}

// Set chooses a board; one that is not in the list leaves this computer.
func (p *BoardPick) Set(name string) {
	at := slices.Index(p.names, name)
	if at < 0 {
		at = slices.Index(p.names, app.LocalTarget)
	}
	if at >= 0 && at != p.list.SelectedIndex() {
		p.silent = true
		p.list.SetSelectedIndex(at)
		p.silent = false
	}
}

// Choose is what a click on a board does.
func (p *BoardPick) Choose(name string) {
	if at := slices.Index(p.names, name); at >= 0 {
		p.list.SetSelectedIndex(at)
	}
}

// BoardName is a board as it is shown.
func (u *UI) BoardName(name string) string {
	if name == app.LocalTarget || name == "" {
		return u.T("This computer")
	}
	return name
}

// BoardInText is a board within a sentence.
func (u *UI) BoardInText(name string) string {
	if name == app.LocalTarget || name == "" {
		return u.T("this computer")
	}
	return name
}
