package agent

import (
	"context"
	"sync/atomic"

	"fettle/runtimes"
)

// stepping is the context of an inference that is counted step by step. An engine with a Marker writes down which step it is at and then asks its
// context whether to go on: that question is the moment between two steps. Workers ask too, but find no other step.
type stepping struct {
	context.Context
	c     *counters
	at    int64 // step that the engine is at
	last  atomic.Int64
	prev  []float64
	empty []float64 // what two readings in a row differ by
	sums  [][]float64
}

// Err ends the step before, where the engine is at another one.
func (s *stepping) Err() error {
	if now, old := atomic.LoadInt64(&s.at), s.last.Load(); now != old && s.last.CompareAndSwap(old, now) {
		s.end(old)
	}
	return s.Context.Err()
}

func (s *stepping) end(step int64) {
	v := s.c.read()
	if step >= 0 && int(step) < len(s.sums) {
		for i := range v {
			s.sums[step][i] += max(0, v[i]-s.prev[i]-s.empty[i])
		}
	}
	s.prev = s.c.read()
}

func newStepping(ctx context.Context, c *counters, steps int) *stepping {
	w := &stepping{Context: ctx, c: c, sums: make([][]float64, steps)}
	for i := range w.sums {
		w.sums[i] = make([]float64, len(c.names))
	}
	before := c.read()
	w.empty = c.read()
	for i := range before {
		w.empty[i] = max(0, w.empty[i]-before[i])
	}
	return w
}

// once runs an inference that is counted step by step. The session marks s.at.
func (s *stepping) once(session runtimes.Session) error {
	atomic.StoreInt64(&s.at, -1)
	s.last.Store(-1)
	s.prev = s.c.read()
	if err := session.Exec(s, nil); err != nil {
		return err
	}
	s.end(s.last.Load())
	return nil
}

// countSteps gives what each step of one inference takes, by counter. Counting interrupts the steps, so nothing else is taken from these
// inferences; what reading takes is taken off. Nil where the engine does not say which step it is at.
func countSteps(ctx context.Context, s runtimes.Session, runs int) (map[string][]float64, error) {
	marker, ok := s.(runtimes.Marker)
	if !ok {
		return nil, nil
	}
	c := openCounters()
	defer c.close()
	w := newStepping(ctx, c, len(s.Steps()))
	marker.Mark(&w.at)
	defer marker.Mark(nil)
	for range runs {
		if err := w.once(s); err != nil {
			return nil, err
		}
	}
	out := map[string][]float64{}
	for i, name := range c.names {
		for j := range w.sums {
			out[name] = append(out[name], w.sums[j][i]/float64(runs))
		}
	}
	return out, nil
}
