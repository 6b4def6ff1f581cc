package conv

import (
	"fmt"

	"fettle/kernels/cpu"
)

// Link is one convolution of a chain: each reads what the one before writes.
type Link struct {
	Alg    *Algorithm
	Packed []float32
}

// Stripes runs a chain of convolutions by stripes of rows: what lies between two of them is a few rows in the second-level cache, never
// a whole tensor. Rows that the next stripe needs too move up. Workers claim runs of stripes; the first stripe of a run computes all of its rows.
type Stripes struct {
	links   []Link
	in, out cpu.Layout
	res     *cpu.Layout // added by the last link
	work    int
	runs    [][]stripe   // what workers claim
	mem     []cpu.Layout // between two links, with room for the tallest stripe
	off     []int        // of these in a worker's scratch, floats
	slot    int          // floats of a worker
}

// stripe is the part of the chain that makes some rows of one picture.
type stripe struct {
	img   int
	links []stripeLink
}

// stripeLink is a link cut to the rows of one stripe.
type stripeLink struct {
	k              Bound
	in, out, res   int        // offsets in floats: of tensors at the ends, else of the memory between links
	at             cpu.Layout // what it writes, where that lies between two links
	above, missing int        // rows of at before and behind those that exist: padding
	y1, x0         int        // end of its rows; the row of its tensor that is row 0 of at
	from, keep     int        // rows of at that the stripe before made: where they lie, and how many
	first          bool       // no stripe is before it: scratch holds anything
}

// sizer is what an algorithm can do that runs on some rows of a picture.
type sizer interface {
	sized(s Shape) impl // nil: not possible
}

func (d *direct) sized(s Shape) impl {
	if d.nhwc || d.from != nil {
		return nil
	}
	c := *d
	c.s = s
	return &c
}

func (d *depthwise) sized(s Shape) impl {
	c := *d
	c.s = s
	return &c
}

// CanStripe tells whether a may be a link.
func (a *Algorithm) CanStripe() bool {
	z, ok := a.impl.(sizer)
	return ok && z.sized(a.Shape) != nil && a.In.Block == blk
}

// rowsOf are the rows of the input that rows y0..y1 of the output read, padding included.
func (s Shape) rowsOf(y0, y1 int) (int, int) {
	return y0*s.SH - s.PadT, (y1-1)*s.SH + (s.KH-1)*s.DH + 1 - s.PadT
}

// between is the size in bytes of what lies between the links while rows rows of the output are made.
func between(links []Link, rows int) int {
	sum := 0
	for j := len(links) - 1; j > 0; j-- {
		s := links[j].Alg.Shape
		a, b := s.rowsOf(0, rows)
		rows = b - a
		sum += 4 * rows * (s.W + s.PadL + s.PadR) * roundUp(s.C, blk)
	}
	return sum
}

// Bounds of chains that gain from stripes, and of the memory of a stripe: it shares a second-level cache of 512 KB with weights.
const (
	stripeBytes   = 256 << 10
	stripeWeights = 96 << 10
)

// StripeRows is the height of the stripes for a chain: 0 where the chain gains nothing, because all of it stays in the cache, or its
// weights do not.
func StripeRows(links []Link) int {
	if len(links) < 2 {
		return 0
	}
	weights := 0
	for _, l := range links {
		if !l.Alg.CanStripe() {
			return 0
		}
		weights += 4 * l.Alg.PackedLen()
	}
	h := links[len(links)-1].Alg.Shape.OutH()
	if weights > stripeWeights || between(links, h) <= stripeBytes {
		return 0
	}
	rows := 1
	for rows < h && between(links, rows+1) <= stripeBytes {
		rows++
	}
	n := ceilDiv(h, rows) // stripes of equal height
	return ceilDiv(h, n)
}

// BindStripes binds a chain for stripes of rows rows. in is the input of the first link, out and res are those of the last.
func BindStripes(links []Link, in, out cpu.Layout, res *cpu.Layout, rows, workers int) (*Stripes, error) {
	last := len(links) - 1
	b := &Stripes{links: links, in: in, out: out, res: res, work: workers}
	for j, l := range links {
		s := l.Alg.Shape
		if !l.Alg.CanStripe() || s.Residual != (j == last && res != nil) {
			return nil, fmt.Errorf("%s cannot be link %d of %d", l.Alg.Name, j, len(links))
		}
		if j > 0 {
			if p := links[j-1].Alg.Shape; p.M != s.C || p.OutH() != s.H || p.OutW() != s.W || p.N != s.N {
				return nil, fmt.Errorf("%s does not read what %s writes", l.Alg.Name, links[j-1].Alg.Name)
			}
		}
	}
	h := links[last].Alg.Shape.OutH()
	b.room(min(rows, h))
	bound := map[linkKey]Bound{}
	n := ceilDiv(h, rows)
	per := n // stripes of a run
	if workers > 1 {
		per = ceilDiv(n, min(n, 2*workers))
	}
	for img := range in.N {
		var before *stripe
		for i := range n {
			if i%per == 0 {
				before = nil
				b.runs = append(b.runs, nil)
			}
			p, err := b.cut(img, i*rows, min(h, (i+1)*rows), before, bound)
			if err != nil {
				return nil, err
			}
			run := &b.runs[len(b.runs)-1]
			*run = append(*run, p)
			before = &p
		}
	}
	return b, nil
}

// room lays out the memory between links for stripes of n rows.
func (b *Stripes) room(n int) {
	b.mem, b.off = make([]cpu.Layout, len(b.links)-1), make([]int, len(b.links)-1)
	for j := len(b.links) - 1; j > 0; j-- {
		s := b.links[j].Alg.Shape
		y0, y1 := s.rowsOf(0, n)
		n = y1 - y0
		need := s.border()
		l := cpu.NewLayout(1, s.C, n, s.W, blk, cpu.Border{Left: need.Left, Right: need.Right})
		if l.Plane()/blk%2 == 0 {
			l.Gap = blk // planes an odd number of lines apart do not meet in one set of the cache
		}
		b.mem[j-1] = l
	}
	for j, l := range b.mem {
		b.off[j] = b.slot
		b.slot += roundUp(l.Len(), blk) + blk
	}
}

// view is n rows of one picture of l.
func view(l cpu.Layout, n int) cpu.Layout {
	v := cpu.NewLayout(1, l.C, n, l.W, l.Block, cpu.Border{Left: l.Left, Right: l.Right})
	v.Gap = l.Plane() - v.Plane()
	return v
}

// linkKey says which parts of stripes share their tables.
type linkKey struct {
	link, h       int
	from, to, res cpu.Layout
}

// cut makes the stripe of rows y0..y1 of picture img behind the stripe before, nil for none. Links of equal shape share their tables.
func (b *Stripes) cut(img, y0, y1 int, before *stripe, bound map[linkKey]Bound) (stripe, error) {
	p := stripe{img: img, links: make([]stripeLink, len(b.links))}
	last := len(b.links) - 1
	at, first := b.out, b.out.Top // what link j writes, and the row of it that is row 0
	for j := last; j >= 0; j-- {
		l, k := b.links[j], &p.links[j]
		s := l.Alg.Shape
		k.first = before == nil
		if k.y1 = y1; j < last && before != nil {
			w := &before.links[j]
			if k.keep = w.y1 - y0; k.keep > 0 {
				k.from, y0 = y0-w.x0, w.y1
			} else {
				k.keep = 0
			}
		}
		x0, x1 := s.rowsOf(y0, y1)
		s.N, s.H, s.PadT, s.PadB = 1, x1-x0, 0, 0
		to := view(at, y1-y0)
		k.out = (y0 + first) * at.Row()
		var res *cpu.Layout
		if j == last {
			k.out += img * at.Image()
			if b.res != nil {
				r := view(*b.res, y1-y0)
				res, k.res = &r, img*b.res.Image()+(y0+b.res.Top)*b.res.Row()
			}
		}
		var from cpu.Layout
		if j > 0 {
			from = view(b.mem[j-1], x1-x0)
		} else {
			from = view(b.in, x1-x0)
			k.in = img*b.in.Image() + (x0+b.in.Top)*b.in.Row()
		}
		key := linkKey{link: j, h: s.H, from: from, to: to}
		if res != nil {
			key.res = *res
		}
		if bound[key] == nil {
			a := *l.Alg
			a.Shape, a.impl = s, l.Alg.impl.(sizer).sized(s)
			a.In.Border = s.border()
			var err error
			if bound[key], err = a.Bind(l.Packed, from, to, res, 1); err != nil {
				return p, err
			}
		}
		k.k = bound[key]
		if j > 0 {
			have0, have1 := max(0, x0), min(l.Alg.Shape.H, x1)
			w := &p.links[j-1]
			w.at, w.above, w.missing, w.x0 = from, have0-x0, x1-have1, x0
			at, first, y0, y1 = b.mem[j-1], -x0, have0, have1
		}
	}
	return p, nil
}

// Scratch is the number of floats that a Run needs for itself.
func (b *Stripes) Scratch() int { return b.slot * b.work }

// On ties the chain to the memory of one session.
func (b *Stripes) On(buf Buffers) Run {
	hold(buf.In, buf.Out, buf.Res, b.in, b.out, b.res)
	if len(buf.Scratch) < b.Scratch() {
		panic(fmt.Sprintf("conv: scratch has %d floats, %d are needed", len(buf.Scratch), b.Scratch()))
	}
	r := &stripesRun{b: b, buf: buf, runs: make([][][]Run, b.work)}
	for w := range r.runs {
		slot := buf.Scratch[w*b.slot:][:b.slot]
		for _, run := range b.runs {
			var l []Run
			for _, p := range run {
				for j, k := range p.links {
					l = append(l, k.k.On(b.memory(buf, slot, j, &k)))
				}
			}
			r.runs[w] = append(r.runs[w], l)
		}
	}
	return r
}

// memory is what link j of a stripe works on.
func (b *Stripes) memory(buf Buffers, slot []float32, j int, k *stripeLink) Buffers {
	t := Buffers{In: buf.In[k.in:]}
	if j > 0 {
		t.In = slot[b.off[j-1]:]
	}
	if j < len(b.links)-1 {
		t.Out = slot[b.off[j]+k.out:]
		return t
	}
	t.Out = buf.Out[k.out:]
	if b.res != nil {
		t.Res = buf.Res[k.res:]
	}
	return t
}

type stripesRun struct {
	b    *Stripes
	buf  Buffers
	runs [][][]Run // by worker and run of stripes: the links of all its stripes
}

func (r *stripesRun) Stages() int    { return 1 }
func (r *stripesRun) Pieces(int) int { return len(r.b.runs) }

// Piece makes a run of stripes.
func (r *stripesRun) Piece(_, i, worker int) {
	n := len(r.b.links)
	for at, run := range r.runs[worker][i] {
		if j := at % n; j+1 < n {
			r.b.pad(&r.b.runs[i][at/n].links[j], r.buf.Scratch[worker*r.b.slot+r.b.off[j]:], &r.b.mem[j])
		}
		for s := range run.Stages() {
			for piece := range run.Pieces(s) {
				run.Piece(s, piece, 0)
			}
		}
	}
}

// pad moves the rows up that the stripe before made, and clears what the next link reads around the rows that exist. Scratch holds anything, but no link
// writes a border: what the first stripe of a run has cleared stays clear, and rows that move take their ends along.
func (b *Stripes) pad(k *stripeLink, d []float32, mem *cpu.Layout) {
	l := &k.at
	row, step, blocks := l.Row(), l.Plane(), l.Blocks()
	above, keep := k.above*row, k.keep*row
	end := (l.H - k.missing) * row
	if keep > 0 {
		moveUp(d, above, k.from*row, keep, blocks, step)
	}
	left, edge, right := l.Left*blk, (l.Right+l.Left)*blk, l.Right*blk
	all := mem.H * row // rows of the tallest stripe
	for ; blocks > 0; blocks-- {
		if above > 0 {
			clear(d[:above])
		}
		if end < l.H*row {
			clear(d[end : l.H*row])
		}
		if k.first {
			clearEdge(d[:left])
			cpu.ClearColumns(d[:all], left+l.W*blk, edge, row) // of one row and the next, which lie together
			clearEdge(d[all-right:][:right])
		}
		d = d[min(step, len(d)):]
	}
}

// clearEdge is clear without a call for the edge that most rows have.
func clearEdge(s []float32) {
	if len(s) == 4 {
		*(*[4]float32)(s) = [4]float32{}
		return
	}
	clear(s)
}
