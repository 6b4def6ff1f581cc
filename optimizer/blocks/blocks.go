// Package blocks owns the pass replace-blocks: the network is cut at values that everything goes through, each part gets cheaper stand-ins that learn
// from what the part itself gives, and one of each part is chosen exactly within a budget.
//
// It makes stand-ins with the passes of the environment's table (prune-channels, factorize, distill), knows none of them itself, and runs models only
// through the environment. Start reading at Options, then at pass.Apply; find.go cuts, make.go makes stand-ins, teach.go trains them, choose.go chooses.
package blocks

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// replace-blocks
//
//	Before:     y = B1(x); z = B2(y); …
//	After:      y = B1'(x); z = B2'(y); …, each B' the block itself or a stand-in of it
//	Conditions: between two blocks one float32 value [N, C, H, W] stands for all that was computed before; what a block reads of constants is its own.
//	Formula:    B' minimises |B'(x) - B(x)|² / |B(x)|² over its weights on values x of the teacher, the model before this pass. d(B') is how far the
//	            answers move when only this block is replaced, on items that nothing was fitted to. Choice: min sum d(B') so that the sum of costs holds
//	            the budget (exact); of the best distinct choices, run as a whole, the one whose answers move least.
//	Exactness:  scored: only data says how good it is.
//	Paper:      Molchanov et al. 2022, arXiv:2107.10624; Li et al. 2020, arXiv:1911.13053; Jaderberg et al. 2014, arXiv:1405.3866 (separable layers by SVD).

// Options are the options of replace-blocks.
type Options struct {
	MACs    float64  `opt:"macs" min:"0" max:"1" step:"0.05" help:"share of the multiply-adds that stays at most; 0: no bound"`
	KB      float64  `opt:"kb" min:"0" max:"1000000000" unit:"kB" help:"most bytes of weights; 0: no bound"`
	Ms      float64  `opt:"ms" min:"0" max:"1000000" unit:"ms" help:"longest time: predicted for the board, or measured on this computer where none is given; 0: no bound"`
	Try     []string `opt:"try" help:"kinds of stand-ins: identity, thin-25, thin-50 and thin-75 (shares of the inner channels that go), separable, low-rank, small-kernel; none listed: all"`
	Steps   int      `opt:"steps" min:"0" max:"100000" help:"steps that each stand-in learns from the block; 0: none, it is taken as it was made"`
	Minutes float64  `opt:"minutes" min:"0.01" max:"10000" step:"0.5" unit:"min" help:"time after which no stand-in learns further: what is left of it is shared by those to come"`
	Rate    float64  `opt:"rate" min:"0.0000001" max:"10" help:"learning rate at the start, a share of the size of each row of weights"`
	Joint   int      `opt:"joint" min:"1" max:"1000" help:"choices that are run as a whole, the one whose answers move least is taken: single damages do not always add up"`
	Skip    []string `opt:"skip" help:"layers whose blocks stay as they are"`
	Samples int      `opt:"samples" min:"40" max:"100000" help:"data items; a quarter judges"`
	Slower  string   `opt:"slower" enum:"refuse keep" help:"what becomes of a result that takes longer on this computer than the model before, measured in turns"`
	Control bool     `opt:"control" help:"for a check only: every stand-in is taught what the block gives for another item, so that nothing can be gained"`
}

// New makes the pass with its defaults.
func New() optimizer.Pass {
	return &pass{o: Options{MACs: 0.5, Steps: 60, Minutes: 5, Rate: 0.0125, Joint: 10, Samples: 256, Slower: "refuse"}}
}

type pass struct{ o Options }

const name = "replace-blocks"

// Info describes the pass.
func (p *pass) Info() optimizer.Info {
	return optimizer.Info{Name: name, Title: "Replace blocks", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Gives each block of the network cheaper stand-ins, lets them learn from the block, and takes one of each so that a budget holds and the answers move least.",
		Paper:   "Molchanov et al. 2022, arXiv:2107.10624", Undo: "the blocks that were replaced"}
}

// Options is the struct of options.
func (p *pass) Options() any { return &p.o }

// Check lists the blocks; which of them are replaced data will say.
func (p *pass) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	list, err := find(m)
	if err != nil {
		return nil, err
	}
	var found []optimizer.Finding
	for _, b := range list {
		f := b.finding()
		f.Outcome, f.Reason = optimizer.Applied, "the data will say what may stand in for it"
		if why := p.stays(env, b); why != "" {
			f.Outcome, f.Reason = optimizer.Refused, why
		}
		found = append(found, f)
	}
	return orNone(found), nil
}

func orNone(found []optimizer.Finding) []optimizer.Finding {
	if len(found) == 0 {
		found = append(found, optimizer.Finding{Rule: name, Outcome: optimizer.Nothing, Reason: "no inner value of four dimensions stands for all that was computed before it"})
	}
	return found
}

// stays says why a block is left alone.
func (p *pass) stays(env *optimizer.Env, b *block) string {
	if b.why != "" {
		return b.why
	}
	for _, n := range b.nodes {
		if slices.Contains(p.o.Skip, n.Label()) || slices.Contains(p.o.Skip, string(n.ID)) {
			return "skipped by its name"
		}
	}
	why, ok := env.Scope.Allows(b.nodes...)
	if ok {
		return ""
	}
	return why
}

// Apply replaces. fail.Usage without data or budget, fail.Invalid with the floor where no choice holds the budget.
func (p *pass) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	const doing = "replace blocks"
	if err := p.o.valid(); err != nil {
		return nil, nil, fail.From(err).Doing(doing)
	}
	list, err := find(m)
	if err != nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(list, func(b *block) bool { return p.stays(env, b) == "" }) {
		found, err := p.Check(env, m)
		return m, found, err
	}
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, nil, fail.New(fail.Usage, "stand-ins learn from data").Doing(doing).Try("give a folder of typical inputs with --data, labels are not needed")
	}
	w, err := newWork(ctx, env, p.o, m)
	if err != nil {
		return nil, nil, fail.In(err, doing, fail.Where{})
	}
	for i, b := range list {
		if b.why = p.stays(env, b); b.why != "" {
			continue
		}
		w.at, w.of = i, len(list)
		if err := w.standIns(ctx, b); err != nil {
			return nil, nil, fail.In(err, doing, fail.Where{Node: string(b.nodes[0].ID)})
		}
	}
	out, c, err := w.choose(ctx, list)
	if err != nil {
		return nil, nil, fail.In(err, doing, fail.Where{})
	}
	return w.tell(ctx, list, out, c)
}

// theBlock is the stand-in that changes nothing.
const theBlock = "the block itself"

// kinds are all stand-ins that are tried, the block itself aside.
func kinds() []string {
	return []string{"identity", "thin-25", "thin-50", "thin-75", "separable", "low-rank", "small-kernel"}
}

func (o *Options) valid() error {
	bounds := 0
	for _, b := range []float64{o.MACs, o.KB, o.Ms} {
		if b > 0 {
			bounds++
		}
	}
	if bounds == 0 || bounds == 3 {
		return fail.New(fail.Usage, "%d budgets are given", bounds).Try("give one or two of macs, kb and ms")
	}
	for _, k := range o.Try {
		if !slices.Contains(kinds(), k) {
			return fail.New(fail.Usage, "no stand-in is called %q", k).Try("known are %s", strings.Join(kinds(), ", "))
		}
	}
	return nil
}

func (o *Options) tries(kind string) bool { return len(o.Try) == 0 || slices.Contains(o.Try, kind) }

// finding starts the line of the ledger for a block.
func (b *block) finding() optimizer.Finding {
	f := optimizer.Describe(name, b.nodes...)
	f.Label = b.nodes[0].Label()
	if n := len(b.nodes); n > 1 {
		f.Label += " to " + b.nodes[n-1].Label()
	}
	return f
}

// tell writes the ledger, and refuses a result that became slower.
func (w *work) tell(ctx context.Context, list []*block, out *model.Model, c *choice) (*model.Model, []optimizer.Finding, error) {
	var found []optimizer.Finding
	for _, b := range list {
		f := b.finding()
		if b.why != "" {
			f.Outcome, f.Reason = optimizer.Refused, b.why
			found = append(found, f)
			continue
		}
		taken := b.stands[c.picks[b]]
		var others []string
		for _, s := range b.stands[1:] {
			others = append(others, fmt.Sprintf("%s %.3g at %s", s.name, s.damage, w.saved(b, s)))
		}
		f.Reason = fmt.Sprintf("stays; damage alone: %s", strings.Join(others, ", "))
		f.Outcome = optimizer.Refused
		if taken != b.stands[0] {
			f.Outcome = optimizer.Applied
			f.Gain.Bytes, f.Gain.Nodes = int64(b.stands[0].bytes-taken.bytes), len(b.nodes)-taken.nodes()
			f.Reason = fmt.Sprintf("%s stands in%s; damage alone: %s", taken.name, taken.learned, strings.Join(others, ", "))
		}
		if len(b.refused) > 0 {
			f.Reason += "; " + strings.Join(b.refused, "; ")
		}
		found = append(found, f)
	}
	f := optimizer.Finding{Rule: name, Label: "choice", Outcome: optimizer.Applied, Reason: c.said}
	if w.resumed > 0 {
		f.Reason += fmt.Sprintf("; %d stand-ins were known from a run that was stopped", w.resumed)
	}
	if w.o.Control {
		f.Reason = "CONTROL: every stand-in was taught what belongs to another item; " + f.Reason
	}
	found = append(found, f)
	w.forget()
	return w.env.KeepFaster(ctx, name, w.o.Slower, w.m, out, found)
}
