package engine

import (
	"fettle/kernels/cpu"
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
	s := &step{Step: Step{Name: v.name, Op: "Layout", Kernel: "f32_block", DType: "float32", Bytes: 2 * byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	s.bind = func(ses *Session) ([]team.Task, error) {
		in, out, lay := ses.floats(src), ses.floats(dst), dst.layout
		return []team.Task{pieces{lay.N * lay.Blocks(), func(i, _ int) { toBlock(out, in, lay, i/lay.Blocks(), i%lay.Blocks()) }}}, nil
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
	s := &step{Step: Step{Name: v.name, Op: "Layout", Kernel: "f32_unblock", DType: "float32", Bytes: 2 * byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	s.bind = func(ses *Session) ([]team.Task, error) {
		in, out, lay := ses.floats(src), ses.floats(dst), src.layout
		return []team.Task{pieces{lay.N * lay.Blocks(), func(i, _ int) { fromBlock(out, in, lay, i/lay.Blocks(), i%lay.Blocks()) }}}, nil
	}
	l.add(s)
}

// block8 adds the step that copies v's row-major bytes into dst, channel blocks or, with a block of 4, whole pixels.
func (l *lowering) block8(v *value, src, dst *buffer) {
	s := &step{Step: Step{Name: v.name, Op: "Layout", Kernel: "u8_block", DType: v.typ.DType.String(), Bytes: 2 * byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	flip := v.flip()
	s.bind = func(ses *Session) ([]team.Task, error) {
		in, out, lay := ses.bytes(src), ses.bytes(dst), dst.layout
		return []team.Task{pieces{lay.N * lay.Blocks() * lay.H, func(i, _ int) {
			p, y := i/lay.H, i%lay.H
			n, b := p/lay.Blocks(), p%lay.Blocks()
			row := out[lay.At(n, b*lay.Block, y, 0):][:lay.W*lay.Block]
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

// toBlock fills channel block b of picture n; channels beyond C become zero.
func toBlock(dst, src []float32, l cpu.Layout, n, b int) {
	size := l.H * l.W
	for k := range l.Block {
		c := b*l.Block + k
		if c >= l.C {
			for y := range l.H {
				row := dst[l.At(n, b*l.Block, y, 0)+k:]
				for x := range l.W {
					row[x*l.Block] = 0
				}
			}
			continue
		}
		plane := src[(n*l.C+c)*size:][:size]
		for y := range l.H {
			row := dst[l.At(n, b*l.Block, y, 0)+k:]
			for x, v := range plane[y*l.W : (y+1)*l.W] {
				row[x*l.Block] = v
			}
		}
	}
}

// fromBlock reads channel block b of picture n.
func fromBlock(dst, src []float32, l cpu.Layout, n, b int) {
	size := l.H * l.W
	for k := range min(l.Block, l.C-b*l.Block) {
		plane := dst[(n*l.C+b*l.Block+k)*size:][:size]
		for y := range l.H {
			row := src[l.At(n, b*l.Block, y, 0)+k:]
			out := plane[y*l.W : (y+1)*l.W]
			for x := range out {
				out[x] = row[x*l.Block]
			}
		}
	}
}
