package gemm

import (
	"fmt"
	"unsafe"

	"fettle/kernels/cpu"
)

// Buffers are the matrices of a run; a leading dimension of 0 means tight. 8-bit products use A8, C32, Bias32 instead of A, C, Bias; 64
// bytes behind A8 must be readable.
type Buffers struct {
	A, B, C, Bias []float32
	A8            []uint8
	C32, Bias32   []int32
	Packed        []float32 // B as Pack wrote it, if Shape.ConstB
	Scratch       []float32
	LDA, LDB, LDC int
	// Fill, where set, stands for B that is not constant: it writes a panel of K lines of as many columns as fit in dst, those beyond N zero.
	Fill func(dst []float32, panel int)
	// Post, where set, gets each piece of a float32 C as soon as its sums are complete, while it is in the cache.
	Post func(c []float32, rows, cols, ld int)
}

// Kernel is an algorithm with its cut into pieces, immutable.
type Kernel struct {
	*Algorithm
	work   int
	chunk  int // rows a piece, a multiple of the tile's
	chunks int
}

// chunkBytes bounds the part of A that one pass over all panels touches.
const chunkBytes = 384 << 10

// Bind fixes the number of workers.
func (a *Algorithm) Bind(workers int) (*Kernel, error) {
	if workers < 1 {
		return nil, fmt.Errorf("%s: %d workers", a.Name, workers)
	}
	s, mr := a.Shape, a.r.mr
	rows := max(mr, chunkBytes/4/max(1, s.K)/mr*mr)
	if workers > 1 { // enough pieces for all
		if want := 4 * workers / max(1, a.panels()); want > 1 {
			rows = min(rows, max(mr, (s.M/want+mr-1)/mr*mr))
		}
	}
	return &Kernel{Algorithm: a, work: workers, chunk: rows, chunks: (s.M + rows - 1) / rows}, nil
}

// Scratch is the number of floats that a run needs: room for B if it is packed at run time, or for A if it is split.
func (k *Kernel) Scratch() int {
	if k.r.cut != nil {
		return 2 * k.Shape.M * k.steps() // both parts of A
	}
	if k.r.narrow != nil {
		return k.Shape.M * k.steps() * halfStep / 2
	}
	if k.Shape.ConstB {
		return 0
	}
	return k.PackedLen()
}

// Run is a kernel in the memory of one session; it satisfies team.Task.
type Run struct {
	k    *Kernel
	b    Buffers
	args []gargs
	pack []float32
	bufs []uint8   // AMX: tileBuffer bytes a worker
	tail []float32 // AMX: the end of a row of A, a worker
}

// On ties the kernel to matrices.
func (k *Kernel) On(b Buffers) (*Run, error) {
	r := &Run{k: k, args: make([]gargs, k.work)}
	if err := r.Set(b); err != nil {
		return nil, err
	}
	if k.r.words > 0 {
		r.bufs, r.tail = cpu.Aligned[uint8](k.work*tileBuffer), cpu.Floats(k.work*pair)
	}
	if k.r.narrow != nil {
		r.bufs = cpu.Aligned[uint8](k.work * tileBuffer)
	}
	return r, nil
}

// Set changes the matrices between runs (the next matrix of a batch); it allocates nothing.
func (r *Run) Set(b Buffers) error {
	k, s := r.k, r.k.Shape
	ac, ar := s.K, s.M
	if s.TransA {
		ac, ar = s.M, s.K
	}
	if b.LDA == 0 {
		b.LDA = ac
	}
	if b.LDC == 0 {
		b.LDC = s.N
	}
	b.LDB = k.ldb(b.LDB)
	na, nc, nbias := len(b.A), len(b.C), len(b.Bias)
	if s.Int8 {
		na, nc, nbias = len(b.A8), len(b.C32), len(b.Bias32)
		if !s.ConstB {
			return fmt.Errorf("%s: 8-bit weights must be packed once", k.Name)
		}
	}
	if err := k.checkLen("A", na, ar, ac, b.LDA); err != nil {
		return err
	}
	if err := k.checkLen("C", nc, s.M, s.N, b.LDC); err != nil {
		return err
	}
	if s.Bias && nbias < s.N {
		return fmt.Errorf("%s: %d bias values, %d are needed", k.Name, nbias, s.N)
	}
	if s.ConstB {
		if len(b.Packed) < k.PackedLen() {
			return fmt.Errorf("%s: %d packed weights, %d are needed", k.Name, len(b.Packed), k.PackedLen())
		}
		if len(b.Scratch) < k.Scratch() {
			return fmt.Errorf("%s: %d floats of scratch, %d are needed", k.Name, len(b.Scratch), k.Scratch())
		}
		r.pack = b.Packed
	} else {
		if err := k.checkLen("B", len(b.B), k.bRows(), k.bCols(), b.LDB); b.Fill == nil && err != nil {
			return err
		}
		if len(b.Scratch) < k.Scratch() {
			return fmt.Errorf("%s: %d floats of scratch, %d are needed", k.Name, len(b.Scratch), k.Scratch())
		}
		r.pack = b.Scratch
	}
	r.b = b
	return nil
}

// Stages is 2 if B is packed first or A is split or narrowed first.
func (r *Run) Stages() int {
	if r.k.Shape.ConstB && r.k.r.cut == nil && r.k.r.narrow == nil {
		return 1
	}
	return 2
}

// lowTile is the height below which a tile has too few sums to hide the latency of an addition.
const lowTile = 4

// tiles cuts left rows: n tiles of mr rows come first. Rows that would make a low tile at the end share those of the last whole one.
func (r *row) tiles(left int) (mr, n int) {
	mr, n = r.mr, left/r.mr
	rest := left % mr
	if rest > 0 && rest < lowTile && n > 0 && r.words == 0 && mr > lowTile {
		if n > 1 {
			return mr, n - 1
		}
		if half := (left + 1) / 2; r.f[half] != nil && r.f[left-half] != nil {
			return half, 1
		}
	}
	if n == 0 {
		mr, n = left, 1
		if mr > 4 && mr < r.mr && r.f[mr] == nil {
			mr = 4
		}
	}
	return mr, n
}

// Pieces are panels, then pairs of a range of rows and a panel.
func (r *Run) Pieces(stage int) int {
	if stage+1 < r.Stages() {
		if r.k.r.cut != nil || r.k.r.narrow != nil {
			return (r.k.Shape.M + cutRows - 1) / cutRows
		}
		return r.k.panels()
	}
	return r.k.chunks * r.k.panels()
}

func word[T any](s []T, i int) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s[i:])) }

// Piece packs a panel or multiplies a range of rows by a panel.
func (r *Run) Piece(stage, i, worker int) {
	k, s, b := r.k, r.k.Shape, &r.b
	nr, panels := k.r.nr, k.panels()
	if stage+1 < r.Stages() {
		if k.r.cut != nil {
			r.cut(i, worker)
			return
		}
		if k.r.narrow != nil {
			r.narrow(i, worker)
			return
		}
		if b.Fill != nil {
			b.Fill(r.pack[i*s.K*nr:][:s.K*nr], i)
			return
		}
		if n := s.N - i*nr; n < nr { // columns beyond the matrix must be zero: scratch holds anything
			clear(r.pack[i*s.K*nr:][:s.K*nr])
		}
		k.packPanel(r.pack, b.B, b.LDB, i)
		return
	}
	m0, p := i/panels*k.chunk, i%panels
	m1 := min(s.M, m0+k.chunk)
	g := &r.args[worker]
	*g = gargs{b: word(r.pack, p*k.panelLen()), k: int64(k.steps()), rs: int64(4 * b.LDA), cs: 4, ldc: int64(4 * b.LDC), act: int64(s.Act.Kind), lo: s.Act.A, hi: s.Act.B, nr: int64(nr)}
	if s.TransA {
		g.rs, g.cs = 4, int64(4*b.LDA)
	}
	switch {
	case s.Int8:
		g.rs = int64(b.LDA)
	case k.r.narrow != nil:
		g.rs = int64(2 * halfStep * k.steps())
	case k.r.cut != nil:
		g.rs, g.low = int64(4*k.steps()), int64(4*s.M*k.steps())
	}
	if r.bufs != nil {
		g.buf = unsafe.Pointer(&r.bufs[worker*tileBuffer])
	}
	if s.Accumulate {
		g.acc = 1
	}
	live := min(nr, s.N-p*nr)
	g.live = int64(live)
	if k.r.bits {
		for j := range nr / 16 {
			g.mask[j] = int32(1<<min(16, max(0, live-16*j)) - 1)
		}
	} else {
		for j := range min(nr, 16) {
			g.mask[j] = 0
			if j < live {
				g.mask[j] = -1
			}
		}
	}
	if s.Bias {
		if s.Int8 {
			g.bias = word(b.Bias32, p*nr)
		} else {
			g.bias = word(b.Bias, p*nr)
		}
	}
	for m := m0; m < m1; {
		mr, n := k.r.tiles(m1 - m)
		if k.r.cut != nil {
			g.a, g.c = word(b.Scratch, m*k.steps()), word(b.C, m*b.LDC+p*nr)
		} else if k.r.narrow != nil {
			g.a, g.c = word(b.Scratch, m*k.steps()*halfStep/2), word(b.C, m*b.LDC+p*nr)
		} else if s.Int8 {
			g.a, g.c = word(b.A8, min(m*b.LDA, len(b.A8))), word(b.C32, m*b.LDC+p*nr)
		} else {
			at := m * b.LDA
			if s.TransA {
				at = m
			}
			g.a, g.c = word(b.A, min(at, len(b.A))), word(b.C, m*b.LDC+p*nr)
		}
		g.nt, g.mr = int64(n), int64(mr)
		k.r.f[mr](g)
		m += mr * n
	}
	if b.Post != nil && !s.Int8 {
		b.Post(b.C[m0*b.LDC+p*nr:], m1-m0, live, b.LDC)
	}
}

func portableRow(int8 bool) *row {
	r := &row{isa: cpu.Generic, mr: 4, nr: 16, f: make([]func(*gargs), 5)}
	for i := 1; i <= 4; i++ {
		r.f[i] = gemmGo
		if int8 {
			r.f[i] = gemm8Go
		}
	}
	return r
}
