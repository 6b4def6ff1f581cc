package grad

import "unsafe"

// Depth is a convolution of each channel by itself: C[out] = sum X[in_t] * B_t + bias, element by element.
type Depth struct {
	k      *Kernels
	Taps   int
	C      int
	places []Place
	table  []int32
	outs   []int32
	pairs  [][]int32 // of a strip and a tap
	strips int
	win    *window // a window instead, for whole vectors of channels
}

// NewDepth plans the rows of places for c channels.
func (k *Kernels) NewDepth(c int, places []Place) *Depth {
	d := &Depth{k: k, Taps: len(places[0].In), C: c}
	d.plan(places)
	return d
}

// plan makes the tables of places.
func (d *Depth) plan(places []Place) {
	d.places = places
	c := d.C
	for _, q := range places {
		d.table, d.outs = append(d.table, q.In...), append(d.outs, q.Out)
	}
	strip := max(32, stripFloats/(2*c))
	for from := 0; from < len(places); from += strip {
		d.strips++
		for t := range d.Taps {
			var l []int32
			for _, q := range places[from:min(len(places), from+strip)] {
				if q.In[t] >= 0 {
					l = append(l, q.In[t], q.Out)
				}
			}
			d.pairs = append(d.pairs, l)
		}
	}
}

// chunks calls f for ranges of channels and the number of vectors of a kernel for them, and rest for those that fill no vector.
func (d *Depth) chunks(f func(from, nv int), rest func(from int)) {
	from := 0
	if d.win != nil { // these ran
		from = d.C / d.k.width * d.k.width
	}
	for nv := 4; nv > 0; nv /= 2 {
		for ; from+nv*d.k.width <= d.C && d.k.depth[nv] != nil; from += nv * d.k.width {
			f(from, nv)
		}
	}
	if from < d.C {
		rest(from)
	}
}

// Run computes c. w is [taps, channels]; bias is nil or one number a channel.
func (d *Depth) Run(c, x, w, bias []float32) {
	if d.win != nil {
		d.runWindow(c, x, w, bias)
	}
	d.chunks(func(from, nv int) {
		a := args{x: at(x, from), b: at(w, from), c: at(c, from), table: unsafe.Pointer(&d.table[0]), outs: unsafe.Pointer(&d.outs[0]),
			taps: int64(d.Taps), n: int64(len(d.outs)), ld: int64(4 * d.C)}
		if bias != nil {
			a.bias = at(bias, from)
		}
		d.k.depth[nv](&a)
	}, func(from int) {
		for _, q := range d.places {
			row := c[int(q.Out):][:d.C]
			for ch := from; ch < d.C; ch++ {
				sum := float32(0)
				if bias != nil {
					sum = bias[ch]
				}
				for t, p := range q.In {
					if p >= 0 {
						sum += x[int(p)+ch] * w[t*d.C+ch]
					}
				}
				row[ch] = sum
			}
		}
	})
}

// Outer adds the gradient of the weights to dw, [taps, channels].
func (d *Depth) Outer(dw, x, g []float32) {
	if d.win != nil {
		d.outerWindow(dw, x, g)
	}
	for s := range d.strips {
		for t := range d.Taps {
			l := d.pairs[s*d.Taps+t]
			if len(l) == 0 {
				continue
			}
			d.chunks(func(from, nv int) {
				a := args{x: at(x, from), b: at(g, from), c: at(dw, t*d.C+from), table: unsafe.Pointer(&l[0]), n: int64(len(l) / 2)}
				d.k.down[nv](&a)
			}, func(from int) {
				for i := 0; i < len(l); i += 2 {
					for ch := from; ch < d.C; ch++ {
						dw[t*d.C+ch] += x[int(l[i])+ch] * g[int(l[i+1])+ch]
					}
				}
			})
		}
	}
}
