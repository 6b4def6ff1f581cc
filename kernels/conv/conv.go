// Package conv holds the convolution kernels: direct, first-layer, depthwise and Winograd in float32, direct and
// depthwise in 8 bit, for AVX-512, AVX2, NEON and portable Go.
//
// It owns packing, tables of tiles and the choice of an algorithm; it knows no operator, no model and no goroutine.
// Start at Plan, then Algorithm, Kernel and Run; direct.go holds the driver that most algorithms share.
package conv

import (
	"fmt"
	"unsafe"

	"fettle/kernels/cpu"
)

// Shape describes a convolution: out = act(conv(in) + bias + residual).
//
//	in [N, C, H, W]   w [M, C/Groups, KH, KW]   bias [M] or nil   out, residual [N, M, OutH, OutW]
type Shape struct {
	N, C, H, W, M          int
	KH, KW, SH, SW, DH, DW int // kernel, stride, dilation
	PadT, PadL, PadB, PadR int
	Groups                 int
	Residual               bool
	Fast                   bool // sums of products of halves are allowed: errors up to FastError of the largest output
	Half                   bool // sums of up to 64 products in half precision are allowed: errors up to HalfError of the largest output
	Act                    cpu.Act
}

// HalfError is the largest error of a Half convolution as a share of its largest output before the activation.
const HalfError = 5e-3

// FastError is the largest error of a Fast convolution as a share of its largest output before the activation.
const FastError = 1e-5

// OutH is the height of the output.
func (s Shape) OutH() int { return outSize(s.H+s.PadT+s.PadB, s.KH, s.SH, s.DH) }

// OutW is the width of the output.
func (s Shape) OutW() int { return outSize(s.W+s.PadL+s.PadR, s.KW, s.SW, s.DW) }

func outSize(n, k, s, d int) int {
	if s < 1 || n < (k-1)*d+1 {
		return 0
	}
	return (n-(k-1)*d-1)/s + 1
}

// MACs is the number of multiply-accumulates of the direct algorithm.
func (s Shape) MACs() int64 {
	return int64(s.N) * int64(s.M) * int64(s.C/s.Groups) * int64(s.KH*s.KW) * int64(s.OutH()*s.OutW())
}

// WeightLen is the number of weights.
func (s Shape) WeightLen() int { return s.M * (s.C / s.Groups) * s.KH * s.KW }

// Bounds of a Shape: single numbers, taps of a window, elements of a tensor. They keep products within 64 bits and tables within memory.
const (
	maxDim  = 1 << 15
	maxTaps = 1 << 20
	maxLen  = 1 << 36
)

// Check tells what is wrong with a shape.
func (s Shape) Check() error {
	pos := []struct {
		name string
		v    int
	}{{"N", s.N}, {"C", s.C}, {"H", s.H}, {"W", s.W}, {"M", s.M}, {"KH", s.KH}, {"KW", s.KW}, {"SH", s.SH}, {"SW", s.SW}, {"DH", s.DH}, {"DW", s.DW}, {"Groups", s.Groups}}
	for _, p := range pos {
		if p.v < 1 || p.v > 8*maxDim {
			return fmt.Errorf("convolution: %s = %d is not in 1..%d", p.name, p.v, 8*maxDim)
		}
	}
	for _, p := range []int{s.PadT, s.PadL, s.PadB, s.PadR} {
		if p < 0 || p > maxDim {
			return fmt.Errorf("convolution: padding %d is not in 0..%d", p, maxDim)
		}
	}
	switch {
	case s.C%s.Groups != 0:
		return fmt.Errorf("convolution: %d input channels are not divisible by %d groups", s.C, s.Groups)
	case s.M%s.Groups != 0:
		return fmt.Errorf("convolution: %d output channels are not divisible by %d groups", s.M, s.Groups)
	case s.OutH() < 1 || s.OutW() < 1:
		return fmt.Errorf("convolution: the %dx%d window is larger than the padded input %dx%d", s.KH, s.KW, s.H+s.PadT+s.PadB, s.W+s.PadL+s.PadR)
	case int64(s.KH)*int64(s.KW) > maxTaps || float64(s.M)*float64(s.C/s.Groups)*float64(s.KH*s.KW) > maxLen:
		return fmt.Errorf("convolution: a %dx%d window of %d to %d channels is too large", s.KH, s.KW, s.C, s.M)
	case float64(s.N)*float64(s.C)*float64(s.H)*float64(s.W) > maxLen || float64(s.N)*float64(s.M)*float64(s.OutH())*float64(s.OutW()) > maxLen:
		return fmt.Errorf("convolution: tensors of %d x %d x %d x %d are too large", s.N, max(s.C, s.M), s.H, s.W)
	case !s.Act.Fusable():
		return fmt.Errorf("convolution: activation %v cannot be part of the store", s.Act.Kind)
	}
	return nil
}

// Algorithm is one way to run a Shape.
type Algorithm struct {
	Name    string // f32_conv_14x32__avx512f
	ISA     cpu.ISA
	MACs    int64    // of the direct algorithm
	In, Out cpu.Need // what the tensors must be like; the residual must be like Out
	Shape   Shape

	impl impl
}

// impl is what each family of algorithms provides.
type impl interface {
	packedLen() int
	pack(dst, w, bias []float32)
	bind(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) Bound
}

// Bound is an algorithm with packed weights and tables for fixed layouts. It is immutable.
type Bound interface {
	// Scratch is the number of floats that a Run needs for itself.
	Scratch() int
	// On ties the kernel to the memory of one session.
	On(b Buffers) Run
}

// Run is a bound kernel in the memory of one session; it satisfies team.Task.
type Run interface {
	Stages() int
	Pieces(stage int) int
	Piece(stage, piece, worker int)
}

// Buffers are the tensors of a Run. Their lengths must be those of the layouts at least: On panics otherwise.
type Buffers struct{ In, Out, Res, Scratch []float32 }

// PackedLen is the number of floats that Pack writes.
func (a *Algorithm) PackedLen() int { return a.impl.packedLen() }

// Pack writes the weights w[M][C/Groups][KH][KW] and bias[M] (nil: zeros) as the algorithm reads them. dst must be zero
// and start at a multiple of 64 bytes. Equal inputs give equal bytes.
func (a *Algorithm) Pack(dst, w, bias []float32) error {
	s := a.Shape
	switch {
	case len(w) != s.WeightLen():
		return fmt.Errorf("%s: %d weights instead of %d", a.Name, len(w), s.WeightLen())
	case bias != nil && len(bias) != s.M:
		return fmt.Errorf("%s: %d bias values instead of %d", a.Name, len(bias), s.M)
	case len(dst) < a.PackedLen():
		return fmt.Errorf("%s: %d floats for packed weights, %d are needed", a.Name, len(dst), a.PackedLen())
	}
	a.impl.pack(dst[:a.PackedLen()], w, bias)
	return nil
}

// Bind prepares tables for the layouts of input, output and residual (nil if the shape has none).
func (a *Algorithm) Bind(packed []float32, in, out cpu.Layout, res *cpu.Layout, workers int) (Bound, error) {
	s := a.Shape
	if len(packed) < a.PackedLen() {
		return nil, fmt.Errorf("%s: %d floats of packed weights, %d are needed", a.Name, len(packed), a.PackedLen())
	}
	if uintptr(unsafe.Pointer(&packed[0]))%4 != 0 || workers < 1 {
		return nil, fmt.Errorf("%s: unaligned weights or %d workers", a.Name, workers)
	}
	check := func(what string, l cpu.Layout, n cpu.Need, c, h, w int) error {
		if l.N != s.N || l.C != c || l.H != h || l.W != w || !l.Meets(n) {
			return fmt.Errorf("%s: %s layout %+v is not [%d %d %d %d] with %+v", a.Name, what, l, s.N, c, h, w, n)
		}
		return nil
	}
	if err := check("input", in, a.In, s.C, s.H, s.W); err != nil {
		return nil, err
	}
	if err := check("output", out, a.Out, s.M, s.OutH(), s.OutW()); err != nil {
		return nil, err
	}
	if (res != nil) != s.Residual {
		return nil, fmt.Errorf("%s: residual layout given: %t, residual in the shape: %t", a.Name, res != nil, s.Residual)
	}
	if res != nil {
		if err := check("residual", *res, cpu.Need{Block: a.Out.Block}, s.M, s.OutH(), s.OutW()); err != nil {
			return nil, err
		}
	}
	return a.impl.bind(packed, in, out, res, workers), nil
}

// Plan returns the algorithms that can run s on a processor with the features f, best first by the rules in choose.go. The
// last one is portable Go. A tuner may time them; all give the same result up to rounding.
func Plan(s Shape, f cpu.Features) ([]*Algorithm, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return candidates(s, f), nil
}

// mustHold panics if a tensor is shorter than its layout: kernels have no bounds, so a bug of the caller must not reach them.
func mustHold[T any](what string, d []T, l cpu.Layout) {
	if n := l.Used(); len(d) < n {
		panic(fmt.Sprintf("conv: %s has %d elements, its layout needs %d", what, len(d), n))
	}
}

// hold is mustHold for all tensors of a run.
func hold[T any](in, out, res []T, li, lo cpu.Layout, lr *cpu.Layout) {
	mustHold("input", in, li)
	mustHold("output", out, lo)
	if lr != nil {
		mustHold("residual", res, *lr)
	}
}

func roundUp(n, m int) int { return (n + m - 1) / m * m }
func ceilDiv(n, m int) int { return (n + m - 1) / m }
