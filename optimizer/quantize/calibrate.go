package quantize

import (
	"context"
	"iter"
	"maps"
	"math"
	"slices"
	"sort"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// bins of a histogram: at least eight of them for each of 256 steps, whatever the sign of the values.
const bins = 4096

// histogram counts values in equal bins over [-limit, limit]. It doubles its limit when a value lies outside
// and then joins neighbouring bins, so its memory is fixed and nothing has to be known before.
type histogram struct {
	limit    float64 // 0: nothing seen but zeros
	min, max float64 // exact
	n        int64
	count    [bins]int64
}

func (h *histogram) add(values []float32) error {
	lo, hi := float32(0), float32(0)
	for i, v := range values {
		if v-v != 0 {
			return fail.New(fail.Invalid, "calibration makes %v at element %d", v, i)
		}
		lo, hi = min(lo, v), max(hi, v)
	}
	h.min, h.max = math.Min(h.min, float64(lo)), math.Max(h.max, float64(hi))
	h.grow(math.Max(h.max, -h.min))
	h.n += int64(len(values))
	if h.limit == 0 {
		h.count[bins/2] += int64(len(values))
		return nil
	}
	scale := float32(bins / 2 / h.limit)
	for _, v := range values {
		h.count[min(int(v*scale+bins/2), bins-1)]++
	}
	return nil
}

func (h *histogram) grow(to float64) {
	if to == 0 || to < h.limit {
		return
	}
	if h.limit == 0 {
		h.limit = math.Exp2(math.Floor(math.Log2(to)) + 1)
		return
	}
	for h.limit <= to {
		var joined [bins]int64
		for i, c := range h.count {
			joined[bins/4+i/2] += c
		}
		h.count = joined
		h.limit *= 2
	}
}

// ranges are the histograms of groups.
type ranges struct {
	sel    *selection
	groups map[string]*histogram
}

// calibrate runs the model on samples, with every marked value as an output.
func calibrate(ctx context.Context, env *optimizer.Env, m *model.Model, s *selection, samples int) (*ranges, error) {
	r := &ranges{sel: s, groups: map[string]*histogram{}}
	var values []string
	for v := range s.group {
		values = append(values, v)
	}
	sort.Strings(values)
	for _, v := range values {
		if g := s.find(v); r.groups[g] == nil {
			r.groups[g] = &histogram{}
		}
	}
	tapped, at := expose(m, s, values)
	total := min(samples, env.Data.Len())
	kept := r.progress(env, m, values, total)
	done := kept.load()
	if done == total {
		return r, nil
	}
	session, err := env.Open(ctx, tapped)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	err = from(ctx, env.Data, done, samples, func(i int, inputs map[string]*model.Tensor) error {
		if err := finite(inputs); err != nil {
			return err.Try("take item %d, counted from 0, out of the data, or look at how it is preprocessed", i)
		}
		out, err := session.Run(ctx, inputs)
		if err != nil {
			return err
		}
		env.Progress.Report(int64(i+1), int64(total), "calibrate")
		for _, v := range values {
			t := inputs[v]
			if t == nil {
				t = m.Graph.Init(v) // the default of an input
			}
			if k, ok := at[v]; ok {
				t = out[k]
			}
			if t == nil || t.DType != model.Float32 {
				return fail.New(fail.Internal, "the runner gave no float32 for a value").At(fail.Where{Tensor: v})
			}
			if err := r.groups[s.find(v)].add(model.Data[float32](t)); err != nil {
				return fail.From(fail.In(err, "", fail.Where{Tensor: v})).Try("the float model itself gives no number here on item %d, counted from 0: mend it, or take the item out", i)
			}
		}
		return kept.save(i+1, i+1 == total)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// finite refuses inputs of floats that hold what is no number.
func finite(inputs map[string]*model.Tensor) *fail.Error {
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if t := inputs[name]; t != nil && t.DType == model.Float32 {
			for i, v := range model.Data[float32](t) {
				if v-v != 0 {
					return fail.New(fail.Invalid, "calibration data holds %v at element %d", v, i).At(fail.Where{Tensor: name})
				}
			}
		}
	}
	return nil
}

// expose is m with values as further outputs, and where each of them is.
func expose(m *model.Model, s *selection, values []string) (*model.Model, map[string]int) {
	g := &model.Graph{Name: m.Graph.Name, Nodes: m.Graph.Nodes, Inputs: m.Graph.Inputs, Inits: m.Graph.Inits, Values: m.Graph.Values}
	g.Outputs = append(g.Outputs, m.Graph.Outputs...)
	at := map[string]int{}
	for i, o := range g.Outputs {
		at[o.Name] = i
	}
	for _, v := range values {
		if _, ok := at[v]; ok || m.Graph.Input(v) != nil {
			continue
		}
		at[v] = len(g.Outputs)
		g.Outputs = append(g.Outputs, model.Value{Name: v, Type: s.types[v]})
	}
	return m.WithGraph(g), at
}

// step is how a group of values is quantized: q = round(x/scale) + zero, in [lo, hi].
type step struct {
	scale  float32
	zero   int
	lo, hi int
}

func chooseSteps(r *ranges, o Options) (map[string]step, error) {
	out := map[string]step{}
	lo, hi := bounds(o)
	fixed := r.sel.unit()
	for g, h := range r.groups {
		switch {
		case o.Activations == "int16": // symmetric, as 16-bit kernels want it; so many steps need no clipping
			out[g] = symmetric(math.Max(h.max, -h.min), lo, hi)
		case fixed[g]: // from 0 to 1 whatever the data says; 1 itself is one step short, as in every runtime
			out[g] = step{scale: 1 / float32(hi-lo+1), zero: lo, lo: lo, hi: hi}
		case o.Calibration == "mse":
			out[g] = h.leastError(lo, hi)
		case o.Calibration == "entropy":
			out[g] = h.leastDivergence(lo, hi)
		case o.Calibration == "percentile":
			low, high := h.percentile(o.Percentile)
			out[g] = asymmetric(low, high, lo, hi)
		default:
			out[g] = asymmetric(h.min, h.max, lo, hi)
		}
	}
	return out, nil
}

// bounds are the integers of values.
func bounds(o Options) (lo, hi int) {
	switch o.Activations {
	case "uint8":
		return 0, 255
	case "int16":
		return -32767, 32767
	}
	return -128, 127
}

// symmetric spreads the steps over [-most, most].
func symmetric(most float64, lo, hi int) step {
	s := step{scale: float32(most / float64(hi)), lo: lo, hi: hi}
	if !(s.scale >= 1e-30) {
		s.scale = 1
	}
	return s
}

// asymmetric spreads the steps over [min, max], which holds 0, so that 0 falls on a step.
func asymmetric(min, max float64, lo, hi int) step {
	scale := float32((max - min) / float64(hi-lo))
	if !(scale >= 1e-30) { // constant zero, or too small to divide by
		return step{scale: 1, zero: lo, lo: lo, hi: hi}
	}
	zero := lo - int(math.RoundToEven(min/float64(scale)))
	if zero < lo {
		zero = lo
	}
	if zero > hi {
		zero = hi
	}
	return step{scale: scale, zero: zero, lo: lo, hi: hi}
}

// leastError tries to clip the range to between 20 and 100 % and keeps what quantizes the histogram with the
// least mean square error: a few large values cost less than coarse steps for all others.
//
// Source: Nagel et al. 2021, arXiv:2106.08295, section 3.1 (MSE based range).
func (h *histogram) leastError(lo, hi int) step {
	best := asymmetric(h.min, h.max, lo, hi)
	if h.limit == 0 {
		return best
	}
	least := h.squareError(best, math.Inf(1))
	for s := range h.clipped(lo, hi) {
		if e := h.squareError(s, least); e < least {
			least, best = e, s
		}
	}
	return best
}

// clipped gives the steps for 20 to 99 % of the range.
func (h *histogram) clipped(lo, hi int) iter.Seq[step] {
	return func(yield func(step) bool) {
		for k := 99; k >= 20; k-- {
			a := float64(k) / 100
			// Clip both ends alike, and each end alone: one-sided tails are common before a Relu.
			for _, c := range [][2]float64{{a, a}, {a, 1}, {1, a}} {
				if c[0] != c[1] && (h.min == 0 || h.max == 0) {
					continue // the same as both alike
				}
				if !yield(asymmetric(h.min*c[0], h.max*c[1], lo, hi)) {
					return
				}
			}
		}
	}
}

// percentile is the range that leaves share percent of the values inside, the rest in equal parts below and above. It
// holds 0.
func (h *histogram) percentile(share float64) (low, high float64) {
	if h.limit == 0 || share >= 100 {
		return h.min, h.max
	}
	out := float64(h.n) * (1 - share/100) / 2
	width := h.limit / (bins / 2)
	sum := 0.0
	for i := range h.count { // the bin that the limit falls into stays inside
		if sum += float64(h.count[i]); sum > out {
			low = (float64(i) - bins/2) * width
			break
		}
	}
	sum = 0
	for i := bins - 1; i >= 0; i-- {
		if sum += float64(h.count[i]); sum > out {
			high = (float64(i) + 1 - bins/2) * width
			break
		}
	}
	return math.Min(math.Max(low, h.min), 0), math.Max(math.Min(high, h.max), 0)
}

// leastDivergence clips as leastError does, and keeps what changes the distribution of the values least.
//
// Source: Migacz 2017, 8-bit Inference with TensorRT (KL calibration); here each end has its own limit.
func (h *histogram) leastDivergence(lo, hi int) step {
	if h.n-h.count[bins/2] < 16*int64(hi-lo+1) {
		return h.leastError(lo, hi) // too few to know a distribution
	}
	best := asymmetric(h.min, h.max, lo, hi)
	least := h.divergence(best)
	for s := range h.clipped(lo, hi) {
		if d := h.divergence(s); d < least {
			least, best = d, s
		}
	}
	return best
}

// divergence is KL(values, those outside at the ends || values inside, spread evenly within each step). The bin of zeros is left
// out: rectified values would be decided by it alone, and zero is exact in any case.
func (h *histogram) divergence(s step) float64 {
	width := h.limit / (bins / 2)
	var mass, filled [1 << 8]float64
	first, last, below, above, inside := -1, -1, 0.0, 0.0, 0.0
	at := func(i int) int {
		x := (float64(i) + 0.5 - bins/2) * width
		return int(min(max(math.RoundToEven(x/float64(s.scale))+float64(s.zero), float64(s.lo-1)), float64(s.hi+1))) - s.lo
	}
	for i, c := range h.count {
		if c == 0 || i == bins/2 {
			continue
		}
		switch q := at(i); {
		case q < 0:
			below += float64(c)
		case q > s.hi-s.lo:
			above += float64(c)
		default:
			if first < 0 {
				first = i
			}
			last = i
			mass[q] += float64(c)
			filled[q]++
			inside += float64(c)
		}
	}
	if first < 0 {
		return math.Inf(1)
	}
	sum, all := 0.0, inside+below+above
	for i := first; i <= last; i++ {
		p := float64(h.count[i])
		if p == 0 || i == bins/2 {
			continue
		}
		q := at(i)
		even := mass[q] / filled[q] / inside
		if i == first {
			p += below
		}
		if i == last {
			p += above
		}
		sum += p / all * math.Log(p/all/even)
	}
	return sum
}

// squareError sums count * (x - dequantized)^2 over the bins; it may stop once above limit.
func (h *histogram) squareError(s step, limit float64) float64 {
	sum := 0.0
	width := h.limit / (bins / 2)
	for i, c := range h.count {
		if c == 0 {
			continue
		}
		x := (float64(i) + 0.5 - bins/2) * width
		q := math.RoundToEven(x/float64(s.scale)) + float64(s.zero)
		q = min(max(q, float64(s.lo)), float64(s.hi))
		d := x - (q-float64(s.zero))*float64(s.scale)
		if sum += float64(c) * d * d; sum > limit {
			break
		}
	}
	return sum
}
