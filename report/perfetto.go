package report

import (
	"encoding/json"
	"io"
	"strings"

	"fettle/profiler"
)

// event is one of the trace event format that Perfetto and chrome://tracing open. Times are microseconds.
type event struct {
	Name string         `json:"name"`
	Cat  string         `json:"cat,omitempty"`
	Ph   string         `json:"ph"`
	TS   float64        `json:"ts"`
	Dur  float64        `json:"dur,omitempty"`
	PID  int            `json:"pid"`
	TID  int            `json:"tid"`
	Args map[string]any `json:"args,omitempty"`
}

// process is one lane of spans laid end to end.
type process struct {
	events []event
	pid    int
	now    float64
}

func newProcess(pid int, name, thread string) *process {
	p := &process{pid: pid}
	p.events = []event{{Name: "process_name", Ph: "M", PID: pid, Args: map[string]any{"name": name}}, {Name: "thread_name", Ph: "M", PID: pid, TID: 1, Args: map[string]any{"name": thread}}}
	return p
}

func (p *process) span(name, cat string, ns float64, args map[string]any) {
	if ns <= 0 {
		return // a span cannot run backwards
	}
	p.events = append(p.events, event{Name: name, Cat: cat, Ph: "X", TS: p.now / 1e3, Dur: ns / 1e3, PID: p.pid, TID: 1, Args: args})
	p.now += ns
}

func writeEvents(w io.Writer, about map[string]any, ps ...*process) error {
	var all []event
	for _, p := range ps {
		all = append(all, p.events...)
	}
	return json.NewEncoder(w).Encode(map[string]any{"traceEvents": all, "displayTimeUnit": "ns", "otherData": about})
}

// profilePerfetto lays one typical inference out: the layers in order, each as long as its median.
func profilePerfetto(w io.Writer, p *profiler.Profile) error {
	t := newProcess(1, p.Model.Name, "typical inference on "+p.Target.Name)
	for _, l := range p.Layers {
		args := map[string]any{"id": l.ID, "kernel": l.Kernel, "dtype": l.DType, "device": l.Device, "origin": strings.Join(l.Origin, " "), "share": l.Share,
			"macs": l.MACs, "bytes": l.Bytes, "interval_ns": l.Interval}
		if l.FloorNs != nil {
			args["floor_ns"] = *l.FloorNs
		}
		t.span(l.Name, l.Op, l.P50Ns, args)
	}
	t.span("unattributed", "", p.UnattributedNs, nil)
	return writeEvents(w, map[string]any{"model": p.Model, "target": p.Target.Name, "seal": p.Conditions.Seal, "complete": p.Complete}, t)
}

// comparisonPerfetto lays both runs out, one process each, in the order of the bars.
func comparisonPerfetto(w io.Writer, c *profiler.Comparison) error {
	a, b := newProcess(1, "A "+c.A.Model, c.A.Target), newProcess(2, "B "+c.B.Model, c.B.Target)
	for _, x := range c.Bars {
		args := map[string]any{"delta_ns": x.DeltaNs, "verdict": x.Verdict, "why": x.Why, "origin": strings.Join(x.Origin, " ")}
		a.span(x.Label, x.Op, x.FromNs, args)
		b.span(x.Label, x.Op, x.ToNs, args)
	}
	return writeEvents(w, map[string]any{"verdict": c.Verdict, "ratio": c.Ratio, "delta_ns": c.DeltaNs}, a, b)
}
