package train

import (
	"fettle/internal/fail"
	"fettle/model"
)

// A stretch is a run of nodes that each treat images by themselves. It is taken image by image, or a few small ones at once, through all
// its nodes, so that what one writes is still in the second-level cache when the next reads it. Statistics of a batch end a stretch: they
// are summed up behind the node that makes their input, and the normalisation begins the next one. Sums belong to fixed parts of the batch,
// not to workers, so that any number of workers gives the same bits.

// job is the images that a stretch works on at once.
type job struct {
	cut, first, n int
	room          [][]float32 // scratch of the worker
}

// of gives the images of a job of a value of the whole batch; size is that of one.
func (j job) of(v []float32, size int) []float32 { return v[j.first*size : (j.first+j.n)*size] }

// images calls f with the numbers of each image of a job and where they begin in v. Sums are taken image by image, so that they do not depend
// on how many are worked on at once.
func (j job) images(v []float32, f func(at int, v []float32)) {
	size := len(v) / j.n
	for i := range j.n {
		f(i*size, v[i*size:(i+1)*size])
	}
}

// stretch is what its two directions have in common.
type stretch struct {
	t     *tape[float32]
	batch int
	size  int // images at once; 0: no convolution has asked yet
	ops   []func(j job)
	done  []func() // when all jobs are
}

// local reports whether node i can be a part of a stretch.
func (s *stretch) local(a applied[float32]) bool {
	t, n := s.t, a.n
	x := t.value(n.Inputs[0])
	if x == nil || len(x.shape) != 4 || x.shape[0] != s.batch || t.byName[n.Inputs[0]] != nil {
		return false
	}
	switch n.Op {
	case "Conv":
		p := t.byName[n.Inputs[1]]
		if p == nil || p.order || len(p.v.shape) != 4 {
			return false
		}
		g, err := geometryOf(n, x.shape, p.v.shape[2], p.v.shape[3], p.v.shape[0])
		return err == nil && t.fast.fits(g) && s.takes(t.fast.job(g))
	case "BatchNormalization":
		if !t.joins[n] {
			return true
		}
		other := t.value(n.Inputs[5])
		return other != nil && len(other.v) == len(x.v)
	case "Add":
		if len(n.Inputs) != 2 || t.byName[n.Inputs[1]] != nil {
			return false
		}
		y := t.value(n.Inputs[1])
		return y != nil && len(y.shape) == 4 && len(y.v) == len(x.v)
	case "Relu", "Clip":
		return true
	}
	return false
}

// takes reports whether a convolution that works on so many images at once fits in, and remembers them.
func (s *stretch) takes(job int) bool {
	if s.size == 0 {
		s.size = job
	}
	return s.size == job
}

// run takes all images through the stretch. slots are the sizes of an image in each place of scratch.
func (s *stretch) run(slots []int) {
	f := s.t.fast
	if s.size == 0 {
		s.size = max(1, s.batch/f.cuts/4)
	}
	f.scratch(slots, s.size)
	f.groups(s.batch, s.size, func(cut, worker, first, n int) {
		j := job{cut, first, n, f.room[worker]}
		for _, op := range s.ops {
			op(j)
		}
	})
	for _, d := range s.done {
		d()
	}
}

// scratch makes room for n images in each slot of each worker.
func (f *fast) scratch(slots []int, n int) {
	workers := 1
	if f.crew != nil {
		workers = f.crew.Size()
	}
	for len(f.room) < workers {
		f.room = append(f.room, nil)
	}
	for w := range f.room {
		for i, size := range slots {
			if i == len(f.room[w]) {
				f.room[w] = append(f.room[w], nil)
			}
			if len(f.room[w][i]) < n*size {
				f.room[w][i] = make([]float32, n*size+slack)[: n*size : n*size]
			}
		}
	}
}

// index finds who makes and who reads each value.
func (t *tape[T]) index() {
	t.maker, t.readers = map[string]int{}, map[string][]int{}
	for i, a := range t.nodes {
		t.maker[a.out] = i
		for _, in := range a.n.Inputs {
			t.readers[in] = append(t.readers[in], i)
		}
	}
}

// ahead runs the stretch that begins at node from and ends before to, and gives the node behind it: from where there is none.
func (t *tape[T]) ahead(from, to int) (int, error) {
	u, ok := any(t).(*tape[float32])
	if !ok || t.fast == nil {
		return from, nil
	}
	s := &stretch{t: u, batch: t.items}
	if t.maker == nil {
		t.index()
	}
	at := from
	for ; at < to; at++ {
		a := u.nodes[at]
		if a.many != nil || !s.local(a) || a.n.Op == "BatchNormalization" && !t.frozen && t.maker[a.n.Inputs[0]] >= from && at > from {
			break
		}
		if err := s.forward(at, a); err != nil {
			return at, trainIn(err, a.n)
		}
	}
	if at > from {
		s.run(nil)
	}
	return at, nil
}

// forward adds a node.
func (s *stretch) forward(at int, a applied[float32]) error {
	t, n := s.t, a.n
	in := t.inputs(n)
	x := in[0]
	var y *array[float32]
	var saved any
	switch n.Op {
	case "Conv":
		w := in[1]
		g, err := geometryOf(n, x.shape, w.shape[2], w.shape[3], w.shape[0])
		if err != nil {
			return err
		}
		y, saved = t.array(g.n, g.m, g.oh, g.ow), g
		t.macs += g.macs()
		var bias []float32
		if len(in) > 2 && in[2] != nil {
			bias = in[2].v
		}
		c := t.fast.forwards(n.ID, g, t.fast.job(g), w.v, bias)
		s.ops = append(s.ops, func(j job) { c.run(j.first, j.n, y.v, x.v) })
	case "BatchNormalization":
		v, err := t.statistics(n, in, t.moments[at])
		if err != nil {
			return err
		}
		y = t.array(x.shape...)
		pass, size := t.normPass(n, in, &v, y), len(x.v)/s.batch
		saved = v
		s.ops = append(s.ops, func(j job) { pass(j.first*size, (j.first+j.n)*size) })
	case "Add":
		y = t.array(x.shape...)
		size := len(x.v) / s.batch
		s.ops = append(s.ops, func(j job) { sum(t.muls, j.of(y.v, size), j.of(x.v, size), j.of(in[1].v, size)) })
	case "Relu":
		y = t.array(x.shape...)
		saved = y
		size := len(x.v) / s.batch
		s.ops = append(s.ops, func(j job) { t.relu(j.of(y.v, size), j.of(x.v, size)) })
	case "Clip":
		bounds, err := t.bounds(n)
		if err != nil {
			return err
		}
		y, saved = t.array(x.shape...), bounds
		size := len(x.v) / s.batch
		s.ops = append(s.ops, func(j job) { t.clip(bounds, j.of(y.v, size), j.of(x.v, size)) })
	}
	t.values[a.out] = y
	t.saved[at] = saved
	t.inner[at] = true
	s.sumsFor(a.out, y)
	return nil
}

// sumsFor adds up what the normalisations that read a value need to know of it.
func (s *stretch) sumsFor(name string, v *array[float32]) {
	t := s.t
	for _, r := range t.readers[name] {
		n := t.nodes[r].n
		if n.Op != "BatchNormalization" || t.frozen || n.Inputs[0] != name || len(v.shape) != 4 {
			continue
		}
		shift, c := t.byName[n.Inputs[3]], v.shape[1]
		if shift == nil {
			continue
		}
		sums, size := t.fast.sumsByCut(c), len(v.v)/s.batch
		s.ops = append(s.ops, func(j job) {
			j.images(j.of(v.v, size), func(_ int, x []float32) { t.fast.Moments(x, shift.v.v, sums[j.cut].a, sums[j.cut].b) })
		})
		s.done = append(s.done, func() {
			if t.replaying { // the running mean is another by now
				return
			}
			m := total(sums)
			t.moments[r] = &m
		})
	}
}

// flow is a gradient on its way: of the whole batch, or of the images of a job.
type flow struct {
	v    *array[float32] // nil: slot
	slot int
	size int // of an image
	refs int // of a slot: how many values have it
}

func (f *flow) of(j job) []float32 {
	if f.v != nil {
		return j.of(f.v.v, f.size)
	}
	return j.room[f.slot][: j.n*f.size : j.n*f.size]
}

// backStretch is a stretch backward: nodes from top down to low.
type backStretch struct {
	stretch
	top, low int
	flows    map[string]*flow // of values inside
	slots    []int
	free     map[int][]int // slots by size
	dropped  []*array[float32]
}

// astern runs the stretch whose last node is top and that does not go below bottom, and gives the node before it: top where there is none.
func (t *tape[T]) astern(top, bottom int) (int, error) {
	u, ok := any(t).(*tape[float32])
	if !ok || t.fast == nil || t.watch != nil || !t.inner[top] {
		return top, nil
	}
	s := &backStretch{stretch: stretch{t: u, batch: t.items}, top: top, low: top + 1, flows: map[string]*flow{}, free: map[int][]int{}}
	has := func(name string) bool { // some node of the stretch gives a gradient of it
		for _, r := range t.readers[name] {
			if r >= s.low && r <= top {
				return true
			}
		}
		return false
	}
	for i := top; i >= bottom && t.inner[i]; i-- {
		n := t.nodes[i].n
		if n.Op == "BatchNormalization" && !t.frozen && has(t.nodes[i].out) {
			break
		}
		if g, ok := t.saved[i].(geometry); ok && !s.takes(t.fast.job(g)) {
			break
		}
		s.low = i
	}
	if s.low > top {
		return top, nil
	}
	for i := top; i >= s.low; i-- {
		s.backward(i)
	}
	if len(s.ops) > 0 {
		s.run(s.slots)
	}
	for _, d := range s.dropped {
		t.give(any(d.v).([]T))
	}
	return s.low - 1, t.trouble()
}

// get is the gradient of a value so far, or nil.
func (s *backStretch) get(name string) *flow {
	if f := s.flows[name]; f != nil {
		return f
	}
	if v := s.t.grads[name]; v != nil {
		return &flow{v: v, size: len(v.v) / s.batch}
	}
	return nil
}

// inside reports whether the gradient of a value begins and ends in the stretch.
func (s *backStretch) inside(name string) bool {
	t := s.t
	at, ok := t.maker[name]
	if !ok || at < s.low || at > s.top || t.grads[name] != nil {
		return false
	}
	for _, r := range t.readers[name] {
		if r < s.low || r > s.top {
			return false
		}
	}
	return true
}

// room makes a flow for an image of so many numbers in scratch.
func (s *backStretch) room(size int) *flow {
	if l := s.free[size]; len(l) > 0 {
		s.free[size] = l[:len(l)-1]
		return &flow{slot: l[len(l)-1], size: size}
	}
	s.slots = append(s.slots, size)
	return &flow{slot: len(s.slots) - 1, size: size}
}

// alone reports whether nobody else has the numbers of f.
func (s *backStretch) alone(f *flow) bool {
	if f.v != nil {
		return s.t.users[f.v] == 1
	}
	return f.refs == 1
}

// set says that f is the gradient of a value.
func (s *backStretch) set(name string, f *flow) {
	if f.v != nil {
		s.t.users[f.v]++
		s.t.grads[name] = f.v
		return
	}
	f.refs++
	s.flows[name] = f
}

// drop says that one value less has the numbers of f. Memory of the batch is given back when all jobs are done.
func (s *backStretch) drop(f *flow) {
	switch {
	case f.v != nil:
		if s.t.users[f.v]--; s.t.users[f.v] == 0 {
			s.dropped = append(s.dropped, f.v)
		}
	default:
		if f.refs--; f.refs <= 0 {
			s.free[f.size] = append(s.free[f.size], f.slot)
		}
	}
}

// fresh is an unused flow for the gradient of a value.
func (s *backStretch) fresh(name string, shape []int) *flow {
	size := 1
	for _, d := range shape[1:] {
		size *= d
	}
	if s.inside(name) {
		return s.room(size)
	}
	return &flow{v: s.t.array(shape...), size: size}
}

// into gives where node i writes its part of the gradient of a value; then has to follow the writing.
func (s *backStretch) into(i int, name string, shape []int) (to *flow, then func()) {
	old := s.get(name)
	if old == nil {
		f := s.fresh(name, shape)
		s.set(name, f)
		return f, func() { s.complete(i, name, nil) }
	}
	part := s.room(old.size)
	part.refs = 1
	return part, func() { s.add(i, name, part); s.drop(part) }
}

// add adds part to the gradient of a value that has one.
func (s *backStretch) add(i int, name string, part *flow) {
	t, old := s.t, s.get(name)
	if !s.alone(old) { // others have it too
		c := s.fresh(name, t.values[name].shape)
		s.ops = append(s.ops, func(j job) { sum(t.muls, c.of(j), old.of(j), part.of(j)) })
		delete(s.flows, name)
		s.set(name, c)
		s.drop(old)
		s.complete(i, name, nil)
		return
	}
	if s.complete(i, name, part) {
		return
	}
	s.ops = append(s.ops, func(j job) { sum(t.muls, old.of(j), old.of(j), part.of(j)) })
	s.complete(i, name, nil)
}

// share gives the numbers of f to a value too.
func (s *backStretch) share(i int, name string, f *flow, shape []int) {
	if s.get(name) != nil {
		s.add(i, name, f)
		return
	}
	if f.v == nil && !s.inside(name) {
		c, from := s.fresh(name, shape), f
		s.ops = append(s.ops, func(j job) { copy(c.of(j), from.of(j)) })
		f = c
	}
	s.set(name, f)
	s.complete(i, name, nil)
}

// complete is told of each part of the gradient of a value. Behind the last one, the sums that a normalisation needs are taken. With more,
// it adds that too in the same pass, or says that it cannot.
func (s *backStretch) complete(i int, name string, more *flow) bool {
	t := s.t
	at, ok := t.maker[name]
	if !ok || !t.inner[at] || t.saved[at] == nil || at >= s.low || t.frozen || t.nodes[at].n.Op != "BatchNormalization" || t.readers[name][0] != i || len(t.readers[name]) > 1 && t.readers[name][1] == i {
		return false
	}
	f, v := s.get(name), t.saved[at].(normSaved[float32])
	if v.out == nil && more != nil || v.out != nil && !s.alone(f) || t.ended[at] != nil {
		return false
	}
	x := t.value(t.nodes[at].n.Inputs[0])
	mean, sums, size := v.middle(), t.fast.sumsByCut(len(v.inv)), len(x.v)/s.batch
	s.ops = append(s.ops, func(j job) {
		var m []float32
		if more != nil {
			m = more.of(j)
		}
		xs := j.of(x.v, size)
		j.images(f.of(j), func(at int, d []float32) {
			part := m
			if m != nil {
				part = m[at:][:size]
			}
			t.normSums(&v, d, part, xs[at:][:size], mean, j.first*size+at, sums[j.cut].a, sums[j.cut].b)
		})
	})
	s.done = append(s.done, func() {
		m := total(sums)
		t.ended[at] = &m
	})
	return true
}

// backward adds the gradient of node i.
func (s *backStretch) backward(i int) {
	t, a := s.t, s.t.nodes[i]
	g, n := s.get(a.out), a.n
	if g == nil {
		return
	}
	in := t.inputs(n)
	x := in[0]
	size := len(x.v) / s.batch
	switch v := t.saved[i].(type) {
	case geometry:
		s.conv(i, v, in, g)
	case normSaved[float32]:
		s.norm(i, v, in, g)
	case *array[float32]: // Relu
		s.gated(i, x.shape, g, func(j job, to, d []float32) { t.fast.Mask(to, d, j.of(v.v, size)) })
	case [2]float32: // Clip
		s.gated(i, x.shape, g, func(j job, to, d []float32) { t.fast.Band(to, d, j.of(x.v, size), v[0], v[1]) })
	default: // Add
		for k, name := range n.Inputs {
			s.share(i, name, g, in[k].shape)
		}
	}
	s.drop(g)
}

// gated adds a node that lets a part of its gradient through, in place where nobody else has it.
func (s *backStretch) gated(i int, shape []int, g *flow, pass func(j job, to, d []float32)) {
	name := s.t.nodes[i].n.Inputs[0]
	if s.alone(g) {
		s.ops = append(s.ops, func(j job) { pass(j, g.of(j), g.of(j)) })
		s.share(i, name, g, shape)
		return
	}
	to, then := s.into(i, name, shape)
	s.ops = append(s.ops, func(j job) { pass(j, to.of(j), g.of(j)) })
	then()
}

func (s *backStretch) conv(i int, g geometry, in []*array[float32], d *flow) {
	t, n := s.t, s.t.nodes[i].n
	x, back := in[0], t.wants(n.Inputs[0])
	c, w := t.fast.backwards(n.ID, g, t.fast.job(g), in[1].v, back, true), in[1].v
	c.k.again = func() { c.k.fill(g, c.whole, w, back) }
	size := len(x.v) / s.batch
	t.macs += g.macs()
	if len(in) > 2 && in[2] != nil {
		sums, none := t.fast.sumsByCut(g.m), make([]float32, g.m)
		s.ops = append(s.ops, func(j job) {
			j.images(d.of(j), func(_ int, d []float32) { t.fast.Moments(d, none, sums[j.cut].a, sums[j.cut].b) })
		})
		s.done = append(s.done, func() {
			db := t.array(g.m)
			for k, v := range total(sums).a {
				db.v[k] = float32(v)
			}
			t.accumulate(n.Inputs[2], db)
		})
	}
	s.ops = append(s.ops, func(j job) { c.weights(j.cut, j.n, j.of(x.v, size), d.of(j)) })
	s.done = append(s.done, func() {
		dw := t.array(in[1].shape...)
		finish := func() { clear(dw.v); c.add(dw.v) }
		if len(t.readers[n.Inputs[1]]) > 1 {
			finish()
		} else {
			t.late = append(t.late, finish)
		}
		t.accumulate(n.Inputs[1], dw)
	})
	if !back {
		return
	}
	t.macs += g.macs()
	to, then := s.into(i, n.Inputs[0], x.shape)
	s.ops = append(s.ops, func(j job) { c.input(j.n, to.of(j), d.of(j)) })
	then()
}

func (s *backStretch) norm(i int, v normSaved[float32], in []*array[float32], d *flow) {
	t, n := s.t, s.t.nodes[i].n
	x, c := in[0], len(v.inv)
	size, mean := len(x.v)/s.batch, v.middle()
	if v.out != nil && !s.alone(d) { // it is about to change
		f := s.room(d.size)
		if d.v != nil {
			f = &flow{v: t.array(x.shape...), size: d.size}
			t.users[f.v] = 1
		}
		old := d
		copied := func(j job) { copy(f.of(j), old.of(j)) }
		if t.frozen || d.v == nil {
			s.ops = append(s.ops, copied)
		} else {
			copy(f.v.v, d.v.v)
		}
		d = f
		d.refs = 1
		defer s.drop(d)
	}
	var pass func(dst, d, x []float32)
	finish := func(dscale, dshift *array[float32]) {
		t.accumulate(n.Inputs[1], dscale)
		t.accumulate(n.Inputs[2], dshift)
	}
	if t.frozen {
		sums := t.fast.sumsByCut(c)
		s.ops = append(s.ops, func(j job) {
			xs := j.of(x.v, size)
			j.images(d.of(j), func(at int, d []float32) {
				t.normSums(&v, d, nil, xs[at:][:size], mean, j.first*size+at, sums[j.cut].a, sums[j.cut].b)
			})
		})
		pass, _, _ = t.normBlend(&v, in, newChannelSums(c), len(x.v)/c)
		s.done = append(s.done, func() {
			_, dscale, dshift := t.normBlend(&v, in, total(sums), len(x.v)/c)
			finish(dscale, dshift)
		})
	} else {
		sums := t.ended[i]
		if sums == nil { // its gradient came from outside of stretches
			cuts := t.fast.sumsByCut(c)
			t.fast.groups(s.batch, 1, func(cut, _, first, _ int) {
				at := first * size
				t.normSums(&v, d.v.v[at:at+size], nil, x.v[at:at+size], mean, at, cuts[cut].a, cuts[cut].b)
			})
			m := total(cuts)
			sums = &m
		}
		var dscale, dshift *array[float32]
		pass, dscale, dshift = t.normBlend(&v, in, *sums, len(x.v)/c)
		finish(dscale, dshift)
	}
	to, then := s.into(i, n.Inputs[0], x.shape)
	s.ops = append(s.ops, func(j job) { pass(to.of(j), d.of(j), j.of(x.v, size)) })
	then()
	if v.out != nil {
		s.share(i, n.Inputs[5], d, x.shape)
	}
}

func trainIn(err error, n *model.Node) error {
	return fail.In(err, "train", fail.Where{Node: string(n.ID), Op: n.Op})
}
