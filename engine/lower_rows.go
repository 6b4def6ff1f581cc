package engine

import (
	"math"

	"fettle/kernels/cpu"
	"fettle/kernels/eltwise"
	"fettle/kernels/team"
	"fettle/model"
)

// lowerSoftmax lowers Softmax and LogSoftmax along the last dimension (since opset 13; before, over all from axis on).
func lowerSoftmax(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	if !x.f32() || x.data != nil || l.outDims(n, 0) == nil || len(x.dims) == 0 {
		return false, nil
	}
	def := int64(-1)
	old := l.m.Opset("") < 13
	if old {
		def = 1
	}
	axis := int(n.Int("axis", def))
	if axis < 0 {
		axis += len(x.dims)
	}
	width := 1
	for _, d := range x.dims[min(axis, len(x.dims)):] {
		width *= d
	}
	if !old && axis != len(x.dims)-1 || axis >= len(x.dims) || width == 0 {
		return false, nil
	}
	log, kernel := n.Op == "LogSoftmax", "f32_softmax"
	if log {
		kernel = "f32_logsoftmax"
	}
	k := eltwise.New(l.opt.Features)
	l.rowwise(n, kernel, x, width, func(o, v []float32) {
		if log {
			logSoftmax(k, o, v)
		} else {
			k.Softmax(o, v, 1)
		}
	})
	return true, nil
}

// rowwise adds a step that maps each row of width elements by itself.
func (l *lowering) rowwise(n *model.Node, kernel string, x *value, width int, f func(o, v []float32)) {
	s := &step{Step: Step{Kernel: kernel, DType: "float32", Bytes: 2 * byteSize(x)}}
	src := l.needPlain(x)
	out := l.out(n, 0)
	out.plain = l.newPlain(out)
	dst := out.plain
	s.reads, s.writes = []*buffer{src}, []*buffer{dst}
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, v := ses.floats(dst), ses.floats(src)
		return []team.Task{ranges(len(d)/width, max(1, 1024/width), func(from, to int) {
			for r := from; r < to; r++ {
				f(d[r*width:(r+1)*width], v[r*width:(r+1)*width])
			}
		})}, nil
	}
	l.add(s, n)
}

// logSoftmax is x - max - log(sum of exp(x - max)).
func logSoftmax(k eltwise.Kernels, o, v []float32) {
	top := k.MaxOf(v)
	k.BinaryScalar(eltwise.Sub, o, v, top)
	k.Act(cpu.Act{Kind: cpu.Exp}, o, o)
	sum := float32(math.Log(float64(k.Sum(o))))
	k.BinaryScalar(eltwise.Sub, o, v, top) // in two steps: a large maximum would swallow the logarithm
	k.BinaryScalar(eltwise.Sub, o, o, sum)
}

// layerNorm is what a LayerNormalization over trailing dimensions does with a row.
type layerNorm struct {
	width        int
	scale, shift []float32
	eps          float32
}

// normOf reads a LayerNormalization of float32 with constant scale and shift and one output; nil where it is something else.
func (l *lowering) normOf(n *model.Node, dims []int) *layerNorm {
	if len(n.Outputs) > 1 && (n.Outputs[1] != "" || len(n.Outputs) > 2 && n.Outputs[2] != "") || len(n.Inputs) < 2 {
		return nil
	}
	axis := int(n.Int("axis", -1))
	if axis < 0 {
		axis += len(dims)
	}
	if axis < 0 || axis >= len(dims) {
		return nil
	}
	ln := &layerNorm{width: 1, eps: n.Float("epsilon", 1e-5)}
	for _, d := range dims[axis:] {
		ln.width *= d
	}
	for i, to := range []*[]float32{&ln.scale, &ln.shift} {
		if i+1 >= len(n.Inputs) || n.Inputs[i+1] == "" {
			*to = make([]float32, ln.width)
			continue
		}
		v := l.in(n, i+1)
		if v == nil || v.data == nil || v.data.DType != model.Float32 || v.data.Len() != ln.width {
			return nil
		}
		*to = model.Data[float32](v.data)
	}
	if ln.width == 0 {
		return nil
	}
	return ln
}

// lowerLayerNorm lowers LayerNormalization with constant scale and shift.
func lowerLayerNorm(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	if !x.f32() || x.data != nil || l.outDims(n, 0) == nil {
		return false, nil
	}
	ln := l.normOf(n, x.dims)
	if ln == nil {
		return false, nil
	}
	k := eltwise.New(l.opt.Features)
	l.rowwise(n, "f32_layernorm", x, ln.width, func(o, v []float32) { k.LayerNorm(o, v, ln.scale, ln.shift, ln.eps) })
	return true, nil
}

// lowerAddNorm lowers an Add together with the LayerNormalization of its result: the row between them stays in the first-level cache. The sum
// is written only where others read it.
func lowerAddNorm(l *lowering, n *model.Node) (bool, error) {
	a, b := l.in(n, 0), l.in(n, 1)
	dims := l.outDims(n, 0)
	if !a.f32() || !b.f32() || len(n.Inputs) != 2 || a.prefersBlocks() || b.prefersBlocks() || !same(a.dims, dims) || !same(b.dims, dims) {
		return false, nil
	}
	var next *model.Node
	var ln *layerNorm
	users := l.m.Graph.Users(n.Outputs[0])
	for _, u := range users {
		if u.Op == "LayerNormalization" && (u.Domain == "" || u.Domain == "ai.onnx") && u.Inputs[0] == n.Outputs[0] && l.islands[u.ID] == nil {
			if ln = l.normOf(u, dims); ln != nil {
				next = u
				break
			}
		}
	}
	if next == nil {
		return false, nil
	}
	s := &step{Step: Step{Name: next.Label(), Op: next.Op, Kernel: "f32_add_layernorm", DType: "float32", Bytes: 3 * byteSize(a)}}
	left, right := l.needPlain(a), l.needPlain(b)
	sum, out := l.out(n, 0), l.out(next, 0)
	out.plain = l.newPlain(out)
	dst, mid := out.plain, out.plain
	s.reads, s.writes = []*buffer{left, right}, []*buffer{dst}
	if len(users) > 1 || l.m.Graph.Output(n.Outputs[0]) != nil {
		sum.plain = l.newPlain(sum)
		mid = sum.plain
		s.writes = append(s.writes, mid)
		s.Bytes += byteSize(sum)
	}
	l.done[next.ID] = true
	k := eltwise.New(l.opt.Features)
	s.bind = func(ses *Session) ([]team.Task, error) {
		d, m, x, y := ses.floats(dst), ses.floats(mid), ses.floats(left), ses.floats(right)
		w := ln.width
		return []team.Task{ranges(len(d)/w, max(1, 1024/w), func(from, to int) {
			for i := from * w; i < to*w; i += w {
				k.AddNorm(d[i:i+w], m[i:i+w], x[i:i+w], y[i:i+w], ln.scale, ln.shift, ln.eps)
			}
		})}, nil
	}
	l.add(s, n, next)
	return true, nil
}
