package report

import (
	"io"
	"math"
	"time"

	"github.com/google/pprof/profile"

	"fettle/profiler"
)

// stacks builds a pprof profile whose "calls" are model, operator, layer, so that its tools sum by each.
type stacks struct {
	profile.Profile
	at map[[2]string]*profile.Location
}

func newStacks(types ...*profile.ValueType) *stacks {
	s := &stacks{at: map[[2]string]*profile.Location{}}
	s.SampleType = types
	return s
}

// location is the place of a name at a level; equal names of different layers stay apart by their file, which is the id.
func (s *stacks) location(name, file string) *profile.Location {
	if name == "" {
		name = "?"
	}
	key := [2]string{name, file}
	if l, ok := s.at[key]; ok {
		return l
	}
	f := &profile.Function{ID: uint64(len(s.Function) + 1), Name: name, SystemName: name, Filename: file}
	l := &profile.Location{ID: uint64(len(s.Location) + 1), Line: []profile.Line{{Function: f, Line: 1}}}
	s.Function, s.Location = append(s.Function, f), append(s.Location, l)
	s.at[key] = l
	return l
}

func (s *stacks) add(model, op, layer, id string, labels map[string][]string, values ...float64) {
	v := make([]int64, len(values))
	for i, x := range values {
		v[i] = int64(math.Round(x))
	}
	s.Sample = append(s.Sample, &profile.Sample{Location: []*profile.Location{s.location(layer, id), s.location(op, "operator"), s.location(model, "model")}, Value: v, Label: labels})
}

// profilePprof writes the layers as a pprof profile, for `go tool pprof -http`.
func profilePprof(w io.Writer, p *profiler.Profile) error {
	s := newStacks(&profile.ValueType{Type: "time", Unit: "nanoseconds"}, &profile.ValueType{Type: "macs", Unit: "count"})
	s.TimeNanos = p.TakenUnix * int64(time.Second)
	s.DefaultSampleType = "time"
	if p.Clean.P50Ns != nil {
		s.DurationNanos = int64(*p.Clean.P50Ns)
	}
	for _, l := range p.Layers {
		labels := map[string][]string{"kernel": {l.Kernel}, "dtype": {l.DType}}
		s.add(p.Model.Name, l.Op, l.Name, l.ID, labels, l.P50Ns, float64(l.MACs))
	}
	if p.Complete && len(p.Layers) > 0 {
		s.add(p.Model.Name, "unattributed", "unattributed", "", nil, p.UnattributedNs, 0)
	}
	return s.Write(w)
}

// comparisonPprof writes the bars: what run B takes, what A took, and the difference, which may be negative.
func comparisonPprof(w io.Writer, c *profiler.Comparison) error {
	ns := "nanoseconds"
	s := newStacks(&profile.ValueType{Type: "delta", Unit: ns}, &profile.ValueType{Type: "a", Unit: ns}, &profile.ValueType{Type: "b", Unit: ns})
	s.DefaultSampleType = "delta"
	for _, b := range c.Bars {
		id := b.Kind
		if len(b.Origin) > 0 {
			id = b.Origin[0]
		}
		op := b.Op
		if op == "" {
			op = b.Kind
		}
		s.add(c.A.Model+" -> "+c.B.Model, op, b.Label, id, map[string][]string{"verdict": {b.Verdict}, "why": {b.Why}}, b.DeltaNs, b.FromNs, b.ToNs)
	}
	return s.Write(w)
}
