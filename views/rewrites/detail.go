package rewrites

import (
	"image/color"
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/views/kit"
	"fettle/views/kit/theme"
)

// detail is the inspector of one entry: what it promises, its options, and the places it looked at.
type detail struct {
	object *fyne.Container
	u      *kit.UI
	list   *widget.List
	found  []finding
	index  int
}

func newDetail(u *kit.UI) *detail {
	d := &detail{u: u, object: container.NewStack(), index: -1}
	d.list = widget.NewList(func() int { return len(d.found) }, func() fyne.CanvasObject {
		return kit.Cols(8, kit.Fixed(14, 22, container.NewStack()), kit.Fixed(150, 22, u.Dense("")), kit.Flex(u.Soft("")))
	}, func(i widget.ListItemID, o fyne.CanvasObject) {
		f, row := d.found[i], o.(*fyne.Container).Objects
		sign := row[0].(*fyne.Container).Objects[0].(*fyne.Container)
		sign.Objects = []fyne.CanvasObject{kit.Icon(f.Icon, f.Token, 14)}
		sign.Refresh()
		row[1].(*fyne.Container).Objects[0].(*kit.Line).SetText(f.Label)
		row[2].(*fyne.Container).Objects[0].(*kit.Line).SetText(u.Say(f.Reason))
	})
	d.list.OnSelected = func(i widget.ListItemID) { u.Studio.Select(d.found[i].Origins, "rewrites") }
	return d
}

// show describes entry i of the ledger.
func (d *detail) show(doc *app.Doc, i int) {
	if i < 0 || i >= len(doc.Steps) {
		d.index = -1
		d.object.Objects = []fyne.CanvasObject{d.u.Panel(d.u.Empty("info", d.u.T("No rewrite is chosen"), d.u.T("Add one to see what it does to this model."), "", nil))}
		d.object.Refresh()
		return
	}
	d.index = i
	u, st := d.u, &doc.Steps[i]
	info := d.info(st.Pass)
	top := []fyne.CanvasObject{u.Title(u.T(st.Title)), u.Para(u.T(st.Promise)), d.facts(st, info)}
	if st.Err != nil {
		top = append(top, u.ErrorPanel(st.Err))
	}
	if info.NeedsData {
		top = append(top, d.data(doc))
	}
	if len(info.Options) > 0 {
		top = append(top, u.HRule(), d.options(st, info))
	}
	d.found = findings(st)
	applied, refused := st.Places()
	d.list.UnselectAll()
	d.list.Refresh()
	places := container.NewBorder(kit.Rows(6, u.HRule(), u.Section(u.T("Places"), u.F("%d applied · %d refused", applied, refused))), nil, nil, nil, d.list)
	if len(d.found) == 0 {
		places = container.NewBorder(kit.Rows(6, u.HRule(), u.Section(u.T("Places"), ""), u.Soft(u.T("This rewrite found no place in this model."))), nil, nil, nil)
	}
	d.object.Objects = []fyne.CanvasObject{u.Panel(container.New(&split{}, container.NewVScroll(kit.Pad(0, 10, 0, 0, kit.Rows(8, top...))), places))}
	d.object.Refresh()
}

func (d *detail) info(pass string) app.PassInfo {
	for _, p := range d.u.Studio.Passes() {
		if p.Name == pass {
			return p
		}
	}
	return app.PassInfo{Name: pass}
}

func (d *detail) facts(st *app.StepResult, info app.PassInfo) fyne.CanvasObject {
	u := d.u
	facts := []kit.Fact{{Key: u.T("Outputs"), Value: u.T(promise(st.Exactness))}}
	if st.Model != nil {
		arrow := func(a, b string) string {
			if a == b {
				return a
			}
			return a + " → " + b
		}
		facts = append(facts,
			kit.Fact{Key: u.T("Nodes"), Value: arrow(kit.Count(int64(st.Before.Nodes)), kit.Count(int64(st.After.Nodes)))},
			kit.Fact{Key: u.T("Weights"), Value: arrow(kit.Bytes(st.Before.WeightBytes), kit.Bytes(st.After.WeightBytes))},
			kit.Fact{Key: u.T("Work"), Value: arrow(kit.MACs(st.Before.MACs), kit.MACs(st.After.MACs))})
		if p := st.Proof; p != nil && p.N > 0 {
			facts = append(facts, kit.Fact{Key: u.T("Compared on"), Value: u.F("%d inputs, max |e| %s, relative %s", p.N, sciOr0(p.MaxAbs), sciOr0(p.MaxRel))})
		}
	}
	if info.Paper != "" {
		facts = append(facts, kit.Fact{Key: u.T("Source"), Value: info.Paper, Token: "text2"})
	}
	return u.Facts(facts)
}

func sciOr0(x float64) string {
	if x == 0 {
		return "0"
	}
	return sci(x)
}

// promise says what a pass leaves of the outputs; a key of the translations.
func promise(exactness string) string {
	switch exactness {
	case "exact":
		return "the same bits"
	case "bounded":
		return "equal up to rounding"
	}
	return "another function: measure the accuracy"
}

// data lets the user choose what a pass calibrates on.
func (d *detail) data(doc *app.Doc) fyne.CanvasObject {
	u := d.u
	now, token := u.T("none chosen: this rewrite needs some"), "warning"
	switch doc.Data {
	case "":
	case app.SampleCalibrate:
		now, token = u.T("the sample's own pictures"), "text1"
	default:
		now, token = filepath.Base(doc.Data), "text1"
	}
	choose := u.NewButton(kit.Outline, "folder", u.T("Choose a folder"), func() { u.AskFolder(u.Studio.SetData) }).Small()
	row := []fyne.CanvasObject{choose}
	if doc.Sample && doc.Trained && doc.Data != app.SampleCalibrate {
		row = append(row, u.NewButton(kit.Outline, "", u.T("Use the sample's pictures"), func() { u.Studio.SetData(app.SampleCalibrate) }).Small())
	}
	return container.NewStack(kit.Plate(u.Theme.Bg3, color.Transparent, 6), kit.Pad(8, 10, 8, 10,
		kit.Rows(6, kit.Cols(8, u.Soft(u.T("Calibration data")).Whole(), kit.Flex(kit.NewLine(now, theme.Dense, u.Theme.Token(token)))), kit.Cols(8, row...))))
}

func (d *detail) options(st *app.StepResult, info app.PassInfo) fyne.CanvasObject {
	u, index := d.u, d.index
	var form *kit.Form
	apply := u.NewButton(kit.Outline, "check", u.T("Apply the options"), func() { u.Studio.SetOptions(index, form.Values()) }).Small()
	apply.SetOff(true, "")
	reset := u.NewButton(kit.Link, "", u.T("Back to the defaults"), func() { u.Studio.SetOptions(index, nil) }).Small()
	reset.SetOff(len(st.Options) == 0, "")
	form = u.NewForm(info.Options, st.Options, func() { apply.SetOff(!form.Valid(), "") })
	return kit.Rows(8, form.Box, kit.Cols(8, apply, reset))
}

// split gives the upper part what it needs, up to 62 % of the height, and the lower part the rest.
type split struct{}

func (*split) Layout(o []fyne.CanvasObject, size fyne.Size) {
	want := o[0].(*container.Scroll).Content.MinSize().Height + 4
	top := min(want, size.Height*0.62)
	o[0].Resize(fyne.NewSize(size.Width, top))
	o[0].Move(fyne.NewPos(0, 0))
	o[1].Resize(fyne.NewSize(size.Width, size.Height-top-8))
	o[1].Move(fyne.NewPos(0, top+8))
}

func (*split) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(300, 300) }

// columns puts the ledger at the left and the inspector, 420 wide, at the right.
type columns struct{}

func (*columns) Layout(o []fyne.CanvasObject, size fyne.Size) {
	right := min(max(size.Width*0.34, 380), 480)
	o[0].Resize(fyne.NewSize(size.Width-right, size.Height))
	o[0].Move(fyne.NewPos(0, 0))
	o[1].Resize(fyne.NewSize(right, size.Height))
	o[1].Move(fyne.NewPos(size.Width-right, 0))
}

func (*columns) MinSize(o []fyne.CanvasObject) fyne.Size { return fyne.NewSize(900, 400) }

// layoutOf puts n objects side by side with the same width.
func layoutOf(gap float32, n int) fyne.Layout { return &evenly{gap, n} }

type evenly struct {
	gap float32
	n   int
}

func (e *evenly) Layout(o []fyne.CanvasObject, size fyne.Size) {
	w := (size.Width - e.gap*float32(e.n-1)) / float32(e.n)
	for i, x := range o {
		x.Resize(fyne.NewSize(w, size.Height))
		x.Move(fyne.NewPos(float32(i)*(w+e.gap), 0))
	}
}

func (e *evenly) MinSize(o []fyne.CanvasObject) fyne.Size {
	s := fyne.Size{}
	for _, x := range o {
		m := x.MinSize()
		s.Width, s.Height = s.Width+m.Width+e.gap, max(s.Height, m.Height)
	}
	return s
}
