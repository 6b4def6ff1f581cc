package app

import (
	"context"
	"fmt"
	"sync"

	"fettle/internal/fail"
	"fettle/model"
)

// boardCost gives the time of whole models on a target: by the target's table of kernels where it was learned and reaches, else each is sent
// there and run.
type boardCost struct {
	a   *App
	ctx context.Context // of the search or recipe: the interface of passes carries none
	q   SensitivityRequest

	mu        sync.Mutex
	known     map[string]float64
	predicted int
	measured  int
	why       string // the table does not reach
}

func (a *App) boardCost(ctx context.Context, target string, threads int, asks Asks) *boardCost {
	return &boardCost{a: a, ctx: ctx, q: SensitivityRequest{Target: target, Threads: threads, Asks: asks}, known: map[string]float64{}}
}

// PredictNs is part of optimizer.Cost.
func (c *boardCost) PredictNs(m *model.Model) (float64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ns, ok := c.known[m.Hash()]; ok {
		return ns, nil
	}
	var ns float64
	p, err := c.a.Predict(c.ctx, m, c.q.Target, c.q.Threads, nil)
	switch {
	case err == nil:
		ns = p.Ns
		c.predicted++
	case fail.Is(err, fail.Cancelled):
		return 0, err
	default:
		c.why = fail.From(err).Why
		if ns, err = c.a.timeOn(c.ctx, m, c.q); err != nil {
			return 0, err
		}
		c.measured++
	}
	c.known[m.Hash()] = ns
	return ns, nil
}

// how says where the times come from.
func (c *boardCost) how() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := targetName(c.q.Target)
	switch {
	case c.measured == 0:
		return fmt.Sprintf("predicted for %s by its table of kernels", name)
	case c.predicted == 0:
		return fmt.Sprintf("measured on %s (%s)", name, c.why)
	}
	return fmt.Sprintf("%d predicted for %s by its table of kernels, %d measured there (%s)", c.predicted, name, c.measured, c.why)
}
