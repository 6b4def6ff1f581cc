package engine

import (
	"math"

	"fettle/kernels/cpu"
	"fettle/kernels/eltwise"
	"fettle/model"
)

// rows is the table of lowerings: the first row of an operator that accepts a node builds its step; a node that no row
// accepts runs with its reference kernel.
var rows = []row{
	{"", "Conv", lowerConv},
	{"fettle", "Conv", lowerConv},

	{"", "Gemm", lowerGemm},
	{"fettle", "Gemm", lowerGemm},
	{"", "MatMul", lowerMatMul},
	{"fettle", "MatMul", lowerMatMul},

	{"", "Reshape", viewOf},
	{"", "Flatten", viewOf},
	{"", "Squeeze", viewOf},
	{"", "Unsqueeze", viewOf},
	{"", "Identity", viewOf},
	{"", "Dropout", viewOf},

	{"", "Add", lowerAddNorm},
	{"", "Add", binaryRow("add", picked(eltwise.Add))},
	{"fettle", "Add", binaryRow("add", picked(eltwise.Add))},
	{"", "Sub", binaryRow("sub", picked(eltwise.Sub))},
	{"", "Mul", binaryRow("mul", picked(eltwise.Mul))},
	{"", "Div", binaryRow("div", picked(eltwise.Div))},
	{"", "Max", binaryRow("max", plainFunc(maxVec))},
	{"", "Min", binaryRow("min", plainFunc(minVec))},

	{"", "Relu", unaryRow("relu", pickAct(cpu.ReLU, 0, 0))},
	{"", "LeakyRelu", unaryRow("leakyrelu", pickAct(cpu.LeakyReLU, 0.01, 0))},
	{"", "Clip", unaryRow("clip", pickClip)},
	{"", "Sigmoid", unaryRow("sigmoid", pickAct(cpu.Sigmoid, 0, 0))},
	{"", "HardSigmoid", unaryRow("hardsigmoid", pickAct(cpu.HardSigmoid, 0.2, 0.5))},
	{"", "HardSwish", unaryRow("hardswish", pickAct(cpu.HardSwish, 1.0/6, 0.5))},
	{"", "Tanh", unaryRow("tanh", pickAct(cpu.Tanh, 0, 0))},
	{"", "Exp", unaryRow("exp", pickAct(cpu.Exp, 0, 0))},
	{"", "Erf", unaryRow("erf", pickAct(cpu.Erf, 0, 0))},
	{"", "Gelu", unaryRow("gelu", pickGelu)},
	{"com.microsoft", "Gelu", unaryRow("gelu", pickAct(cpu.GELU, 0, 0))},
	{"com.microsoft", "FastGelu", unaryRow("gelu_tanh", pickFastGelu)},
	{"", "Sqrt", unaryRow("sqrt", pickMath(math.Sqrt))},
	{"", "BatchNormalization", lowerNorm},
	{"", "Softmax", lowerSoftmax},
	{"", "LogSoftmax", lowerSoftmax},
	{"", "LayerNormalization", lowerLayerNorm},

	{"", "QuantizeLinear", lowerQuantize},
	{"", "QuantizeLinear", lowerToWords},
	{"", "QuantizeLinear", lowerQuantize16},
	{"", "DequantizeLinear", lowerDequantize},
	{"", "DequantizeLinear", lowerFromWords},
	{"", "DynamicQuantizeLinear", lowerDynamicQuantize},
	{"", "MatMulInteger", lowerMatMulInteger},
	{"", "ConvInteger", lowerConvInteger},
	{"com.microsoft", "MatMulNBits", lowerNBits},

	{"", "MaxPool", lowerPool},
	{"", "AveragePool", lowerPool},
	{"", "GlobalAveragePool", lowerGlobalAverage},
	{"", "ReduceMean", lowerGlobalAverage},
	{"", "Concat", lowerConcat},
	{"", "Transpose", lowerTranspose},
	{"", "Gather", lowerGather},
	{"", "Resize", lowerUpsample},
	{"", "Upsample", lowerUpsample},
}

// islandRow says which nodes between DequantizeLinear and QuantizeLinear run on integers: match reads the pattern, lower
// builds the step.
type islandRow struct {
	op    string
	match func(*lowering, *model.Node, *island) bool
	lower func(*lowering, *island) error
}

var islandRows = []islandRow{
	{"Conv", matchConv8, lowerConv8},
	{"Conv", matchConv16, lowerConv16},
	{"QLinearConv", matchQLinearConv, lowerConv8},
	{"QLinearMatMul", matchQLinearMatMul, lowerGemm8},
	{"QGemm", matchQGemm, lowerGemm8},
	{"QLinearAdd", matchQLinear2, lowerAdd8},
	{"QLinearMul", matchQLinear2, lowerMul8},
	{"QLinearGlobalAveragePool", matchQLinearAverage, lowerAverage8},
	{"QLinearAveragePool", matchQLinearAverage, lowerAverage8},
	{"QLinearSigmoid", matchQLinearTable, lowerQLinearTable},
	{"QLinearLeakyRelu", matchQLinearTable, lowerQLinearTable},
	{"Gemm", matchGemm8, lowerGemm8},
	{"MatMul", matchGemm8, lowerGemm8},
	{"Gemm", matchGemm16, lowerGemm16},
	{"MatMul", matchGemm16, lowerGemm16},
	{"Add", matchAdd8, lowerAdd8},
	{"Mul", matchFunction8, lowerFunction8},
	{"Div", matchFunction8, lowerFunction8},
	{"Gelu", matchTable8, lowerTable8},
	{"Mul", matchMul8, lowerMul8},
	{"GlobalAveragePool", matchAverage8, lowerAverage8},
	{"AveragePool", matchAverage8, lowerAverage8},
	{"Concat", matchConcat8, lowerConcat8},
	{"MaxPool", matchMove8, lowerMaxPool8},
	{"Resize", matchMove8, lowerMove8},
	{"Reshape", matchMove8, lowerMove8},
	{"Flatten", matchMove8, lowerMove8},
	{"Transpose", matchMove8, lowerMove8},
	{"Squeeze", matchMove8, lowerMove8},
	{"Unsqueeze", matchMove8, lowerMove8},
	{"Slice", matchMove8, lowerMove8},
	{"Identity", matchMove8, lowerMove8},
	{"DepthToSpace", matchMove8, lowerMove8},
	{"SpaceToDepth", matchMove8, lowerMove8},
	{"Relu", matchTable8, lowerTable8},
	{"Clip", matchTable8, lowerTable8},
	{"LeakyRelu", matchTable8, lowerTable8},
	{"Sigmoid", matchTable8, lowerTable8},
	{"HardSigmoid", matchTable8, lowerTable8},
	{"HardSwish", matchTable8, lowerTable8},
	{"Tanh", matchTable8, lowerTable8},
	{"Elu", matchTable8, lowerTable8},
}
