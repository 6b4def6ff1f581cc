package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"fettle/app"
	"fettle/profiler"
	"fettle/views/kit"
)

// Ways to group the bars of the waterfall.
const (
	byMove  = "move"
	byLayer = "layer"
	byKind  = "kind"
)

// move is one column of the waterfall: bars of a comparison that belong together. Times are nanoseconds.
type move struct {
	keys  []string
	label string
	count int
	ns    float64
	rest  bool // what no layer explains
}

// moves groups the bars. They add up to the difference, whatever the grouping.
func moves(c *profiler.Comparison, by string) []move {
	var out []move
	at := map[string]int{}
	rest := move{rest: true}
	for i := range c.Bars {
		b := &c.Bars[i]
		if b.Kind == "unattributed" {
			rest.ns += b.DeltaNs
			rest.count++
			continue
		}
		name := b.Label
		switch by {
		case byKind:
			name = b.Op
		case byMove:
			name = moveName(b)
		}
		k, ok := at[name]
		if !ok || by == byLayer {
			k = len(out)
			at[name] = k
			out = append(out, move{label: name})
		}
		out[k].keys = append(out[k].keys, keys(b)...)
		out[k].count++
		out[k].ns += b.DeltaNs
	}
	if by != byLayer {
		slices.SortStableFunc(out, func(a, b move) int { return cmp.Compare(a.ns, b.ns) })
	}
	if rest.count > 0 {
		out = append(out, rest)
	}
	return out
}

// moveName is what a rewrite did to the layers of a bar, short enough that equal moves get one name: which kernel took
// over and how the amount of work changed differ from layer to layer and stay in the row's own sentence.
func moveName(b *profiler.Bar) string {
	var keep []string
	kernel := false
	for _, part := range strings.Split(b.Why, ", ") {
		switch {
		case strings.HasPrefix(part, "other kernel"):
			kernel = true
		case part == "", strings.HasSuffix(part, "the multiplications"):
		default:
			keep = append(keep, part)
		}
	}
	switch {
	case len(keep) > 0:
		return strings.Join(keep, ", ")
	case kernel:
		return "other kernel"
	}
	return "same kernel"
}

// keys are what a bar selects: imported nodes, or its layers where nothing of the import is left in it.
func keys(b *profiler.Bar) []string {
	if len(b.Origin) > 0 {
		return b.Origin
	}
	return append(slices.Clone(b.From), b.To...)
}

// aligned is one row of the layer table.
type aligned struct {
	keys     []string
	name     string
	from     string // "Conv + BatchNormalization" of A
	a, b     *float64
	delta    float64
	share    *float64 // change against A; nil: there is nothing in A
	verdict  string
	lo, hi   float64
	why      string
	order    float64
	added    bool
	gone     bool
	rest     bool
	interval [2]float64
}

// rows are the bars as rows of the table, sorted by how much they moved or in the order of the run.
func rows(c *profiler.Comparison, a, b *profiler.Profile, sort, filter string) []aligned {
	at := positions(c, a, b)
	ops := map[string]string{}
	if a != nil {
		for _, l := range a.Layers {
			ops[l.ID] = l.Op
		}
	}
	var out []aligned
	f := strings.ToLower(filter)
	for i := range c.Bars {
		b := &c.Bars[i]
		r := aligned{keys: keys(b), name: b.Label, delta: b.DeltaNs, verdict: b.Verdict, why: b.Why, order: at[i], rest: b.Kind == "unattributed",
			interval: b.Interval}
		var from []string
		for _, id := range b.From {
			from = append(from, cmp.Or(ops[id], id))
		}
		r.from = strings.Join(from, " + ")
		if len(b.From) > 0 || r.rest {
			v := b.FromNs
			r.a = &v
			if v > 0 {
				s := b.DeltaNs / v
				r.share = &s
			}
		}
		if len(b.To) > 0 || r.rest {
			v := b.ToNs
			r.b = &v
		}
		r.added, r.gone = len(b.From) == 0 && !r.rest, len(b.To) == 0 && !r.rest
		if f != "" && !strings.Contains(strings.ToLower(r.name+" "+r.from+" "+r.why), f) {
			continue
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(x, y aligned) int {
		if sort == "delta" {
			return cmp.Compare(math.Abs(y.delta), math.Abs(x.delta))
		}
		return cmp.Compare(x.order, y.order)
	})
	return out
}

// positions say where in the run each bar stands, 0 to 1: by its first layer in B, or in A where B has none of it. What
// no layer explains comes last.
func positions(c *profiler.Comparison, a, b *profiler.Profile) []float64 {
	index := func(p *profiler.Profile) map[string]float64 {
		at := map[string]float64{}
		if p != nil {
			for i, l := range p.Layers {
				at[l.ID] = float64(i) / float64(len(p.Layers))
			}
		}
		return at
	}
	inA, inB := index(a), index(b)
	out := make([]float64, len(c.Bars))
	for i := range c.Bars {
		out[i] = 1
		ids, at := c.Bars[i].To, inB
		if len(ids) == 0 {
			ids, at = c.Bars[i].From, inA
		}
		for _, id := range ids {
			if p, ok := at[id]; ok {
				out[i] = min(out[i], p)
			}
		}
	}
	return out
}

// block is a part of the network with what it gained or lost.
type block struct {
	name  string
	keys  []string
	delta float64
	added bool // all of it is new in B
	gone  bool // all of it is gone in B
}

// blocks sums the bars by the scope of their names, in the order of the run.
func blocks(c *profiler.Comparison, a, b *profiler.Profile) []block {
	var out []block
	place := positions(c, a, b)
	inOrder := make([]int, len(c.Bars))
	for i := range inOrder {
		inOrder[i] = i
	}
	slices.SortStableFunc(inOrder, func(x, y int) int { return cmp.Compare(place[x], place[y]) })
	at := map[string]int{}
	for _, i := range inOrder {
		b := &c.Bars[i]
		if b.Kind == "unattributed" {
			continue
		}
		name := scope(b.Label)
		k, ok := at[name]
		if !ok {
			k = len(out)
			at[name] = k
			out = append(out, block{name: name, added: true, gone: true})
		}
		out[k].keys = append(out[k].keys, keys(b)...)
		out[k].delta += b.DeltaNs
		out[k].added = out[k].added && len(b.From) == 0
		out[k].gone = out[k].gone && len(b.To) == 0
	}
	return out
}

// scope is a name without its last part: "layer2.0" of "layer2.0.conv1".
func scope(name string) string {
	name = strings.Trim(name, "/")
	if i := strings.LastIndexAny(name, "./"); i > 0 {
		return name[:i]
	}
	return name
}

// widest is the largest change of rows, for the scale of their bars.
func widest(list []aligned) float64 {
	m := 0.0
	for _, r := range list {
		m = max(m, math.Abs(r.delta))
	}
	return m
}

// condition is one line of what was alike and what was not.
type condition struct {
	name   string
	a, b   string
	differ bool
}

// words translates and formats.
type words interface {
	T(key string) string
	F(key string, args ...any) string
}

// conditions puts the conditions of two runs side by side. Only a difference that can move a time is marked.
func conditions(u words, a, b *profiler.Profile) []condition {
	if a == nil || b == nil {
		return nil
	}
	clock := func(p *profiler.Profile) string {
		if len(p.Conditions.Hz) == 0 {
			return kit.Absent
		}
		return kit.Hz(slices.Max(p.Conditions.Hz))
	}
	warm := func(p *profiler.Profile) float64 {
		if len(p.Conditions.TemperatureC) == 0 {
			return math.NaN()
		}
		return slices.Max(p.Conditions.TemperatureC)
	}
	degrees := func(v float64) string {
		if math.IsNaN(v) {
			return kit.Absent
		}
		return fmt.Sprintf("%.0f °C", v)
	}
	load := func(p *profiler.Profile) string {
		if p.Conditions.Load == nil {
			return kit.Absent
		}
		return fmt.Sprintf("%.2f", *p.Conditions.Load)
	}
	throttled := func(p *profiler.Profile) string {
		switch t := p.Conditions.Throttled; {
		case t == nil:
			return kit.Absent
		case *t:
			return u.T("throttled")
		}
		return u.T("none")
	}
	same := func(name, x, y string) condition {
		return condition{name, cmp.Or(x, kit.Absent), cmp.Or(y, kit.Absent), x != y}
	}
	heat := condition{u.T("temperature"), degrees(warm(a)), degrees(warm(b)), math.Abs(warm(a)-warm(b)) >= 10}
	busy := condition{u.T("other load"), load(a), load(b), false}
	if x, y := a.Conditions.Load, b.Conditions.Load; x != nil && y != nil {
		busy.differ = math.Abs(*x-*y) >= 0.1
	}
	out := []condition{
		same(u.T("board"), board(u, a), board(u, b)),
		same(u.T("engine"), a.Runtime.Name+" "+a.Runtime.Version, b.Runtime.Name+" "+b.Runtime.Version),
		same(u.T("threads"), fmt.Sprint(a.Plan.Threads), fmt.Sprint(b.Plan.Threads)),
		same(u.T("clock"), clock(a), clock(b)),
		same(u.T("governor"), a.Conditions.Governor, b.Conditions.Governor),
		heat,
		same(u.T("throttle"), throttled(a), throttled(b)),
		busy,
	}
	slices.SortStableFunc(out, func(x, y condition) int { return cmp.Compare(rank(x), rank(y)) })
	return out
}

// rank puts what differs before what is alike.
func rank(c condition) int {
	if c.differ {
		return 0
	}
	return 1
}

// verdict is the headline of a comparison: what, by how much, and how sure.
type verdict struct {
	what, change, interval string
	verdict                string
}

func headline(u words, c *profiler.Comparison) verdict {
	v := verdict{verdict: c.Verdict}
	switch c.Verdict {
	case profiler.Faster:
		v.what = u.T("B is faster")
	case profiler.Slower:
		v.what = u.T("B is slower")
	default:
		v.what = u.T("No difference shown")
		v.change = u.F("could have seen ≥ %s", kit.Percent(c.Detectable))
		v.interval = u.F("%s to %s, 95 %%", kit.DeltaPercent(c.Ratio[0]-1), kit.DeltaPercent(c.Ratio[2]-1))
		return v
	}
	v.change = kit.DeltaPercent(c.Ratio[1] - 1)
	v.interval = u.F("%s to %s, 95 %%", kit.DeltaPercent(c.Ratio[0]-1), kit.DeltaPercent(c.Ratio[2]-1))
	return v
}

// board is the name of a run's board as the window shows it.
func board(u words, p *profiler.Profile) string {
	if p.Target.Name == app.LocalTarget {
		return u.T("This computer")
	}
	return p.Target.Name
}
