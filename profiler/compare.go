package profiler

import (
	"math"
	"sort"

	"fettle/internal/fail"
	"fettle/internal/stats"
	"fettle/profiler/trace"
)

// grain is the step of all times in a comparison, 1/8 ns. Sums of multiples of it are exact in float64, in any order and in
// any language, so the bars add up to the difference to the last bit.
const grain = 0.125

func toGrain(ns float64) float64 { return math.Round(ns/grain) * grain }

// Compare says how run B differs from run A: over all, and for each set of layers that stands for the same imported nodes.
//
// Error: fail.Invalid where a side is nil or not complete: a part of a run compares with nothing.
func Compare(a, b *Profile) (*Comparison, error) {
	for _, s := range []struct {
		name string
		p    *Profile
	}{{"A", a}, {"B", b}} {
		if s.p == nil {
			return nil, fail.New(fail.Invalid, "there is no run %s", s.name).Doing("compare two runs")
		}
		if !s.p.Complete || s.p.Clean.P50Ns == nil {
			return nil, fail.New(fail.Invalid, "run %s (%s) is not complete", s.name, s.p.Model.Name).Doing("compare two runs").Try("profile it again to its end")
		}
		if *s.p.Clean.P50Ns <= 0 {
			return nil, fail.New(fail.Invalid, "run %s (%s) took no time at all", s.name, s.p.Model.Name).Doing("compare two runs").Try("the target's clock is too coarse; profile with a larger model or batch")
		}
		if err := plausible(s.p); err != nil {
			return nil, fail.In(err, "compare two runs: run "+s.name, fail.Where{})
		}
	}
	c := &Comparison{Schema: trace.Schema, A: ref(a), B: ref(b), Conditions: conditions(a, b)}
	c.DeltaNs = toGrain(c.B.P50Ns) - toGrain(c.A.P50Ns)
	m := method(a, b)
	c.Floor = m.floor
	c.Conditions = append(c.Conditions, m.notes...)
	c.Method = m.name
	c.whole(m)
	c.bars(a, b, m)
	return c, nil
}

// plausible refuses a profile whose numbers no measurement can give; it may come from a file that anybody wrote.
func plausible(p *Profile) error {
	const day = 86_400e9
	bad := func(v ...float64) bool {
		for _, x := range v {
			if !(x >= 0 && x <= day) {
				return true
			}
		}
		return false
	}
	wrong := bad(*p.Clean.P50Ns)
	for i := range p.Launches {
		wrong = wrong || bad(p.Launches[i].P50Ns, p.Launches[i].Canary)
	}
	for _, v := range p.Clean.SamplesNs {
		wrong = wrong || bad(float64(v))
	}
	if wrong {
		return fail.New(fail.Corrupt, "a time is negative or longer than a day").Try("profile it again")
	}
	for i := range p.Layers {
		if l := &p.Layers[i]; bad(l.P50Ns) || bad(l.UnitsNs...) {
			return fail.New(fail.Corrupt, "layer %q has a time that is negative or longer than a day", l.Name).Try("profile it again")
		}
	}
	if f := p.Target.NoiseFloor; f != nil && !(*f >= 0 && *f < 1) {
		return fail.New(fail.Corrupt, "a noise floor of %g", *f).Try("compare identical code on the target again")
	}
	return nil
}

func ref(p *Profile) RunRef {
	return RunRef{ID: p.ID, Model: p.Model.Name, Target: p.Target.Name, P50Ns: *p.Clean.P50Ns, Seal: p.Conditions.Seal}
}

// whole judges the whole inference.
func (c *Comparison) whole(m plan) {
	e := m.effect(m.a, m.b)
	c.Ratio = [3]float64{bounded(math.Exp(e.lo)), bounded(math.Exp(e.mid)), bounded(math.Exp(e.hi))}
	c.Detectable = bounded(math.Expm1(m.floor + e.reach))
	c.Verdict = NoDifference
	c.Inconclusive = m.inconclusive
	if m.inconclusive == "" {
		c.Verdict = e.verdict(m.floor)
	}
}

func bounded(x float64) float64 {
	if math.IsNaN(x) || x > Unbounded {
		return Unbounded
	}
	return x
}

// verdict says which side of no difference the interval lies on, clear of the floor.
func (e effect) verdict(floor float64) string {
	switch f := math.Log1p(floor); {
	case e.hi < -f:
		return Faster
	case e.lo > f:
		return Slower
	}
	return NoDifference
}

// bars makes the waterfall: one bar for each aligned set of layers, the longest change first, and last what no layer explains.
func (c *Comparison) bars(a, b *Profile, m plan) {
	groups := align(a.Layers, b.Layers)
	var p []float64
	var effects []effect
	fromAll, toAll := 0.0, 0.0
	for _, g := range groups {
		bar, e := g.bar(a, b, m)
		fromAll += bar.FromNs
		toAll += bar.ToNs
		c.Bars = append(c.Bars, bar)
		effects = append(effects, e)
		p = append(p, e.p(math.Log1p(m.floor), len(groups)))
	}
	// Whole first, then Holm: with a hundred layers at 5 % each, one false "faster" would be all but certain.
	if c.Verdict != NoDifference {
		for i, sure := range stats.Holm(p, level) {
			if sure {
				c.Bars[i].Verdict = effects[i].side()
			}
		}
	}
	sort.SliceStable(c.Bars, func(i, j int) bool { return math.Abs(c.Bars[i].DeltaNs) > math.Abs(c.Bars[j].DeltaNs) })
	rest := Bar{Label: "unattributed", Kind: "unattributed", Verdict: NoDifference, Origin: []string{}, From: []string{}, To: []string{},
		FromNs: toGrain(c.A.P50Ns) - fromAll, ToNs: toGrain(c.B.P50Ns) - toAll, Why: "time between the layers"}
	rest.DeltaNs = rest.ToNs - rest.FromNs
	rest.Interval = [2]float64{rest.DeltaNs, rest.DeltaNs}
	c.Bars = append(c.Bars, rest)
}

func (e effect) side() string {
	if e.mid < 0 {
		return Faster
	}
	return Slower
}
