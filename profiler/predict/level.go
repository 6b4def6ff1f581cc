package predict

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"fettle/internal/stats"
)

// common is how far whole networks were from the sum of their units' predictions, as the share of error that does not even out: the
// share with which nine of ten measured networks lie within.
func (p *Predictor) common() float64 {
	type sums struct{ ns, mean, single, all float64 }
	nets := map[int]*sums{}
	p.apart(func(x point, e, d float64) {
		n := nets[x.Net]
		if n == nil {
			n = &sums{}
			nets[x.Net] = n
		}
		d *= x.Ns
		n.ns, n.mean = n.ns+x.Ns, n.mean+x.Ns*math.Exp(-e)
		n.single, n.all = n.single+d*d, n.all+d
	})
	var need []float64
	for _, n := range nets {
		if n.all > 0 {
			e := (n.mean - n.ns) / 1.645
			need = append(need, math.Sqrt(max(e*e-n.single, 0))/n.all)
		}
	}
	if len(need) < 8 {
		return 0.3
	}
	return min(max(stats.Quantile(need, 0.9), 0.15), 1) // what networks have in common is never quite known
}

// level takes out of the points what all units of a network had in common: the target was slower while it was measured. The
// surfaces are then made anew.
func (p *Predictor) level() {
	all := p.levels()
	var each []float64
	for _, v := range all {
		each = append(each, v)
	}
	if len(each) == 0 {
		return
	}
	// other work makes a target slower and never faster: what the quieter networks showed is the target's own, and what was faster is a fact
	own := stats.Quantile(each, 0.4)
	p.shift(func(net int) float64 { return min(own-all[net], 0) })
}

// calm takes out of the points what the network measured beside each says of its moment, as far as slower moments went along with slower networks.
func (p *Predictor) calm() {
	slow := map[int]float64{}
	var gauges []float64
	for _, w := range p.table.Wholes {
		if w.Gauge > 0 {
			gauges = append(gauges, w.Gauge)
		}
	}
	if len(gauges) < 8 {
		return
	}
	quiet := stats.Quantile(gauges, 0.1)
	for _, w := range p.table.Wholes {
		if w.Gauge > 0 {
			slow[w.Net] = max(math.Log(w.Gauge/quiet), 0)
		}
	}
	// the level of networks over the slowness of their moments, through the middle of both
	all := p.levels()
	var x, y []float64
	for net, v := range all {
		x, y = append(x, slow[net]), append(y, v)
	}
	mx, my := stats.Mean(x), stats.Mean(y)
	num, den := 0.0, 0.0
	for i := range x {
		num, den = num+(x[i]-mx)*max(min(y[i]-my, 0.5), -0.5), den+(x[i]-mx)*(x[i]-mx)
	}
	if den <= 0 {
		return
	}
	p.pace = min(max(num/den, 0), 2)
	p.shift(func(net int) float64 { return -p.pace * slow[net] })
}

// levels are what the units of each network have in common, of the logarithm of their times.
func (p *Predictor) levels() map[int]float64 {
	type sums struct{ e, w []float64 }
	nets := map[int]*sums{}
	p.apart(func(x point, e, _ float64) {
		if nets[x.Net] == nil {
			nets[x.Net] = &sums{}
		}
		n := nets[x.Net]
		n.e, n.w = append(n.e, e), append(n.w, math.Sqrt(x.Ns)) // long ones are told better
	})
	all := map[int]float64{}
	for net, n := range nets {
		trust := float64(len(n.e)) / float64(len(n.e)+3) // few units say little of the whole
		all[net] = trust * middle(n.e, n.w)
	}
	return all
}

// shift moves the logarithms of all times of a network.
func (p *Predictor) shift(by func(net int) float64) {
	for kind := range p.kinds {
		points := p.kinds[kind]
		for i := range points {
			points[i].Ns *= math.Exp(by(points[i].Net))
		}
	}
	p.surfaces = map[string]*surface{}
}

// apart visits every point with the error of its logarithm when its network is left out, and the deviation that one has by itself.
func (p *Predictor) apart(each func(x point, e, deviation float64)) {
	for _, kind := range slices.Sorted(maps.Keys(p.kinds)) {
		s := p.surface(kind)
		points := p.kinds[kind]
		if s == nil || len(s.x) != len(points) {
			continue
		}
		nets := make([]int, len(points))
		for i, x := range points {
			nets[i] = x.Net
		}
		for i, e := range s.apart(nets) {
			each(points[i], e, max(s.spread*math.Sqrt(s.signal*s.shape.noise), math.Abs(s.whole[i])/2))
		}
	}
}

// middle is the weighted median of v.
func middle(v, w []float64) float64 {
	at := make([]int, len(v))
	sum := 0.0
	for i := range v {
		at[i], sum = i, sum+w[i]
	}
	slices.SortFunc(at, func(a, b int) int { return cmp.Compare(v[a], v[b]) })
	below := 0.0
	for _, i := range at {
		if below += w[i]; below >= sum/2 {
			return v[i]
		}
	}
	return 0
}
