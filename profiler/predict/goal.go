package predict

import (
	"fmt"
	"math"
)

// Verdicts of a goal, from best to worst.
const (
	Met        = "met"        // measured, and within
	Likely     = "likely"     // above the floor by as much as engines need
	Unlikely   = "unlikely"   // above the floor, below what engines reach
	Impossible = "impossible" // below the floor
	Unknown    = "unknown"    // the target has no floor
)

// Use is the share of a processor's peak that whole networks reach: the range over engines. Dense ones are of convolutions over all
// channels, thin ones of depthwise convolutions.
//
// Sources: /docs/measuring.md, "What engines reach": 36 to 50 % of the 8-bit peak for ResNet-50 on Cortex-A72, 22 to 31 % for MobileNetV2.
type Use struct{ Low, High float64 }

// Dense and Thin are what engines reach where nothing was measured.
func Dense() Use { return Use{0.36, 0.50} }

// Thin is Dense for depthwise convolutions.
func Thin() Use { return Use{0.22, 0.31} }

// Network is what of a model a goal depends on.
type Network struct {
	Name       string
	Works      []Work // its layers; the number type is set by Judge
	Parameters int64
	FileBytes  int64
	Classes    int // outputs of its last layer, 0: not known
}

// Goal is what is wanted; 0: no limit.
type Goal struct {
	Ns    float64
	Bytes float64
}

// Way is one way to a goal that this network does not reach as it is.
type Way struct {
	What   string     `json:"what"`
	Ms     [2]float64 `json:"ms"`             // 0: no time is predicted
	Top1   float64    `json:"top1,omitempty"` // published, in percent; 0: not known
	Enough bool       `json:"enough"`         // it may hold the limit
	Why    string     `json:"why"`
}

// Answer is what can be said of one limit before anything is measured.
type Answer struct {
	Limit   string  `json:"limit"`
	Verdict string  `json:"verdict"`
	Why     string  `json:"why"`
	Floor   float64 `json:"floor"` // nanoseconds or bytes, 0: not known
	Ways    []Way   `json:"ways,omitempty"`
}

// Floors are the least times of a whole network, in nanoseconds.
type Floors struct {
	Direct   float64 `json:"float_direct_ns"`
	Winograd float64 `json:"float_winograd_ns"`
	Int8     float64 `json:"int8_ns"`
	MACs     float64 `json:"macs"`
	Why      string  `json:"why"` // the arithmetic, or why there are none
}

// Whole sums the floors of all layers that multiply. Zero with the reason where one has none.
func Whole(m Machine, works []Work) Floors {
	var f Floors
	var direct, small string
	for _, w := range works {
		if w.MACs <= 0 {
			continue
		}
		f.MACs += float64(w.MACs)
		best, why := Floor(m, with(w, "float32", w.Window))
		one := w
		one.Strides = []int{2, 2} // no Winograd
		plain, why1 := Floor(m, with(one, "float32", []int{1, 1}))
		q, why2 := Floor(m, with(w, "int8", w.Window))
		for _, p := range []struct {
			v   *float64
			why string
		}{{best, why}, {plain, why1}, {q, why2}} {
			if p.v == nil {
				return Floors{Why: p.why}
			}
		}
		f.Winograd, f.Direct, f.Int8 = f.Winograd+*best, f.Direct+*plain, f.Int8+*q
	}
	if f.MACs == 0 {
		return Floors{Why: "it multiplies nothing that is counted"}
	}
	_, direct = products(m, Work{Op: "all layers", DType: "float32", MACs: int64(f.MACs)})
	_, small = products(m, Work{Op: "all layers", DType: "int8", MACs: int64(f.MACs)})
	f.Why = fmt.Sprintf("floats: %s; with Winograd %s; 8 bits: %s", direct, ms(f.Winograd), small)
	return f
}

func with(w Work, dtype string, window []int) Work {
	w.DType, w.Window = dtype, window
	return w
}

// trimmed are published prunings of networks that many start from: by products and parameters of the original.
type trimmed struct {
	name         string
	macs, params float64
	to, top1     float64
	source       string
}

func trims() []trimmed {
	return []trimmed{{"ResNet-50", 4.09e9, 25.6e6, 1.12e9, 74, "AutoSlim 74.0 % at 1.0 GMAC, GReg-2 73.9 % at 1.3"}}
}

// student is a network that is small from the start.
type student struct {
	name       string
	macs, top1 float64
}

// students are by their papers, ImageNet at 224 x 224.
func students() []student {
	return []student{{"MobileNetV2", 0.300e9, 71.9}, {"MobileNetV3-Large", 0.219e9, 75.2}, {"EfficientNet-B0", 0.390e9, 77.1}, {"ShuffleNetV2", 0.146e9, 69.4}}
}

// Latency judges a limit of time, from the facts of a machine alone. used is the best share of the peak that this engine has shown on this board;
// 0: not measured. measured is the time of the network as it is, 0: none.
func Latency(m Machine, n Network, limit, used, measured float64) Answer {
	a := Answer{Limit: "latency ≤ " + ms(limit)}
	f := Whole(m, n.Works)
	if f.MACs == 0 {
		a.Verdict, a.Why = Unknown, "there is no floor: "+f.Why
		return a
	}
	a.Floor = min(f.Winograd, f.Int8)
	by := "8 bits"
	if f.Winograd < f.Int8 {
		by = "floats with Winograd"
	}
	use := Dense()
	if used > 0 {
		use.High = used
		use.Low = min(use.Low, used)
	}
	likely := a.Floor / use.High
	switch {
	case measured > 0 && measured <= limit:
		a.Verdict, a.Why = Met, "measured "+ms(measured)
	case limit < a.Floor:
		a.Verdict = Impossible
		a.Why = fmt.Sprintf("not with this network on this board: its floor is %s with %s. %s", ms(a.Floor), by, f.Why)
	case limit < likely:
		a.Verdict = Unlikely
		a.Why = fmt.Sprintf("above the floor of %s (%s), but engines reach %.0f to %.0f %% of the peak: %s to %s. %s", ms(a.Floor), by, 100*use.Low, 100*use.High, ms(likely), ms(a.Floor/use.Low), f.Why)
	default:
		a.Verdict = Likely
		a.Why = fmt.Sprintf("engines reach %.0f to %.0f %% of the peak: %s to %s with %s. %s", 100*use.Low, 100*use.High, ms(likely), ms(a.Floor/use.Low), by, f.Why)
	}
	if a.Verdict == Impossible || a.Verdict == Unlikely {
		a.Ways = ways(m, n, f, limit, use)
	}
	return a
}

// ways lists what may help, the nearest to the network first.
func ways(m Machine, n Network, f Floors, limit float64, use Use) []Way {
	span := func(floor float64, u Use) [2]float64 { return [2]float64{floor / u.High / 1e6, floor / u.Low / 1e6} }
	out := []Way{{What: "8-bit integers, all layers", Ms: span(f.Int8, use), Enough: f.Int8/use.High <= limit,
		Why: fmt.Sprintf("floor %s, at %.0f to %.0f %% of the peak", ms(f.Int8), 100*use.Low, 100*use.High)}}
	lo, hi := limit*use.Low/f.Int8, limit*use.High/f.Int8
	if lo < 1 {
		out = append(out, Way{What: fmt.Sprintf("prune to %.0f to %.0f %% of the products, in 8 bits", 100*lo, 100*min(1, hi)), Ms: [2]float64{limit / 1e6, limit / 1e6}, Enough: true,
			Why: fmt.Sprintf("%s; at 100 %% of the peak it would be %.0f %%", work(lo*f.MACs, hi*f.MACs), 100*min(1, limit/f.Int8))})
	}
	close := func(a, b float64) bool { return math.Abs(a-b) <= 0.03*b }
	for _, t := range trims() {
		if close(f.MACs, t.macs) && close(float64(n.Parameters), t.params) {
			floor := f.Int8 * t.to / f.MACs
			out = append(out, Way{What: fmt.Sprintf("%s pruned to %.2g GMAC, in 8 bits", t.name, t.to/1e9), Ms: span(floor, use), Top1: t.top1, Enough: floor/use.High <= limit, Why: t.source})
		}
	}
	if n.Classes == 1000 {
		for _, s := range students() {
			floor, _ := products(m, Work{Op: "Conv", DType: "int8", MACs: int64(s.macs), Window: []int{1, 1}})
			if floor == nil {
				continue
			}
			out = append(out, Way{What: "another network: " + s.name + " in 8 bits", Ms: span(*floor, Thin()), Top1: s.top1, Enough: *floor/Thin().High <= limit,
				Why: fmt.Sprintf("%.3g GMAC, floor %s, at %.0f to %.0f %% of the peak as depthwise networks reach", s.macs/1e9, ms(*floor), 100*Thin().Low, 100*Thin().High)})
		}
	}
	return out
}

// work is a range of products, in billions or millions.
func work(lo, hi float64) string {
	if hi < 1e8 {
		return fmt.Sprintf("%.2g to %.2g MMAC", lo/1e6, hi/1e6)
	}
	return fmt.Sprintf("%.2g to %.2g GMAC", lo/1e9, hi/1e9)
}

// Size judges a limit of bytes: what number types make of the parameters, and what then has to be cut.
func Size(n Network, limit float64) Answer {
	a := Answer{Limit: fmt.Sprintf("size ≤ %s MB", three(limit/1e6)), Floor: float64(n.Parameters) / 2}
	mb := func(b float64) string { return three(b/1e6) + " MB" }
	if float64(n.FileBytes) <= limit {
		a.Verdict, a.Why = Met, "the file has "+mb(float64(n.FileBytes))
		return a
	}
	small := float64(n.Parameters)
	switch {
	case small <= limit:
		a.Verdict, a.Why = Likely, fmt.Sprintf("%s parameters in 8 bits are %s", count(small), mb(small))
	case small*0.5 <= limit:
		cut := 1 - limit/small
		a.Verdict = Likely
		a.Why = fmt.Sprintf("%s parameters in 8 bits are %s: with %.0f %% fewer of them, or in 4 bits (%s)", count(small), mb(small), 100*cut, mb(small/2))
	default:
		a.Verdict = Unlikely
		a.Why = fmt.Sprintf("in 4 bits they are %s: %.0f %% of the parameters have to go as well", mb(small/2), 100*(1-limit/(small/2)))
	}
	return a
}
