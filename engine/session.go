package engine

import (
	"context"
	"sync/atomic"
	"time"
	"unsafe"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/team"
	"fettle/model"
)

// Session is a plan with memory and workers. One goroutine uses it at a time.
type Session struct {
	Plan  *Plan
	crew  *team.Team
	block *cpu.Block
	arena []byte
	heap  []*model.Tensor // values whose shape is known only at run time
	fixed map[*value]*model.Tensor
	parts []part
	ends  []time.Duration
	subs  bodies
	owns  bool // the crew
	mark  *int64
}

// part is a run of kernel steps, or one step on the caller's goroutine.
type part struct {
	first, last int // steps, half open
	tasks       []team.Task
	groups      []team.Task // the same, with fewer barriers
	ofStep      []int       // step of each task
	eval        func(ctx context.Context, s *Session) error
}

// NewSession allocates the arena and starts the workers. Close gives both back.
func (p *Plan) NewSession() (*Session, error) {
	crew := newCrew(p.Options)
	s, err := p.newSession(crew)
	if err != nil {
		crew.Close()
		return nil, err
	}
	s.owns = true
	return s, nil
}

// newCrew starts the workers, on Arm each on a processor of its own where clusters are unlike: a worker that the operating system moves to a
// slow core holds all others up.
func newCrew(opt Options) *team.Team {
	if (opt.Features.Arch == "arm64" || opt.Features.Arch == "arm") && opt.Threads > 1 {
		if seats := cpu.Seats(cpu.MachineClusters(), opt.Threads, team.Allowed()); seats != nil {
			return team.NewOn(seats)
		}
	}
	return team.New(opt.Threads)
}

// newSession is NewSession with the workers of another session, which waits for this one.
func (p *Plan) newSession(crew *team.Team) (*Session, error) {
	block, err := cpu.NewBlock(p.arena + 2*align)
	if err != nil {
		return nil, fail.New(fail.TooBig, "cannot map %d MB for activations: %v", p.arena>>20, err)
	}
	s := &Session{Plan: p, crew: crew, block: block, arena: block.Bytes(),
		heap: make([]*model.Tensor, p.slots), fixed: map[*value]*model.Tensor{}}
	for _, v := range p.values {
		if v.plain != nil && v.data == nil {
			s.fixed[v] = &model.Tensor{DType: v.typ.DType, Shape: v.dims, Raw: s.bytes(v.plain)}
		}
	}
	if err := s.bind(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) bind() error {
	tasks := 0
	for i, st := range s.Plan.steps {
		if st.eval != nil {
			s.parts = append(s.parts, part{first: i, last: i + 1, eval: s.poisoned(i, st.eval)})
			continue
		}
		ts, err := st.bind(s)
		if err != nil {
			return fail.In(err, "bind "+st.Kernel, fail.Where{Node: st.Name, Op: st.Op})
		}
		ts = append(s.borders(st), ts...)
		if s.Plan.Options.Verify {
			ts = append([]team.Task{once(func() { s.poison(i) })}, ts...)
		}
		n := len(s.parts)
		if n == 0 || s.parts[n-1].eval != nil {
			s.parts = append(s.parts, part{first: i})
			n++
		}
		p := &s.parts[n-1]
		p.last = i + 1
		p.tasks = append(p.tasks, ts...)
		for range ts {
			p.ofStep = append(p.ofStep, i)
		}
		tasks = max(tasks, len(p.tasks))
	}
	for i := range s.parts {
		s.settle(&s.parts[i])
	}
	s.ends = make([]time.Duration, tasks)
	return nil
}

// borders gives the tasks that clear the border of what st writes. Kernels never write borders; memory that nothing
// else uses is cleared once, here.
func (s *Session) borders(st *step) []team.Task {
	var out []team.Task
	for _, b := range st.writes {
		if !b.isBlocked || b.border == (cpu.Border{}) && b.layout.Gap == 0 {
			continue
		}
		fill := func() {
			switch b.elem {
			case 4:
				cpu.FillBorder(b.layout, s.floats(b), 0)
			case 2:
				cpu.FillBorder(b.layout, view[int16](s.bytes(b)), 0)
			default:
				cpu.FillBorder(b.layout, s.bytes(b), b.fill)
			}
		}
		if b.alone && !s.Plan.Options.Verify {
			fill()
			continue
		}
		out = append(out, once(fill))
	}
	return out
}

// poison fills what step i writes first, and what died at the step before, with bytes that are NaN as a float: a kernel
// that reads memory that nobody wrote, or that somebody else owns by now, shows in the outputs.
func (s *Session) poison(i int) {
	for _, b := range s.Plan.buffers {
		if b.ext == nil && b.born >= 0 && (b.born == i || !b.pinned && b.last == i-1) {
			mem := s.arena[b.off : b.off+padded(b.size)]
			for k := range mem {
				mem[k] = 0xff
			}
		}
	}
}

// poisoned is eval, behind poison where the plan asks for it.
func (s *Session) poisoned(i int, eval func(context.Context, *Session) error) func(context.Context, *Session) error {
	if !s.Plan.Options.Verify {
		return eval
	}
	return func(ctx context.Context, ses *Session) error {
		ses.poison(i)
		return eval(ctx, ses)
	}
}

// bytes is the memory of b.
func (s *Session) bytes(b *buffer) []byte {
	if b.ext != nil {
		return b.ext
	}
	return s.arena[b.off : b.off+b.size : b.off+padded(b.size)]
}

// floats is the memory of b as float32.
func (s *Session) floats(b *buffer) []float32 { return view[float32](s.bytes(b)) }

func view[T any](b []byte) []T {
	if len(b) == 0 {
		return nil
	}
	var z T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(z)))
}

// tensor is the current content of v in row-major form.
func (s *Session) tensor(v *value) *model.Tensor {
	switch {
	case v == nil:
		return nil
	case v.data != nil:
		return v.data
	case v.dynamic:
		return s.heap[v.slot]
	}
	return s.fixed[v]
}

// store puts a reference kernel's output where its readers look for it.
func (s *Session) store(v *value, t *model.Tensor) error {
	if v.dynamic {
		s.heap[v.slot] = s.own(t)
		return nil
	}
	dst := s.fixed[v]
	if t.DType != v.typ.DType || len(t.Raw) != len(dst.Raw) {
		// What a node makes of known inputs is inferred; behind values that are known only now a file's declaration is believed.
		return fail.New(fail.Invalid, "the value is declared as %s%v, the node makes %s%v", v.typ.DType, v.dims, t.DType, t.Shape).At(fail.Where{Tensor: v.name})
	}
	copy(dst.Raw, t.Raw)
	return nil
}

// own is t outside the arena: a kernel that hands its input on must not make a value of memory that is reused.
func (s *Session) own(t *model.Tensor) *model.Tensor {
	if t.DType.Composite() {
		c := *t
		c.Elems = make([]*model.Tensor, len(t.Elems))
		for i, e := range t.Elems {
			c.Elems[i] = s.own(e)
		}
		return &c
	}
	if len(t.Raw) == 0 || len(s.arena) == 0 {
		return t
	}
	p, a := uintptr(unsafe.Pointer(unsafe.SliceData(t.Raw))), uintptr(unsafe.Pointer(unsafe.SliceData(s.arena)))
	if p >= a && p < a+uintptr(len(s.arena)) {
		return t.Clone()
	}
	return t
}

// Run computes the outputs, in the order of the graph, as new tensors.
func (s *Session) Run(ctx context.Context, inputs map[string]*model.Tensor) ([]*model.Tensor, error) {
	return s.RunTimed(ctx, inputs, nil)
}

// Feed copies the inputs into the session without running, for timing the run alone.
func (s *Session) Feed(inputs map[string]*model.Tensor) error {
	for _, v := range s.Plan.inputs {
		t := inputs[v.name]
		if t == nil {
			return fail.New(fail.Invalid, "input is not given").At(fail.Where{Tensor: v.name})
		}
		if err := s.feed(v, t); err != nil {
			return err
		}
	}
	for name := range inputs {
		known := false
		for _, v := range s.Plan.inputs {
			known = known || v.name == name
		}
		if !known {
			return fail.New(fail.Invalid, "the model has no such input").At(fail.Where{Tensor: name})
		}
	}
	return nil
}

// kinds are the dtypes of values that are made of tensors.
var kinds = map[model.TypeKind]model.DType{model.KindSequence: model.Sequence, model.KindMap: model.Map}

func (s *Session) feed(v *value, t *model.Tensor) error {
	if v.dynamic {
		if want := kinds[v.typ.Kind]; want != t.DType && (want != model.Undefined || t.DType == model.Map) {
			return fail.New(fail.Invalid, "the input is %s, the value given is %s", v.typ, model.TypeOf(t)).At(fail.Where{Tensor: v.name})
		}
		s.heap[v.slot] = t
		return nil
	}
	if t.DType != v.typ.DType {
		return fail.New(fail.Invalid, "the input is %s, the value given is %s", v.typ.DType, t.DType).At(fail.Where{Tensor: v.name})
	}
	if len(t.Shape) != len(v.dims) {
		return fail.New(fail.Invalid, "the plan is for shape %v, the value given has %v", v.dims, t.Shape).At(fail.Where{Tensor: v.name})
	}
	for i := range v.dims {
		if t.Shape[i] != v.dims[i] {
			return fail.New(fail.Invalid, "the plan is for shape %v, the value given has %v", v.dims, t.Shape).At(fail.Where{Tensor: v.name})
		}
	}
	if err := t.Check(); err != nil {
		return fail.In(err, "", fail.Where{Tensor: v.name})
	}
	copy(s.bytes(v.plain), t.Raw)
	return nil
}

// RunTimed is Run; ns, if not nil, has one place a step and gets the nanoseconds each step took.
func (s *Session) RunTimed(ctx context.Context, inputs map[string]*model.Tensor, ns []int64) ([]*model.Tensor, error) {
	if err := s.Feed(inputs); err != nil {
		return nil, err
	}
	if err := s.Exec(ctx, ns); err != nil {
		return nil, err
	}
	return s.Outputs(), nil
}

// Exec runs the plan on the inputs fed before. It allocates nothing unless a step has only a reference kernel.
func (s *Session) Exec(ctx context.Context, ns []int64) error {
	if ns != nil && len(ns) < len(s.Plan.steps) {
		return fail.New(fail.Internal, "room for %d times of %d steps", len(ns), len(s.Plan.steps))
	}
	for i := range s.parts {
		if err := s.part(ctx, &s.parts[i], ns); err != nil {
			return err
		}
	}
	return nil
}

// Mark has each Exec from now on write the step that it is at to where at points, one step after the other; nil: no longer.
// Who watches that place, from another process too, knows the step in which a run died or stays. Such a run is slower.
func (s *Session) Mark(at *int64) { s.mark = at }

func (s *Session) part(ctx context.Context, p *part, ns []int64) error {
	if s.mark != nil {
		atomic.StoreInt64(s.mark, int64(p.first))
	}
	if p.eval != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		begin := time.Now()
		err := p.eval(ctx, s)
		if ns != nil {
			ns[p.first] = int64(time.Since(begin))
		}
		st := s.Plan.steps[p.first]
		return fail.In(err, "run", fail.Where{Node: st.Name, Op: st.Op})
	}
	if ns == nil && s.mark != nil {
		for i, t := range p.tasks {
			atomic.StoreInt64(s.mark, int64(p.ofStep[i]))
			if err := s.crew.Run(ctx, t); err != nil {
				return err
			}
		}
		return nil
	}
	if ns == nil {
		return s.crew.Run(ctx, p.groups...)
	}
	ends := s.ends[:len(p.tasks)]
	if err := s.crew.RunTimed(ctx, ends, p.tasks...); err != nil {
		return err
	}
	for i := p.first; i < p.last; i++ {
		ns[i] = 0
	}
	var before time.Duration
	for i, e := range ends {
		ns[p.ofStep[i]] += int64(e - before)
		before = e
	}
	return nil
}

// Outputs copies the current outputs.
func (s *Session) Outputs() []*model.Tensor {
	out := make([]*model.Tensor, len(s.Plan.outputs))
	for i, v := range s.Plan.outputs {
		t := s.tensor(v)
		if t != nil && !v.dynamic {
			t = t.Clone()
		}
		out[i] = t
	}
	return out
}

// Close stops the workers and frees the arena.
func (s *Session) Close() {
	s.closeBodies()
	if s.owns {
		s.crew.Close()
	}
	_ = s.block.Free()
	s.arena = nil
}

// pieces is a task of n independent pieces.
type pieces struct {
	n int
	f func(piece, worker int)
}

func (p pieces) Stages() int       { return 1 }
func (p pieces) Pieces(int) int    { return p.n }
func (p pieces) Piece(_, i, w int) { p.f(i, w) }
func once(f func()) team.Task      { return pieces{1, func(int, int) { f() }} }
func split(n, parts int) int       { return max(1, (n+parts-1)/parts) }

// ranges is a task over [0, n) in chunks of at least grain elements.
func ranges(n, grain int, f func(from, to int)) team.Task {
	count := min(64, max(1, n/max(1, grain)))
	size := split(n, count)
	return pieces{(n + size - 1) / size, func(i, _ int) { f(i*size, min(n, (i+1)*size)) }}
}
