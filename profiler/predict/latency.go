package predict

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"fettle/internal/fail"
	"fettle/internal/stats"
	"fettle/model"
)

// Predictor foretells times from a table. It is prepared once and then answers at once; it is not safe for use by several at a time.
type Predictor struct {
	table    *Table
	rules    map[string]Rule
	choices  map[string]*choice // of kinds that several kernels compute
	spans    map[string]*span   // what was measured of a kind, over its kernels
	kinds    map[string][]point
	surfaces map[string]*surface
	shapes   map[string]*shape // of surfaces of nearly the same points
	saved    []float64         // of several nodes in one step: mean and deviation of the log of its time over that of its parts
	pace     float64           // by how much networks are slower where the one beside them is, as a power
	shared   float64           // share of a unit's error that all units of a network have in common
}

// Layer is one unit with its predicted time.
type Layer struct {
	Label string         `json:"label"`
	Kind  string         `json:"kind"`
	Dims  []float64      `json:"dims"`
	Nodes []model.NodeID `json:"nodes"`
	Ns    float64        `json:"ns"`
	Low   float64        `json:"low_ns"` // nine of ten lie between
	High  float64        `json:"high_ns"`
	MACs  float64        `json:"macs"`
	Bytes float64        `json:"bytes"`
}

// Prediction is the time of a model on a target.
type Prediction struct {
	Ns     float64 `json:"ns"`
	Low    float64 `json:"low_ns"`
	High   float64 `json:"high_ns"`
	Layers []Layer `json:"layers"`
}

// NewPredictor prepares a table.
func NewPredictor(t *Table) *Predictor {
	p := &Predictor{table: t, rules: t.Rules(), kinds: map[string][]point{}, surfaces: map[string]*surface{}, shapes: map[string]*shape{}, choices: map[string]*choice{},
		spans: map[string]*span{}, shared: 0.3}
	p.sort(t.Points)
	p.shared = p.common()
	p.calm()
	for range 3 { // a network that was disturbed spoils its neighbours' forecasts at first
		p.level()
	}
	p.saved = p.saving()
	return p
}

func (p *Predictor) surface(kind string) *surface {
	if s, ok := p.surfaces[kind]; ok {
		return s
	}
	points, known := p.kinds[kind]
	if !known {
		return nil
	}
	points = slices.DeleteFunc(slices.Clone(points), func(x point) bool { return x.Ns <= 0 })
	if 2*len(points) < len(p.kinds[kind]) {
		points = nil // it mostly costs nothing
	}
	points = thin(points)
	p.kinds[kind] = points
	var s *surface
	if len(points) >= 3 {
		s = fit(points, p.shapes[kind])
		p.shapes[kind] = &s.shape
		if r := p.spans[kind]; r != nil {
			s.lo, s.hi = r.lo, r.hi
		}
	}
	p.surfaces[kind] = s
	return s
}

// thin keeps at most maxPoints: those of the networks that hold the ends, and of the others as many of the early ones as of the late.
func thin(points []point) []point {
	if len(points) <= maxPoints {
		return points
	}
	keep := make([]bool, len(points))
	left := maxPoints
	take := func(i int) {
		if !keep[i] {
			keep[i], left = true, left-1
		}
	}
	for k := range points[0].Dims { // whatever is an end
		lo, hi := 0, 0
		for i, x := range points {
			if x.Dims[k] < points[lo].Dims[k] {
				lo = i
			}
			if x.Dims[k] > points[hi].Dims[k] {
				hi = i
			}
		}
		take(lo)
		take(hi)
	}
	var rest []int
	for i, x := range points {
		if x.Net < 2*Ends && left > maxPoints/2 {
			take(i)
		} else if !keep[i] {
			rest = append(rest, i)
		}
	}
	for i, room := 0, min(left, len(rest)); i < room; i++ {
		take(rest[i*len(rest)/room])
	}
	var out []point
	for i, on := range keep {
		if on {
			out = append(out, points[i])
		}
	}
	return out
}

// Units groups the nodes of g as the runtime would, by the rules that the table learned.
func (p *Predictor) Units(g *Graph) []Unit {
	root := map[*part]*part{}
	var find func(x *part) *part
	find = func(x *part) *part {
		if root[x] == nil || root[x] == x {
			return x
		}
		root[x] = find(root[x])
		return root[x]
	}
	g.edges(func(from, to *part, sizes [hints]float64) {
		r, ok := p.rules[pair(from, to)]
		if !ok {
			r, ok = p.rules[coarse(pair(from, to))]
		}
		if ok && r.holds(sizes) {
			root[find(to)] = find(from)
		}
	})
	groups := map[*part][]*part{}
	var order []*part
	for _, x := range g.parts {
		r := find(x)
		if groups[r] == nil {
			order = append(order, r)
		}
		groups[r] = append(groups[r], x)
	}
	var out []Unit
	for _, r := range order {
		out = append(out, unit(groups[r]))
	}
	return out
}

// One predicts a unit: its time and the deviation of the time's logarithm. Unsupported where the table knows no such kind or only
// other sizes: what was never measured is not guessed.
func (p *Predictor) One(u Unit) (ns, deviation float64, err error) {
	refuse := func(format string, args ...any) error {
		return fail.New(fail.Unsupported, format, args...).At(fail.Where{Node: string(u.Nodes[0]), Op: u.Kind}).
			Try("let this target learn the model: fettle target learn %s MODEL", p.table.Target)
	}
	if ns, deviation, ok := p.byParts(u); ok {
		return ns, deviation, nil
	}
	all, known := p.kinds[p.key(u)]
	if !known {
		return 0, 0, refuse("%s: nothing of the kind %q was measured (its sizes are %s)", u.Label, u.Kind, sizes(u.Dims))
	}
	s := p.surface(p.key(u))
	if points := p.kinds[p.key(u)]; len(points) == 0 {
		return 0, 0, nil // it costs nothing, as those measured did
	}
	if s == nil {
		for _, x := range all {
			if near(x.Dims, u.Dims, 1.02) && x.Ns > 0 {
				return x.Ns, 0.1, nil
			}
		}
		return 0, 0, refuse("%s: of the kind %q only the sizes %s were measured, not %s", u.Label, u.Kind, sizes(all[0].Dims), sizes(u.Dims))
	}
	for k := range len(u.Dims) {
		if !s.reaches(u, k) {
			return 0, 0, refuse("%s: %s of the kind %q lie outside of what was measured, %s to %s", u.Label, sizes(u.Dims), u.Kind, sizes(s.lo), sizes(s.hi))
		}
	}
	closest := s.closest(u)
	if closest > gap && len(s.x) > 0 {
		return 0, 0, refuse("%s: the nearest sizes measured to %s of the kind %q are more than %.1f times away", u.Label, sizes(u.Dims), u.Kind, math.Exp2(closest))
	}
	ns, deviation = s.at(u)
	return ns, deviation, nil
}

// slack is how far beyond the measured sizes a size may lie and still count as one of them. beside is the same of a layer that runs in one step with
// others: layers of its size are seldom measured alone, because they are joined.
const slack, beside = 1.1, 4

// reaches reports whether the k-th size of u lies among those measured. What the network around holds is no size: smaller ones take no longer, and
// beyond the caches there is nothing slower.
func (s *surface) reaches(u Unit, k int) bool { return s.reachesBy(u, k, slack) }

func (s *surface) reachesBy(u Unit, k int, slack float64) bool {
	if k >= len(u.Dims)-places {
		return true
	}
	return u.Dims[k] >= s.lo[k]/slack && u.Dims[k] <= s.hi[k]*slack
}

// closest is how many doublings the nearest measured sizes are away, in the size that differs most.
func (s *surface) closest(u Unit) float64 {
	closest := math.Inf(1)
	for _, x := range s.x {
		d := 0.0
		for k := range len(x) - places {
			d = max(d, math.Abs(x[k]-math.Log2(u.Dims[k])))
		}
		closest = min(closest, d)
	}
	return closest
}

// within reports whether a surface tells u without leaving what was measured by more than so many times.
func (s *surface) within(u Unit, slack float64) bool {
	for k := range u.Dims {
		if !s.reachesBy(u, k, slack) {
			return false
		}
	}
	return len(s.x) == 0 || s.closest(u) <= gap
}

// byParts predicts several nodes in one step from what each takes alone, where the table does not know the step itself: times what it
// saved the steps that were measured.
func (p *Predictor) byParts(u Unit) (ns, deviation float64, ok bool) {
	if len(u.parts) < 2 {
		return 0, 0, false
	}
	if s := p.surface(p.key(u)); s != nil && len(s.x) >= 12 && s.within(u, slack) {
		return 0, 0, false
	}
	sum, square, ok := p.sum(u)
	if !ok || p.saved == nil {
		return 0, 0, false
	}
	return sum * math.Exp(p.saved[0]), math.Sqrt(square + p.saved[1]*p.saved[1]), true
}

// sum adds up the parts of a unit, with the variance of the logarithm; false where one of them cannot be told.
func (p *Predictor) sum(u Unit) (ns, variance float64, ok bool) {
	for _, one := range u.parts {
		s := p.surface(p.key(one))
		switch {
		case s != nil && s.within(one, beside):
			v, d := s.at(one)
			ns, variance = ns+v, variance+v*v*d*d
		case s == nil && p.known(one) && len(p.kinds[p.key(one)]) == 0: // it costs nothing
		default:
			return 0, 0, false
		}
	}
	return ns, variance / max(ns*ns, 1), ns > 0
}

// saving is what steps of several nodes took, held against their nodes alone; nil where fewer than five were seen.
func (p *Predictor) saving() []float64 {
	var logs []float64
	for _, x := range p.table.Points {
		if len(x.Parts) < 2 || x.Ns <= 0 {
			continue
		}
		u := Unit{Kind: x.Kind, Dims: x.Dims}
		for _, y := range x.Parts {
			u.parts = append(u.parts, Unit{Kind: y.Kind, Dims: y.Dims, work: y.Work})
		}
		if ns, _, ok := p.sum(u); ok {
			logs = append(logs, math.Log(x.Ns/ns))
		}
	}
	if len(logs) < 5 {
		return nil
	}
	m := stats.Median(logs)
	for i := range logs {
		logs[i] = math.Abs(logs[i] - m)
	}
	return []float64{m, 1.4826 * stats.Median(logs)}
}

func (p *Predictor) known(u Unit) bool { _, ok := p.kinds[p.key(u)]; return ok }

// gap is how many doublings a size may be away from the nearest that was measured.
const gap = 2

func near(a, b []float64, times float64) bool {
	for k := range a {
		if a[k] > b[k]*times || b[k] > a[k]*times {
			return false
		}
	}
	return len(a) == len(b)
}

func sizes(d []float64) string {
	var s []string
	own := max(len(d)-around, 0)
	for _, v := range d[:own] {
		s = append(s, fmt.Sprintf("%.0f", v))
	}
	for i, v := range d[own:max(len(d)-places, own)] {
		if v > 1 {
			s = append(s, [marks]string{"a sum", "a smooth function", "at the input", "at the output", "from floats", "to floats"}[i])
		}
	}
	return strings.Join(s, "×")
}

// Predict is the time of a model. It refuses as One does, naming the first layer that cannot be told.
func (p *Predictor) Predict(g *Graph) (*Prediction, error) {
	out := &Prediction{}
	var single, all float64
	for _, u := range p.Units(g) {
		ns, d, err := p.One(u)
		if err != nil {
			return nil, err
		}
		l := Layer{Label: u.Label, Kind: u.Kind, Dims: u.Dims, Nodes: u.Nodes, Ns: ns, MACs: u.MACs, Bytes: u.Bytes}
		l.Low, l.High = ns*math.Exp(-1.645*d), ns*math.Exp(1.645*d)
		out.Layers = append(out.Layers, l)
		out.Ns += ns
		single, all = single+ns*ns*d*d, all+ns*d
	}
	d := 0.0
	if out.Ns > 0 {
		d = math.Sqrt(single+all*all*p.shared*p.shared) / out.Ns
	}
	out.Low, out.High = out.Ns*math.Exp(-1.645*d), out.Ns*math.Exp(1.645*d)
	return out, nil
}

// Doubt is how much measuring the units would teach: the sum of their deviations by their share of the time, more where nothing is
// known at all.
func (p *Predictor) Doubt(units []Unit) float64 {
	sum := 0.0
	for _, u := range units {
		_, known := p.kinds[p.key(u)]
		s := p.surface(p.key(u))
		switch {
		case s != nil:
			_, d := s.at(u)
			sum += min(d, 1)
			for k := range u.Dims {
				if !s.reaches(u, k) {
					sum += 0.3 // a new end: what lies between can be told then
				}
			}
		case !known || len(p.kinds[p.key(u)]) > 0:
			sum += 0.5
		}
	}
	return sum / math.Sqrt(float64(max(len(units), 1)))
}

// Kinds says what a table knows, the most measured first.
func (p *Predictor) Kinds() []KindInfo {
	var out []KindInfo
	for kind := range p.kinds {
		s := p.surface(kind)
		k := KindInfo{Kind: kind, Points: len(p.kinds[kind])}
		if s != nil {
			k.Low, k.High = s.lo, s.hi
			var e []float64
			nets := make([]int, len(s.x))
			for i := range nets {
				nets[i] = p.kinds[kind][i].Net
			}
			for _, v := range s.apart(nets) {
				e = append(e, math.Abs(math.Expm1(v)))
			}
			if len(e) > 0 {
				k.Error = stats.Median(e)
			}
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b KindInfo) int {
		return cmp.Or(cmp.Compare(b.Points, a.Points), strings.Compare(a.Kind, b.Kind))
	})
	return out
}

// KindInfo is one kind of a table.
type KindInfo struct {
	Kind   string    `json:"kind"`
	Points int       `json:"points"` // 0: it costs nothing
	Low    []float64 `json:"low,omitempty"`
	High   []float64 `json:"high,omitempty"`
	Error  float64   `json:"median_error"` // of points whose network is left out
}
