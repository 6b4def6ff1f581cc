package quantize

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"

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

// mixable are the types that layers choose from, the largest first.
var mixable = []string{"fp16", "int8", "int4"}

// mix chooses a type for each layer: the least sum of divergences, measured with that layer alone in that type, within the
// size that the options allow.
//
// Source: the choice as a knapsack as in Dong et al. 2019, arXiv:1911.03852 (HAWQ-V2), with measured costs.
func (j *job) mix(ctx context.Context, p *plan) error {
	var layers []*layer
	for _, n := range j.float.Graph.Nodes {
		if l := j.sel.layers[n.ID]; l != nil {
			layers = append(layers, l)
		}
	}
	rest := plan{as: map[model.NodeID]string{}, float: map[model.NodeID]string{}}
	for _, l := range layers {
		rest.float[l.node.ID] = "tried"
	}
	choices := make([][]option, len(layers))
	full := int64(0)
	for i, l := range layers {
		full += int64(len(j.sel.view.Const(l.weight).Raw))
		for k, as := range mixable {
			j.env.Progress.Report(int64(i*len(mixable)+k), int64(len(layers)*len(mixable)), "measure types of weights")
			one := plan{as: map[model.NodeID]string{l.node.ID: as}, float: maps.Clone(rest.float)}
			delete(one.float, l.node.ID)
			w, err := j.write(one)
			if err != nil {
				return err
			}
			o := option{as: as, bytes: int64(len(j.sel.view.Const(l.weight).Raw)) - w.saved[l.node.ID]}
			if w.sel.layers[l.node.ID] == nil { // this layer cannot have the type
				continue
			}
			f, err := j.judge(ctx, w.model)
			if err != nil {
				return err
			}
			if o.cost = f.KL; f.KL != f.KL {
				o.cost = f.drop()
			}
			choices[i] = append(choices[i], o)
		}
	}
	budget := int64(float64(full) * j.o.Size / 100)
	picked, held := knapsack(choices, budget)
	sum, count := int64(0), map[string]int{}
	for i, l := range layers {
		if o := picked[i]; o >= 0 {
			p.as[l.node.ID] = choices[i][o].as
			sum += choices[i][o].bytes
			count[choices[i][o].as]++
		}
	}
	text := fmt.Sprintf("%d of %d bytes of weights", sum, full)
	for _, as := range mixable {
		text += fmt.Sprintf(", %d layers %s", count[as], as)
	}
	if !held {
		text += fmt.Sprintf("; %d bytes cannot be held, this is the least", budget)
	}
	j.say(optimizer.Applied, "mixed", text)
	return nil
}

// option is one type for a layer.
type option struct {
	as    string
	bytes int64
	cost  float64
}

// buckets of size in which the knapsack counts; sizes are rounded up, so the budget holds.
const buckets = 1 << 13

// knapsack picks one option of each layer with the least sum of costs whose bytes fit the budget; where none fits, the smallest
// of each. -1 where a layer has no option.
func knapsack(layers [][]option, budget int64) (picked []int, fits bool) {
	picked = make([]int, len(layers))
	least := int64(0)
	for i, l := range layers {
		picked[i] = -1
		for k, o := range l {
			if picked[i] < 0 || o.bytes < l[picked[i]].bytes {
				picked[i] = k
			}
		}
		if picked[i] >= 0 {
			least += l[picked[i]].bytes
		}
	}
	if least > budget || budget <= 0 {
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
				if t := s + int((o.bytes+unit-1)/unit); t <= size && c+o.cost < next[t] {
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
			at -= int((layers[i][k].bytes + unit - 1) / unit)
		}
	}
	return picked, true
}
