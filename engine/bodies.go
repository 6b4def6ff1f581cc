package engine

import (
	"context"
	"fmt"
	"strings"

	"fettle/model"
	"fettle/ops"
)

// maxBodies is how many plans one subgraph may have in a session, one for each combination of shapes that it is run with. A
// body whose shapes grow with every iteration would be planned in every iteration; from here on it runs on the reference
// kernels.
const maxBodies = 8

// body is a subgraph of a Loop, Scan, If or SequenceMap, planned for the shapes of one call of it; session nil: it runs on
// the reference kernels.
type body struct {
	session *Session
	inputs  []string // of the plan: the subgraph's own, then outer names that change
}

// bodies are the subgraphs of one session.
type bodies struct {
	made  map[*model.Graph]map[string]*body
	plans int // for tests: how many were compiled
}

// evaluator runs a node that has subgraphs: their bodies run as plans of their own. consts are the outer values that never
// change, which those plans pack.
func (s *Session) evaluator(consts map[string]*model.Tensor) *ops.Evaluator {
	return &ops.Evaluator{Model: s.Plan.Model, Body: func(ctx context.Context, m *model.Model, g *model.Graph, args []*model.Tensor, scope map[string]*model.Tensor) ([]*model.Tensor, bool, error) {
		b := s.body(ctx, m, g, args, scope, consts)
		if b.session == nil {
			return nil, false, nil
		}
		in := make(map[string]*model.Tensor, len(b.inputs))
		for i, name := range b.inputs {
			if i < len(g.Inputs) {
				in[name] = args[i]
			} else {
				in[name] = scope[name]
			}
		}
		out, err := b.session.Run(ctx, in)
		return out, true, err
	}}
}

// body finds the plan of g for arguments and outer values like these, or makes it.
func (s *Session) body(ctx context.Context, m *model.Model, g *model.Graph, args []*model.Tensor, scope, consts map[string]*model.Tensor) *body {
	outer := model.Outer(g)
	var key strings.Builder
	name := func(t *model.Tensor) bool {
		if t == nil || t.DType == model.String || t.DType == model.Sequence || t.None || t.DType.Bits() == 0 {
			return false
		}
		fmt.Fprintf(&key, "%d%v ", t.DType, t.Shape)
		return true
	}
	none := &body{}
	if len(args) != len(g.Inputs) {
		return none
	}
	for _, t := range args {
		if !name(t) {
			return none
		}
	}
	for _, o := range outer {
		if !name(scope[o]) {
			return none
		}
	}
	if s.subs.made == nil {
		s.subs.made = map[*model.Graph]map[string]*body{}
	}
	known := s.subs.made[g]
	if known == nil {
		known = map[string]*body{}
		s.subs.made[g] = known
	}
	if b := known[key.String()]; b != nil {
		return b
	}
	if len(known) >= maxBodies {
		return none
	}
	b := &body{}
	known[key.String()] = b
	sub, opt := &model.Graph{Name: g.Name, Nodes: g.Nodes, Values: g.Values, Outputs: g.Outputs, Inits: g.Inits}, s.Plan.Options
	for i, v := range g.Inputs {
		b.inputs = append(b.inputs, v.Name)
		sub.Inputs = append(sub.Inputs, model.Value{Name: v.Name, Type: model.TypeOf(args[i])})
	}
	for _, o := range outer {
		if t := consts[o]; t != nil && t == scope[o] {
			sub.Inits = append(sub.Inits[:len(sub.Inits):len(sub.Inits)], &model.Init{Name: o, Tensor: t})
			continue
		}
		b.inputs = append(b.inputs, o)
		sub.Inputs = append(sub.Inputs, model.Value{Name: o, Type: model.TypeOf(scope[o])})
	}
	opt.Shapes, opt.Types = nil, nil
	s.subs.plans++
	p, err := s.Plan.compile(ctx, m.WithGraph(sub), opt)
	if err != nil || !p.useful() {
		return b // the reference kernels run it, or say better what is wrong
	}
	if ses, err := p.newSession(s.crew); err == nil {
		b.session = ses
	}
	return b
}

// useful reports whether a plan does anything that the reference kernels would not: a body of a few integers is faster there.
func (p *Plan) useful() bool {
	var macs int64
	for _, s := range p.Steps {
		if s.Kernel != "reference" {
			macs += max(s.MACs, s.Bytes/16)
		}
	}
	return macs >= 1024
}

// closeBodies frees the sessions of subgraphs; their workers are those of s.
func (s *Session) closeBodies() {
	for _, known := range s.subs.made {
		for _, b := range known {
			if b.session != nil {
				b.session.Close()
			}
		}
	}
	s.subs.made = nil
}

// BodyPlans is how many plans of subgraphs the session has made so far.
func (s *Session) BodyPlans() int {
	n := s.subs.plans
	for _, known := range s.subs.made {
		for _, b := range known {
			if b.session != nil {
				n += b.session.BodyPlans()
			}
		}
	}
	return n
}
