package distill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/train"
)

// progress is how far a course is: with it and the data a course that was killed goes on to the same bits.
type progress struct {
	Pupil  []byte
	Random []byte
	Order  []int
	Epoch  int
	At     int // of Order, in the pass that is under way
	Step   int
	Seen   int
	Sum    float64 // of losses of the pass that is under way
	First  float64 // mean loss of the first pass, and of the last
	Last   float64
	Before result
	Best   result
	BestAt int    // step; 0: the model as it was; afterBlocks
	Thin   bool   // the sparsity asked for is reached
	Finest []byte // the best one
	Spent  time.Duration
	Trains time.Duration // of it, in steps

	began time.Time
	rng   *rand.PCG
}

// afterBlocks is BestAt for what the blocks learned by themselves.
const afterBlocks = -1

// keepEvery is how often a course writes how far it is.
const keepEvery = 15 * time.Second

// run trains until the passes are done or the time is over, and gives the best weights seen, or the model as it was.
func (c *course) run(ctx context.Context) (*model.Model, string, error) {
	p, err := c.begin(ctx)
	if err != nil {
		return nil, "", err
	}
	total := c.perEpoch() * c.o.Epochs
	limit := time.Duration(c.o.Minutes * float64(time.Minute))
	if c.o.Blocks > 0 && c.resumed == 0 {
		if err := c.learnBlocks(ctx, p, limit); fail.Is(err, fail.Failed) {
			c.said = "block by block the loss was no number: not taken; "
		} else if err != nil {
			return nil, "", err
		}
	}
	for kept := time.Now(); p.Step < total && p.spent() < limit; {
		if p.At == 0 {
			rand.New(p.rng).Shuffle(len(p.Order), func(i, j int) { p.Order[i], p.Order[j] = p.Order[j], p.Order[i] })
		}
		past := float64(p.Step) / float64(total)
		if t := float64(p.spent()) / float64(limit); t > float64(p.Step+1)/float64(total) { // else the clock has no say, and the same bits come out
			past = t
		}
		err := c.step(ctx, p, past)
		if fail.Is(err, fail.Failed) {
			c.drop()
			m, berr := c.best(p)
			return m, fmt.Sprintf("the loss was no number after %d steps: stopped; %s", p.Step, c.say(p)), berr
		}
		if err != nil {
			return nil, "", err
		}
		ends := p.Step >= total || p.spent() >= limit
		c.thin(p, float64(p.Step)/float64(total), past, ends)
		if p.At >= len(p.Order) || p.Step >= total || p.spent() >= limit {
			if err := c.endOfPass(ctx, p); err != nil {
				return nil, "", err
			}
		}
		if c.env.Keep != nil && time.Since(kept) >= c.keepEvery {
			if err := c.keep(p); err != nil {
				return nil, "", err
			}
			kept = time.Now()
		}
	}
	c.drop()
	m, err := c.best(p)
	return m, fmt.Sprintf("%s%s; loss %.3g in the first pass, %.3g in the last of %d; %d items seen, %.0f a second", c.integers(), c.say(p), p.First, p.Last, p.Epoch, p.Seen,
		float64(p.Seen)/max(p.Trains.Seconds(), 1e-9)), err
}

// thin makes weights zero along a cube that ends at seven tenths of the course, every tenth step, and at the end at the latest.
func (c *course) thin(p *progress, steps, past float64, ends bool) {
	const full, every = 0.7, 10
	past = math.Max(past, steps)
	switch {
	case c.o.Sparsity == 0 || p.Thin:
	case past >= full || ends:
		c.pupil.Thin(c.o.Sparsity)
		p.Thin = true
	case p.Step%every == 0:
		c.pupil.Thin(c.o.Sparsity * (1 - math.Pow(1-past/full, 3)))
	}
}

func (c *course) perEpoch() int { return (len(c.items) + c.o.Batch - 1) / c.o.Batch }

// step takes one step on the next batch.
func (c *course) step(ctx context.Context, p *progress, past float64) error {
	part := p.Order[p.At:min(len(p.Order), p.At+c.o.Batch)]
	rng := rand.New(p.rng)
	batch := make([][]float32, len(part))
	for i, k := range part {
		batch[i] = c.augment(rng, c.items[k])
	}
	start := time.Now()
	loss, err := c.pupil.Step(ctx, batch, c.in.Shapes(), train.Lesson{Temperature: c.o.Temperature, Features: c.o.Features, Labels: c.o.Labels}, c.rate(p.Step, past),
		func(ctx context.Context, worker, i int) (train.Want, error) {
			asked := i
			if c.o.Control { // the answer to another item
				asked = (i + 1) % len(batch)
			}
			w, err := c.ask(ctx, worker, batch[asked])
			w.Label = c.labels[part[i]]
			return w, err
		})
	if err != nil {
		return err
	}
	p.Trains += time.Since(start)
	p.Sum, p.Seen, p.Step, p.At = p.Sum+loss*float64(len(part)), p.Seen+len(part), p.Step+1, p.At+len(part)
	c.env.Progress.Report(int64(past*1000), 1000, fmt.Sprintf("distilling, pass %d, loss %.3g", p.Epoch+1, loss))
	return nil
}

// endOfPass judges the pupil and keeps it where it is the best so far.
func (c *course) endOfPass(ctx context.Context, p *progress) error {
	p.Last = p.Sum / float64(p.At)
	if p.Epoch == 0 {
		p.First = p.Last
	}
	p.Epoch, p.At, p.Sum = p.Epoch+1, 0, 0
	now, err := c.model()
	if err != nil {
		return err
	}
	d, err := c.judge(ctx, now)
	if err != nil {
		return err
	}
	c.env.Progress.Report(int64(1000*float64(p.Step)/float64(c.perEpoch()*c.o.Epochs)), 1000, "held-out items: "+d.String())
	if (c.o.Sparsity == 0 || p.Thin) && d.better(p.Best) {
		p.Best, p.BestAt = d, p.Step
		p.Finest, err = c.pupil.State()
	}
	return err
}

// best is the model with the best weights seen.
func (c *course) best(p *progress) (*model.Model, error) {
	if p.BestAt == 0 {
		return c.m, nil
	}
	if err := c.pupil.Restore(p.Finest); err != nil {
		return nil, err
	}
	return c.model()
}

// begin is a new course, or one that was stopped.
func (c *course) begin(ctx context.Context) (*progress, error) {
	p := &progress{began: time.Now(), rng: rand.NewPCG(uint64(c.env.Seed), uint64(c.o.Seed))}
	if c.resume(p) {
		return p, nil
	}
	p.Order = rand.New(p.rng).Perm(len(c.items))
	d, err := c.judge(ctx, c.m)
	p.Before, p.Best = d, d
	if c.o.Sparsity > 0 { // zeros cost: the model before is no rival
		p.Best.KL, p.Best.Noise = math.Inf(1), math.Inf(1)
	}
	return p, err
}

// key names everything that decides a course.
func (c *course) key() string {
	h := sha256.New()
	data := "synthesised"
	if c.o.Inputs == "data" {
		data = c.env.Data.Hash()
	}
	fmt.Fprintf(h, "distill 2 %s %s %s %d %+v", c.env.Base.Hash(), c.m.Hash(), data, c.env.Seed, c.o)
	return fmt.Sprintf("%x", h.Sum(nil))
}

func (c *course) keep(p *progress) (err error) {
	if p.Pupil, err = c.pupil.State(); err != nil {
		return err
	}
	if p.Random, err = p.rng.MarshalBinary(); err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	out := *p
	out.Spent = p.spent()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(out); err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	return c.env.Keep.Put(c.key(), b.Bytes())
}

// resume takes what was kept of the same course; what cannot be read is as if it were not there.
func (c *course) resume(p *progress) bool {
	if c.env.Keep == nil {
		return false
	}
	b, _ := c.env.Keep.Get(c.key())
	var old progress
	if len(b) == 0 || gob.NewDecoder(bytes.NewReader(b)).Decode(&old) != nil || len(old.Order) != len(c.items) {
		return false
	}
	old.began, old.rng = p.began, &rand.PCG{}
	if old.rng.UnmarshalBinary(old.Random) != nil || c.pupil.Restore(old.Pupil) != nil {
		return false
	}
	*p = old
	c.resumed = p.Step
	return true
}

// drop forgets the state of a course that is over.
func (c *course) drop() {
	if c.env.Keep != nil {
		_ = c.env.Keep.Put(c.key(), nil) // a state that stays would only be found by the same course again
	}
}

// spent is the time that the course has taken, earlier parts of it too.
func (p *progress) spent() time.Duration { return p.Spent + time.Since(p.began) }

// integers says that the arithmetic of the exported file was in the loop.
func (c *course) integers() string {
	if len(c.thawed) == 0 {
		return ""
	}
	return fmt.Sprintf("trained as exported: %d constants of integers and their steps learned; ", len(c.thawed))
}

func (c *course) say(p *progress) string {
	s := c.dreamed + c.said
	if c.o.Control {
		s += "CONTROL: every item was taught the answer to another one; "
	}
	if c.resumed > 0 {
		s += fmt.Sprintf("went on after step %d; ", c.resumed)
	}
	if c.o.Sparsity > 0 {
		s += fmt.Sprintf("%.0f %% of the weights of each layer are zero: a smaller file once packed, the same speed; ", 100*c.o.Sparsity)
	}
	if p.BestAt == 0 {
		return s + fmt.Sprintf("on %d held-out items nothing came closer to the original than before (%s): reverted", len(c.held), p.Before)
	}
	when := fmt.Sprintf("step %d", p.BestAt)
	if p.BestAt == afterBlocks {
		when = "the blocks"
	}
	return s + fmt.Sprintf("distance to the original on %d held-out items: %s before, %s after %s", len(c.held), p.Before, p.Best, when)
}

// rate falls along a cosine, after a few steps in which it rises.
func (c *course) rate(step int, past float64) float64 {
	const rise = 20
	return c.o.Rate * 0.5 * (1 + math.Cos(math.Pi*past)) * math.Min(1, float64(step+1)/rise)
}
