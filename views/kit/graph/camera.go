package graph

import "math"

// Rect is an axis-parallel box in world units.
type Rect struct{ X0, Y0, X1, Y1 float32 }

// W is the width.
func (r Rect) W() float32 { return r.X1 - r.X0 }

// H is the height.
func (r Rect) H() float32 { return r.Y1 - r.Y0 }

// Has reports whether the point lies inside; the right and the lower border do not.
func (r Rect) Has(x, y float32) bool {
	return x >= r.X0 && x < r.X1 && y >= r.Y0 && y < r.Y1
}

// Touches reports whether the boxes share a point.
func (r Rect) Touches(o Rect) bool {
	return r.X0 <= o.X1 && o.X0 <= r.X1 && r.Y0 <= o.Y1 && o.Y0 <= r.Y1
}

// Union is the smallest box around both.
func (r Rect) Union(o Rect) Rect {
	return Rect{min(r.X0, o.X0), min(r.Y0, o.Y0), max(r.X1, o.X1), max(r.Y1, o.Y1)}
}

// Grow moves every side out by d.
func (r Rect) Grow(d float32) Rect { return Rect{r.X0 - d, r.Y0 - d, r.X1 + d, r.Y1 + d} }

// The limits of the zoom.
const (
	MinZoom = 0.01
	MaxZoom = 4
)

// Camera maps world units to view units (DIP): view = (world - pos) * zoom.
type Camera struct{ X, Y, Zoom float64 }

// ToView turns a world point into a view point.
func (c Camera) ToView(x, y float64) (float64, float64) {
	return (x - c.X) * c.Zoom, (y - c.Y) * c.Zoom
}

// ToWorld turns a view point into a world point.
func (c Camera) ToWorld(x, y float64) (float64, float64) {
	return x/c.Zoom + c.X, y/c.Zoom + c.Y
}

// Pan moves the picture by a distance in view units.
func (c Camera) Pan(dx, dy float64) Camera {
	c.X -= dx / c.Zoom
	c.Y -= dy / c.Zoom
	return c
}

// ZoomAt scales by f and keeps the world point under the view point (x, y) fixed.
func (c Camera) ZoomAt(x, y, f float64) Camera {
	wx, wy := c.ToWorld(x, y)
	c.Zoom = min(max(c.Zoom*f, MinZoom), MaxZoom)
	c.X, c.Y = wx-x/c.Zoom, wy-y/c.Zoom
	return c
}

// Wheel is the zoom step of a scroll event.
func (c Camera) Wheel(x, y, dy float64) Camera {
	f := 1 + math.Abs(dy)/100
	if dy < 0 {
		f = 1 / f
	}
	return c.ZoomAt(x, y, f)
}

// Fit shows all of b in a view of w by h, never above 100 %.
func Fit(b Rect, w, h, margin float64) Camera {
	bw, bh := max(float64(b.W()), 1), max(float64(b.H()), 1)
	z := min((w-2*margin)/bw, (h-2*margin)/bh, 1)
	z = min(max(z, MinZoom), MaxZoom)
	return Centre(float64(b.X0+b.X1)/2, float64(b.Y0+b.Y1)/2, z, w, h)
}

// Centre puts the world point (x, y) in the middle of the view.
func Centre(x, y, zoom, w, h float64) Camera {
	return Camera{x - w/2/zoom, y - h/2/zoom, zoom}
}

// Snap moves the camera to whole device pixels, so that a pan at rest is sharp.
func (c Camera) Snap(scale float64) Camera {
	k := c.Zoom * scale
	c.X = math.Round(c.X*k) / k
	c.Y = math.Round(c.Y*k) / k
	return c
}

// Between eases from a to b (ease-out); zoom runs on a log scale and the middle
// of a view of w by h travels with it, so that the target never swings away.
func Between(a, b Camera, t, w, h float64) Camera {
	if t >= 1 {
		return b
	}
	t = 1 - (1-t)*(1-t)*(1-t)
	z := a.Zoom * math.Pow(b.Zoom/a.Zoom, t)
	u := t
	if d := 1/b.Zoom - 1/a.Zoom; math.Abs(d) > 1e-9 {
		u = (1/z - 1/a.Zoom) / d
	}
	ax, ay := a.ToWorld(w/2, h/2)
	bx, by := b.ToWorld(w/2, h/2)
	return Centre(ax+(bx-ax)*u, ay+(by-ay)*u, z, w, h)
}

// View is the world box a view of w by h shows.
func (c Camera) View(w, h float64) Rect {
	x, y := c.ToWorld(w, h)
	return Rect{float32(c.X), float32(c.Y), float32(x), float32(y)}
}
