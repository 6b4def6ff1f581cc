package canvas

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"

	"fettle/internal/fail"
	"fettle/views/kit"
	"fettle/views/kit/graph"
	"fettle/views/kit/plot"
	"fettle/views/kit/theme"
)

// cost is the first tab: time with its interval against the floor, work, weights, and where the layer comes from.
func (p *inspector) cost() {
	u, b := p.s.u, p.subject
	p.time()
	var facts []kit.Fact
	fact := func(key, value string) { facts = append(facts, kit.Fact{Key: u.T(key), Value: value}) }
	if b.ns != nil && b.share > 0 {
		fact("Share of the whole", kit.Percent(b.share))
	}
	if b.macs != nil {
		v := kit.MACs(int64(*b.macs))
		if b.macShare > 0 {
			v += " · " + kit.Percent(b.macShare)
		}
		fact("Work", v)
	}
	if b.weights != nil {
		fact("Weights", kit.Bytes(*b.weights))
		fact("Result", kit.Bytes(*b.result))
	}
	if b.moved > 0 {
		fact("Bytes", kit.Bytes(b.moved))
	}
	if b.kernel != "" {
		fact("Kernel", b.kernel)
	}
	if len(facts) > 0 {
		p.add(kit.Space(0, 8), u.HRule(), kit.Space(0, 6), u.Facts(facts))
	}
	p.madeFrom()
	p.steps()
}

// time writes the measured time, or that there is none and why.
func (p *inspector) time() {
	u, b := p.s.u, p.subject
	if b.ns == nil {
		why := u.T("not measured")
		switch {
		case b.within != "":
			why = u.F("measured together with %s", b.within)
		case b.run == nil:
			why = u.T("not measured: there is no run of this model yet")
		}
		p.add(kit.Cols(8, u.Hero("–").Whole(), kit.Flex(u.Soft(why))))
		return
	}
	row := []fyne.CanvasObject{u.Hero(kit.Ms(*b.ns)).Whole()}
	prof := b.run.Profile
	row = append(row, u.SealMark(prof.Conditions.Seal, 16))
	note := kit.Interval(*b.ns, b.interval)
	if n := prof.Clean; n.Launches > 0 {
		if note != "" {
			note += " · "
		}
		note += fmt.Sprintf("n = %d × %d", n.Launches, n.N/n.Launches)
	}
	row = append(row, kit.Flex(u.Caption(note)))
	p.add(kit.Cols(6, row...))
	if len(b.items) == 1 {
		p.floor()
	}
}

// floor draws the time against the least that the target needs.
func (p *inspector) floor() {
	u, b := p.s.u, p.subject
	top := max(*b.ns, b.interval[1])
	if b.floor != nil {
		top = max(top, *b.floor)
	}
	top *= 1.12
	heat := p.s.read.Heat(graph.Ref(b.items[0]))
	if p.s.lens != byTime || heat < 0 {
		heat = .5
	}
	bar := floorBar{ns: *b.ns, lo: b.interval[0], hi: b.interval[1], floor: b.floor, top: top, ink: u.Theme.HeatAt(float64(heat))}
	p.add(kit.Cols(8, u.Caption("0").Whole(), kit.Gap(), u.Caption(kit.Ms(top)).Whole()), bar.object(u.Theme.Palette))
	if b.floor == nil {
		p.add(u.Caption(u.T("no floor is known for this target")))
		return
	}
	p.add(kit.Cols(8, kit.Flex(u.Caption(u.F("floor %s", kit.Ms(*b.floor)))), u.Soft(u.F("%s of peak", kit.Percent(*b.floor / *b.ns))).Whole()))
	if b.floorWhy != "" {
		p.add(u.Note(u.Say(b.floorWhy)))
	}
}

// madeFrom lists the imported nodes behind the subject; a tap on one selects it everywhere.
func (p *inspector) madeFrom() {
	u, b := p.s.u, p.subject
	if len(b.origins) == 0 {
		return
	}
	p.section(u.T("Made from"), u.F("%d original nodes", len(b.origins)))
	p.add(kit.Space(0, 3))
	row, width := kit.Cols(6), float32(0)
	const most = 24
	for i, o := range b.origins {
		if i == most {
			p.add(row)
			p.add(u.Caption(u.F("and %d more", len(b.origins)-most)))
			return
		}
		text := kit.Cut(o, theme.Inspector-60, theme.Dense-1, fyne.TextStyle{})
		w := fyne.MeasureText(text, theme.Dense-1, fyne.TextStyle{}).Width + 24
		if width > 0 && width+w > theme.Inspector-30 {
			p.add(kit.Pad(2, 0, 2, 0, row))
			row, width = kit.Cols(6), 0
		}
		row.Add(u.NewTappable(nil, u.Pill(text, "text2"), func() { p.s.do.Select([]string{o}, "inspector") }))
		width += w
	}
	p.add(kit.Pad(2, 0, 2, 0, row))
}

// steps says which steps of the ledger made the node, with the proof of each.
func (p *inspector) steps() {
	u := p.s.u
	if len(p.subject.made) == 0 {
		return
	}
	p.section(u.T("Made by"), u.F("%d steps", len(p.subject.made)))
	for _, m := range p.subject.made {
		p.add(kit.Fixed(0, 20, u.Dense(u.T(m.step))))
		if m.reason != "" {
			p.add(u.Note(u.Say(m.reason)))
		}
		if m.proof == nil {
			continue
		}
		icon, token := "check", "success"
		if !m.proof.within {
			icon, token = "warning", "warning"
		}
		text := u.F("proof: largest difference %s in %d runs", strconv.FormatFloat(m.proof.maxAbs, 'g', 3, 64), m.proof.n)
		if m.proof.exact {
			text = u.F("proof: bit-equal in %d runs", m.proof.n)
		}
		p.add(kit.Fixed(0, 20, kit.Cols(6, kit.Icon(icon, token, 13), kit.Flex(u.Caption(text)))))
	}
}

// node is the tab of attributes and shapes.
func (p *inspector) node() {
	u, b := p.s.u, p.subject
	if b.node == nil {
		if b.value != nil {
			p.add(u.Para(u.T("This is an input or output of the network.")))
			return
		}
		p.add(u.Para(u.T("Select one layer to see its attributes.")))
		return
	}
	p.add(u.Facts([]kit.Fact{{Key: u.T("Operator"), Value: opName(b.node)}, {Key: u.T("Name"), Value: b.node.Name}}))
	in, out := p.s.d.ports(b.m, b.node)
	p.section(u.T("Attributes"), "")
	list := attributes(b.node)
	if len(list) == 0 {
		p.add(u.Caption(u.T("none")))
	}
	for _, a := range list {
		p.portRow(a.key, a.value)
	}
	p.section(u.T("Inputs"), "")
	for _, x := range in {
		p.portRow(x.name, x.typ)
	}
	p.section(u.T("Outputs"), "")
	for _, x := range out {
		p.portRow(x.name, x.typ)
	}
}

// weights is the tab of the values of the largest constant; they are read off the toolkit's goroutine.
func (p *inspector) weights() {
	u, b := p.s.u, p.subject
	if b.node == nil {
		p.add(u.Para(u.T("Select one layer to see its weights.")))
		return
	}
	name, t := largest(b.m, b.node)
	if t == nil {
		p.add(u.Para(u.T("This layer has no weights.")))
		return
	}
	p.portRow(name, t.DType.String()+strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ", "))
	wait := u.Caption(u.T("reading the values"))
	p.add(wait)
	subject := b
	var stats *tensorStats
	p.stats.Run("weights", func(ctx context.Context) (err error) {
		stats, err = describeTensor(ctx, t)
		return err
	}, func(err error) {
		if p.subject != subject || p.tab != tabWeights {
			return
		}
		p.body.Remove(wait)
		if err != nil {
			p.add(u.ErrorPanel(fail.From(err)))
			return
		}
		p.showStats(stats)
		p.body.Refresh()
	})
}

func (p *inspector) showStats(st *tensorStats) {
	u := p.s.u
	num := func(v float64) string { return strings.Replace(strconv.FormatFloat(v, 'g', 4, 64), "-", "−", 1) }
	h := plot.NewChart(p.ink, 200, 130)
	h.Set(&plot.Histogram{Values: st.sample, Tick: func(v float64) string { return strings.Replace(strconv.FormatFloat(v, 'g', 3, 64), "-", "−", 1) }, Colour: u.Theme.Primary})
	facts := []kit.Fact{
		{Key: u.T("Values"), Value: kit.Count(int64(st.n + st.bad))},
		{Key: u.T("Smallest"), Value: num(st.min)},
		{Key: u.T("Largest"), Value: num(st.max)},
		{Key: u.T("Mean"), Value: num(st.mean)},
		{Key: u.T("Standard deviation"), Value: num(st.std)},
		{Key: u.T("Zeros"), Value: kit.Percent(float64(st.zeros) / float64(max(st.n, 1)))},
	}
	if st.n == 0 {
		facts = facts[:1]
	} else {
		p.add(kit.Space(0, 6), h, kit.Space(0, 6))
	}
	if st.bad > 0 {
		facts = append(facts, kit.Fact{Key: u.T("Not finite"), Value: kit.Count(int64(st.bad)), Token: "danger"})
	}
	p.add(u.Facts(facts))
}

// origin is the tab of where a layer comes from.
func (p *inspector) origin() {
	u := p.s.u
	p.madeFrom()
	p.steps()
	if len(p.subject.made) == 0 && p.s.mode != original {
		p.section(u.T("Made by"), "")
		p.add(u.Para(u.T("No step of the ledger changed this layer.")))
	}
}
