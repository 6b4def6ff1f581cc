package report

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"
	"strconv"
	"strings"

	"fettle/chart"
	"fettle/profiler"
)

//go:embed page.html
var pageText string

// page is what page.html shows: a heading, cells, charts and tables, all as text. The template escapes every one of them.
type page struct {
	Lang      string
	Title     string
	Lead      string // the sentence that the reader came for
	Tone      string // colour of the lead: "gain", "loss" or "text1"
	Seals     []seal
	Facts     []fact
	Warnings  []string
	Charts    []template.HTML // ours, with escaped names
	Tables    []table
	Foot      string
	CSS, Dark template.CSS
}

type seal struct{ Name, Level, Text string }

type fact struct{ Name, Value string }

type table struct {
	Title string
	Head  []string
	Right int  // columns from here on are numbers
	Sum   bool // the last row is the sum of the others
	Rows  [][]string
}

func render(w io.Writer, p page, charts ...*chart.Chart) error {
	for _, c := range charts {
		c.Width = 1000
		var b bytes.Buffer
		if err := chart.Inline(&b, c); err != nil {
			return err
		}
		p.Charts = append(p.Charts, template.HTML(b.String()))
	}
	p.CSS, p.Dark = template.CSS(chart.CSS("light")), template.CSS(chart.CSS("dark"))
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return err
	}
	_, err = w.Write(bytes.Map(visible, b.Bytes()))
	return err
}

// visible replaces the signs that a page must not take from a name: controls, and those that turn the direction of writing.
func visible(r rune) rune {
	switch {
	case r < ' ' && r != '\n' && r != '\t', r == 0x7f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return '\ufffd'
	}
	return r
}

func lang(t chart.Words) string {
	if t == nil {
		return "en"
	}
	return "zh-Hans"
}

func profileHTML(w io.Writer, p *profiler.Profile, t chart.Words) error {
	g := page{Lang: lang(t), Title: t.T("Profile of %s", p.Model.Name), Tone: "text1", Warnings: p.Warnings,
		Foot: t.T("Written by Fettle. Times are medians; intervals are 95 %, over launches.")}
	if p.Clean.P50Ns != nil {
		g.Lead = chart.TimeInterval(*p.Clean.P50Ns, p.Clean.IntervalP50)
	} else {
		g.Lead, g.Tone = t.T("interrupted: no times"), "loss"
	}
	g.Seals = []seal{{Level: p.Conditions.Seal, Name: t.T("seal: " + p.Conditions.Seal), Text: strings.Join(p.Conditions.Why, " · ")}}
	g.Facts = facts(p, t)
	g.Tables = []table{layerTable(p, t), launchTable(p, t)}
	return render(w, g, t.Bars(p), t.Samples(p))
}

func facts(p *profiler.Profile, t chart.Words) []fact {
	var out []fact
	add := func(name, value string) {
		if strings.TrimSpace(value) != "" {
			out = append(out, fact{t.T(name), value})
		}
	}
	add("run", p.ID)
	add("target", strings.Trim(p.Target.Name+" "+p.Target.SoC, " "))
	add("processor", p.Target.CPU)
	add("runtime", strings.Trim(p.Runtime.Name+" "+p.Runtime.Version, " "))
	add("threads", strconv.Itoa(p.Plan.Threads))
	add("precision", p.Plan.Precision)
	if p.Clean.P50Ns != nil {
		add("p90", pointer(p.Clean.P90Ns, t.T("needs n ≥ %d", 100)))
		add("p99", pointer(p.Clean.P99Ns, t.T("needs n ≥ %d", 1000)))
		add("first inference", chart.Time(p.Clean.FirstNs))
		add("load time", chart.Time(p.Clean.LoadNs))
		add("outliers", t.T("%d of %d", p.Clean.Outliers, p.Clean.N))
	}
	if len(p.Layers) > 0 {
		add("closure", chart.Percent(p.Closure))
		add("observer cost", chart.Percent(p.ObserverCost))
	}
	if m := p.Memory; m.Weights+m.ArenaPlanned+m.RSSPeak > 0 {
		add("weights", chart.Bytes(m.Weights))
		add("arena", chart.Bytes(m.ArenaPlanned))
		add("peak memory", chart.Bytes(m.RSSPeak))
	}
	if p.FloorNs != nil {
		add("floor", chart.Time(*p.FloorNs))
	}
	add("governor", p.Conditions.Governor)
	add("model", p.Model.SHA256)
	return out
}

func pointer(v *float64, none string) string {
	if v == nil {
		return none
	}
	return chart.Time(*v)
}

func layerTable(p *profiler.Profile, t chart.Words) table {
	tb := table{Title: t.T("Layers"), Head: heads(t, "layer", "operator", "kernel", "type", "time", "share", "MAC", "floor"), Right: 4}
	for _, l := range byTime(p) {
		floor := chart.Dash
		if l.FloorNs != nil {
			floor = chart.Time(*l.FloorNs)
		}
		tb.Rows = append(tb.Rows, []string{l.Name, l.Op, l.Kernel, l.DType, chart.TimeInterval(l.P50Ns, l.Interval), chart.Percent(l.Share), macs(l.MACs), floor})
	}
	if p.Complete && p.Clean.P50Ns != nil && len(p.Layers) > 0 {
		tb.Sum = true
		tb.Rows = append(tb.Rows, []string{t.T("unattributed"), "", "", "", chart.Time(p.UnattributedNs), chart.Percent(p.UnattributedNs / *p.Clean.P50Ns), "", ""},
			[]string{t.T("total"), "", "", "", chart.Time(*p.Clean.P50Ns), chart.Percent(1), "", ""})
	}
	return tb
}

func macs(n int64) string {
	switch {
	case n == 0:
		return chart.Dash
	case n >= 999_500_000:
		return chart.Number(float64(n)/1e9) + chart.NoBrk + "GMAC"
	}
	return chart.Number(float64(n)/1e6) + chart.NoBrk + "MMAC"
}

func launchTable(p *profiler.Profile, t chart.Words) table {
	tb := table{Title: t.T("Launches"), Head: heads(t, "launch", "used", "n", "median", "canary"), Right: 2}
	for i, l := range p.Launches {
		used := t.T("yes")
		if !l.Used {
			used = t.T("no") + ": " + l.Why
		}
		tb.Rows = append(tb.Rows, []string{strconv.Itoa(i + 1), used, strconv.Itoa(l.N), chart.Time(l.P50Ns), chart.Time(l.Canary)})
	}
	return tb
}

func heads(t chart.Words, names ...string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = t.T(n)
	}
	return out
}

func comparisonHTML(w io.Writer, c *profiler.Comparison, t chart.Words) error {
	g := page{Lang: lang(t), Title: t.T("From %s to %s", c.A.Model, c.B.Model), Lead: t.Verdict(c), Tone: map[string]string{profiler.Faster: "gain", profiler.Slower: "loss"}[c.Verdict],
		Warnings: c.Conditions, Foot: t.T("Written by Fettle. A change counts only where its 95 % interval clears the noise floor; layers after Holm's correction.")}
	if g.Tone == "" {
		g.Tone = "text1"
	}
	for _, r := range []struct {
		name string
		run  profiler.RunRef
	}{{"A", c.A}, {"B", c.B}} {
		g.Seals = append(g.Seals, seal{Level: r.run.Seal, Name: r.name + ": " + t.T("seal: "+r.run.Seal), Text: r.run.Model + " @ " + r.run.Target + " " + r.run.ID})
		g.Facts = append(g.Facts, fact{r.name, chart.Time(r.run.P50Ns)})
	}
	g.Facts = append(g.Facts, fact{t.T("difference"), chart.Delta(c.DeltaNs)}, fact{t.T("noise floor"), chart.Percent(c.Floor)}, fact{t.T("method"), t.T(c.Method)})
	if c.Detectable < profiler.Unbounded {
		g.Facts = append(g.Facts, fact{t.T("could have seen"), chart.Percent(c.Detectable)})
	}
	tb := table{Title: t.T("What changed"), Head: heads(t, "layers", "operator", "why", "verdict", "A", "B", "difference"), Right: 4, Sum: true}
	for _, b := range c.Bars {
		tb.Rows = append(tb.Rows, []string{name(b, t), b.Op, b.Why, verdict(b.Verdict, t), chart.Time(b.FromNs), chart.Time(b.ToNs), chart.Delta(b.DeltaNs)})
	}
	tb.Rows = append(tb.Rows, []string{t.T("total"), "", "", "", chart.Time(c.A.P50Ns), chart.Time(c.B.P50Ns), chart.Delta(c.DeltaNs)})
	g.Tables = []table{tb}
	return render(w, g, t.Waterfall(c))
}

// name is the bar's label; only our own word in it is translated.
func name(b profiler.Bar, t chart.Words) string {
	if b.Kind == "unattributed" {
		return t.T("unattributed")
	}
	return b.Label
}

// verdict is the word for a bar's verdict.
func verdict(v string, t chart.Words) string {
	if t == nil {
		return map[string]string{profiler.NoDifference: "none shown"}[v] + map[string]string{profiler.Faster: v, profiler.Slower: v}[v]
	}
	return t.T("verdict " + v)
}
