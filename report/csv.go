package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"fettle/profiler"
)

// cell makes a text safe for a spreadsheet: one that begins like a formula is quoted, or opening the table would run it.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func num(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// opt is empty where there is no number: absent is not zero.
func opt(v *float64) string {
	if v == nil {
		return ""
	}
	return num(*v)
}

// profileCSV writes one row a layer in the order of execution, then what no layer explains and the total, which they add up to.
func profileCSV(w io.Writer, p *profiler.Profile) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"id", "name", "op", "kernel", "dtype", "device", "threads", "origin", "p50_ns", "low_ns", "high_ns", "p90_ns", "share", "macs", "bytes", "floor_ns", "floor_why"}}
	for _, l := range p.Layers {
		rows = append(rows, []string{cell(l.ID), cell(l.Name), cell(l.Op), cell(l.Kernel), cell(l.DType), cell(l.Device), strconv.Itoa(l.Threads), cell(strings.Join(l.Origin, " ")),
			num(l.P50Ns), num(l.Interval[0]), num(l.Interval[1]), opt(l.P90Ns), num(l.Share), strconv.FormatInt(l.MACs, 10), strconv.FormatInt(l.Bytes, 10), opt(l.FloorNs), cell(l.FloorWhy)})
	}
	if p.Complete && p.Clean.P50Ns != nil {
		tail := func(name, p50, lo, hi, p90, share string) {
			rows = append(rows, []string{"", name, "", "", "", "", "", "", p50, lo, hi, p90, share, "", "", "", ""})
		}
		if len(p.Layers) > 0 {
			tail("unattributed", num(p.UnattributedNs), "", "", "", num(p.UnattributedNs / *p.Clean.P50Ns))
		}
		tail("total", opt(p.Clean.P50Ns), num(p.Clean.IntervalP50[0]), num(p.Clean.IntervalP50[1]), opt(p.Clean.P90Ns), "1")
	}
	return out.WriteAll(rows)
}

// comparisonCSV writes one row a bar, and the sum.
func comparisonCSV(w io.Writer, c *profiler.Comparison) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"label", "op", "kind", "from", "to", "from_ns", "to_ns", "delta_ns", "low_ns", "high_ns", "verdict", "why", "origin"}}
	for _, b := range c.Bars {
		rows = append(rows, []string{cell(b.Label), cell(b.Op), b.Kind, cell(strings.Join(b.From, " ")), cell(strings.Join(b.To, " ")), num(b.FromNs), num(b.ToNs), num(b.DeltaNs),
			end(b.Interval[0]), end(b.Interval[1]), b.Verdict, cell(b.Why), cell(strings.Join(b.Origin, " "))})
	}
	rows = append(rows, []string{"total", "", "", cell(c.A.ID), cell(c.B.ID), num(c.A.P50Ns), num(c.B.P50Ns), num(c.DeltaNs), "", "", c.Verdict, cell(c.Inconclusive), ""})
	return out.WriteAll(rows)
}

// end of an interval; empty where nothing bounds it.
func end(v float64) string {
	if v >= profiler.Unbounded || v <= -profiler.Unbounded {
		return ""
	}
	return num(v)
}
