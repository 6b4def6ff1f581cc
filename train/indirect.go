package train

import (
	"context"
	"slices"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/kernels/grad"
	"fettle/kernels/team"
	"fettle/model"
)

// fast is what a tape of float32 has on machines with vector kernels for training.
type fast struct {
	grad.Kernels
	crew  *team.Team // nil: the caller alone
	cuts  int        // parts of the batch with sums of their own: the same for any number of workers
	plans map[geometry]*convPlan
	packs map[model.NodeID]*packed     // of the weights of each convolution
	sums  map[model.NodeID][][]float32 // room for their gradients, a cut each
	room  [][][]float32                // scratch of each worker, by slot

	failed error // of a worker
}

// newFast is nil where the machine has no vector kernels for training. cuts is the number of parts of a batch.
func newFast(f cpu.Features, cuts int) *fast {
	k, ok := grad.New(f)
	if !ok {
		return nil
	}
	return &fast{Kernels: k, cuts: cuts, plans: map[geometry]*convPlan{}, packs: map[model.NodeID]*packed{}, sums: map[model.NodeID][][]float32{}}
}

// packed are weights in the orders of the kernels, until the next step changes them.
type packed struct {
	forward, depth   []float32
	back             [][]float32 // a phase each
	fresh, freshBack bool
	again            func() // packs weights that stay where they are; nil: not known to
}

// convPlan is a convolution over a number of images.
type convPlan struct {
	forward *grad.Product
	strides grad.Strides
	depth   *grad.Depth // instead of forward
	back    []phase
	undone  bool // some pixels of the input are read by no tap: their gradient is zero
}

// phase is the gradient of those pixels of the input that the same taps read.
type phase struct {
	product *grad.Product
	strides grad.Strides
	depth   *grad.Depth
	taps    []int
}

// jobPixels is how many output positions are worked on at once, at least: a share of the second-level cache.
const jobPixels = 512

// job is how many images are worked on at once.
func (f *fast) job(g geometry) int {
	return max(1, min(g.n/f.cuts, jobPixels/(g.oh*g.ow)))
}

// fits reports whether the vector kernels know g.
func (f *fast) fits(g geometry) bool {
	return f != nil && max(g.c, g.m)/g.group < 1<<14 && (g.group == 1 || g.depthwise() || g.c/g.group >= 4)
}

// plan is that of n images of g.
func (f *fast) plan(g geometry, n int) *convPlan {
	g.n = n
	if p := f.plans[g]; p != nil {
		return p
	}
	taps := g.kh * g.kw
	p := &convPlan{}
	cg, mg := g.c/g.group, g.m/g.group
	if w, ok := g.window(); ok {
		p.depth = f.NewWindow(g.c, w, n)
	} else if places := g.places(); g.depthwise() {
		p.depth = f.NewDepth(g.c, places)
	} else {
		p.forward = f.NewProduct(cg, mg, places)
		p.strides = grad.Strides{K: taps, M: cg * taps}
		for t := range taps {
			p.strides.Taps = append(p.strides.Taps, t)
		}
	}
	for a := range g.sh {
		for b := range g.sw {
			ph, read := f.phase(g, a, b)
			p.undone = p.undone || !read
			if ph != nil {
				p.back = append(p.back, *ph)
			}
		}
	}
	f.plans[g] = p
	return p
}

// window is a depthwise convolution without gaps between taps, as a window over pictures.
func (g geometry) window() (grad.Window, bool) {
	return grad.Window{H: g.h, W: g.w, OH: g.oh, OW: g.ow, KH: g.kh, KW: g.kw, SY: g.sh, SX: g.sw, PT: g.pt, PL: g.pl, RowStep: g.ow, Step: 1, Pixels: g.oh * g.ow},
		g.depthwise() && g.dh*g.dw == 1
}

// places lists what each output reads.
func (g geometry) places() []grad.Place {
	var places []grad.Place
	g.rows(func(out int, in []int) {
		q := grad.Place{Out: int32(out * g.m), In: make([]int32, len(in))}
		for t, at := range in {
			q.In[t] = int32(max(at*g.c, -1))
		}
		places = append(places, q)
	})
	return places
}

// rows calls f for every output position, with the pixel that each tap reads, or -1 in the padding.
func (g geometry) rows(f func(out int, in []int)) {
	in := make([]int, g.kh*g.kw)
	for p := range g.n * g.oh * g.ow {
		g.taps(p, p+1, func(_, tap, pixel int) { in[tap] = pixel })
		f(p, in)
	}
}

// phase plans the gradient of the input pixels y, x with (y + pt) mod sh = a and (x + pl) mod sw = b: nil if there are none, false if
// there are some that no tap reads.
func (f *fast) phase(g geometry, a, b int) (*phase, bool) {
	ph := &phase{}
	type tap struct{ y, x int }
	var taps []tap
	for ky := range g.kh {
		for kx := range g.kw {
			if (a-ky*g.dh)%g.sh == 0 && (b-kx*g.dw)%g.sw == 0 {
				ph.taps, taps = append(ph.taps, ky*g.kw+kx), append(taps, tap{ky * g.dh, kx * g.dw})
			}
		}
	}
	if w, ok := g.backWindow(a, b); ok {
		if w.OH == 0 || w.OW == 0 || len(taps) == 0 {
			return nil, w.OH == 0 || w.OW == 0
		}
		slices.Reverse(ph.taps) // the later a tap, the earlier what it reads
		ph.depth = f.NewWindow(g.c, w, g.n)
		return ph, true
	}
	var places []grad.Place
	for img := range g.n {
		for y := range g.h {
			for x := range g.w {
				if (y+g.pt)%g.sh != a || (x+g.pl)%g.sw != b {
					continue
				}
				q := grad.Place{Out: int32(((img*g.h+y)*g.w + x) * g.c)}
				for _, t := range taps {
					oy, ox, at := y+g.pt-t.y, x+g.pl-t.x, -1
					if oy >= 0 && ox >= 0 && oy/g.sh < g.oh && ox/g.sw < g.ow {
						at = ((img*g.oh+oy/g.sh)*g.ow + ox/g.sw) * g.m
					}
					q.In = append(q.In, int32(at))
				}
				places = append(places, q)
			}
		}
	}
	if len(places) == 0 || len(taps) == 0 {
		return nil, len(places) == 0
	}
	n := g.kh * g.kw
	if g.depthwise() {
		ph.depth = f.NewDepth(g.c, places)
		return ph, true
	}
	cg := g.c / g.group
	ph.product = f.NewProduct(g.m/g.group, cg, places)
	ph.strides = grad.Strides{K: cg * n, M: n, Taps: ph.taps}
	return ph, true
}

// backWindow is the gradient of a phase of the input of a depthwise convolution as a window over the gradients of its outputs.
func (g geometry) backWindow(a, b int) (grad.Window, bool) {
	if _, ok := g.window(); !ok {
		return grad.Window{}, false
	}
	y, top, kh := phaseOf(g.h, g.pt, g.kh, g.sh, a)
	x, left, kw := phaseOf(g.w, g.pl, g.kw, g.sw, b)
	return grad.Window{H: g.oh, W: g.ow, OH: (g.h - y + g.sh - 1) / g.sh, OW: (g.w - x + g.sw - 1) / g.sw, KH: kh, KW: kw, SY: 1, SX: 1, PT: top, PL: left,
		First: y*g.w + x, RowStep: g.sh * g.w, Step: g.sw, Pixels: g.h * g.w}, true
}

// phaseOf gives, along one dimension, the first pixel of a phase, the padding before its window over outputs, and the number of its taps.
func phaseOf(size, pad, taps, stride, phase int) (first, before, n int) {
	first = ((phase-pad)%stride + stride) % stride
	last := -1 // tap, which reads first
	for k := range taps {
		if (phase-k)%stride == 0 {
			n, last = n+1, k
		}
	}
	if first >= size {
		return size, 0, n
	}
	if n == 0 {
		return first, 0, 0
	}
	return first, -(first + pad - last) / stride, n
}

// changed says that the weights are others now. A crew packs at once those that it knows to lie where they lay; the rest are packed when
// they are used.
func (f *fast) changed() {
	if f == nil {
		return
	}
	var l []*packed
	for _, k := range f.packs {
		k.fresh, k.freshBack = false, false
		if k.again != nil && f.crew != nil {
			l = append(l, k)
		}
	}
	f.each(len(l), func(i, _ int) { l[i].again() })
}

// pack gives the weights of a convolution in the orders of the kernels.
func (f *fast) pack(id model.NodeID, g geometry, p *convPlan, w []float32, back bool) *packed {
	k := f.packs[id]
	if k == nil {
		k = &packed{}
		f.packs[id] = k
	}
	k.fill(g, p, w, back)
	return k
}

// fill packs what is not fresh.
func (k *packed) fill(g geometry, p *convPlan, w []float32, back bool) {
	size := len(w) / g.group // of a group
	if !k.fresh {
		k.fresh = true
		if p.depth != nil {
			k.depth = byTaps(g, w)
		} else {
			n := p.forward.PackedLen()
			k.forward = sized(k.forward, g.group*n)
			for i := range g.group {
				p.forward.Pack(k.forward[i*n:], w[i*size:][:size], p.strides)
			}
		}
	}
	if !back || k.freshBack {
		return
	}
	k.freshBack = true
	if len(k.back) != len(p.back) {
		k.back = make([][]float32, len(p.back))
	}
	for j, ph := range p.back {
		if ph.depth != nil {
			k.back[j] = k.back[j][:0]
			for _, t := range ph.taps {
				k.back[j] = append(k.back[j], k.depth[t*g.c:][:g.c]...)
			}
			continue
		}
		n := ph.product.PackedLen()
		k.back[j] = sized(k.back[j], g.group*n)
		for i := range g.group {
			ph.product.Pack(k.back[j][i*n:], w[i*size:][:size], ph.strides)
		}
	}
}

// sized is v, or a new slice where its length is not n.
func sized(v []float32, n int) []float32 {
	if len(v) == n {
		return v
	}
	return make([]float32, n)
}

// byTaps turns depthwise weights [C, 1, kh, kw] to [taps, C].
func byTaps(g geometry, w []float32) []float32 {
	taps := g.kh * g.kw
	out := make([]float32, len(w))
	for i, v := range w {
		out[i%taps*g.c+i/taps] = v
	}
	return out
}

// each calls f for 0..n-1, on the crew where there is one. The calls are independent of each other.
func (f *fast) each(n int, work func(i, worker int)) {
	if f.crew == nil || n == 1 {
		for i := range n {
			work(i, 0)
		}
		return
	}
	if err := f.crew.Run(context.Background(), pieces{n, work}); err != nil && f.failed == nil {
		f.failed = fail.New(fail.Internal, "%v", err)
	}
}

// pieces is one stage of independent calls.
type pieces struct {
	n    int
	work func(i, worker int)
}

func (p pieces) Stages() int       { return 1 }
func (p pieces) Pieces(int) int    { return p.n }
func (p pieces) Piece(_, i, w int) { p.work(i, w) }

// jobs calls work for groups of images, in as many parts as there are cuts.
func (f *fast) jobs(g geometry, work func(cut, first, n int)) {
	f.groups(g.n, f.job(g), func(cut, _, first, n int) { work(cut, first, n) })
}

// groups calls work for at most size images of n at once, in as many parts as there are cuts. Which images belong to a cut does not depend
// on size, so that sums do not either.
func (f *fast) groups(n, size int, work func(cut, worker, first, n int)) {
	f.each(f.cuts, func(cut, worker int) {
		to := n * (cut + 1) / f.cuts
		for from := n * cut / f.cuts; from < to; from += size {
			work(cut, worker, from, min(size, to-from))
		}
	})
}

// prepare makes the plans that groups of job images of g need: workers only read them.
func (f *fast) prepare(g geometry, job int) (whole *convPlan, rest map[int]*convPlan) {
	whole = f.plan(g, job)
	for cut := range f.cuts {
		if r := (g.n*(cut+1)/f.cuts - g.n*cut/f.cuts) % job; r > 0 && rest[r] == nil {
			if rest == nil {
				rest = map[int]*convPlan{}
			}
			rest[r] = f.plan(g, r)
		}
	}
	return whole, rest
}

// forwards is a convolution forward, ready for jobs.
type forwards struct {
	g     geometry
	job   int
	whole *convPlan
	rest  map[int]*convPlan // of fewer images
	k     *packed
	bias  []float32
}

func (f *fast) forwards(id model.NodeID, g geometry, job int, w, bias []float32) forwards {
	whole, rest := f.prepare(g, job)
	k := f.pack(id, g, whole, w, false)
	if bias != nil && whole.depth == nil && whole.forward.BiasLen() != g.m { // room for the last panel, group by group
		mg, n := g.m/g.group, whole.forward.BiasLen()
		wide := make([]float32, g.group*n)
		for i := range g.group {
			copy(wide[i*n:], bias[i*mg:][:mg])
		}
		bias = wide
	}
	return forwards{g, job, whole, rest, k, bias}
}

// run is that of the images first to first+n.
func (c forwards) run(first, n int, y, x []float32) {
	g, p := c.g, c.whole
	if n != c.job {
		p = c.rest[n]
	}
	xs, ys := x[first*g.c*g.h*g.w:], y[first*g.m*g.oh*g.ow:]
	if p.depth != nil {
		p.depth.Run(ys, xs, c.k.depth, c.bias)
		return
	}
	for i := range g.group {
		b := c.bias
		if b != nil {
			b = b[i*p.forward.BiasLen():]
		}
		p.forward.Run(ys[i*g.m/g.group:], xs[i*g.c/g.group:], c.k.forward[i*p.forward.PackedLen():], b)
	}
}

func (f *fast) forward(id model.NodeID, g geometry, y, x, w, bias []float32) {
	c := f.forwards(id, g, f.job(g), w, bias)
	f.jobs(g, func(_, first, n int) { c.run(first, n, y, x) })
}

// backwards is the gradient of a convolution, ready for jobs.
type backwards struct {
	g     geometry
	job   int
	whole *convPlan
	rest  map[int]*convPlan // of fewer images
	k     *packed
	sums  [][]float32 // of the weights, a cut each, in the order of the kernels; nil: not wanted
}

// backwards prepares for a gradient of the input, where back says so, and of the weights, where learn does.
func (f *fast) backwards(id model.NodeID, g geometry, job int, w []float32, back, learn bool) *backwards {
	whole, rest := f.prepare(g, job)
	b := &backwards{g: g, job: job, whole: whole, rest: rest, k: f.pack(id, g, whole, w, back)}
	if !learn {
		return b
	}
	size := len(w)
	if whole.depth == nil {
		size = g.group * whole.forward.PackedLen()
	}
	b.sums = f.sums[id]
	if len(b.sums) != f.cuts || len(b.sums[0]) != size {
		b.sums = make([][]float32, f.cuts)
		for i := range b.sums {
			b.sums[i] = make([]float32, size)
		}
		f.sums[id] = b.sums
	}
	for _, s := range b.sums {
		clear(s)
	}
	return b
}

// plan is that of n images.
func (c *backwards) plan(n int) *convPlan {
	if n != c.job {
		return c.rest[n]
	}
	return c.whole
}

// weights adds the gradient of the weights by n images; xs and ds begin at the first of them.
func (c *backwards) weights(cut, n int, xs, ds []float32) {
	g, p := c.g, c.plan(n)
	ds = ds[:cap(ds)]
	if p.depth != nil {
		p.depth.Outer(c.sums[cut], xs, ds)
		return
	}
	for i := range g.group {
		p.forward.Outer(c.sums[cut][i*p.forward.PackedLen():], xs[i*g.c/g.group:], ds[i*g.m/g.group:])
	}
}

// input writes the gradient of n images to to.
func (c *backwards) input(n int, to, ds []float32) {
	g, p := c.g, c.plan(n)
	ds, to = ds[:cap(ds)], to[:n*g.c*g.h*g.w]
	if p.undone {
		clear(to)
	}
	for j, ph := range p.back {
		if ph.depth != nil {
			ph.depth.Run(to, ds, c.k.back[j], nil)
			continue
		}
		for i := range g.group {
			ph.product.Run(to[i*g.c/g.group:], ds[i*g.m/g.group:], c.k.back[j][i*ph.product.PackedLen():], nil)
		}
	}
}

// add adds the gradients of all cuts to dw.
func (c *backwards) add(dw []float32) {
	g := c.g
	for _, s := range c.sums {
		if c.whole.depth != nil {
			taps := g.kh * g.kw
			for i := range dw {
				dw[i] += s[i%taps*g.c+i/taps]
			}
			continue
		}
		n, part := c.whole.forward.PackedLen(), len(dw)/g.group
		for i := range g.group {
			c.whole.forward.Add(dw[i*part:][:part], s[i*n:][:n], c.whole.strides)
		}
	}
}

// backward adds the gradient of the weights to dw and writes that of the input to dx, each unless it is nil; grad.Slack floats behind dy
// are readable.
func (f *fast) backward(id model.NodeID, g geometry, dx, dw, x, w, dy []float32) {
	c := f.backwards(id, g, f.job(g), w, dx != nil, dw != nil)
	f.jobs(g, func(cut, first, n int) {
		xs, ds := x[first*g.c*g.h*g.w:], dy[first*g.m*g.oh*g.ow:]
		if dw != nil {
			c.weights(cut, n, xs, ds)
		}
		if dx != nil {
			c.input(n, dx[first*g.c*g.h*g.w:], ds)
		}
	})
	if dw != nil {
		c.add(dw)
	}
}

// ranges calls f for parts of n rows.
func (f *fast) ranges(n int, work func(cut, from, to int)) {
	f.each(f.cuts, func(cut, _ int) {
		if from, to := n*cut/f.cuts, n*(cut+1)/f.cuts; from < to {
			work(cut, from, to)
		}
	})
}

// bySums adds up two sums a channel over parts of the pixels of x, in the order of the parts.
func (f *fast) bySums(x []float32, c int, part func(from, to int, a, b []float64)) channelSums {
	sums := f.sumsByCut(c)
	f.ranges(len(x)/c, func(cut, from, to int) { part(from*c, to*c, sums[cut].a, sums[cut].b) })
	return total(sums)
}

// sumsByCut are zeros for each cut.
func (f *fast) sumsByCut(c int) []channelSums {
	sums := make([]channelSums, f.cuts)
	for i := range sums {
		sums[i] = newChannelSums(c)
	}
	return sums
}

// total adds up the sums of the cuts, in their order.
func total(sums []channelSums) channelSums {
	t := newChannelSums(len(sums[0].a))
	for _, s := range sums {
		for i := range s.a {
			t.a[i] += s.a[i]
			t.b[i] += s.b[i]
		}
	}
	return t
}
