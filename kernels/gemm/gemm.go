// Package gemm holds matrix products: float32, and u8 x s8 with exact 32-bit sums, for AVX-512, AVX2, NEON and portable Go.
//
//	C[M,N] = act(A[M,K] · B[K,N] + bias[N] (+ C))
//
// All matrices are row-major with a leading dimension; A or B may be stored transposed. B is packed into panels, once (weights) or
// in a first stage of every run. Every element is one sum in the order of k, so results do not depend on the number of
// workers. A batch is one Run a matrix, or one Run with Set.
package gemm

import (
	"fmt"
	"unsafe"

	"fettle/kernels/cpu"
)

// Shape describes a product.
type Shape struct {
	M, N, K        int
	TransA, TransB bool    // A is stored [K,M], B is stored [N,K]
	Act            cpu.Act // None, ReLU or Clamp; others are a pass of eltwise
	Bias           bool
	Accumulate     bool // add to C
	ConstB         bool // B is packed once by Pack; else Buffers.B is packed in every run
	Fast           bool // sums of products of halves are allowed: errors up to FastError of the largest output
	Half           bool // sums of up to 64 products in half precision are allowed: errors up to HalfError of the largest output
	Int8           bool // A u8, B s8, bias and C int32; no Act, no TransA
}

// FastError is the largest error of a Fast product as a share of its largest output before the activation.
const FastError = 1e-5

// HalfError is the largest error of a Half product as a share of its largest output before the activation.
const HalfError = 5e-3

// MACs is the number of multiply-accumulates.
func (s Shape) MACs() int64 { return int64(s.M) * int64(s.N) * int64(s.K) }

const maxDim = 1 << 30

func (s Shape) check() error {
	for _, v := range []int{s.M, s.N, s.K} {
		if v < 0 || v > maxDim {
			return fmt.Errorf("matrix product: %d x %d x %d: a dimension is not in 0..%d", s.M, s.N, s.K, maxDim)
		}
	}
	if s.Act.Kind > cpu.Clamp {
		return fmt.Errorf("matrix product: activation %v cannot be part of the store", s.Act.Kind)
	}
	if s.Int8 && (s.TransA || s.Act.Kind != cpu.None) {
		return fmt.Errorf("8-bit matrix product: transposed A or an activation is not possible")
	}
	return nil
}

// gargs is what a micro-kernel reads. The offsets are known to _asm/amd64gen/gemm.go; TestOffsets compares them.
type gargs struct {
	a, b, c, bias      unsafe.Pointer
	k, rs, cs, ldc, nt int64 // rs, cs: bytes from row to row and from k to k in A; nt tiles of rows
	act                int64
	lo, hi             float32
	acc                int64
	cur                [2]uintptr     // where the kernel is; ends behind the matrices
	mask               [16]int32      // AVX2: all ones where a column exists; AVX-512: the first words are bit masks
	mr, nr, live       int64          // for portable kernels: rows, columns of a panel, columns that exist
	buf                unsafe.Pointer // AMX: sums of two tiles on their way to the store
	low                int64          // AMX: bytes from the upper parts of A to the lower
	_                  [24]byte
}

// row is a tile shape of one instruction set.
type row struct {
	isa    cpu.ISA
	name   string
	mr, nr int
	f      []func(*gargs) // by rows of a tile
	bits   bool           // masks are bits
	words  int            // AMX: a sum is a multiple of so many words of 4 bytes
	cut    func(*gargs)   // AMX: splits float32 into two bf16, for Fast
	narrow func(*gargs)   // arm64: writes float32 as halves, for Half
}

// Algorithm is one way to run a Shape.
type Algorithm struct {
	Name  string
	ISA   cpu.ISA
	MACs  int64
	Shape Shape
	r     *row
}

// Plan returns the algorithms for s, best first; the last one is portable Go.
func Plan(s Shape, f cpu.Features) ([]*Algorithm, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var l []*Algorithm
	for _, r := range append(archRows(s, f), portableRow(s.Int8)) {
		t := "f32"
		if s.Int8 {
			t = "qu8s8"
		}
		if r.cut != nil {
			t = "f32_bf16x3"
		}
		if r.narrow != nil {
			t = "f32_half"
		}
		l = append(l, &Algorithm{Name: fmt.Sprintf("%s_gemm_%dx%d__%v", t, r.mr, r.nr, r.isa), ISA: r.isa, MACs: s.MACs(), Shape: s, r: r})
	}
	return l, nil
}

func (a *Algorithm) panels() int { return (a.Shape.N + a.r.nr - 1) / a.r.nr }

// steps is the length of a packed panel in units of nr words of 4 bytes: one, two or four elements of the sum.
func (a *Algorithm) steps() int {
	n := a.Shape.K
	switch {
	case a.Shape.Int8:
		n = (n + 3) / 4
	case a.r.cut != nil:
		n = (n + 1) / 2
	case a.r.narrow != nil:
		n = (n + halfStep - 1) / halfStep
	}
	if w := a.r.words; w > 0 {
		n = (n + w - 1) / w * w
	}
	return n
}

// panelLen is the number of words of a packed panel.
func (a *Algorithm) panelLen() int {
	if a.r.cut != nil {
		return 2 * a.steps() * a.r.nr
	}
	if a.r.narrow != nil {
		return a.steps() * halfStep / 2 * a.r.nr
	}
	return a.steps() * a.r.nr
}

// PackedLen is the number of float32 (of 4-byte words, for Int8) of a packed B.
func (a *Algorithm) PackedLen() int { return a.panels() * a.panelLen() }

// Pack writes B with leading dimension ldb (0: tight) as the algorithm reads it. dst must be zero.
func (a *Algorithm) Pack(dst, b []float32, ldb int) error {
	if a.Shape.Int8 {
		return fmt.Errorf("%s: float32 weights for an 8-bit product", a.Name)
	}
	ldb = a.ldb(ldb)
	if err := a.checkLen("B", len(b), a.bRows(), a.bCols(), ldb); err != nil {
		return err
	}
	if len(dst) < a.PackedLen() {
		return fmt.Errorf("%s: %d floats for packed weights, %d are needed", a.Name, len(dst), a.PackedLen())
	}
	if a.r.cut != nil {
		a.packHalves(dst, b, ldb)
		return nil
	}
	if a.r.narrow != nil {
		a.packFloat16(dst, b, ldb)
		return nil
	}
	for p := range a.panels() {
		a.packPanel(dst, b, ldb, p)
	}
	return nil
}

func (a *Algorithm) bRows() int {
	if a.Shape.TransB {
		return a.Shape.N
	}
	return a.Shape.K
}

func (a *Algorithm) bCols() int {
	if a.Shape.TransB {
		return a.Shape.K
	}
	return a.Shape.N
}

func (a *Algorithm) ldb(ld int) int {
	if ld == 0 {
		return a.bCols()
	}
	return ld
}

func (a *Algorithm) checkLen(what string, have, rows, cols, ld int) error {
	if ld < cols {
		return fmt.Errorf("%s: leading dimension %d of %s is below its %d columns", a.Name, ld, what, cols)
	}
	if rows > 0 && cols > 0 && have < (rows-1)*ld+cols {
		return fmt.Errorf("%s: %s has %d elements, %d x %d with leading dimension %d are needed", a.Name, what, have, rows, cols, ld)
	}
	return nil
}

func (a *Algorithm) packPanel(dst, b []float32, ldb, p int) {
	s, nr := a.Shape, a.r.nr
	n := min(nr, s.N-p*nr)
	d := dst[p*s.K*nr:][:s.K*nr]
	if s.TransB {
		j := 0
		for ; j+4 <= n; j += 4 { // four columns at once, as each store touches another line
			at := b[(p*nr+j)*ldb:]
			b0, b1, b2, b3 := at[:s.K], at[ldb:][:s.K], at[2*ldb:][:s.K], at[3*ldb:][:s.K]
			for k, v := range b0 {
				q := d[k*nr+j:][:4]
				q[0], q[1], q[2], q[3] = v, b1[k], b2[k], b3[k]
			}
		}
		for ; j < n; j++ {
			src := b[(p*nr+j)*ldb:][:s.K]
			for k, v := range src {
				d[k*nr+j] = v
			}
		}
		return
	}
	for k := range s.K {
		copy(d[k*nr:][:n], b[k*ldb+p*nr:])
	}
}

// PackInt8 is Pack for s8 weights; dst counts 4-byte words.
func (a *Algorithm) PackInt8(dst []float32, b []int8, ldb int) error {
	s, nr := a.Shape, a.r.nr
	if !s.Int8 {
		return fmt.Errorf("%s: 8-bit weights for a float32 product", a.Name)
	}
	ldb = a.ldb(ldb)
	if err := a.checkLen("B", len(b), a.bRows(), a.bCols(), ldb); err != nil {
		return err
	}
	if len(dst) < a.PackedLen() {
		return fmt.Errorf("%s: %d words for packed weights, %d are needed", a.Name, len(dst), a.PackedLen())
	}
	if a.PackedLen() == 0 {
		return nil
	}
	d := unsafe.Slice((*int8)(unsafe.Pointer(&dst[0])), 4*a.PackedLen())
	for n := range s.N {
		for k := range s.K {
			v := int8(0)
			if s.TransB {
				v = b[n*ldb+k]
			} else {
				v = b[k*ldb+n]
			}
			d[((n/nr*a.steps()+k/4)*nr+n%nr)*4+k%4] = v
		}
	}
	return nil
}
