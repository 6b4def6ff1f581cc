package prune

import (
	"context"
	"fmt"
	"sort"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// remove-blocks
//
//	Before:     y = Add(f(x), x), f(x) of the shape of x
//	After:      y = x
//	Conditions: nobody else reads what f makes inside; x and f(x) have the same shape.
//	Formula:    of all blocks the one whose loss moves the outputs least on data goes, then the next is looked for.
//	Exactness:  scored: only data says how good it is.
//	Paper:      Wang and Wu 2023, arXiv:2203.13979 (practise: blocks rather than channels of deep networks).

// Blocks are the options of remove-blocks.
type Blocks struct {
	Count    int     `opt:"count" min:"1" max:"1000" help:"most blocks that go"`
	Distance float64 `opt:"distance" min:"0" max:"1000" help:"largest squared distance of the outputs from the original, as a share of their size; 0: no bound"`
	Samples  int     `opt:"samples" min:"8" max:"100000" help:"data items that judge"`
}

// NewRemoveBlocks makes the pass with its defaults.
func NewRemoveBlocks() optimizer.Pass { return &removeBlocks{o: Blocks{Count: 1, Samples: 64}} }

type removeBlocks struct{ o Blocks }

// Info describes the pass.
func (p *removeBlocks) Info() optimizer.Info {
	return optimizer.Info{Name: "remove-blocks", Title: "Remove blocks", Exactness: optimizer.Scored, NeedsData: true,
		Promise: "Removes whole residual blocks that the outputs hardly need: less time on every board.",
		Paper:   "Wang and Wu 2023, arXiv:2203.13979", Undo: "the blocks"}
}

// Options is the struct of options.
func (p *removeBlocks) Options() any { return &p.o }

// residualBlock is a sum, what goes past the block, and the nodes of the block.
type residualBlock struct {
	sum    *model.Node
	past   string
	inside []*model.Node
}

// blocks finds the sums of x and a function of x.
func (s *space) blocks() []residualBlock {
	readers := map[string][]*model.Node{}
	for _, n := range s.v.G.Nodes {
		for _, r := range model.Reads(n) {
			readers[r] = append(readers[r], n)
		}
	}
	var out []residualBlock
	for _, n := range s.v.G.Nodes {
		if n.Op != "Add" || n.Domain != "" || len(n.Inputs) != 2 {
			continue
		}
		for i, past := range n.Inputs {
			a, b := s.shape(past), s.shape(n.Inputs[1-i])
			if a == nil || fmt.Sprint(a) != fmt.Sprint(b) || s.constant(past) != nil {
				continue
			}
			if inside, ok := s.between(past, n.Inputs[1-i], n, readers); ok {
				out = append(out, residualBlock{n, past, inside})
				break
			}
		}
	}
	return out
}

// between lists the nodes from past to value, false where value needs anything else than past, or others read what they make.
func (s *space) between(past, value string, sum *model.Node, readers map[string][]*model.Node) ([]*model.Node, bool) {
	in := map[*model.Node]bool{}
	todo := []string{value}
	for len(todo) > 0 {
		v := todo[0]
		todo = todo[1:]
		if v == past || v == "" || s.constant(v) != nil {
			continue
		}
		n := s.v.G.Producer(v)
		if n == nil {
			return nil, false
		}
		if !in[n] {
			in[n] = true
			todo = append(todo, model.Reads(n)...)
		}
	}
	if len(in) == 0 {
		return nil, false
	}
	var l []*model.Node
	for n := range in {
		for _, o := range n.Outputs {
			if s.v.G.Output(o) != nil {
				return nil, false
			}
			for _, r := range readers[o] {
				if !in[r] && r != sum {
					return nil, false
				}
			}
		}
		l = append(l, n)
	}
	sort.Slice(l, func(i, j int) bool { return l[i].ID < l[j].ID })
	return l, true
}

// without is m with y = x in the place of a block.
func without(m *model.Model, b residualBlock) (*model.Model, error) {
	p := &model.Patch{Drop: []model.NodeID{b.sum.ID}, Redirect: map[string]string{b.sum.Outputs[0]: b.past}}
	for _, n := range b.inside {
		p.Drop = append(p.Drop, n.ID)
	}
	p.DropInits = optimizer.NewView(m, "remove-blocks").Unread(append([]*model.Node{b.sum}, b.inside...)...)
	return m.Apply(p)
}

// Check lists the blocks.
func (p *removeBlocks) Check(env *optimizer.Env, m *model.Model) ([]optimizer.Finding, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	var found []optimizer.Finding
	for _, b := range s.blocks() {
		f := optimizer.Describe("remove-blocks", append([]*model.Node{b.sum}, b.inside...)...)
		f.Label, f.Outcome, f.Reason = b.sum.Label(), optimizer.Applied, fmt.Sprintf("may go: %d nodes; the data will say which matter least", len(b.inside)+1)
		if why, ok := env.Scope.Allows(b.inside...); !ok {
			f.Outcome, f.Reason = optimizer.Refused, why
		}
		found = append(found, f)
	}
	return orNone(found), nil
}

func orNone(found []optimizer.Finding) []optimizer.Finding {
	if len(found) == 0 {
		found = append(found, optimizer.Finding{Rule: "remove-blocks", Outcome: optimizer.Nothing, Reason: "no sum of a value and a function of it alone"})
	}
	return found
}

// Apply removes blocks. fail.Usage without data.
func (p *removeBlocks) Apply(ctx context.Context, env *optimizer.Env, m *model.Model) (*model.Model, []optimizer.Finding, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, nil, err
	}
	if len(s.blocks()) == 0 {
		return m, orNone(nil), nil
	}
	if env.Data == nil || env.Data.Len() == 0 {
		return nil, nil, fail.New(fail.Usage, "data say which blocks matter least").Doing("remove blocks").Try("give a folder of typical inputs with --data")
	}
	items, err := load(ctx, env.Data, p.o.Samples)
	if err != nil {
		return nil, nil, err
	}
	want, err := s.answers(ctx, env, m, items)
	if err != nil {
		return nil, nil, err
	}
	var found []optimizer.Finding
	out := m
	for k := range p.o.Count {
		var best *model.Model
		var which residualBlock
		least := 0.0
		list := s.blocks()
		for i, b := range list {
			env.Progress.Report(int64(k*len(list)+i), int64(p.o.Count*len(list)), "without "+b.sum.Label())
			if _, ok := env.Scope.Allows(b.inside...); !ok {
				continue
			}
			next, err := without(out, b)
			if err != nil {
				return nil, nil, err
			}
			got, err := s.answers(ctx, env, next, items)
			if err != nil {
				return nil, nil, err
			}
			if d := distance(want, got); best == nil || d < least {
				best, which, least = next, b, d
			}
		}
		if best == nil {
			break
		}
		f := optimizer.Describe("remove-blocks", append([]*model.Node{which.sum}, which.inside...)...)
		f.Label = which.sum.Label()
		f.Reason = fmt.Sprintf("without it the outputs of %d items are %.3g of their squared size from the original: the least of %d blocks", len(items), least, len(list))
		if p.o.Distance > 0 && least > p.o.Distance {
			f.Outcome = optimizer.Refused
			f.Reason += fmt.Sprintf(", more than %.3g", p.o.Distance)
			found = append(found, f)
			break
		}
		f.Outcome, f.Gain.Nodes = optimizer.Applied, len(which.inside)+1
		found = append(found, f)
		out = best
		if s, err = newSpace(out); err != nil {
			return nil, nil, err
		}
	}
	return out, orNone(found), nil
}
