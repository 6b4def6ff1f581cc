package profile

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

// rowKind says what a row of the layer table stands for.
type rowKind uint8

const (
	layerRow   rowKind = iota // one executed step
	groupRow                  // several of one kind, summed
	restRow                   // time that no layer explains
	sumRow                    // all of it
	absentRow                 // a layer that has no number yet
	columnName = "name"
	columnKind = "kind"
	columnMs   = "ms"
	columnRun  = "run"
	columnPeak = "peak"
)

// row is one line of the layer table. Times are nanoseconds.
type row struct {
	kind   rowKind
	keys   []string // imported nodes it stands for
	name   string
	op     string
	note   string // kernel, threads
	dtype  string
	count  int // layers summed
	ns     float64
	lo, hi float64
	floor  *float64
	why    string // of the floor
	share  float64
	order  int // place in the run
}

// ofPeak is how near a layer runs to its floor; nil where no floor is known.
func (r row) ofPeak() *float64 {
	if r.floor == nil || !(r.ns > 0) {
		return nil
	}
	v := *r.floor / r.ns
	return &v
}

// listing is how the table is shown.
type listing struct {
	mode   string // "largest", "all", "kind"
	sort   string
	up     bool
	filter string
}

// layers are the rows of a profile, one a layer, in the order of the run.
func layers(p *profiler.Profile) []row {
	out := make([]row, len(p.Layers))
	for i, l := range p.Layers {
		out[i] = row{kind: layerRow, keys: l.Origin, name: l.Name, op: l.Op, note: l.Kernel, dtype: l.DType, count: 1, ns: l.P50Ns,
			lo: l.Interval[0], hi: l.Interval[1], floor: l.FloorNs, why: l.FloorWhy, share: l.Share, order: i}
		if out[i].name == "" {
			out[i].name = l.ID
		}
		if len(l.Origin) == 0 {
			out[i].keys = []string{l.ID}
		}
		if !(l.P50Ns > 0) {
			out[i].kind = absentRow
		}
	}
	return out
}

// Layers beyond the first few are summed with others of their kind, unless they weigh much.
const (
	firstFew   = 11
	largeShare = 0.04
)

// list is the table: the layers as asked for, then sums of small kinds, what no layer explains, and the sum of all.
func list(p *profiler.Profile, v listing) []row {
	all := layers(p)
	if v.filter != "" {
		all = slices.DeleteFunc(all, func(r row) bool { return !r.matches(v.filter) })
		order(all, v)
		return all
	}
	switch v.mode {
	case "kind":
		all = groups(all)
		order(all, v)
	case "all":
		order(all, v)
	default:
		big, small := split(all)
		order(big, v)
		all = append(big, sums(small)...)
	}
	return append(all, totals(p)...)
}

func (r row) matches(filter string) bool {
	f := strings.ToLower(filter)
	for _, s := range []string{r.name, r.op, r.note, r.dtype} {
		if strings.Contains(strings.ToLower(s), f) {
			return true
		}
	}
	return false
}

// split takes out the layers that are small, but never so many that only sums are left.
func split(all []row) (big, small []row) {
	byTime := slices.Clone(all)
	slices.SortStableFunc(byTime, func(a, b row) int { return cmp.Compare(b.ns, a.ns) })
	for i, r := range byTime {
		if i < firstFew || r.share >= largeShare {
			big = append(big, r)
		} else {
			small = append(small, r)
		}
	}
	if len(small) < 3 {
		return byTime, nil
	}
	return big, small
}

// groups sums rows by operator, the largest first. Floors add up only where every layer has one.
func groups(rows []row) []row {
	var out []row
	at := map[string]int{}
	for _, r := range rows {
		i, ok := at[r.op]
		if !ok {
			i = len(out)
			at[r.op] = i
			out = append(out, row{kind: groupRow, name: r.op, op: r.op, floor: new(float64), order: r.order})
		}
		g := &out[i]
		g.keys = append(g.keys, r.keys...)
		g.count++
		g.ns += r.ns
		g.share += r.share
		if r.floor == nil || g.floor == nil {
			g.floor = nil
		} else {
			*g.floor += *r.floor
		}
	}
	slices.SortStableFunc(out, func(a, b row) int { return cmp.Compare(b.ns, a.ns) })
	return out
}

// sums are groups; what is alone of its kind stays a layer.
func sums(small []row) []row {
	out := groups(small)
	for i, g := range out {
		if g.count == 1 {
			out[i] = small[slices.IndexFunc(small, func(r row) bool { return r.op == g.op })]
		}
	}
	return out
}

// totals are the last two rows.
func totals(p *profiler.Profile) []row {
	if p.Clean.P50Ns == nil {
		return nil
	}
	all := *p.Clean.P50Ns
	return []row{
		{kind: restRow, ns: p.UnattributedNs, share: p.UnattributedNs / all},
		{kind: sumRow, ns: all, lo: p.Clean.IntervalP50[0], hi: p.Clean.IntervalP50[1], share: 1},
	}
}

func order(rows []row, v listing) {
	by := func(a, b row) int {
		switch v.sort {
		case columnName:
			return strings.Compare(a.name, b.name)
		case columnKind:
			return cmp.Or(strings.Compare(a.op, b.op), cmp.Compare(b.ns, a.ns))
		case columnRun:
			return cmp.Compare(a.order, b.order)
		case columnPeak:
			return cmp.Compare(orZero(a.ofPeak()), orZero(b.ofPeak()))
		}
		return cmp.Compare(a.ns, b.ns)
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		if v.up {
			return by(a, b)
		}
		return by(b, a)
	})
}

func orZero(v *float64) float64 {
	if v == nil {
		return -1
	}
	return *v
}

// longest is the largest time of single layers, for the scale of the bars: sums beyond it are cut there.
func longest(rows []row) float64 {
	hi := 0.0
	for _, r := range rows {
		if r.kind == layerRow {
			hi = max(hi, r.ns, r.hi, orZero(r.floor))
		}
	}
	if hi == 0 {
		for _, r := range rows {
			if r.kind == groupRow {
				hi = max(hi, r.ns, orZero(r.floor))
			}
		}
	}
	return hi
}

// percentile is one of the numbers above the table. A nil value needs more samples.
type percentile struct {
	name string
	ns   *float64
	need int
}

// percentiles are p50, p90 and p99: one is given only where ten samples lie beyond it.
func percentiles(p *profiler.Profile) []percentile {
	if p == nil {
		return []percentile{{"p50", nil, 20}, {"p90", nil, 100}, {"p99", nil, 1000}}
	}
	return []percentile{{"p50", p.Clean.P50Ns, 20}, {"p90", p.Clean.P90Ns, 100}, {"p99", p.Clean.P99Ns, 1000}}
}

// drift is how far the canary moved between launches, as a share; nil where it did not run twice.
func drift(p *profiler.Profile) *float64 {
	lo, hi := math.Inf(1), 0.0
	n := 0
	for _, l := range p.Launches {
		if l.Canary > 0 {
			lo, hi, n = min(lo, l.Canary), max(hi, l.Canary), n+1
		}
	}
	if n < 2 {
		return nil
	}
	d := (hi - lo) / lo
	return &d
}

// fact is one number of the conditions strip. An empty value is absent.
type fact struct {
	name, value string
	broken      bool
}

// shown picks the run that the screen is about: the one that was picked, else the one that is arriving, else the newest.
func shown(s *app.State, picked string) *app.Run {
	for i := len(s.Runs) - 1; i >= 0; i-- {
		if s.Runs[i].Partial {
			return s.Runs[i]
		}
	}
	if r := s.Run(picked); r != nil {
		return r
	}
	for i := len(s.Runs) - 1; i >= 0; i-- {
		if s.Runs[i].Profile != nil {
			return s.Runs[i]
		}
	}
	return nil
}

// expected are the layers of the model that is being measured: named, and without a time yet.
func expected(d *app.Doc, which string, v listing) []row {
	if d == nil {
		return nil
	}
	info := d.Info
	if which == app.Original {
		info = d.BaseInfo
	}
	if info == nil {
		return nil
	}
	var out []row
	for i, l := range info.Layers {
		r := row{kind: absentRow, keys: []string{l.ID}, name: cmp.Or(l.Name, l.ID), op: l.Op, count: 1, order: i}
		if v.filter == "" || r.matches(v.filter) {
			out = append(out, r)
		}
	}
	return out
}

// slowest is the longest median of the runs.
func slowest(runs []*app.Run) float64 {
	hi := 0.0
	for _, r := range runs {
		if r.Profile != nil && r.Profile.Clean.P50Ns != nil {
			hi = max(hi, *r.Profile.Clean.P50Ns)
		}
	}
	return hi
}

// highest is the highest rate that any floor of a run stands for, in GMAC/s: that of the best algorithm. 0: no floor is known.
func highest(p *profiler.Profile) float64 {
	hi := 0.0
	for _, l := range p.Layers {
		if l.MACs > 0 && l.FloorNs != nil && *l.FloorNs > 0 {
			hi = max(hi, float64(l.MACs) / *l.FloorNs)
		}
	}
	return hi
}

// windowsOf are the shapes of layers in the roofline by name: 0 for 1×1, 1 for 3×3, 2 for others.
func windowsOf(p *profiler.Profile) map[string]uint8 {
	out := map[string]uint8{}
	for _, l := range p.Layers {
		switch {
		case slices.Equal(l.Window, []int{1, 1}):
			out[l.Name] = 0
		case slices.Equal(l.Window, []int{3, 3}):
			out[l.Name] = 1
		default:
			out[l.Name] = 2
		}
	}
	return out
}

// words translates and formats; rows use it so that they can be tested in plain English.
type words interface {
	T(key string) string
	F(key string, args ...any) string
}

// facts are what the conditions strip shows; a broken one keeps the seal from green.
func facts(u words, p *profiler.Profile) []fact {
	c := &p.Conditions
	clock := fact{name: u.T("clock")}
	if len(c.Hz) > 0 {
		lo, hi := slices.Min(c.Hz), slices.Max(c.Hz)
		if lo == hi {
			clock.value = fmt.Sprintf("%s × %d", kit.Hz(hi), len(c.Hz))
		} else {
			clock.value = kit.Hz(lo) + "–" + kit.Hz(hi)
		}
	}
	governor := fact{name: u.T("governor"), value: c.Governor, broken: c.Governor != "" && c.Governor != "performance" && c.Governor != "userspace"}
	temperature := fact{name: u.T("temperature")}
	if len(c.TemperatureC) > 0 {
		temperature.value = fmt.Sprintf("%.0f °C", slices.Max(c.TemperatureC))
	}
	throttle := fact{name: u.T("throttle")}
	if c.Throttled != nil {
		throttle.value, throttle.broken = u.T("none"), *c.Throttled
		if *c.Throttled {
			throttle.value = u.T("throttled")
		}
	}
	load := fact{name: u.T("other load")}
	if c.Load != nil {
		load.value, load.broken = fmt.Sprintf("%.2f", *c.Load), *c.Load >= 0.1
	}
	canary := fact{name: u.T("canary")}
	if d := drift(p); d != nil {
		canary.value, canary.broken = fmt.Sprintf("±%.1f\u00a0%%", *d*50), *d > 0.02
	}
	return []fact{clock, governor, temperature, throttle, load, canary}
}

// sentence says what a seal means, and reason why it is not green.
func sentence(u words, say func(string) string, p *profiler.Profile) (what, reason string) {
	why := p.Conditions.Why
	switch p.Conditions.Seal {
	case profiler.Green:
		return u.T("Green: the conditions held"), u.T("fixed clock, no throttling, quiet board, steady canary")
	case profiler.Amber:
		what = u.T("Amber: read with reserve")
	case profiler.Red:
		what = u.T("Red: do not trust this run")
	default:
		return u.T("No seal"), u.T("the conditions were not recorded")
	}
	if len(why) > 0 {
		reason = say(why[0])
	}
	return what, reason
}
