package quantize

import (
	"context"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/floats"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/kernels/cpu"
	"fettle/kernels/gemm"
	"fettle/kernels/team"
)

// relaxed decides for every weight of some output channels at once whether it goes up or down: each has a number h in [0, 1]
// between the two steps, and descent makes
//
//	dᵀ·H·d + λ Σ (1 - |2h - 1|^β)        d = (target - step·(floor(target/step) + h)) / step
//
// small, with the mean of H's diagonal 1. The second term is off at first, then pushes every h to 0 or 1 while β falls.
//
//	t, v, d, g [n, k] float32, a channel a line    h [k, k] float32
//
// Source: Nagel et al. 2020, arXiv:2004.10568 (AdaRound). There the first term is taken over batches of rows; the rows' products
// H give it, and its gradient, over all rows.
type relaxed struct {
	k      int
	t      []float32 // target in steps
	rel    []float32 // step of each weight by the root mean square of its channel's: 1 where a channel has one
	lo, hi []float32 // of each channel
	v      []float32 // h = clamp(1.2·sigmoid(v) - 0.1)
	times  func(g, d []float32) error

	floor, h, slope, d, g, first, second []float32
	inside                               []bool // the range of integers does not hold the weight back
}

// The numbers of the descent: how far a step goes, the weight of the push, the share of rounds without it, and its exponents.
const (
	annealRate, annealPush, annealWarm = 0.02, 0.05, 0.2
	annealFrom, annealTo               = 20.0, 2.0
	stretch, margin                    = 1.2, 0.1
)

// newRelaxed starts where h gives the target itself.
func newRelaxed(t, rel, lo, hi []float32, k int, times func(g, d []float32) error) *relaxed {
	r := &relaxed{k: k, t: t, rel: rel, lo: lo, hi: hi, times: times, inside: make([]bool, len(t))}
	for _, p := range []*[]float32{&r.v, &r.floor, &r.h, &r.slope, &r.d, &r.g, &r.first, &r.second} {
		*p = make([]float32, len(t))
	}
	for i, x := range t {
		f := math.Floor(float64(x))
		p := min(max((float64(x)-f+margin)/stretch, 1e-3), 1-1e-3)
		r.floor[i], r.v[i] = float32(f), float32(math.Log(p/(1-p)))
	}
	return r
}

// run makes rounds steps; it stops early where until has passed (zero: never).
func (r *relaxed) run(ctx context.Context, rounds int, until time.Time) error {
	warm := int(annealWarm * float64(rounds))
	for i := range rounds {
		if ctx.Err() != nil {
			return fail.From(ctx.Err())
		}
		if i%16 == 0 && !until.IsZero() && time.Now().After(until) {
			return nil
		}
		push, beta := 0.0, annealFrom
		if i >= warm {
			push = annealPush
			along := float64(i-warm) / float64(max(rounds-warm-1, 1))
			beta = annealTo + (annealFrom-annealTo)*(1+math.Cos(math.Pi*along))/2
		}
		if err := r.step(i+1, push, beta); err != nil {
			return err
		}
	}
	return nil
}

// step is one step of Adam.
//
// Source: Kingma and Ba 2015, arXiv:1412.6980.
func (r *relaxed) step(at int, push, beta float64) error {
	for i := range r.v {
		h, slope := relaxedUp(r.v[i])
		r.h[i], r.slope[i] = h, slope
		c := i / r.k
		q := r.floor[i] + h
		r.inside[i] = q >= r.lo[c] && q <= r.hi[c]
		r.d[i] = (r.t[i] - min(max(q, r.lo[c]), r.hi[c])) * r.rel[i]
	}
	if err := r.times(r.g, r.d); err != nil {
		return err
	}
	const b1, b2 = 0.9, 0.999
	c1, c2 := float32(1/(1-math.Pow(b1, float64(at)))), float32(1/(1-math.Pow(b2, float64(at))))
	for i, slope := range r.slope {
		if slope == 0 {
			continue // at an end: nothing pulls it back
		}
		grad := float32(0)
		if r.inside[i] {
			grad = -2 * r.g[i] * r.rel[i]
		}
		if push > 0 {
			grad -= 2 * float32(push*beta) * power(2*r.h[i]-1, beta-1)
		}
		grad *= slope
		r.first[i] = b1*r.first[i] + (1-b1)*grad
		r.second[i] = b2*r.second[i] + (1-b2)*grad*grad
		r.v[i] -= annealRate * r.first[i] * c1 / (float32(math.Sqrt(float64(r.second[i]*c2))) + 1e-8)
	}
	return nil
}

// power is sign(x)·|x|^e, 0 where that is too small to push anything.
func power(x float32, e float64) float32 {
	a := math.Abs(float64(x))
	if e > 8 && a < 0.2 {
		return 0
	}
	return float32(math.Copysign(math.Exp(e*math.Log(a)), float64(x)))
}

// relaxedUp is h of v and what it changes with v.
func relaxedUp(v float32) (h, slope float32) {
	s := 1 / (1 + float32(math.Exp(-float64(v))))
	h = stretch*s - margin
	if h <= 0 || h >= 1 {
		return min(max(h, 0), 1), 0
	}
	return h, stretch * s * (1 - s)
}

// rounded gives the steps of channel c, each up or down.
func (r *relaxed) rounded(c int) []float64 {
	out := make([]float64, r.k)
	for j := range out {
		i := c*r.k + j
		f := r.floor[i]
		if h, _ := relaxedUp(r.v[i]); h >= 0.5 {
			f++
		}
		out[j] = float64(min(max(f, r.lo[c]), r.hi[c]))
	}
	return out
}

// anneal rounds the channels of group g to targets on the grids of from, rows that were rounded column by column.
func (l *lot) anneal(ctx context.Context, f *factor, targets [][]float64, from []stored, g int) ([]row, error) {
	k, n := l.width, l.group
	h := make([]float32, k*k)
	mean := 0.0
	for i := range k {
		mean += f.h[i*k+i] / float64(k)
	}
	for i, v := range f.h {
		h[i] = float32(v / mean)
	}
	out := make([]row, n)
	workers := min(l.workers, n)
	group := task.NewGroup(ctx)
	for w := range workers {
		first, last := w*n/workers, (w+1)*n/workers
		group.Go("round weights", func(ctx context.Context) error {
			r, err := l.relax(h, targets, from, g, first, last)
			if err != nil {
				return err
			}
			if err := r.run(ctx, l.o.Rounds, l.until); err != nil {
				return err
			}
			for c := first; c < last; c++ {
				ch := l.choice(g*n + c)
				out[c] = ch.finish(f, targets[c], r.rounded(c-first), row{zero: from[c].zero, scale: from[c].scale})
			}
			return nil
		})
	}
	return out, group.Wait()
}

// relax prepares channels first to last of group g.
func (l *lot) relax(h []float32, targets [][]float64, from []stored, g, first, last int) (*relaxed, error) {
	k, n := l.width, last-first
	t, rel := make([]float32, n*k), make([]float32, n*k)
	lo, hi := make([]float32, n), make([]float32, n)
	for i := range n {
		ch := l.choice(g*l.group + first + i)
		steps := ch.fixed
		if steps == nil {
			steps = slices.Repeat([]float64{from[first+i].scale}, k)
		}
		rms := math.Sqrt(floats.Dot(steps, steps) / float64(k))
		for j, s := range steps {
			t[i*k+j], rel[i*k+j] = float32(targets[first+i][j]/s), float32(s/rms)
		}
		lo[i], hi[i] = float32(ch.lo-from[first+i].zero), float32(ch.hi-from[first+i].zero)
	}
	times, err := product(h, n, k)
	return newRelaxed(t, rel, lo, hi, k, times), err
}

// product gives g = d·h for n lines on one processor.
func product(h []float32, n, k int) (func(g, d []float32) error, error) {
	shape := gemm.Shape{M: n, N: k, K: k, ConstB: true}
	algorithms, err := gemm.Plan(shape, cpu.Detect())
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	a := algorithms[0]
	packed := make([]float32, a.PackedLen())
	if err := a.Pack(packed, h, 0); err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	kernel, err := a.Bind(1)
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	b := gemm.Buffers{A: make([]float32, n*k), C: make([]float32, n*k), Packed: packed, Scratch: make([]float32, kernel.Scratch())}
	run, err := kernel.On(b)
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err)
	}
	alone := team.New(1)
	return func(g, d []float32) error {
		b.A, b.C = d, g
		if err := run.Set(b); err != nil {
			return fail.New(fail.Internal, "%v", err)
		}
		if err := alone.Run(context.Background(), run); err != nil {
			return fail.From(err)
		}
		return nil
	}, nil
}
