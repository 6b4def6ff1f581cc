package train

import (
	"math"

	"fettle/internal/fail"
)

// Line is a slice of a parameter: entry At of an axis.
type Line struct {
	Param    string
	Axis, At int
}

// Shrinker pulls groups of lines towards zero, each as a whole: small groups become exact zeros and stay so while the loss does not
// pull harder. Norms are in units of the mean norm of each axis at the start, so that large and small parameters count alike.
//
// Source: Yuan and Lin 2006 (group lasso); Parikh and Boyd 2014 (proximal step).
type Shrinker struct {
	p      *Pupil
	groups [][]piece
}

// piece is a line as places of a parameter, with the weight of its square.
type piece struct {
	param  int
	places []int32
	weight float64
}

// NewShrinker prepares groups for p. fail.Unsupported for parameters that are no weights or vectors.
func NewShrinker(p *Pupil, groups [][]Line) (*Shrinker, error) {
	t := p.tapes[0]
	index := map[string]int{}
	for i, q := range t.params {
		index[q.name] = i
	}
	s := &Shrinker{p: p}
	type axis struct {
		param string
		axis  int
	}
	sum, count := map[axis]float64{}, map[axis]int{}
	for _, g := range groups {
		var l []piece
		for _, line := range g {
			i, ok := index[line.Param]
			if !ok || !t.params[i].learn {
				continue // statistics of normalisations, constants
			}
			q := t.params[i]
			if q.order || line.Axis >= len(q.v.shape) {
				return nil, fail.New(fail.Unsupported, "the parameter %s lies in the order of values", q.name)
			}
			inner := 1
			for _, d := range q.v.shape[line.Axis+1:] {
				inner *= d
			}
			c := piece{param: i}
			n := q.v.shape[line.Axis]
			for at := range q.v.v {
				if at/inner%n == line.At {
					c.places = append(c.places, int32(at))
				}
			}
			k := axis{line.Param, line.Axis}
			for _, at := range c.places {
				sum[k] += float64(q.v.v[at]) * float64(q.v.v[at])
			}
			count[k]++
			l = append(l, c)
		}
		s.groups = append(s.groups, l)
	}
	for i, g := range groups {
		at := 0
		for _, line := range g {
			k := axis{line.Param, line.Axis}
			if at < len(s.groups[i]) && s.groups[i][at].param == index[line.Param] && count[k] > 0 {
				s.groups[i][at].weight = float64(count[k]) / math.Max(sum[k], 1e-30)
				at++
			}
		}
	}
	return s, nil
}

// Step multiplies each group by max(0, 1 - by/norm) and gives the number of groups that are zero.
func (s *Shrinker) Step(by float64) int {
	zeros := 0
	params := s.p.tapes[0].params
	for _, g := range s.groups {
		norm := 0.0
		for _, c := range g {
			sum := 0.0
			for _, at := range c.places {
				v := float64(params[c.param].v.v[at])
				sum += v * v
			}
			norm += c.weight * sum
		}
		norm = math.Sqrt(norm / float64(max(len(g), 1)))
		if norm == 0 {
			zeros++
			continue
		}
		f := float32(math.Max(0, 1-by/norm))
		if f == 0 {
			zeros++
		}
		if f == 1 {
			continue
		}
		for _, c := range g {
			v := params[c.param].v.v
			for _, at := range c.places {
				v[at] *= f
			}
		}
	}
	for _, t := range s.p.tapes {
		t.fast.changed()
	}
	return zeros
}
