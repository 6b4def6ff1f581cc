package raster

import (
	"image"
	"math"

	"golang.org/x/image/vector"
)

// Stroke is a line seen row by row: each pixel row that has its centre between
// the ends takes coverage from the distance to the line, so a pixel is touched
// once even where the pieces of a curve join.
func (t *Canvas) Stroke(x0, y0, x1, y1, hw float32, peak uint32, lo, hi float32, c Color) {
	ya, yb := int(math.Ceil(float64(y0-.5))), int(math.Ceil(float64(y1-.5)))
	ra, rb := max(ya, t.Y0), min(yb, t.Y1)
	if ra >= rb {
		return
	}
	m := (x1 - x0) / (y1 - y0)
	inv, l := float32(1), float32(1)
	if m > 0.02 || m < -0.02 {
		l = float32(math.Sqrt(float64(1 + m*m)))
		inv = 1 / l
	}
	reach := (hw + .5) * l
	xc := x0 + (float32(ra)+.5-y0)*m
	const one = 1 << 16
	fx, fm := int(xc*one), int(m*one)
	fr, finv := int(reach*one), int(inv*one)
	top := int((hw + .5) * one)
	l0, l1 := max(int(lo), t.X0), min(int(math.Ceil(float64(hi))), t.X1)
	for y := ra; y < rb; y++ {
		a, b := max((fx-fr+one/2)>>16, l0), min((fx+fr+one/2)>>16, l1)
		if a < b {
			row := t.Pix[y*t.W+a : y*t.W+b]
			d := a<<16 + one/2 - fx
			for i := range row {
				e := d
				if e < 0 {
					e = -e
				}
				if cov := (top - e*finv>>16) >> 8; cov > 0 {
					blend(&row[i], c, min(uint32(cov), peak))
				}
				d += one
			}
		}
		fx += fm
	}
}

// Curve paints a cubic with vertical tangents as strokes.
func (t *Canvas) Curve(x0, y0, x1, y1, hw float32, peak uint32, c Color) {
	if y1 < y0 {
		x0, y0, x1, y1 = x1, y1, x0, y0
	}
	if y1 <= float32(t.Y0) || y0 >= float32(t.Y1) {
		return
	}
	lo, hi := min(x0, x1)-hw-.5, max(x0, x1)+hw+1
	dx, dy := x1-x0, y1-y0
	if dx > -0.25 && dx < 0.25 {
		t.Stroke(x0, y0, x1, y1, hw, peak, lo, hi, c)
		return
	}
	n := int(min(max((dy+max(dx, -dx))/5, 8), 40))
	ax, ay := x0, y0
	for i := 1; i <= n; i++ {
		bx, by := CurveAt(x0, y0, x1, y1, float32(i)/float32(n))
		t.Stroke(ax, ay, bx, by, hw, peak, lo, hi, c)
		ax, ay = bx, by
	}
}

// CurveAt is the point of the curve from (x0, y0) to (x1, y1) at t, 0 to 1.
func CurveAt(x0, y0, x1, y1, t float32) (x, y float32) {
	ym := (y0 + y1) / 2
	u := 1 - t
	return x0 + (x1-x0)*t*t*(3-2*t),
		y0*u*u*u + 3*ym*t*u + y1*t*t*t // 3·ym·(t·u² + t²·u) = 3·ym·t·u
}

// Line is a straight edge for small zooms.
func (t *Canvas) Line(x0, y0, x1, y1, hw float32, peak uint32, c Color) {
	if y1 < y0 {
		x0, y0, x1, y1 = x1, y1, x0, y0
	}
	lo, hi := min(x0, x1)-hw, max(x0, x1)+hw+1
	if hi <= 0 || lo >= float32(t.X1) {
		return
	}
	if y1-y0 < 1 {
		y := (y0 + y1) / 2
		t.RectA(lo, y-hw, hi-1, y+hw, c, 256)
		return
	}
	t.Stroke(x0, y0, x1, y1, hw, peak, lo, hi, c)
}

// Arrow is a triangle pointing down with its tip at (x, y).
func (t *Canvas) Arrow(x, y, w, h float32, c Color) {
	top := y - h
	for r := max(int(top), t.Y0); r < min(int(y+.999), t.Y1); r++ {
		v := min((float32(r)+.5-top)/h, 1)
		half := w / 2 * (1 - v)
		part := min(float32(r+1), y) - max(float32(r), top)
		t.fspan(x-half, x+half, r, c, part)
	}
}

func (t *Canvas) fspan(x0, x1 float32, y int, c Color, part float32) {
	a, b := int(x0), int(x1)
	for x := max(a, t.X0); x <= min(b, t.X1-1); x++ {
		cov := min(float32(x+1), x1) - max(float32(x), x0)
		if cov > 0 {
			blend(&t.Pix[y*t.W+x], c, uint32(cov*part*256))
		}
	}
}

// Capsule is a short straight stroke with round caps, for icons.
func (t *Canvas) Capsule(x0, y0, x1, y1, w float32, c Color) {
	h := w / 2
	dx, dy := x1-x0, y1-y0
	q := dx*dx + dy*dy
	for y := max(int(min(y0, y1)-h-1), t.Y0); y < min(int(max(y0, y1)+h+2), t.Y1); y++ {
		for x := max(int(min(x0, x1)-h-1), t.X0); x < min(int(max(x0, x1)+h+2), t.X1); x++ {
			px, py := float32(x)+.5-x0, float32(y)+.5-y0
			u := float32(0)
			if q > 0 {
				u = min(max((px*dx+py*dy)/q, 0), 1)
			}
			ex, ey := px-u*dx, py-u*dy
			if d2 := ex*ex + ey*ey; d2 < (h+.5)*(h+.5) {
				cov := h + .5 - float32(math.Sqrt(float64(d2)))
				blend(&t.Pix[y*t.W+x], c, uint32(min(cov, 1)*256))
			}
		}
	}
}

// Disc fills a circle; with w > 0 it strokes it inwards.
func (t *Canvas) Disc(cx, cy, r, w float32, c Color) {
	for y := max(int(cy-r-1), t.Y0); y < min(int(cy+r+2), t.Y1); y++ {
		for x := max(int(cx-r-1), t.X0); x < min(int(cx+r+2), t.X1); x++ {
			px, py := float32(x)+.5-cx, float32(y)+.5-cy
			d := float32(math.Sqrt(float64(px*px+py*py))) - r
			cov := min(max(.5-d, 0), 1)
			if w > 0 {
				cov = min(cov, min(max(d+w+.5, 0), 1))
			}
			if cov > 0 {
				blend(&t.Pix[y*t.W+x], c, uint32(cov*256))
			}
		}
	}
}

// Poly fills a polygon given by its corners, x and y by turns, by the non-zero rule.
func (t *Canvas) Poly(c Color, xy ...float32) {
	if len(xy) < 6 {
		return
	}
	x0, y0, x1, y1 := xy[0], xy[1], xy[0], xy[1]
	for i := 0; i+1 < len(xy); i += 2 {
		x0, x1 = min(x0, xy[i]), max(x1, xy[i])
		y0, y1 = min(y0, xy[i+1]), max(y1, xy[i+1])
	}
	bx, by := int(math.Floor(float64(x0))), int(math.Floor(float64(y0)))
	w, h := int(math.Ceil(float64(x1)))-bx, int(math.Ceil(float64(y1)))-by
	if w <= 0 || h <= 0 || bx >= t.X1 || by >= t.Y1 || bx+w <= t.X0 || by+h <= t.Y0 || w > 1<<14 || h > 1<<14 {
		return
	}
	z := vector.NewRasterizer(w, h)
	z.MoveTo(xy[0]-float32(bx), xy[1]-float32(by))
	for i := 2; i+1 < len(xy); i += 2 {
		z.LineTo(xy[i]-float32(bx), xy[i+1]-float32(by))
	}
	z.ClosePath()
	m := image.NewAlpha(image.Rect(0, 0, w, h))
	z.Draw(m, m.Rect, image.Opaque, image.Point{})
	t.Mask(m.Pix, bx, by, w, h, c)
}
