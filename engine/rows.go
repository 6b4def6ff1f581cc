package engine

import (
	"math"

	"fettle/kernels/cpu"
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

	{"", "Add", binaryRow("add", addVec)},
	{"fettle", "Add", binaryRow("add", addVec)},
	{"", "Sub", binaryRow("sub", subVec)},
	{"", "Mul", binaryRow("mul", mulVec)},
	{"", "Div", binaryRow("div", divVec)},
	{"", "Max", binaryRow("max", maxVec)},
	{"", "Min", binaryRow("min", minVec)},

	{"", "Relu", unaryRow("relu", pickAct(cpu.ReLU, 0, 0))},
	{"", "LeakyRelu", unaryRow("leakyrelu", pickAct(cpu.LeakyReLU, 0.01, 0))},
	{"", "Clip", unaryRow("clip", pickClip)},
	{"", "Sigmoid", unaryRow("sigmoid", pickAct(cpu.Sigmoid, 0, 0))},
	{"", "HardSigmoid", unaryRow("hardsigmoid", pickAct(cpu.HardSigmoid, 0.2, 0.5))},
	{"", "HardSwish", unaryRow("hardswish", pickAct(cpu.HardSwish, 1.0/6, 0.5))},
	{"", "Tanh", unaryRow("tanh", pickAct(cpu.Tanh, 0, 0))},
	{"", "Exp", unaryRow("exp", pickAct(cpu.Exp, 0, 0))},
	{"", "Erf", unaryRow("erf", pickMath(math.Erf))},
	{"", "Sqrt", unaryRow("sqrt", pickMath(math.Sqrt))},
	{"", "BatchNormalization", lowerNorm},
	{"", "Softmax", lowerSoftmax},
	{"", "LogSoftmax", lowerSoftmax},
	{"", "LayerNormalization", lowerLayerNorm},

	{"", "MaxPool", lowerPool},
	{"", "AveragePool", lowerPool},
	{"", "GlobalAveragePool", lowerGlobalAverage},
	{"", "ReduceMean", lowerGlobalAverage},
	{"", "Concat", lowerConcat},
	{"", "Transpose", lowerTranspose},
	{"", "Resize", lowerUpsample},
	{"", "Upsample", lowerUpsample},
}
