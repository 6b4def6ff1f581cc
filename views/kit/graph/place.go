package graph

// place finds the middles of the verts: each wants to stand under, or above, what it is joined to, and neighbours in a
// row keep their distance. A row is solved exactly, as a monotone regression; rows are solved down and up by turns.
//
// A box weighs more than a bend, both when it pulls and when it is pushed. The two must be the same weights: then the
// mean of a row's ends is where the row began, and a chain of residual blocks does not drift to one side.
func (l *level) place() {
	for _, row := range l.rows { // start: packed around zero
		x := float32(0)
		for i, v := range row {
			if i > 0 {
				x += l.apart(row[i-1], v)
			}
			l.verts[v].x = x
		}
		for _, v := range row {
			l.verts[v].x -= x / 2
		}
	}
	s := &solver{}
	for range 3 {
		l.pass(s, true)
		l.pass(s, false)
	}
	l.pass(s, true)
	lo, hi := float32(0), float32(0)
	for i := range l.verts {
		p := &l.verts[i]
		if i == 0 || p.x-p.w/2 < lo {
			lo = p.x - p.w/2
		}
		if i == 0 || p.x+p.w/2 > hi {
			hi = p.x + p.w/2
		}
	}
	for i := range l.verts {
		l.verts[i].x = float32(int(l.verts[i].x-lo+.5)) + 0.0
	}
	l.w = float32(int(hi - lo + 1))
}

// apart is the least distance of the middles of two neighbours.
func (l *level) apart(a, b int32) float32 {
	u, v := &l.verts[a], &l.verts[b]
	gap := float32(colGap)
	if u.kind != box || v.kind != box {
		gap = bendGap
	}
	return (u.w+v.w)/2 + gap
}

func weight(k kind) float32 {
	if k == bend {
		return 1
	}
	return 4
}

func (l *level) pass(s *solver, down bool) {
	for i := range l.rows {
		r := i
		if !down {
			r = len(l.rows) - 1 - i
		}
		row := l.rows[r]
		s.start()
		for k, v := range row {
			d := l.verts[v].x
			w := weight(l.verts[v].kind)
			if want, ok := l.wanted(v, down); ok {
				d = want
			} else if want, ok := l.wanted(v, !down); ok {
				d = want
			} else {
				w = .01
			}
			sep := float32(0)
			if k > 0 {
				sep = l.apart(row[k-1], v)
			}
			s.add(d, w, sep)
		}
		s.solve()
		for k, v := range row {
			l.verts[v].x = s.x[k]
		}
	}
}

// wanted is the mean of what the links on one side ask for.
func (l *level) wanted(v int32, down bool) (float32, bool) {
	list := l.up[v]
	if !down {
		list = l.down[v]
	}
	sum, w := float32(0), float32(0)
	for _, i := range list {
		k := &l.links[i]
		u, d := k.a, k.da-k.db
		if !down {
			u, d = k.b, k.db-k.da
		}
		f := weight(l.verts[u].kind)
		sum += f * (l.verts[u].x + d)
		w += f
	}
	if w == 0 {
		return 0, false
	}
	return sum / w, true
}

// solver minimises the sum of w·(x-d)² for x in order and at least sep apart: pool adjacent violators.
type solver struct {
	x, off     []float32
	sum, w     []float32 // of the pools
	n          []int
	wish, mass []float32
}

func (s *solver) start() {
	s.x, s.off, s.wish, s.mass = s.x[:0], s.off[:0], s.wish[:0], s.mass[:0]
}

func (s *solver) add(want, weight, sep float32) {
	o := sep
	if k := len(s.off); k > 0 {
		o += s.off[k-1]
	}
	s.off = append(s.off, o)
	s.wish = append(s.wish, want-o)
	s.mass = append(s.mass, weight)
}

func (s *solver) solve() {
	s.sum, s.w, s.n = s.sum[:0], s.w[:0], s.n[:0]
	for i := range s.wish {
		s.sum = append(s.sum, s.wish[i]*s.mass[i])
		s.w = append(s.w, s.mass[i])
		s.n = append(s.n, 1)
		for k := len(s.n) - 1; k > 0 && s.sum[k-1]/s.w[k-1] > s.sum[k]/s.w[k]; k-- {
			s.sum[k-1] += s.sum[k]
			s.w[k-1] += s.w[k]
			s.n[k-1] += s.n[k]
			s.sum, s.w, s.n = s.sum[:k], s.w[:k], s.n[:k]
		}
	}
	i := 0
	for k := range s.n {
		for range s.n[k] {
			s.x = append(s.x, s.sum[k]/s.w[k]+s.off[i])
			i++
		}
	}
}

// rise finds the tops: a row is as high as its highest box, and rows stand apart by what the widest curve between them
// needs.
func (l *level) rise() {
	l.top, l.high = make([]float32, len(l.rows)), make([]float32, len(l.rows))
	reach := make([]float32, len(l.rows))
	for _, k := range l.links {
		d := l.verts[k.a].x + k.da - l.verts[k.b].x - k.db
		r := l.verts[k.a].row
		reach[r] = max(reach[r], d, -d)
	}
	y := float32(0)
	for r, row := range l.rows {
		for _, v := range row {
			l.high[r] = max(l.high[r], l.verts[v].h)
		}
		l.top[r] = y
		for _, v := range row {
			p := &l.verts[v]
			p.y = y
			if p.kind == box {
				p.y += float32(int((l.high[r] - p.h) / 2))
			}
		}
		y += l.high[r]
		if r+1 < len(l.rows) {
			gap := float32(int(min(max(rowGap, 12+reach[r]/10), longRow)))
			if r == 0 && l.verts[row[0]].kind == entry {
				gap = max(gap, l.header)
			}
			y += gap
		}
	}
	l.h = y
}
