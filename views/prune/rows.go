package prune

import (
	"math"
	"slices"
	"strconv"

	"fettle/app"
	"fettle/views/kit"
)

// group is one line of the list.
type group struct {
	at       int // of the groups of the document
	name     string
	making   int // of keys
	channels int
	kept     int
	cuts     []app.Cut // the first leaves all; nil: not studied, or locked
	pick     int
	locked   string
	keys     []string
	saved    *float64 // ns of the pick, nil: not timed
	damage   float64  // of the pick alone
	risk     int      // 0 to 3
}

// groups lists the groups of the model that is cut; empty where nothing is known of it.
func groups(d *app.Doc) []group {
	c := d.CutsNow()
	if c == nil {
		return nil
	}
	worst := worstDamage(c)
	var out []group
	for i, g := range c.Groups {
		r := group{at: i, name: g.Name, making: g.Making, channels: g.Channels, kept: g.Channels, locked: g.Locked, keys: g.Keys}
		if c.Study != nil && len(c.Study.Groups[i].Cuts) > 1 {
			r.cuts, r.pick = c.Study.Groups[i].Cuts, c.Picks[i]
			cut := r.cuts[r.pick]
			r.kept, r.damage = g.Channels-cut.Gone, cut.Damage
			if c.Study.Ns > 0 && r.pick > 0 {
				ns := c.Study.Ns - cut.Ns
				r.saved = &ns
			}
			r.risk = risk(cut.Damage, worst)
		}
		out = append(out, r)
	}
	return out
}

// worstDamage is the largest damage of a cut of one group.
func worstDamage(c *app.Cuts) float64 {
	worst := 0.0
	if c.Study != nil {
		for _, g := range c.Study.Groups {
			for _, cut := range g.Cuts {
				worst = max(worst, cut.Damage)
			}
		}
	}
	return worst
}

// risk puts a damage into words: 0 nothing goes, 1 little, 2 some, 3 much. Damages of groups span decades: steps are of a factor of four.
func risk(damage, worst float64) int {
	switch {
	case damage <= 0 || worst <= 0:
		return 0
	case damage < worst/16:
		return 1
	case damage < worst/4:
		return 2
	}
	return 3
}

// holding is the place of the group that a selection means: the one with a layer that is picked, the one that makes it before one that
// only reads it; -1: none.
func holding(d *app.Doc, picked []string, now int) int {
	c := d.CutsNow()
	if c == nil || len(picked) == 0 {
		return -1
	}
	if now >= 0 && now < len(c.Groups) && slices.Equal(c.Groups[now].Keys, picked) {
		return now
	}
	for i, g := range c.Groups {
		if len(g.Keys) > 0 && len(picked) == 1 && makes(c, i, picked[0]) {
			return i
		}
	}
	for i, g := range c.Groups {
		if slices.Equal(g.Keys, picked) {
			return i
		}
	}
	for i, g := range c.Groups {
		if slices.ContainsFunc(g.Keys, func(k string) bool { return slices.Contains(picked, k) }) {
			return i
		}
	}
	return -1
}

// makes reports whether an imported node is a layer that makes the channels of a group: makers' nodes come first among its keys.
func makes(c *app.Cuts, at int, key string) bool {
	i := slices.Index(c.Groups[at].Keys, key)
	return i >= 0 && i < c.Groups[at].Making
}

// total is one number as it was and as it would be.
type total struct {
	name, value, was, delta, token, note string
	share                                float64
}

// totals are what the picks leave: time, work, weights, and what the answers lose. Names and notes are keys of the translations.
func totals(d *app.Doc) []total {
	c := d.CutsNow()
	if c == nil || c.Study == nil {
		return nil
	}
	t, st := c.Totals, c.Study
	change := func(name, value, was string, now, before float64, note string) total {
		x := total{name: name, value: value, was: was, share: 1, token: "text3", note: note}
		if before > 0 {
			x.share = min(max(now/before, 0), 1)
			if now != before {
				x.delta, x.token = kit.DeltaPercent(now/before-1), "gain"
				if now > before {
					x.token = "loss"
				}
			}
		}
		return x
	}
	counted := "sums of single savings"
	if t.Exact {
		counted = "counted in the cut model"
	}
	var out []total
	if st.Ns > 0 {
		note := "sum of single savings, as timed"
		now := t.Ns
		if c.Measured != nil {
			note, now = "measured", c.Measured.Ns
		}
		out = append(out, change("time of one run", kit.Ms(now), kit.Ms(st.Ns), now, st.Ns, note))
	}
	out = append(out, change("multiply-adds", kit.MACs(int64(t.MACs)), kit.MACs(int64(st.MACs)), t.MACs, st.MACs, counted),
		change("weights", kit.Bytes(int64(t.Bytes)), kit.Bytes(int64(st.Bytes)), t.Bytes, st.Bytes, counted))
	return out
}

// damageText is the expected damage with its interval, or what was measured.
func damageText(c *app.Cuts) (value, interval string) {
	if m := c.Measured; m != nil {
		return Sci(m.Damage.Damage()), ""
	}
	t := c.Totals
	if t.Damage == 0 {
		return "0", ""
	}
	return Sci(t.Damage), Sci(t.Low) + " – " + Sci(t.High)
}

// Sci is a small number in two digits.
func Sci(x float64) string {
	switch {
	case x == 0:
		return "0"
	case math.Abs(x) >= 0.001:
		return kit.Sig(x)
	}
	exp := int(math.Floor(math.Log10(math.Abs(x))))
	return strconv.FormatFloat(x/math.Pow(10, float64(exp)), 'f', 1, 64) + "e−" + strconv.Itoa(-exp)
}

// move is one point of the map: one cut of one group.
type move struct {
	group, cut    int
	name          string
	gone, of      int
	damage, saved float64 // ns, or multiply-adds where nothing was timed
}

// moves are all cuts of all groups.
func moves(d *app.Doc) (list []move, timed bool) {
	c := d.CutsNow()
	if c == nil || c.Study == nil {
		return nil, false
	}
	timed = c.Study.Ns > 0
	for i, g := range c.Study.Groups {
		for k := 1; k < len(g.Cuts); k++ {
			cut := g.Cuts[k]
			m := move{group: i, cut: k, name: c.Groups[i].Name, gone: cut.Gone, of: c.Groups[i].Channels, damage: cut.Damage, saved: c.Study.MACs - cut.MACs}
			if timed {
				m.saved = c.Study.Ns - cut.Ns
			}
			list = append(list, m)
		}
	}
	return list, timed
}

// strongest is, of each group that a lasso holds moves of, the largest cut among them.
func strongest(list []move, in []int) map[int]int {
	out := map[int]int{}
	for _, i := range in {
		m := list[i]
		out[m.group] = max(out[m.group], m.cut)
	}
	return out
}

// working is the job of this screen that runs, nil: none.
func working(st *app.State) *app.Job {
	for _, j := range st.Active() {
		switch j.Title {
		case "Study the channels", "Measure the cuts", "Refine the cuts", "Apply rewrites":
			return j
		}
	}
	return nil
}
