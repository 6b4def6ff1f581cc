package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"fettle/optimizer/prune"
)

// pretend is a truth that single damages do not tell: each group counts more or less than was thought, and neighbours disturb each other.
type pretend struct {
	st     *prune.Study
	weight map[string]float64
	known  map[string]float64
}

func (p *pretend) Damage(_ context.Context, cut map[string]int) (float64, error) {
	sum, last := 0.0, 0.0
	for _, g := range p.st.Groups {
		d := 0.0
		for _, c := range g.Cuts {
			if c.Gone == cut[g.Group.Makers[0]] {
				d = c.Damage * p.weight[g.Group.Makers[0]]
			}
		}
		sum += d + 0.5*d*last
		last = d
	}
	p.known[fmt.Sprint(cut)] = sum
	return sum, nil
}

func (p *pretend) Spread(ctx context.Context, cut map[string]int) (float64, error) {
	d, err := p.Damage(ctx, cut)
	return d / 10, err
}

func (p *pretend) Runs() int { return len(p.known) }

// TestRefine: runs of whole choices find a better one than single damages and than the same share of every group, within the limit and the runs;
// where the first is the best of its neighbours it stays.
func TestRefine(t *testing.T) {
	better := 0
	for seed := range uint64(20) {
		st := study(9)
		r := rand.New(rand.NewPCG(seed, 8))
		p := &pretend{st, map[string]float64{}, map[string]float64{}}
		for i := range st.Groups {
			st.Groups[i].Group.Makers[0] = fmt.Sprint("layer", i)
			p.weight[fmt.Sprint("layer", i)] = 0.2 + 2*r.Float64()
		}
		tr, err := NewTradeoff(st, "macs")
		if err != nil {
			t.Fatal(err)
		}
		limit := tr.Whole() - 0.5*(tr.Whole()-tr.Floor())
		first, err := tr.At(limit)
		if err != nil {
			t.Fatal(err)
		}
		f := &Refined{}
		at, err := (&refiner{tr, p, limit, 60}).improve(context.Background(), tr.levels(first), f, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := tr.choice(at, f.Best)
		if c.Cost > limit*(1+1e-9) || f.Runs > 64 {
			t.Errorf("seed %d: cost %g of %g, %d runs", seed, c.Cost, limit, f.Runs)
		}
		if f.Best > f.Single || f.Best > f.Even {
			t.Errorf("seed %d: single damages %.3g, even %.3g, improved %.3g", seed, f.Single, f.Even, f.Best)
		}
		for _, e := range [][2]float64{{f.Single, f.SingleErr}, {f.Even, f.EvenErr}, {f.Best, f.BestErr}} {
			if e[1] != e[0]/10 {
				t.Errorf("seed %d: the error of %g is %g", seed, e[0], e[1])
			}
		}
		if f.Best < f.Single {
			better++
		}
	}
	if better < 12 {
		t.Errorf("%d of 20 were improved", better)
	}
}
