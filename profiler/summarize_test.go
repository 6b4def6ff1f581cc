package profiler

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/profiler/trace"
)

// steady is a run in the quiet world with the given launches and samples.
func steady(launches, samples int) *trace.Trace {
	a, _ := worlds()[0].pair(7, launches, samples, 0, 0)
	return a
}

func mustSummarize(t *testing.T, tr *trace.Trace) *Profile {
	t.Helper()
	p, err := Summarize(tr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantNull are the keys that may be null: numbers that were not measured.
const wantNull = `"p99_ns":null "floor_ns":null`

func TestSummarizeAddsUp(t *testing.T) {
	p := mustSummarize(t, steady(3, 40))
	sum := p.UnattributedNs
	share := 0.0
	for i, l := range p.Layers {
		sum += l.P50Ns
		share += l.Share
		if l.P50Ns < l.Interval[0] || l.P50Ns > l.Interval[1] {
			t.Errorf("layer %d: %g outside its interval %v", i, l.P50Ns, l.Interval)
		}
		if len(l.UnitsNs) != 3 {
			t.Errorf("layer %d has %d units, want one a launch", i, len(l.UnitsNs))
		}
		if math.Abs(l.P50Ns/simulated[i]-1) > 0.01 {
			t.Errorf("layer %d: %.0f ns, the simulated step takes %.0f", i, l.P50Ns, simulated[i])
		}
	}
	if clean := *p.Clean.P50Ns; math.Abs(sum-clean) > 1e-6*clean {
		t.Errorf("layers and unattributed add up to %g, the total is %g", sum, clean)
	}
	if p.Closure > 0.02 || math.Abs(share + p.UnattributedNs / *p.Clean.P50Ns - 1) > 1e-9 {
		t.Errorf("closure %g, shares %g", p.Closure, share)
	}
	if p.Clean.N != 120 || p.Clean.Launches != 3 || p.Clean.P90Ns == nil || p.Clean.P99Ns != nil {
		t.Errorf("n %d, launches %d, p90 %v, p99 %v", p.Clean.N, p.Clean.Launches, p.Clean.P90Ns, p.Clean.P99Ns)
	}
	if p.Conditions.Seal != Green || len(p.Conditions.Why) != 0 || len(p.Warnings) != 0 {
		t.Errorf("seal %s %v, warnings %v", p.Conditions.Seal, p.Conditions.Why, p.Warnings)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := regexp.MustCompile(`"\w+":null`).FindAllString(string(b), -1); strings.Join(slices.Compact(got), " ") != wantNull {
		t.Errorf("null in JSON: %s, want %s", got, wantNull)
	}
}

// What the instruments cost must show in closure_raw and observer_cost, and must not stretch the layers.
func TestObserverCostDoesNotReachTheLayers(t *testing.T) {
	tr := steady(3, 40)
	for i := range tr.Launches {
		l := &tr.Launches[i]
		for k, row := range l.Instrumented {
			for j := range row {
				row[j] += row[j] / 10
			}
			l.Whole[k] += l.Whole[k] / 10
		}
	}
	tr.Close()
	p := mustSummarize(t, tr)
	if math.Abs(p.ObserverCost-0.1) > 0.01 || math.Abs(p.ClosureRaw-0.1) > 0.01 || p.Closure > 0.01 {
		t.Errorf("observer %g, raw closure %g, closure %g", p.ObserverCost, p.ClosureRaw, p.Closure)
	}
	if math.Abs(p.Layers[0].P50Ns/simulated[0]-1) > 0.01 {
		t.Errorf("layer 0: %g", p.Layers[0].P50Ns)
	}
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "10.2 % longer") {
		t.Errorf("warnings %q", p.Warnings)
	}
}

func TestUnattributedIsWhatNoStepTook(t *testing.T) {
	tr := steady(2, 40)
	for i := range tr.Launches {
		for k := range tr.Launches[i].Whole {
			tr.Launches[i].Whole[k] += 100_000
			tr.Launches[i].Clean[k] += 100_000
		}
	}
	tr.Close()
	p := mustSummarize(t, tr)
	if math.Abs(p.UnattributedNs-102e3) > 3e3 || math.Abs(p.Closure - p.UnattributedNs / *p.Clean.P50Ns) > 1e-9 || p.Closure < 0.08 {
		t.Errorf("unattributed %g, closure %g", p.UnattributedNs, p.Closure)
	}
	if len(p.Warnings) == 0 || !strings.Contains(p.Warnings[0], "lies between") {
		t.Errorf("warnings %q", p.Warnings)
	}
}

func TestInterruptedIsNeverAWhole(t *testing.T) {
	tr := steady(3, 40)
	tr.Launches = tr.Launches[:2]
	p := mustSummarize(t, tr)
	if p.Complete || p.Clean.P50Ns != nil || len(p.Layers) != 0 || len(p.Launches) != 2 || p.Clean.N != 80 {
		t.Errorf("complete %v, p50 %v, %d layers, %d launches", p.Complete, p.Clean.P50Ns, len(p.Layers), len(p.Launches))
	}
	if _, err := Compare(p, mustSummarize(t, steady(3, 40))); !fail.Is(err, fail.Invalid) {
		t.Errorf("compared: %v", err)
	}
}

func TestSeal(t *testing.T) {
	yes, load := true, 0.7
	for _, c := range []struct {
		name string
		do   func(*trace.Trace)
		seal string
		why  string
		used int
	}{
		{"as it should be", func(*trace.Trace) {}, Green, "", 3},
		{"throttled", func(tr *trace.Trace) {
			for i := range tr.Launches {
				tr.Launches[i].After.Throttled = &yes
			}
		}, Red, "cool down", 3},
		{"throttled at the end", func(tr *trace.Trace) { tr.Launches[2].After.Throttled = &yes }, Amber, "1 of 3 launches", 2},
		{"canary moved in one launch", func(tr *trace.Trace) {
			for i := 3; i < 6; i++ {
				tr.Launches[1].CanaryNs[i] = 1.03e6
			}
		}, Amber, "1 of 3 launches", 2},
		{"canary slow for a whole launch", func(tr *trace.Trace) {
			for i := range tr.Launches[0].CanaryNs {
				tr.Launches[0].CanaryNs[i] = 1.15e6
			}
		}, Amber, "fastest launch", 2},
		{"canary moved in all", func(tr *trace.Trace) {
			for i := range tr.Launches {
				tr.Launches[i].CanaryNs = []int64{1e6, 1e6, 1.2e6, 1.2e6}
			}
		}, Red, "in every launch", 3},
		{"canary moved in all, and one was throttled", func(tr *trace.Trace) {
			for i := range tr.Launches {
				tr.Launches[i].CanaryNs = []int64{1e6, 1e6, 1.2e6, 1.2e6}
			}
			tr.Launches[1].After.Throttled = &yes
		}, Red, "in every launch", 2},
		{"and all of it again", func(tr *trace.Trace) {
			tr.Launches = append(tr.Launches, tr.Launches...)
			for i := range tr.Launches {
				tr.Launches[i].CanaryNs = []int64{1e6, 1e6, 1.2e6, 1.2e6}
			}
			tr.Again = 3
		}, Red, "3 that were run again (the canary moved 20.0 % within the launch): inconclusive", 6},
		{"throttled at first, and made up for", func(tr *trace.Trace) { tr.Launches[0].After.Throttled, tr.Again = &yes, 1 }, Green, "", 2},
		{"one slow canary of three moves nothing", func(tr *trace.Trace) { tr.Launches[1].CanaryNs[4] = 2e6 }, Green, "", 3},
		{"no canary", func(tr *trace.Trace) { tr.Launches[1].CanaryNs = nil }, Amber, "no canary", 3},
		{"governor", func(tr *trace.Trace) {
			for i := range tr.Launches {
				tr.Launches[i].Before.Governor, tr.Launches[i].After.Governor = "ondemand", "ondemand"
			}
		}, Amber, `"ondemand"`, 3},
		{"load", func(tr *trace.Trace) { tr.Launches[0].Before.Load = &load }, Amber, "0.70 a core", 3},
		{"our own load later", func(tr *trace.Trace) { tr.Launches[2].After.Load = &load }, Green, "", 3},
		{"nothing known", func(tr *trace.Trace) {
			for i := range tr.Launches {
				tr.Launches[i].Before, tr.Launches[i].After = trace.Conditions{}, trace.Conditions{}
			}
		}, Amber, "does not say whether it throttles", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := steady(3, 20)
			tr.Schedule = "" // launches in turns are set against their partners: TestWanderingMachine
			c.do(tr)
			tr.Close()
			p := mustSummarize(t, tr)
			used := 0
			for _, l := range p.Launches {
				if l.Used {
					used++
				}
			}
			why := strings.Join(p.Conditions.Why, "\n")
			if p.Conditions.Seal != c.seal || !strings.Contains(why, c.why) || used != c.used || p.Clean.Launches != c.used {
				t.Errorf("seal %s, %d used, why:\n%s", p.Conditions.Seal, used, why)
			}
			for _, w := range p.Conditions.Why {
				if !strings.ContainsAny(w, ";") {
					t.Errorf("no fix in %q", w)
				}
			}
		})
	}
}

func TestSummarizeRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*trace.Trace)
		kind fail.Kind
	}{
		{"negative time", func(tr *trace.Trace) { tr.Launches[0].Clean[3] = -1 }, fail.Corrupt},
		{"year-long time", func(tr *trace.Trace) { tr.Launches[0].Clean[3] = 1 << 62 }, fail.Corrupt},
		{"short row", func(tr *trace.Trace) { tr.Launches[1].Instrumented[0] = []int64{1} }, fail.Corrupt},
		{"whole times missing", func(tr *trace.Trace) { tr.Launches[1].Whole = tr.Launches[1].Whole[:3] }, fail.Corrupt},
		{"no samples", func(tr *trace.Trace) { tr.Launches = nil }, fail.Invalid},
		{"later form", func(tr *trace.Trace) { tr.Schema = 99 }, fail.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := steady(2, 20)
			c.do(tr)
			tr.Close()
			if _, err := Summarize(tr); !fail.Is(err, c.kind) {
				t.Errorf("%v, want %s", err, c.kind)
			}
		})
	}
}

func TestWarmupIsFoundInTheSamples(t *testing.T) {
	tr := steady(1, 40)
	l := &tr.Launches[0]
	l.Clean = append([]int64{9e6, 4e6, 3e6, 2e6, 2e6, 2e6}, l.Clean...)
	tr.Close()
	if p := mustSummarize(t, tr); p.Clean.N > 41 || p.Clean.N < 36 || *p.Clean.P50Ns > 1.1e6 {
		t.Errorf("n %d, p50 %g", p.Clean.N, *p.Clean.P50Ns)
	}
}

// The recorder may stop its warm-up too early; what it recorded as warm-up never comes back.
func TestWarmupOfTheRecorder(t *testing.T) {
	tr := steady(2, 40)
	tr.Launches[0].Warmup = []int64{9e6, 4e6}
	tr.Launches[0].Clean = append([]int64{3e6, 2e6, 2e6}, tr.Launches[0].Clean...)
	tr.Launches[1].Warmup = append([]int64{9e6}, tr.Launches[1].Clean...) // far longer than needed
	tr.Close()
	if p := mustSummarize(t, tr); p.Launches[0].N < 36 || p.Launches[0].N > 41 || p.Launches[1].N != 40 {
		t.Errorf("n %d and %d", p.Launches[0].N, p.Launches[1].N)
	}
}

func TestPercentileNeedsTenBeyond(t *testing.T) {
	v := make([]float64, 1000)
	for _, c := range []struct {
		n  int
		p  float64
		is bool
	}{{99, 0.9, false}, {100, 0.9, true}, {999, 0.99, false}, {1000, 0.99, true}, {20, 0.5, true}} {
		if got := Percentile(v[:c.n], c.p); (got != nil) != c.is {
			t.Errorf("n %d, p %g: %v", c.n, c.p, got)
		}
	}
}

func TestOutliersAreCounted(t *testing.T) {
	tr := steady(2, 40)
	tr.Launches[0].Clean[20], tr.Launches[1].Clean[7] = 9e6, 8e6
	tr.Close()
	if p := mustSummarize(t, tr); p.Clean.Outliers != 2 || p.Clean.N != 80 {
		t.Errorf("outliers %d of %d", p.Clean.Outliers, p.Clean.N)
	}
}

func TestResolution(t *testing.T) {
	if r := resolution([][]int64{{41000, 82000}, {123000, 0}}); r != 41000 {
		t.Error(r)
	}
	if r := resolution([][]int64{{7, 9}}); r != 1 {
		t.Error(r)
	}
}

// A big network measured for long must not keep its user waiting: 500 layers, 300 inferences in each of three launches.
func TestSummarizeIsQuick(t *testing.T) {
	tr := &trace.Trace{Schema: trace.Schema}
	for j := range 500 {
		tr.Steps = append(tr.Steps, trace.Step{ID: fmt.Sprint(j)})
	}
	for range 3 {
		l := trace.Launch{CanaryNs: []int64{1e6, 1e6}}
		for k := range int64(300) {
			row := make([]int64, 500)
			for j := range row {
				row[j] = 1000 + int64(j) + (k*7+int64(j))%13
			}
			l.Clean, l.Whole, l.Instrumented = append(l.Clean, 630_000+k%9), append(l.Whole, 630_000), append(l.Instrumented, row)
		}
		tr.Launches = append(tr.Launches, l)
	}
	tr.Close()
	start := time.Now()
	p := mustSummarize(t, tr)
	if took := time.Since(start); took > 15*time.Second { // one second on an idle machine
		t.Errorf("took %v", took)
	}
	if l := p.Layers[250]; l.Interval[0] > l.P50Ns || l.Interval[1] < l.P50Ns || l.Interval[1] > 1.02*l.P50Ns {
		t.Errorf("layer 250: %g %v", l.P50Ns, l.Interval)
	}
}

func TestLayerIntervalHoldsTheTruth(t *testing.T) {
	for _, launches := range []int{3, 8} {
		held, trials := 0, 60
		for i := range trials {
			tr, _ := worlds()[2].pair(uint64(i), launches, 20, 0, 0)
			p, err := summarize(tr, 100, true)
			if err != nil {
				t.Fatal(err)
			}
			share := simulated[0] / (simulated[0] + 31e3 + 250e3 + 12e3 + 160e3 + 60e3 + 4e3 + 90e3 + 2e3)
			clean := *p.Clean.P50Ns
			if iv := p.Layers[0].Interval; iv[0] <= share*clean && share*clean <= iv[1] {
				held++
			}
		}
		// Three launches leave the bootstrap with few samples of samples: it holds a little less than 95 %.
		if s := float64(held) / float64(trials); s < 0.8 {
			t.Errorf("%d launches: %.0f %% of the intervals hold the truth", launches, 100*s)
		} else {
			t.Logf("%d launches: %.0f %%", launches, 100*s)
		}
	}
}
