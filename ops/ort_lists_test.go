package ops

// noKernel lists operators that ONNX Runtime's CPU build does not run, or not as specified, so that fewer graphs are compared.
var noKernel = map[string]string{
	"ai.onnx.preview.training:Adagrad":  "the domain is not registered in the inference build",
	"ai.onnx.preview.training:Momentum": "the domain is not registered in the inference build",
}

// draws lists operators whose values come from a generator of their own: shapes, types and means are compared.
var draws = map[string]string{
	":RandomNormal": "", ":RandomNormalLike": "", ":RandomUniform": "", ":RandomUniformLike": "", ":Bernoulli": "", ":Multinomial": "",
}

// composed makes graphs of operators that random attributes hardly ever get right.
var composed = map[string]func(d *draw) *example{}

// otherwise names what ONNX Runtime does in another way than the specification, or what has no defined result.
func otherwise(x *example) bool {
	first := x.inputs["x0_0"]
	switch x.node.Op {
	case "MaxUnpool": // indices count in the output shape instead of the inferred one
		return len(x.node.Inputs) > 2
	case "NonZero": // a scalar has one coordinate instead of none
		return first == nil || first.Rank() == 0
	case "BatchNormalization": // saved_var is the inverse deviation
		return x.m.Opset("") < 14 && len(x.node.Outputs) > 1
	case "HannWindow", "HammingWindow", "BlackmanWindow": // a symmetric window of one is 0/0
		return first == nil || first.Len() != 1 || first.Int64At(0) == 1
	case "Dropout": // draws, and old masks of zeros
		return len(x.node.Inputs) > 2 || x.m.Opset("") < 12
	case "RNN", "GRU", "LSTM": // a negative clip
		return x.node.Attr("clip") != nil && x.node.Float("clip", 0) <= 0
	case "Pad": // repeats more than once around read beyond the data
		return x.node.Str("mode", "") == "wrap"
	case "Pow": // integers to powers that are none
		return first == nil || first.DType.Integer()
	case "MatMul": // sums of nothing are not written
		return first == nil || first.Len() == 0
	case "Resize":
		switch x.node.Str("coordinate_transformation_mode", "") {
		case "align_corners": // lengths are rounded before they are used
			return true
		case "tf_crop_and_resize": // regions of pictures and channels do not count
			return true
		}
		return x.node.Int("antialias", 0) != 0 && (first == nil || first.DType.Integer()) // rounded after each axis
	case "Shrink": // lambd is cast to the integers' type
		return first == nil || first.DType.Integer()
	case "Mod": // fmod of integers goes through floats
		return x.node.Int("fmod", 0) != 0 && (first == nil || first.DType.Integer())
	case "ArgMin", "ArgMax", "ReduceMin", "ReduceMax", "ReduceMean": // empty inputs keep their shape, or have a mean
		return first == nil || first.Len() == 0
	case "SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss": // the sum of weights may be 0
		return len(x.node.Inputs) > 2
	case "QLinearSoftmax": // negative scales
		return true
	case "ReduceLogSum", "ReduceLogSumExp": // logarithms of integers
		return first == nil || !first.DType.Float()
	}
	return false
}
