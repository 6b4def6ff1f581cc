package raster

import "math"

// Corner is the coverage (0..256) of the top left quadrant of a disc: the signed
// distance to the rounded box, worked out once per radius.
type Corner struct {
	n int
	a []uint16
}

// NewCorner makes the mask of a radius.
func NewCorner(r float64) *Corner {
	n := int(math.Ceil(r - 1e-6))
	c := &Corner{n: n, a: make([]uint16, n*n)}
	for j := range n {
		for i := range n {
			d := math.Hypot(r-float64(i)-0.5, r-float64(j)-0.5) - r
			c.a[j*n+i] = uint16(min(max(0.5-d, 0), 1) * 256)
		}
	}
	return c
}

// Box fills a rounded box on whole pixels.
func (t *Canvas) Box(x0, y0, x1, y1 int, k *Corner, c Color) {
	if x1 <= t.X0 || x0 >= t.X1 || x1 <= x0 {
		return
	}
	n := min(k.n, (x1-x0)/2, (y1-y0)/2)
	first := -1
	for y := max(y0, t.Y0); y < min(y1, t.Y1); y++ {
		dy := min(y-y0, y1-1-y)
		if dy >= n {
			if a, b := max(x0, t.X0), min(x1, t.X1); first < 0 || b-a < 48 {
				t.Span(x0, x1, y, c)
				first = y
			} else {
				copy(t.Pix[y*t.W+a:y*t.W+b], t.Pix[first*t.W+a:first*t.W+b])
			}
			continue
		}
		row := k.a[dy*k.n:]
		for i := range n {
			t.Dot(x0+i, y, c, uint32(row[i]))
			t.Dot(x1-1-i, y, c, uint32(row[i]))
		}
		t.Span(x0+n, x1-n, y, c)
	}
}

// Ring strokes a rounded box inwards with width w.
func (t *Canvas) Ring(x0, y0, x1, y1, w int, out, in *Corner, c Color) {
	if x1 <= t.X0 || x0 >= t.X1 {
		return
	}
	n := min(out.n, (x1-x0)/2, (y1-y0)/2)
	for y := max(y0, t.Y0); y < min(y1, t.Y1); y++ {
		dy := min(y-y0, y1-1-y)
		if dy >= n {
			if dy < w {
				t.Span(x0, x1, y, c)
			} else {
				t.Span(x0, x0+w, y, c)
				t.Span(x1-w, x1, y, c)
			}
			continue
		}
		for i := range n {
			a := uint32(out.a[dy*out.n+i])
			if ii, jj := i-w, dy-w; ii >= 0 && jj >= 0 {
				b := uint32(256)
				if ii < in.n && jj < in.n {
					b = uint32(in.a[jj*in.n+ii])
				}
				a -= min(a, b)
			}
			t.Dot(x0+i, y, c, a)
			t.Dot(x1-1-i, y, c, a)
		}
		if dy < w {
			t.Span(x0+n, x1-n, y, c)
		}
	}
}

// Dashes strokes the straight sides of a box with dashes; the corners are solid arcs.
func (t *Canvas) Dashes(x0, y0, x1, y1, w int, on, off float64, out, in *Corner, c Color) {
	n := min(out.n, (x1-x0)/2, (y1-y0)/2)
	lit := func(d int) bool { return math.Mod(float64(d), on+off) < on }
	for y := max(y0, t.Y0); y < min(y1, t.Y1); y++ {
		dy := min(y-y0, y1-1-y)
		if dy < n {
			for i := range n {
				a := uint32(out.a[dy*out.n+i])
				if ii, jj := i-w, dy-w; ii >= 0 && jj >= 0 {
					b := uint32(256)
					if ii < in.n && jj < in.n {
						b = uint32(in.a[jj*in.n+ii])
					}
					a -= min(a, b)
				}
				t.Dot(x0+i, y, c, a)
				t.Dot(x1-1-i, y, c, a)
			}
		}
		if dy < w {
			for x := x0 + n; x < x1-n; x++ {
				if lit(x - x0 - n) {
					t.Dot(x, y, c, 256)
				}
			}
		} else if dy >= n && lit(y-y0-n) {
			t.Span(x0, x0+w, y, c)
			t.Span(x1-w, x1, y, c)
		}
	}
}

// Rect fills a box with analytic coverage at all four sides.
func (t *Canvas) Rect(x0, y0, x1, y1 float32, c Color) { t.RectA(x0, y0, x1, y1, c, 256) }

// RectA is Rect with a coverage of its own, 0 to 256.
func (t *Canvas) RectA(x0, y0, x1, y1 float32, c Color, alpha uint32) {
	x0, x1 = max(x0, float32(t.X0)), min(x1, float32(t.X1))
	y0, y1 = max(y0, float32(t.Y0)), min(y1, float32(t.Y1))
	if x0 >= x1 || y0 >= y1 {
		return
	}
	// 24.8 fixed point
	fx0, fx1, fy0, fy1 := int(x0*256+.5), int(x1*256+.5), int(y0*256+.5), int(y1*256+.5)
	ix0, ix1 := fx0>>8, (fx1+255)>>8
	l := uint32(min((ix0+1)<<8, fx1) - fx0)
	r := uint32(fx1 - max((ix1-1)<<8, fx0))
	for y := fy0 >> 8; y<<8 < fy1; y++ {
		v := uint32(min((y+1)<<8, fy1)-max(y<<8, fy0)) * alpha >> 8
		if ix1-ix0 <= 0 || v == 0 {
			continue
		}
		row := t.Pix[y*t.W+ix0 : y*t.W+ix1]
		n := len(row)
		blend(&row[0], c, l*v>>8)
		if n == 1 {
			continue
		}
		if v >= 256 {
			for i := 1; i < n-1; i++ {
				row[i] = uint32(c)
			}
		} else {
			for i := 1; i < n-1; i++ {
				blend(&row[i], c, v)
			}
		}
		blend(&row[n-1], c, r*v>>8)
	}
}

// Hatch is the mark of what was not measured: 45 degrees, one line every gap pixels.
func (t *Canvas) Hatch(x0, y0, x1, y1, gap int, w float32, c Color) {
	for y := max(y0, t.Y0); y < min(y1, t.Y1); y++ {
		a := max(x0, t.X0)
		ph := ((a-x0+y-y0)%gap + gap) % gap
		for x := a; x < min(x1, t.X1); x++ {
			d := float32(min(ph, gap-ph)) * 0.70711
			if cov := w/2 + .5 - d; cov > 0 {
				blend(&t.Pix[y*t.W+x], c, uint32(min(cov, 1)*256))
			}
			if ph++; ph == gap {
				ph = 0
			}
		}
	}
}
