package engine

import (
	"math"
	"strings"

	"fettle/kernels/cpu"
	"fettle/kernels/quant"
	"fettle/kernels/team"
	"fettle/model"
	"fettle/ops"
)

// bounds8 is the range of the result's u8 form that an activation leaves.
func bounds8(a cpu.Act, g grid) (lo, hi int32) {
	lo, hi = 0, 255
	at := func(v float32) int32 {
		return int32(min(max(math.RoundToEven(float64(v)/float64(g.scale))+float64(g.zero8()), 0), 255))
	}
	switch a.Kind {
	case cpu.ReLU:
		lo = int32(g.zero8())
	case cpu.Clamp:
		lo, hi = at(a.A), at(a.B)
	}
	return lo, max(lo, hi)
}

// matchAdd8 takes Add of two 8-bit tensors of one shape.
func matchAdd8(l *lowering, n *model.Node, isl *island) bool {
	act, ok := activation(n)
	if !ok || act.Kind > cpu.Clamp || len(n.Inputs) != 2 || !l.input(isl, 0) || !l.input(isl, 1) {
		return false
	}
	y := l.dimsOf(n.Outputs[0])
	isl.act = act
	return y != nil && same(l.dimsOf(isl.in[0].value), y) && same(l.dimsOf(isl.in[1].value), y) && l.tail(isl, true)
}

func lowerAdd8(l *lowering, isl *island) error {
	a, b, o := isl.in[0].grid, isl.in[1].grid, isl.out.grid
	// In the order and the precision in which ONNX Runtime has it, so that ties fall alike: b first.
	ra, rb := a.scale/o.scale, b.scale/o.scale
	lo, hi := bounds8(isl.act, o)
	sum := quant.Sum{A: rb, B: ra, C: float32(o.zero8()) - float32(float32(ra*float32(a.zero8()))+float32(rb*float32(b.zero8()))), Lo: float32(lo), Hi: float32(hi)}
	k := quant.New(l.opt.Features)
	l.bytewise(isl, "qu8_add", func(d []uint8, src [][]uint8) { k.Add(d, src[1], src[0], sum) })
	return nil
}

// bytewise adds the step of a function of u8 forms, in blocks where an input lies in blocks, else row-major.
func (l *lowering) bytewise(isl *island, kernel string, f func(d []uint8, src [][]uint8)) {
	s := &step{Step: Step{Kernel: kernel}}
	in := make([]*value, len(isl.in))
	blocked := false
	for i, e := range isl.in {
		in[i] = l.vals[e.value]
		blocked = blocked || in[i].prefersBlocks()
		s.Bytes += byteSize(in[i])
	}
	var src []*buffer
	if blocked {
		for i := range in {
			src = append(src, l.blocks8(isl, i, cpu.Border{}))
		}
		out := l.out8(isl)
		s.Bytes += byteSize(out)
		dst := l.newBlocked(out, cpu.Border{})
		dst.fill = isl.out.grid.zero8()
		s.reads, s.writes = src, []*buffer{dst}
		s.bind = func(ses *Session) ([]team.Task, error) { return []team.Task{blockRows(ses, dst, src, f)}, nil }
		l.add(s, isl.node)
		return
	}
	flips := make([]byte, len(in))
	for i, v := range in {
		src, flips[i] = append(src, l.needPlain(v)), v.flip()
	}
	out := l.out8(isl)
	s.Bytes += byteSize(out)
	out.plain = l.newPlain(out)
	dst, back := out.plain, out.flip()
	s.reads, s.writes = src, []*buffer{dst}
	s.bind = func(ses *Session) ([]team.Task, error) {
		d := ses.bytes(dst)
		from := make([][]byte, len(src))
		for i := range src {
			from[i] = ses.bytes(src[i])
		}
		return []team.Task{ranges(len(d), 4096, func(lo, hi int) {
			// The u8 forms of int8 go through pieces on the stack.
			var tmp [2][1024]byte
			for at := lo; at < hi; at += len(tmp[0]) {
				n := min(len(tmp[0]), hi-at)
				part := make([][]byte, 0, 2)
				for i := range from {
					v := from[i][at : at+n]
					if flips[i] != 0 {
						flipInto(tmp[i][:n], v, flips[i])
						v = tmp[i][:n]
					}
					part = append(part, v)
				}
				f(d[at:at+n], part)
				if back != 0 {
					flipInto(d[at:at+n], d[at:at+n], back)
				}
			}
		})}, nil
	}
	l.add(s, isl.node)
}

// matchMul8 takes Mul of two 8-bit tensors: of one shape, or pictures by a factor for each channel as squeeze and excitation makes them.
func matchMul8(l *lowering, n *model.Node, isl *island) bool {
	if n.Domain == "fettle" || len(n.Inputs) != 2 || !l.input(isl, 0) || !l.input(isl, 1) || !l.tail(isl, true) {
		return false
	}
	y := l.dimsOf(n.Outputs[0])
	if y == nil {
		return false
	}
	if !same(l.dimsOf(isl.in[0].value), y) { // the picture first, then the factors
		isl.in[0], isl.in[1] = isl.in[1], isl.in[0]
	}
	other := l.dimsOf(isl.in[1].value)
	return same(l.dimsOf(isl.in[0].value), y) && (same(other, y) || perChannel(other, y))
}

// perChannel reports whether d is a factor for each channel of pictures of shape y.
func perChannel(d, y []int) bool {
	return len(y) == 4 && len(d) == 4 && d[0] == y[0] && d[1] == y[1] && d[2] == 1 && d[3] == 1
}

func lowerMul8(l *lowering, isl *island) error {
	a, b, o := isl.in[0].grid, isl.in[1].grid, isl.out.grid
	lo, hi := bounds8(isl.act, o)
	k := quant.New(l.opt.Features)
	p := quant.Product{K: float32(float64(a.scale) * float64(b.scale) / float64(o.scale)), ZeroA: float32(a.zero8()), ZeroB: float32(b.zero8()),
		Zero: float32(o.zero8()), Lo: float32(lo), Hi: float32(hi)}
	if same(l.dimsOf(isl.in[0].value), l.dimsOf(isl.in[1].value)) {
		l.bytewise(isl, "qu8_mul", func(d []uint8, src [][]uint8) { k.Mul(d, src[0], src[1], p) })
		return nil
	}
	src, by := l.blocks8(isl, 0, cpu.Border{}), l.blocks8(isl, 1, cpu.Border{})
	out := l.out8(isl)
	dst := l.newBlocked(out, cpu.Border{})
	dst.fill = o.zero8()
	s := &step{Step: Step{Kernel: "qu8_mul_channel", Bytes: 2 * byteSize(out)}, reads: []*buffer{src, by}, writes: []*buffer{dst}}
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, v, f, dl, vl, fl := ses.bytes(dst), ses.bytes(src), ses.bytes(by), dst.layout, src.layout, by.layout
		groups := max(1, min(dl.H, dl.H*dl.W*dl.Block/16384))
		per := split(dl.H, groups)
		groups = split(dl.H, per)
		// Methods of a layout copy it: their results are the same for all pieces.
		block, blocks, width := dl.Block, dl.Blocks(), dl.W*dl.Block
		fImage, fPlane, fAt := fl.Image(), fl.Plane(), fl.Pixel(0, 0)
		oImage, oPlane, oAt, oRow := dl.Image(), dl.Plane(), dl.Pixel(0, 0), dl.Row()
		vImage, vPlane, vAt, vRow := vl.Image(), vl.Plane(), vl.Pixel(0, 0), vl.Row()
		factors := func(plane int, line *quant.Line) {
			line.Lo, line.Hi = p.Lo, p.Hi
			by := f[plane/blocks*fImage+plane%blocks*fPlane+fAt:][:block]
			factor, addend := line.Factor[:len(by)], line.Addend[:len(by)]
			k, zero, zeroA, zeroB := p.K, p.Zero, p.ZeroA, p.ZeroB
			for i, e := range by {
				x := (float32(e) - zeroB) * k
				factor[i], addend[i] = x, zero-zeroA*x
			}
		}
		scale := func(plane, g int, line *quant.Line) {
			from, to := g*per, min(dl.H, (g+1)*per)
			rows, n := to-from, width
			if oRow == n && vRow == n { // no border between them
				rows, n = 1, rows*n
			}
			img, b := plane/blocks, plane%blocks
			out, in := d[img*oImage+b*oPlane+oAt+from*oRow:], v[img*vImage+b*vPlane+vAt+from*vRow:]
			for y := range rows {
				k.Scale(out[y*oRow:][:n], in[y*vRow:], line)
			}
		}
		if ses.Plan.Options.Threads <= 1 { // the factors of a plane serve all of its pieces
			line := new(quant.Line)
			return []team.Task{pieces{dl.N * blocks, func(plane, _ int) {
				factors(plane, line)
				for g := range groups {
					scale(plane, g, line)
				}
			}}}, nil
		}
		return []team.Task{pieces{dl.N * blocks * groups, func(i, _ int) {
			var line quant.Line
			factors(i/groups, &line)
			scale(i/groups, i%groups, &line)
		}}}, nil
	}
	l.add(s, isl.node)
	return nil
}

// matchTable8 takes functions of one 8-bit tensor, element by element.
func matchTable8(l *lowering, n *model.Node, isl *island) bool {
	if !l.input(isl, 0) || !l.tail(isl, false) {
		return false
	}
	for _, in := range n.Inputs[1:] {
		if in != "" && l.known(in) == nil {
			return false
		}
	}
	return true
}

// lowerTable8 tabulates the function with its reference kernel.
func lowerTable8(l *lowering, isl *island) error {
	a, o := isl.in[0].grid, isl.out.grid
	x := model.NewTensor(model.Float32, 256)
	for q := range 256 {
		model.Data[float32](x)[q] = float32(q-int(a.zero8())) * a.scale
	}
	args := []*model.Tensor{x}
	for _, in := range isl.node.Inputs[1:] {
		args = append(args, l.known(in))
	}
	out, err := (&ops.Evaluator{Model: l.m}).Node(l.ctx, l.m, isl.node, args, nil)
	if err != nil {
		return err
	}
	table := new(quant.Table)
	for q, v := range model.Data[float32](out[0]) {
		table[q] = o.byte(v)
	}
	l.lookup(isl, table)
	return nil
}

// byte quantizes v to the u8 form.
func (g grid) byte(v float32) uint8 {
	r := math.RoundToEven(float64(v/g.scale)) + float64(g.zero8())
	return uint8(min(max(r, 0), 255))
}

// lookup adds the step that maps the island's one input by a table, or makes the convolution before it look up what it stores.
func (l *lowering) lookup(isl *island, table *quant.Table) {
	if l.lookInStore(isl, table) {
		return
	}
	lookup := quant.New(l.opt.Features).Lookups(table)
	l.bytewise(isl, "qu8_table", func(d []uint8, src [][]uint8) { lookup(d, src[0]) })
}

// lookInStore gives the table to the step that makes the island's input, if its kernel looks up and nothing but the island reads what it makes.
func (l *lowering) lookInStore(isl *island, table *quant.Table) bool {
	v := l.vals[isl.in[0].value]
	if v.blocked == nil || v.plain != nil || l.m.Graph.Output(v.name) != nil {
		return false
	}
	mine := map[model.NodeID]bool{}
	for _, n := range isl.nodes {
		mine[n.ID] = true
	}
	for _, d := range l.m.Graph.Users(v.name) {
		if !mine[d.ID] || l.m.Graph.Output(d.Outputs[0]) != nil {
			return false
		}
		for _, u := range l.m.Graph.Users(d.Outputs[0]) {
			if !mine[u.ID] {
				return false
			}
		}
	}
	for i := len(l.steps) - 1; i >= 0 && i >= len(l.steps)-4; i-- {
		s := l.steps[i]
		if s.look == nil || s.writes[0] != v.blocked {
			continue
		}
		s.look((*[256]uint8)(table))
		s.look = nil
		s.Kernel += "+table"
		var nodes []*model.Node
		for _, id := range s.Nodes {
			nodes = append(nodes, l.m.Graph.Node(id))
		}
		for _, n := range isl.nodes {
			nodes, s.Nodes = append(nodes, n), append(s.Nodes, n.ID)
		}
		s.Origin = model.MergeOrigins(workers(nodes)...)
		out := l.out8(isl)
		out.blocked, v.blocked = v.blocked, nil
		out.blocked.what, out.blocked.fill = out.name+" (blocked)", isl.out.grid.zero8()
		return true
	}
	return false
}

// matchAverage8 takes GlobalAveragePool and AveragePool of pictures.
func matchAverage8(l *lowering, n *model.Node, isl *island) bool {
	if !l.input(isl, 0) || !l.tail(isl, true) {
		return false
	}
	x, y := l.dimsOf(isl.in[0].value), l.dimsOf(n.Outputs[0])
	if _, _, _, _, ok := dims4(x); !ok || len(x) != 4 || y == nil {
		return false
	}
	_, ok := l.window8(n, x, y)
	return ok
}

func (l *lowering) window8(n *model.Node, x, y []int) (window, bool) {
	if strings.HasSuffix(n.Op, "GlobalAveragePool") {
		return window{kh: x[2], kw: x[3], sh: 1, sw: 1, dh: 1, dw: 1, oh: 1, ow: 1}, true
	}
	return poolWindow(n, x, y)
}

func lowerAverage8(l *lowering, isl *island) error {
	x := l.vals[isl.in[0].value]
	w, _ := l.window8(isl.node, x.dims, l.dimsOf(isl.node.Outputs[0]))
	src := l.blocks8(isl, 0, cpu.Border{})
	out := l.out8(isl)
	dst := l.newBlocked(out, cpu.Border{})
	g, o := isl.in[0].grid, isl.out.grid
	dst.fill = o.zero8()
	s := &step{Step: Step{Kernel: "qu8_avgpool", Bytes: byteSize(x) + byteSize(out)}, reads: []*buffer{src}, writes: []*buffer{dst}}
	lo, hi := bounds8(isl.act, o)
	lines := quant.New(l.opt.Features)
	whole := strings.HasSuffix(isl.node.Op, "GlobalAveragePool")
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, v, dl, vl := ses.bytes(dst), ses.bytes(src), dst.layout, src.layout
		if whole {
			k := float64(g.scale) / float64(o.scale) / float64(vl.H*vl.W)
			base, zero := int32(vl.H*vl.W)*int32(g.zero8()), int32(o.zero8())
			rows, row := vl.H, vl.W*vl.Block
			if vl.Row() == row { // without a border the picture is one run
				rows, row = 1, vl.H*row
			}
			// Methods of a layout copy it: their results are the same for all pieces.
			blocks, image, plane, at, vRow := vl.Blocks(), vl.Image(), vl.Plane(), vl.Pixel(0, 0), vl.Row()
			oImage, oPlane, oAt, block := dl.Image(), dl.Plane(), dl.Pixel(0, 0), dl.Block
			return []team.Task{pieces{dl.N * blocks, func(p, _ int) {
				var sum [quant.Wide]int32
				img, b := p/blocks, p%blocks
				in := v[img*image+b*plane+at:]
				for y := range rows {
					lines.AddLines(&sum, in[y*vRow:][:row])
				}
				line := d[img*oImage+b*oPlane+oAt:][:block]
				for c, s := range sum[:len(line)] {
					r := int32(math.RoundToEven(float64(s-base)*k)) + zero
					line[c] = uint8(min(max(r, lo), hi))
				}
			}}}, nil
		}
		return []team.Task{pieces{dl.N * dl.Blocks() * dl.H, func(i, _ int) {
			p, y := i/dl.H, i%dl.H
			in := v[p/vl.Blocks()*vl.Image()+p%vl.Blocks()*vl.Plane():]
			to := d[p/dl.Blocks()*dl.Image()+p%dl.Blocks()*dl.Plane():]
			var sum [64]int32
			acc := sum[:dl.Block]
			for ox := range dl.W {
				clear(acc)
				inside, count := 0, 0
				for ky := range w.kh {
					iy := y*w.sh + ky*w.dh - w.pt
					for kx := range w.kw {
						ix := ox*w.sw + kx*w.dw - w.pl
						in0 := iy >= 0 && iy < vl.H && ix >= 0 && ix < vl.W
						if in0 || w.includePad && iy < vl.H+w.pb && ix < vl.W+w.pr {
							count++
						}
						if !in0 {
							continue
						}
						inside++
						for c, e := range in[vl.Pixel(iy, ix):][:len(acc)] {
							acc[c] += int32(e)
						}
					}
				}
				k := float64(g.scale) / float64(o.scale) / float64(max(1, count))
				base := int32(inside) * int32(g.zero8())
				line := to[dl.Pixel(y, ox):][:len(acc)]
				for c := range line {
					r := int32(math.RoundToEven(float64(acc[c]-base)*k)) + int32(o.zero8())
					line[c] = uint8(min(max(r, lo), hi))
				}
			}
		}}}, nil
	}
	l.add(s, isl.node)
	return nil
}

// remap is the table from the u8 form on one grid to the u8 form on another, nil where nothing changes.
func remap(from, to grid) *[256]uint8 {
	if from.scale == to.scale && from.zero8() == to.zero8() {
		return nil
	}
	t := new([256]uint8)
	for q := range t {
		v := float32(q-int(from.zero8())) * from.scale
		t[q] = uint8(min(max(math.RoundToEven(float64(v/to.scale))+float64(to.zero8()), 0), 255))
	}
	return t
}

// matchConcat8 takes Concat of 8-bit tensors; their steps may differ.
func matchConcat8(l *lowering, n *model.Node, isl *island) bool {
	for i := range n.Inputs {
		if !l.input(isl, i) {
			return false
		}
	}
	y := l.dimsOf(n.Outputs[0])
	return n.Domain != "fettle" && y != nil && len(y) > 0 && l.tail(isl, false)
}

func lowerConcat8(l *lowering, isl *island) error {
	dims := l.dimsOf(isl.node.Outputs[0])
	axis := int(isl.node.Int("axis", 1))
	if axis < 0 {
		axis += len(dims)
	}
	in := make([]*value, len(isl.in))
	tables := make([]*[256]uint8, len(isl.in))
	blocked := false
	s := &step{Step: Step{Kernel: "qu8_concat"}}
	for i, e := range isl.in {
		in[i] = l.vals[e.value]
		tables[i] = remap(e.grid, isl.out.grid)
		blocked = blocked || in[i].prefersBlocks()
		s.Bytes += 2 * byteSize(in[i])
	}
	for _, v := range in {
		_, _, _, _, ok := dims4(v.dims)
		blocked = blocked && ok && len(dims) == 4 && axis == 1
	}
	src := make([]*buffer, len(in))
	if blocked {
		for i := range in {
			src[i] = l.blocks8(isl, i, cpu.Border{})
		}
		out := l.out8(isl)
		dst := l.newBlocked(out, cpu.Border{})
		dst.fill = isl.out.grid.zero8()
		s.Kernel = "qu8_concat_blocks"
		var left, at []int // inputs that have to be copied, and where to
		c := 0
		for i, b := range src {
			if tables[i] != nil || !l.within(dst, b, c) {
				left, at, s.reads = append(left, i), append(at, c), append(s.reads, b)
			}
			c += b.layout.C
		}
		if len(left) == 0 {
			l.free = append(l.free, Free{isl.node.ID, "in place"})
			return nil
		}
		s.writes = []*buffer{dst}
		s.bind = func(ses *Session) ([]team.Task, error) {
			var tasks []team.Task
			for k, i := range left {
				b := src[i]
				tasks = append(tasks, channels8(dst.layout, ses.bytes(dst), b.layout, ses.bytes(b), at[k], tables[i]))
			}
			return tasks, nil
		}
		l.add(s, isl.node)
		return nil
	}
	for i, v := range in {
		src[i] = l.needPlain(v)
	}
	out := l.out8(isl)
	out.plain = l.newPlain(out)
	dst, back := out.plain, out.flip()
	s.reads, s.writes = src, []*buffer{dst}
	s.bind = func(ses *Session) ([]team.Task, error) {
		d := ses.bytes(dst)
		outer, inner := 1, 1
		for _, x := range dims[:axis] {
			outer *= x
		}
		for _, x := range dims[axis+1:] {
			inner *= x
		}
		return []team.Task{once(func() {
			at := 0
			for i, v := range in {
				b, run := ses.bytes(src[i]), v.dims[axis]*inner
				for o := range outer {
					to := d[o*dims[axis]*inner+at:][:run]
					for k, e := range b[o*run : (o+1)*run] {
						e ^= v.flip()
						if t := tables[i]; t != nil {
							e = t[e]
						}
						to[k] = e ^ back
					}
				}
				at += run
			}
		})}, nil
	}
	l.add(s, isl.node)
	return nil
}

// channels8 is the task that copies all channels of src to channels at.. of dst. A block of src may lie across two of dst.
func channels8(dl cpu.Layout, dst []byte, sl cpu.Layout, src []byte, at int, table *[256]uint8) team.Task {
	return pieces{sl.N * sl.Blocks() * sl.H, func(i, _ int) {
		p, y := i/sl.H, i%sl.H
		img, blk := p/sl.Blocks(), p%sl.Blocks()
		c := at + blk*sl.Block
		n := min(sl.Block, sl.C-blk*sl.Block)
		head := min(n, dl.Block-c%dl.Block) // what fits into the first block of dst
		from := src[sl.At(img, blk*sl.Block, y, 0):]
		first := dst[dl.At(img, c, y, 0):]
		var second []byte
		if head < n {
			second = dst[dl.At(img, c+head, y, 0):]
		}
		for x := range sl.W {
			line := from[x*sl.Block:][:n]
			o := first[x*dl.Block:][:head]
			copy(o, line)
			if table != nil {
				for k, e := range o {
					o[k] = table[e]
				}
			}
			if second == nil {
				continue
			}
			o = second[x*dl.Block:][:n-head]
			copy(o, line[head:])
			if table != nil {
				for k, e := range o {
					o[k] = table[e]
				}
			}
		}
	}}
}

// matchMove8 takes operators that only move or compare elements, where input and output have the same step.
func matchMove8(l *lowering, n *model.Node, isl *island) bool {
	if n.Domain == "fettle" || !l.input(isl, 0) || !l.tail(isl, false) || isl.in[0].grid != isl.out.grid {
		return false
	}
	return n.Op != "Resize" || n.Str("mode", "nearest") == "nearest" && n.Str("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
}

// lowerMove8 lowers the node as if it read and wrote the integers.
func lowerMove8(l *lowering, isl *island) error {
	n := *isl.node
	n.Inputs = append([]string(nil), n.Inputs...)
	n.Inputs[0] = isl.in[0].value
	n.Outputs = []string{isl.out.value}
	return l.node(&n)
}

func lowerMaxPool8(l *lowering, isl *island) error {
	x := l.vals[isl.in[0].value]
	w, ok := poolWindow(isl.node, x.dims, l.dimsOf(isl.node.Outputs[0]))
	b, c, h, wd, _ := dims4(x.dims)
	shape := w.pool(cpu.Layout{N: b, C: c, H: h, W: wd}, false)
	shape.Int8 = true
	if !ok || !l.poolFits(shape) {
		return lowerMove8(l, isl)
	}
	s := &step{Step: Step{Bytes: byteSize(x)}}
	src := l.blocks8(isl, 0, cpu.Border{})
	out := l.out8(isl)
	dst := l.newBlocked(out, cpu.Border{})
	dst.fill = isl.out.grid.zero8()
	s.Bytes += byteSize(out)
	s.reads, s.writes = []*buffer{src}, []*buffer{dst}
	return l.pool(s, shape, src, dst, isl.node)
}
