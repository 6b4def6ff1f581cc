package pool

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// reference is the definition, float64, for one output value.
func reference(s Shape, at func(y, x int) float64, oy, ox int) float64 {
	best, sum, n, padded := math.Inf(-1), 0.0, 0, 0
	for i := range s.KH {
		for j := range s.KW {
			y, x := oy*s.SH+i*s.DH-s.PadT, ox*s.SW+j*s.DW-s.PadL
			if y < s.H+s.PadB && x < s.W+s.PadR {
				padded++
			}
			if y < 0 || x < 0 || y >= s.H || x >= s.W {
				continue
			}
			best, sum, n = max(best, at(y, x)), sum+at(y, x), n+1
		}
	}
	if !s.Avg {
		return best
	}
	if s.CountPad {
		return sum / float64(padded)
	}
	return sum / float64(n)
}

func win(c, h, w, k, st, pad, oh, ow int) Shape {
	return Shape{N: 1, C: c, H: h, W: w, KH: k, KW: k, SH: st, SW: st, DH: 1, DW: 1, PadT: pad, PadL: pad, PadB: pad, PadR: pad, OutH: oh, OutW: ow}
}

func TestRows(t *testing.T) {
	dil := win(20, 9, 9, 2, 1, 1, 8, 8)
	dil.DH, dil.DW, dil.N = 3, 3, 2
	for _, s := range []Shape{win(16, 12, 12, 3, 2, 1, 6, 6), win(40, 13, 27, 3, 2, 0, 6, 13), win(3, 7, 5, 2, 2, 0, 4, 3), win(70, 8, 9, 3, 1, 1, 8, 9), dil, Global(2, 100, 7, 7, false), win(5, 1, 1, 1, 1, 0, 1, 1),
		{N: 1, C: 9, H: 10, W: 11, KH: 2, KW: 5, SH: 3, SW: 2, DH: 1, DW: 1, PadT: 0, PadL: 2, PadB: 1, PadR: 1, OutH: 3, OutW: 5}} {
		for mode := range 4 { // max, avg, avg with padding, max in 8 bit
			s.Avg, s.CountPad, s.Int8 = mode == 1 || mode == 2, mode == 2, mode == 3
			t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
				for _, isa := range cpu.Detect().Levels() {
					check(t, s, cpu.Detect().Limit(isa))
				}
			})
		}
	}
}

func check(t *testing.T, s Shape, f cpu.Features) {
	r := rand.New(rand.NewPCG(1, 2))
	li := cpu.NewLayout(s.N, s.C, s.H, s.W, s.Block(), cpu.Border{Top: 1, Right: 2})
	lo := cpu.NewLayout(s.N, s.C, s.OutH, s.OutW, s.Block(), cpu.Border{Left: 1, Bottom: 1})
	in, out := cpu.Floats(li.Len()), cpu.Floats(lo.Len())
	in8, out8 := cpu.Aligned[uint8](li.Len()), cpu.Aligned[uint8](lo.Len())
	for i := range in {
		in8[i] = uint8(r.IntN(256))
		in[i] = r.Float32() - 2 // negative: a border of zeros must not win
	}
	for i := range out {
		out[i], out8[i] = 55, 55
	}
	k, err := Bind(s, f, li, lo, 2)
	if err != nil {
		t.Fatal(err)
	}
	var run *Run
	if s.Int8 {
		run = k.On8(in8, out8)
	} else {
		run = k.On(in, out)
	}
	crew := team.New(2)
	defer crew.Close()
	if err := crew.Run(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	inside := map[int]bool{}
	for n := range s.N {
		for c := range lo.Blocks() * lo.Block {
			for y := range s.OutH {
				for x := range s.OutW {
					i := lo.At(n, c, y, x)
					inside[i] = true
					got, tol := float64(out[i]), 1e-6
					src := func(y, x int) float64 { return float64(in[li.At(n, c, y, x)]) }
					if s.Int8 {
						got, tol = float64(out8[i]), 0
						src = func(y, x int) float64 { return float64(in8[li.At(n, c, y, x)]) }
					}
					if want := reference(s, src, y, x); !(math.Abs(got-want) <= tol) {
						t.Fatalf("%s: [%d %d %d %d] is %g, want %g", k.Name, n, c, y, x, got, want)
					}
				}
			}
		}
	}
	for i := range out {
		if !inside[i] && (out[i] != 55 && !s.Int8 || out8[i] != 55 && s.Int8) {
			t.Fatalf("%s wrote the border", k.Name)
		}
	}
}

func TestBadInput(t *testing.T) {
	l := cpu.NewLayout(1, 16, 4, 4, 16, cpu.Border{})
	for name, s := range map[string]Shape{"stride": {N: 1}, "outside": win(16, 4, 4, 2, 2, 0, 9, 9), "int8 avg": {N: 1, C: 1, H: 1, W: 1, KH: 1, KW: 1, SH: 1, SW: 1, DH: 1, DW: 1, OutH: 1, OutW: 1, Avg: true, Int8: true}, "layout": win(16, 4, 4, 2, 2, 0, 2, 2)} {
		if _, err := Bind(s, cpu.Detect(), l, l, 1); err == nil {
			t.Error(name, "accepted")
		}
	}
}

func TestOffsets(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		t.Skip("of 64-bit processors")
	}
	var p pargs
	if unsafe.Offsetof(p.taps) != 16 || unsafe.Offsetof(p.nt) != 32 || unsafe.Offsetof(p.ps) != 40 || unsafe.Offsetof(p.scale) != 48 {
		t.Error("pargs is not what the generator writes")
	}
}
