package views

import (
	"strconv"
	"strings"

	"fettle/app"
	"fettle/views/kit"
)

// goal is a limit of the goal bar.
type goal int

const (
	goalLatency goal = iota
	goalSize
	goalAccuracy
)

// goalCell is one cell of the goal bar as numbers and words; all fractions are places on the track from 0 to 1, below
// zero: not there.
type goalCell struct {
	Caption   string // key of the translations
	Limit     string // "≤ 30 ms"; "" for not set
	Value     string
	Note      string // secondary number beside the value
	Verdict   string // key of the translations
	VerdictBy string // icon of the verdict
	Token     string // colour of the verdict
	Floor     float64
	LimitAt   float64
	ValueAt   float64
	Why       string // arithmetic of an impossible goal; "" otherwise
	WhyArgs   []any
}

// goalCells puts the document's numbers beside its limits. What was not measured has no place on a track.
func goalCells(s *app.State) []goalCell {
	cells := []goalCell{{Caption: "p99 latency"}, {Caption: "file size"}, {Caption: "accuracy"}}
	for i := range cells {
		cells[i].Value, cells[i].Floor, cells[i].LimitAt, cells[i].ValueAt = kit.Absent, -1, -1, -1
	}
	d := s.Doc
	if d == nil {
		return cells
	}
	latencyCell(s, d, &cells[goalLatency])
	sizeCell(d, &cells[goalSize])
	accuracyCell(d, &cells[goalAccuracy])
	return cells
}

func latencyCell(s *app.State, d *app.Doc, c *goalCell) {
	limit := d.Goals.P99Ns
	if limit != nil {
		c.Limit = "≤ " + kit.Ms(*limit)
	}
	run := s.LastRun(d.Model.Hash())
	if run == nil {
		c.Verdict, c.VerdictBy, c.Token = "not measured", "seal-none", "text3"
		if limit != nil {
			c.LimitAt = 1 / trackRoom
			reckoned(d.BoundNow(), *limit, c)
		}
		return
	}
	p := run.Profile
	value := p.Clean.P99Ns
	if value == nil {
		c.Caption, value = "p50 latency", p.Clean.P50Ns
	} else if p.Clean.P50Ns != nil {
		c.Note = "p50 " + kit.Ms(*p.Clean.P50Ns)
	}
	if value == nil {
		return
	}
	c.Value = kit.Ms(*value)
	floor, known := floorNs(run)
	top := *value
	if limit != nil {
		top = max(top, *limit)
	}
	top *= trackRoom
	c.ValueAt = *value / top
	if known {
		c.Floor = floor / top
	}
	if limit == nil {
		return
	}
	c.LimitAt = *limit / top
	switch {
	case known && *limit < floor:
		c.Verdict, c.VerdictBy, c.Token = "impossible", "error", "danger"
		c.Why = "The floor of this network on %s is %s: the arithmetic that it must do, at the highest rate of the processor. The limit is %s."
		c.WhyArgs = []any{run.Target, kit.Ms(floor), kit.Ms(*limit)}
	case *value <= *limit:
		c.Verdict, c.VerdictBy, c.Token = "met", "check", "success"
	default:
		c.Verdict, c.VerdictBy, c.Token = "over", "warning", "warning"
	}
}

// reckoned is what a board's facts and kernels say of a limit before anything is measured.
func reckoned(b *app.Bound, limit float64, c *goalCell) {
	a := b.Answer(limit)
	if a == nil {
		return
	}
	if a.Floor > 0 {
		top := max(a.Floor, limit) * trackRoom
		c.Floor, c.LimitAt = a.Floor/top, limit/top
	}
	if p := b.Predicted; p != nil {
		c.Value = "≈ " + kit.Ms(p.Ns)
	}
	switch a.Verdict {
	case "impossible":
		c.Verdict, c.VerdictBy, c.Token = "impossible", "error", "danger"
		c.Why, c.WhyArgs = "The floor of this network on %s is %s: the arithmetic that it must do, at the highest rate of the processor. The limit is %s.", []any{b.Target, kit.Ms(a.Floor), kit.Ms(limit)}
	case "unlikely":
		c.Verdict, c.VerdictBy, c.Token = "unlikely", "warning", "warning"
	case "likely":
		c.Verdict, c.VerdictBy, c.Token = "likely", "check", "success"
	}
}

// trackRoom is how much longer a track is than the largest number on it.
const trackRoom = 1.25

// floorNs is the floor of a whole run: known only where each layer with work has one.
func floorNs(r *app.Run) (float64, bool) {
	sum := 0.0
	for _, l := range r.Profile.Layers {
		switch {
		case l.FloorNs != nil:
			sum += *l.FloorNs
		case l.MACs > 0:
			return 0, false
		}
	}
	return sum, sum > 0
}

func sizeCell(d *app.Doc, c *goalCell) {
	size := float64(d.Info.FileBytes)
	c.Value = kit.Bytes(d.Info.FileBytes)
	if was := d.BaseInfo.FileBytes; was > 0 && was != d.Info.FileBytes {
		c.Note = kit.DeltaPercent(size/float64(was) - 1)
	}
	top := max(size, float64(d.BaseInfo.FileBytes))
	if d.Goals.Bytes != nil {
		top = max(top, float64(*d.Goals.Bytes))
	}
	top *= trackRoom
	c.ValueAt = size / top
	if d.Goals.Bytes == nil {
		return
	}
	c.Limit, c.LimitAt = "≤ "+kit.Bytes(*d.Goals.Bytes), float64(*d.Goals.Bytes)/top
	if d.Info.FileBytes <= *d.Goals.Bytes {
		c.Verdict, c.VerdictBy, c.Token = "met", "check", "success"
	} else {
		c.Verdict, c.VerdictBy, c.Token = "over", "warning", "warning"
	}
}

func accuracyCell(d *app.Doc, c *goalCell) {
	limit := d.Goals.Accuracy
	if limit != nil {
		c.Limit, c.LimitAt = "≥ "+kit.Percent(*limit), *limit
	}
	if !d.Trained {
		c.Verdict, c.VerdictBy, c.Token = "untrained", "info", "text3"
	} else {
		c.Verdict, c.VerdictBy, c.Token = "not measured", "seal-none", "text3"
	}
	r := d.Score()
	if r == nil {
		return
	}
	var value float64
	switch {
	case r.Score != nil:
		value = *r.Score
	case r.Agreement != nil:
		c.Caption, value = "agreement", r.Agreement.Top1
	default:
		return
	}
	c.Value, c.ValueAt = kit.Percent(value), value
	c.Note = "± " + kit.Sig((r.Interval[1]-r.Interval[0])*50)
	c.Verdict, c.VerdictBy = "", ""
	if limit == nil {
		return
	}
	if value >= *limit {
		c.Verdict, c.VerdictBy, c.Token = "met", "check", "success"
	} else {
		c.Verdict, c.VerdictBy, c.Token = "under", "warning", "warning"
	}
}

// setGoal reads a limit as it is typed: "30", "30 ms", "18 MB", "75 %". Empty takes the limit away; ok is false for what
// is no limit.
func setGoal(g app.Goals, which goal, text string) (out app.Goals, ok bool) {
	text = strings.ToLower(strings.TrimSpace(strings.NewReplacer("≤", "", "≥", "", "<", "", ">", "", "=", "", "\u00a0", "").Replace(text)))
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzµ% ")
	unit := strings.TrimSpace(text[len(digits):])
	x, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if text != "" && (err != nil || !(x > 0)) {
		return g, false
	}
	scale := func(units map[string]float64) bool {
		f, known := units[unit]
		x *= f
		return known && x < 1e18
	}
	switch which {
	case goalLatency:
		if g.P99Ns = nil; text == "" {
			return g, true
		}
		if !scale(map[string]float64{"": 1e6, "ms": 1e6, "us": 1e3, "µs": 1e3, "s": 1e9}) {
			return g, false
		}
		g.P99Ns = &x
	case goalSize:
		if g.Bytes = nil; text == "" {
			return g, true
		}
		if !scale(map[string]float64{"": 1e6, "mb": 1e6, "kb": 1e3, "gb": 1e9, "b": 1}) {
			return g, false
		}
		n := int64(x)
		g.Bytes = &n
	case goalAccuracy:
		if g.Accuracy = nil; text == "" {
			return g, true
		}
		if unit != "" && unit != "%" || x > 100 {
			return g, false
		}
		if unit == "%" || x > 1 {
			x /= 100
		}
		g.Accuracy = &x
	}
	return g, true
}
