package graph

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"fettle/views/kit/raster"
)

func TestCamera(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		c := Camera{r.Float64()*1e4 - 5e3, r.Float64()*1e4 - 5e3, .01 + r.Float64()*3.9}
		x, y := r.Float64()*1500, r.Float64()*900
		wx, wy := c.ToWorld(x, y)
		if vx, vy := c.ToView(wx, wy); math.Abs(vx-x) > 1e-6 || math.Abs(vy-y) > 1e-6 {
			t.Fatalf("round trip %v %v -> %v %v", x, y, vx, vy)
		}
		d := c.Wheel(x, y, r.Float64()*80-40)
		if zx, zy := d.ToWorld(x, y); math.Abs(zx-wx) > 1e-6 || math.Abs(zy-wy) > 1e-6 {
			t.Fatalf("the point under the cursor moved: %v %v", zx-wx, zy-wy)
		}
		if d.Zoom < MinZoom || d.Zoom > MaxZoom {
			t.Fatalf("zoom %v", d.Zoom)
		}
		p := c.Pan(10, -4)
		if vx, vy := p.ToView(wx, wy); math.Abs(vx-x-10) > 1e-6 || math.Abs(vy-y+4) > 1e-6 {
			t.Fatal("pan")
		}
		sn := c.Snap(1.5)
		if f := sn.X * sn.Zoom * 1.5; math.Abs(f-math.Round(f)) > 1e-6 {
			t.Fatal("snap")
		}
	}
}

func TestFit(t *testing.T) {
	b := Rect{-100, 40, 3000, 9000}
	c := Fit(b, 1500, 900, 16)
	x0, y0 := c.ToView(float64(b.X0), float64(b.Y0))
	x1, y1 := c.ToView(float64(b.X1), float64(b.Y1))
	if x0 < 15.9 || y0 < 15.9 || x1 > 1484.1 || y1 > 884.1 || math.Abs(y1-y0-868) > .1 {
		t.Errorf("fit: %v %v %v %v", x0, y0, x1, y1)
	}
	if z := Fit(Rect{0, 0, 10, 10}, 1500, 900, 16).Zoom; z != 1 {
		t.Errorf("fit blows up to %v", z)
	}
}

// The middle of the target comes closer in every step of a flight.
func TestFlight(t *testing.T) {
	from, to := Fit(Rect{-100, 40, 3000, 9000}, 1500, 900, 16), Centre(2000, 5000, 1, 1500, 900)
	last := math.Inf(1)
	for i := range 21 {
		q := Between(from, to, float64(i)/20, 1500, 900)
		vx, vy := q.ToView(2000, 5000)
		d := math.Hypot(vx-750, vy-450)
		if d > last+1e-6 {
			t.Errorf("step %d: %v after %v", i, d, last)
		}
		last = d
	}
	if last > 1e-6 {
		t.Errorf("flight ends %v away", last)
	}
}

func TestHit(t *testing.T) {
	s := small()
	for _, c := range []struct {
		name string
		x, y float32
		kind HitKind
		i    int
	}{
		{"closed group", 200, 60, HitNode, 0}, {"its chevron", 130, 30, HitChevron, 0}, {"layer", 60, 200, HitNode, 1}, {"small layer", 300, 360, HitNode, 5},
		{"title of a frame", 100, 95, HitFrame, 0}, {"title of an inner frame", 200, 130, HitFrame, 1},
		{"edge", 238, 100, HitEdge, 0}, {"edge below", 236, 400, HitEdge, 5},
		{"inside a frame", 30, 310, HitNone, -1}, {"left of all", -900, 0, HitNone, -1}, {"far away", 1e6, 1e6, HitNone, -1},
	} {
		if k, i := s.Hit(c.x, c.y, 4); k != c.kind || i != c.i {
			t.Errorf("%s (%v, %v): %v %v, want %v %v", c.name, c.x, c.y, k, i, c.kind, c.i)
		}
	}
	// the curve itself is hit, the chord beside it is not
	e := Seg{X0: 0, Y0: 0, X1: 400, Y1: 100}
	x, y := raster.CurveAt(0, 0, 400, 100, .25)
	if e.dist2(x, y) > 1 || e.dist2(100, 25) < 9 {
		t.Errorf("curve distance: %v, %v", e.dist2(x, y), e.dist2(100, 25))
	}
}

func TestGridFindsAll(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	s := &Scene{}
	for range 3000 {
		x, y := r.Float32()*2e4, r.Float32()*3e3
		s.Nodes = append(s.Nodes, Node{Box: Rect{x, y, x + 160, y + 50}})
	}
	s.Build()
	for range 200 {
		x, y := r.Float32()*2e4-500, r.Float32()*3e3-500
		v := Rect{x, y, x + r.Float32()*2000, y + r.Float32()*1000}
		var want, got []int32
		for i := range s.Nodes {
			if s.Nodes[i].Box.Touches(v) {
				want = append(want, int32(i))
			}
		}
		for _, i := range s.ng.query(v, nil) {
			if s.Nodes[i].Box.Touches(v) {
				got = append(got, i)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%v: %d found, %d there", v, len(got), len(want))
		}
	}
}
