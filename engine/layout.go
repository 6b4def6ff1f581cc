package engine

import (
	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// block adds the step that copies v's row-major buffer into its channel blocks.
func (l *lowering) block(v *value) {
	src, dst := v.plain, v.blocked
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
	s := &step{Step: Step{Name: v.name, Op: "Layout", Kernel: "f32_unblock", DType: "float32", Bytes: 2 * byteSize(v)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	s.bind = func(ses *Session) ([]team.Task, error) {
		in, out, lay := ses.floats(src), ses.floats(dst), src.layout
		return []team.Task{pieces{lay.N * lay.Blocks(), func(i, _ int) { fromBlock(out, in, lay, i/lay.Blocks(), i%lay.Blocks()) }}}, nil
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
