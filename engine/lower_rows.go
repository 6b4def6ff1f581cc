package engine

import (
	"math"

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
	l.rowwise(n, kernel, x, width, func(o, v []float32) { softmaxRow(o, v, log) })
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

func softmaxRow(o, v []float32, log bool) {
	top := float32(math.Inf(-1))
	for _, x := range v {
		top = max(top, x)
	}
	sum := 0.0
	for i, x := range v {
		e := math.Exp(float64(x - top))
		sum += e
		o[i] = float32(e)
	}
	if log {
		k := float32(math.Log(sum))
		for i, x := range v {
			o[i] = x - top - k
		}
		return
	}
	k := float32(1 / sum)
	for i := range o {
		o[i] *= k
	}
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
	eps := float64(n.Float("epsilon", 1e-5))
	l.rowwise(n, "f32_layernorm", x, width, func(o, v []float32) {
		sum := 0.0
		for _, e := range v {
			sum += float64(e)
		}
		mean := sum / float64(width)
		sq := 0.0
		for _, e := range v {
			sq += (float64(e) - mean) * (float64(e) - mean)
		}
		k := 1 / math.Sqrt(sq/float64(width)+eps)
		for i, e := range v {
			o[i] = float32((float64(e) - mean) * k * float64(scale[i]))
		}
		if shift != nil {
			addVec(o, o, shift)
		}
	})
	return true, nil
}
