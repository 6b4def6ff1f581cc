package predict

import (
	"math"
	"slices"
	"strings"

	"fettle/model"
)

// Unit is what one kernel does: nodes of a model that run as one step. Kind says what cannot vary within a table's rows, Dims what can:
// sizes, then a 2 for each mark that it has and a 1 for each that it has not, then what the network around it says of it.
type Unit struct {
	Kind  string
	Dims  []float64
	Label string // of its first node
	Nodes []model.NodeID
	MACs  float64
	Bytes float64 // read and written

	work  [works]float64
	parts []Unit // where there are several
}

// Amounts of work whose times a base adds up.
const (
	wStart    = iota // one
	wMACs            // products
	wTiles           // products padded to tiles of channels and pixels, one for each of tiles()
	wWino     = iota + 3
	wTurned   // values that Winograd transforms
	wIn       // bytes
	wOut      // bytes
	wWeights  // bytes
	wSilu     // values
	wSmooth   // values of other functions that are no bounds
	wInput    // values that the caller gives, which may have to be turned
	wOutput   // values that the caller gets
	wSum      // bytes of another value that is added
	wCold     // bytes of weights, by how far the network is from what a cache holds
	wFar      // bytes read and written that no small cache holds
	wLeft     // bytes read, by how far what made them is from leaving them in a cache
	wTurnsIn  // values that become integers
	wTurnsOut // values that become floats
	works
)

// nearBytes are what a small cache holds: what passes between two layers beyond it comes from farther away.
const nearBytes = 256 << 10

// marks are what a layer may do besides: they do not make it another kind, because what they cost adds to what it costs.
const (
	summed  = iota // adds another value
	smooth         // SiLU, Sigmoid or another that is not a bound
	atInput        // reads what the caller gives, which may have to be turned
	atOutput
	turnsIn  // reads floats, computes in integers
	turnsOut // computes in integers, gives floats
	marks
)

// places are what the network around a layer says of it: how much all of it holds, and how much the layer before moved.
const places = 2

// around is how many of a unit's dims say where it stands and not how large it is.
const around = marks + places

// leastHeld is what any cache holds, in bytes; mostHeld how many times as much no cache does.
const leastHeld, mostHeld = 256 << 10, 128

// tiles of output channels and pixels that kernels are made for.
func tiles() [4][2]int { return [4][2]int{{8, 1}, {16, 1}, {16, 6}, {32, 1}} }

// part is one node as a unit sees it.
type part struct {
	node    *model.Node
	kind    string
	dims    []float64
	marks   [marks]bool
	held    float64 // by the network, 1 to mostHeld
	behind  float64 // moved by the layer before, 1 to mostHeld
	integer bool
	work    [works]float64
	macs    float64
	bytes   float64
	from    []string // values that it may be fused through
	at      int
}

// hold says how much the network around a part holds, and how much the layer before it moved.
func (p *part) hold(held, behind float64) {
	p.held, p.behind = held, behind
	p.work[wCold] = p.work[wWeights] * math.Log2(held) / math.Log2(mostHeld)
	p.work[wLeft] = p.work[wIn] * math.Log2(behind) / math.Log2(mostHeld)
	p.work[wFar] = max(p.work[wIn]+p.work[wOut]-nearBytes, 0)
}

// unit joins parts, in the order of the graph.
func unit(parts []*part) Unit {
	slices.SortFunc(parts, func(a, b *part) int { return a.at - b.at })
	u := Unit{Label: parts[0].node.Label()}
	var kinds []string
	var any [marks]bool
	for _, p := range parts {
		kinds = append(kinds, p.kind)
		u.Dims = append(u.Dims, p.dims...)
		for i, on := range p.marks {
			any[i] = any[i] || on
		}
		u.Nodes = append(u.Nodes, p.node.ID)
		u.MACs += p.macs
		u.Bytes += p.bytes
		for i, v := range p.work {
			u.work[i] += v
		}
	}
	u.work[wStart] = 1
	for _, on := range any {
		u.Dims = append(u.Dims, 1+float64(b2i(on)))
	}
	u.Dims = append(u.Dims, max(parts[0].held, 1), max(parts[0].behind, 1))
	u.Kind = strings.Join(kinds, " | ")
	if len(parts) > 1 {
		for _, p := range parts {
			u.parts = append(u.parts, unit([]*part{p}))
		}
		u.Label += " → " + parts[len(parts)-1].node.Label()
	}
	return u
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func product(d []int) float64 {
	v := 1.0
	for _, n := range d {
		v *= float64(n)
	}
	return v
}

func ceil(n, by int) int { return (n + by - 1) / by }
