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

// lowerLayerNorm lowers LayerNormalization over trailing dimensions with constant scale and shift and one output.
func lowerLayerNorm(l *lowering, n *model.Node) (bool, error) {
	x := l.in(n, 0)
	if !x.f32() || x.data != nil || l.outDims(n, 0) == nil || len(n.Outputs) > 1 && (n.Outputs[1] != "" || len(n.Outputs) > 2 && n.Outputs[2] != "") {
		return false, nil
	}
	axis := int(n.Int("axis", -1))
	if axis < 0 {
		axis += len(x.dims)
	}
	if axis < 0 || axis >= len(x.dims) {
		return false, nil
	}
	width := 1
	for _, d := range x.dims[axis:] {
		width *= d
	}
	param := func(i int) ([]float32, bool) {
		v := l.in(n, i)
		if v == nil {
			return nil, true
		}
		if v.data == nil || v.data.DType != model.Float32 || v.data.Len() != width {
			return nil, false
		}
		return model.Data[float32](v.data), true
	}
	scale, ok1 := param(1)
	shift, ok2 := param(2)
	if !ok1 || !ok2 || scale == nil || width == 0 {
		return false, nil
	}
	eps := n.Float("epsilon", 1e-5)
	k := eltwise.New(l.opt.Features)
	l.rowwise(n, "f32_layernorm", x, width, func(o, v []float32) { k.LayerNorm(o, v, scale, shift, eps) })
	return true, nil
}
