package profiler

import (
	"fmt"
	"math"
	"math/rand/v2"

	"fettle/profiler/trace"
)

// A world is a simulated machine: what it does to a time that would be 1 on a perfect one, as a function of when it is taken.
type world struct {
	name   string
	bias   float64 // spread of the launches of one program (placement of code)
	noise  float64 // spread of single samples
	factor func(s *sim) float64
	sample func(s *sim, k int) float64 // further factor of sample k of a launch
	tick   int64                       // step of the clock, ns
	lose   float64                     // share of samples that never arrive
	whole  bool                        // the instrumented inferences take their time, but no layer is noted: for verdicts on the whole
}

// sim is the state of a world while two programs run in it, interleaved.
type sim struct {
	rng   *rand.Rand
	now   float64 // share of the schedule that is over, 0 to 1
	slow  float64 // a lasting state: throttled, stepped or in a burst
	until float64
	walk  float64
}

// worlds are the twelve of the gates. The canary feels the machine (factor), not the program's own luck (bias, sample).
func worlds() []world {
	plain := func(*sim) float64 { return 1 }
	state := func(enter, length, size float64) func(*sim) float64 {
		return func(s *sim) float64 {
			if s.now > s.until {
				s.slow = 1
				if s.rng.Float64() < enter {
					s.slow, s.until = 1+size, s.now+length*(0.5+s.rng.Float64())
				}
			}
			return max(1, s.slow)
		}
	}
	return []world{
		{name: "quiet", noise: 0.003, factor: plain},
		{name: "drift", noise: 0.003, factor: func(s *sim) float64 { return 1 + 0.01*s.now }},
		{name: "launch bias", bias: 0.007, noise: 0.003, factor: func(s *sim) float64 { return 1 + 0.01*s.now }},
		{name: "throttling", bias: 0.007, noise: 0.003, factor: state(0.004, 0.1, 0.15)},
		{name: "periodic", bias: 0.004, noise: 0.003, factor: func(s *sim) float64 { return 1 + 0.01*math.Sin(220*s.now) }},
		{name: "bimodal", bias: 0.004, noise: 0.002, factor: plain, sample: func(s *sim, _ int) float64 { return 1 + 0.03*float64(s.rng.IntN(2)) }},
		{name: "heavy tail", bias: 0.004, noise: 0.003, factor: plain, sample: func(s *sim, _ int) float64 {
			return 1 + 0.002/math.Pow(1-s.rng.Float64(), 0.8)
		}},
		{name: "ramp", bias: 0.004, noise: 0.003, factor: plain, sample: func(_ *sim, k int) float64 { return 1 + 0.5*math.Exp(-float64(k)/2) }},
		{name: "step", bias: 0.004, noise: 0.003, factor: func(s *sim) float64 {
			if s.until == 0 {
				s.until = 0.2 + 0.6*s.rng.Float64()
			}
			if s.now > s.until {
				return 1.015
			}
			return 1
		}},
		{name: "bursts", bias: 0.004, noise: 0.003, factor: state(0.004, 0.006, 0.1)},
		{name: "1 us timer", bias: 0.004, noise: 0.003, factor: plain, tick: 1000},
		{name: "missing samples", bias: 0.007, noise: 0.003, factor: plain, lose: 0.3},
	}
}

// steps of the simulated program, ns.
var simulated = []float64{420e3, 31e3, 250e3, 12e3, 160e3, 60e3, 4e3, 90e3}

// pair is inTurns with the end marks of complete traces.
func (w world) pair(seed uint64, launches, samples, k int, delay float64) (a, b *trace.Trace) {
	a, b = w.inTurns(seed, launches, samples, k, delay)
	a.Close()
	b.Close()
	return a, b
}

// inTurns runs programs A and B interleaved, in random order within each pair. delay makes step k of B longer by that share of
// the whole.
func (w world) inTurns(seed uint64, launches, samples, k int, delay float64) (a, b *trace.Trace) {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 0x9a7e))}
	a, b = w.program(s), w.program(s)
	a.Schedule, b.Schedule = "s", "s"
	timesA, timesB := append([]float64(nil), simulated...), append([]float64(nil), simulated...)
	whole := 0.0
	for _, v := range simulated {
		whole += v
	}
	timesB[k] += delay * whole
	for i := range launches {
		first, second := func() { w.launch(s, a, timesA, samples, launches) }, func() { w.launch(s, b, timesB, samples, launches) }
		if s.rng.IntN(2) == 0 {
			first, second = second, first
		}
		s.now = float64(i) / float64(launches)
		first()
		second()
	}
	return a, b
}

func (w world) program(s *sim) *trace.Trace {
	t := &trace.Trace{Schema: trace.Schema, Model: trace.Model{Name: "net", SHA256: "00"}, Target: trace.Target{Name: w.name}}
	for j := range simulated {
		t.Steps = append(t.Steps, trace.Step{ID: fmt.Sprint("s", j), Name: fmt.Sprint("step", j), Op: "Conv", Origin: []string{fmt.Sprint("n", j)},
			Kernel: "k", DType: "float32"})
	}
	return t
}

func (w world) launch(s *sim, t *trace.Trace, times []float64, samples, launches int) {
	no, load := false, 0.02
	l := trace.Launch{LoadNs: 5e6, FirstNs: 9e6}
	l.Before = trace.Conditions{Governor: "performance", Hz: []int64{1.5e9}, Throttled: &no, Load: &load}
	l.After = l.Before
	bias := math.Exp(w.bias * s.rng.NormFloat64())
	dt := 1 / float64(launches) / 2 / float64(2*samples+6)
	at := func(ns float64) int64 {
		v := int64(ns)
		if w.tick > 0 {
			v = v / w.tick * w.tick
		}
		return v
	}
	canary := func() {
		for range 3 {
			s.now += dt
			l.CanaryNs = append(l.CanaryNs, at(1e6*w.factor(s)*math.Exp(0.001*s.rng.NormFloat64())))
		}
	}
	one := func(k int) float64 {
		s.now += dt
		f := bias * w.factor(s) * math.Exp(w.noise*s.rng.NormFloat64())
		if w.sample != nil {
			f *= w.sample(s, k)
		}
		return f
	}
	whole := 0.0
	for _, v := range times {
		whole += v
	}
	canary()
	for k := range samples {
		if f := one(k); s.rng.Float64() >= w.lose {
			l.Clean = append(l.Clean, at(whole*f))
		}
	}
	for k := range samples {
		f := one(k + samples)
		if w.whole {
			continue
		}
		row, all := make([]int64, len(times)), 0.0
		for j, v := range times {
			x := v * f * math.Exp(0.004*s.rng.NormFloat64())
			row[j] = at(x)
			all += x
		}
		l.Instrumented = append(l.Instrumented, row)
		l.Whole = append(l.Whole, at(all+2e3))
	}
	canary()
	t.Launches = append(t.Launches, l)
}
