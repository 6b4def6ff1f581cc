package app

import (
	"fmt"
	"math"

	"fettle/internal/fail"
	"fettle/optimizer"
	"fettle/optimizer/prune"
	"fettle/optimizer/search"
)

// Tradeoff answers a slider: of each group of channels how many go, so that a limit holds and the damage is least. What was measured of
// a whole choice corrects the next answers.
type Tradeoff struct {
	study  *prune.Study
	kind   string // macs, bytes, ms
	groups []*prune.Studied
	stairs *search.Staircase
	whole  float64
	saving float64 // measured saving of a choice, as a share of the sum of single savings
	law    prune.Law
}

// Choice is one answer.
type Choice struct {
	Cost   float64 `json:"cost"`   // expected, in the units of the limit
	Damage float64 `json:"damage"` // expected
	Low    float64 `json:"low"`    // two thirds of such choices lie between
	High   float64 `json:"high"`
	Picks  []Pick  `json:"picks"`

	sum float64 // of single damages
}

// Pick is what goes of a group.
type Pick struct {
	Layer    string `json:"layer"`
	Gone     int    `json:"gone"`
	Channels int    `json:"channels"`

	id string
}

// NewTradeoff prepares the answers for limits on macs, bytes or ms (where the study was timed).
func NewTradeoff(st *prune.Study, kind string) (*Tradeoff, error) {
	t := &Tradeoff{study: st, kind: kind, saving: 1, law: prune.Law{Factor: 1, Power: 1}}
	if st.Law != nil {
		t.law = *st.Law
	}
	if t.whole = t.of(st.MACs, st.Bytes, st.Ns); t.whole <= 0 {
		return nil, fail.New(fail.Usage, "the study says nothing of %s", kind).Doing("weigh choices").Try("known are macs, bytes and, where cuts were timed, ms")
	}
	for i := range st.Groups {
		if len(st.Groups[i].Cuts) > 1 {
			t.groups = append(t.groups, &st.Groups[i])
		}
	}
	if len(t.groups) == 0 {
		return nil, fail.New(fail.Unsupported, "no group of channels can be cut").Doing("weigh choices")
	}
	t.solve()
	return t, nil
}

func (t *Tradeoff) of(macs, bytes, ns float64) float64 {
	switch t.kind {
	case "macs":
		return macs
	case "bytes":
		return bytes
	case "ms":
		return ns / 1e6
	}
	return 0
}

// bins of costs; savings count, so that a group that is left alone costs nothing more or less.
const bins = 4000

func (t *Tradeoff) solve() {
	var groups [][]search.Option
	top := 0.0
	for _, g := range t.groups {
		var l []search.Option
		most := math.Inf(-1)
		for _, c := range g.Cuts {
			o := search.Option{Cost: t.saving * (t.of(c.MACs, c.Bytes, c.Ns) - t.whole), Damage: max(c.Damage, 0)}
			l, most = append(l, o), max(most, o.Cost)
		}
		groups, top = append(groups, l), top+most
	}
	t.stairs = search.NewStaircase(groups, top, bins)
}

// Floor is the least cost of all choices.
func (t *Tradeoff) Floor() float64 { return t.whole + t.stairs.Floor() }

// Whole is the cost of the model as it is.
func (t *Tradeoff) Whole() float64 { return t.whole }

// At is the best choice within a limit. fail.Invalid with the floor where none holds it.
func (t *Tradeoff) At(limit float64) (*Choice, error) {
	picks, sum, ok := t.stairs.At(limit - t.whole)
	if !ok {
		return nil, fail.New(fail.Invalid, "impossible: with all channels gone that may go %.4g %s are left, the limit is %.4g", t.Floor(), t.kind, limit).
			Doing("weigh choices").Try("raise the limit, or let more of each group go")
	}
	c := &Choice{Cost: t.whole, sum: sum}
	for k, g := range t.groups {
		cut := g.Cuts[picks[k]]
		c.Cost += t.saving * (t.of(cut.MACs, cut.Bytes, cut.Ns) - t.whole)
		c.Picks = append(c.Picks, Pick{Layer: g.Group.Makers[0], Gone: cut.Gone, Channels: g.Group.Channels, id: string(g.Layers[0])})
	}
	c.Damage, c.Low, c.High = t.law.Joint(sum)
	return c, nil
}

// Learn takes what a choice weighs and does in truth: the next answers expect it.
func (t *Tradeoff) Learn(c *Choice, cost, damage float64) {
	if saved := t.whole - c.Cost; saved > 0 && cost < t.whole {
		t.saving *= (t.whole - cost) / saved
		t.solve()
	}
	if c.Damage > 0 && damage > 0 {
		t.law.Factor *= math.Sqrt(damage / c.Damage) // half of the way: one measurement is not the law
	}
}

// Recipe is the step that makes a choice real.
func (c *Choice) Recipe(seed int64, samples int) optimizer.Recipe {
	ratios := map[string]any{}
	for _, p := range c.Picks {
		if p.Gone > 0 {
			ratios[p.id] = math.Round(1e4*(float64(p.Gone)+0.25)/float64(p.Channels)) / 1e4
		}
	}
	return optimizer.Recipe{Schema: 1, Seed: seed, Steps: []optimizer.RecipeStep{{Pass: "prune-channels",
		Options: map[string]any{"allocation": "list", "criterion": "obc", "ratios": ratios, "samples": int64(samples)}}}}
}

// String lists what goes.
func (c *Choice) String() string {
	s := ""
	for _, p := range c.Picks {
		if p.Gone > 0 {
			s += fmt.Sprintf("%s %d of %d, ", p.Layer, p.Gone, p.Channels)
		}
	}
	if s == "" {
		return "nothing goes"
	}
	return s[:len(s)-2]
}
