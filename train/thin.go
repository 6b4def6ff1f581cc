package train

import (
	"math"
	"sort"
)

// Thin makes the smallest weights of every matrix zero, so that exactly the share given is, rounded to whole weights; they stay zero until
// the next call. Vectors stay.
//
// Source: Zhu and Gupta 2017, arXiv:1710.01878.
func (p *Pupil) Thin(share float64) {
	params := p.tapes[0].params
	p.masks = make([][]bool, len(params))
	for i, q := range params {
		if !q.learn || !isMatrix(q.v.shape) {
			continue
		}
		order := make([]int, len(q.v.v))
		for k := range order {
			order[k] = k
		}
		size := func(k int) float64 { return math.Abs(float64(q.v.v[k])) }
		sort.SliceStable(order, func(a, b int) bool { return size(order[a]) < size(order[b]) })
		p.masks[i] = make([]bool, len(order))
		for _, k := range order[:int(math.Round(share*float64(len(order))))] {
			p.masks[i][k] = true
		}
	}
	p.hold()
}

// hold makes masked weights zero again.
func (p *Pupil) hold() {
	if p.masks == nil {
		return
	}
	for i, q := range p.tapes[0].params {
		for k, zero := range p.masks[i] {
			if zero {
				q.v.v[k] = 0
				if p.step.average != nil {
					p.step.average[i][k] = 0
				}
			}
		}
	}
	for _, t := range p.tapes {
		t.fast.changed()
	}
}

// remask takes the zeros that there are as masked, after a state of a thinned pupil was restored.
func (p *Pupil) remask() {
	params := p.tapes[0].params
	p.masks = make([][]bool, len(params))
	for i, q := range params {
		if q.learn && isMatrix(q.v.shape) {
			p.masks[i] = make([]bool, len(q.v.v))
			for k, v := range q.v.v {
				p.masks[i][k] = v == 0
			}
		}
	}
}
