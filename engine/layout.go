package engine

import (
	"encoding/binary"

	"fettle/kernels/cpu"
	"fettle/kernels/pack"
	"fettle/kernels/quant"
	"fettle/kernels/team"
	"fettle/model"
)

// flip is what turns an element of v into its u8 form in blocks and back.
func (v *value) flip() byte {
	if v.typ.DType == model.Int8 {
		return 0x80
	}
	return 0
}

// block adds the step that copies v's row-major buffer into its channel blocks.
func (l *lowering) block(v *value) {
	src, dst := v.plain, v.blocked
	if v.eight() {
		l.block8(v, src, dst)
		return
	}
	if v.sixteen() {
		l.words16(v, "s16_block", src, dst, dst, true)
		return
	}
	s := &step{Step: Step{Name: v.name, Op: "Layout", Kernel: "f32_block", DType: "float32", Bytes: 2 * byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	s.bind = func(ses *Session) ([]team.Task, error) {
		in, out, lay := ses.floats(src), ses.floats(dst), dst.layout
		return []team.Task{intoBlocks(out, in, lay)}, nil
	}
	l.add(s)
}

// unblock adds the step that copies v's channel blocks into its row-major buffer.
func (l *lowering) unblock(v *value) {
	src, dst := v.blocked, v.plain
	if v.eight() {
		l.unblock8(v)
		return
	}
	if v.sixteen() {
		l.words16(v, "s16_unblock", src, dst, src, false)
		return
	}
	s := &step{Step: Step{Name: v.name, Op: "Layout", Kernel: "f32_unblock", DType: "float32", Bytes: 2 * byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	s.bind = func(ses *Session) ([]team.Task, error) {
		in, out, lay := ses.floats(src), ses.floats(dst), src.layout
		return []team.Task{fromBlocks(out, in, lay)}, nil
	}
	l.add(s)
}

// block8 adds the step that copies v's row-major bytes into dst, channel blocks or, with a block of 4, whole pixels.
func (l *lowering) block8(v *value, src, dst *buffer) {
	s := &step{Step: Step{Name: v.name, Op: "Layout", Kernel: "u8_block", DType: v.typ.DType.String(), Bytes: 2 * byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	flip := v.flip()
	s.bind = func(ses *Session) ([]team.Task, error) {
		in, out, lay := ses.bytes(src), ses.bytes(dst), dst.layout
		blocks, image, plane, line, at := lay.Blocks(), lay.Image(), lay.Plane(), lay.Row(), lay.Pixel(0, 0) // methods of a layout copy it
		return []team.Task{pieces{lay.N * blocks * lay.H, func(i, _ int) {
			p, y := i/lay.H, i%lay.H
			n, b := p/blocks, p%blocks
			row := out[n*image+b*plane+at+y*line:][:lay.W*lay.Block]
			if lay.Block == 4 && lay.C == 3 { // pictures
				size := lay.H * lay.W
				first := in[n*3*size+y*lay.W:]
				red, green, blue := first[:lay.W], first[size:][:lay.W], first[2*size:][:lay.W]
				mask := uint32(flip) * 0x010101
				for x, r := range red {
					binary.LittleEndian.PutUint32(row[4*x:], (uint32(r)|uint32(green[x])<<8|uint32(blue[x])<<16)^mask)
				}
				return
			}
			if lay.Block == 3 && lay.C == 3 {
				size := lay.H * lay.W
				first := in[n*3*size+y*lay.W:]
				pack.Pixels8(row, first[:lay.W], first[size:], first[2*size:], flip)
				return
			}
			for k := range lay.Block {
				c := b*lay.Block + k
				if c >= lay.C {
					for x := k; x < len(row); x += lay.Block {
						row[x] = 0
					}
					continue
				}
				x := k
				for _, e := range in[((n*lay.C+c)*lay.H+y)*lay.W:][:lay.W] {
					row[x] = e ^ flip
					x += lay.Block
				}
			}
		}}}, nil
	}
	l.add(s)
}

// unblock8 adds the step that copies v's channel blocks into its row-major bytes.
func (l *lowering) unblock8(v *value) {
	src, dst := v.blocked, v.plain
	s := &step{Step: Step{Name: v.name, Op: "Layout", Kernel: "u8_unblock", DType: v.typ.DType.String(), Bytes: 2 * byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	flip := v.flip()
	s.bind = func(ses *Session) ([]team.Task, error) {
		in, out, lay := ses.bytes(src), ses.bytes(dst), src.layout
		if lay.H*lay.W == 1 && lay.Plane() == lay.Block { // channels lie side by side
			image, c := lay.Image(), lay.C
			return []team.Task{pieces{lay.N, func(n, _ int) {
				line, from := out[n*c:][:c], in[n*image:]
				if flip != 0 {
					quant.FlipSign(line, from)
					return
				}
				copy(line, from)
			}}}, nil
		}
		return []team.Task{pieces{lay.N * lay.Blocks() * lay.H, func(i, _ int) {
			p, y := i/lay.H, i%lay.H
			n, b := p/lay.Blocks(), p%lay.Blocks()
			row := in[lay.At(n, b*lay.Block, y, 0):][:lay.W*lay.Block]
			for k := range min(lay.Block, lay.C-b*lay.Block) {
				x := k
				line := out[((n*lay.C+b*lay.Block+k)*lay.H+y)*lay.W:][:lay.W]
				for j := range line {
					line[j] = row[x] ^ flip
					x += lay.Block
				}
			}
		}}}, nil
	}
	l.add(s)
}

// byRows is a task over all planes of blocks in groups of rows of about 16 kB.
func byRows(l cpu.Layout, f func(img, block, y0, y1 int)) team.Task {
	per := max(1, min(l.H, 4096/max(1, l.W*l.Block)))
	groups := split(l.H, per)
	return pieces{l.N * l.Blocks() * groups, func(i, _ int) {
		p, g := i/groups, i%groups
		f(p/l.Blocks(), p%l.Blocks(), g*per, min(l.H, (g+1)*per))
	}}
}

// intoBlocks is the task that copies row-major src into blocks; channels beyond C become zero.
func intoBlocks(dst, src []float32, l cpu.Layout) team.Task {
	size := l.H * l.W
	return byRows(l, func(n, b, y0, y1 int) {
		first := (n*l.C + b*l.Block) * size
		if l.Block == 3 && l.C == 3 { // pictures
			for y := y0; y < y1; y++ {
				row := dst[l.At(n, 0, y, 0):][:3*l.W]
				pack.Pixels(row, src[first+y*l.W:][:l.W], src[first+size+y*l.W:], src[first+2*size+y*l.W:])
			}
			return
		}
		for y := y0; y < y1; y++ {
			row := dst[l.At(n, b*l.Block, y, 0):][:l.W*l.Block]
			for k := range l.Block {
				if b*l.Block+k >= l.C {
					for x := k; x < len(row); x += l.Block {
						row[x] = 0
					}
					continue
				}
				x := k
				for _, v := range src[first+k*size+y*l.W:][:l.W] {
					row[x] = v
					x += l.Block
				}
			}
		}
	})
}

// fromBlocks is the task that copies blocks into row-major dst.
func fromBlocks(dst, src []float32, l cpu.Layout) team.Task {
	size, block, width := l.H*l.W, l.Block, l.W
	image, plane, line, at, channels := l.Image(), l.Plane(), l.Row(), l.Pixel(0, 0), l.C // methods of a layout copy it
	return byRows(l, func(n, b, y0, y1 int) {
		has := min(block, channels-b*block)
		to, from := dst[(n*channels+b*block)*size:], src[n*image+b*plane+at:]
		if size == 1 {
			copy(to[:has], from)
			return
		}
		for y := y0; y < y1; y++ {
			row := from[y*line:][:width*block]
			for k := range has {
				x := k
				out := to[k*size+y*width:][:width]
				for j := range out {
					out[j] = row[x]
					x += block
				}
			}
		}
	})
}
