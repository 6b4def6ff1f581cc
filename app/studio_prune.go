package app

import (
	"context"
	"math"
	"slices"
	"strings"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/optimizer/prune"
	"fettle/optimizer/quantize"
)

// CutCriteria are the ways to say which channels of a group matter least, as the pass knows them: the one that the study is made with first, then the
// one that tries several.
func CutCriteria() []string {
	out := []string{"obc", "best"}
	for _, o := range spec.Of(prune.New().Options()) {
		if o.Key == "criterion" {
			for _, c := range o.Enum {
				if !slices.Contains(out, c) {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// Cuts is what was found out about cutting channels of the open model, and what is chosen to go. Everything in it belongs to the model
// that Of names.
type Cuts struct {
	Of     string // hash of the model that is cut
	Groups []ChannelGroup
	Study  *Study // nil: not studied yet
	Target string // whose times the study has, "" for this computer

	Picks  []int       // of each group, which of its cuts
	Totals CutTotals   // of the picks
	Floor  float64     // least share of the limit that any choice leaves
	Keep   float64     // share that the slider asked for last, 0: picked by hand
	Kind   string      // what that is a share of: macs, bytes, ms
	Told   *fail.Error // why the slider could not be followed

	Measured *MeasuredCuts // of the same picks, nil: not measured
	Refined  *Refined      // how these picks came out when whole choices were run, nil: they were not
	trade    *Tradeoff     // for Kind; learns from what is measured
}

// ChannelGroup is a set of channels that go together, as a list shows it.
type ChannelGroup struct {
	Name     string
	Text     string // the group as it prints itself
	Makers   []string
	Readers  []string
	Channels int
	Locked   string   // why no channel may go, "" where some may
	Holds    []string // all reasons why channels stay
	Keys     []string // imported nodes of its layers, those that make the channels first
	Making   int      // how many of these make them
	LockKeys []string // imported nodes that the reasons name
}

// CutTotals is what a choice weighs.
type CutTotals struct {
	Changed           int // groups
	MACs, Bytes, Ns   float64
	Exact             bool // MACs and Bytes were counted in the cut model, else they are sums of single savings
	Damage, Low, High float64
}

// MeasuredCuts is what a choice weighs and does in truth.
type MeasuredCuts struct {
	Ns     float64
	Bytes  int64
	MACs   int64
	Damage Fidelity
	Items  int
}

// cutEntry is the place in the ledger of the cut that the screen makes, -1: none; and where it would go: before what trains or rounds.
func cutEntry(l []Entry) (at, place int) {
	at, place = -1, len(l)
	for i := len(l) - 1; i >= 0; i-- {
		switch {
		case l[i].On && l[i].Pass == "prune-channels":
			at = i
		case l[i].On && (l[i].Pass == "distill" || l[i].Pass == "quantize"):
			place = i
		}
	}
	if at >= 0 {
		place = at
	}
	return at, place
}

// CutBase is the model whose channels are looked at: the result of what comes before the cut in the ledger.
func (d *Doc) CutBase() *model.Model {
	_, place := cutEntry(d.Ledger())
	for k := min(place, len(d.Steps)) - 1; k >= 0; k-- {
		if d.Steps[k].Model != nil {
			return d.Steps[k].Model
		}
	}
	return d.Base
}

// CutsNow is what is known of the model that would be cut, nil: nothing yet.
func (d *Doc) CutsNow() *Cuts {
	if d.Cuts == nil || d.Cuts.Of != d.CutBase().Hash() {
		return nil
	}
	return d.Cuts
}

// FindGroups lists the groups of channels of the open model; it needs no data and is done before anybody waits.
func (s *Studio) FindGroups() {
	d := s.State().Doc
	if d == nil || d.Busy || d.CutsNow() != nil {
		return
	}
	base := d.CutBase()
	s.group.Go("groups of channels", func(context.Context) error {
		l, err := prune.Groups(base)
		if err != nil {
			s.fail(fail.In(err, "look for groups of channels", fail.Where{}))
			return nil
		}
		groups := describeGroups(base, l)
		s.editDoc(d.ID, func(_ *State, d *Doc) {
			if d.CutsNow() == nil && d.CutBase().Hash() == base.Hash() {
				d.Cuts = &Cuts{Of: base.Hash(), Groups: groups, Kind: "macs"}
			}
		})
		return nil
	})
}

// describeGroups puts groups into plain values.
func describeGroups(m *model.Model, l []*prune.Group) []ChannelGroup {
	keys := map[string][]string{}
	for _, n := range m.Graph.Nodes {
		for _, o := range n.Origin {
			keys[n.Label()] = append(keys[n.Label()], string(o))
		}
	}
	var out []ChannelGroup
	for _, g := range l {
		c := ChannelGroup{Name: g.Makers[0], Text: g.String(), Makers: g.Makers, Readers: g.Readers, Channels: g.Channels}
		for _, n := range g.Makers {
			c.Keys = append(c.Keys, keys[n]...)
		}
		c.Making = len(c.Keys)
		for _, n := range g.Readers {
			c.Keys = append(c.Keys, keys[n]...)
		}
		stay := 0
		for why, n := range g.Locked {
			c.Holds = append(c.Holds, why)
			stay += n
		}
		slices.Sort(c.Holds)
		for _, why := range c.Holds {
			for label, k := range keys {
				if label != "" && strings.Contains(why, label) && !slices.Contains(g.Makers, label) {
					c.LockKeys = append(c.LockKeys, k...)
				}
			}
		}
		slices.Sort(c.LockKeys)
		switch {
		case stay == g.Channels && len(c.Holds) > 0:
			c.Locked = c.Holds[0]
		case g.Joint != "":
			c.Locked = "its channels go through the sum " + g.Joint
			c.LockKeys = append(c.LockKeys, keys[g.Joint]...)
		}
		out = append(out, c)
	}
	return out
}

// studySamples is how many items a study from the window reads.
const studySamples = 256

// StudyChannels finds out what the answers lose and what is won where channels of each group go. board "" and LocalTarget time cuts on this
// computer; another one times them there.
func (s *Studio) StudyChannels(board string) {
	d, ok := s.ready("study the channels")
	if !ok {
		return
	}
	if d.Data == "" {
		s.fail(fail.New(fail.Usage, "no calibration data was chosen").Doing("study the channels").Try("choose a folder of typical inputs"))
		return
	}
	base := d.CutBase()
	target := board
	if target == LocalTarget {
		target = ""
	}
	s.boardJob("Study the channels", board, "", func(ctx context.Context, p task.Progress, a Asks) error {
		q := NewSensitivityRequest(d.Data)
		q.Samples, q.Timed, q.Target, q.Threads, q.Asks, q.Progress = studySamples, true, target, s.State().Settings.Threads, a, p
		st, err := s.app.Sensitivity(ctx, base, q)
		if err != nil {
			return err
		}
		var l []*prune.Group
		for i := range st.Groups {
			l = append(l, st.Groups[i].Group)
		}
		groups := describeGroups(base, l)
		for i := range groups {
			if st.Groups[i].Problem != "" {
				groups[i].Locked = st.Groups[i].Problem
			}
		}
		c := &Cuts{Of: base.Hash(), Groups: groups, Study: st, Target: board, Picks: make([]int, len(groups)), Kind: "ms"}
		if c.trade, err = NewTradeoff(st, c.Kind); err != nil {
			return err
		}
		c.weigh()
		s.editDoc(d.ID, func(_ *State, d *Doc) { d.Cuts = c })
		return nil
	})
}

// weigh reckons the totals of the picks: microseconds, so that a slider can be followed.
func (c *Cuts) weigh() {
	t := CutTotals{MACs: c.Study.MACs, Bytes: c.Study.Bytes, Ns: c.Study.Ns}
	sum := 0.0
	for i, k := range c.Picks {
		if k == 0 {
			continue
		}
		cut := c.Study.Groups[i].Cuts[k]
		t.Changed++
		t.MACs += cut.MACs - c.Study.MACs
		t.Bytes += cut.Bytes - c.Study.Bytes
		t.Ns += cut.Ns - c.Study.Ns
		sum += cut.Damage
	}
	if c.Kind == "ms" { // what was measured of whole choices
		t.Ns = c.Study.Ns + c.trade.saving*(t.Ns-c.Study.Ns)
	}
	t.Damage, t.Low, t.High = c.trade.law.Joint(sum)
	c.Totals, c.Floor, c.Measured, c.Refined = t, c.trade.Floor()/c.trade.Whole(), nil, nil
}

// SetCuts chooses cuts of groups by their place; with others set back to all channels, where only is true.
func (s *Studio) SetCuts(picks map[int]int, only bool) {
	s.pickCuts(func(c *Cuts) {
		if only {
			clear(c.Picks)
		}
		for g, k := range picks {
			if g >= 0 && g < len(c.Picks) && k >= 0 && (k == 0 || k < len(c.Study.Groups[g].Cuts)) {
				c.Picks[g] = k
			}
		}
		c.Keep = 0
	})
}

// KeepShare picks the cuts of least damage that leave a share of the multiply-adds, bytes or milliseconds.
func (s *Studio) KeepShare(kind string, share float64) {
	s.pickCuts(func(c *Cuts) {
		if kind != c.Kind || c.trade == nil {
			t, err := NewTradeoff(c.Study, kind)
			if err != nil {
				c.Told = fail.From(err)
				return
			}
			c.Kind, c.trade = kind, t
		}
		c.Keep = share
		choice, err := c.trade.At(share * c.trade.Whole())
		if err != nil {
			c.Told = fail.From(err)
			return
		}
		c.take(choice)
	})
}

// take picks the cuts of a choice. Groups that cannot be cut are not in it.
func (c *Cuts) take(choice *Choice) {
	clear(c.Picks)
	k := 0
	for i := range c.Study.Groups {
		if len(c.Study.Groups[i].Cuts) < 2 {
			continue
		}
		for j, cut := range c.Study.Groups[i].Cuts {
			if cut.Gone == choice.Picks[k].Gone {
				c.Picks[i] = j
			}
		}
		k++
	}
}

// refineRuns is how many whole choices are run to improve one.
const refineRuns = 60

// RefineCuts improves the choice by runs of whole choices: it stays within what the slider leaves, or the picks by hand weigh.
func (s *Studio) RefineCuts() {
	const what = "refine the cuts"
	d, ok := s.ready(what)
	if !ok {
		return
	}
	c := d.CutsNow()
	if c == nil || c.Study == nil || c.Totals.Changed == 0 || d.Data == "" {
		s.fail(fail.New(fail.Usage, "no channels were chosen").Doing(what).Try("study the channels, then move a slider"))
		return
	}
	limit := c.Keep * c.trade.Whole()
	if c.Keep == 0 {
		limit = c.trade.of(c.Totals.MACs, c.Totals.Bytes, c.Totals.Ns)
	}
	base := d.CutBase()
	s.job("Refine the cuts", "", func(ctx context.Context, p task.Progress) error {
		q := NewSensitivityRequest(d.Data)
		q.Samples, q.Progress = studySamples/2, p
		choice, f, err := s.app.Refine(ctx, base, q, c.trade, limit, refineRuns)
		if err != nil {
			return err
		}
		s.edit(func(st *State) {
			if st.Doc == nil || st.Doc.ID != d.ID || st.Doc.Cuts == nil || st.Doc.Cuts.Of != c.Of || st.Doc.Cuts.Study != c.Study {
				return
			}
			d := *st.Doc
			now := *d.Cuts
			now.Picks = slices.Clone(now.Picks)
			now.take(choice)
			now.weigh()
			now.Refined, now.Totals.Damage, now.Totals.Low, now.Totals.High = f, f.Best, choice.Low, choice.High
			d.Cuts = &now
			st.Doc = &d
			s.countCuts(&d, &now)
		})
		return nil
	})
}

// pickCuts changes a copy of the picks, shows the totals that follow at once, and counts the cut model behind them.
func (s *Studio) pickCuts(change func(c *Cuts)) {
	s.edit(func(st *State) {
		if st.Doc == nil || st.Doc.CutsNow() == nil || st.Doc.Cuts.Study == nil {
			return
		}
		d := *st.Doc
		c := *d.Cuts
		c.Picks, c.Told = slices.Clone(c.Picks), nil
		change(&c)
		c.weigh()
		d.Cuts = &c
		st.Doc = &d
		s.countCuts(&d, &c)
	})
}

// countCuts counts what the picks leave, in the cut model, and shows it where the picks are still those.
func (s *Studio) countCuts(d *Doc, c *Cuts) {
	base, r := d.CutBase(), optimizer.Recipe{Schema: 1, Seed: 1, Steps: c.steps("l1", "none")}
	s.group.Go("count the cut model", func(ctx context.Context) error {
		steps, err := optimizer.Run(ctx, base, &r, s.app.passEnv(nil))
		if err != nil {
			return nil // the sums stay
		}
		size, err := optimizer.Measure(steps[len(steps)-1].Model)
		if err != nil || size.MACs < 0 {
			return nil
		}
		s.editDoc(d.ID, func(_ *State, d *Doc) {
			if d.Cuts == nil || d.Cuts.Of != c.Of || !slices.Equal(d.Cuts.Picks, c.Picks) || d.Cuts.Totals.Exact {
				return
			}
			now := *d.Cuts
			now.Totals.MACs, now.Totals.Bytes, now.Totals.Exact = float64(size.MACs), float64(size.WeightBytes), true
			d.Cuts = &now
		})
		return nil
	})
}

// steps are the picks as a recipe; a choice of nothing is one that changes nothing.
func (c *Cuts) steps(criterion, refit string) []optimizer.RecipeStep {
	ratios := map[string]any{}
	for i, k := range c.Picks {
		if g := c.Study.Groups[i]; k > 0 {
			ratios[string(g.Layers[0])] = math.Round(1e4*(float64(g.Cuts[k].Gone)+0.25)/float64(g.Group.Channels)) / 1e4
		}
	}
	o := map[string]any{"allocation": "list", "criterion": criterion, "ratios": ratios, "samples": int64(studySamples)}
	if refit != "" {
		o["refit"] = refit
	}
	return []optimizer.RecipeStep{{Pass: "prune-channels", Options: o}}
}

// ApplyCuts puts the picks into the ledger, in place of the cut that is there; undo brings the old one back.
func (s *Studio) ApplyCuts(criterion string) {
	d, ok := s.ready("cut the channels")
	if !ok {
		return
	}
	c := d.CutsNow()
	if c == nil || c.Study == nil || c.Totals.Changed == 0 {
		s.fail(fail.New(fail.Usage, "no channels were chosen").Doing("cut the channels").Try("study the channels, then move a slider"))
		return
	}
	step := c.steps(criterion, "")[0]
	s.ledger("Apply the cuts", step.Pass, func(_ *Doc, l []Entry) ([]Entry, error) {
		at, place := cutEntry(l)
		if at >= 0 {
			l[at] = Entry{step, true}
			return l, nil
		}
		return slices.Insert(l, place, Entry{step, true}), nil
	})
}

// MeasureCuts makes the cut model as it would be applied and measures its time and its answers; the next totals expect that.
func (s *Studio) MeasureCuts(criterion string) {
	d, ok := s.ready("measure the cuts")
	if !ok {
		return
	}
	c := d.CutsNow()
	if c == nil || c.Study == nil || c.Totals.Changed == 0 {
		s.fail(fail.New(fail.Usage, "no channels were chosen").Doing("measure the cuts").Try("study the channels, then move a slider"))
		return
	}
	base, r := d.CutBase(), optimizer.Recipe{Schema: 1, Seed: 1, Steps: c.steps(criterion, "")}
	s.boardJob("Measure the cuts", c.Target, "", func(ctx context.Context, p task.Progress, a Asks) error {
		o, err := s.app.Optimize(ctx, base, &r, OptimizeOptions{Data: d.Data, Progress: p})
		if err != nil {
			return err
		}
		got := MeasuredCuts{}
		size, err := optimizer.Measure(o.Model)
		if err != nil {
			return err
		}
		got.MACs, got.Bytes = size.MACs, size.WeightBytes
		target := c.Target
		if target == LocalTarget {
			target = ""
		}
		if got.Ns, err = s.app.timeOn(ctx, o.Model, SensitivityRequest{Target: target, Threads: s.State().Settings.Threads, Asks: a}); err != nil {
			return err
		}
		pre, err := preprocessOf(base, "", d.Data)
		if err != nil {
			return err
		}
		set, err := s.app.openData(d.Data, base, pre)
		if err != nil {
			return err
		}
		env := s.app.passEnv(p)
		j, err := quantize.NewJudge(ctx, &env, base, unseenBy(set, studySamples), rolloutJudges)
		if err != nil {
			return err
		}
		if got.Damage, err = j.Of(ctx, o.Model); err != nil {
			return err
		}
		got.Items = j.Items()
		s.editDoc(d.ID, func(_ *State, d *Doc) {
			if d.Cuts == nil || d.Cuts.Of != c.Of || !slices.Equal(d.Cuts.Picks, c.Picks) {
				return
			}
			now := *d.Cuts
			t := *now.trade
			cost := map[string]float64{"macs": float64(got.MACs), "bytes": float64(got.Bytes), "ms": got.Ns / 1e6}[now.Kind]
			expected := map[string]float64{"macs": now.Totals.MACs, "bytes": now.Totals.Bytes, "ms": now.Totals.Ns / 1e6}[now.Kind]
			t.Learn(&Choice{Cost: expected, Damage: now.Totals.Damage}, cost, got.Damage.Damage())
			now.trade = &t
			now.weigh()
			now.Refined = d.Cuts.Refined
			now.Totals.MACs, now.Totals.Bytes, now.Totals.Exact = float64(got.MACs), float64(got.Bytes), true
			now.Measured = &got
			d.Cuts = &now
		})
		return nil
	})
}
