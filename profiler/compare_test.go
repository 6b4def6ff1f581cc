package profiler

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/profiler/trace"
)

func mustCompare(t *testing.T, a, b *Profile) *Comparison {
	t.Helper()
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// addUp demands equality, not nearness, forwards and backwards, and after JSON.
func addUp(t *testing.T, c *Comparison) {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatalf("%v: %+v", err, c)
	}
	var back Comparison
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Comparison{c, &back} {
		up, down := 0.0, 0.0
		for i := range c.Bars {
			up += c.Bars[i].DeltaNs
			down += c.Bars[len(c.Bars)-1-i].DeltaNs
		}
		if up != c.DeltaNs || down != c.DeltaNs {
			t.Errorf("bars add up to %v (backwards %v), the difference is %v", up, down, c.DeltaNs)
		}
	}
}

func TestCompareFindsTheSlowerLayer(t *testing.T) {
	ta, tb := worlds()[2].pair(3, 20, 20, 2, 0.03)
	c := mustCompare(t, mustSummarize(t, ta), mustSummarize(t, tb))
	if c.Verdict != Slower || c.Method != "paired launches" || math.Abs(c.Ratio[1]-1.03) > 0.01 || c.Ratio[0] > 1.03 || c.Ratio[2] < 1.03 {
		t.Errorf("%s by %s, ratio %v", c.Verdict, c.Method, c.Ratio)
	}
	top := c.Bars[0]
	if top.Label != "step2" || top.Verdict != Slower || top.Interval[0] > 30e3 || top.Interval[1] < 30e3 {
		t.Errorf("first bar %+v", top)
	}
	if last := c.Bars[len(c.Bars)-1]; last.Kind != "unattributed" {
		t.Errorf("last bar %+v", last)
	}
	addUp(t, c)
}

// Swapping the runs mirrors the verdict, the ratio and every bar.
func TestCompareMirrors(t *testing.T) {
	ta, tb := worlds()[2].pair(3, 20, 20, 2, 0.03)
	a, b := mustSummarize(t, ta), mustSummarize(t, tb)
	x, y := mustCompare(t, a, b), mustCompare(t, b, a)
	if y.Verdict != Faster || math.Abs(x.Ratio[1]*y.Ratio[1]-1) > 1e-9 || math.Abs(x.Ratio[0]*y.Ratio[2]-1) > 1e-9 {
		t.Errorf("%s %v, mirrored %s %v", x.Verdict, x.Ratio, y.Verdict, y.Ratio)
	}
	for i := range x.Bars {
		if x.Bars[i].DeltaNs != -y.Bars[i].DeltaNs || !reflect.DeepEqual(x.Bars[i].From, y.Bars[i].To) {
			t.Errorf("bar %d: %+v and %+v", i, x.Bars[i], y.Bars[i])
		}
	}
}

// A clock that runs twice as fast changes no verdict.
func TestCompareScales(t *testing.T) {
	ta, tb := worlds()[2].pair(3, 20, 20, 2, 0.03)
	x := mustCompare(t, mustSummarize(t, ta), mustSummarize(t, tb))
	for _, tr := range []*trace.Trace{ta, tb} {
		for i := range tr.Launches {
			l := &tr.Launches[i]
			for _, v := range append([][]int64{l.Clean, l.Whole, l.CanaryNs}, l.Instrumented...) {
				for k := range v {
					v[k] *= 2
				}
			}
		}
		tr.Close()
	}
	y := mustCompare(t, mustSummarize(t, ta), mustSummarize(t, tb))
	if x.Verdict != y.Verdict || math.Abs(x.Ratio[1]-y.Ratio[1]) > 1e-9 {
		t.Errorf("%s %v, scaled %s %v", x.Verdict, x.Ratio, y.Verdict, y.Ratio)
	}
}

func TestBarsAddUpForAnyNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for trial := range 200 {
		prof := func(side string) *Profile {
			p50 := math.Exp(rng.Float64()*20) * 1.1
			p := &Profile{Complete: true, Clean: Clean{N: 3, P50Ns: &p50, SamplesNs: []int64{1, 2, 3}}}
			for i := range 1 + rng.IntN(40) {
				ns := p50 * rng.Float64() / 10
				p.Layers = append(p.Layers, Layer{ID: fmt.Sprint(side, i), Origin: []string{fmt.Sprint(rng.IntN(30)), fmt.Sprint(rng.IntN(30))},
					P50Ns: ns, UnitsNs: []float64{ns}})
			}
			return p
		}
		a, b := prof("a"), prof("b")
		c := mustCompare(t, a, b)
		addUp(t, c)
		seen := map[string]int{}
		for _, bar := range c.Bars {
			for _, id := range append(append([]string{}, bar.From...), bar.To...) {
				seen[id]++
			}
		}
		if len(seen) != len(a.Layers)+len(b.Layers) {
			t.Fatalf("trial %d: %d layers in bars, want %d", trial, len(seen), len(a.Layers)+len(b.Layers))
		}
		for id, n := range seen {
			if n != 1 {
				t.Fatalf("trial %d: layer %s is in %d bars", trial, id, n)
			}
		}
	}
}

func TestAlign(t *testing.T) {
	l := func(id string, origin ...string) Layer {
		return Layer{ID: id, Name: id, Origin: origin, DType: "float32", Kernel: "k"}
	}
	int8 := func(l Layer) Layer { l.DType = "int8"; return l }
	other := func(l Layer) Layer { l.Kernel = "w"; return l }
	heavy := func(l Layer) Layer { l.MACs = 9; return l }
	for _, c := range []struct {
		name string
		a, b []Layer
		want string
	}{
		{"one to one", []Layer{l("a", "1")}, []Layer{l("b", "1")}, "a=b()"},
		{"fused", []Layer{l("conv", "1"), l("bn", "2"), l("relu", "3")}, []Layer{l("f", "1", "2", "3")}, "conv+bn+relu=f(3 steps became 1)"},
		{"split", []Layer{l("f", "1", "2")}, []Layer{l("x", "1"), l("y", "2")}, "f=x+y(1 step became 2)"},
		{"chain of overlaps", []Layer{l("p", "1", "2"), l("q", "3", "4")}, []Layer{l("x", "1"), l("y", "2", "3"), l("z", "4")}, "p+q=x+y+z(2 steps became 3)"},
		{"removed", []Layer{l("p", "1"), l("q", "2")}, []Layer{l("x", "1")}, "p=x() q=(only in A)"},
		{"added without origin", []Layer{l("p", "1")}, []Layer{l("x", "1"), l("cast")}, "p=x() =cast(only in B)"},
		{"nothing shared", []Layer{l("p", "1")}, []Layer{l("x", "7")}, "p=(only in A) =x(only in B)"},
		{"same names, other nodes", []Layer{l("p", "1")}, []Layer{l("p", "2")}, "p=(only in A) =p(only in B)"},
		{"quantized and fused", []Layer{l("p", "1"), l("r", "2")}, []Layer{int8(l("x", "1", "2"))}, "p+r=x(int8, 2 steps became 1)"},
		{"the copy of a layout is not what a bar is about", []Layer{other(l("copy", "1")), heavy(l("conv", "1"))}, []Layer{l("x", "1")}, "copy+conv=x(2 steps became 1)"},
		{"other kernel", []Layer{l("p", "1")}, []Layer{other(l("x", "1"))}, "p=x(other kernel: k -> w)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := &Profile{Layers: c.a}, &Profile{Layers: c.b}
			var got []string
			for _, g := range align(c.a, c.b) {
				got = append(got, strings.Join(ids(a, g.a), "+")+"="+strings.Join(ids(b, g.b), "+")+"("+g.why(a, b)+")")
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
		})
	}
}

func TestBarsAreNamedAfterTheirMainLayer(t *testing.T) {
	p := &Profile{Layers: []Layer{{Name: "copy", Op: "Layout", P50Ns: 9}, {Name: "conv", Op: "Conv", P50Ns: 5, MACs: 100}, {Name: "relu", Op: "Relu", P50Ns: 7}}}
	for _, c := range []struct {
		layers   []int
		name, op string
	}{{[]int{0, 1, 2}, "conv +2", "Conv"}, {[]int{2, 0}, "copy +1", "Layout"}, {[]int{2}, "relu", "Relu"}} {
		if name, op := (group{a: c.layers}).label(p, p); name != c.name || op != c.op {
			t.Errorf("%v: %s %s, want %s %s", c.layers, name, op, c.name, c.op)
		}
	}
}

func TestOneLaunchIsWideAndSaysSo(t *testing.T) {
	one := func(seed uint64, delay float64) (*Profile, *Profile) {
		ta, tb := worlds()[0].pair(seed, 1, 60, 0, delay)
		return mustSummarize(t, ta), mustSummarize(t, tb)
	}
	a, b := one(1, 0)
	c := mustCompare(t, a, b)
	if c.Method != "blocks of one launch" || c.Verdict != NoDifference || c.Ratio[2]/c.Ratio[0] < 1.02 || c.Detectable < 0.015 {
		t.Errorf("%s by %s, ratio %v, detectable %g", c.Verdict, c.Method, c.Ratio, c.Detectable)
	}
	if !strings.Contains(strings.Join(c.Conditions, " "), "one launch a side") {
		t.Errorf("conditions %q", c.Conditions)
	}
	a, b = one(2, 0.2)
	if c := mustCompare(t, a, b); c.Verdict != Slower || c.Bars[0].Verdict != Slower {
		t.Errorf("20 %% not seen: %s %v", c.Verdict, c.Ratio)
	}
}

func TestNothingKnownGivesNoVerdict(t *testing.T) {
	p, q := 100.0, 50.0
	a := &Profile{Complete: true, Clean: Clean{N: 1, P50Ns: &p, SamplesNs: []int64{100}}}
	b := &Profile{Complete: true, Clean: Clean{N: 1, P50Ns: &q, SamplesNs: []int64{50}}}
	c := mustCompare(t, a, b)
	if c.Verdict != NoDifference || c.Inconclusive == "" || c.Ratio[0] != 0 || math.Abs(c.Ratio[1]-0.5) > 1e-9 || c.Ratio[2] != Unbounded || c.Detectable != Unbounded {
		t.Errorf("%+v", c)
	}
	addUp(t, c)
}

// The board's own noise floor outranks half a per cent.
func TestNoiseFloorOfTheBoardCounts(t *testing.T) {
	ta, tb := worlds()[0].pair(3, 20, 20, 2, 0.03)
	floor := 0.05
	ta.Target.NoiseFloor = &floor
	ta.Close()
	c := mustCompare(t, mustSummarize(t, ta), mustSummarize(t, tb))
	if c.Verdict != NoDifference || c.Floor != 0.05 || c.Detectable < 0.05 {
		t.Errorf("%s, floor %g, detectable %g", c.Verdict, c.Floor, c.Detectable)
	}
	for _, b := range c.Bars {
		if b.Verdict != NoDifference {
			t.Errorf("bar %s says %s although the whole shows nothing", b.Label, b.Verdict)
		}
	}
}

func TestTaintedRunsNeedMoreThanTheCanaryMoved(t *testing.T) {
	yes := true
	run := func(delay float64, canary int64) *Comparison {
		ta, tb := worlds()[0].pair(3, 8, 20, 0, delay)
		for i := range tb.Launches {
			tb.Launches[i].Before.Throttled = &yes
			for k := range tb.Launches[i].CanaryNs {
				tb.Launches[i].CanaryNs[k] = canary
			}
			if canary == 0 {
				ta.Launches[i].CanaryNs, tb.Launches[i].CanaryNs = nil, nil
			}
		}
		ta.Close()
		tb.Close()
		return mustCompare(t, mustSummarize(t, ta), mustSummarize(t, tb))
	}
	if c := run(0.1, 1.15e6); c.Verdict != NoDifference || c.Floor < 0.14 || !strings.Contains(strings.Join(c.Conditions, " "), "red seal") {
		t.Errorf("10 %% with a canary 15 %% slower: %s, floor %g, %q", c.Verdict, c.Floor, c.Conditions)
	}
	if c := run(1, 1.15e6); c.Verdict != Slower {
		t.Errorf("twice the time with a canary 15 %% slower: %s", c.Verdict)
	}
	if c := run(1, 0); c.Verdict != NoDifference || !strings.Contains(c.Inconclusive, "no canary") {
		t.Errorf("without a canary: %s %q", c.Verdict, c.Inconclusive)
	}
}

// Each run is steady, but the board was throttled, without saying so, during the whole of the second.
func TestMachineThatChangedBetweenRuns(t *testing.T) {
	run := func(schedule string, target string) *Comparison {
		ta, tb := worlds()[0].pair(3, 8, 20, 0, 0.05)
		ta.Schedule, tb.Schedule = schedule, schedule
		tb.Target.Name = target
		for i := range tb.Launches {
			for k := range tb.Launches[i].CanaryNs {
				tb.Launches[i].CanaryNs[k] = tb.Launches[i].CanaryNs[k] * 115 / 100
			}
		}
		ta.Close()
		tb.Close()
		return mustCompare(t, mustSummarize(t, ta), mustSummarize(t, tb))
	}
	for _, c := range []struct{ name, schedule, target, want string }{
		{"one after the other", "", "quiet", NoDifference},
		{"interleaved: the canary stands in neither side's way", "s", "quiet", Slower},
		{"another board is another machine", "", "board", Slower},
	} {
		got := run(c.schedule, c.target)
		said := strings.Contains(strings.Join(got.Conditions, " "), "not the same in both runs")
		if got.Verdict != c.want || said != (c.want == NoDifference) {
			t.Errorf("%s: %s, floor %g, %q", c.name, got.Verdict, got.Floor, got.Conditions)
		}
	}
}

// TestWanderingMachine: a computer whose speed wanders from pair to pair keeps its pairs, one whose speed changed within a pair loses that pair, and a program
// that always slows the canary behind it loses none. What is kept is what counts as measured, too: nothing is asked for again.
func TestWanderingMachine(t *testing.T) {
	for _, c := range []struct {
		name   string
		factor func(pair, side int) float64
		kept   int
		want   string
	}{
		{"steady", func(int, int) float64 { return 1 }, 20, Slower},
		{"another speed in each pair", func(pair, _ int) float64 { return 1 + 0.07*float64(pair*5%7) }, 20, Slower},
		{"another speed in one launch of every fifth pair", func(pair, side int) float64 {
			if pair%5 == 0 && side == pair/5%2 {
				return 1.1
			}
			return 1
		}, 16, Slower},
		{"B slows the canary behind it", func(_, side int) float64 { return 1 + 0.1*float64(side) }, 20, Slower},
		{"another speed in each launch", func(pair, side int) float64 { return 1 + 0.1*float64((2*pair+side)*(2*pair+side)%17) }, 0, NoDifference},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := worlds()[0].inTurns(11, 20, 20, 0, 0.05)
			for side, tr := range []*trace.Trace{a, b} {
				for i := range tr.Launches {
					l, f := &tr.Launches[i], c.factor(i, side)
					work := f
					if c.name == "B slows the canary behind it" {
						work = 1
					}
					slow(l.CanaryNs, f)
					slow(l.Clean, work)
					slow(l.Whole, work)
					for _, row := range l.Instrumented {
						slow(row, work)
					}
				}
				tr.Close()
			}
			missing, _ := Disturbed(20, a, b)
			got := mustCompare(t, mustSummarize(t, a), mustSummarize(t, b))
			if c.kept == 0 { // chance leaves a few
				if missing < 12 || got.Verdict != NoDifference {
					t.Errorf("%d missing, %s", missing, got.Verdict)
				}
				return
			}
			if missing != 20-c.kept || got.Verdict != c.want || len(got.Inconclusive) > 0 {
				t.Errorf("%d missing, %s, %q, %q", missing, got.Verdict, got.Inconclusive, got.Conditions)
			}
		})
	}
}

func slow(ns []int64, f float64) {
	for i := range ns {
		ns[i] = int64(float64(ns[i]) * f)
	}
}

// A profile may come from a file that anybody wrote: Compare refuses it or gives what JSON can hold.
func TestCompareTakesAnyProfile(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	number := func(bad bool) float64 {
		v := []float64{0, 1, 3, 1e3, 1e6, 1e9, 5e-324, 86_400e9}
		if bad && rng.IntN(40) == 0 {
			v = []float64{-1, 1e300, -1e300, math.MaxFloat64}
		}
		return v[rng.IntN(len(v))]
	}
	refused := 0
	for trial := range 2000 {
		prof := func() *Profile {
			v := number(true)
			p := &Profile{Complete: true, Schedule: []string{"", "s"}[rng.IntN(2)], Clean: Clean{N: rng.IntN(100), P50Ns: &v}, Conditions: Conditions{Seal: []string{Red, Green}[rng.IntN(2)]}}
			for range rng.IntN(5) {
				p.Launches = append(p.Launches, LaunchResult{Used: rng.IntN(3) > 0, P50Ns: number(true), Canary: number(false), Taint: rng.IntN(2) > 0})
			}
			for range rng.IntN(30) {
				p.Clean.SamplesNs = append(p.Clean.SamplesNs, int64(number(false)))
			}
			for i := range rng.IntN(6) {
				l := Layer{ID: fmt.Sprint(i), Origin: []string{fmt.Sprint(rng.IntN(4))}, P50Ns: number(true)}
				for range rng.IntN(5) {
					l.UnitsNs = append(l.UnitsNs, number(false))
				}
				p.Layers = append(p.Layers, l)
			}
			return p
		}
		c, err := Compare(prof(), prof())
		if err != nil {
			if !fail.Is(err, fail.Corrupt) && !fail.Is(err, fail.Invalid) {
				t.Fatalf("trial %d: %v", trial, err)
			}
			refused++
			continue
		}
		addUp(t, c)
	}
	if refused == 0 || refused == 2000 {
		t.Errorf("%d of 2000 refused", refused)
	}
}

func TestConditionsNameWhatDiffers(t *testing.T) {
	a, b := mustSummarize(t, steady(3, 20)), mustSummarize(t, steady(3, 20))
	b.Runtime = trace.Runtime{Name: "onnxruntime", Version: "1.24"}
	b.Plan.Threads = 4
	b.Conditions.Hz = []int64{600e6}
	c := mustCompare(t, a, b)
	all := strings.Join(c.Conditions, "\n")
	for _, want := range []string{"runtime: ", "threads: 0 in A, 4 in B", "clock: 1500 MHz in A, 600 MHz in B"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}
