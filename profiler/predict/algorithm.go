package predict

import (
	"math"
	"slices"
)

// A runtime has several kernels for one kind of layer, for example Winograd's and the direct one, and chooses by sizes. Their times have little in
// common, so each is a surface of its own, and which one runs is learned: a tree of questions about sizes.

// choice is a tree that tells which kernel a layer gets.
type choice struct {
	kernel  string // of a leaf
	ask     int    // which question
	at      float64
	no, yes *choice // at most at, more
}

const (
	leastOf = 12 // points from which a kernel has a surface of its own
	depth   = 6
)

// questions are what a runtime may look at: each size, whether it is a multiple of what kernels work on at once, and the marks.
func questions(dims []float64) []float64 {
	own := max(len(dims)-around, 0)
	var out []float64
	for _, d := range dims[:own] {
		most := 1.0
		for most < 16 && math.Mod(d, 2*most) == 0 {
			most *= 2
		}
		out = append(out, math.Log2(d), most, math.Log2(most*math.Ceil(d/16)))
	}
	return append(out, dims[own:max(len(dims)-places, own)]...)
}

// learnChoice makes the tree of points whose kernels are known. It splits where the two halves are purest (Breiman and others 1984, Gini's index).
func learnChoice(points []point, deep int) *choice {
	count := map[string]int{}
	for _, x := range points {
		count[x.Kernel]++
	}
	c := &choice{}
	for _, x := range points {
		if count[x.Kernel] > count[c.kernel] || c.kernel == "" {
			c.kernel = x.Kernel
		}
	}
	if len(count) == 1 || deep == 0 || len(points) < 4 {
		return c
	}
	asked := make([][]float64, len(points))
	for i, x := range points {
		asked[i] = questions(x.Dims)
	}
	best := impure(count, len(points)) - 1e-9
	order := make([]int, len(points))
	for q := range asked[0] {
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case asked[a][q] < asked[b][q]:
				return -1
			case asked[a][q] > asked[b][q]:
				return 1
			}
			return 0
		})
		low, high := map[string]int{}, map[string]int{}
		for k, n := range count {
			high[k] = n
		}
		for i, at := range order[:len(order)-1] {
			low[points[at].Kernel]++
			high[points[at].Kernel]--
			a, b := asked[at][q], asked[order[i+1]][q]
			if a == b {
				continue
			}
			if v := impure(low, i+1) + impure(high, len(order)-i-1); v < best {
				best, c.ask, c.at = v, q, (a+b)/2
				c.no, c.yes = &choice{}, &choice{}
			}
		}
	}
	if c.no == nil {
		return c
	}
	var low, high []point
	for i, x := range points {
		if asked[i][c.ask] <= c.at {
			low = append(low, x)
		} else {
			high = append(high, x)
		}
	}
	c.no, c.yes = learnChoice(low, deep-1), learnChoice(high, deep-1)
	return c
}

// impure is Gini's index of n things, times n.
func impure(count map[string]int, n int) float64 {
	same := 0.0
	for _, v := range count {
		same += float64(v) * float64(v)
	}
	return float64(n) - same/float64(n)
}

// of is the kernel of a layer of such dims.
func (c *choice) of(dims []float64) string {
	asked := questions(dims)
	for c.no != nil {
		if asked[c.ask] <= c.at {
			c = c.no
		} else {
			c = c.yes
		}
	}
	return c.kernel
}

// sort groups the points of a table by kind, and by kernel where a kind has several that were seen often. Kernels that were seen seldom are left out.
func (p *Predictor) sort(points []point) {
	kinds := map[string][]point{}
	for _, x := range points {
		kinds[x.Kind] = append(kinds[x.Kind], x)
	}
	for kind, all := range kinds {
		by := map[string][]point{}
		for _, x := range all {
			if x.Ns > 0 && x.Kernel != "" {
				by[x.Kernel] = append(by[x.Kernel], x)
			}
		}
		var often []point
		many := 0
		for _, x := range all {
			if len(by[x.Kernel]) >= leastOf {
				often = append(often, x)
			}
		}
		for _, v := range by {
			many += b2i(len(v) >= leastOf)
		}
		if many < 2 {
			p.kinds[kind] = all
			continue
		}
		p.choices[kind] = learnChoice(often, depth)
		r := &span{lo: slices.Clone(all[0].Dims), hi: slices.Clone(all[0].Dims)}
		for _, x := range all {
			r.add(x.Dims)
		}
		for kernel, v := range by {
			if len(v) >= leastOf {
				p.kinds[byKernel(kind, kernel)] = v
				p.spans[byKernel(kind, kernel)] = r
			}
		}
	}
}

func byKernel(kind, kernel string) string { return kind + " by " + kernel }

// key is the surface that tells a unit.
func (p *Predictor) key(u Unit) string {
	if c := p.choices[u.Kind]; c != nil {
		return byKernel(u.Kind, c.of(u.Dims))
	}
	return u.Kind
}

// span is a range of dims.
type span struct{ lo, hi []float64 }

func (s *span) add(dims []float64) {
	for k, d := range dims {
		s.lo[k], s.hi[k] = min(s.lo[k], d), max(s.hi[k], d)
	}
}
