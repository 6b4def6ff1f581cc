package app

import (
	"context"
	"sync"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/optimizer"
	"fettle/profiler"
)

// layerTimes is what each layer of a model takes on a target, in floats and on 8-bit integers, measured with all layers in the one and in
// the other form. From it the time of any mixture is reckoned.
type layerTimes struct {
	float, int8 map[model.NodeID]float64 // ns, of layers with products, by id
	restFloat   float64                  // of everything else
	restInt8    float64
	origins     map[model.NodeID][]model.NodeID
}

// timesOf distributes the measured steps over the layers of m: a step that covers several of them is shared in equal parts.
func timesOf(m *model.Model, layers map[model.NodeID]bool, p *profiler.Profile) (each map[model.NodeID]float64, rest float64) {
	by := map[string][]model.NodeID{}
	for _, n := range m.Graph.Nodes {
		if layers[n.ID] {
			for _, o := range n.Origin {
				by[string(o)] = append(by[string(o)], n.ID)
			}
		}
	}
	each = map[model.NodeID]float64{}
	for _, l := range p.Layers {
		covered := map[model.NodeID]bool{}
		for _, o := range l.Origin {
			for _, id := range by[o] {
				covered[id] = true
			}
		}
		if len(covered) == 0 {
			rest += l.P50Ns
		}
		for id := range covered {
			each[id] += l.P50Ns / float64(len(covered))
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

// measureLayers profiles both forms of a model on a target.
func (a *App) measureLayers(ctx context.Context, q timesQuery) (*layerTimes, error) {
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
	run := func(m *model.Model) (*profiler.Profile, error) {
		return a.Profile(ctx, ProfileRequest{Model: m, Name: "layers", Target: q.target, Threads: q.threads, Runs: defaultRuns(info.MACs) / 2, Launches: 1,
			Asks: q.asks, Manner: Wait, Progress: q.progress})
	}
	p, err := run(q.float)
	if err != nil {
		return nil, fail.In(err, "measure the layers in floats", fail.Where{})
	}
	t.float, t.restFloat = timesOf(q.float, layers, p)
	if p, err = run(q.int8); err != nil {
		return nil, fail.In(err, "measure the layers on 8-bit integers", fail.Where{})
	}
	t.int8, t.restInt8 = timesOf(q.float, layers, p)
	return t, nil
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

// targetCost predicts for a target. It measures on first use: the first model that it is asked for is the one in floats.
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
			c.times, c.err = c.a.measureLayers(c.ctx, c.q)
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
