package quantize

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// bound keeps layers float until at most max_drop percent of the answers differ. Layers are ranked by what reverting each alone
// wins; the shortest list of the first of them that holds the bound is found by halving. It reports whether the plan changed.
//
// Source: the ranking of accuracy-aware quantization in NNCF; there each prefix is tried in turn.
func (j *job) bound(ctx context.Context, p *plan, full *model.Model) (bool, error) {
	all, err := j.judge(ctx, full)
	if err != nil {
		return false, err
	}
	if all.drop() <= j.o.MaxDrop {
		j.say(optimizer.Nothing, "max_drop", fmt.Sprintf("%.2f %% differ with every layer quantized, %.2f %% may", all.drop(), j.o.MaxDrop))
		return false, nil
	}
	near, err := j.write(*p)
	if err != nil {
		return false, err
	}
	base, err := j.judge(ctx, near.model)
	if err != nil {
		return false, err
	}
	type ranked struct {
		id   model.NodeID
		name string
		gain float64
	}
	var layers []ranked
	for i, n := range j.float.Graph.Nodes {
		if near.sel.layers[n.ID] == nil {
			continue
		}
		j.env.Progress.Report(int64(i), int64(len(j.float.Graph.Nodes)), "rank layers")
		f, err := j.trial(ctx, p.without(n.ID, "tried"))
		if err != nil {
			return false, err
		}
		layers = append(layers, ranked{n.ID, n.Label(), base.gain(f)})
	}
	sort.SliceStable(layers, func(a, b int) bool { return layers[a].gain > layers[b].gain })
	prefix := func(n int) plan {
		out := *p
		for _, l := range layers[:n] {
			out = out.without(l.id, fmt.Sprintf("stays float so that at most %.2f %% of the answers differ", j.o.MaxDrop))
		}
		return out
	}
	log := ""
	lo, hi := 0, len(layers) // lo does not hold the bound; with every layer float it holds
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		j.env.Progress.Report(int64(len(layers)-(hi-lo)), int64(len(layers)), "search the bound")
		f, err := j.trial(ctx, prefix(mid))
		if err != nil {
			return false, err
		}
		log += fmt.Sprintf("; %d float: %.2f %%", mid, f.drop())
		if f.drop() <= j.o.MaxDrop {
			hi = mid
		} else {
			lo = mid
		}
	}
	for k, l := range layers {
		what := fmt.Sprintf("rank %d: reverting it alone wins %.3g", k+1, l.gain)
		if k < hi {
			j.say(optimizer.Refused, l.name, what+", stays float")
		}
	}
	j.say(optimizer.Applied, "max_drop", fmt.Sprintf("%.2f %% differ with every layer quantized, %.2f %% may%s: %d of %d layers stay float", all.drop(), j.o.MaxDrop, log, hi, len(layers)))
	*p = prefix(hi)
	return true, nil
}

// gain is what g is closer to the float model than f.
func (f fidelity) gain(g fidelity) float64 {
	if f.KL == f.KL && g.KL == g.KL {
		return f.KL - g.KL
	}
	return f.drop() - g.drop()
}

// trial judges a plan, rounded to nearest.
func (j *job) trial(ctx context.Context, p plan) (fidelity, error) {
	w, err := j.write(p)
	if err != nil {
		return fidelity{}, err
	}
	return j.judge(ctx, w.model)
}

// without is p with one more layer float.
func (p plan) without(id model.NodeID, why string) plan {
	out := plan{as: p.as, float: maps.Clone(p.float)}
	out.float[id] = why
	return out
}

// mixable are the types that layers choose from, the largest first; with integers between the layers a layer has both or none.
func (o Options) mixable() []string {
	if o.static() {
		return []string{"float", "int8"}
	}
	return []string{"fp16", "int8", "int4"}
}

// mix chooses a type for each layer: the least sum of divergences, measured with that layer alone in that type, within the
// size or the predicted time that the options allow. Layers that a user chose a type for keep it.
//
// Source: the choice as a knapsack as in Dong et al. 2019, arXiv:1911.03852 (HAWQ-V2), with measured costs.
func (j *job) mix(ctx context.Context, p *plan) error {
	if j.o.Budget == "time" && j.env.Cost == nil {
		return fail.New(fail.Usage, "budget = \"time\" needs a target to predict for").At(fail.Where{Option: "budget"}).Try("name one with --board, or use budget = \"size\"")
	}
	var layers []*layer
	rest := plan{as: map[model.NodeID]string{}, float: map[model.NodeID]string{}}
	for _, n := range j.float.Graph.Nodes {
		if l := j.sel.layers[n.ID]; l != nil {
			layers = append(layers, l)
			rest.float[n.ID] = "tried"
		}
	}
	types := j.o.mixable()
	choices := make([][]option, len(layers))
	full := int64(0)
	for i, l := range layers {
		raw := int64(len(j.sel.view.Const(l.weight).Raw))
		full += raw
		for k, as := range types {
			if fixed := p.chosen(l.node.ID); fixed != "" && fixed != as {
				continue
			}
			j.env.Progress.Report(int64(i*len(types)+k), int64(len(layers)*len(types)), "measure types of weights")
			o := option{as: as, bytes: raw, model: j.float}
			if as != "float" {
				one := plan{as: map[model.NodeID]string{l.node.ID: as}, float: maps.Clone(rest.float)}
				delete(one.float, l.node.ID)
				w, err := j.write(one)
				if err != nil {
					return err
				}
				if w.sel.layers[l.node.ID] == nil { // this layer cannot have the type
					continue
				}
				f, err := j.judge(ctx, w.model)
				if err != nil {
					return err
				}
				o.bytes, o.model = raw-w.saved[l.node.ID], w.model
				if o.cost = f.KL; f.KL != f.KL {
					o.cost = f.drop()
				}
			}
			choices[i] = append(choices[i], o)
		}
	}
	if j.o.Budget == "time" {
		return j.mixTime(p, layers, choices)
	}
	for i := range choices {
		for k := range choices[i] {
			choices[i][k].weighs = choices[i][k].bytes
		}
	}
	budget := int64(float64(full) * j.o.Size / 100)
	picked, held := knapsack(choices, budget)
	text := fmt.Sprintf("%d of %d bytes of weights%s", p.take(layers, choices, picked), full, counted(types, choices, picked))
	if !held {
		text += fmt.Sprintf("; %d bytes cannot be held, this is the least", budget)
	}
	j.say(optimizer.Applied, "mixed", text)
	return nil
}

// mixTime is the choice within a share of the predicted time. A layer weighs what it adds to the time of its fastest type.
func (j *job) mixTime(p *plan, layers []*layer, choices [][]option) error {
	whole, err := j.env.Cost.PredictNs(j.float)
	if err != nil {
		return fail.In(err, "predict the time", fail.Where{})
	}
	fastest := whole
	for i := range choices {
		least := math.Inf(1)
		delta := make([]float64, len(choices[i]))
		for k, o := range choices[i] {
			ns := whole
			if o.model != j.float {
				if ns, err = j.env.Cost.PredictNs(o.model); err != nil {
					return fail.In(err, "predict the time", fail.Where{})
				}
			}
			delta[k] = ns - whole
			least = min(least, delta[k])
		}
		for k := range choices[i] {
			choices[i][k].weighs = int64(math.Ceil(delta[k] - least))
		}
		if len(choices[i]) > 0 {
			fastest += least
		}
	}
	budget := whole * j.o.Time / 100
	picked, held := knapsack(choices, int64(budget-fastest))
	now := fastest
	for i, o := range picked {
		if o >= 0 {
			now += float64(choices[i][o].weighs)
		}
	}
	p.take(layers, choices, picked)
	text := fmt.Sprintf("%.3g of %.3g ms predicted%s", now/1e6, whole/1e6, counted(j.o.mixable(), choices, picked))
	if !held {
		text += fmt.Sprintf("; %.3g ms cannot be held, this is the least", budget/1e6)
	}
	j.say(optimizer.Applied, "mixed", text)
	return nil
}

// chosen is the type that a user chose for a layer, or "".
func (p *plan) chosen(id model.NodeID) string {
	if p.float[id] != "" {
		return "float"
	}
	return p.as[id]
}

// take puts what was picked into the plan and gives its bytes.
func (p *plan) take(layers []*layer, choices [][]option, picked []int) (bytes int64) {
	for i, l := range layers {
		if o := picked[i]; o >= 0 {
			bytes += choices[i][o].bytes
			if as := choices[i][o].as; as != "float" {
				p.as[l.node.ID] = as
			} else if p.float[l.node.ID] == "" {
				p.float[l.node.ID] = "stays float: the time holds without its integers"
			}
		}
	}
	return bytes
}

// counted says how many layers have each type.
func counted(types []string, choices [][]option, picked []int) string {
	count, text := map[string]int{}, ""
	for i, o := range picked {
		if o >= 0 {
			count[choices[i][o].as]++
		}
	}
	for _, as := range types {
		text += fmt.Sprintf(", %d layers %s", count[as], as)
	}
	return text
}

// option is one type for a layer.
type option struct {
	as     string
	bytes  int64
	weighs int64 // against the budget
	cost   float64
	model  *model.Model // with this layer alone in the type
}

// buckets of size in which the knapsack counts; sizes are rounded up, so the budget holds.
const buckets = 1 << 13

// knapsack picks one option of each layer with the least sum of costs that fits the budget; where none fits, the lightest
// of each. -1 where a layer has no option.
func knapsack(layers [][]option, budget int64) (picked []int, fits bool) {
	picked = make([]int, len(layers))
	least := int64(0)
	for i, l := range layers {
		picked[i] = -1
		for k, o := range l {
			if picked[i] < 0 || o.weighs < l[picked[i]].weighs {
				picked[i] = k
			}
		}
		if picked[i] >= 0 {
			least += l[picked[i]].weighs
		}
	}
	if least >= budget || budget <= 0 {
		return picked, least <= budget
	}
	unit := max((budget+buckets-1)/buckets, 1)
	size := int(budget / unit)
	const never = 1e300
	best := slices.Repeat([]float64{never}, size+1)
	best[0] = 0
	took := make([][]int8, len(layers))
	for i, l := range layers {
		next := slices.Repeat([]float64{never}, size+1)
		took[i] = slices.Repeat([]int8{-1}, size+1)
		for s, c := range best {
			if c == never {
				continue
			}
			if len(l) == 0 {
				next[s] = c
			}
			for k, o := range l {
				if t := s + int((o.weighs+unit-1)/unit); t <= size && c+o.cost < next[t] {
					next[t], took[i][t] = c+o.cost, int8(k)
				}
			}
		}
		best = next
	}
	at := 0
	for s, c := range best {
		if c < best[at] {
			at = s
		}
	}
	if best[at] == never { // it fits, but not in whole buckets
		return picked, true
	}
	for i := len(layers) - 1; i >= 0; i-- {
		if k := took[i][at]; k >= 0 {
			picked[i] = int(k)
			at -= int((layers[i][k].weighs + unit - 1) / unit)
		}
	}
	return picked, true
}
