package optimizer

import (
	"context"
	"fmt"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
)

// Rule is one graph rewrite. Pattern is about structure alone, Check about conditions: a pattern that is there
// but may not be replaced becomes a finding with the reason.
type Rule struct {
	Name    string
	Pattern func(v *View, n *model.Node) []*model.Node            // the nodes matched with n as the last, or nil
	Check   func(v *View, nodes []*model.Node) string             // "" or why not
	Replace func(v *View, nodes []*model.Node) (*Rewrite, string) // or why not, for what only shows on computing
}

// Rewrite is what Replace proposes.
type Rewrite struct {
	Patch model.Patch
	Gain  Gain
	Note  string // for the ledger, "" for none
}

// maxSweeps bounds a rule set that would go on for ever; real models need fewer than ten.
const maxSweeps = 100

// RulePass is a pass made of rules, run to a fixed point.
type RulePass struct {
	About Info
	Opts  any // pointer to the options, nil for none
	Rules func() []Rule
	// Prepare may derive the model to work on, once it is known that something matches; nil: m itself.
	Prepare func(m *model.Model) (*model.Model, error)
}

// Info is About.
func (p *RulePass) Info() Info { return p.About }

// Options is Opts.
func (p *RulePass) Options() any { return p.Opts }

// Check matches every rule once.
func (p *RulePass) Check(env *Env, m *model.Model) ([]Finding, error) {
	v := NewView(m, p.About.Name)
	_, found := v.collect(env, p.Rules(), 0)
	return orNothing(p.About.Name, found), nil
}

// Apply sweeps until no rule fires.
func (p *RulePass) Apply(ctx context.Context, env *Env, m *model.Model) (*model.Model, []Finding, error) {
	work := m
	if p.Prepare != nil {
		found, err := p.Check(env, m)
		if err != nil || !anyWith(found, Applied) {
			return m, found, err
		}
		if work, err = p.Prepare(m); err != nil {
			if fail.Is(err, fail.Unsupported) {
				for i := range found {
					if found[i].Outcome == Applied {
						found[i].Outcome, found[i].Reason, found[i].Gain = Refused, fail.From(err).Error(), Gain{}
					}
				}
				return m, found, nil
			}
			return nil, nil, err
		}
	}
	out, found, err := Sweep(ctx, env, work, p.About.Name, p.Rules())
	if err != nil {
		return nil, nil, err
	}
	if !anyWith(found, Applied) {
		out = m
	}
	return out, orNothing(p.About.Name, found), nil
}

func anyWith(fs []Finding, o Outcome) bool {
	for _, f := range fs {
		if f.Outcome == o {
			return true
		}
	}
	return false
}

func orNothing(rule string, fs []Finding) []Finding {
	if len(fs) > 0 {
		return fs
	}
	return []Finding{{Rule: rule, Outcome: Nothing, Reason: "no node matches"}}
}

// Sweep applies rules until nothing fires. Each sweep collects the patches that share no node (the first in
// topological order wins, the rest wait) and applies them as one new model. The refusals are those of the last
// sweep, so a place that was refused first and applied later is listed once.
func Sweep(ctx context.Context, env *Env, m *model.Model, step string, rules []Rule) (*model.Model, []Finding, error) {
	var applied []Finding
	for range maxSweeps {
		if err := ctx.Err(); err != nil {
			return nil, nil, fail.From(err)
		}
		v := NewView(m, step)
		left := 0
		if env.Limit > 0 {
			left = env.Limit - len(applied)
			if left <= 0 {
				return m, applied, nil
			}
		}
		patches, found := v.collect(env, rules, left)
		if len(patches) == 0 {
			return m, append(applied, found...), nil
		}
		next, err := m.Apply(patches...)
		if err != nil {
			return nil, nil, fail.In(err, "pass "+step, fail.Where{})
		}
		m = next
		for _, f := range found {
			if f.Outcome == Applied {
				applied = append(applied, f)
			}
		}
	}
	return nil, nil, fail.New(fail.Internal, "the rules of %s still fire after %d sweeps", step, maxSweeps)
}

// collect matches every rule at every node; limit 0 is no limit.
func (v *View) collect(env *Env, rules []Rule, limit int) ([]*model.Patch, []Finding) {
	var patches []*model.Patch
	var found []Finding
	claimed := map[model.NodeID]bool{}
	for _, n := range v.G.Nodes {
		for i := range rules {
			nodes := rules[i].Pattern(v, n)
			if nodes == nil || overlaps(claimed, nodes) {
				continue
			}
			f := describe(rules[i].Name, nodes)
			rw, why := v.try(env, &rules[i], nodes)
			if why != "" {
				f.Outcome, f.Reason = Refused, why
				found = append(found, f)
				continue
			}
			if limit > 0 && len(patches) == limit || dropped(claimed, rw.Patch.Drop) {
				continue
			}
			for _, d := range rw.Patch.Drop {
				claimed[d] = true
			}
			for _, d := range nodes {
				claimed[d.ID] = true
			}
			for _, a := range rw.Patch.Add {
				f.Made = append(f.Made, a.ID)
			}
			f.Outcome, f.Gain, f.Reason = Applied, rw.Gain, rw.Note
			if f.Gain.Nodes == 0 {
				f.Gain.Nodes = len(rw.Patch.Drop) - len(rw.Patch.Add)
			}
			patches = append(patches, &rw.Patch)
			found = append(found, f)
			break
		}
	}
	return patches, found
}

func (v *View) try(env *Env, r *Rule, nodes []*model.Node) (*Rewrite, string) {
	if why, ok := env.Scope.Allows(nodes...); !ok {
		return nil, why
	}
	if r.Check != nil {
		if why := r.Check(v, nodes); why != "" {
			return nil, why
		}
	}
	rw, why := r.Replace(v, nodes)
	if why == "" && rw == nil {
		why = "nothing to replace"
	}
	return rw, why
}

func overlaps(claimed map[model.NodeID]bool, nodes []*model.Node) bool {
	for _, n := range nodes {
		if claimed[n.ID] {
			return true
		}
	}
	return false
}

func dropped(claimed map[model.NodeID]bool, ids []model.NodeID) bool {
	for _, id := range ids {
		if claimed[id] {
			return true
		}
	}
	return false
}

func describe(rule string, nodes []*model.Node) Finding {
	f := Finding{Rule: rule, Origin: model.MergeOrigins(nodes...)}
	for i, n := range nodes {
		f.Nodes = append(f.Nodes, n.ID)
		if i > 0 {
			f.Label += " + "
		}
		f.Label += n.Label()
	}
	return f
}

// Describe starts a finding about nodes, for passes that are no rule sets.
func Describe(rule string, nodes ...*model.Node) Finding { return describe(rule, nodes) }

// View is what rules ask about a model: constants, readers, types.
type View struct {
	M    *model.Model
	G    *model.Graph
	Step string // name of the pass, for ids of new nodes
	inf  *ops.Inferred
}

// NewView looks at the main graph of m.
func NewView(m *model.Model, step string) *View { return &View{M: m, G: m.Graph, Step: step} }

// Const is the value of name where no caller can change it: an initializer, or what a Constant node holds; else
// nil. Before IR version 4 initializers had to be listed as inputs too, so there they count as constants.
func (v *View) Const(name string) *model.Tensor {
	if name == "" {
		return nil
	}
	if t := v.G.Constant(name, v.M.IRVersion < 4); t != nil {
		return t
	}
	if p := v.G.Producer(name); p != nil && p.Op == "Constant" && p.Domain == "" {
		if a := p.Attr("value"); a != nil {
			return a.T
		}
	}
	return nil
}

// NotConst says why Const(name) is nil.
func (v *View) NotConst(what, name string) string {
	if name == "" {
		return what + " is absent"
	}
	if v.G.Input(name) != nil && v.G.Init(name) != nil {
		return fmt.Sprintf("%s %q is also a graph input, so a caller may replace it; eliminate-dead with input_weights = \"fix\" makes it a constant", what, name)
	}
	return fmt.Sprintf("%s %q is not a constant", what, name)
}

// OtherReader names a reader of value besides the nodes given, or says that it is a graph output; "" for none.
func (v *View) OtherReader(value string, except ...*model.Node) string {
	if v.G.Output(value) != nil {
		return "the value " + value + " is an output of the graph"
	}
	for _, u := range v.G.Users(value) {
		if !contains(except, u) {
			return "its result is also read by " + u.Label()
		}
	}
	return ""
}

// Shared names a node besides those given that reads the constant, or "".
func (v *View) Shared(what, name string, except ...*model.Node) string {
	if v.G.Output(name) != nil {
		return what + " " + name + " is an output of the graph"
	}
	for _, u := range v.G.Users(name) {
		if !contains(except, u) {
			return fmt.Sprintf("%s %q is shared with %s", what, name, u.Label())
		}
	}
	return ""
}

func contains(l []*model.Node, n *model.Node) bool {
	for _, e := range l {
		if e.ID == n.ID {
			return true
		}
	}
	return false
}

// Type is what inference knows about a value; the zero Type where it knows nothing.
func (v *View) Type(name string) model.Type {
	if v.inf == nil {
		inf, _, err := ops.Infer(v.M, nil)
		if err != nil || inf == nil {
			inf = &ops.Inferred{Types: map[string]model.Type{}}
		}
		v.inf = inf
	}
	return v.inf.Types[name]
}

// Fresh is the id of the node that this step makes of nodes.
func (v *View) Fresh(nodes ...*model.Node) model.NodeID {
	ids := make([]model.NodeID, len(nodes))
	for i, n := range nodes {
		ids[i] = n.ID
	}
	return model.Derive(v.Step, ids...)
}

// Unread lists the initializers that only the nodes read, so that they go with them.
func (v *View) Unread(nodes ...*model.Node) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range nodes {
		for _, in := range n.Inputs {
			if in != "" && !seen[in] && v.G.Init(in) != nil && v.Shared("", in, nodes...) == "" {
				seen[in] = true
				out = append(out, in)
			}
		}
	}
	return out
}
