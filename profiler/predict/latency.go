package predict

import (
	"cmp"
	"fmt"
	"maps"
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
	kinds    map[string][]point
	surfaces map[string]*surface
	saved    []float64 // of several nodes in one step: mean and deviation of the log of its time over that of its parts
	shared   float64   // share of a unit's error that all units of a network have in common
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
	p := &Predictor{table: t, rules: t.Rules(), kinds: map[string][]point{}, surfaces: map[string]*surface{}, shared: 0.3}
	for _, x := range t.Points {
		p.kinds[x.Kind] = append(p.kinds[x.Kind], x)
	}
	p.shared = p.common()
	for range 3 { // a network that was disturbed spoils its neighbours' forecasts at first
		p.level()
	}
	p.saved = p.saving()
	return p
}

// common is how far whole networks were from the sum of their units' predictions, as the share of error that does not even out: the
// share with which nine of ten measured networks lie within.
func (p *Predictor) common() float64 {
	type sums struct{ ns, mean, single, all float64 }
	nets := map[int]*sums{}
	p.apart(func(x point, e, d float64) {
		n := nets[x.Net]
		if n == nil {
			n = &sums{}
			nets[x.Net] = n
		}
		d *= x.Ns
		n.ns, n.mean = n.ns+x.Ns, n.mean+x.Ns*math.Exp(-e)
		n.single, n.all = n.single+d*d, n.all+d
	})
	var need []float64
	for _, n := range nets {
		if n.all > 0 {
			e := (n.mean - n.ns) / 1.645
			need = append(need, math.Sqrt(max(e*e-n.single, 0))/n.all)
		}
	}
	if len(need) < 8 {
		return 0.3
	}
	return min(max(stats.Quantile(need, 0.9), 0.15), 1) // what networks have in common is never quite known
}

// level takes out of the points what all units of a network had in common: the target was slower or faster while it was measured. The
// surfaces are then made anew.
func (p *Predictor) level() {
	type sums struct{ e, w []float64 }
	nets := map[int]*sums{}
	p.apart(func(x point, e, _ float64) {
		if nets[x.Net] == nil {
			nets[x.Net] = &sums{}
		}
		n := nets[x.Net]
		n.e, n.w = append(n.e, e), append(n.w, math.Sqrt(x.Ns)) // long ones are told better
	})
	all := map[int]float64{}
	var each []float64
	for net, n := range nets {
		trust := float64(len(n.e)) / float64(len(n.e)+3) // few units say little of the whole
		all[net] = trust * middle(n.e, n.w)
		each = append(each, all[net])
	}
	if len(each) == 0 {
		return
	}
	// other work makes a target slower and never faster: what the quieter networks showed is the target's own
	own := min(stats.Quantile(each, 0.3), 0)
	for kind := range p.kinds {
		points := p.kinds[kind]
		for i := range points {
			points[i].Ns *= math.Exp(own - all[points[i].Net])
		}
	}
	p.surfaces = map[string]*surface{}
}

// apart visits every point with the error of its logarithm when its network is left out, and the deviation that one has by itself.
func (p *Predictor) apart(each func(x point, e, deviation float64)) {
	for _, kind := range slices.Sorted(maps.Keys(p.kinds)) {
		s := p.surface(kind)
		points := p.kinds[kind]
		if s == nil || len(s.x) != len(points) {
			continue
		}
		nets := make([]int, len(points))
		for i, x := range points {
			nets[i] = x.Net
		}
		for i, e := range s.apart(nets) {
			each(points[i], e, max(s.spread*math.Sqrt(s.signal*s.noise), math.Abs(s.whole[i])/2))
		}
	}
}

// middle is the weighted median of v.
func middle(v, w []float64) float64 {
	at := make([]int, len(v))
	sum := 0.0
	for i := range v {
		at[i], sum = i, sum+w[i]
	}
	slices.SortFunc(at, func(a, b int) int { return cmp.Compare(v[a], v[b]) })
	below := 0.0
	for _, i := range at {
		if below += w[i]; below >= sum/2 {
			return v[i]
		}
	}
	return 0
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
		s = fit(points)
	}
	p.surfaces[kind] = s
	return s
}

// thin keeps at most maxPoints: those of the networks that hold the ends, and of the others as many of the early ones as of the late.
func thin(points []point) []point {
	if len(points) <= maxPoints {
		return points
	}
	var out, rest []point
	for _, x := range points {
		if x.Net < ends {
			out = append(out, x)
		} else {
			rest = append(rest, x)
		}
	}
	for k := range marks + 8 { // and whatever else is an end
		if k >= len(points[0].Dims) {
			break
		}
		by := func(a, b point) int { return cmp.Compare(a.Dims[k], b.Dims[k]) }
		out = append(out, slices.MinFunc(points, by), slices.MaxFunc(points, by))
	}
	room := max(maxPoints-len(out), 1)
	for i := range room {
		out = append(out, rest[i*len(rest)/room])
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
	all, known := p.kinds[u.Kind]
	if !known {
		return 0, 0, refuse("%s: nothing of the kind %q was measured (its sizes are %s)", u.Label, u.Kind, sizes(u.Dims))
	}
	s := p.surface(u.Kind)
	if points := p.kinds[u.Kind]; len(points) == 0 {
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
	for k := range u.Dims {
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

// slack is how far beyond the measured sizes a size may lie and still count as one of them.
const slack = 1.1

// reaches reports whether the k-th size of u lies among those measured.
func (s *surface) reaches(u Unit, k int) bool {
	return u.Dims[k] >= s.lo[k]/slack && u.Dims[k] <= s.hi[k]*slack
}

// closest is how many doublings the nearest measured sizes are away, in the size that differs most.
func (s *surface) closest(u Unit) float64 {
	closest := math.Inf(1)
	for _, x := range s.x {
		d := 0.0
		for k := range x {
			d = max(d, math.Abs(x[k]-math.Log2(u.Dims[k])))
		}
		closest = min(closest, d)
	}
	return closest
}

// within reports whether a surface tells u without leaving what was measured.
func (s *surface) within(u Unit) bool {
	for k := range u.Dims {
		if !s.reaches(u, k) {
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
	if s := p.surface(u.Kind); s != nil && len(s.x) >= 12 && s.within(u) {
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
		s := p.surface(one.Kind)
		switch {
		case s != nil && s.within(one):
			v, d := s.at(one)
			ns, variance = ns+v, variance+v*v*d*d
		case s == nil && p.known(one.Kind) && len(p.kinds[one.Kind]) == 0: // it costs nothing
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

func (p *Predictor) known(kind string) bool { _, ok := p.kinds[kind]; return ok }

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
	for _, v := range d[:max(len(d)-marks, 0)] {
		s = append(s, fmt.Sprintf("%.0f", v))
	}
	for i, v := range d[max(len(d)-marks, 0):] {
		if v > 1 {
			s = append(s, [marks]string{"a sum", "a smooth function", "at the input", "at the output"}[i])
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
		_, known := p.kinds[u.Kind]
		s := p.surface(u.Kind)
		switch {
		case s != nil:
			_, d := s.at(u)
			sum += min(d, 1)
			for k := range u.Dims {
				if !s.reaches(u, k) {
					sum += 0.3 // a new end: what lies between can be told then
				}
			}
		case !known || len(p.kinds[u.Kind]) > 0:
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
