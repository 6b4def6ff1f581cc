package plot

import "image/color"

// Block is a part of a network with what it gained or lost.
type Block struct {
	Keys  []string
	Name  string
	Text  string
	Share float64 // change as a share of the largest, -1 to 1
	Added bool
	Gone  bool
	Tip   []string
}

// Blocks is a network as a chain of blocks from top to bottom, coloured by change.
type Blocks struct {
	List     []Block
	Selected func(keys []string) bool
}

// BlockPitch is the height that each block takes.
const BlockPitch = 25

// Height is what the chain needs.
func (f *Blocks) Height() float32 { return float32(len(f.List))*BlockPitch + 8 }

func (f *Blocks) box(i int, w float32) Rect {
	bw := min(w-16, 190)
	y := 4 + float32(i)*BlockPitch
	r := Rect{(w - bw) / 2, y, (w + bw) / 2, y + BlockPitch - 7}
	if f.List[i].Added || f.List[i].Gone {
		r.X0, r.X1 = r.X0+20, r.X1-20
	}
	return r
}

// Diverging is the colour of a change, -1 to 1: gain, nothing, loss. Text stays legible on it.
func (k *Ink) Diverging(share float64) color.NRGBA {
	end := k.Loss
	if share < 0 {
		end, share = k.Gain, -share
	}
	t := min(share, 1) * .4
	mix := func(a, b uint8) uint8 { return uint8(float64(a) + (float64(b)-float64(a))*t + .5) }
	return color.NRGBA{R: mix(k.Bg3.R, end.R), G: mix(k.Bg3.G, end.G), B: mix(k.Bg3.B, end.B), A: 255}
}

// Paint draws the chain.
func (f *Blocks) Paint(p *Pen) {
	if n := len(f.List); n > 1 {
		p.vline(p.W/2, f.box(0, p.W).Y0, f.box(n-1, p.W).Y0, 1, p.Line3)
	}
	for i, b := range f.List {
		r, edge := f.box(i, p.W), p.Line3
		if b.Added {
			edge = p.Primary
		}
		p.round(r, 4, p.Diverging(b.Share), edge)
		if b.Gone {
			p.round(r, 4, p.Bg2, color.NRGBA{})
			p.dashed(r, p.Loss)
		}
		if f.Selected != nil && f.Selected(b.Keys) {
			p.frame(r, 3, p.Focus)
		}
		mid := (r.Y0 + r.Y1) / 2
		w := p.text(r.X1-8, middle(mid, p.Caption), b.Text, font{size: p.Caption, align: Right, c: p.Text1})
		p.text(r.X0+8, middle(mid, p.Caption), b.Name, font{size: p.Caption, c: p.Text1, room: r.W() - w - 24})
	}
}

// dashed is the edge of what is not there any more.
func (p *Pen) dashed(r Rect, c color.NRGBA) {
	for x := r.X0; x < r.X1; x += 7 {
		p.hline(x, min(x+4, r.X1), r.Y0, c)
		p.hline(x, min(x+4, r.X1), r.Y1-1, c)
	}
	for y := r.Y0; y < r.Y1; y += 7 {
		p.vline(r.X0+.5, y, min(y+4, r.Y1), 1, c)
		p.vline(r.X1-.5, y, min(y+4, r.Y1), 1, c)
	}
}

// At is the block under the point.
func (f *Blocks) At(_ *Ink, w, _, x, y float32) (Mark, bool) {
	for i, b := range f.List {
		if r := f.box(i, w); r.Has(x, y) {
			return Mark{Keys: b.Keys, Tip: b.Tip, Box: r}, true
		}
	}
	return Mark{}, false
}

// Ramp is the legend of Blocks: gain, nothing, loss, with the values at the ends.
type Ramp struct{ Low, High string }

// Paint draws the ramp over its values.
func (f *Ramp) Paint(p *Pen) {
	const steps = 48
	for i := range steps {
		t := (float64(i)+.5)/steps*2 - 1
		x0, x1 := p.px(p.W*float32(i)/steps), p.px(p.W*float32(i+1)/steps) // whole pixels: no seams
		p.fill(Rect{float32(x0) / p.s, 0, float32(x1) / p.s, 8}, p.Diverging(t*2.4))
	}
	p.text(0, 22, f.Low, font{size: p.Caption, c: p.Text3})
	p.text(p.W/2, 22, "0", font{size: p.Caption, c: p.Text3, align: Centre})
	p.text(p.W, 22, f.High, font{size: p.Caption, c: p.Text3, align: Right})
}

// At is never a datum.
func (f *Ramp) At(*Ink, float32, float32, float32, float32) (Mark, bool) { return Mark{}, false }
