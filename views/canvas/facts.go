package canvas

import (
	"strconv"
	"strings"

	"fettle/app"
	"fettle/model"
	"fettle/profiler"
	"fettle/views/kit"
)

// subject is what the inspector shows: one item, or several as a sum.
type subject struct {
	title    string
	sub      string
	dtype    string
	items    []int32
	node     *model.Node // of a single item; nil for inputs, outputs and steps without a node
	m        *model.Model
	info     *app.LayerInfo
	value    *model.Value
	origins  []string
	ns       *float64 // measured; nil: not measured
	interval [2]float64
	share    float64
	floor    *float64
	floorWhy string
	kernel   string
	within   string // measured together with this one
	macs     *float64
	macShare float64
	weights  *int64
	result   *int64 // bytes of the outputs
	moved    int64  // bytes that an executed step reads and writes; 0: not known
	made     []made
	run      *app.Run
}

// made is a step of the ledger that had a hand in a node.
type made struct {
	step, reason string
	proof        *proof
}

// proof is what comparing outputs before and after a step gave.
type proof struct {
	n      int
	maxAbs float64
	within bool
	exact  bool
}

// inspect gathers everything that is known about the selected items.
func (d *drawing) inspect(doc *app.Doc, run *app.Run, items []int32, title string) *subject {
	if len(items) == 0 {
		return nil
	}
	s := &subject{items: items, m: d.m, origins: d.originsOf(items), run: run, title: title}
	if s.m == nil {
		s.m = doc.Base
	}
	d.sums(s, run)
	if len(items) > 1 {
		s.sub = "" // the screen counts the layers
		return s
	}
	i := items[0]
	it, b := &d.items[i], &d.behind[i]
	s.title, s.sub, s.dtype = it.Name, it.Sub, d.precisionOf(i)
	s.node, s.info, s.value = b.node, b.info, b.value
	if b.node != nil && b.layer == nil {
		s.sub = describe(s.m, b.node, b.info)
	}
	if b.value != nil {
		s.sub, s.dtype = b.value.Type.String(), kit.ShortType(b.value.Type.DType.String())
	}
	if l := d.layerOf(run, i); l != nil && s.within == "" {
		s.interval, s.floor, s.floorWhy, s.kernel, s.moved = l.Interval, l.FloorNs, l.FloorWhy, l.Kernel, l.Bytes
	}
	if b.node != nil {
		s.made = history(doc, b.node, d.mode)
	}
	return s
}

// sums adds up times, work and bytes of the selected items. A sum with a gap is absent.
func (d *drawing) sums(s *subject, run *app.Run) {
	var p *profiler.Profile
	if run != nil {
		p = run.Profile
	}
	ns, within := d.times(p)
	total := 0.0
	if p != nil {
		for _, l := range p.Layers {
			total += l.P50Ns
		}
		if p.Clean.P50Ns != nil {
			total = *p.Clean.P50Ns
		}
	}
	s.ns, s.within = sumTimes(d, s.items, ns, within)
	if s.ns != nil && total > 0 {
		s.share = *s.ns / total
	}
	work, all := d.work(), 0.0
	for _, w := range work {
		if w > 0 {
			all += w
		}
	}
	macs, known := 0.0, false
	var weights, result int64
	costs := false
	for _, i := range s.items {
		if w := work[i]; w == w {
			macs, known = macs+w, true
		}
		if in := d.behind[i].info; in != nil {
			weights, result, costs = weights+in.WeightBytes, result+in.ActivationBytes, true
		}
	}
	if known {
		s.macs = &macs
		if all > 0 {
			s.macShare = macs / all
		}
	}
	if costs {
		s.weights, s.result = &weights, &result
	}
}

func sumTimes(d *drawing, items []int32, ns []float64, within []int32) (*float64, string) {
	sum, any := 0.0, false
	for _, i := range items {
		switch {
		case ns[i] == ns[i]:
			sum, any = sum+ns[i], true
		case within[i] >= 0 && len(items) == 1:
			return nil, d.items[within[i]].Title
		}
	}
	if !any {
		return nil, ""
	}
	return &sum, ""
}

// layerOf is the layer of a run that an item's time comes from, if it is one layer.
func (d *drawing) layerOf(run *app.Run, i int32) *profiler.Layer {
	if l := d.behind[i].layer; l != nil {
		return l
	}
	if run == nil || run.Profile == nil {
		return nil
	}
	var found *profiler.Layer
	for k := range run.Profile.Layers {
		l := &run.Profile.Layers[k]
		items := d.itemsOf(l.Origin)
		for _, x := range items {
			if x == i {
				if found != nil {
					return nil
				}
				found = l
			}
		}
	}
	return found
}

// history lists the steps of the ledger that made a node or touched what it stands for.
func history(doc *app.Doc, n *model.Node, m mode) []made {
	if m == original {
		return nil
	}
	mine := map[model.NodeID]bool{}
	for _, o := range n.Origin {
		mine[o] = true
	}
	var out []made
	for k := range doc.Steps {
		st := &doc.Steps[k]
		if !st.Enabled || st.Err != nil {
			continue
		}
		hit := false
		reason := ""
		for _, f := range st.Findings {
			if string(f.Outcome) != "applied" {
				continue
			}
			for _, id := range f.Made {
				if id == n.ID {
					hit, reason = true, f.Reason
				}
			}
			for _, o := range f.Origin {
				if mine[o] {
					hit = true
				}
			}
		}
		if !hit {
			continue
		}
		one := made{step: st.Title, reason: reason}
		if st.Proof != nil {
			one.proof = &proof{st.Proof.N, st.Proof.MaxAbs, st.Proof.Within, st.Proof.MaxAbs == 0}
		}
		out = append(out, one)
	}
	return out
}

// pair is one line of a list of facts.
type pair struct{ key, value string }

// attributes lists the attributes of a node as text.
func attributes(n *model.Node) []pair {
	var out []pair
	for i := range n.Attrs {
		a := &n.Attrs[i]
		out = append(out, pair{a.Name, attrText(a)})
	}
	return out
}

func attrText(a *model.Attr) string {
	switch a.Type {
	case model.AttrInt:
		return strconv.FormatInt(a.I, 10)
	case model.AttrFloat:
		return strconv.FormatFloat(float64(a.F), 'g', 6, 32)
	case model.AttrString:
		return string(a.S)
	case model.AttrInts:
		return joinInts(a.Ints, ", ")
	case model.AttrFloats:
		p := make([]string, len(a.Floats))
		for i, f := range a.Floats {
			p[i] = strconv.FormatFloat(float64(f), 'g', 6, 32)
		}
		return strings.Join(p, ", ")
	case model.AttrStrings:
		p := make([]string, len(a.Strings))
		for i, s := range a.Strings {
			p[i] = string(s)
		}
		return strings.Join(p, ", ")
	case model.AttrTensor:
		if a.T != nil {
			return model.TypeOf(a.T).String()
		}
	case model.AttrGraph:
		if a.G != nil {
			return a.G.Name
		}
	}
	return "…"
}

// constant is the tensor behind a name: an initializer, or what a Constant node holds.
func constant(m *model.Model, name string) *model.Tensor {
	if t := m.Graph.Init(name); t != nil {
		return t
	}
	if p := m.Graph.Producer(name); p != nil && p.Op == "Constant" {
		if a := p.Attr("value"); a != nil {
			return a.T
		}
	}
	return nil
}

// port is an input or output of a node with its type.
type port struct {
	name, typ string
}

// ports lists inputs and outputs with their types: of constants their own, of other values what the file declares, else
// what was inferred for the node that makes them.
func (d *drawing) ports(m *model.Model, n *model.Node) (in, out []port) {
	typeOf := func(name string) string {
		if t, ok := m.Graph.Declared(name); ok {
			return t.String()
		}
		if p := m.Graph.Producer(name); p != nil && p.Outputs[0] == name && d.info[string(p.ID)] != nil {
			return d.info[string(p.ID)].Output
		}
		return ""
	}
	for _, name := range n.Inputs {
		if name == "" {
			continue
		}
		p := port{name: name}
		if t := constant(m, name); t != nil {
			p.typ = model.TypeOf(t).String()
		} else {
			p.typ = typeOf(name)
		}
		in = append(in, p)
	}
	for _, name := range n.Outputs {
		if name != "" {
			out = append(out, port{name, typeOf(name)})
		}
	}
	return in, out
}
