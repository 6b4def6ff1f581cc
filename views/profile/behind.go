package profile

import (
	"maps"
	"slices"
	"sort"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"fettle/app"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/plot"
)

// behind is the card of what stands behind a run: other runs, floors in words, the audit of what the board computes, and counters.
type behind struct {
	s      *screen
	card   fyne.CanvasObject
	tabs   *kit.Segmented
	parts  []fyne.CanvasObject
	tools  []fyne.CanvasObject
	stack  *fyne.Container
	line   *fyne.Container
	floors *floors
	audit  *audit
	count  *widget.Check
	counts *plot.Table
	absent *fyne.Container
	of     *profiler.Profile // that the counters are of
}

// The tabs of the card.
const (
	tabRuns = iota
	tabFloors
	tabAudit
	tabCounters
)

func newBehind(s *screen) *behind {
	u := s.u
	b := &behind{s: s, floors: newFloors(s), audit: newAudit(s), stack: container.NewStack(), line: container.NewStack(), absent: kit.Rows(2)}
	b.count = widget.NewCheck(u.T("Count with the next run"), nil)
	b.counts = plot.NewTable(s.ink, nil)
	b.counts.Empty = u.T("This run counted nothing")
	b.counts.OnSelect = func(keys []string) { s.do.Select(keys, "profile") }
	counters := container.NewBorder(nil, kit.Pad(2, 14, 8, 14, b.absent), nil, nil, b.counts)
	b.parts = []fyne.CanvasObject{s.past.card, b.floors.object, b.audit.object, counters}
	b.tools = []fyne.CanvasObject{kit.Space(0, 28), b.floors.tools, b.audit.tools, b.count}
	b.tabs = u.NewSegmented([]string{u.T("Runs"), u.T("Floors"), u.T("Audit"), u.T("Counters")}, 0, b.choose)
	head := kit.Pad(8, 12, 6, 12, kit.Cols(10, b.tabs, kit.Gap(), b.line))
	b.card = s.panel(container.NewBorder(head, nil, nil, nil, b.stack))
	b.choose(tabRuns)
	return b
}

func (b *behind) choose(i int) {
	b.stack.Objects, b.line.Objects = []fyne.CanvasObject{b.parts[i]}, []fyne.CanvasObject{b.tools[i]}
	b.stack.Refresh()
	b.line.Refresh()
	if st := b.s.state; st != nil {
		b.show(st, b.s.run)
	}
}

func (b *behind) show(st *app.State, run *app.Run) {
	switch b.tabs.Chosen() {
	case tabFloors:
		b.floors.show(st)
	case tabAudit:
		b.audit.show(st)
	case tabCounters:
		b.showCounters(run)
	}
}

// counterNames are the counters of a run in the order of the columns: what most people look for first.
func counterNames(p *profiler.Profile) []string {
	seen := map[string]bool{}
	for _, l := range p.Layers {
		for k := range l.Counters {
			seen[k] = true
		}
	}
	rank := func(n string) int {
		return (slices.Index([]string{"cycles", "instructions", "cache-misses", "branch-misses", "cpu-time"}, n) + 9) % 9
	}
	out := slices.Collect(maps.Keys(seen))
	sort.Slice(out, func(i, j int) bool {
		return rank(out[i]) < rank(out[j]) || rank(out[i]) == rank(out[j]) && out[i] < out[j]
	})
	return out[:min(len(out), 5)]
}

// reasons joins counters that are absent for the same reason.
func reasons(absent []string) []string {
	var out []string
	names := map[string][]string{}
	for _, x := range absent {
		name, why, ok := strings.Cut(x, ": ")
		if !ok {
			name, why = "", x
		}
		if len(names[why]) == 0 {
			out = append(out, why)
		}
		names[why] = append(names[why], name)
	}
	for i, why := range out {
		out[i] = strings.TrimPrefix(strings.Join(names[why], ", ")+": "+why, ": ")
	}
	return out
}

// showCounters lists what each layer took of the processor, and what could not be counted.
func (b *behind) showCounters(run *app.Run) {
	u := b.s.u
	var p *profiler.Profile
	if run != nil {
		p = run.Profile
	}
	if p == b.of && p != nil {
		b.counts.Repaint()
		return
	}
	b.of = p
	b.absent.RemoveAll()
	if p == nil || p.Counters == nil {
		b.absent.Add(u.Note(u.T("Cycles, instructions, misses and energy are counted where the board has the means; counting is done after the timed inferences and does not disturb them.")))
		b.counts.SetRows(0, nil)
		b.absent.Refresh()
		return
	}
	names := counterNames(p)
	cols := []plot.Column{{Title: u.T("Layer"), Width: 92, Grow: 1}}
	for _, n := range names {
		cols = append(cols, plot.Column{Title: b.s.say.Say(n), Width: 88, Align: plot.Right})
	}
	ipc := slices.Contains(names, "cycles") && slices.Contains(names, "instructions")
	if ipc {
		cols = append(cols, plot.Column{Title: u.T("a cycle"), Width: 62, Align: plot.Right})
	}
	b.counts.SetColumns(cols)
	var rows []profiler.Layer
	for _, l := range p.Layers {
		if len(l.Counters) > 0 {
			rows = append(rows, l)
		}
	}
	whole := map[string]float64{}
	maps.Copy(whole, p.Counters.Values)
	line := func(name string, keys []string, v map[string]float64, bold bool) plot.Row {
		r := plot.Row{Keys: keys, Bold: bold, Rule: bold, Chosen: !bold && b.s.selected(keys, false), Cells: []plot.Cell{{Text: name}}}
		for _, n := range names {
			text := kit.Absent
			if x, ok := v[n]; ok {
				if text = kit.Count(int64(x)); n == "cpu-time" {
					text = kit.Ms(x)
				}
			}
			r.Cells = append(r.Cells, plot.Cell{Text: text})
		}
		if ipc && v["cycles"] > 0 {
			r.Cells = append(r.Cells, plot.Cell{Text: kit.Sig(v["instructions"] / v["cycles"])})
		} else if ipc {
			r.Cells = append(r.Cells, plot.Cell{Text: kit.Absent})
		}
		return r
	}
	n := len(rows)
	if len(whole) > 0 {
		n++
		if len(names) == 0 { // only the whole was counted
			names = slices.Sorted(maps.Keys(whole))
			names = names[:min(len(names), 5)]
			for _, x := range names {
				cols = append(cols, plot.Column{Title: b.s.say.Say(x), Width: 88, Align: plot.Right})
			}
			b.counts.SetColumns(cols)
		}
	}
	b.counts.SetRows(n, func(i int) plot.Row {
		if i == len(rows) {
			return line(u.T("one inference"), nil, whole, true)
		}
		return line(rows[i].Name, rows[i].Origin, rows[i].Counters, false)
	})
	if e := p.Energy; e != nil {
		b.absent.Add(u.Note(u.F("energy %s mJ an inference, %s: %s", kit.Sig(e.Millijoules), b.s.say.Say(e.Kind), b.s.say.Say(e.Why))))
	}
	if len(p.Counters.Absent) > 0 {
		for _, x := range reasons(p.Counters.Absent) {
			b.absent.Add(u.Note(u.F("not counted: %s", b.s.say.Say(x))))
		}
	}
	b.absent.Refresh()
}
