package kit

import (
	"maps"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/internal/spec"
)

// Form is a form made from the options that a struct's tags describe: checks, choices, sliders and entries with their
// limits, units and help. It holds only values that differ from the defaults, as a recipe does.
type Form struct {
	Box     *fyne.Container
	u       *UI
	options []spec.Option
	values  map[string]any
	bad     map[string]bool
	rows    []formRow
	changed func()
}

type formRow struct {
	option spec.Option
	object fyne.CanvasObject
	group  *Form
}

// NewForm makes a form; changed is called after every change, valid or not.
func (u *UI) NewForm(options []spec.Option, values map[string]any, changed func()) *Form {
	f := &Form{u: u, options: options, values: maps.Clone(values), bad: map[string]bool{}, changed: changed}
	if f.values == nil {
		f.values = map[string]any{}
	}
	var objects []fyne.CanvasObject
	for _, o := range options {
		r := formRow{option: o}
		if o.Kind == spec.Group {
			sub, _ := f.values[o.Key].(map[string]any)
			r.group = u.NewForm(o.Options, sub, f.update)
			r.object = Rows(4, u.Strong(u.T(OptionTitle(o.Key))), Pad(0, 0, 0, 12, r.group.Box))
		} else {
			r.object = f.row(o)
		}
		f.rows = append(f.rows, r)
		objects = append(objects, r.object)
	}
	f.Box = Rows(10, objects...)
	f.show()
	return f
}

// Values are those that differ from the defaults.
func (f *Form) Values() map[string]any {
	out := maps.Clone(f.values)
	for _, r := range f.rows {
		if r.group != nil {
			delete(out, r.option.Key)
			if v := r.group.Values(); len(v) > 0 {
				out[r.option.Key] = v
			}
		}
	}
	return out
}

// Valid reports whether every entry can be read.
func (f *Form) Valid() bool {
	for _, r := range f.rows {
		if r.group != nil && !r.group.Valid() {
			return false
		}
	}
	return len(f.bad) == 0
}

func (f *Form) current(o spec.Option) any {
	if v, ok := f.values[o.Key]; ok {
		return v
	}
	return o.Default
}

func (f *Form) set(o spec.Option, v any) {
	delete(f.bad, o.Key)
	SetValue(o, v, f.values)
	f.update()
}

func (f *Form) update() {
	f.show()
	if f.changed != nil {
		f.changed()
	}
}

// show hides what does not apply to the values chosen.
func (f *Form) show() {
	for _, r := range f.rows {
		if Shown(r.option, f.options, f.values) {
			r.object.Show()
		} else {
			r.object.Hide()
		}
	}
	f.Box.Refresh()
}

func (f *Form) row(o spec.Option) fyne.CanvasObject {
	title := f.u.T(OptionTitle(o.Key))
	if o.Kind == spec.Bool {
		c := widget.NewCheck(title, nil)
		on, _ := f.current(o).(bool)
		c.SetChecked(on)
		c.OnChanged = func(b bool) { f.set(o, b) }
		return Rows(0, c, Pad(0, 0, 0, 28, f.help(o)))
	}
	head := []fyne.CanvasObject{f.u.Dense(title).Whole()}
	if o.Unit != "" {
		head = append(head, f.u.Caption(o.Unit).Whole())
	}
	return Rows(3, Cols(6, head...), f.control(o), f.help(o))
}

func (f *Form) help(o spec.Option) fyne.CanvasObject {
	if o.Help == "" {
		return Space(0, 0)
	}
	return f.u.Note(f.u.T(o.Help))
}

func (f *Form) control(o spec.Option) fyne.CanvasObject {
	text := FormText(o, f.current(o))
	switch {
	case o.Kind == spec.Enum && len(strings.Join(o.Enum, "   ")) <= 34:
		at := 0
		labels := make([]string, len(o.Enum))
		for i, e := range o.Enum {
			labels[i] = f.u.T(e)
			if e == text {
				at = i
			}
		}
		return f.u.NewSegmented(labels, at, func(i int) { f.set(o, o.Enum[i]) })
	case o.Kind == spec.Enum:
		s := widget.NewSelect(o.Enum, nil)
		s.SetSelected(text)
		s.OnChanged = func(v string) { f.set(o, v) }
		return s
	}
	entry := widget.NewEntry()
	entry.SetText(text)
	problem := NewLine("", f.u.Theme.Caption(), f.u.Theme.Danger)
	problem.Hide()
	var slider *widget.Slider
	read := func(text string) {
		v, why, args := FormValue(o, text)
		if why != "" {
			f.bad[o.Key] = true
			problem.SetText(f.u.F(why, args...))
			problem.Show()
			f.update()
			return
		}
		problem.Hide()
		if slider != nil {
			if x, ok := toNumber(v); ok {
				slider.Value = x
				slider.Refresh()
			}
		}
		f.set(o, v)
	}
	entry.OnChanged = read
	if o.Min != nil && o.Max != nil && (o.Kind == spec.Int || o.Kind == spec.Float) {
		slider = widget.NewSlider(*o.Min, *o.Max)
		slider.Step = o.Step
		if slider.Step == 0 {
			slider.Step = 1
			if o.Kind == spec.Float {
				slider.Step = (*o.Max - *o.Min) / 100
			}
		}
		if x, ok := toNumber(f.current(o)); ok {
			slider.Value = x
		}
		slider.OnChanged = func(x float64) {
			if o.Kind == spec.Int {
				entry.SetText(FormText(o, int64(x)))
			} else {
				entry.SetText(FormText(o, x))
			}
		}
		return Rows(2, container.NewBorder(nil, nil, nil, Fixed(84, 0, entry), f.u.Slide(slider, 0)), problem)
	}
	return Rows(2, entry, problem)
}
