package tflite

import (
	"fettle/model"
)

// The element types of TensorType that have a counterpart here.
const (
	typeFloat32 = 0
	typeFloat16 = 1
	typeInt32   = 2
	typeUint8   = 3
	typeInt64   = 4
	typeBool    = 6
	typeInt16   = 7
	typeInt8    = 9
	typeFloat64 = 10
)

var dtypes = map[int8]model.DType{typeFloat32: model.Float32, typeFloat16: model.Float16, typeInt32: model.Int32, typeUint8: model.Uint8, typeInt64: model.Int64,
	typeBool: model.Bool, typeInt16: model.Int16, typeInt8: model.Int8, typeFloat64: model.Float64}

// code is a BuiltinOperator.
type code int32

// The builtin operators that are read or written.
const (
	opAdd            code = 0
	opAveragePool    code = 1
	opConcatenation  code = 2
	opConv           code = 3
	opDepthwise      code = 4
	opDepthToSpace   code = 5
	opDequantize     code = 6
	opFullyConnected code = 9
	opLogistic       code = 14
	opMaxPool        code = 17
	opMul            code = 18
	opRelu           code = 19
	opReluN1To1      code = 20
	opRelu6          code = 21
	opReshape        code = 22
	opResizeBilinear code = 23
	opSoftmax        code = 25
	opSpaceToDepth   code = 26
	opTanh           code = 28
	opCustom         code = 32
	opPad            code = 34
	opGather         code = 36
	opTranspose      code = 39
	opMean           code = 40
	opSub            code = 41
	opDiv            code = 42
	opSqueeze        code = 43
	opStridedSlice   code = 45
	opExp            code = 47
	opSplit          code = 49
	opLogSoftmax     code = 50
	opCast           code = 53
	opPrelu          code = 54
	opMaximum        code = 55
	opMinimum        code = 57
	opNeg            code = 59
	opPadV2          code = 60
	opSlice          code = 65
	opSin            code = 66
	opExpandDims     code = 70
	opLog            code = 73
	opSum            code = 74
	opSqrt           code = 75
	opRsqrt          code = 76
	opPow            code = 78
	opReduceMax      code = 82
	opReduceMin      code = 89
	opSquare         code = 92
	opResizeNearest  code = 97
	opLeakyRelu      code = 98
	opAbs            code = 101
	opSplitV         code = 102
	opFloor          code = 8
	opCeil           code = 104
	opCos            code = 108
	opElu            code = 111
	opQuantize       code = 114
	opHardSwish      code = 117
	opBatchMatmul    code = 126
	opGelu           code = 150
)

// names are how the schema spells an operator, for messages.
var names = map[code]string{0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 5: "DEPTH_TO_SPACE", 6: "DEQUANTIZE", 7: "EMBEDDING_LOOKUP",
	8: "FLOOR", 9: "FULLY_CONNECTED", 11: "L2_NORMALIZATION", 12: "L2_POOL_2D", 13: "LOCAL_RESPONSE_NORMALIZATION", 14: "LOGISTIC", 16: "LSTM", 17: "MAX_POOL_2D",
	18: "MUL", 19: "RELU", 20: "RELU_N1_TO_1", 21: "RELU6", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 24: "RNN", 25: "SOFTMAX", 26: "SPACE_TO_DEPTH", 27: "SVDF", 28: "TANH",
	32: "CUSTOM", 34: "PAD", 36: "GATHER", 37: "BATCH_TO_SPACE_ND", 38: "SPACE_TO_BATCH_ND", 39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 42: "DIV", 43: "SQUEEZE",
	44: "UNIDIRECTIONAL_SEQUENCE_LSTM", 45: "STRIDED_SLICE", 47: "EXP", 48: "TOPK_V2", 49: "SPLIT", 50: "LOG_SOFTMAX", 53: "CAST", 54: "PRELU", 55: "MAXIMUM", 56: "ARG_MAX",
	57: "MINIMUM", 59: "NEG", 60: "PADV2", 64: "SELECT", 65: "SLICE", 66: "SIN", 67: "TRANSPOSE_CONV", 69: "TILE", 70: "EXPAND_DIMS", 73: "LOG", 74: "SUM", 75: "SQRT",
	76: "RSQRT", 77: "SHAPE", 78: "POW", 79: "ARG_MIN", 82: "REDUCE_MAX", 83: "PACK", 85: "ONE_HOT", 88: "UNPACK", 89: "REDUCE_MIN", 92: "SQUARE", 94: "FILL",
	97: "RESIZE_NEAREST_NEIGHBOR", 98: "LEAKY_RELU", 99: "SQUARED_DIFFERENCE", 100: "MIRROR_PAD", 101: "ABS", 102: "SPLIT_V", 104: "CEIL", 107: "GATHER_ND", 108: "COS", 111: "ELU",
	114: "QUANTIZE", 117: "HARD_SWISH", 118: "IF", 119: "WHILE", 126: "BATCH_MATMUL", 130: "BROADCAST_TO", 150: "GELU"}

// The tags of the union BuiltinOptions.
const (
	tagConv           = 1
	tagDepthwise      = 2
	tagPool           = 5
	tagFullyConnected = 8
	tagSoftmax        = 9
	tagConcatenation  = 10
	tagAdd            = 11
	tagReshape        = 17
	tagMul            = 21
	tagReducer        = 27
	tagSub            = 28
	tagDiv            = 29
	tagResizeBilinear = 15
	tagSplit          = 35
	tagResizeNearest  = 74
	tagLeakyRelu      = 75
	tagSplitV         = 79
	tagDepthToSpace   = 94
	tagSpaceToDepth   = 19
	tagBatchMatmul    = 101
	tagGather         = 23
	tagStridedSlice   = 32
	tagCast           = 37
)

// The values of Padding and of ActivationFunctionType.
const (
	padSame  = 0
	padValid = 1

	actNone     = 0
	actRelu     = 1
	actReluN1   = 2
	actRelu6    = 3
	actTanh     = 4
	actSignBits = 5
)

// file is a model file as its tables have it, with one subgraph.
type file struct {
	tensors         []tensor
	ops             []operator
	inputs, outputs []int32
	name            string
	description     string
}

// tensor is an entry of SubGraph.tensors with its buffer. data is nil where a step makes the values.
type tensor struct {
	name  string
	shape []int32
	dtype int8
	data  []byte
	quant *quant
}

// quant says which numbers integers stand for: scale * (q - zero), for each index of dimension axis where there are several.
type quant struct {
	scale []float32
	zero  []int64
	axis  int32
}

// operator is an entry of SubGraph.operators with its entry of operator_codes.
type operator struct {
	code            code
	custom          string
	version         int32
	inputs, outputs []int32
	tag             uint8   // of the options
	options         options // by field id
}

// options are the scalars, vectors of int32 of a table of options; absent fields have their defaults.
type options map[int]any

func (o options) int(id int, def int32) int32 {
	switch v := o[id].(type) {
	case int32:
		return v
	case int8:
		return int32(v)
	}
	return def
}

func (o options) bool(id int) bool { v, _ := o[id].(bool); return v }

func (o options) float(id int, def float32) float32 {
	if v, ok := o[id].(float32); ok {
		return v
	}
	return def
}

// optionTypes tells how wide the fields of each table of options are: i int32, b int8, o bool, f float32, v a vector of int32.
var optionTypes = map[uint8]string{tagConv: "biibii", tagDepthwise: "biiibii", tagPool: "biiiib", tagFullyConnected: "bboo", tagSoftmax: "f", tagConcatenation: "ib",
	tagAdd: "bo", tagReshape: "v", tagMul: "b", tagReducer: "o", tagSub: "bo", tagDiv: "b", tagResizeBilinear: "..oo", tagSplit: "i", tagResizeNearest: "oo",
	tagLeakyRelu: "f", tagSplitV: "i", tagDepthToSpace: "i", tagSpaceToDepth: "i", tagBatchMatmul: "ooo", tagGather: "ii", tagStridedSlice: "iiiiio", tagCast: "bb"}
