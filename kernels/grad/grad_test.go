package grad

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
)

func TestOffsets(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		t.Skip("of 64-bit processors")
	}
	var a args
	for name, o := range map[string][2]uintptr{"b": {unsafe.Offsetof(a.b), 16}, "outs": {unsafe.Offsetof(a.outs), 48}, "k": {unsafe.Offsetof(a.k), 56},
		"step": {unsafe.Offsetof(a.step), 80}, "cur": {unsafe.Offsetof(a.cur), 96}, "mask": {unsafe.Offsetof(a.mask), 104}, "chans": {unsafe.Offsetof(a.chans), 112}} {
		if o[0] != o[1] {
			t.Errorf("%s lies at %d, the generator writes %d", name, o[0], o[1])
		}
	}
}

// everyKernels are those of all instruction sets of this machine, and the portable ones.
func everyKernels(t *testing.T) map[string]*Kernels {
	l := map[string]*Kernels{}
	for _, isa := range []cpu.ISA{cpu.Generic, cpu.AVX2, cpu.AVX512F} {
		f := cpu.Detect()
		if !f.Has(isa) && isa != cpu.Generic {
			t.Logf("%v: not on this machine", isa)
			continue
		}
		k, _ := New(f.Limit(isa))
		if k.isa == isa {
			l[isa.String()] = &k
		}
	}
	return l
}

func random(r *rand.Rand, n int) []float32 {
	v := cpu.Floats(n + Slack)[:n]
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func somePlaces(r *rand.Rand, rows, taps, xrow, pixels, crow int) []Place {
	l := make([]Place, rows)
	for i, o := range r.Perm(rows) {
		l[i] = Place{Out: int32(o * crow)}
		for range taps {
			at := int32(r.IntN(pixels+1)-1) * int32(xrow)
			l[i].In = append(l[i].In, max(at, -1))
		}
	}
	return l
}

func near(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	top := 1.0
	for _, v := range want {
		top = max(top, math.Abs(v))
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - v); !(d <= tol*top) {
			t.Fatalf("%s: [%d] is %g, want %g", what, i, got[i], v)
		}
	}
}

// TestProduct holds Run and Outer to plain sums, for all numbers of rows of a tile and columns of a panel.
func TestProduct(t *testing.T) {
	for name, k := range everyKernels(t) {
		for _, c := range []struct{ rows, taps, k, m int }{
			{1, 1, 1, 1}, {5, 3, 3, 8}, {7, 9, 16, 16}, {64, 9, 5, 13}, {97, 1, 64, 40}, {33, 4, 12, 70}, {200, 9, 7, 33}, {20, 2, 19, 24},
		} {
			t.Run(fmt.Sprintf("%s/%v", name, c), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(c.rows), uint64(c.m)))
				const pixels = 50
				xrow, crow := c.k+3, c.m+5
				places := somePlaces(r, c.rows, c.taps, xrow, pixels, crow)
				p := k.NewProduct(c.k, c.m, places)
				x, w, bias, d := random(r, pixels*xrow), random(r, c.m*c.k*c.taps), random(r, p.BiasLen()), random(r, c.rows*crow)
				s := Strides{K: c.taps, M: c.k * c.taps}
				for i := range c.taps {
					s.Taps = append(s.Taps, i)
				}
				packed, out := cpu.Floats(p.PackedLen()), random(r, c.rows*crow)
				want, wantW := make([]float64, len(out)), make([]float64, len(w))
				for i, v := range out {
					want[i] = float64(v) // what lies between rows stays
				}
				for _, q := range places {
					for m := range c.m {
						sum := float64(bias[m])
						for ti, at := range q.In {
							for kk := 0; kk < c.k && at >= 0; kk++ {
								i := m*c.k*c.taps + kk*c.taps + ti
								sum += float64(x[int(at)+kk]) * float64(w[i])
								wantW[i] += float64(x[int(at)+kk]) * float64(d[int(q.Out)+m])
							}
						}
						want[int(q.Out)+m] = sum
					}
				}
				p.Pack(packed, w, s)
				p.Run(out, x, packed, bias)
				near(t, "rows", out, want, 1e-5)
				dw, got := cpu.Floats(p.PackedLen()), make([]float32, len(w))
				p.Outer(dw, x, d)
				p.Add(got, dw, s)
				near(t, "weights", got, wantW, 1e-5)
			})
		}
	}
}

// TestDepth holds depthwise sums to plain ones.
func TestDepth(t *testing.T) {
	for name, k := range everyKernels(t) {
		for _, c := range []int{1, 8, 13, 32, 100} {
			r := rand.New(rand.NewPCG(uint64(c), 1))
			const rows, taps, pixels = 75, 9, 40
			places := somePlaces(r, rows, taps, c, pixels, c)
			d := k.NewDepth(c, places)
			x, w, bias, g, out := random(r, pixels*c), random(r, taps*c), random(r, c), random(r, rows*c), random(r, rows*c)
			want, wantW := make([]float64, rows*c), make([]float64, taps*c)
			for _, q := range places {
				for ch := range c {
					sum := float64(bias[ch])
					for ti, at := range q.In {
						if at >= 0 {
							sum += float64(x[int(at)+ch]) * float64(w[ti*c+ch])
							wantW[ti*c+ch] += float64(x[int(at)+ch]) * float64(g[int(q.Out)+ch])
						}
					}
					want[int(q.Out)+ch] = sum
				}
			}
			d.Run(out, x, w, bias)
			near(t, fmt.Sprintf("%s %d channels", name, c), out, want, 1e-5)
			dw := make([]float32, taps*c)
			d.Outer(dw, x, g)
			near(t, fmt.Sprintf("%s weights of %d channels", name, c), dw, wantW, 1e-5)
		}
	}
}

// TestWindows holds depthwise windows to plain sums: forward, and the gradient of their weights.
func TestWindows(t *testing.T) {
	type plan struct{ h, w, kh, kw, sy, sx, pt, pl, pb, pr int }
	for name, k := range everyKernels(t) {
		for _, c := range []int{8, 16, 24, 13, 40} {
			for _, p := range []plan{{9, 11, 3, 3, 1, 1, 1, 1, 1, 1}, {9, 11, 3, 3, 2, 2, 1, 1, 1, 1}, {8, 10, 3, 3, 2, 2, 0, 0, 1, 1}, {7, 21, 5, 5, 1, 1, 2, 2, 2, 2}, {12, 12, 5, 5, 2, 2, 1, 1, 2, 2},
				{13, 11, 5, 5, 2, 2, 2, 2, 2, 2}, {1, 30, 1, 3, 1, 1, 0, 1, 0, 1}, {30, 1, 3, 1, 1, 1, 1, 0, 1, 0}, {6, 6, 2, 2, 1, 1, 0, 0, 1, 1}, {5, 4, 3, 3, 1, 1, 1, 1, 1, 1}, {3, 2, 3, 3, 1, 1, 1, 1, 1, 1},
				{9, 9, 4, 5, 1, 1, 3, 4, 0, 0}, {9, 9, 7, 3, 1, 1, 3, 1, 3, 1}, {2, 2, 3, 3, 2, 2, 1, 1, 1, 1}, {12, 12, 7, 7, 1, 1, 3, 3, 3, 3}, {9, 12, 3, 3, 3, 3, 1, 1, 1, 1}, {40, 33, 3, 3, 1, 2, 1, 1, 1, 1}} {
				const images = 2
				win := Window{H: p.h, W: p.w, KH: p.kh, KW: p.kw, SY: p.sy, SX: p.sx, PT: p.pt, PL: p.pl, Step: 1,
					OH: (p.h+p.pt+p.pb-p.kh)/p.sy + 1, OW: (p.w+p.pl+p.pr-p.kw)/p.sx + 1}
				win.RowStep, win.Pixels = win.OW, win.OH*win.OW
				what := fmt.Sprintf("%s, %d channels, %v", name, c, p)
				r := rand.New(rand.NewPCG(uint64(c), uint64(p.h)))
				d := k.NewWindow(c, win, images)
				if whole := c >= k.width && p.kw <= 5 && p.sx <= 2; (d.win != nil) != (whole && k.isa != cpu.Generic) && p.kw <= 5 && p.sx <= 2 && c >= k.width {
					t.Fatalf("%s: no kernels for a window", what)
				}
				x, w, bias := random(r, images*p.h*p.w*c), random(r, p.kh*p.kw*c), random(r, c)
				out, g := random(r, images*win.Pixels*c), random(r, images*win.Pixels*c)
				want, wantW := make([]float64, len(out)), make([]float64, len(w))
				for _, q := range win.places(c, images) {
					for ch := range c {
						sum := float64(bias[ch])
						for tap, at := range q.In {
							if at >= 0 {
								sum += float64(x[int(at)+ch]) * float64(w[tap*c+ch])
								wantW[tap*c+ch] += float64(x[int(at)+ch]) * float64(g[int(q.Out)+ch])
							}
						}
						want[int(q.Out)+ch] = sum
					}
				}
				d.Run(out, x, w, bias)
				near(t, what, out, want, 1e-5)
				dw := make([]float32, len(w))
				d.Outer(dw, x, g)
				near(t, what+", weights", dw, wantW, 1e-5)
				// results that lie apart, as phases of a gradient do; what is between stays
				apart := win
				apart.First, apart.Step, apart.RowStep, apart.Pixels = 1, 2, 2*win.OW+3, win.OH*(2*win.OW+3)+2
				far := random(r, images*apart.Pixels*c)
				wantFar := make([]float64, len(far))
				for i, v := range far {
					wantFar[i] = float64(v)
				}
				dense := win.places(c, images)
				for i, q := range apart.places(c, images) {
					for ch := range c {
						wantFar[int(q.Out)+ch] = want[int(dense[i].Out)+ch] - float64(bias[ch])
					}
				}
				k.NewWindow(c, apart, images).Run(far, x, w, nil)
				near(t, what+", apart", far, wantFar, 1e-5)
			}
		}
	}
}

// TestChannels holds the passes by channel to plain loops.
func TestChannels(t *testing.T) {
	for name, k := range everyKernels(t) {
		for _, c := range []int{1, 7, 8, 16, 24, 45, 64} {
			for _, n := range []int{1, 3, 700} {
				r := rand.New(rand.NewPCG(uint64(c), uint64(n)))
				x, d := random(r, n*c), random(r, n*c)
				a, b, s := random(r, c), random(r, c), random(r, c)
				more := random(r, n*c)
				var sums, want [10][]float64
				for i := range sums {
					sums[i], want[i] = make([]float64, c), make([]float64, c)
				}
				var maps [9][]float64
				for i := range maps {
					maps[i] = make([]float64, n*c)
				}
				for i := range x {
					ch := i % c
					v, g := float64(x[i])-float64(s[ch]), float64(d[i])
					for j, u := range []float64{v, v * v, g, g * v} {
						want[j][ch] += u
					}
					maps[0][i] = float64(a[ch])*float64(x[i]) + float64(b[ch])
					maps[1][i] = float64(a[ch])*g + float64(b[ch])*float64(x[i]) + float64(s[ch])
					if x[i] > 0 {
						maps[2][i] = g
					}
					open := 0.0
					if a[ch]*x[i]+b[ch] > 0 {
						open = g
					}
					want[4][ch] += open
					want[5][ch] += open * v
					maps[3][i] = max(maps[0][i], 0)
					if -0.5 < x[i] && x[i] < 0.7 {
						maps[8][i] = g
					}
					maps[5][i] = max(maps[0][i]+float64(more[i]), 0)
					for j, h := range []float64{0, float64(more[i])} {
						if x[i] > 0 {
							maps[6+j][i] = g + h
							want[6+2*j][ch] += g + h
							want[7+2*j][ch] += (g + h) * v
						}
					}
					maps[4][i] = float64(s[ch])*open + float64(a[ch])*float64(x[i]) + float64(b[ch])
				}
				k.Moments(x, s, sums[0], sums[1])
				k.Dots(x, d, s, Gate{}, sums[2], sums[3])
				gate := Gate{a, b}
				k.Dots(x, d, s, gate, sums[4], sums[5])
				what := fmt.Sprintf("%s, %d channels, %d pixels", name, c, n)
				for j, term := range [][]float32{nil, more} {
					open := slices.Clone(d)
					k.Open(open, term, x, x, s, sums[6+2*j], sums[7+2*j])
					near(t, what+", behind a gate", open, maps[6+j], 1e-6)
				}
				for j := range sums {
					for ch := range c {
						if math.Abs(sums[j][ch]-want[j][ch]) > 1e-4*float64(n) {
							t.Fatalf("%s: sum %d of channel %d is %g, want %g", what, j, ch, sums[j][ch], want[j][ch])
						}
					}
				}
				out := make([]float32, n*c)
				k.Affine(out, x, a, b)
				near(t, what+", affine", out, maps[0], 1e-6)
				k.AffineRelu(out, x, a, b)
				near(t, what+", affine and relu", out, maps[3], 1e-6)
				place := slices.Clone(d)
				k.Mask(place, place, x)
				near(t, what+", mask in place", place, maps[2], 0)
				copy(place, d)
				k.Band(place, place, x, -0.5, 0.7)
				near(t, what+", within a band in place", place, maps[8], 0)
				k.Band(out, d, x, -0.5, 0.7)
				near(t, what+", within a band", out, maps[8], 0)
				k.Join(out, x, more, a, b)
				near(t, what+", joined", out, maps[5], 1e-6)
				k.Blend(out, d, x, a, b, s, Gate{})
				near(t, what+", blend", out, maps[1], 1e-6)
				k.Blend(out, d, x, s, a, b, gate)
				near(t, what+", blend behind a gate", out, maps[4], 1e-6)
				k.Mask(out, d, x)
				near(t, what+", mask", out, maps[2], 0)
			}
		}
	}
}

// BenchmarkDepth runs depthwise layers of MobileNet and EfficientNet, forward and weights, beside a copy of as many bytes: the bound of 3x3
// windows of stride 2. Those of stride 1 and of 5x5 are bound by the multipliers: the share of two products of a vector a cycle is in
// GFLOP/s beside BenchmarkProduct.
func BenchmarkDepth(b *testing.B) {
	for _, c := range [][4]int{{32, 48, 3, 1}, {128, 24, 3, 1}, {256, 12, 3, 1}, {512, 6, 3, 1}, {64, 48, 3, 2}, {128, 24, 3, 2}, {256, 12, 3, 2}, {128, 24, 5, 1}, {240, 12, 5, 2}} {
		k, _ := New(cpu.Detect())
		ch, h, kk, st := c[0], c[1], c[2], c[3]
		w := Window{H: h, W: h, KH: kk, KW: kk, SY: st, SX: st, PT: kk / 2, PL: kk / 2, OH: (h + st - 1) / st, OW: (h + st - 1) / st, Step: 1}
		w.RowStep, w.Pixels = w.OW, w.OH*w.OW
		d := k.NewWindow(ch, w, 1)
		in, outs := h*h*ch, w.Pixels*ch
		r := rand.New(rand.NewPCG(1, 1)) // memory that nobody wrote to is one page of zeros under many addresses, which is slower
		x, out, weights := random(r, in), random(r, in), random(r, kk*kk*ch)
		for _, run := range []struct {
			name string
			f    func()
		}{{"copy", func() { copy(out, x[:(in+outs)/2]) }}, {"forward", func() { d.Run(out, x, weights, nil) }}, {"weights", func() { d.Outer(weights, x, out) }}} {
			b.Run(fmt.Sprintf("%dx%d/stride%d/%d/%s", kk, kk, st, ch, run.name), func(b *testing.B) {
				for b.Loop() {
					run.f()
				}
				b.ReportMetric(4*float64(in+outs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
				if run.name != "copy" {
					b.ReportMetric(2*float64(outs*kk*kk)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				}
			})
		}
	}
}

// BenchmarkProduct runs the 3x3 layers of ResNet-20, forward and weights.
func BenchmarkProduct(b *testing.B) {
	for _, c := range [][2]int{{16, 32}, {32, 16}, {64, 8}} {
		k, _ := New(cpu.Detect())
		ch, h := c[0], c[1]
		n := max(1, 512/h/h)
		var places []Place
		for p := range n * h * h {
			q := Place{Out: int32(p * ch)}
			for tap := range 9 {
				y, x := p/h%h+tap/3-1, p%h+tap%3-1
				if y < 0 || y >= h || x < 0 || x >= h {
					q.In = append(q.In, -1)
				} else {
					q.In = append(q.In, int32(((p/h/h*h+y)*h+x)*ch))
				}
			}
			places = append(places, q)
		}
		p := k.NewProduct(ch, ch, places)
		x, out, w := cpu.Floats(n*h*h*ch+Slack), cpu.Floats(n*h*h*ch+Slack), cpu.Floats(p.PackedLen())
		flops := 2 * float64(n*h*h*9*ch*ch)
		b.Run(fmt.Sprintf("forward/%d", ch), func(b *testing.B) {
			for b.Loop() {
				p.Run(out, x, w, nil)
			}
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
		b.Run(fmt.Sprintf("weights/%d", ch), func(b *testing.B) {
			for b.Loop() {
				p.Outer(w, x, out)
			}
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
