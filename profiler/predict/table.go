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
	"fettle/profiler/trace"
)

// Table is what was measured of kernels on one target, with one runtime and one number of threads. Its JSON form is what is kept.
type Table struct {
	Schema  int           `json:"schema"`
	Target  string        `json:"target"`
	CPU     string        `json:"cpu"`
	ISA     string        `json:"isa,omitempty"`
	Runtime trace.Runtime `json:"runtime"`
	Threads int           `json:"threads"`
	Taken   int64         `json:"taken_unix"`
	Probes  int           `json:"probes"`  // networks measured so far
	Spent   float64       `json:"seconds"` // for it
	Points  []point       `json:"points"`
	Joins   []joint       `json:"joints"` // pairs of nodes, seen as one step or as two
	Wholes  []whole       `json:"wholes"` // of the networks measured
}

// TableSchema is the version of a table's form.
const TableSchema = 2

// point is one measured unit.
type point struct {
	Kind string         `json:"kind"`
	Dims []float64      `json:"dims"`
	Work [works]float64 `json:"work"`
	Ns   float64        `json:"ns"`
	Net  int            `json:"net"` // which network it was part of
	// Kernel is what computed it, where it is one layer of products.
	Kernel string `json:"kernel,omitempty"`
	// Parts are its nodes where it has several, without times.
	Parts []point `json:"parts,omitempty"`
}

// joint is one pair of nodes of which the second reads the first alone.
type joint struct {
	Pair  string         `json:"pair"`
	Sizes [hints]float64 `json:"sizes"`
	One   bool           `json:"one"`
}

// hints are what may decide whether two nodes become one step: the bytes between them, the weights of both, the bytes between for
// each byte of weights.
const hints = 3

// whole is a network that was measured, as the sum of its units and at once.
type whole struct {
	Net int     `json:"net"`
	Ns  float64 `json:"ns"`
	Sum float64 `json:"sum_ns"`
	// Gauge is what the network took that is measured beside each, at that moment; 0: it was not measured.
	Gauge float64 `json:"gauge_ns,omitempty"`
}

// maxPoints of a kind: more make no better surface, and cost time.
const maxPoints = 260

// Measured is a unit with its time on a target.
type Measured struct {
	Unit
	Ns     float64
	kernel string
}

// Split takes a trace of g's model apart into the units that ran, with the time of each, and the time of the whole. Times are those
// of the quieter half of the inferences: what disturbed the others is not the kernel's.
func (g *Graph) Split(t *trace.Trace) (units []Measured, wholeNs float64, err error) {
	steps, clean := quiet(t)
	if len(steps) != len(t.Steps) || clean <= 0 {
		return nil, 0, fail.New(fail.Corrupt, "the trace has no times of steps").Try("measure again")
	}
	of := map[string][]*part{} // by imported node
	for _, p := range g.parts {
		for _, o := range p.node.Origin {
			of[string(o)] = append(of[string(o)], p)
		}
	}
	owner := map[*part]int{} // the first step of a unit
	groups := make([][]*part, len(t.Steps))
	ns, kernels, most := make([]float64, len(t.Steps)), make([]string, len(t.Steps)), make([]int64, len(t.Steps))
	for i, s := range t.Steps {
		into := i
		var mine []*part
		for _, o := range s.Origin {
			for _, p := range of[o] {
				if k, taken := owner[p]; taken {
					into = min(into, k)
				} else if !slices.Contains(mine, p) {
					mine = append(mine, p)
				}
			}
		}
		ns[into] += steps[i]
		if s.MACs > most[into] {
			kernels[into], most[into] = s.Kernel, s.MACs
		}
		groups[into] = append(groups[into], mine...)
		for _, p := range mine {
			owner[p] = into
		}
	}
	for i, parts := range groups {
		if len(parts) > 0 {
			units = append(units, Measured{unit(parts), ns[i], kernels[i]})
		}
	}
	for _, p := range g.parts {
		if _, ran := owner[p]; !ran {
			units = append(units, Measured{unit([]*part{p}), 0, ""})
		}
	}
	return units, clean, nil
}

// low is the part of measurements that counts as quiet.
const low = 0.25

// quiet are the times of steps, scaled so that they add up to an inference nobody watched, and of the whole.
func quiet(t *trace.Trace) (steps []float64, clean float64) {
	var all, watched []float64
	var each [][]int64
	for _, l := range t.Launches {
		for _, v := range l.Clean {
			all = append(all, float64(v))
		}
		for i, v := range l.Whole {
			if i < len(l.Instrumented) && len(l.Instrumented[i]) == len(t.Steps) {
				watched = append(watched, float64(v))
				each = append(each, l.Instrumented[i])
			}
		}
	}
	if len(all) == 0 || len(each) == 0 {
		return nil, 0
	}
	clean = stats.Quantile(all, low)
	sum := 0.0
	v := make([]float64, len(each))
	for k := range t.Steps {
		for i := range each {
			v[i] = float64(each[i][k])
		}
		steps = append(steps, stats.Quantile(v, low))
		sum += steps[k]
	}
	if sum > 0 {
		for k := range steps {
			steps[k] *= clean / sum
		}
	}
	return steps, clean
}

// edges are the pairs of g that may be one step: the second reads the first, and nobody else does.
func (g *Graph) edges(each func(from, to *part, sizes [hints]float64)) {
	for _, p := range g.parts {
		for _, v := range p.from {
			made := g.m.Graph.Producer(v)
			if made == nil || g.by[made.ID] == nil || len(g.users(v)) != 1 || g.m.Graph.Output(v) != nil {
				continue
			}
			d, _ := g.dims(v)
			a := g.by[made.ID]
			between, weights := 4*product(d), a.work[wWeights]+p.work[wWeights]
			each(a, p, [hints]float64{between, weights, between / max(weights, 1)})
		}
	}
}

// Add takes what a network showed into the table. gauge is what Gauge took beside it, in nanoseconds; 0: nobody looked.
func (t *Table) Add(g *Graph, tr *trace.Trace, gauge float64) error {
	units, wholeNs, err := g.Split(tr)
	if err != nil {
		return err
	}
	of := map[model.NodeID]int{}
	sum := 0.0
	for i, u := range units {
		for _, id := range u.Nodes {
			of[id] = i
		}
		p := point{Kind: u.Kind, Dims: u.Dims, Work: u.work, Ns: u.Ns, Net: t.Probes}
		if len(u.parts) < 2 && u.MACs > 0 {
			p.Kernel = u.kernel
		}
		for _, x := range u.parts {
			p.Parts = append(p.Parts, point{Kind: x.Kind, Dims: x.Dims, Work: x.work})
		}
		t.Points = append(t.Points, p)
		sum += u.Ns
	}
	g.edges(func(from, to *part, sizes [hints]float64) {
		a, b := of[from.node.ID], of[to.node.ID]
		if units[b].Ns > 0 && units[a].Ns > 0 { // what costs nothing joins nothing
			t.Joins = append(t.Joins, joint{pair(from, to), sizes, a == b})
		}
	})
	t.Wholes = append(t.Wholes, whole{t.Probes, wholeNs, sum, gauge})
	t.Probes++
	return nil
}

func pair(a, b *part) string { return a.kind + " > " + b.kind }

// coarse is a pair by operators alone.
func coarse(pair string) string {
	a, b, _ := strings.Cut(pair, " > ")
	op := func(s string) string { s, _, _ = strings.Cut(s, " "); return s }
	return op(a) + " > " + op(b)
}

// Rule says when a pair of nodes becomes one step: where a size of it lies in a range.
type Rule struct {
	Pair  string  `json:"pair"`
	Hint  int     `json:"hint"`
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Seen  int     `json:"seen"`
	Wrong int     `json:"wrong"` // of the pairs seen, those that the rule tells otherwise
}

// holds reports whether the rule makes a pair of such sizes one step.
func (r Rule) holds(sizes [hints]float64) bool {
	return sizes[r.Hint] >= r.From && sizes[r.Hint] <= r.To
}

// Rules learns when pairs become one step from the pairs that were seen: by the hint that tells most of them right, and of several the one whose
// bound lies in the widest gap.
func (t *Table) Rules() map[string]Rule {
	by := map[string][]joint{}
	for _, j := range t.Joins {
		by[j.Pair] = append(by[j.Pair], j)
		by[coarse(j.Pair)] = append(by[coarse(j.Pair)], j)
	}
	out := map[string]Rule{}
	for name, seen := range by {
		best := Rule{Wrong: len(seen) + 1}
		apart := 0.0
		for hint := range hints {
			r, wide := cut(name, seen, hint)
			if r.Wrong < best.Wrong || r.Wrong == best.Wrong && wide > apart {
				best, apart = r, wide
			}
		}
		out[name] = best
	}
	return out
}

// Fused are the rules by which pairs sometimes or always become one step, the most seen first.
func (t *Table) Fused() []Rule {
	rules := t.Rules()
	one := map[string]bool{}
	for _, j := range t.Joins {
		one[j.Pair] = one[j.Pair] || j.One
	}
	var out []Rule
	for _, pair := range slices.Sorted(maps.Keys(one)) {
		if one[pair] {
			out = append(out, rules[pair])
		}
	}
	slices.SortStableFunc(out, func(a, b Rule) int { return cmp.Compare(b.Seen, a.Seen) })
	return out
}

// String says the rule.
func (r Rule) String() string {
	hint := [hints]string{"bytes between them", "bytes of weights", "bytes between them for each byte of weights"}[r.Hint]
	when := "always"
	switch {
	case r.To <= 0 || r.From == math.MaxFloat64:
		when = "never"
	case r.From > 0:
		when = fmt.Sprintf("from %.3g %s on", r.From, hint)
	case r.To < math.MaxFloat64:
		when = fmt.Sprintf("up to %.3g %s", r.To, hint)
	}
	return fmt.Sprintf("%s are one step %s (seen %d times, %d otherwise)", r.Pair, when, r.Seen, r.Wrong)
}

// cut finds the bound of one hint that tells most pairs right: below it one step and above it two, or the other way round. wide is how many times
// larger the sizes above are.
func cut(name string, seen []joint, hint int) (best Rule, wide float64) {
	slices.SortStableFunc(seen, func(a, b joint) int { return cmp.Compare(a.Sizes[hint], b.Sizes[hint]) })
	one := 0
	for _, j := range seen {
		one += b2i(j.One)
	}
	best = Rule{Pair: name, Hint: hint, Seen: len(seen), Wrong: len(seen) + 1}
	below := 0 // of those below the bound, one step
	for i := 0; i <= len(seen); i++ {
		if i > 0 {
			below += b2i(seen[i-1].One)
		}
		if i > 0 && i < len(seen) && seen[i].Sizes[hint] == seen[i-1].Sizes[hint] {
			continue
		}
		at, gap := math.MaxFloat64, 1.0
		if i == 0 {
			at = 0
		} else if i < len(seen) {
			a, b := seen[i-1].Sizes[hint], seen[i].Sizes[hint]
			at, gap = math.Sqrt(a*b), b/max(a, 1e-9)
		}
		take := func(wrong int, from, to float64) {
			if wrong < best.Wrong || wrong == best.Wrong && gap > wide {
				best.Wrong, best.From, best.To, wide = wrong, from, to, gap
			}
		}
		take((i-below)+(one-below), 0, at)
		take(below+(len(seen)-i-(one-below)), at, math.MaxFloat64)
	}
	return best, wide
}
