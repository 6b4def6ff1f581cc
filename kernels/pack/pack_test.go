package pack

import (
	"context"
	"fmt"
	"testing"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

func TestRoundTrip(t *testing.T) {
	for _, block := range []int{1, 3, 4, 16, 64} {
		for _, c := range []int{1, 3, 16, 17, 70} {
			l := cpu.NewLayout(2, c, 5, 7, block, cpu.Border{Top: 1, Left: 2, Right: 1})
			l.Gap = 8
			t.Run(fmt.Sprint(block, c), func(t *testing.T) {
				src := make([]float32, 2*c*35)
				for i := range src {
					src[i] = float32(i + 1)
				}
				d := make([]float32, l.Len())
				task, err := NewRows(2*5, 3, func(a, b int) { To(l, d, src, a, b, -1) })
				if err != nil {
					t.Fatal(err)
				}
				crew := team.New(2)
				defer crew.Close()
				if err := crew.Run(context.Background(), task); err != nil {
					t.Fatal(err)
				}
				pixels, pads := 0, 0
				for n := range 2 {
					for ch := range l.Blocks() * block {
						for y := range 5 {
							for x := range 7 {
								v := d[l.At(n, ch, y, x)]
								if ch >= c {
									if v != -1 {
										t.Fatal("padding channel", ch, v)
									}
									pads++
								} else if v != src[((n*c+ch)*5+y)*7+x] {
									t.Fatal(n, ch, y, x, v)
								}
								pixels++
							}
						}
					}
				}
				nonzero := 0
				for _, v := range d {
					if v != 0 {
						nonzero++
					}
				}
				if nonzero != pixels {
					t.Fatal("border written")
				}
				back := make([]float32, len(src))
				From(l, back, d, 0, 10)
				other := cpu.NewLayout(2, c, 5, 7, 16, cpu.Border{Bottom: 1})
				e, back2 := make([]float32, other.Len()), make([]float32, len(src))
				Convert(other, e, l, d, 0, 10)
				From(other, back2, e, 0, 10)
				for i := range src {
					if back[i] != src[i] || back2[i] != src[i] {
						t.Fatal("round trip", i)
					}
				}
			})
		}
	}
	if _, err := NewRows(1, 0, func(int, int) {}); err == nil {
		t.Error("pieces of no rows accepted")
	}
}

// TestPixels: three planes side by side, at all lengths around a vector, and nothing behind.
func TestPixels(t *testing.T) {
	for n := range 70 {
		f, b := make([]float32, 3*n), make([]uint8, 3*n)
		for i := range f {
			f[i], b[i] = float32(i), uint8(i*7)
		}
		df, db := make([]float32, 3*n+1), make([]uint8, 3*n+1)
		df[3*n], db[3*n] = -1, 99
		Pixels(df, f[:n], f[n:2*n], f[2*n:])
		Pixels8(db, b[:n], b[n:2*n], b[2*n:], 0x80)
		for i := range 3 * n {
			from := i%3*n + i/3
			if df[i] != f[from] || db[i] != b[from]^0x80 {
				t.Fatalf("%d pixels: element %d is %g and %d", n, i, df[i], db[i])
			}
		}
		if df[3*n] != -1 || db[3*n] != 99 {
			t.Fatalf("%d pixels: wrote behind", n)
		}
	}
}
