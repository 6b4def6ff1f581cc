package conv

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = r.Float32()*2 - 1
	}
	return v
}

// store copies NCHW values into a layout; borders are zero, padding channels hold a value that must not matter.
func store(l cpu.Layout, v []float32) []float32 {
	d := cpu.Floats(l.Len() + 64)
	for n := range l.N {
		for c := range l.Blocks() * l.Block {
			for y := range l.H {
				for x := range l.W {
					if c < l.C {
						d[l.At(n, c, y, x)] = v[((n*l.C+c)*l.H+y)*l.W+x]
					} else {
						d[l.At(n, c, y, x)] = 3
					}
				}
			}
		}
	}
	return d
}

const poison = -12345.5

func grow(b cpu.Border, by int) cpu.Border {
	return cpu.Border{Top: b.Top + by, Left: b.Left, Bottom: b.Bottom, Right: b.Right + by}
}

// runOne runs one algorithm with n workers and returns the output as NCHW, after checking that nothing else was written. wide says which
// tensors have borders that nobody needs: 0 the residual, 1 input and output, 2 the output, 3 output and residual in one layout.
func runOne(t *testing.T, a *Algorithm, in, w, bias, res []float32, wide, workers int) []float32 {
	t.Helper()
	s := a.Shape
	li := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, grow(a.In.Border, wide&1&^(wide>>1)))
	only, both := wide > 1, wide == 3
	wide = min(wide, 1)
	lo := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{Top: wide, Left: 2 * wide, Bottom: wide, Right: wide})
	lo.Gap = 16 * wide
	packed := cpu.Floats(a.PackedLen())
	if err := a.Pack(packed, w, bias); err != nil {
		t.Fatal(err)
	}
	out := cpu.Floats(lo.Len() + 64)
	for i := range out {
		out[i] = poison
	}
	buf := Buffers{In: store(li, in), Out: out}
	var lr *cpu.Layout
	if s.Residual {
		l := cpu.NewLayout(s.N, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{Top: 1 - wide})
		if only {
			l.Top = 0
		}
		if both {
			l = lo
		}
		lr, buf.Res = &l, store(l, res)
	}
	b, err := a.Bind(packed, li, lo, lr, workers)
	if err != nil {
		t.Fatal(err)
	}
	buf.Scratch = cpu.Floats(b.Scratch() + 1)
	for i := range buf.Scratch {
		buf.Scratch[i] = float32(math.NaN())
	}
	crew := team.New(workers)
	defer crew.Close()
	run := b.On(buf)
	if err := crew.Run(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	flat := make([]float32, 0, s.N*s.M*lo.H*lo.W)
	inside := make([]bool, len(out))
	for n := range s.N {
		for c := range lo.Blocks() * lo.Block {
			for y := range lo.H {
				for x := range lo.W {
					i := lo.At(n, c, y, x)
					inside[i] = true
					if c < s.M {
						flat = append(flat, out[i])
					} else if v := float64(out[i]); math.IsNaN(v) || math.IsInf(v, 0) {
						t.Fatalf("padding channel %d holds %v", c, v)
					}
				}
			}
		}
	}
	for i, v := range out {
		if !inside[i] && v != poison {
			t.Fatalf("%s wrote outside the output, at %d", a.Name, i)
		}
	}
	return flat
}

type tc struct {
	name string
	s    Shape
}

func sq(c, h, w, m, k, stride, pad int) Shape {
	return Shape{N: 1, C: c, H: h, W: w, M: m, KH: k, KW: k, SH: stride, SW: stride, DH: 1, DW: 1, PadT: pad, PadL: pad, PadB: pad, PadR: pad, Groups: 1}
}

func with(s Shape, f func(s *Shape)) Shape { f(&s); return s }

func cases() []tc {
	return []tc{
		{"1x1", sq(64, 14, 14, 64, 1, 1, 0)},
		{"1x1, one pixel", sq(40, 1, 1, 100, 1, 1, 0)},
		{"1x1, one channel", sq(1, 5, 3, 1, 1, 1, 0)},
		{"1x1, 16 outputs", sq(32, 9, 17, 16, 1, 1, 0)},
		{"1x1, 144 outputs of 24", sq(24, 12, 11, 144, 1, 1, 0)},
		{"1x1, 80 outputs", sq(33, 7, 7, 80, 1, 1, 0)},
		{"1x1 wide, many outputs", sq(16, 30, 31, 128, 1, 1, 0)},
		{"1x1, 500 channels", sq(500, 7, 8, 24, 1, 1, 0)},
		{"1x1, rows of 6", sq(40, 5, 6, 24, 1, 1, 0)},
		{"1x1 stride 2", sq(64, 14, 14, 96, 1, 2, 0)},
		{"1x1 stride 3, 48 outputs", sq(20, 14, 13, 48, 1, 3, 0)},
		{"3x3", sq(32, 13, 29, 40, 3, 1, 1)},
		{"3x3 7x7", sq(48, 7, 7, 72, 3, 1, 1)},
		{"3x3 no padding", sq(16, 6, 8, 16, 3, 1, 0)},
		{"3x3 small image", sq(16, 2, 3, 32, 3, 1, 1)},
		{"3x3 stride 2, odd", sq(32, 15, 27, 64, 3, 2, 1)},
		{"3x3 large", sq(96, 30, 28, 64, 3, 1, 1)},
		{"first layer 7x7 s2", sq(3, 47, 40, 64, 7, 2, 3)},
		{"first layer 3x3 s2", sq(3, 20, 28, 24, 3, 2, 1)},
		{"first layer, gray 5x5", sq(1, 28, 28, 6, 5, 1, 2)},
		{"first layer, 4 channels 6x6 s2", sq(4, 16, 18, 16, 6, 2, 2)},
		{"5x5 stride 4", sq(17, 21, 22, 33, 5, 4, 2)},
		{"dilation", with(sq(24, 17, 19, 32, 3, 1, 2), func(s *Shape) { s.DH, s.DW = 2, 3; s.PadR, s.PadL = 3, 1 })},
		{"rectangular", with(sq(24, 17, 19, 20, 3, 1, 0), func(s *Shape) { s.KW, s.SW, s.PadL, s.PadB = 1, 2, 1, 2 })},
		{"7x1 and asymmetric", with(sq(20, 17, 9, 24, 7, 1, 0), func(s *Shape) { s.KW, s.PadT, s.PadB, s.SH = 1, 4, 1, 2 })},
		{"groups of 16", with(sq(64, 9, 9, 32, 3, 1, 1), func(s *Shape) { s.Groups = 4 })},
		{"groups of 4 (ResNeXt)", with(sq(64, 9, 10, 64, 3, 2, 1), func(s *Shape) { s.Groups = 16 })},
		{"groups that cut blocks", with(sq(60, 5, 7, 100, 1, 1, 0), func(s *Shape) { s.Groups = 5 })},
		{"two groups, odd widths", with(sq(10, 6, 6, 14, 3, 1, 1), func(s *Shape) { s.Groups = 2 })},
		{"depthwise multiplier 2", with(sq(12, 6, 7, 24, 3, 1, 1), func(s *Shape) { s.Groups = 12 })},
		{"depthwise 3x3", with(sq(40, 12, 23, 40, 3, 1, 1), func(s *Shape) { s.Groups = 40 })},
		{"depthwise 3x3 1x1", with(sq(32, 1, 1, 32, 3, 1, 1), func(s *Shape) { s.Groups = 32 })},
		{"depthwise 3x3 s2", with(sq(24, 15, 31, 24, 3, 2, 1), func(s *Shape) { s.Groups = 24 })},
		{"depthwise 3x3 s2, pad right only", with(sq(24, 16, 16, 24, 3, 2, 0), func(s *Shape) { s.Groups, s.PadB, s.PadR = 24, 1, 1 })},
		{"depthwise 5x5", with(sq(33, 14, 14, 33, 5, 1, 2), func(s *Shape) { s.Groups = 33 })},
		{"depthwise 5x5 s2", with(sq(16, 13, 17, 16, 5, 2, 2), func(s *Shape) { s.Groups = 16 })},
		{"depthwise 7x7 dilated", with(sq(18, 25, 27, 18, 7, 1, 6), func(s *Shape) { s.Groups, s.DH, s.DW = 18, 2, 2 })},
		{"batch", with(sq(20, 9, 8, 36, 3, 1, 1), func(s *Shape) { s.N = 3 })},
		{"batch 1x1", with(sq(20, 5, 5, 36, 1, 1, 0), func(s *Shape) { s.N = 2 })},
		{"batch depthwise", with(sq(20, 9, 8, 20, 3, 1, 1), func(s *Shape) { s.N, s.Groups = 2, 20 })},
		{"first layer 3x3 s2, 32 outputs", sq(3, 20, 28, 32, 3, 2, 1)},
		{"first layer 3x3 s2, narrow", sq(3, 9, 10, 40, 3, 2, 1)},
		{"first layer 3x3 s1", sq(3, 9, 19, 16, 3, 1, 1)},
		{"first layer 3x3 s1, 28 outputs", sq(3, 9, 13, 28, 3, 1, 1)},
		{"first layer 7x7 s2, 24 outputs", sq(3, 21, 43, 24, 7, 2, 3)},
	}
}

func activations() []cpu.Act {
	return []cpu.Act{{}, {Kind: cpu.ReLU}, {Kind: cpu.Clamp, A: -.3, B: .7}, {Kind: cpu.LeakyReLU, A: .1}, {Kind: cpu.HardSwish, A: 1. / 6, B: .5},
		{Kind: cpu.SiLU}, {Kind: cpu.Sigmoid}, {Kind: cpu.HardSigmoid, A: .2, B: .5}}
}

// TestRows walks every algorithm of every instruction set of this machine over shapes, activations and residuals.
func TestRows(t *testing.T) {
	for _, isa := range []cpu.ISA{cpu.AVX2, cpu.AVX512F, cpu.NEON} {
		if !cpu.Detect().Has(isa) {
			t.Logf("skipped: this machine has no %v", isa)
		}
	}
	for ci, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			for mode, act := range activations() {
				if testing.Short() && (mode+ci)%4 != 0 {
					continue
				}
				s := c.s
				s.Act, s.Residual = act, mode%2 == 1
				r := rand.New(rand.NewPCG(uint64(ci), uint64(mode)))
				in, w, bias := random(r, s.N*s.C*s.H*s.W), random(r, s.WeightLen()), random(r, s.M)
				if mode == 2 {
					bias = nil
				}
				var res []float32
				if s.Residual {
					res = random(r, s.N*s.M*s.OutH()*s.OutW())
				}
				want := Reference(s, in, w, bias, res)
				tol := 3e-6 * math.Sqrt(float64(s.C/s.Groups*s.KH*s.KW)+10)
				names := map[string]bool{}
				for _, isa := range cpu.Detect().Levels() {
					algs, err := Plan(s, cpu.Detect().Limit(isa))
					if err != nil {
						t.Fatal(err)
					}
					for _, a := range algs {
						if names[a.Name] {
							continue
						}
						names[a.Name] = true
						one := runOne(t, a, in, w, bias, res, mode%2, 1)
						for i := range want {
							if d := math.Abs(float64(one[i] - want[i])); !(d <= tol) {
								t.Fatalf("%s, %v, residual %t: value %d is %g, want %g", a.Name, act.Kind, s.Residual, i, one[i], want[i])
							}
						}
						if mode > 1 && mode%5 != 0 {
							continue
						}
						for _, wide := range []int{2, 3} {
							for i, v := range runOne(t, a, in, w, bias, res, wide, 1) {
								if d := math.Abs(float64(v - want[i])); !(d <= tol) {
									t.Fatalf("%s, borders %d: value %d is %g, want %g", a.Name, wide, i, v, want[i])
								}
							}
						}
						if mode != 1 {
							continue
						}
						for n := 2; n <= 3; n++ {
							for i, v := range runOne(t, a, in, w, bias, res, 0, n) {
								if v != one[i] {
									t.Fatalf("%s: %d workers give another value at %d: %g, %g", a.Name, n, i, v, one[i])
								}
							}
						}
					}
				}
			}
		})
	}
}

// TestNames holds the grammar <type>_<kind>[_<variant>]_<tile>__<isa>.
func TestNames(t *testing.T) {
	re := regexp.MustCompile(`^(f32|qu8s8|qs8s8)_(conv|dwconv|wino2|wino4)(_[a-z0-9]+)?_\d+x\d+__(generic|avx2|avx512f|avx512vnni|amxint8|amxbf16|neon|neonfp16|neondot|neoni8mm)(_\w+)?$`)
	for _, c := range cases() {
		algs, err := Plan(c.s, cpu.Detect())
		if err != nil {
			t.Fatal(err)
		}
		q, err := PlanQ(c.s, cpu.Detect())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range algs {
			names = append(names, a.Name)
		}
		for _, a := range q {
			names = append(names, a.Name)
		}
		seen := map[string]bool{}
		for _, n := range names {
			if !re.MatchString(n) || seen[n] {
				t.Errorf("%s: name %q is malformed or twice there", c.name, n)
			}
			seen[n] = true
		}
		if algs[len(algs)-1].ISA != cpu.Generic || q[len(q)-1].ISA != cpu.Generic {
			t.Errorf("%s: the last algorithm is not portable", c.name)
		}
	}
}

// TestConcatInPlace: two convolutions write parts of one tensor, for a batch.
func TestConcatInPlace(t *testing.T) {
	s := with(sq(20, 7, 9, 32, 3, 1, 1), func(s *Shape) { s.N = 2 })
	r := rand.New(rand.NewPCG(1, 1))
	in := random(r, s.N*s.C*s.H*s.W)
	whole := cpu.NewLayout(s.N, 64, s.OutH(), s.OutW(), blk, cpu.Border{Left: 1})
	out := cpu.Floats(whole.Len())
	var want [2][]float32
	for i := range want {
		w := random(r, s.WeightLen())
		want[i] = Reference(s, in, w, nil, nil)
		algs, err := Plan(s, cpu.Detect())
		if err != nil {
			t.Fatal(err)
		}
		a := algs[i%len(algs)]
		packed := cpu.Floats(a.PackedLen())
		if err := a.Pack(packed, w, nil); err != nil {
			t.Fatal(err)
		}
		li := cpu.NewLayout(s.N, s.C, s.H, s.W, a.In.Block, a.In.Border)
		part, off := whole.Part(32*i, 32)
		b, err := a.Bind(packed, li, part, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		run := b.On(Buffers{In: store(li, in), Out: out[off:], Scratch: cpu.Floats(b.Scratch())})
		if err := team.New(1).Run(context.Background(), run); err != nil {
			t.Fatal(err)
		}
	}
	for n := range s.N {
		for c := range 64 {
			for y := range whole.H {
				for x := range whole.W {
					v := want[c/32][((n*32+c%32)*whole.H+y)*whole.W+x]
					if d := math.Abs(float64(out[whole.At(n, c, y, x)] - v)); !(d < 1e-4) {
						t.Fatal(n, c, y, x, out[whole.At(n, c, y, x)], v)
					}
				}
			}
		}
	}
}

// TestShortBuffer: a tensor that is too short must stop before a kernel sees it.
func TestShortBuffer(t *testing.T) {
	s := sq(16, 8, 8, 16, 3, 1, 1)
	algs, err := Plan(s, cpu.Detect())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range algs {
		li, lo := cpu.NewLayout(1, s.C, s.H, s.W, a.In.Block, a.In.Border), cpu.NewLayout(1, s.M, 8, 8, a.Out.Block, cpu.Border{})
		b, err := a.Bind(cpu.Floats(a.PackedLen()), li, lo, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error(a.Name, "took a short output")
				}
			}()
			b.On(Buffers{In: cpu.Floats(li.Len()), Out: cpu.Floats(lo.Len() - 1), Scratch: cpu.Floats(b.Scratch())})
		}()
	}
}

func TestBadShapes(t *testing.T) {
	for name, f := range map[string]func(s *Shape){
		"no groups": func(s *Shape) { s.Groups = 0 }, "groups": func(s *Shape) { s.Groups = 3 }, "window": func(s *Shape) { s.KH = 50 }, "stride": func(s *Shape) { s.SW = 0 },
		"negative pad": func(s *Shape) { s.PadL = -1 }, "huge": func(s *Shape) { s.C = math.MaxInt }, "large window": func(s *Shape) { s.H, s.W, s.KH, s.KW = 1<<18, 1<<18, 1<<17, 1<<17 }, "large tensor": func(s *Shape) { s.H, s.W, s.C = 1<<18, 1<<18, 1<<18 }, "act": func(s *Shape) { s.Act.Kind = cpu.GELU },
	} {
		if _, err := Plan(with(sq(16, 8, 8, 16, 3, 1, 1), f), cpu.Detect()); err == nil {
			t.Error(name, "accepted")
		}
	}
}

func TestOffsets(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		t.Skip("of 64-bit processors")
	}
	var k kargs
	var d dwArgs
	var w winoArgs
	for name, o := range map[string][2]uintptr{
		"groups": {unsafe.Offsetof(k.groups), 40}, "tiles": {unsafe.Offsetof(k.tiles), 64}, "act": {unsafe.Offsetof(k.act), 88}, "hi": {unsafe.Offsetof(k.hi), 100},
		"pf": {unsafe.Offsetof(k.pf), 104}, "scale": {unsafe.Offsetof(k.scale), 120}, "perm": {unsafe.Offsetof(k.perm), 136}, "ps": {unsafe.Offsetof(k.ps), 144}, "gap": {unsafe.Offsetof(k.gap), 168}, "mr": {unsafe.Offsetof(k.mr), 152}, "nb": {unsafe.Offsetof(k.nb), 160}, "buf": {unsafe.Offsetof(k.buf), 192}, "low": {unsafe.Offsetof(k.low), 200}, "zero": {unsafe.Offsetof(k.zero), 184}, "rzero": {unsafe.Offsetof(k.rzero), 188}, "wino zero": {unsafe.Offsetof(w.zero), 140}, "wino rzero": {unsafe.Offsetof(w.rzero), 144},
		"dw act": {unsafe.Offsetof(d.act), 64}, "dw taps": {unsafe.Offsetof(d.taps), 80}, "dw rrow": {unsafe.Offsetof(d.rrow), 104}, "dw ps": {unsafe.Offsetof(d.ps), 112},
		"dw cur": {unsafe.Offsetof(d.cur), 128}, "wino bias": {unsafe.Offsetof(w.bias), 48}, "wino lo": {unsafe.Offsetof(w.lo), 80}, "wino c": {unsafe.Offsetof(w.c), 96}, "wino scale": {unsafe.Offsetof(w.scale), 128}, "wino rscale": {unsafe.Offsetof(w.rscale), 136},
		"tile": {unsafe.Sizeof(tile{}), 24}, "group": {unsafe.Sizeof(group{}), 16}, "wino tile": {unsafe.Sizeof(winoTile{}), 40},
	} {
		if o[0] != o[1] {
			t.Errorf("%s lies at %d, the generator writes %d", name, o[0], o[1])
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	for _, s := range []Shape{sq(32, 14, 14, 32, 3, 1, 1), sq(16, 9, 9, 64, 1, 1, 0), with(sq(16, 9, 9, 16, 3, 1, 1), func(s *Shape) { s.Groups = 16 })} {
		algs, err := Plan(s, cpu.Detect())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range algs {
			packed := cpu.Floats(a.PackedLen())
			li, lo := cpu.NewLayout(1, s.C, s.H, s.W, a.In.Block, a.In.Border), cpu.NewLayout(1, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
			b, err := a.Bind(packed, li, lo, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			r := b.On(Buffers{In: cpu.Floats(li.Len()), Out: cpu.Floats(lo.Len()), Scratch: cpu.Floats(b.Scratch())})
			if n := testing.AllocsPerRun(3, func() {
				for st := range r.Stages() {
					for p := range r.Pieces(st) {
						r.Piece(st, p, 0)
					}
				}
			}); n > 0 {
				t.Errorf("%s: %v allocations", a.Name, n)
			}
		}
	}
}

func BenchmarkConv(b *testing.B) {
	for _, s := range []Shape{sq(64, 56, 56, 256, 1, 1, 0), sq(256, 14, 14, 1024, 1, 1, 0), sq(64, 56, 56, 64, 3, 1, 1), sq(256, 14, 14, 256, 3, 1, 1), sq(512, 7, 7, 512, 3, 1, 1), sq(3, 224, 224, 64, 7, 2, 3),
		sq(128, 56, 56, 128, 3, 2, 1), with(sq(144, 56, 56, 144, 3, 1, 1), func(s *Shape) { s.Groups = 144 })} {
		algs, err := Plan(s, cpu.Detect())
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range algs[:len(algs)-1] {
			b.Run(fmt.Sprintf("%dx%ds%d-%d-%d-%d/%s", s.KH, s.KW, s.SH, s.C, s.M, s.OutH(), a.Name), func(b *testing.B) {
				packed := cpu.Floats(a.PackedLen())
				li, lo := cpu.NewLayout(1, s.C, s.H, s.W, a.In.Block, a.In.Border), cpu.NewLayout(1, s.M, s.OutH(), s.OutW(), a.Out.Block, cpu.Border{})
				k, err := a.Bind(packed, li, lo, nil, 1)
				if err != nil {
					b.Fatal(err)
				}
				r := k.On(Buffers{In: cpu.Floats(li.Len()), Out: cpu.Floats(lo.Len()), Scratch: cpu.Floats(k.Scratch())})
				for b.Loop() {
					for st := range r.Stages() {
						for p := range r.Pieces(st) {
							r.Piece(st, p, 0)
						}
					}
				}
				b.ReportMetric(2*float64(s.MACs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
