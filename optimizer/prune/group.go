package prune

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"fettle/model"
)

// Group is a set of channels that can be cut, each with everything that has to go with it.
type Group struct {
	Makers   []string // layers that make the channels
	Readers  []string // layers that sum over them
	Channels int
	Locked   map[string]int // why channels stay, and how many
	Joint    string         // a sum that the channels go through; "": none, they are inner ones of a block

	classes []class
	makers  []*maker
	nodes   []*model.Node
}

// class is one channel of a group.
type class struct {
	root int
	why  string // why it stays; "" where it may go
}

// String prints the group: makers, readers, channels, locks.
func (g *Group) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d channels of %s", g.Channels, strings.Join(g.Makers, ", "))
	if len(g.Readers) > 0 {
		fmt.Fprintf(&b, ", read by %s", strings.Join(g.Readers, ", "))
	}
	if g.Joint != "" {
		fmt.Fprintf(&b, ", joined by %s", g.Joint)
	}
	whys := make([]string, 0, len(g.Locked))
	for w := range g.Locked {
		whys = append(whys, w)
	}
	slices.Sort(whys)
	for _, w := range whys {
		fmt.Fprintf(&b, "; %d stay: %s", g.Locked[w], w)
	}
	return b.String()
}

// Groups lists the groups of m in the order of their first layer.
func Groups(m *model.Model) ([]*Group, error) {
	s, err := newSpace(m)
	if err != nil {
		return nil, err
	}
	return s.groups(), nil
}

func (s *space) groups() []*Group {
	byFamily := map[int]*Group{}
	seen := map[int]bool{}
	locks := map[int]string{}
	for a := range s.same { // in order, so that the first lock of a class is the one that is told
		if why, r := s.locks[a], find(s.same, a); why != "" && locks[r] == "" {
			locks[r] = why
		}
	}
	var out []*Group
	for i := range s.makers {
		m := &s.makers[i]
		f := find(s.family, m.atoms[0])
		g := byFamily[f]
		if g == nil {
			g = &Group{Locked: map[string]int{}}
			byFamily[f] = g
			out = append(out, g)
		}
		g.Makers = append(g.Makers, m.node.Label())
		g.makers = append(g.makers, m)
		g.nodes = append(g.nodes, m.node)
		for _, a := range m.atoms {
			r := find(s.same, a)
			if seen[r] {
				continue
			}
			seen[r] = true
			g.classes = append(g.classes, class{r, locks[r]})
			g.Channels++
			if locks[r] != "" {
				g.Locked[locks[r]]++
			}
		}
	}
	for a, why := range s.joints {
		if g := byFamily[find(s.family, a)]; g != nil && (g.Joint == "" || why < g.Joint) {
			g.Joint = why
		}
	}
	for i := range s.reads {
		told := map[*Group]bool{}
		for _, a := range s.reads[i].atoms {
			if g := byFamily[find(s.family, a)]; g != nil && !told[g] {
				told[g] = true
				g.Readers = append(g.Readers, s.reads[i].node.Label())
			}
		}
	}
	return out
}

// scores gives each class of g a number, small ones go first: the criterion over the weights that make a channel, in units of
// the mean of its layer, summed over layers.
func (s *space) scores(g *Group, criterion string) map[int]float64 {
	out := map[int]float64{}
	for _, m := range g.makers {
		w := s.v.Const(m.weight)
		var v []float64
		if criterion == "bn" && m.norm != nil {
			for _, x := range model.Data[float32](s.v.Const(m.norm.Inputs[1])) {
				v = append(v, math.Abs(float64(x)))
			}
		} else {
			v = norms(lines(w, m.axis), criterion)
		}
		mean := 0.0
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for i, a := range m.atoms {
			out[find(s.same, a)] += v[i] / max(mean, 1e-30)
		}
	}
	return out
}

// lines are the slices of w along an axis.
func lines(w *model.Tensor, axis int) [][]float32 {
	d := model.Data[float32](w)
	n, inner := w.Shape[axis], 1
	for _, k := range w.Shape[axis+1:] {
		inner *= k
	}
	out := make([][]float32, n)
	for at := 0; at < len(d); at += inner {
		c := at / inner % n
		out[c] = append(out[c], d[at:at+inner]...)
	}
	return out
}

// norms rates lines of weights: l1, l2 (also for bn without a normalisation), or geometric-median: the distance to all others.
//
// Source: Li et al. 2017, arXiv:1608.08710 (l1); He et al. 2019, arXiv:1811.00250 (geometric median).
func norms(l [][]float32, criterion string) []float64 {
	out := make([]float64, len(l))
	for i, a := range l {
		switch criterion {
		case "l1":
			for _, x := range a {
				out[i] += math.Abs(float64(x))
			}
		case "geometric-median":
			for _, b := range l {
				sum := 0.0
				for k := range a {
					d := float64(a[k]) - float64(b[k])
					sum += d * d
				}
				out[i] += math.Sqrt(sum)
			}
		default:
			for _, x := range a {
				out[i] += float64(x) * float64(x)
			}
			out[i] = math.Sqrt(out[i])
		}
	}
	return out
}
