package engine

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/kernels/cpu"
	"fettle/kernels/team"
	"fettle/model"
	"fettle/ops"
)

// lowering is the state of one compilation. Nodes are visited in topological order; each row adds steps and says what
// it needs of its inputs; conversions between layouts are added where a need is not met. Addresses and borders are
// settled after the last node, when every need is known.
type lowering struct {
	ctx     context.Context
	m       *model.Model
	inf     *ops.Inferred
	opt     Options
	given   map[string]model.Type
	vals    map[string]*value
	bufs    []*buffer
	steps   []*step
	packs   int64
	mem     cpu.Pool                 // of packed weights
	jobs    []func() error           // packing of weights, done together at the end
	done    map[model.NodeID]bool    // nodes that an earlier row covered
	islands map[model.NodeID]*island // nodes that run on integers
	zeros   map[string]int           // zero point of each 8-bit value that an island reads
	words   map[model.NodeID]bool    // nodes that run on 16-bit values
	wide    map[string]bool          // the values of 16 bits between them and others
	why     map[model.NodeID]string  // why a node that could run on 16-bit values does not
	cur     *model.Node              // node being lowered: conversions between layouts are made for it
	free    []Free
	rec     *recording // what a prepared file needs; nil when the plan comes from one
	prep    *replay    // the prepared file that the plan comes from, or nil
}

// value is an edge of the graph with the forms in which it lies in memory.
type value struct {
	name    string
	typ     model.Type
	dims    []int // nil: the shape is known only at run time
	data    *model.Tensor
	plain   *buffer // row-major
	blocked *buffer // channel blocks: float32, or the u8 form of an 8-bit tensor
	from    *edge   // a float32 value that nobody has made yet: the dequantized form of an 8-bit value
	fromBy  *model.Node
	moved   *moved // a transposition that nobody has made yet
	dynamic bool   // made by a reference kernel with a shape that is not known before
	slot    int
}

// buffer is memory that a step writes and others read.
type buffer struct {
	what        string
	size        int // bytes; for blocked ones settled at the end
	layout      cpu.Layout
	isBlocked   bool
	elem        int // bytes of an element of a blocked buffer
	border      cpu.Border
	fill        byte // what a border holds, for 8-bit tensors
	first, last int  // steps
	born        int  // step that writes it first, -1 for inputs
	pinned      bool // lives to the end: inputs and outputs
	off         int
	alone       bool    // no other buffer uses its bytes
	ext         []byte  // constant data outside the arena
	whole       *buffer // the concatenation that this buffer is a part of, from channel at on
	at          int
	parts       bool // others are parts of this one
}

// step is the executable part of a Step.
type step struct {
	Step
	reads, writes []*buffer
	// bind gives the kernels of the step over a session's memory. Exactly one of bind and eval is set.
	bind func(s *Session) ([]team.Task, error)
	// settle, where set, is called once all layouts are final and before buffers are placed.
	settle func() error
	convs  []*convStep // float32 convolutions, for chains that run in stripes
	// look, where set, makes the step pass the bytes that it stores through a table.
	look func(table *[256]uint8)
	// eval runs on the caller's goroutine.
	eval func(ctx context.Context, s *Session) error
}

func newLowering(ctx context.Context, m *model.Model, inf *ops.Inferred, opt Options, given map[string]model.Type, prep *replay) *lowering {
	l := &lowering{ctx: ctx, m: m, inf: inf, opt: opt, given: given, vals: map[string]*value{}, done: map[model.NodeID]bool{}, prep: prep}
	if prep == nil {
		l.rec = &recording{stored: map[model.NodeID]bool{}, used: map[*model.Tensor]bool{}, sources: map[*model.Tensor]bool{}}
	}
	for _, in := range m.Graph.Inits {
		if _, free := given[in.Name]; !free {
			l.vals[in.Name] = constant(in.Name, in.Tensor)
		}
	}
	for name, t := range given {
		l.vals[name] = l.newValue(name, t)
	}
	return l
}

// constant is the value of a tensor that is known. The dimensions of a scalar are empty, not nil.
func constant(name string, t *model.Tensor) *value {
	return &value{name: name, typ: model.TypeOf(t), dims: append([]int{}, t.Shape...), data: t}
}

func (l *lowering) newValue(name string, t model.Type) *value {
	v := &value{name: name, typ: t}
	if dims, ok := t.Shape.Ints(); ok && t.Ranked && t.Kind == model.KindTensor && t.DType != model.Undefined && t.DType != model.String {
		v.dims = dims
	} else {
		v.dynamic = true
	}
	return v
}

func (l *lowering) run() error {
	for _, v := range l.m.Graph.Inputs {
		if _, free := l.given[v.Name]; free {
			if val := l.vals[v.Name]; !val.dynamic {
				val.plain = l.newPlain(val)
				val.plain.first, val.plain.pinned = 0, true
			}
		}
	}
	l.findIslands()
	for _, n := range l.m.Graph.Nodes {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		if l.done[n.ID] {
			continue
		}
		l.cur = n
		if isl := l.islands[n.ID]; isl != nil {
			if err := l.lowerIsland(isl); err != nil {
				return fail.In(err, "", fail.Where{Node: string(n.ID), Op: n.Op})
			}
			continue
		}
		if err := l.node(n); err != nil {
			return fail.In(err, "", fail.Where{Node: string(n.ID), Op: n.Op})
		}
	}
	for _, o := range l.m.Graph.Outputs {
		v := l.vals[o.Name]
		if v == nil {
			return fail.New(fail.Internal, "no value %q after lowering", o.Name)
		}
		l.use(v.data)
		if v.data == nil && !v.dynamic {
			l.cur = l.m.Graph.Producer(o.Name)
			l.needPlain(v)
			v.plain.pinned = true
		}
	}
	for _, n := range l.m.Graph.Nodes {
		for _, o := range n.Outputs {
			if v := l.vals[o]; v != nil && v.from != nil { // nobody asked for the floats
				l.free = append(l.free, Free{n.ID, "view"})
			}
		}
	}
	return nil
}

// node lowers one node by the first row that accepts it.
func (l *lowering) node(n *model.Node) error {
	if ok, err := l.fold(n); ok || err != nil {
		if ok {
			l.free = append(l.free, Free{n.ID, "constant"})
		}
		return err
	}
	domain := n.Domain
	if domain == "ai.onnx" {
		domain = ""
	}
	for _, r := range rows {
		if r.op != n.Op || r.domain != domain {
			continue
		}
		ok, err := r.build(l, n)
		if ok || err != nil {
			return err
		}
	}
	return l.reference(n)
}

// row says how an operator is lowered: build returns false where it does not apply, having changed nothing.
type row struct {
	domain, op string
	build      func(l *lowering, n *model.Node) (bool, error)
}

// fold evaluates a node whose inputs are all constant.
func (l *lowering) fold(n *model.Node) (bool, error) {
	d, err := ops.Lookup(n.Domain, n.Op, l.m.Opset(n.Domain))
	if err != nil {
		return false, err
	}
	if d.Exact == ops.Random {
		return false, nil
	}
	known := true
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		if c := l.inf.Consts[o]; c != nil {
			l.vals[o] = constant(o, c)
			continue
		}
		_ = i
		known = false
	}
	if known {
		return true, nil
	}
	in := make([]*model.Tensor, len(n.Inputs))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		v := l.vals[name]
		if v == nil || v.data == nil {
			return false, nil
		}
		in[i] = v.data
	}
	for _, r := range model.Reads(n) {
		if v := l.vals[r]; v == nil || v.data == nil {
			return false, nil
		}
	}
	if len(n.Inputs) == 0 && n.Op != "Constant" {
		return false, nil
	}
	if l.prep != nil {
		if out, ok := l.prep.fold(n, l.inf); ok {
			l.constants(n, out)
			return true, nil
		}
	}
	scope := map[string]*model.Tensor{}
	for _, r := range model.Reads(n) {
		scope[r] = l.vals[r].data
	}
	out, err := (&ops.Evaluator{Model: l.m}).Node(l.ctx, l.m, n, in, scope)
	if err != nil {
		return false, err
	}
	l.keep(n, in, out)
	l.constants(n, out)
	return true, nil
}

func (l *lowering) constants(n *model.Node, out []*model.Tensor) {
	for i, o := range n.Outputs {
		if o != "" && out[i] != nil {
			l.vals[o] = constant(o, out[i])
		}
	}
}

// in gives the value of input i, or nil where it is absent.
func (l *lowering) in(n *model.Node, i int) *value {
	if i >= len(n.Inputs) || n.Inputs[i] == "" {
		return nil
	}
	return l.vals[n.Inputs[i]]
}

// out makes the value of output i with its inferred type.
func (l *lowering) out(n *model.Node, i int) *value {
	name := n.Outputs[i]
	v := l.newValue(name, l.inf.Types[name])
	l.vals[name] = v
	return v
}

// outDims is the inferred shape of output i, nil where it is not known.
func (l *lowering) outDims(n *model.Node, i int) []int {
	t := l.inf.Types[n.Outputs[i]]
	if !t.Ranked || t.Kind != model.KindTensor {
		return nil
	}
	d, ok := t.Shape.Ints()
	if !ok {
		return nil
	}
	return d
}

func (l *lowering) add(s *step, covers ...*model.Node) *step {
	s.ID = fmt.Sprintf("s%d", len(l.steps))
	for _, n := range covers {
		s.Nodes = append(s.Nodes, n.ID)
	}
	if len(covers) > 0 {
		s.Origin = model.MergeOrigins(covers...)
		if s.Name == "" {
			s.Name = covers[len(covers)-1].Label()
			if covers[0].Op == "Conv" || len(covers) == 1 {
				s.Name = covers[0].Label()
			}
		}
		if s.Op == "" {
			s.Op = covers[0].Op
		}
	}
	if len(covers) == 0 && l.cur != nil {
		s.Origin = model.MergeOrigins(l.cur)
	}
	i := len(l.steps)
	for _, b := range s.reads {
		b.last = max(b.last, i)
	}
	for _, b := range s.writes {
		if b.first < 0 {
			b.first, b.born = i, i
		}
		b.last = max(b.last, i)
	}
	l.steps = append(l.steps, s)
	return s
}

func (l *lowering) newBuffer(what string, size int) *buffer {
	b := &buffer{what: what, size: size, first: -1, last: -1, born: -1}
	l.bufs = append(l.bufs, b)
	return b
}

// newPlain makes a row-major buffer for v.
func (l *lowering) newPlain(v *value) *buffer {
	n, _ := model.Count(v.dims)
	return l.newBuffer(v.name, v.typ.DType.Bytes(n))
}

// needPlain gives v's row-major buffer, converting from blocks where only those exist.
func (l *lowering) needPlain(v *value) *buffer {
	if v.plain != nil {
		return v.plain
	}
	if m := v.moved; m != nil {
		v.moved = nil
		m.make()
		return v.plain
	}
	l.use(v.data)
	if v.data != nil && l.prep.mapped(v.data) {
		v.plain = &buffer{what: v.name, size: len(v.data.Raw), ext: v.data.Raw}
		return v.plain
	}
	if v.data != nil {
		// A copy: kernels want alignment and readable bytes behind the end, a mapped file promises neither.
		ext := model.Aligned(len(v.data.Raw) + align)
		copy(ext, v.data.Raw)
		v.plain = &buffer{what: v.name, size: len(v.data.Raw), ext: ext[:len(v.data.Raw)]}
		return v.plain
	}
	if v.from != nil {
		l.dequantize(v)
		return v.plain
	}
	v.plain = l.newPlain(v)
	l.unblock(v)
	return v.plain
}

// dims4 sees a shape as a batch of pictures: [N, C, H, W], for ranks 3 (a line) and 4.
func dims4(d []int) (n, c, h, w int, ok bool) {
	switch len(d) {
	case 3:
		n, c, h, w = d[0], d[1], 1, d[2]
	case 4:
		n, c, h, w = d[0], d[1], d[2], d[3]
	default:
		return 0, 0, 0, 0, false
	}
	return n, c, h, w, n > 0 && c > 0 && h > 0 && w > 0
}

// needBlocked gives v's blocked buffer with at least the border asked for.
func (l *lowering) needBlocked(v *value, border cpu.Border) *buffer {
	if v.blocked == nil {
		if v.plain == nil {
			l.needPlain(v)
		}
		l.newBlocked(v, cpu.Border{})
		l.block(v)
	}
	v.blocked.border = v.blocked.border.Max(border)
	return v.blocked
}

// newBlocked makes the blocked buffer of a value that a step is about to write.
func (l *lowering) newBlocked(v *value, border cpu.Border) *buffer {
	n, c, h, w, _ := dims4(v.dims)
	b := l.newBuffer(v.name+" (blocked)", 0)
	b.isBlocked, b.elem = true, 4
	block := l.opt.Features.BlockF32()
	if v.typ.DType.Bits() == 8 {
		b.elem, block = 1, l.opt.Features.BlockI8()
	}
	if v.sixteen() {
		b.elem, block = 2, l.opt.Features.BlockI16()
	}
	b.layout = cpu.NewLayout(n, c, h, w, block, cpu.Border{})
	b.border = border
	v.blocked = b
	return b
}

// prefersBlocks reports whether v already lies in blocks, so that an element-wise step should stay there.
func (v *value) prefersBlocks() bool { return v.blocked != nil }

// f32 reports whether v is float32 with a known shape.
func (v *value) f32() bool { return v != nil && v.typ.DType == model.Float32 && v.dims != nil }

// eight reports whether v is an 8-bit tensor with a known shape that may lie in blocks.
func (v *value) eight() bool {
	return v != nil && v.dims != nil && (v.typ.DType == model.Int8 || v.typ.DType == model.Uint8)
}

// sixteen reports whether v is an int16 tensor with a known shape that may lie in blocks.
func (v *value) sixteen() bool { return v != nil && v.dims != nil && v.typ.DType == model.Int16 }

// within makes b, blocks that steps before have written, a part of the concatenation dst from channel at on, so that
// nothing has to be copied; false where that cannot be.
func (l *lowering) within(dst, b *buffer, at int) bool {
	if b.whole != nil || b.parts || b == dst || b.layout.C%b.layout.Block != 0 || at%b.layout.Block != 0 || b.layout.Block != dst.layout.Block {
		return false
	}
	b.whole, b.at, dst.parts = dst, at, true
	return true
}

// join gives parts and wholes one border and one life.
func (l *lowering) join() {
	for _, b := range l.bufs {
		if w := b.whole; w != nil {
			w.border = w.border.Max(b.border)
			if w.first < 0 || b.first < w.first {
				w.first, w.born = b.first, b.born
			}
			w.last = max(w.last, b.last)
		}
	}
}

// scratch makes a buffer that only the next step uses.
func (l *lowering) scratch(bytes int) *buffer { return l.newBuffer("scratch", bytes) }

// packed makes room for the weights that kernel reads, which pack fills from src before the plan is published.
// A plan from a prepared file finds them there.
func (l *lowering) packed(n *model.Node, kernel string, words int, src *model.Tensor, pack func(dst []float32) error) ([]float32, error) {
	l.packs += int64(words) * 4
	if l.prep != nil {
		return l.prep.pack(kernel, words)
	}
	dst := l.mem.Floats(words)
	l.rec.packs = append(l.rec.packs, recordedPack{kernel, dst})
	l.rec.sources[src] = true
	l.jobs = append(l.jobs, func() error {
		if err := pack(dst); err != nil {
			return fail.New(fail.Internal, "pack: %v", err).At(fail.Where{Node: string(n.ID), Op: n.Op})
		}
		return nil
	})
	return dst, nil
}

// packAll packs all weights, with as many goroutines as the plan has threads.
func (l *lowering) packAll() error {
	g := task.NewGroup(l.ctx)
	var next atomic.Int32
	for range min(l.opt.Threads, len(l.jobs)) {
		g.Go("pack weights", func(ctx context.Context) error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(l.jobs) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := l.jobs[i](); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// finish packs weights, settles borders, places buffers and publishes the plan.
// window says what a convolution's step slides over, for who reckons its floor: some algorithms need fewer products.
func (l *lowering) window(s *step) {
	for _, id := range s.Nodes {
		n := l.m.Graph.Node(id)
		if n == nil || n.Op != "Conv" && n.Op != "QLinearConv" {
			continue
		}
		w := n.Inputs[1]
		if n.Op == "QLinearConv" {
			w = n.Inputs[3]
		}
		dims, ok := l.inf.Types[w].Shape.Ints()
		if !ok || len(dims) < 3 {
			return
		}
		s.Window, s.Strides = slices.Clone(dims[2:]), make([]int, len(dims)-2)
		for i := range s.Strides {
			s.Strides[i] = 1
		}
		if given := n.Ints("strides"); len(given) == len(s.Strides) {
			for i, v := range given {
				s.Strides[i] = int(v)
			}
		}
		return
	}
}

func (l *lowering) finish() (*Plan, error) {
	if err := l.packAll(); err != nil {
		return nil, err
	}
	l.join()
	for _, b := range l.bufs {
		if b.isBlocked {
			if b.whole != nil {
				b.border = b.whole.border
			}
			b.layout.Top, b.layout.Left, b.layout.Bottom, b.layout.Right = b.border.Top, b.border.Left, b.border.Bottom, b.border.Right
			b.size = b.layout.Len() * b.elem
		}
	}
	inWhole := map[*buffer]int{} // bytes from the beginning of the whole
	for _, b := range l.bufs {
		if b.whole != nil {
			c, off := b.layout.C, 0
			b.layout, off = b.whole.layout.Part(b.at, c)
			inWhole[b] = off * b.elem
			b.size = b.whole.size - off*b.elem
		}
	}
	for _, s := range l.steps {
		if s.settle == nil {
			continue
		}
		if err := s.settle(); err != nil {
			return nil, fail.In(err, "plan", fail.Where{Node: s.Name, Op: s.Op})
		}
	}
	for _, s := range l.steps {
		l.window(s)
	}
	p := &Plan{Model: l.m, Options: l.opt, steps: l.steps, values: l.vals, Free: l.free, PackBytes: l.packs, Prepared: l.prep != nil, rec: l.rec}
	for _, v := range l.m.Graph.Inputs {
		if t, free := l.given[v.Name]; free {
			p.inputs = append(p.inputs, l.vals[v.Name])
			p.Inputs = append(p.Inputs, model.Value{Name: v.Name, Type: t})
		}
	}
	for _, o := range l.m.Graph.Outputs {
		p.outputs = append(p.outputs, l.vals[o.Name])
		p.Outputs = append(p.Outputs, model.Value{Name: o.Name, Type: l.vals[o.Name].typ})
	}
	for _, v := range l.vals {
		v.slot = p.slots
		p.slots++
	}
	for _, s := range l.steps {
		p.Steps = append(p.Steps, s.Step)
	}
	var err error
	p.buffers, p.arena, p.FloorBytes, err = place(l.bufs, len(l.steps))
	p.ArenaBytes = p.arena
	for b, off := range inWhole {
		b.off, b.alone = b.whole.off+off, b.whole.alone
	}
	return p, err
}
