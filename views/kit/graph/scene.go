// Package graph owns the drawing of networks: it groups nodes by the scopes in their names, lays the graph out in layers,
// paints it into one picture and lets people move through it.
//
// It knows items, wires and numbers, not models, runs or the state of the studio: the screen that shows a graph turns
// those into a Tree and a Lens. Everything up to the Scene is pure and may run on any goroutine; painter and Widget belong
// to the goroutine of the window. Start reading at Tree, then Arrange, Scene, Painter, Widget.
package graph

import (
	"math"

	"fettle/views/kit/raster"
)

// Diff says how a node differs from the model it is compared with.
type Diff uint8

// The differences; their marks are +, ~ and -.
const (
	Same Diff = iota
	Added
	Changed
	Removed
)

// Node is a box: a layer or a closed group.
type Node struct {
	Box             Rect
	Title, Sub, Val string
	Heat            float32 // place on the ramp, 0 to 1; below 0: not measured
	Len             float32 // length bar, 0 to 1; below 0: none
	Badge           string  // number type: f32, i8
	Diff            Diff
	Group           bool // closed group: plate behind, chevron
	Small           bool // one text line, no tint
}

// Frame is an open group; parents come before children.
type Frame struct {
	Box             Rect
	Title, Sub, Val string
	Depth           uint8
}

// Seg is one stretch of an edge: a cubic with vertical tangents.
type Seg struct {
	X0, Y0, X1, Y1 float32
	Edge           int32
	Arrow          bool
}

// Scene is one picture of a graph. It does not change once Build has run.
type Scene struct {
	Nodes  []Node
	Frames []Frame
	Segs   []Seg
	Bounds Rect
	Key    Legend

	ng, sg *grid
	diffs  bool
}

// Legend says what the colours of a scene mean: a scale with three numbers for nodes and for groups, or classes.
type Legend struct {
	Unit    string
	Node    [3]string // highest, middle, lowest
	Group   [3]string
	Classes []Class // instead of a scale
}

// Class is one colour of a lens that sorts nodes into kinds.
type Class struct {
	Name  string
	Color raster.Color
	Count int
}

// Edge adds a routed edge through points x0, y0, x1, y1, ...; the last piece gets the arrow.
func (s *Scene) Edge(id int32, arrow bool, pts ...float32) {
	for i := 0; i+3 < len(pts); i += 2 {
		s.Segs = append(s.Segs, Seg{X0: pts[i], Y0: pts[i+1], X1: pts[i+2], Y1: pts[i+3],
			Edge: id, Arrow: arrow && i+4 == len(pts)})
	}
}

// Build computes bounds and the indexes.
func (s *Scene) Build() {
	const inf = math.MaxFloat32
	b := Rect{inf, inf, -inf, -inf}
	for i := range s.Nodes {
		b = b.Union(s.Nodes[i].Box)
		s.diffs = s.diffs || s.Nodes[i].Diff != Same
	}
	for i := range s.Frames {
		b = b.Union(s.Frames[i].Box)
	}
	for i := range s.Segs {
		b = b.Union(s.Segs[i].box())
	}
	if b.X0 > b.X1 {
		b = Rect{}
	}
	s.Bounds = b
	s.ng = newGrid(b, len(s.Nodes), 512, func(i int) Rect { return s.Nodes[i].Box.Grow(8) })
	s.sg = newGrid(b, len(s.Segs), 1024, func(i int) Rect { return s.Segs[i].box() })
}

func (e *Seg) box() Rect {
	return Rect{min(e.X0, e.X1) - 4, min(e.Y0, e.Y1), max(e.X0, e.X1) + 4, max(e.Y0, e.Y1)}
}

// HitKind is what lies under a point.
type HitKind uint8

// The things that can be hit.
const (
	HitNone HitKind = iota
	HitNode
	HitChevron // of a closed group
	HitFrame   // title band of an open group
	HitEdge
)

// titleBand is the height of a frame's title, chevronW and chevronH the corner of a closed group that opens it.
const (
	titleBand = 28
	chevronW  = 29
	chevronH  = 28
)

// Hit is what lies at the world point; reach is the tolerance for edges in world units.
func (s *Scene) Hit(x, y, reach float32) (HitKind, int) {
	for _, i := range s.ng.query(Rect{x, y, x, y}, nil) {
		n := &s.Nodes[i]
		if n.Box.Has(x, y) {
			if n.Group && x < n.Box.X0+chevronW && y < n.Box.Y0+chevronH {
				return HitChevron, int(i)
			}
			return HitNode, int(i)
		}
	}
	best, at := reach*reach, -1
	for _, i := range s.sg.query(Rect{x - reach, y - reach, x + reach, y + reach}, nil) {
		if d := s.Segs[i].dist2(x, y); d < best {
			best, at = d, int(s.Segs[i].Edge)
		}
	}
	if at >= 0 {
		return HitEdge, at
	}
	for i := len(s.Frames) - 1; i >= 0; i-- {
		b := s.Frames[i].Box
		if b.Has(x, y) && y < b.Y0+titleBand {
			return HitFrame, i
		}
	}
	return HitNone, -1
}

// dist2 is the squared distance of a point from the curve, by sixteen chords.
func (e *Seg) dist2(px, py float32) float32 {
	best := float32(math.MaxFloat32)
	ax, ay := e.X0, e.Y0
	for i := 1; i <= 16; i++ {
		bx, by := raster.CurveAt(e.X0, e.Y0, e.X1, e.Y1, float32(i)/16)
		dx, dy := bx-ax, by-ay
		t := float32(0)
		if l := dx*dx + dy*dy; l > 0 {
			t = min(max(((px-ax)*dx+(py-ay)*dy)/l, 0), 1)
		}
		ex, ey := ax+t*dx-px, ay+t*dy-py
		best = min(best, ex*ex+ey*ey)
		ax, ay = bx, by
	}
	return best
}
