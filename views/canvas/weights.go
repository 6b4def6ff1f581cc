package canvas

import (
	"context"
	"math"

	"fettle/model"
)

// tensorStats describes the values of a constant. Values that are not finite are counted, not averaged.
type tensorStats struct {
	n, bad   int
	zeros    int
	min, max float64
	mean     float64
	std      float64
	sample   []float64 // at most sampleSize values, evenly spaced, for the histogram
}

const sampleSize = 20000

// describeTensor reads a whole constant; it may be hundreds of megabytes, so it looks at ctx now and then.
func describeTensor(ctx context.Context, t *model.Tensor) (*tensorStats, error) {
	s := &tensorStats{min: math.Inf(1), max: math.Inf(-1)}
	n := t.Len()
	step := max(n/sampleSize, 1)
	var floats []float32
	if t.DType == model.Float32 {
		floats = model.Data[float32](t)
	}
	mean, m2 := 0.0, 0.0
	for i := range n {
		if i&0xffff == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		var v float64
		if floats != nil {
			v = float64(floats[i])
		} else {
			v = t.Float64At(i)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			s.bad++
			continue
		}
		s.n++
		if v == 0 {
			s.zeros++
		}
		s.min, s.max = min(s.min, v), max(s.max, v)
		d := v - mean
		mean += d / float64(s.n)
		m2 += d * (v - mean)
		if i%step == 0 {
			s.sample = append(s.sample, v)
		}
	}
	s.mean = mean
	if s.n > 1 {
		s.std = math.Sqrt(m2 / float64(s.n-1))
	}
	return s, nil
}

// largest is the biggest constant that a node reads, directly or through a DequantizeLinear; nil: none.
func largest(m *model.Model, n *model.Node) (string, *model.Tensor) {
	var name string
	var best *model.Tensor
	try := func(in string) {
		if t := constant(m, in); t != nil && t.DType != model.String && (best == nil || t.Len() > best.Len()) {
			name, best = in, t
		}
	}
	for _, in := range n.Inputs {
		if in == "" {
			continue
		}
		try(in)
		if p := m.Graph.Producer(in); p != nil && p.Op == "DequantizeLinear" && len(p.Inputs) > 0 {
			try(p.Inputs[0])
		}
	}
	return name, best
}
