package graph

import (
	"math"
	"sort"

	"fettle/views/kit/raster"
)

// Lens colours a graph: by a number for each item, or by a class.
type Lens struct {
	Name    string
	Unit    string                     // heads the legend
	Values  []float64                  // one an item; NaN: not measured
	Format  func(v float64) string     // with its unit
	Tick    func(v float64) string     // without
	Percent func(share float64) string // of the whole, for frames; nil: no share
	Within  []int32                    // item whose value holds this one's too, -1: none; nil: nobody's
	Inside  func(title string) string  // says so
	Class   []int                      // instead of Values: one an item, -1: none
	Classes []Class                    // their names and colours
	First   int                        // so many classes decide for a group before all others
	Mixed   int                        // class of a group whose items differ; -1: that of most of them
}

// Reading is a lens with its sums over a tree.
type Reading struct {
	Lens
	tree     *Tree
	Group    []float64 // sum of what was measured inside; NaN: nothing was
	Partly   []bool    // some items inside were not measured
	gClass   []int
	NodeMax  float64
	GroupMax float64
	Total    float64
	order    []int32 // items by value, highest first
}

// Read sums a lens over the groups of a tree. A sum leaves out what was not measured and is absent where nothing was.
func Read(t *Tree, l Lens) *Reading {
	r := &Reading{Lens: l, tree: t, Total: math.NaN()}
	if l.Class != nil {
		r.classes()
		return r
	}
	r.Group, r.Partly = make([]float64, len(t.Groups)), make([]bool, len(t.Groups))
	seen := make([]bool, len(t.Groups))
	for i, v := range l.Values {
		for g := t.Home[i]; g >= 0; g = t.Groups[g].Parent {
			if math.IsNaN(v) {
				r.Partly[g] = r.Partly[g] || r.isGap(i)
				continue
			}
			seen[g] = true
			r.Group[g] += v
		}
		if !math.IsNaN(v) {
			r.NodeMax = max(r.NodeMax, v)
			r.order = append(r.order, int32(i))
		}
	}
	for g := range r.Group {
		if !seen[g] {
			r.Group[g] = math.NaN()
		} else if g > 0 {
			r.GroupMax = max(r.GroupMax, r.Group[g])
		}
	}
	r.Total = r.Group[0]
	sort.SliceStable(r.order, func(a, b int) bool { return l.Values[r.order[a]] > l.Values[r.order[b]] })
	return r
}

// isGap reports whether an item without a number should have one.
func (r *Reading) isGap(i int) bool {
	it := &r.tree.Items[i]
	return !it.Edge && it.Diff != Removed && (r.Within == nil || r.Within[i] < 0)
}

// classes counts classes and gives groups theirs.
func (r *Reading) classes() {
	t := r.tree
	n := len(r.Classes)
	r.Classes = append([]Class(nil), r.Classes...)
	count := make([][]int, len(t.Groups))
	for g := range count {
		count[g] = make([]int, n)
	}
	for i, c := range r.Class {
		if c < 0 {
			continue
		}
		r.Classes[c].Count++
		for g := t.Home[i]; g >= 0; g = t.Groups[g].Parent {
			count[g][c]++
		}
	}
	r.gClass = make([]int, len(t.Groups))
	for g := range count {
		best, kinds := -1, 0
		for c, k := range count[g] {
			if k > 0 {
				kinds++
			}
			if k > 0 && (best < 0 || k > count[g][best] && (best < r.First) == (c < r.First)) {
				best = c
			}
		}
		if kinds > 1 && r.Mixed >= 0 {
			best = r.Mixed
		}
		r.gClass[g] = best
	}
}

// Value is the number of an item or the sum of a group; NaN: not measured, or a lens of classes.
func (r *Reading) Value(ref Ref) float64 {
	switch {
	case r.Class != nil:
		return math.NaN()
	case ref.IsGroup():
		return r.Group[ref.Index()]
	}
	return r.Values[ref]
}

// ClassName is the name of the class of an item or group, "" where it has none.
func (r *Reading) ClassName(ref Ref) string {
	if c := r.class(ref); c >= 0 {
		return r.Classes[c].Name
	}
	return ""
}

func (r *Reading) class(ref Ref) int {
	if ref.IsGroup() {
		return r.gClass[ref.Index()]
	}
	return r.Class[ref]
}

// Heat is the place on the ramp, -1: not measured.
func (r *Reading) Heat(ref Ref) float32 {
	if r.Class != nil {
		c := r.class(ref)
		if c < 0 {
			return -1
		}
		return ClassValue(c, len(r.Classes))
	}
	v, top := r.Value(ref), r.NodeMax
	if ref.IsGroup() {
		top = r.GroupMax
	}
	if math.IsNaN(v) {
		return -1
	}
	if top <= 0 {
		return 0
	}
	return float32(min(max(v/top, 0), 1))
}

// Hottest lists the measured items, highest first.
func (r *Reading) Hottest() []int32 { return r.order }

// Colors is the ramp of the reading.
func (r *Reading) Colors(k *Inks) *Ramp {
	if len(r.Classes) > 0 {
		return k.Classes(r.Classes)
	}
	return &k.HeatRamp
}

// Strip is the colour of an item or group, and whether it has one.
func (r *Reading) Strip(ref Ref, ramp *Ramp) (raster.Color, bool) {
	h := r.Heat(ref)
	if h < 0 {
		return 0, false
	}
	return ramp.Strip[uint8(h*255)], true
}

// Show makes the picture of a plan under a reading. about writes the second line of a group.
func Show(p *Plan, r *Reading, about func(g int32) string) *Scene {
	s := &Scene{Key: r.key()}
	for _, c := range p.Cells {
		n := Node{Box: c.Box, Heat: r.Heat(c.Ref), Val: r.text(c.Ref), Len: -1}
		if len(r.Classes) == 0 {
			n.Len = n.Heat
		}
		if c.Ref.IsGroup() {
			g := c.Ref.Index()
			n.Group, n.Title, n.Sub, n.Badge, n.Diff = true, p.Tree.Groups[g].Title, about(g), p.Tree.badge(g), p.Tree.diff(g)
		} else {
			it := &p.Tree.Items[c.Ref]
			n.Title, n.Sub, n.Badge, n.Diff, n.Small = it.Title, it.Sub, it.Badge, it.Diff, it.Small
			if it.Edge && n.Val == "" {
				n.Val = "–" // a box without work: no word about measuring
			}
		}
		s.Nodes = append(s.Nodes, n)
	}
	for _, c := range p.Frames {
		g := c.Ref.Index()
		f := Frame{Box: c.Box, Title: p.Tree.Groups[g].Title, Sub: about(g), Val: r.text(c.Ref), Depth: uint8(min(c.Depth, 255))}
		if v := r.Value(c.Ref); c.Depth == 0 && r.Percent != nil && r.Total > 0 && !math.IsNaN(v) {
			f.Val += " · " + r.Percent(v/r.Total)
		}
		s.Frames = append(s.Frames, f)
	}
	for _, l := range p.Lines {
		s.Edge(l.From, l.Arrow, l.Pts...)
	}
	s.Build()
	return s
}

func (r *Reading) text(ref Ref) string {
	v := r.Value(ref)
	if math.IsNaN(v) {
		if r.Class != nil {
			return "\u00a0" // nothing to measure under this lens
		}
		if !ref.IsGroup() && r.Within != nil && r.Within[ref] >= 0 {
			return r.Inside(r.tree.Items[r.Within[ref]].Title)
		}
		return ""
	}
	s := r.Format(v)
	if ref.IsGroup() && r.Partly[ref.Index()] {
		s = "≥\u2009" + s // a sum with gaps is a lower bound
	}
	return s
}

func (r *Reading) key() Legend {
	k := Legend{Unit: r.Unit, Classes: r.Classes}
	if len(r.Classes) > 0 {
		return k
	}
	for i, f := range []float64{1, .5, 0} {
		k.Node[i] = r.Tick(r.NodeMax * f)
		if len(r.tree.Groups) > 1 {
			k.Group[i] = r.Tick(r.GroupMax * f)
		}
	}
	return k
}

// badge is the number type of a group: "mix" where its items differ.
func (t *Tree) badge(g int32) string {
	b := ""
	t.Leaves(GroupRef(g), func(i int32) {
		switch x := t.Items[i].Badge; {
		case x == "" || b == "mix":
		case b == "":
			b = x
		case b != x:
			b = "mix"
		}
	})
	return b
}

// diff is Changed for a group with any difference inside.
func (t *Tree) diff(g int32) Diff {
	d := Same
	t.Leaves(GroupRef(g), func(i int32) {
		if t.Items[i].Diff != Same {
			d = Changed
		}
	})
	return d
}
