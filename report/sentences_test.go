package report

import (
	"regexp"
	"strings"
	"testing"

	"fettle/profiler"
	"fettle/profiler/trace"
)

// Runs in all sorts of trouble: every sentence that the profiler writes about them must have its Chinese.
func TestEverySentenceIsChinese(t *testing.T) {
	yes := true
	trouble := func(do func(*trace.Trace)) *profiler.Profile {
		p := &trace.Trace{Schema: 1, Model: trace.Model{Name: "net"}, Target: trace.Target{Name: "b"}, Steps: []trace.Step{{ID: "s", Name: "s", Op: "Conv", Origin: []string{"n"}, Kernel: "k", DType: "float32"}}}
		for range 3 {
			l := trace.Launch{CanaryNs: []int64{1e6, 1e6}}
			for range 20 {
				l.Clean, l.Whole, l.Instrumented = append(l.Clean, 1e6), append(l.Whole, 1.1e6), append(l.Instrumented, []int64{9e5})
			}
			p.Launches = append(p.Launches, l)
		}
		do(p)
		p.Close()
		out, err := profiler.Summarize(p)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := func(f func(l *trace.Launch)) func(*trace.Trace) {
		return func(p *trace.Trace) {
			for i := range p.Launches {
				f(&p.Launches[i])
			}
		}
	}
	plain := trouble(func(*trace.Trace) {})
	runs := []*profiler.Profile{plain,
		trouble(all(func(l *trace.Launch) {
			l.After = trace.Conditions{Throttled: &yes, ThrottleWhy: "84.5 C", Governor: "ondemand", Hz: []int64{6e8}}
		})),
		trouble(all(func(l *trace.Launch) { l.CanaryNs = []int64{1e6, 2e6} })),
		trouble(func(p *trace.Trace) { p.Launches[1].CanaryNs = []int64{2e6, 2e6} }),
		trouble(all(func(l *trace.Launch) { l.CanaryNs = nil })),
		trouble(all(func(l *trace.Launch) { l.CanaryNs = []int64{2e6, 2e6} })),
		trouble(func(p *trace.Trace) { p.Launches = p.Launches[:1] }),
		trouble(all(func(l *trace.Launch) { l.Instrumented, l.Whole = nil, nil })),
		trouble(all(func(l *trace.Launch) {
			load := 0.5
			l.Before = trace.Conditions{Governor: "performance", Load: &load, Hz: []int64{1e9}, TemperatureC: []float64{80}}
			l.After = trace.Conditions{Governor: "performance", Hz: []int64{5e8}}
		})),
		trouble(func(p *trace.Trace) {
			p.Steps[0] = trace.Step{ID: "t", Name: "t", Op: "Conv", Origin: []string{"n"}, Kernel: "w", DType: "float32", Device: "gpu"}
			p.Runtime.Name = "other"
		}),
		trouble(func(p *trace.Trace) { p.Steps[0].Origin = []string{"m"} }),
	}
	interrupted := &trace.Trace{Schema: 1, Launches: []trace.Launch{{Clean: []int64{1, 2}}}}
	cut, err := profiler.Summarize(interrupted)
	if err != nil {
		t.Fatal(err)
	}
	runs = append(runs, cut)
	seen := map[string]bool{}
	look := func(list ...string) {
		for _, s := range list {
			if s == "" || seen[s] {
				continue
			}
			seen[s] = true
			if zh := toChinese(s); !regexp.MustCompile(`\p{Han}`).MatchString(zh) || regexp.MustCompile(`[a-z]{3,} [a-z]{2,} [a-z]{2,}`).MatchString(zh) {
				t.Errorf("%q is %q", s, zh)
			}
		}
	}
	for _, p := range runs {
		look(p.Warnings...)
		look(p.Conditions.Why...)
		for _, l := range p.Launches {
			look(l.Why)
		}
		if c, err := profiler.Compare(plain, p); err == nil {
			look(c.Conditions...)
			look(c.Inconclusive)
			for _, b := range c.Bars {
				look(strings.Split(b.Why, ", ")...)
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d sentences were provoked", len(seen))
	}
	if got := toChinese("3 of 5 launches were left out (throttled); run again with nothing else on the target"); got != "5 次启动中有 3 次未采用（已降频）；请在目标空闲时重新运行" {
		t.Error(got)
	}
	if got := toChinese("conv1 of $1"); got != "conv1 of $1" {
		t.Error(got)
	}
}
