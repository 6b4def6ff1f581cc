package predict

import (
	"math"
	"math/rand/v2"

	"fettle/model"
)

// Probe is a network made for measuring: layers of the kinds that networks are built of, with sizes drawn at random. Kernels are measured
// inside of networks because there they run as they will: behind one another, with weights that other layers have pushed out of the cache.
type Probe struct {
	Seed  uint64
	Style Style
}

// Style is a family of networks.
type Style int

// The styles of probes.
const (
	Residual Style = iota // 3x3 and 1x1, sums, ReLU
	Inverted              // expand, depthwise, project
	Mixed                 // SiLU, concatenations, pools, enlargements
	Little                // of any of these, so small that a cache holds all of it
	Odd                   // windows, strides and functions that few networks have
	Tokens                // attention
	// the first probes are not drawn: they hold the ends of what the others draw
	SmallEnds
	ThinEnds
	WideEnds
	OddEnds
)

// Ends is how many probes hold the ends; they are drawn twice, so that they can be measured in two forms.
const Ends = 4

// turns are the styles in the order in which they are drawn, again and again.
func turns() []Style {
	return []Style{Residual, Inverted, Odd, Little, Mixed, Residual, Odd, Inverted, Little, Tokens}
}

// NewProbe draws the i-th probe of a seed.
func NewProbe(seed, i uint64) Probe {
	if i < 2*Ends {
		return Probe{Seed: seed, Style: SmallEnds + Style(i%Ends)}
	}
	return Probe{Seed: seed<<32 ^ i*2654435761, Style: turns()[i%uint64(len(turns()))]}
}

// limits of a probe's layers: what a small board answers soon.
const (
	mostMACs    = 160e6 // of a layer
	mostWeights = 10 << 20
	mostValues  = 3 << 19
	netMACs     = 300e6
	netWeights  = 24 << 20
)

type draft struct {
	b       *model.Builder
	r       *rand.Rand
	c, h, w int
	x       string
	n       int
	macs    float64
	weights float64
	bn      bool
	act     string
	fill    []byte
	full    bool
	sides   []string // heads of a detector
	rows    int      // of them
	most    struct { // of the network
		channels      float64
		macs, weights float64
	}
}

// Build makes the network. Weights are of no meaning but for their size: a short pattern, which travels in little space.
func (p Probe) Build() (*model.Model, error) {
	r := rand.New(rand.NewPCG(p.Seed, 1))
	d := &draft{b: model.NewBuilder("probe", 17), r: r, fill: pattern()}
	d.c = pick(r, 3, 3, 3, 1, 4)
	d.h = pick(r, 32, 64, 96, 128, 160, 192, 192, 224, 224, 256, 320)
	d.w = d.h
	d.most.channels, d.most.macs, d.most.weights = 2100, netMACs, netWeights
	switch p.Style {
	case SmallEnds, ThinEnds, WideEnds, OddEnds:
		return d.ends(p.Style)
	case Tokens:
		return d.tokens()
	case Little:
		d.h = pick(r, 16, 24, 28, 32, 32, 48, 64, 96)
		d.w = d.h
		d.most.channels, d.most.macs, d.most.weights = pick(r, 16.0, 32, 64, 128, 256), math.Exp2(19+8*r.Float64()), math.Exp2(15+7*r.Float64())
	}
	d.x = d.b.Input("input", model.Float32, model.FixedShape(1, d.c, d.h, d.w))
	d.bn = r.IntN(2) == 0
	d.act = pick(r, "relu", "relu", "relu6", "silu")
	switch p.Style {
	case Residual:
		d.act = "relu"
	case Inverted:
		d.act = pick(r, "relu6", "relu6", "relu", "silu", "hardswish")
	case Mixed:
		d.act = pick(r, "silu", "silu", "relu")
	case Odd:
		d.act = pick(r, "relu", "leaky", "silu", "sigmoid")
	}
	d.conv(d.channels(8, 100), pick(r, 3, 3, 5, 7), pick(r, 2, 2, 2, 1, max(1, 2-64/d.h)), 1, d.act)
	if p.Style != Inverted && d.h > 16 && r.IntN(2) == 0 {
		d.pool(pick(r, 3, 3, 2), 2)
	}
	for d.n < 300 && !d.full {
		for range 1 + r.IntN(3) { // blocks of one size of picture
			switch {
			case d.full:
			case p.Style == Residual, p.Style == Little && r.IntN(2) == 0:
				d.residual()
			case p.Style == Inverted, p.Style == Little && r.IntN(3) > 0:
				d.inverted()
			case p.Style == Odd, p.Style == Little:
				d.odd()
			default:
				d.mixed()
			}
		}
		if d.h < pick(r, 4, 8, 8, 12, 16) || d.full {
			break
		}
		d.down(p.Style)
	}
	if p.Style == Mixed && r.IntN(2) == 0 {
		d.conv(d.channels(16, 160), 1, 1, 1, pick(r, "", ""))
		d.b.Output(d.x, model.Float32, model.FixedShape(1, d.c, d.h, d.w))
		return d.b.Model()
	}
	if r.IntN(2) == 0 && !d.full && d.most.channels > 256 {
		d.conv(d.channels(256, 2100), 1, 1, 1, d.act)
	}
	d.head()
	return d.b.Model()
}

// channels draws a number of channels: mostly multiples of 8, as networks have them, and others, as pruning leaves them.
func (d *draft) channels(lo, hi float64) int {
	hi = min(hi, d.most.channels)
	lo = min(lo, hi)
	v := math.Exp(math.Log(lo) + d.r.Float64()*(math.Log(hi)-math.Log(lo)))
	switch d.r.IntN(12) {
	case 0: // the ends, so that what lies between is enclosed
		return int(pick(d.r, lo, hi))
	case 1, 2, 3:
		return max(1, int(math.Round(v)))
	case 4, 5, 6:
		return max(16, 16*int(math.Round(v/16)))
	}
	return max(8, 8*int(math.Round(v/8)))
}

// wide draws channels for a convolution of k x k from what there is, within the limits.
func (d *draft) wide(lo, hi float64, k int) int {
	per := float64(d.c * k * k)
	most := min(mostMACs/(per*float64(d.h*d.w)), mostWeights/4/per, mostValues/float64(d.h*d.w))
	return d.channels(min(lo, max(most, 8)), max(min(hi, most), 9))
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
