package predict

import (
	"math"
	"slices"
	"strconv"

	"fettle/internal/fail"
	"fettle/model"
)

// Tread is what a layer takes with so many channels.
type Tread struct {
	Channels int      `json:"channels"`
	Ns       float64  `json:"ns"` // predicted; 0: not told
	Low      float64  `json:"low_ns"`
	High     float64  `json:"high_ns"`
	Measured *float64 `json:"measured_ns,omitempty"`
	Edge     bool     `json:"edge"` // one channel more takes longer by more than its share
}

// Staircase is a layer's time by its output channels.
type Staircase struct {
	Node   model.NodeID `json:"node"`
	Label  string       `json:"label"`
	Kind   string       `json:"kind"`
	Now    int          `json:"now"` // channels that it has
	Treads []Tread      `json:"treads"`
	Why    string       `json:"why,omitempty"` // why nothing is predicted
}

// Convolutions are the nodes of g that have a staircase, in order.
func (g *Graph) Convolutions() []model.NodeID {
	var out []model.NodeID
	for _, p := range g.parts {
		if _, ok := g.Resize(p.node.ID, 0, 0); ok {
			out = append(out, p.node.ID)
		}
	}
	return out
}

// Channels are what a convolution reads and gives.
func (g *Graph) Channels(id model.NodeID) (in, out int) {
	p := g.by[id]
	if p == nil || p.node.Op != "Conv" {
		return 0, 0
	}
	a, _ := g.dims(p.node.Inputs[0])
	b, _ := g.dims(p.node.Outputs[0])
	if len(a) != 4 || len(b) != 4 {
		return 0, 0
	}
	return a[1], b[1]
}

// Resize is the unit of one convolution, alone, with other channels; 0 leaves what it has. A depthwise one has as many as it reads.
func (g *Graph) Resize(id model.NodeID, in, out int) (Unit, bool) {
	p := g.by[id]
	hasIn, hasOut := g.Channels(id)
	if p == nil || hasIn == 0 || int64(hasIn) != p.node.Int("group", 1) && p.node.Int("group", 1) != 1 {
		return Unit{}, false
	}
	x, y, w := g.shapes(p, in, out)
	_, integer := g.through(p.node.Inputs[1])
	size := 4.0
	if integer {
		size = 1
	}
	c := *p
	c.work = [works]float64{0: 1}
	g.conv(&c, x, y, w, size)
	share := product(y) / (product(y) / float64(y[1]) * float64(hasOut))
	for _, k := range []int{wSilu, wSmooth, wOutput, wTurnsOut} {
		c.work[k] = p.work[k] * share
	}
	c.work[wInput], c.work[wTurnsIn] = p.work[wInput], p.work[wTurnsIn]
	c.hold(p.held, p.behind)
	return unit([]*part{&c}), true
}

// shapes are those of a convolution's input, output and weights with other channels.
func (g *Graph) shapes(p *part, in, out int) (x, y, w []int) {
	a, _ := g.dims(p.node.Inputs[0])
	b, _ := g.dims(p.node.Outputs[0])
	k, _ := g.dims(p.node.Inputs[1])
	x, y, w = slices.Clone(a), slices.Clone(b), slices.Clone(k)
	if in > 0 {
		x[1] = in
	}
	if out > 0 {
		y[1] = out
	}
	if p.node.Int("group", 1) > 1 {
		x[1] = y[1]
		w[0], w[1] = y[1], 1
	} else {
		w[0], w[1] = y[1], x[1]
	}
	return x, y, w
}

// widths are the numbers of channels that a staircase shows: around all multiples of 8, and as many as there are.
func widths(now int) []int {
	step := 8
	for now/step > 40 {
		step *= 2
	}
	var out []int
	for c := step; c < now+step; c += step {
		for _, v := range []int{c, c + 1} {
			if v <= now+1 && (step == 8 || v == c || now-v < 4*step) {
				out = append(out, v)
			}
		}
	}
	if now < 8 {
		out = nil
		for c := 1; c <= now+1; c++ {
			out = append(out, c)
		}
	}
	if !slices.Contains(out, now) {
		out = append(out, now)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// NewStaircase is the staircase of a convolution with nothing told yet.
func (g *Graph) NewStaircase(id model.NodeID) (*Staircase, error) {
	u, ok := g.Resize(id, 0, 0)
	if !ok {
		return nil, fail.New(fail.Unsupported, "only convolutions over all channels or one channel have a staircase").At(fail.Where{Node: string(id)})
	}
	_, now := g.Channels(id)
	s := &Staircase{Node: id, Label: u.Label, Kind: u.Kind, Now: now}
	for _, c := range widths(now) {
		s.Treads = append(s.Treads, Tread{Channels: c})
	}
	return s, nil
}

// Fill tells each tread that the table reaches.
func (p *Predictor) Fill(g *Graph, s *Staircase) {
	for i := range s.Treads {
		t := &s.Treads[i]
		u, ok := g.Resize(s.Node, 0, t.Channels)
		if !ok {
			continue
		}
		ns, d, err := p.One(u)
		if err != nil {
			s.Why = fail.From(err).Why
			continue
		}
		t.Ns, t.Low, t.High = ns, ns*math.Exp(-1.645*d), ns*math.Exp(1.645*d)
	}
	s.mark()
}

// mark finds the edges: the next tread takes longer by more than twice what its channels account for, and by 3 %.
func (s *Staircase) mark() {
	at := func(t Tread) float64 {
		if t.Measured != nil {
			return *t.Measured
		}
		return t.Ns
	}
	for i := range s.Treads {
		s.Treads[i].Edge = false
		if i+1 == len(s.Treads) || at(s.Treads[i]) <= 0 {
			continue
		}
		a, b := s.Treads[i], s.Treads[i+1]
		more := at(b)/at(a) - 1
		s.Treads[i].Edge = more > 0.03 && more > 2*(float64(b.Channels)/float64(a.Channels)-1)
	}
}

// Ladder is a network that holds a convolution once for each tread, all reading the same value, so that one measurement tells all of them.
// By names the treads by the node of the ladder.
func (g *Graph) Ladder(s *Staircase) (m *model.Model, by map[model.NodeID]int, err error) {
	p := g.by[s.Node]
	if p == nil {
		return nil, nil, fail.New(fail.NotFound, "the model has no such node").At(fail.Where{Node: string(s.Node)})
	}
	if _, integer := g.through(p.node.Inputs[1]); integer {
		return nil, nil, fail.New(fail.Unsupported, "the staircase of a layer on integers is not measured").At(fail.Where{Node: string(s.Node)}).Try("measure that of the model in floats")
	}
	b := model.NewBuilder("staircase", 17)
	deep := p.node.Int("group", 1) > 1
	first, _, _ := g.shapes(p, 0, 0)
	read := ""
	if !deep {
		read = b.Node("Relu", "start", []string{b.Input("x", model.Float32, model.FixedShape(first...))}) // so that no tread pays for turning the input
	}
	names := map[string]int{}
	fill := pattern()
	for i, t := range s.Treads {
		x, _, w := g.shapes(p, 0, t.Channels)
		v := read
		if deep {
			v = b.Node("Relu", "", []string{b.Input("x"+strconv.Itoa(t.Channels), model.Float32, model.FixedShape(x...))})
		}
		kernel := model.NewTensor(model.Float32, w...)
		for k := 0; k < len(kernel.Raw); k += len(fill) {
			copy(kernel.Raw[k:], fill)
		}
		attrs := slices.DeleteFunc(slices.Clone(p.node.Attrs), func(a model.Attr) bool {
			return !slices.Contains([]string{"kernel_shape", "strides", "pads", "dilations", "auto_pad", "group"}, a.Name)
		})
		for k := range attrs {
			if attrs[k].Name == "group" && deep {
				attrs[k].I = int64(t.Channels)
			}
		}
		name := "tread" + strconv.Itoa(t.Channels)
		names[name] = i
		y := b.Node("Conv", name, []string{v, b.Const(name+".w", kernel), b.Const(name+".b", model.NewTensor(model.Float32, w[0]))}, attrs...)
		y = b.Node("Relu", name+".relu", []string{y})
		y = b.Node("GlobalAveragePool", name+".pool", []string{y})
		b.Output(y, model.Float32, model.FixedShape(x[0], t.Channels, 1, 1))
	}
	if m, err = b.Model(); err != nil {
		return nil, nil, err
	}
	by = map[model.NodeID]int{}
	for _, n := range m.Graph.Nodes {
		if i, ok := names[n.Name]; ok {
			by[n.ID] = i
		}
	}
	return m, by, nil
}

// Take sets what the treads of a ladder took.
func (s *Staircase) Take(by map[model.NodeID]int, units []Measured) {
	for _, u := range units {
		for _, id := range u.Nodes {
			if i, ok := by[id]; ok && u.Ns > 0 {
				ns := u.Ns
				s.Treads[i].Measured = &ns
			}
		}
	}
	s.mark()
}
