package quantize

import (
	"math"

	"fettle/model"
)

// QuantizeWeights returns q = round(w/scale), saturated to [-127, 127], one scale for each index of axis.
//
//	w float32 of any shape    q the same shape, int8    scale [w.Shape[axis]], > 0, in units of w
//
// Ties go to even, as in ONNX QuantizeLinear. A channel of zeros gets scale 1. floor, where it is not nil, is
// the least scale of each channel. With perChannel false all channels get the largest scale.
// w must be finite; the pass refuses others.
// Source: Nagel et al. 2021, arXiv:2106.08295 (uniform symmetric quantizer).
func QuantizeWeights(w *model.Tensor, axis int, perChannel bool, floor []float64) (q *model.Tensor, scale []float32) {
	g := newGrid(w, precisions["int8"], axis, axis, 0, perChannel, floor)
	scale = g.scale
	for len(scale) < w.Shape[axis] {
		scale = append(scale, g.scale[0])
	}
	return precisions["int8"].pack(g.round(w), w.Shape), scale
}

// reducedMax is the largest 7-bit weight. Processors with AVX2 but without VNNI add two products of unsigned and signed
// bytes in 16 bits: 2*255*127 saturates there, 2*255*63 does not. ONNX Runtime computes so on them.
const reducedMax = 63

// reducedFloor is the least scale of each channel with which its weights stay within reducedMax.
func reducedFloor(w *model.Tensor, axis int) []float64 {
	_, full := QuantizeWeights(w, axis, true, nil)
	out := make([]float64, len(full))
	for c, s := range full {
		out[c] = float64(s) * 127 / reducedMax
	}
	return out
}

// biasLimit keeps a bias in the lower half of int32, so that the products have the other half: a sum of K
// products of 8-bit numbers fits for K up to 2^30 / (255*127) = 33,154.
const biasLimit = 1 << 30

// scaleFloor is the least weight scale of each channel with which the bias stays below biasLimit.
func scaleFloor(bias []float32, sx float32) []float64 {
	floor := make([]float64, len(bias))
	for c, b := range bias {
		floor[c] = math.Abs(float64(b)) / (float64(sx) * biasLimit)
	}
	return floor
}

// quantizeBias gives round(b / (sx*sw[c])) as int32.
func quantizeBias(bias []float32, sx float32, sw []float32) (*model.Tensor, *model.Tensor) {
	q, s := make([]int32, len(bias)), make([]float32, len(bias))
	for c, b := range bias {
		s[c] = sx * sw[c]
		r := math.RoundToEven(float64(b) / float64(s[c]))
		q[c] = int32(min(max(r, -math.MaxInt32), math.MaxInt32))
	}
	return model.FromSlice(model.Int32, q, len(q)), model.Float32s(s, len(s))
}
