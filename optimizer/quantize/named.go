package quantize

import (
	"fmt"
	"slices"
	"strings"

	"fettle/model"
	"fettle/optimizer"
)

// What quantizes all right and still deserves a word, as other data may not agree with it.

// mostNames is how many values or layers such a line names.
const mostNames = 4

// tellConstant names values that did not change over the whole calibration data: their step follows from one number.
func (j *job) tellConstant(r *ranges) {
	by := map[string][]string{}
	for v := range j.sel.group {
		by[r.sel.find(v)] = append(by[r.sel.find(v)], v)
	}
	var names []string
	for g, h := range r.groups {
		if h.n > 0 && h.constant() {
			l := slices.Sorted(slices.Values(by[g]))
			names = append(names, fmt.Sprintf("%s (%.4g)", l[0], h.most()))
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		j.say(optimizer.Applied, "constant values", fmt.Sprintf("%d values are the same number in all calibration data, which their steps are made for; other inputs would saturate: %s", len(names), shorten(names)))
	}
}

// constant reports whether all elements lay in one bin: they are equal up to a 2,048th of the largest.
func (h *histogram) constant() bool {
	used := 0
	for _, c := range h.count {
		if c > 0 {
			used++
		}
	}
	return used <= 1
}

// most is the element farthest from zero.
func (h *histogram) most() float64 {
	if -h.min > h.max {
		return h.min
	}
	return h.max
}

// tellZeros names layers with output channels whose weights are all 0; these channels get the scale 1 and give their bias.
func (j *job) tellZeros() {
	channels := 0
	var names []string
	for id, l := range j.sel.layers {
		t := j.sel.view.Const(l.weight)
		if t == nil || t.DType != model.Float32 || t.Len() == 0 {
			continue
		}
		n, inner := t.Shape[l.axis], 1
		for _, d := range t.Shape[l.axis+1:] {
			inner *= d
		}
		some := make([]bool, n)
		for i, x := range model.Data[float32](t) {
			some[i/inner%n] = some[i/inner%n] || x != 0
		}
		dead := 0
		for _, s := range some {
			if !s {
				dead++
			}
		}
		if dead > 0 {
			channels += dead
			names = append(names, fmt.Sprintf("%s (%d of %d)", j.float.Graph.Node(id).Label(), dead, n))
		}
	}
	if channels > 0 {
		slices.Sort(names)
		j.say(optimizer.Applied, "channels of zeros", fmt.Sprintf("%d output channels have no weight but 0 and give their bias: %s; prune-channels would take them out", channels, shorten(names)))
	}
}

// shorten lists the first names, and how many more there are.
func shorten(names []string) string {
	if n := len(names) - mostNames; n > 0 {
		return strings.Join(names[:mostNames], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ")
}
