package app

import (
	"context"
	"fmt"
	"sync"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
)

// layerTimes is what each layer of a model takes on a target, in floats and on 8-bit integers, with all layers in the one and in
// the other form: by the target's table of kernels where it knows all of them, else measured. From it the time of any mixture is reckoned.
type layerTimes struct {
	how         string                   // where the times come from
	float, int8 map[model.NodeID]float64 // ns, of layers with products, by id
	restFloat   float64                  // of everything else
	restInt8    float64
	origins     map[model.NodeID][]model.NodeID
}

// stepTime is the time of what ran as one, and the imported nodes that it stands for.
type stepTime struct {
	origin []model.NodeID
	ns     float64
}

// timesOf distributes the times of steps over the layers of m: a step that covers several of them is shared in equal parts.
func timesOf(m *model.Model, layers map[model.NodeID]bool, steps []stepTime) (each map[model.NodeID]float64, rest float64) {
	by := map[model.NodeID][]model.NodeID{}
	for _, n := range m.Graph.Nodes {
		if layers[n.ID] {
			for _, o := range n.Origin {
				by[o] = append(by[o], n.ID)
			}
		}
	}
	each = map[model.NodeID]float64{}
	for _, l := range steps {
		covered := map[model.NodeID]bool{}
		for _, o := range l.origin {
			for _, id := range by[o] {
				covered[id] = true
			}
		}
		if len(covered) == 0 {
			rest += l.ns
		}
		for id := range covered {
			each[id] += l.ns / float64(len(covered))
		}
	}
	return each, rest
}

// timesQuery says what to measure.
type timesQuery struct {
	float, int8 *model.Model
	target      string
	threads     int
	asks        Asks
	progress    task.Progress
}

// layerTimes are the times of both forms of a model on a target.
func (a *App) layerTimes(ctx context.Context, q timesQuery) (*layerTimes, error) {
	info, err := Describe(q.float)
	if err != nil {
		return nil, err
	}
	t := &layerTimes{origins: map[model.NodeID][]model.NodeID{}}
	layers := map[model.NodeID]bool{}
	for _, l := range info.Layers {
		if l.MACs > 0 {
			layers[model.NodeID(l.ID)] = true
		}
	}
	for _, n := range q.float.Graph.Nodes {
		t.origins[n.ID] = n.Origin
	}
	float, err := a.foretoldSteps(ctx, q.float, q)
	var int8 []stepTime
	if err == nil {
		int8, err = a.foretoldSteps(ctx, q.int8, q)
	}
	t.how = fmt.Sprintf("predicted for %s by its table of kernels", targetName(q.target))
	if err != nil {
		if fail.Is(err, fail.Cancelled) {
			return nil, err
		}
		t.how = "measured on " + targetName(q.target)
		if !fail.Is(err, fail.NotFound) { // there is a table, and it does not reach
			t.how += ": " + fail.From(err).Why
		}
		if float, err = a.measuredSteps(ctx, q.float, q, info.MACs); err != nil {
			return nil, fail.In(err, "measure the layers in floats", fail.Where{})
		}
		if int8, err = a.measuredSteps(ctx, q.int8, q, info.MACs); err != nil {
			return nil, fail.In(err, "measure the layers on 8-bit integers", fail.Where{})
		}
	}
	t.float, t.restFloat = timesOf(q.float, layers, float)
	t.int8, t.restInt8 = timesOf(q.float, layers, int8)
	return t, nil
}

// foretoldSteps are the steps of m by the target's table of kernels. NotFound without one, Unsupported where it does not reach.
func (a *App) foretoldSteps(ctx context.Context, m *model.Model, q timesQuery) ([]stepTime, error) {
	p, err := a.Predict(ctx, m, q.target, q.threads, nil)
	if err != nil {
		return nil, err
	}
	var out []stepTime
	for _, l := range p.Layers {
		s := stepTime{ns: l.Ns}
		for _, id := range l.Nodes {
			s.origin = append(s.origin, m.Graph.Node(id).Origin...)
		}
		out = append(out, s)
	}
	return out, nil
}

// measuredSteps are those of a run on the target.
func (a *App) measuredSteps(ctx context.Context, m *model.Model, q timesQuery, macs int64) ([]stepTime, error) {
	p, err := a.Profile(ctx, ProfileRequest{Model: m, Name: "layers", Target: q.target, Threads: q.threads, Runs: defaultRuns(macs) / 2, Launches: 1,
		Asks: q.asks, Manner: Wait, Progress: q.progress})
	if err != nil {
		return nil, err
	}
	var out []stepTime
	for _, l := range p.Layers {
		s := stepTime{ns: l.P50Ns}
		for _, o := range l.Origin {
			s.origin = append(s.origin, model.NodeID(o))
		}
		out = append(out, s)
	}
	return out, nil
}

// predict reckons the time of m, in which layers compute on integers where weights and values stand behind DequantizeLinear. What
// stands between the layers is taken to change with the share of layers that do.
func (t *layerTimes) predict(m *model.Model) float64 {
	dequantized := func(v string) bool {
		p := m.Graph.Producer(v)
		return p != nil && p.Op == "DequantizeLinear"
	}
	same := map[model.NodeID]model.NodeID{} // origin -> layer of the float model
	for id := range t.float {
		for _, o := range t.origins[id] {
			same[o] = id
		}
	}
	integer := map[model.NodeID]bool{}
	for _, n := range m.Graph.Nodes {
		if len(n.Inputs) > 1 && dequantized(n.Inputs[0]) && dequantized(n.Inputs[1]) {
			for _, o := range n.Origin {
				if id, ok := same[o]; ok {
					integer[id] = true
				}
			}
		}
	}
	sum, all, part := 0.0, 0.0, 0.0
	for id, ns := range t.float {
		all += ns
		if q, ok := t.int8[id]; integer[id] && ok {
			sum, part = sum+q, part+ns
		} else {
			sum += ns
		}
	}
	if all == 0 {
		return sum + t.restFloat
	}
	return sum + t.restFloat + (t.restInt8-t.restFloat)*part/all
}

// targetCost predicts for a target. It asks the table of kernels, or measures, on first use: the first model that it is asked for is the one in floats.
type targetCost struct {
	a     *App
	ctx   context.Context // of the recipe: the interface of passes carries none
	data  optimizer.Data
	q     timesQuery
	once  sync.Once
	times *layerTimes
	err   error
}

// PredictNs is part of optimizer.Cost.
func (c *targetCost) PredictNs(m *model.Model) (float64, error) {
	c.once.Do(func() {
		c.q.float = m
		if c.q.int8, c.err = c.a.plainInt8(c.ctx, m, c.data); c.err == nil {
			c.times, c.err = c.a.layerTimes(c.ctx, c.q)
		}
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.times.predict(m), nil
}

// plainInt8 is m with every layer on 8-bit integers, for its time: few items are enough.
func (a *App) plainInt8(ctx context.Context, m *model.Model, data optimizer.Data) (*model.Model, error) {
	r := optimizer.Recipe{Schema: 1, Seed: 1, Steps: []optimizer.RecipeStep{{Pass: "quantize", Options: map[string]any{"samples": 8, "correct_bias": false}}}}
	env := a.passEnv(nil)
	env.Data = data
	steps, err := optimizer.Run(ctx, m, &r, env)
	if err != nil {
		return nil, err
	}
	return steps[0].Model, nil
}
