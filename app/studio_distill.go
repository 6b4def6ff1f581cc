package app

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/optimizer"
)

// Course is a distillation: the loss while it runs, and what held-out items say.
type Course struct {
	Began   time.Time
	Limit   time.Duration
	Running bool
	Step    int64 // of Steps: how much of the course is over, by steps or by the clock
	Steps   int64
	Losses  []Loss
	Held    []Held
	Reason  string // what the pass said in the end
	Kept    bool   // held-out items came closer: the weights were taken
	Of      string // hash of the model that came out
	Err     *fail.Error
}

// Loss is one step of a course.
type Loss struct {
	At   float64 // share of the course
	Pass int
	Loss float64
}

// Held is what held-out items said after a pass.
type Held struct {
	At   float64
	Text string
	KL   float64 // distance of the answers, or share of noise; 0: not read
}

// distilEntry is the place of the distillation in the ledger, -1: none.
func distilEntry(l []Entry) int {
	return slices.IndexFunc(l, func(e Entry) bool { return e.On && e.Pass == "distill" })
}

// Distill trains the model of the ledger to answer as the opened one, and puts the step into the ledger where that helped. Stopping it
// changes nothing.
func (s *Studio) Distill(options map[string]any) {
	d, ok := s.ready("distill")
	if !ok {
		return
	}
	if d.Data == "" {
		s.fail(fail.New(fail.Usage, "no data were chosen").Doing("distill").Try("choose a folder of typical inputs; labels are not needed"))
		return
	}
	l := slices.Clone(d.Ledger())
	step := Entry{optimizer.RecipeStep{Pass: "distill", Options: options}, true}
	if i := distilEntry(l); i >= 0 {
		l[i] = step
	} else {
		l = append(l, step)
	}
	r := (&Revision{Entries: l}).Recipe()
	c := Course{Began: time.Now(), Running: true, Limit: minutesOf(s.pass("distill"), options)}
	s.job("Distill the model", d.Name, func(ctx context.Context, p task.Progress) error {
		show := func() {
			now := c
			now.Losses, now.Held = slices.Clone(c.Losses), slices.Clone(c.Held)
			s.editDoc(d.ID, func(_ *State, d *Doc) { d.Course = &now })
		}
		show()
		last := time.Now()
		o, err := s.app.Optimize(ctx, d.Base, &r, OptimizeOptions{Data: d.Data, Progress: func(done, total int64, what string) {
			p.Report(done, total, what)
			if c.hear(done, total, what) && time.Since(last) > progressEvery {
				last = time.Now()
				show()
			}
		}})
		c.Running = false
		if err != nil {
			c.Err = fail.From(err)
			show()
			return err
		}
		c.conclude(o)
		show()
		if c.Kept { // the steps are in the cache: the ledger takes them from there
			s.ledger("Distill", "distill", func(*Doc, []Entry) ([]Entry, error) { return l, nil })
		}
		return nil
	})
}

// minutesOf is the time limit of a course.
func minutesOf(p PassInfo, options map[string]any) time.Duration {
	minutes := 0.0
	for _, o := range p.Options {
		if o.Key == "minutes" {
			minutes, _ = o.Default.(float64)
		}
	}
	switch v := options["minutes"].(type) {
	case float64:
		minutes = v
	case int64:
		minutes = float64(v)
	}
	return time.Duration(minutes * float64(time.Minute))
}

// mostLosses bounds the curve; beyond it every second point goes.
const mostLosses = 600

// hear takes what the pass reports; false: it is not about the course.
func (c *Course) hear(done, total int64, what string) bool {
	at := float64(done) / float64(max(total, 1))
	var l Loss
	if n, _ := fmt.Sscanf(what, "distilling, pass %d, loss %g", &l.Pass, &l.Loss); n == 2 {
		c.Step, c.Steps = done, total
		l.At = at
		c.Losses = append(c.Losses, l)
		if len(c.Losses) > mostLosses {
			for i := range len(c.Losses) / 2 {
				c.Losses[i] = c.Losses[2*i]
			}
			c.Losses = c.Losses[:len(c.Losses)/2]
		}
		return true
	}
	if text, ok := strings.CutPrefix(what, "held-out items: "); ok {
		c.Held = append(c.Held, Held{At: at, Text: text, KL: distanceIn(text)})
		return true
	}
	return false
}

// distanceIn reads the distance that a pass tells in words: "KL 0.0123, …" or "0.05 of the squared size …".
func distanceIn(text string) float64 {
	word, _, _ := strings.Cut(strings.TrimPrefix(text, "KL "), " ")
	v, err := strconv.ParseFloat(strings.TrimSuffix(word, ","), 64)
	if err != nil {
		return 0
	}
	return v
}

// conclude takes what the pass said in the end.
func (c *Course) conclude(o *Optimized) {
	c.Step, c.Of = c.Steps, o.Model.Hash()
	for _, st := range o.Steps {
		if st.Pass != "distill" {
			continue
		}
		for _, f := range st.Findings {
			c.Reason, c.Kept = f.Reason, f.Outcome == optimizer.Applied
		}
	}
}
