package views

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// activityBar is the column of screens at the left.
type activityBar struct {
	object fyne.CanvasObject
	u      *kit.UI
	items  map[string]*activityItem
	chosen string
}

type activityItem struct {
	tap   *kit.Tappable
	bar   *canvas.Rectangle
	icons [2]fyne.CanvasObject // plain, chosen
	label *kit.Line
	dot   *canvas.Circle
}

func newActivityBar(u *kit.UI, show func(string), language, appearance func()) *activityBar {
	b := &activityBar{u: u, items: map[string]*activityItem{}}
	logo := canvas.NewImageFromResource(theme.AppIcon())
	logo.FillMode = canvas.ImageFillContain
	column := []fyne.CanvasObject{kit.Fixed(68, 64, container.NewCenter(kit.Fixed(32, 32, logo)))}
	group := 0
	for i, r := range routes() {
		if i > 0 && r.group != group {
			column = append(column, kit.Pad(5, 18, 5, 18, u.HRule()))
		}
		group = r.group
		item := newActivityItem(u, r, func() { show(r.id) })
		b.items[r.id] = item
		column = append(column, kit.Pad(1.5, 0, 1.5, 0, item.object()))
	}
	lang := u.NewButton(kit.Ghost, "language", "", language).Small().Says("中文 / English  Ctrl L")
	look := u.NewButton(kit.Ghost, "settings", "", appearance).Small().Says(u.T("Dark or light") + "  Ctrl Shift L")
	foot := kit.Pad(0, 6, 8, 6, kit.Cols(2, lang, look))
	edge := canvas.NewRectangle(u.Theme.Line1)
	edge.SetMinSize(fyne.NewSize(1, 0))
	b.object = kit.Fill(u.Theme.Bg0, container.NewStack(container.NewBorder(nil, foot, nil, nil, kit.Rows(0, column...)), container.NewBorder(nil, nil, nil, edge)))
	return b
}

func newActivityItem(u *kit.UI, r route, tap func()) *activityItem {
	t := &activityItem{bar: canvas.NewRectangle(u.Theme.Primary), label: kit.NewLine(u.T(r.title), 11, u.Theme.Text2).Center()}
	t.icons = [2]fyne.CanvasObject{kit.Icon(r.icon, "text2", 22), kit.Icon(r.icon, "text1", 22)}
	t.icons[1].Hide()
	t.dot = canvas.NewCircle(u.Theme.Primary)
	t.dot.Hide()
	face := kit.Rows(1, kit.Space(0, 3), container.NewCenter(container.NewStack(t.icons[0], t.icons[1])), t.label)
	t.tap = u.NewTappable(kit.Plate(color.Transparent, color.Transparent, 6), kit.Fixed(56, 48, face), tap)
	t.bar.Hide()
	return t
}

func (t *activityItem) object() fyne.CanvasObject {
	t.bar.CornerRadius = 1.5
	return container.New(&activityLayout{}, t.tap, t.bar, t.dot)
}

// activityLayout puts an item 6 from the rim, its bar at the rim, and its dot at the right top.
type activityLayout struct{}

func (*activityLayout) Layout(o []fyne.CanvasObject, size fyne.Size) {
	o[0].Resize(fyne.NewSize(56, 48))
	o[0].Move(fyne.NewPos(6, 0))
	o[1].Resize(fyne.NewSize(3, 36))
	o[1].Move(fyne.NewPos(0, 6))
	o[2].Resize(fyne.NewSize(6, 6))
	o[2].Move(fyne.NewPos(50, 5))
}
func (*activityLayout) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(68, 48) }

// show marks the chosen screen and the screens with a running job.
func (b *activityBar) show(s *app.State) {
	busy := map[string]bool{}
	for _, j := range s.Active() {
		busy[jobScreen(j.Title)] = true
	}
	for id, t := range b.items {
		if chosen := id == s.Screen; chosen != (b.chosen == id) || b.chosen == "" {
			fill, ink := color.NRGBA{}, b.u.Theme.Text2
			t.icons[0].Show()
			t.icons[1].Hide()
			t.bar.Hide()
			if chosen {
				fill, ink = b.u.Theme.Selection, b.u.Theme.Text1
				t.icons[1].Show()
				t.icons[0].Hide()
				t.bar.Show()
			}
			t.tap.Plate(fill, color.Transparent)
			t.label.Set(t.label.Text(), ink)
		}
		if busy[id] != t.dot.Visible() {
			if busy[id] {
				t.dot.Show()
			} else {
				t.dot.Hide()
			}
			t.dot.Refresh()
		}
	}
	b.chosen = s.Screen
}

// jobScreen is the screen where a job's result appears.
func jobScreen(title string) string {
	switch title {
	case "Profile", "Export the run":
		return "profile"
	case "Apply rewrites", "Measure the accuracy":
		return "rewrites"
	case "Deploy", "Roll back", "Ask what is deployed", "Remove the deployment":
		return "deploy"
	case "Connect a board", "Ask the board", "Forget the board":
		return "boards"
	case "Open a model", "Open a sample":
		return "model"
	}
	return ""
}

func underline(u *kit.UI) fyne.CanvasObject {
	return container.NewBorder(nil, u.HRule(), nil, nil)
}
