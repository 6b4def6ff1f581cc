package profiler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// Gates of the statistics, as shares.
const (
	mostFalse   = 0.055 // identical code called different
	leastFound  = 0.75  // a true 2 %, with 20 launches a side
	leastCover  = 0.935 // of the intervals that hold the truth
	mostCover   = 0.965
	leastNamed  = 0.95 // of delays of twice the detectable effect: the right layer
	mostOther   = 0.05 // the same: any other layer
	leastTaint  = 0.99 // of throttled launches
	simLaunches = 20
)

// statistics are what the verdicts said in one world, in counts.
type statistics struct{ trials, different, found, covered, intervals, named, delays, other, inconclusive int }

// tally runs trials in a world. Each trial is three comparisons: identical code, 2 % more in a step, and twice what could have been seen in a
// step.
func (w world) tally(t testing.TB, from, trials int, run func(w world, seed uint64, k int, delay float64) *Comparison) statistics {
	o := statistics{trials: trials}
	cover := func(c *Comparison, truth float64) {
		if c.Inconclusive == "" {
			o.intervals++
			if c.Ratio[0] <= truth && truth <= c.Ratio[2] {
				o.covered++
			}
		}
	}
	whole := w
	whole.whole = true
	for i := from; i < from+trials; i++ {
		k := []int{0, 2, 4}[i%3]
		same := run(whole, uint64(i), 0, 0)
		if same.Verdict != NoDifference {
			o.different++
		}
		cover(same, 1)
		two := run(whole, uint64(i)+1e9, k, 0.02)
		if two.Verdict == Slower {
			o.found++
		}
		cover(two, 1.02)
		if same.Inconclusive != "" || same.Detectable <= 0 || same.Detectable > 0.2 {
			o.inconclusive++
			continue
		}
		big := run(w, uint64(i)+2e9, k, 2*same.Detectable)
		o.delays++
		right, wrong := false, false
		for _, b := range big.Bars {
			if b.Verdict == NoDifference {
				continue
			}
			if b.Label == fmt.Sprint("step", k) && b.Verdict == Slower {
				right = true
			} else {
				wrong = true
			}
		}
		if right {
			o.named++
		}
		if wrong {
			o.other++
		}
	}
	return o
}

func (a statistics) plus(b statistics) statistics {
	return statistics{a.trials + b.trials, a.different + b.different, a.found + b.found, a.covered + b.covered, a.intervals + b.intervals, a.named + b.named,
		a.delays + b.delays, a.other + b.other, a.inconclusive + b.inconclusive}
}

func share(n, of int) float64 { return float64(n) / float64(max(1, of)) }

// failures names the gates that o does not pass. slack widens them by so many standard errors: a small run must not fail by chance.
func (o statistics) failures(slack float64) (out []string) {
	within := func(what string, n, of int, lo, hi float64) {
		p := share(n, of)
		edge := func(limit float64) float64 {
			return slack * math.Sqrt(max(limit*(1-limit), 1e-4)/float64(max(1, of)))
		}
		if p < lo-edge(lo) || p > hi+edge(hi) {
			out = append(out, fmt.Sprintf("%s %.2f %%, has to lie in %.1f to %.1f", what, 100*p, 100*lo, 100*hi))
		}
	}
	within("identical code called different", o.different, o.trials, 0, mostFalse)
	within("a true 2 % found", o.found, o.trials, leastFound, 1)
	within("intervals that hold the truth", o.covered, o.intervals, leastCover, mostCover)
	within("the right layer named", o.named, o.delays, leastNamed, 1)
	within("another layer named", o.other, o.delays, 0, mostOther)
	return out
}

// interleaved is how Fettle measures: verdict with its pairs.
func interleaved(t testing.TB) func(w world, seed uint64, k int, delay float64) *Comparison {
	return func(w world, seed uint64, k int, delay float64) *Comparison {
		return verdict(t, w, seed, simLaunches, k, delay)
	}
}

// oneAfterTheOther is how one should not measure: all launches of A, then all of B, and called pairs.
func oneAfterTheOther(t testing.TB) func(w world, seed uint64, k int, delay float64) *Comparison {
	return func(w world, seed uint64, k int, delay float64) *Comparison {
		s := &sim{rng: rand.New(rand.NewPCG(seed, 0x9a7e))}
		a, b := w.program(s), w.program(s)
		a.Schedule, b.Schedule = "s", "s"
		times := append([]float64(nil), simulated...)
		whole := 0.0
		for _, v := range simulated {
			whole += v
		}
		for i := range 2 * simLaunches {
			s.now = float64(i) / (2 * simLaunches)
			if i < simLaunches {
				w.launch(s, a, simulated, 20, 2*simLaunches)
				continue
			}
			times[k] = simulated[k] + delay*whole
			w.launch(s, b, times, 20, 2*simLaunches)
		}
		pa, err := summarize(a, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		pb, err := summarize(b, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Compare(pa, pb)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// many runs trials of a world on all cores.
func (w world) many(t testing.TB, trials int) (o statistics) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	cores := runtime.GOMAXPROCS(0)
	for part := range cores {
		wg.Add(1)
		go func() {
			defer wg.Done()
			from, to := part*trials/cores, (part+1)*trials/cores
			x := w.tally(t, from, to-from, interleaved(t))
			mu.Lock()
			o = o.plus(x)
			mu.Unlock()
		}()
	}
	wg.Wait()
	return o
}

// TestStatistics holds the verdicts to their gates in twelve worlds: FETTLE_TRIALS of each (make bench-stats: 20,000), a few otherwise, whose
// limits are wide.
func TestStatistics(t *testing.T) {
	trials, slack := 12, 4.0
	if n, err := strconv.Atoi(os.Getenv("FETTLE_TRIALS")); err == nil {
		trials, slack = n, 0
	}
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) {
			o := w.many(t, trials)
			for _, f := range o.failures(slack) {
				t.Error(f)
			}
			t.Logf("%-16s %6d trials: different %5.2f %%, 2 %% found %6.2f %%, covered %6.2f %%, named %6.2f %%, another %5.2f %%, inconclusive %d", w.name, o.trials,
				100*share(o.different, o.trials), 100*share(o.found, o.trials), 100*share(o.covered, o.intervals), 100*share(o.named, o.delays), 100*share(o.other, o.delays), o.inconclusive)
		})
	}
}

// TestStatisticsControl measures one program after the other on machines that drift or step: the gates have to fail. Interleaved, the same
// machines pass.
func TestStatisticsControl(t *testing.T) {
	worlds := []world{
		{name: "drift 3 %", noise: 0.003, factor: func(s *sim) float64 { return 1 + 0.03*s.now }},
		{name: "step", bias: 0.004, noise: 0.003, factor: func(s *sim) float64 {
			if s.now > 0.5 {
				return 1.015
			}
			return 1
		}},
	}
	for _, w := range worlds {
		if o := w.tally(t, 0, 16, oneAfterTheOther(t)); share(o.different, o.trials) <= mostFalse {
			t.Errorf("%s: identical code was called different in %d of %d only, though one was measured after the other", w.name, o.different, o.trials)
		}
		if o := w.tally(t, 0, 16, interleaved(t)); o.different > 2 {
			t.Errorf("%s: interleaved, identical code was called different in %d of %d", w.name, o.different, o.trials)
		}
	}
}

// TestThrottledIsTainted slows a launch down by 15 % from a random moment on: it has to be marked, and those beside it not.
func TestThrottledIsTainted(t *testing.T) {
	trials := 300
	if n, err := strconv.Atoi(os.Getenv("FETTLE_TRIALS")); err == nil {
		trials = n
	}
	tainted, others := 0, 0
	for seed := range trials {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		hit, from := rng.IntN(8), rng.Float64()
		w := world{name: "throttled", bias: 0.004, noise: 0.003}
		i := 0
		var begin float64
		w.factor = func(s *sim) float64 {
			if i == hit && (s.now-begin)*8*2 >= from*0.9 {
				return 1.15
			}
			return 1
		}
		s := &sim{rng: rng}
		tr := w.program(s)
		for i = range 8 {
			s.now = float64(i) / 8
			begin = s.now
			w.launch(s, tr, simulated, 20, 8)
		}
		p, err := summarize(tr, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		for j, l := range p.Launches {
			switch {
			case j == hit && l.Taint:
				tainted++
			case j != hit && l.Taint:
				others++
			}
		}
	}
	if share(tainted, trials) < leastTaint {
		t.Errorf("%d of %d throttled launches were marked", tainted, trials)
	}
	if share(others, 7*trials) > 0.01 {
		t.Errorf("%d of %d others were marked too", others, 7*trials)
	}
	t.Logf("%d of %d throttled launches marked, %d of %d others", tainted, trials, others, 7*trials)
}
