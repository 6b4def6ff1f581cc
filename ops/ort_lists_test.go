package ops

import (
	"math"
	"slices"

	"fettle/model"
)

// noKernel lists operators that ONNX Runtime's CPU build does not run, or not as specified, so that fewer graphs are compared.
var noKernel = map[string]string{
	classic + ":ZipMap":                   "node's binding has no maps: TestMapsAgainstONNXRuntime compares it",
	classic + ":DictVectorizer":           "node's binding has no maps: TestMapsAgainstONNXRuntime compares it",
	classic + ":CastMap":                  "node's binding has no maps: TestMapsAgainstONNXRuntime compares it",
	"ai.onnx.preview.training:Adagrad":    "the domain is not registered in the inference build",
	"ai.onnx.preview.training:Momentum":   "the domain is not registered in the inference build",
	":ImageDecoder":                       "no kernel is registered",
	"com.microsoft:QLinearReduceMean":     "no kernel is registered",
	"com.microsoft:BiasAdd":               "only GPU builds have a kernel",
	"com.microsoft:BiasDropout":           "only GPU builds have a kernel",
	"com.microsoft:BiasSoftmax":           "only GPU builds have a kernel",
	"com.microsoft:BiasSplitGelu":         "only GPU builds have a kernel",
	"com.microsoft:FusedMatMulActivation": "only GPU builds have a kernel",
	"com.microsoft:NhwcConv":              "only GPU builds have a kernel",
	"com.microsoft:NhwcFusedConv":         "only GPU builds have a kernel",
	"com.microsoft:TorchEmbedding":        "only GPU builds have a kernel",
}

// draws says whether the values of an example come from a generator of its own: shapes, types and means are compared.
func draws(x *example) bool {
	switch x.node.Op {
	case "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial":
		return true
	case "Dropout": // while it trains
		in := x.node.Inputs
		return len(in) > 2 && in[2] != "" && x.inputs[in[2]].Raw[0] != 0
	}
	return false
}

// otherwise names what ONNX Runtime does in another way than the specification, or what has no defined result.
func otherwise(x *example) bool {
	first := x.inputs["x0_0"]
	if x.node.Domain == classic && x.node.Str("post_transform", "") == "SOFTMAX_ZERO" && allZero(x) { // 0/0
		return true
	}
	switch x.node.Op {
	case "MaxUnpool": // indices count in the output shape instead of the inferred one
		return len(x.node.Inputs) > 2
	case "NonZero": // a scalar has one coordinate instead of none
		return first == nil || first.Rank() == 0
	case "BatchNormalization": // saved_var is the inverse deviation
		return x.m.Opset("") < 14 && len(x.node.Outputs) > 1
	case "HannWindow", "HammingWindow", "BlackmanWindow": // a symmetric window of one is 0/0
		return first == nil || first.Len() != 1 || first.Int64At(0) == 1
	case "Dropout": // old masks of zeros
		return x.m.Opset("") < 12
	case "RNN", "GRU", "LSTM": // a negative clip
		return x.node.Attr("clip") != nil && x.node.Float("clip", 0) <= 0
	case "Pad": // repeats more than once around read beyond the data
		return x.node.Str("mode", "") == "wrap"
	case "Pow": // integers to powers that are none
		return first == nil || first.DType.Integer()
	case "MatMul", "FusedMatMul", "TransposeMatMul": // sums of nothing are not written; with a line, batches are not transposed one by one
		second := x.inputs["x1_0"]
		return first == nil || first.Len() == 0 || second != nil && second.Rank() == 1 && (x.node.Int("transA", 0) != 0 || x.node.Int("transBatchA", 0) != 0)
	case "Attention", "QAttention", "MultiHeadAttention": // ends outside of the keys are not looked at, nor is a past that is not given back
		if x.node.Op == "MultiHeadAttention" && len(x.node.Inputs) > 6 && x.node.Inputs[6] != "" && len(x.node.Outputs) < 3 {
			return true
		}
		for _, m := range x.inputs {
			if m.DType == model.Int32 && m.Rank() == 1 {
				for i := range m.Len() {
					if m.Int64At(i) < 0 || m.Int64At(i) > 2 {
						return true
					}
				}
			}
		}
	case "GroupQueryAttention": // what is not given back is not read
		return len(x.node.Outputs) < 3
	case "QLinearSoftmax": // one by the scale is rounded down to an integer
		one := 1 / x.inputs[x.node.Inputs[3]].Float64At(0)
		return one != math.Floor(one) || x.inputs[x.node.Inputs[1]].Float64At(0) <= 0 || x.node.Int("opset", 0) < 1
	case "SplitToSequence": // keepdims counts although the parts are given
		return len(x.node.Inputs) > 1 && x.node.Int("keepdims", 1) == 0
	case "Gather": // only the first of several texts in a row is copied
		return first == nil || first.DType == model.String
	case "LRN": // only odd sizes
		return x.node.Int("size", 0)%2 == 0
	case "MatMulNBits": // asks for less exact sums
		return x.node.Int("accuracy_level", 0) > 1
	case "Cast", "CastLike": // to 4 bits, halves go away from zero and what is beyond wraps
		to := model.DType(x.node.Int("to", 0))
		if len(x.node.Inputs) > 1 && x.inputs[x.node.Inputs[1]] != nil {
			to = x.inputs[x.node.Inputs[1]].DType
		}
		return Int4s.Has(to) && first != nil && first.DType.Float()
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
	case "TreeEnsemble": // SOFTMAX and LOGISTIC have each other's number
		k := x.node.Int("post_transform", 0)
		return k == 1 || k == 2 || k == 3 && allZero(x)
	case "TreeEnsembleClassifier":
		// Where all votes are for one of two classes, the second probit stays what the memory held; where they are for both, the
		// label is 0 or 1, whatever the labels are.
		two := len(attrIntList(x.node, "classlabels_int64s"))+len(texts(x.node, "classlabels_strings")) == 2
		ids := attrIntList(x.node, "class_ids")
		return two && (x.node.Str("post_transform", "") == "PROBIT" || len(ids) == 0 || slices.Min(ids) != slices.Max(ids))
	case "SVMRegressor": // knows no transform
		return x.node.Str("post_transform", "") == "PROBIT"
	case "SVMClassifier": // of two classes the second probit is not written, and without vectors the label is not that of the larger score
		two := len(attrIntList(x.node, "classlabels_ints"))+len(texts(x.node, "classlabels_strings")) == 2
		return two && (x.node.Str("post_transform", "") == "PROBIT" || len(attrIntList(x.node, "vectors_per_class")) == 0)
	case "LinearClassifier": // nor here
		return len(attrFloats(x.node, "intercepts")) == 1 && x.node.Str("post_transform", "") == "PROBIT"
	case "Imputer": // features are counted along the second dimension
		return first == nil || first.Rank() > 2
	case "ReduceLogSum", "ReduceLogSumExp": // logarithms of integers
		return first == nil || !first.DType.Float()
	}
	return false
}

// allZero reports whether a row of scores is nothing but zeros.
func allZero(x *example) bool {
	out, err := evaluated(x)
	if err != nil {
		return true
	}
	z := out[len(out)-1]
	for r := 0; z.Rank() == 2 && r < z.Shape[0]; r++ {
		k := 0
		for k < z.Shape[1] && z.Float64At(r*z.Shape[1]+k) == 0 {
			k++
		}
		if k == z.Shape[1] {
			return true
		}
	}
	return false
}
