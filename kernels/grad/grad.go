// Package grad holds the kernels of training: sums over rows that tables name (convolutions forward, backward to their inputs
// and backward to their weights, whatever the window, stride, dilation or group), and passes by channel for normalisations. Values lie
// as [pixels, channels].
//
// It knows no operators and no threads: callers cut work into pieces. Start reading at Product. Where a machine has no rows for it,
// New says so and callers take other ways; the portable kernels are what tests compare with.
package grad

import (
	"unsafe"

	"fettle/kernels/cpu"
)

// args is what a kernel reads. The offsets are known to _asm/amd64gen/grad.go; TestOffsets compares them.
type args struct {
	x, zero, b, c, bias, table, outs unsafe.Pointer
	k, taps, n, step, ld, cur        int64
	mask                             unsafe.Pointer
	chans                            int64
}

// Kernels are the functions for one instruction set.
type Kernels struct {
	isa   cpu.ISA
	width int // floats of a vector
	rows  [3][]func(*args)
	outer [3][]func(*args)
	depth [5]func(*args) // by vectors
	down  [5]func(*args) // gradients of depth's weights

	win      [3][3][30]func(*args) // of depthwise windows, by vectors, stride, and 5 times taps of a row and border
	winOuter [3][3][30]func(*args) // gradients of their weights

	pass  [passes][3]func(*args)
	zeros []float32
}

// The passes by channel.
const (
	moments = iota
	dots
	affine
	blend
	mask
	dotsRelu
	affineRelu
	blendRelu
	join
	openDots
	addOpenDots
	band
	passes
)

// mostK bounds the channels of a row: so many zeros stand for a row outside of a picture.
const mostK = 1 << 14

// New picks the best instruction set of f; false where only portable kernels exist.
func New(f cpu.Features) (Kernels, bool) {
	k, ok := archKernels(f)
	if !ok {
		k = portable()
	}
	k.zeros = cpu.Floats(mostK)
	return k, ok
}

// ISA names the instruction set.
func (k *Kernels) ISA() cpu.ISA { return k.isa }

// Place says which rows of the input each row of the result reads.
type Place struct {
	Out int32   // where the row of the result begins, in floats
	In  []int32 // where its row of the input begins, a tap each; negative: a row of zeros
}

// tile is rows of the result that a kernel makes at once.
type run struct {
	mr, n       int
	table, outs []int32
}

// Product is a sum over taps of rows of one value times a matrix a tap, for many rows: C[out] = sum X[in_t]·B_t + bias.
type Product struct {
	k        *Kernels
	Taps     int
	K, M     int // numbers of a row of the input, of the result
	nv, wide int // vectors of a panel, rows of a tile
	runs     []run
	pairs    [][]int32 // of a strip and a tap: places of the rows of the input and of the result, two each
	strips   int
	masks    [16]int32
	needX    int // least lengths of the values
	needC    int
}

// stripFloats bounds what a pass for gradients of weights touches, so that it stays in the first-level cache.
const stripFloats = 6000

// NewProduct plans the rows of places. Every place has as many taps.
func (k *Kernels) NewProduct(kk, m int, places []Place) *Product {
	p := &Product{k: k, K: kk, M: m, nv: 2, Taps: len(places[0].In)}
	w := k.width
	if narrow := 9 * ((m + w - 1) / w); narrow < 16*((m+2*w-1)/(2*w)) {
		p.nv = 1 // a load more for each product, but fewer columns beyond the matrix
	}
	p.wide = len(k.rows[p.nv]) - 1
	for from := 0; from < len(places); {
		mr, n := p.cut(len(places) - from)
		r := run{mr: mr, n: n}
		for range n {
			for t := range p.Taps {
				for i := range mr {
					r.table = append(r.table, places[from+i].In[t])
				}
			}
			for i := range mr {
				r.outs = append(r.outs, places[from+i].Out)
			}
			from += mr
		}
		p.runs = append(p.runs, r)
	}
	strip := max(32, stripFloats/(kk+p.nr()))
	for from := 0; from < len(places); from += strip {
		p.strips++
		for t := range p.Taps {
			var l []int32
			for _, q := range places[from:min(len(places), from+strip)] {
				if q.In[t] >= 0 {
					l = append(l, q.In[t], q.Out)
				}
			}
			p.pairs = append(p.pairs, l)
		}
	}
	for _, q := range places {
		p.needC = max(p.needC, int(q.Out)+m)
		for _, x := range q.In {
			p.needX = max(p.needX, int(x)+kk)
		}
	}
	p.masks = k.maskOf(m - (p.panels()-1)*p.nr())
	return p
}

// maskOf keeps the first live floats of a panel.
func (k *Kernels) maskOf(live int) (m [16]int32) {
	if k.isa == cpu.AVX512F {
		for j := range 2 {
			m[j] = int32(1<<min(16, max(0, live-16*j)) - 1)
		}
		return m
	}
	for j := range min(live, 16) {
		m[j] = -1
	}
	return m
}

// cut takes tiles off left rows: a low tile at the end would wait for its sums, so the last two share their rows.
func (p *Product) cut(left int) (mr, n int) {
	n = left / p.wide
	rest := left % p.wide
	switch {
	case n == 0:
		return left, 1
	case rest > 0 && rest < 4 && n > 1:
		return p.wide, n - 1
	case rest > 0 && rest < 4:
		return (left + 1) / 2, 1
	}
	return p.wide, n
}

func (p *Product) nr() int     { return p.nv * p.k.width }
func (p *Product) panels() int { return (p.M + p.nr() - 1) / p.nr() }

// PackedLen is the number of floats of packed matrices, and BiasLen that of a bias.
func (p *Product) PackedLen() int { return p.panels() * p.Taps * p.K * p.nr() }

// BiasLen is the number of floats of a bias: M, and zeros.
func (p *Product) BiasLen() int { return p.panels() * p.nr() }

// Slack is how many floats behind the gradients of outputs Outer may read.
const Slack = 32

// Strides say where a number of the matrices lies: at k*K + m*M + (tap's place).
type Strides struct {
	K, M int
	Taps []int // the place of each tap
}

// Pack writes the matrices as Run reads them: [panel][tap][k][columns of a panel]. Packed in the order of Outer, gradients lie alike.
func (p *Product) Pack(dst, w []float32, s Strides) {
	nr := p.nr()
	for panel := range p.panels() {
		live := min(nr, p.M-panel*nr)
		for _, tap := range s.Taps {
			for k := range p.K {
				row := dst[:nr]
				dst = dst[nr:]
				at := tap + k*s.K + panel*nr*s.M
				for j := range live {
					row[j] = w[at]
					at += s.M
				}
				clear(row[live:])
			}
		}
	}
}

// Add adds gradients as Outer leaves them to those in the order of the weights.
func (p *Product) Add(w, packed []float32, s Strides) {
	nr := p.nr()
	for panel := range p.panels() {
		live := min(nr, p.M-panel*nr)
		for _, tap := range s.Taps {
			for k := range p.K {
				at := tap + k*s.K + panel*nr*s.M
				for _, v := range packed[:live] {
					w[at] += v
					at += s.M
				}
				packed = packed[nr:]
			}
		}
	}
}

// Run computes c. bias is nil or has BiasLen floats.
func (p *Product) Run(c, x, packed, bias []float32) {
	_, _ = c[:p.needC], x[:max(p.needX, 0)]
	nr, size := p.nr(), p.Taps*p.K*p.nr()
	_ = packed[:p.PackedLen()]
	a := args{x: at(x, 0), zero: at(p.k.zeros, 0), k: int64(p.K), taps: int64(p.Taps)}
	for panel := range p.panels() {
		a.b, a.c, a.mask = at(packed, panel*size), at(c, panel*nr), nil
		if bias != nil {
			a.bias = at(bias[:p.BiasLen()], panel*nr)
		}
		if (panel+1)*nr > p.M {
			a.mask = unsafe.Pointer(&p.masks)
		}
		for i := range p.runs {
			r := &p.runs[i]
			a.table, a.outs, a.n = unsafe.Pointer(&r.table[0]), unsafe.Pointer(&r.outs[0]), int64(r.n)
			p.k.rows[p.nv][r.mr](&a)
		}
	}
}

// Outer adds the gradient of the matrices to dw, in the order of Pack: sum over rows of X[in_t]ᵀ·D[out]. Slack floats behind d must
// be readable.
func (p *Product) Outer(dw, x, d []float32) {
	_, _ = d[:p.needC], x[:max(p.needX, 0)]
	nr, size := p.nr(), p.Taps*p.K*p.nr()
	_ = dw[:p.PackedLen()]
	f := p.k.outer[p.nv]
	a := args{ld: int64(4 * nr)}
	for s := range p.strips {
		for panel := range p.panels() {
			a.b = at(d, panel*nr)
			for t := range p.Taps {
				l := p.pairs[s*p.Taps+t]
				if len(l) == 0 {
					continue
				}
				a.table, a.n = unsafe.Pointer(&l[0]), int64(len(l)/2)
				for k := 0; k < p.K; {
					mr := height(p.K-k, len(f)-1)
					a.x, a.c = at(x, k), at(dw, panel*size+(t*p.K+k)*nr)
					f[mr](&a)
					k += mr
				}
			}
		}
	}
}

// height is how many of left rows a kernel of at most top takes: all heights are about equal.
func height(left, top int) int {
	n := (left + top - 1) / top
	return (left + n - 1) / n
}

func at(v []float32, i int) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(v[i:])) }
