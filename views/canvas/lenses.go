package canvas

import (
	"math"

	"fettle/app"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/graph"
	"fettle/views/kit/raster"
)

// lens is what colours the graph; the order is that of the segmented control and of the keys 1 to 5.
type lens int

const (
	byKind lens = iota
	byTime
	byPrecision
	byWork
	byBytes
	lensCount
)

// lensNames are keys of the translations.
var lensNames = [lensCount]string{"Type", "ms", "Precision", "MACs", "Bytes"}

// timesFor is the run whose times a mode shows: a run of the very model if there is one, else of the other state of the
// document, joined by imported nodes. nil: not measured.
func timesFor(s *app.State, m mode) *app.Run {
	d := s.Doc
	if d == nil {
		return nil
	}
	now, base := s.LastRun(hashOf(d, rewritten)), s.LastRun(hashOf(d, original))
	if m == original {
		now, base = base, now
	}
	if now != nil {
		return now
	}
	return base
}

// hashOf names the model that a mode shows, as runs do.
func hashOf(d *app.Doc, m mode) string {
	if m != original {
		return d.Hash()
	}
	if len(d.Revisions) > 0 && d.Revisions[0].Result != nil {
		return d.Revisions[0].Result.SHA256
	}
	return d.Base.Hash()
}

// times joins the layers of a run to items by imported nodes. A layer that covers several items is measured as one: its
// time goes to the heaviest of them, and the others point there. NaN: not measured.
func (d *drawing) times(p *profiler.Profile) (ns []float64, within []int32) {
	ns, within = make([]float64, len(d.items)), make([]int32, len(d.items))
	for i := range ns {
		ns[i], within[i] = math.NaN(), -1
	}
	if p == nil {
		return ns, within
	}
	if d.mode == executed {
		for i := range d.items {
			if l := d.behind[i].layer; l != nil {
				ns[i] = l.P50Ns
			}
		}
		return ns, within
	}
	for k := range p.Layers {
		l := &p.Layers[k]
		items := d.itemsOf(l.Origin)
		if len(items) == 0 {
			continue
		}
		best := d.owner(l, items)
		if math.IsNaN(ns[best]) {
			ns[best] = 0
		}
		ns[best] += l.P50Ns
		for _, i := range items {
			if i != best {
				within[i] = best
			}
		}
	}
	for i := range within {
		if !math.IsNaN(ns[i]) {
			within[i] = -1
		}
	}
	return ns, within
}

// owner is the item that a layer's time belongs to: the one that it is named after, else the one with the most work. A
// quantized layer lists the nodes around it as well, so the most work alone might be a neighbour's.
func (d *drawing) owner(l *profiler.Layer, items []int32) int32 {
	best := items[0]
	for _, i := range items {
		if d.items[i].Name == l.Name || d.items[i].ID == l.Name {
			return i
		}
		if d.weight(i) > d.weight(best) {
			best = i
		}
	}
	return best
}

// itemsOf lists items that stand for one of the imported nodes, each once, in order.
func (d *drawing) itemsOf(origins []string) []int32 {
	var out []int32
	seen := map[int32]bool{}
	for _, o := range origins {
		for _, i := range d.origins[o] {
			if !seen[i] && d.items[i].Diff != graph.Removed {
				seen[i] = true
				out = append(out, i)
			}
		}
	}
	return out
}

// weight is the work of an item, for a choice among several.
func (d *drawing) weight(i int32) float64 {
	if in := d.behind[i].info; in != nil {
		return float64(in.MACs)*1e3 + float64(in.ActivationBytes)
	}
	return 0
}

// work gives the MACs of every item, bytes the bytes of weights and results. NaN where they are not known.
func (d *drawing) work() []float64 {
	return d.each(func(b *behind) float64 {
		switch {
		case b.layer != nil:
			return float64(b.layer.MACs)
		case b.info != nil:
			return float64(b.info.MACs)
		}
		return math.NaN()
	})
}

func (d *drawing) bytes() []float64 {
	return d.each(func(b *behind) float64 {
		switch {
		case b.layer != nil:
			return float64(b.layer.Bytes)
		case b.info != nil:
			return float64(b.info.WeightBytes + b.info.ActivationBytes)
		}
		return math.NaN()
	})
}

func (d *drawing) each(f func(*behind) float64) []float64 {
	out := make([]float64, len(d.items))
	for i := range out {
		out[i] = math.NaN()
		if d.items[i].Diff != graph.Removed {
			out[i] = f(&d.behind[i])
		}
	}
	return out
}

// read makes the reading of a lens over the drawing.
func (d *drawing) read(u *kit.UI, l lens, run *app.Run) *graph.Reading {
	out := graph.Lens{Name: lensNames[l], Percent: kit.Percent, Mixed: -1}
	switch l {
	case byTime:
		var p *profiler.Profile
		if run != nil {
			p = run.Profile
		}
		out.Unit, out.Format, out.Tick = "ms", kit.Ms, kit.MsCell
		out.Values, out.Within = d.times(p)
		if small(out.Values) {
			out.Unit, out.Tick = "µs", func(ns float64) string { return kit.Sig(ns / 1e3) }
		}
		out.Inside = func(title string) string { return u.F("in %s", title) }
	case byWork:
		out.Unit, out.Values = "MMAC", d.work()
		out.Format = func(v float64) string { return kit.MACs(int64(v)) }
		out.Tick = func(v float64) string { return kit.Sig(v / 1e6) }
	case byBytes:
		out.Unit, out.Values = "MB", d.bytes()
		out.Format = func(v float64) string { return kit.Bytes(int64(v)) }
		out.Tick = func(v float64) string { return kit.Sig(v / 1e6) }
	case byKind:
		out.Unit = u.T("Type")
		d.kindClasses(u, &out)
	case byPrecision:
		out.Unit = u.T("Precision")
		d.precisionClasses(u, &out)
	}
	return graph.Read(d.tree, out)
}

// small reports whether every layer takes so little that a column in ms would be zeros.
func small(ns []float64) bool {
	top := 0.0
	for _, v := range ns {
		if v > top {
			top = v
		}
	}
	return top > 0 && top < 1e5
}

func (d *drawing) kindClasses(u *kit.UI, l *graph.Lens) {
	var place [kinds]int
	for i := range place {
		place[i] = -1
	}
	for i := range d.items {
		place[d.behind[i].kind] = 0
	}
	for k := range kinds {
		if place[k] < 0 {
			continue
		}
		place[k] = len(l.Classes)
		if k <= kindMat {
			l.First = len(l.Classes) + 1 // a block with a convolution is one of convolutions
		}
		l.Classes = append(l.Classes, graph.Class{Name: u.T(kindNames[k]), Color: raster.Of(k.ink(u.Theme.Palette))})
	}
	l.Class = make([]int, len(d.items))
	for i := range d.items {
		l.Class[i] = place[d.behind[i].kind]
	}
}

func (d *drawing) precisionClasses(u *kit.UI, l *graph.Lens) {
	place := map[string]int{}
	l.Class = make([]int, len(d.items))
	for i := range d.items {
		t := d.precisionOf(int32(i))
		if t == "" || d.items[i].Diff == graph.Removed {
			l.Class[i] = -1
			continue
		}
		k, ok := place[t]
		if !ok {
			k = len(l.Classes)
			place[t] = k
			l.Classes = append(l.Classes, graph.Class{Name: t, Color: raster.Of(u.Theme.DType(t))})
		}
		l.Class[i] = k
	}
	if len(l.Classes) > 1 {
		l.Mixed = len(l.Classes)
		l.Classes = append(l.Classes, graph.Class{Name: "mix", Color: raster.Of(u.Theme.DType("mix"))})
	}
}

// precisionOf is the number type of an item, also of a small one that shows no badge.
func (d *drawing) precisionOf(i int32) string {
	b := &d.behind[i]
	switch {
	case b.layer != nil:
		return kit.ShortType(b.layer.DType)
	case b.node != nil && d.m != nil:
		return precision(d.m, b.node, b.info)
	}
	return ""
}
