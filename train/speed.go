package train

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/team"
	"fettle/model"
)

// Trial says how the speed of training is measured.
type Trial struct {
	Shape   []int // of one item: C, H, W
	Batch   int
	Threads int
	Budget  time.Duration
	CPU     cpu.Features
}

// Speed is what steps of training take: medians.
type Speed struct {
	Steps                     int
	Forward, Backward, Update time.Duration
	MACs                      int64 // of a step: convolutions and products, forward and backward
}

// Step is the time of a whole step.
func (s Speed) Step() time.Duration { return s.Forward + s.Backward + s.Update }

// Measure takes steps of training on random numbers, labels too, until the budget is over, and forgets what it learned.
func Measure(ctx context.Context, m *model.Model, o Trial) (Speed, error) {
	t, err := newTapeOn[float32](m, o.CPU)
	if err != nil {
		return Speed{}, err
	}
	if t.fast != nil {
		t.fast.cuts, t.fast.crew = shares, team.New(min(o.Threads, shares))
		defer t.fast.crew.Close()
	}
	t.fuse()
	x := newArray[float32](append([]int{o.Batch}, o.Shape...)...)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range x.v {
		x.v[i] = float32(rng.NormFloat64())
	}
	labels := make([]int, o.Batch)
	sgd := newSGD[float32](t, NewOptions())
	var s Speed
	var all []Speed
	for begin := time.Now(); len(all) < 3 || time.Since(begin) < o.Budget; {
		if err := ctx.Err(); err != nil {
			return Speed{}, fail.From(err)
		}
		t.macs = 0
		start := time.Now()
		y, err := t.forward(x)
		if err != nil {
			return Speed{}, err
		}
		dy := y // of half the square, where there is not one number a class
		if len(y.shape) == 2 {
			for i := range labels {
				labels[i] = rng.IntN(y.shape[1])
			}
			if _, _, dy, err = crossEntropy(y, labels); err != nil {
				return Speed{}, err
			}
		}
		middle := time.Now()
		if err := t.backward(map[string]*array[float32]{t.output: dy}); err != nil {
			return Speed{}, err
		}
		end := time.Now()
		sgd.step(1e-4)
		t.fast.changed()
		all = append(all, Speed{Forward: middle.Sub(start), Backward: end.Sub(middle), Update: time.Since(end)})
		s.MACs = t.macs
	}
	all = all[1:] // the first step makes plans and takes memory
	s.Steps = len(all)
	median := func(get func(Speed) time.Duration) time.Duration {
		l := make([]time.Duration, len(all))
		for i, v := range all {
			l[i] = get(v)
		}
		slices.Sort(l)
		return l[len(l)/2]
	}
	s.Forward = median(func(v Speed) time.Duration { return v.Forward })
	s.Backward = median(func(v Speed) time.Duration { return v.Backward })
	s.Update = median(func(v Speed) time.Duration { return v.Update })
	return s, nil
}
