package raster

import (
	"image"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// Size is a font size for the caches: sizes are in half pixels up to 24 px and whole pixels above, so that a zoom
// passes through few sizes and the cache stays small.
func Size(px float64) uint8 {
	if px < 24 {
		return uint8(math.Round(max(px, 1) * 2))
	}
	return uint8(min(math.Round(px), 120)) * 2
}

type glyph struct {
	off    int32
	w, h   int16
	dx, dy int16 // from the pen pixel and the baseline
}

type glyphKey struct {
	r     rune
	style Style
	size  uint8
	sub   uint8 // quarter pixel
}

type placed struct {
	g   int32
	x   int32 // whole pixels from the start of the run
	end int32 // pen after the glyph, 26.6
}

type run struct {
	at, n int32
	width int32 // 26.6
}

type runKey struct {
	text  string
	style Style
	size  uint8
}

// Run names a shaped text in the caches of its Type; it is valid until Trim.
type Run int32

// Type shapes runs and keeps glyph masks. One goroutine writes it while a frame is prepared; any number may read it while
// bands are painted.
type Type struct {
	fonts  *Fonts
	faces  map[uint32]font.Face
	buf    sfnt.Buffer
	glyphs []glyph
	index  map[glyphKey]int32
	masks  []byte
	runs   []run
	runIdx map[runKey]Run
	places []placed
	ell    map[[2]uint8]Run
}

// NewType makes empty caches over fonts.
func NewType(f *Fonts) *Type {
	ts := &Type{fonts: f, faces: map[uint32]font.Face{}}
	ts.reset()
	return ts
}

func (ts *Type) reset() {
	ts.glyphs, ts.masks = ts.glyphs[:0], ts.masks[:0]
	ts.index = map[glyphKey]int32{}
	ts.runs, ts.places = ts.runs[:0], ts.places[:0]
	ts.runIdx = map[runKey]Run{}
	ts.ell = map[[2]uint8]Run{}
}

// Trim drops the caches where they have grown large. Call it before a frame: all runs of before end.
func (ts *Type) Trim() {
	if len(ts.masks) > 8<<20 || len(ts.places) > 1<<20 {
		ts.reset()
	}
}

func (ts *Type) face(style Style, size uint8, i int) font.Face {
	k := uint32(style)<<16 | uint32(size)<<8 | uint32(i)
	f := ts.faces[k]
	if f == nil {
		var err error
		f, err = opentype.NewFace(ts.fonts.chain[style][i], &opentype.FaceOptions{Size: float64(size) / 2, DPI: 72})
		if err != nil {
			panic(err) // only for a size that is not positive
		}
		ts.faces[k] = f
	}
	return f
}

func (ts *Type) pick(style Style, r rune) int {
	for i, f := range ts.fonts.chain[style] {
		if g, err := f.GlyphIndex(&ts.buf, r); err == nil && g != 0 {
			return i
		}
	}
	return 0
}

func (ts *Type) glyph(r rune, style Style, size, sub uint8) int32 {
	k := glyphKey{r, style, size, sub}
	if i, ok := ts.index[k]; ok {
		return i
	}
	f := ts.face(style, size, ts.pick(style, r))
	var g glyph
	dr, m, mp, _, ok := f.Glyph(fixed.Point26_6{X: fixed.Int26_6(sub) * 16}, r)
	if a, alpha := m.(*image.Alpha); ok && alpha && !dr.Empty() {
		g = glyph{off: int32(len(ts.masks)), w: int16(dr.Dx()), h: int16(dr.Dy()), dx: int16(dr.Min.X), dy: int16(dr.Min.Y)}
		for y := range dr.Dy() {
			o := a.PixOffset(mp.X, mp.Y+y)
			ts.masks = append(ts.masks, a.Pix[o:o+dr.Dx()]...)
		}
	}
	i := int32(len(ts.glyphs))
	ts.glyphs = append(ts.glyphs, g)
	ts.index[k] = i
	return i
}

func (ts *Type) shape(s string, style Style, size uint8) run {
	r := run{at: int32(len(ts.places))}
	pen := fixed.Int26_6(0)
	for _, c := range s {
		adv, ok := ts.face(style, size, ts.pick(style, c)).GlyphAdvance(c)
		if !ok {
			continue
		}
		q := pen + 8 // nearest quarter pixel
		g := ts.glyph(c, style, size, uint8(q>>4&3))
		pen += adv
		ts.places = append(ts.places, placed{g, int32(q >> 6), int32(pen)})
		r.n++
	}
	r.width = int32(pen)
	return r
}

// Run shapes a text; the second time it only looks it up.
func (ts *Type) Run(s string, style Style, size uint8) Run {
	k := runKey{s, style, size}
	if i, ok := ts.runIdx[k]; ok {
		return i
	}
	i := Run(len(ts.runs))
	ts.runs = append(ts.runs, ts.shape(s, style, size))
	ts.runIdx[k] = i
	return i
}

// Width is the width of a run in whole pixels.
func (ts *Type) Width(r Run) int { return int(ts.runs[r].width+32) >> 6 }

// Cut is a run as far as it fits, with an ellipsis where it does not.
type Cut struct {
	Run   Run
	N     int32 // glyphs that fit
	Ell   Run   // -1: all fit
	EllX  int32
	Width int // pixels with the ellipsis
}

// Fit cuts a run to px pixels.
func (ts *Type) Fit(ri Run, style Style, size uint8, px int) Cut {
	r := ts.runs[ri]
	if r.width <= int32(px)<<6 {
		return Cut{Run: ri, N: r.n, Ell: -1, Width: ts.Width(ri)}
	}
	k := [2]uint8{uint8(style), size}
	e, ok := ts.ell[k]
	if !ok {
		e = ts.Run("…", style, size)
		ts.ell[k] = e
	}
	room := int32(px)<<6 - ts.runs[e].width
	p := ts.places[r.at : r.at+r.n]
	lo, hi := 0, len(p)
	for lo < hi {
		if m := (lo + hi) / 2; p[m].end <= room {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == 0 {
		return Cut{Run: ri, Ell: -1}
	}
	x := (p[lo-1].end + 32) >> 6
	return Cut{Run: ri, N: int32(lo), Ell: e, EllX: x, Width: int(x) + ts.Width(e)}
}

// Text paints a cut run with its pen at x on the base line y.
func (t *Canvas) Text(ts *Type, k Cut, x, y int, c Color) {
	t.glyphs(ts, ts.runs[k.Run], k.N, x, y, c)
	if k.Ell >= 0 {
		e := ts.runs[k.Ell]
		t.glyphs(ts, e, e.n, x+int(k.EllX), y, c)
	}
}

func (t *Canvas) glyphs(ts *Type, r run, n int32, x, y int, c Color) {
	for _, q := range ts.places[r.at : r.at+n] {
		g := &ts.glyphs[q.g]
		gy := y + int(g.dy)
		if g.w == 0 || gy >= t.Y1 || gy+int(g.h) <= t.Y0 {
			continue
		}
		t.Mask(ts.masks[g.off:], x+int(q.x)+int(g.dx), gy, int(g.w), int(g.h), c)
	}
}

// Mask blits one glyph.
func (t *Canvas) Mask(m []byte, x, y, w, h int, c Color) {
	a, b := max(t.X0-x, 0), min(t.X1-x, w)
	if a >= b {
		return
	}
	for j := max(t.Y0-y, 0); j < min(t.Y1-y, h); j++ {
		src := m[j*w+a : j*w+b]
		dst := t.Pix[(y+j)*t.W+x+a:]
		dst = dst[:len(src)]
		for i, v := range src {
			if v != 0 {
				blend(&dst[i], c, uint32(v)+uint32(v>>7))
			}
		}
	}
}
