package optimizer

import (
	"context"
	"fmt"
	"sync"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/ops"
)

// Step is the result of one entry of a recipe.
type Step struct {
	Pass     string
	Info     Info
	Model    *model.Model
	Hash     string
	Findings []Finding
	Proof    *Proof // nil: no inputs to compare on were given
	Cached   bool   // came from the cache
}

// Applied lists the findings that changed the model.
func (s *Step) Applied() []Finding {
	var out []Finding
	for _, f := range s.Findings {
		if f.Outcome == Applied {
			out = append(out, f)
		}
	}
	return out
}

// Run derives a model for each step of the recipe, the first from base. Steps that the cache knows are not run
// again. After each pass the graph is checked and its types inferred: a pass that breaks the model is
// fail.Internal naming it. On error the steps that succeeded are returned with it.
func Run(ctx context.Context, base *model.Model, recipe *Recipe, env Env) ([]Step, error) {
	if recipe.Model != "" && recipe.Model != "sha256:"+base.Hash() {
		return nil, fail.New(fail.Invalid, "the recipe was made for model %s, this is sha256:%s", recipe.Model, base.Hash()).
			Doing("run recipe").Try("take the line model = … out of the recipe to use it on another model")
	}
	if _, _, err := ops.Infer(base, nil); err != nil {
		return nil, fail.In(err, "check the model before the recipe", fail.Where{})
	}
	env.Seed, env.Base = recipe.Seed, base
	names := originals(base)
	m := base
	var steps []Step
	data := ""
	for i, rs := range recipe.Steps {
		if err := ctx.Err(); err != nil {
			return steps, fail.From(err)
		}
		p := env.Passes.Find(rs.Pass)
		if p == nil {
			return steps, fail.New(fail.Invalid, "unknown pass %q", rs.Pass).Doing("run recipe")
		}
		if err := configure(p, rs); err != nil {
			return steps, fail.In(err, "step "+rs.Pass, fail.Where{})
		}
		if p.Info().NeedsData && env.Data != nil && data == "" {
			if slow, ok := env.Data.(interface{ Ready(context.Context) error }); ok {
				if err := slow.Ready(ctx); err != nil {
					return steps, err
				}
			}
			data = env.Data.Hash()
		}
		key := fmt.Sprintf("%s\x00%s\x00%s\x00%d", base.Hash(), recipe.key(i+1), data, env.Limit)
		step, ok := env.Cache.get(key)
		if !ok {
			env.Progress.Report(int64(i), int64(len(recipe.Steps)), rs.Pass)
			var err error
			if step, err = runOne(ctx, p, rs, m, env, names); err != nil {
				return steps, fail.In(err, "step "+fmt.Sprint(i+1)+" ("+rs.Pass+")", fail.Where{})
			}
			env.Cache.put(key, step)
		} else {
			step.Cached = true
		}
		steps = append(steps, step)
		m = step.Model
	}
	return steps, nil
}

func runOne(ctx context.Context, p Pass, rs RecipeStep, m *model.Model, env Env, names map[model.NodeID]bool) (Step, error) {
	info := p.Info()
	env.Scope = nil
	if !rs.Scope.Empty() {
		var err error
		if env.Scope, err = rs.Scope.Compile(); err != nil {
			return Step{}, err
		}
	}
	var next *model.Model
	var found []Finding
	err := task.Safely("pass "+info.Name, func() (err error) {
		next, found, err = p.Apply(ctx, &env, m)
		return err
	})
	if err != nil {
		return Step{}, err
	}
	if err := consistent(m, next, names); err != nil {
		e := *fail.From(err)
		e.Kind, e.Why = fail.Internal, "the pass left a model that is not consistent: "+e.Why
		return Step{}, &e
	}
	s := Step{Pass: info.Name, Info: info, Model: next, Hash: next.Hash(), Findings: found}
	if len(env.Verify) > 0 && next != m {
		if s.Proof, err = Prove(ctx, env.runner(), m, next, env.Verify, info.Exactness); err != nil {
			return Step{}, fail.In(err, "compare with the step before", fail.Where{})
		}
		if !s.Proof.Within {
			return Step{}, fail.New(fail.Internal, "promises %s results, but output %s differs by %.3g (%.3g of its largest value)",
				info.Exactness, s.Proof.Worst, s.Proof.MaxAbs, s.Proof.MaxRel).Try("find the rewrite with a scope or a limit, and report it")
		}
		for i := range s.Findings {
			if s.Findings[i].Outcome == Applied && s.Findings[i].Proof == nil {
				s.Findings[i].Proof = s.Proof
			}
		}
	}
	return s, nil
}

// consistent checks what holds after every pass: a sound graph, types that can be inferred, the same inputs and
// outputs, and origins that are nodes of the imported model.
func consistent(before, after *model.Model, names map[model.NodeID]bool) error {
	if after == before {
		return nil
	}
	if err := after.Graph.Check(nil); err != nil {
		return err
	}
	inf, _, err := ops.Infer(after, nil)
	if err != nil {
		return err
	}
	if len(after.Graph.Outputs) != len(before.Graph.Outputs) {
		return fail.New(fail.Internal, "%d outputs became %d", len(before.Graph.Outputs), len(after.Graph.Outputs))
	}
	for i, o := range after.Graph.Outputs {
		was := before.Graph.Outputs[i]
		if o.Name != was.Name {
			return fail.New(fail.Internal, "output %q became %q", was.Name, o.Name)
		}
		if t := inf.Types[o.Name]; t.DType != model.Undefined && was.Type.DType != model.Undefined && t.DType != was.Type.DType {
			return fail.New(fail.Internal, "output %q became %s", o.Name, t)
		}
	}
	was, is := before.Graph.Free(), after.Graph.Free()
	if len(was) != len(is) {
		return fail.New(fail.Internal, "%d inputs became %d", len(was), len(is))
	}
	for i := range was {
		if was[i].Name != is[i].Name {
			return fail.New(fail.Internal, "input %q became %q", was[i].Name, is[i].Name)
		}
	}
	for _, n := range after.Graph.Nodes {
		if n.ID == "" || len(n.Origin) == 0 {
			return fail.New(fail.Internal, "node %s has no id or no origin", n.Label())
		}
		for _, o := range n.Origin {
			if !names[o] {
				return fail.New(fail.Internal, "node %s stands for %q, which the imported model does not have", n.Label(), o)
			}
		}
	}
	return nil
}

// originals are the ids that origins of derived nodes may name: those of base and what base itself stands for.
func originals(base *model.Model) map[model.NodeID]bool {
	out := map[model.NodeID]bool{}
	for _, n := range base.Graph.Nodes {
		out[n.ID] = true
		for _, o := range n.Origin {
			out[o] = true
		}
	}
	return out
}

// Cache keeps results of steps by what decides them: base hash, recipe prefix, data hash, seed. The newest
// entries stay. It is safe for several goroutines; a nil Cache keeps nothing.
type Cache struct {
	mu    sync.Mutex
	limit int
	steps map[string]Step
	order []string
}

// NewCache keeps at most limit steps.
func NewCache(limit int) *Cache { return &Cache{limit: max(limit, 1), steps: map[string]Step{}} }

func (c *Cache) get(key string) (Step, bool) {
	if c == nil {
		return Step{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.steps[key]
	return s, ok
}

func (c *Cache) put(key string, s Step) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.steps[key]; !ok {
		c.order = append(c.order, key)
	}
	c.steps[key] = s
	for len(c.order) > c.limit {
		delete(c.steps, c.order[0])
		c.order = c.order[1:]
	}
}
