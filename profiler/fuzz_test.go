package profiler

import (
	"encoding/json"
	"testing"

	"fettle/profiler/trace"
)

// Samples come from boards and from files of others: whatever stands in them, they become a profile or an error, and a profile can be compared.
func FuzzSummarize(f *testing.F) {
	add := func(t trace.Trace) {
		b, err := json.Marshal(t)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	l := trace.Launch{CanaryNs: []int64{1e6, 1e6}}
	for range 20 {
		l.Clean, l.Whole, l.Instrumented = append(l.Clean, 1e6), append(l.Whole, 1.1e6), append(l.Instrumented, []int64{4e5, 5e5})
	}
	steps := []trace.Step{{ID: "s", Name: "s", Op: "Conv", Origin: []string{"n"}, Kernel: "k", DType: "float32"}, {ID: "t", Name: "t", Op: "Relu", Origin: []string{"m"}}}
	add(trace.Trace{Schema: 1, Steps: steps, Launches: []trace.Launch{l, l, l}})
	add(trace.Trace{Schema: 1, Steps: steps[:1], Launches: []trace.Launch{l}})                                // more times than steps
	add(trace.Trace{Schema: 1, Steps: steps, Launches: []trace.Launch{{Clean: []int64{-1, 0, 1 << 62}}, {}}}) // negative, nothing, overflow
	f.Add([]byte(`{"schema":1,"steps":[{}],"launches":[{"instrumented":[[],[1,2,3]],"whole_ns":[1]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var x trace.Trace
		if len(b) > 1<<16 || json.Unmarshal(b, &x) != nil {
			return
		}
		x.Close()
		p, err := Summarize(&x)
		if err != nil {
			return
		}
		if _, err := json.Marshal(p); err != nil {
			t.Fatalf("it cannot be written: %v", err)
		}
		c, err := Compare(p, p)
		if err != nil {
			return
		}
		if c.Verdict == Faster || c.Verdict == Slower {
			t.Fatalf("a run is %s than itself", c.Verdict)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Fatalf("it cannot be written: %v", err)
		}
	})
}
