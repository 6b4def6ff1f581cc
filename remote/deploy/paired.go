package deploy

import (
	"context"
	"fmt"
	"math/rand/v2"

	"fettle/internal/fail"
	"fettle/profiler"
	"fettle/profiler/trace"
)

// ProfilePaired measures two models in turns, one launch of each at a time and in random order within a pair: what
// the board changes meanwhile meets both, so a comparison of the two may pair their launches. side is 0 for a and 1
// for b. Where the second launch of a pair is cut, both traces end without their end mark. With o.Again, pairs that
// were disturbed on one side are measured again, both sides, behind the others.
func (c *Conn) ProfilePaired(ctx context.Context, a, b Source, o ProfileOptions, live func(side int, s Sample)) (ta, tb *trace.Trace, err error) {
	if o.Launches < 1 {
		return nil, nil, fail.New(fail.Usage, "%d pairs cannot be measured", o.Launches).Doing("compare %s with %s", b.name, a.name).Try("use at least 8 pairs")
	}
	sides := [2]Source{a, b}
	var out [2]*trace.Trace
	one := o
	one.Launches = 1
	order := rand.New(rand.NewPCG(o.Seed, uint64(o.Launches)))
	done, total := 0, 4*o.Launches*o.Runs
	one.Again = 0 // pairs are made up for whole
	pairs := func(n int) error {
		for range n {
			first := order.IntN(2)
			for _, side := range []int{first, 1 - first} {
				t, err := c.Profile(ctx, sides[side], one, func(s Sample) {
					if live != nil {
						s.Launch, s.Done, s.Total = launches(out[side]), done+s.Done, total
						live(side, s)
					}
				})
				if err != nil {
					return err
				}
				done += 2 * o.Runs
				if out[side], err = join(out[side], t); err != nil {
					return c.because(err, "profile "+sides[side].name)
				}
			}
		}
		return nil
	}
	if err := pairs(o.Launches); err != nil {
		return out[0], out[1], err
	}
	err = c.rounds(ctx, o, func() (int, bool) { return profiler.Disturbed(o.Launches, out[0], out[1]) }, func(n int) error {
		total += 4 * n * o.Runs
		if err := pairs(n); err != nil {
			return err
		}
		out[0].Again, out[1].Again = out[0].Again+n, out[1].Again+n
		return nil
	})
	if err != nil {
		return out[0], out[1], err
	}
	name := fmt.Sprintf("pairs %.12s %.12s seed %d launches %d runs %d", out[0].Model.SHA256, out[1].Model.SHA256, o.Seed, o.Launches, o.Runs)
	for _, t := range out {
		t.Schedule = name
		t.Close()
	}
	return out[0], out[1], nil
}

func launches(t *trace.Trace) int {
	if t == nil {
		return 0
	}
	return len(t.Launches)
}

// join adds the launch of b to a. They must have run the same steps: a board may have been changed in between.
func join(a, b *trace.Trace) (*trace.Trace, error) {
	b.End = nil // the pairs close together
	if a == nil {
		return b, nil
	}
	same := len(a.Steps) == len(b.Steps) && a.Model == b.Model && a.Runtime == b.Runtime
	for i := 0; same && i < len(a.Steps); i++ {
		same = a.Steps[i].ID == b.Steps[i].ID && a.Steps[i].Kernel == b.Steps[i].Kernel
	}
	if !same {
		return a, fail.New(fail.Failed, "it ran in another way than in the launches before").Try("somebody deployed or updated meanwhile; measure again")
	}
	a.Launches = append(a.Launches, b.Launches...)
	return a, nil
}
