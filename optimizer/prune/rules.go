package prune

import (
	"slices"

	"fettle/model"
)

// passing are operators that leave each channel where it is, one input, one output.
var passing = []string{"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Mish",
	"Gelu", "Erf", "Exp", "Log", "Sqrt", "Abs", "Neg", "Identity", "Dropout", "Cast", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "AveragePool", "LpPool"}

// meeting are operators whose two inputs meet channel by channel.
var meeting = []string{"Add", "Sub", "Mul", "Div", "Min", "Max", "Pow"}

// visit maps the channels that n reads to those that it writes. What it does not know locks what n reads.
func (s *space) visit(n *model.Node) {
	x := s.dims[input(n, 0)]
	unknown := n.Label() + " is a " + n.Op + ", through which channels are not followed"
	tracked := false
	for _, r := range model.Reads(n) {
		tracked = tracked || s.dims[r] != nil
	}
	if n.Domain != "" && n.Domain != "ai.onnx" {
		s.lockInputs(n, unknown)
		return
	}
	switch {
	case n.Op == "Conv":
		s.conv(n, x)
	case n.Op == "Gemm" || n.Op == "MatMul":
		s.product(n, x)
	case !tracked:
	case n.Op == "BatchNormalization" && len(n.Outputs) == 1 && x != nil && x.axis == 1:
		for _, c := range n.Inputs[1:] {
			s.own(n, c, 0, x.atoms)
		}
		for i := range s.makers {
			if m := &s.makers[i]; m.norm == nil && m.node.Outputs[0] == n.Inputs[0] {
				m.norm = n
			}
		}
		s.dims[n.Outputs[0]] = x
	case slices.Contains(passing, n.Op) && x != nil && (x.axis == 1 || !slices.Contains([]string{"GlobalAveragePool", "GlobalMaxPool", "MaxPool", "AveragePool", "LpPool"}, n.Op)):
		s.dims[n.Outputs[0]] = x
		for _, o := range n.Outputs[1:] {
			if o != "" {
				s.lock(x, n.Label()+" gives a second output")
			}
		}
	case slices.Contains(meeting, n.Op) && len(n.Inputs) == 2:
		s.meet(n)
	case n.Op == "Concat":
		s.concat(n, unknown)
	case n.Op == "Pad" && x != nil:
		s.pad(n, x, unknown)
	case n.Op == "Slice" && x != nil:
		s.slice(n, x, unknown)
	case (n.Op == "Flatten" || n.Op == "Reshape") && x != nil:
		s.flatten(n, x, unknown)
	case n.Op == "ReduceMean" && x != nil:
		s.reduce(n, x, unknown)
	case n.Op == "Shape" && s.onlyOthers(n, x):
	default:
		s.lockInputs(n, unknown)
	}
}

// conv: a depthwise convolution hands channels on, any other makes its own. Channels of groups stay.
func (s *space) conv(n *model.Node, x *dim) {
	w := s.v.Const(input(n, 1))
	if w == nil || w.Rank() < 3 {
		s.lockInputs(n, n.Label()+" computes its weights")
		return
	}
	group := int(n.Int("group", 1))
	if group > 1 && group == w.Shape[0] && w.Shape[1] == 1 && x != nil && x.axis == 1 && len(x.atoms) == group {
		s.own(n, n.Inputs[1], 0, x.atoms)
		if b := input(n, 2); b != "" {
			s.own(n, b, 0, x.atoms)
		}
		s.counts = append(s.counts, count{n, x.atoms})
		s.dims[n.Outputs[0]] = x
		return
	}
	if group == 1 && x != nil && x.axis == 1 {
		s.own(n, n.Inputs[1], 1, x.atoms)
		s.reads = append(s.reads, reader{n, n.Inputs[1], 1, x.atoms})
	} else {
		s.lock(x, n.Label()+" is a convolution in groups")
	}
	s.make(n, 1, 0, w.Shape[0])
	if group > 1 {
		s.lock(s.dims[n.Outputs[0]], n.Label()+" is a convolution in groups")
	}
}

// product: Gemm and MatMul with a constant matrix.
func (s *space) product(n *model.Node, x *dim) {
	w := s.v.Const(input(n, 1))
	t := s.inf.Types[input(n, 0)]
	if w == nil || w.Rank() != 2 || !t.Ranked || n.Int("transA", 0) != 0 {
		s.lockInputs(n, n.Label()+" multiplies by what is no stored matrix")
		return
	}
	in, out := 0, 1
	if n.Op == "Gemm" && n.Int("transB", 0) == 1 {
		in, out = 1, 0
	}
	last := len(t.Shape) - 1
	if x != nil && x.axis == last {
		s.own(n, n.Inputs[1], in, x.atoms)
		s.reads = append(s.reads, reader{n, n.Inputs[1], in, x.atoms})
	} else {
		s.lock(x, n.Label()+" sums over another axis than that of the channels")
	}
	s.make(n, last, out, w.Shape[out])
	if b := s.v.Const(input(n, 2)); input(n, 2) != "" && (b == nil || b.Len() != w.Shape[out]) {
		s.lock(s.dims[n.Outputs[0]], n.Label()+" has a bias that is no stored vector")
	}
}

// make gives the output of n new channels, one a line of its weights.
func (s *space) make(n *model.Node, axis, weightAxis, channels int) {
	d := &dim{axis, s.fresh(channels)}
	s.dims[n.Outputs[0]] = d
	s.own(n, n.Inputs[1], weightAxis, d.atoms)
	if b := input(n, 2); b != "" {
		if t := s.v.Const(b); t != nil {
			s.own(n, b, t.Rank()-1, d.atoms)
		} else {
			s.lock(d, n.Label()+" computes its bias")
		}
	}
	s.makers = append(s.makers, maker{node: n, weight: n.Inputs[1], axis: weightAxis, atoms: d.atoms})
}

// meet: two values whose channels go together, or a value and a constant.
func (s *space) meet(n *model.Node) {
	a, b := s.dims[n.Inputs[0]], s.dims[n.Inputs[1]]
	if a != nil && b != nil {
		ra, rb := s.shape(n.Inputs[0]), s.shape(n.Inputs[1])
		if len(a.atoms) != len(b.atoms) || ra == nil || rb == nil || len(ra)-a.axis != len(rb)-b.axis {
			s.lockInputs(n, n.Label()+" joins values of unlike channels")
			return
		}
		if !s.alike(a, b) { // a gate of the layer's own, as in x * Sigmoid(x), joins nothing
			s.joints[a.atoms[0]] = n.Label()
		}
		s.join(a, b)
		if len(ra) < len(rb) {
			a = b
		}
		s.dims[n.Outputs[0]] = a
		return
	}
	x, other, at := a, n.Inputs[1], 0
	if x == nil {
		x, other, at = b, n.Inputs[0], 1
	}
	c, rank := s.constant(other), len(s.shape(n.Inputs[at]))
	if c == nil || rank == 0 {
		s.lockInputs(n, n.Label()+" joins the channels with another value")
		return
	}
	if c.Rank() > rank {
		s.lockInputs(n, n.Label()+" changes the number of dimensions")
		return
	}
	if axis := x.axis - (rank - c.Rank()); axis >= 0 && c.Shape[axis] != 1 {
		s.own(n, other, axis, x.atoms)
	}
	s.dims[n.Outputs[0]] = x
}

// alike says whether two values have the same channels already.
func (s *space) alike(a, b *dim) bool {
	for i := range a.atoms {
		if find(s.same, a.atoms[i]) != find(s.same, b.atoms[i]) {
			return false
		}
	}
	return true
}

func (s *space) concat(n *model.Node, unknown string) {
	axis, d := int(n.Int("axis", 1)), (*dim)(nil)
	for _, in := range n.Inputs {
		if x := s.dims[in]; x != nil {
			if d != nil && d.axis != x.axis {
				s.lockInputs(n, unknown)
				return
			}
			d = x
		}
	}
	rank := len(s.shape(n.Inputs[0]))
	if axis < 0 {
		axis += rank
	}
	if rank == 0 || d.axis != axis {
		s.lockInputs(n, unknown)
		return
	}
	out := &dim{axis: axis}
	for _, in := range n.Inputs {
		x := s.dims[in]
		if x == nil {
			shape := s.shape(in)
			if len(shape) <= axis {
				s.lockInputs(n, unknown)
				return
			}
			x = &dim{axis, s.fresh(shape[axis])}
			s.lock(x, "no layer whose weights could be cut makes the value "+in)
		}
		out.atoms = append(out.atoms, x.atoms...)
	}
	s.dims[n.Outputs[0]] = out
}

// pad: channels that it adds stay.
func (s *space) pad(n *model.Node, x *dim, unknown string) {
	rank := len(s.shape(n.Inputs[0]))
	var pads []int
	for _, p := range n.Ints("pads") {
		pads = append(pads, int(p))
	}
	if input(n, 1) != "" {
		pads, _ = s.ints(n.Inputs[1])
	}
	if rank == 0 || len(pads) != 2*rank || input(n, 3) != "" {
		s.lockInputs(n, unknown)
		return
	}
	front, back := pads[x.axis], pads[rank+x.axis]
	if front < 0 || back < 0 || (front > 0 || back > 0) && n.Str("mode", "constant") != "constant" {
		s.lockInputs(n, unknown)
		return
	}
	out := &dim{axis: x.axis}
	for _, k := range []int{front, -1, back} {
		if k < 0 {
			out.atoms = append(out.atoms, x.atoms...)
			continue
		}
		d := &dim{x.axis, s.fresh(k)}
		s.lock(d, n.Label()+" fills these channels")
		out.atoms = append(out.atoms, d.atoms...)
	}
	s.dims[n.Outputs[0]] = out
}

// slice passes where it leaves the axis of the channels alone.
func (s *space) slice(n *model.Node, x *dim, unknown string) {
	axes, ok := s.ints(input(n, 3))
	rank := len(s.shape(n.Inputs[0]))
	if !ok || rank == 0 {
		s.lockInputs(n, unknown)
		return
	}
	for _, a := range axes {
		if (a+rank)%rank == x.axis {
			s.lockInputs(n, n.Label()+" takes a part of the channels")
			return
		}
	}
	s.dims[n.Outputs[0]] = x
}

// flatten: each channel becomes as many neighbours as it has positions.
func (s *space) flatten(n *model.Node, x *dim, unknown string) {
	in, out := s.shape(n.Inputs[0]), s.shape(n.Outputs[0])
	if in == nil || len(out) != 2 || x.axis != 1 || out[0] != in[0] || n.Op == "Flatten" && n.Int("axis", 1) != 1 {
		s.lockInputs(n, unknown)
		return
	}
	if n.Op == "Reshape" {
		to, ok := s.ints(input(n, 1))
		if !ok || len(to) != 2 || to[1] != -1 {
			s.lockInputs(n, n.Label()+" writes the number of channels down")
			return
		}
	}
	d := &dim{axis: 1}
	for _, a := range x.atoms {
		for range out[1] / len(x.atoms) {
			d.atoms = append(d.atoms, a)
		}
	}
	s.dims[n.Outputs[0]] = d
}

// reduce passes where it sums over positions only.
func (s *space) reduce(n *model.Node, x *dim, unknown string) {
	rank := len(s.shape(n.Inputs[0]))
	var axes []int
	for _, a := range n.Ints("axes") {
		axes = append(axes, int(a))
	}
	if input(n, 1) != "" {
		axes, _ = s.ints(n.Inputs[1])
	}
	for _, a := range axes {
		if rank == 0 || (a+rank)%rank <= x.axis {
			axes = nil
			break
		}
	}
	if len(axes) == 0 {
		s.lockInputs(n, unknown)
		return
	}
	s.dims[n.Outputs[0]] = x
}

// onlyOthers reports whether a Shape node is only asked for other dimensions than that of the channels.
func (s *space) onlyOthers(n *model.Node, x *dim) bool {
	if x == nil || s.v.G.Output(n.Outputs[0]) != nil {
		return false
	}
	for _, u := range s.v.G.Users(n.Outputs[0]) {
		at, ok := s.ints(input(u, 1))
		if u.Op != "Gather" || !ok || slices.Contains(at, x.axis) || slices.ContainsFunc(at, func(i int) bool { return i < 0 }) {
			return false
		}
	}
	return true
}
