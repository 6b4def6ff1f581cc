package canvas

import (
	"image/color"
	"strings"
	"sync"

	"fettle/views/kit/theme"
)

// kind sorts operators by what they are for, in the order of the legend.
type kind int

const (
	kindConv kind = iota
	kindMat
	kindNorm
	kindAct
	kindPool
	kindElem
	kindShape
	kindCast
	kindIO
	kindOther
	kinds
)

// kindNames are keys of the translations.
var kindNames = [kinds]string{"convolution", "matrix product", "normalization", "activation", "pooling", "element-wise", "shape", "cast, quantize", "input, output", "other"}

var kindOps = [kinds]string{
	kindConv:  "Conv ConvTranspose QLinearConv ConvInteger DeformConv",
	kindMat:   "MatMul Gemm QLinearMatMul MatMulInteger Attention Einsum LSTM GRU RNN",
	kindNorm:  "BatchNormalization LayerNormalization InstanceNormalization GroupNormalization RMSNormalization LRN LpNormalization MeanVarianceNormalization",
	kindAct:   "Relu Clip Sigmoid HardSwish HardSigmoid Gelu Softmax LogSoftmax LeakyRelu PRelu Elu Selu Celu Tanh Softplus Softsign Mish Swish ThresholdedRelu Hardmax Erf",
	kindPool:  "MaxPool AveragePool GlobalAveragePool GlobalMaxPool LpPool GlobalLpPool TopK ArgMax ArgMin CumSum",
	kindElem:  "Add Mul Sub Div Pow Sqrt Exp Log Abs Neg Max Min Mean Sum Reciprocal Floor Ceil Round Where Equal Less Greater LessOrEqual GreaterOrEqual Not And Or Xor Mod Sign Sin Cos QLinearAdd Dropout Identity",
	kindShape: "Reshape Transpose Concat Slice Pad Gather Split Flatten Squeeze Unsqueeze Shape Expand Tile Resize Upsample DepthToSpace SpaceToDepth GatherElements GatherND ScatterND ScatterElements Size Range ConstantOfShape Constant NonZero Layout",
	kindCast:  "QuantizeLinear DequantizeLinear DynamicQuantizeLinear Cast CastLike",
}

var kindTable = sync.OnceValue(func() map[string]kind {
	t := map[string]kind{}
	for k, ops := range kindOps {
		for _, op := range strings.Fields(ops) {
			t[op] = kind(k)
		}
	}
	return t
})

// kindOf sorts an operator, with or without its domain.
func kindOf(op string) kind {
	op = op[strings.LastIndexByte(op, ':')+1:]
	if k, ok := kindTable()[op]; ok {
		return k
	}
	if strings.HasPrefix(op, "Reduce") {
		return kindPool
	}
	return kindOther
}

// small reports whether a box of this kind has one line.
func (k kind) small() bool {
	switch k {
	case kindNorm, kindAct, kindElem, kindShape, kindCast, kindIO:
		return true
	}
	return false
}

// ink is the colour of the kind.
func (k kind) ink(p *theme.Palette) color.NRGBA {
	return [kinds]color.NRGBA{p.OpConv, p.OpMat, p.OpNorm, p.OpAct, p.OpPool, p.OpElem, p.OpShape, p.OpCast, p.OpIO, p.OpOther}[k]
}
