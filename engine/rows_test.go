package engine_test

import (
	"strings"
	"testing"
)

// TestRows runs every lowering on small graphs against the reference kernels. kernel is the prefix of a kernel that one of
// the steps must have, so that a row that stops accepting its nodes fails here; "-" in front: no step may have it.
func TestRows(t *testing.T) {
	for _, c := range []struct{ name, kernel, graph string }{
		{"conv 3x3", "f32_", `g (float[1, 5, 9, 7] x) => (float[1, 20, 9, 7] y) <float[20, 5, 3, 3] w = random(1, -0.2, 0.2), float[20] b = random(2)>
			{ y = Conv <pads = [1, 1, 1, 1]> (x, w, b) }`},
		{"conv 3x3 many channels", "f32_", `g (float[1, 32, 14, 13] x) => (float[1, 48, 14, 13] y) <float[48, 32, 3, 3] w = random(1, -0.2, 0.2), float[48] b = random(2)>
			{ y = Conv <pads = [1, 1, 1, 1]> (x, w, b) }`},
		{"conv first layer, stride 2", "f32_conv_first", `g (float[2, 3, 19, 17] x) => (float[2, 16, 10, 9] y) <float[16, 3, 3, 3] w = random(1)>
			{ y = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w) }`},
		{"conv 1x1 batch 3", "f32_conv", `g (float[3, 24, 5, 5] x) => (float[3, 40, 5, 5] y) <float[40, 24, 1, 1] w = random(1)> { y = Conv (x, w) }`},
		{"conv depthwise", "f32_dwconv", `g (float[1, 24, 11, 11] x) => (float[1, 24, 6, 6] y) <float[24, 1, 3, 3] w = random(1), float[24] b = random(2)>
			{ y = Conv <pads = [1, 1, 1, 1], strides = [2, 2], group = 24> (x, w, b) }`},
		{"conv groups that cut blocks", "f32_conv", `g (float[1, 24, 6, 6] x) => (float[1, 24, 6, 6] y) <float[24, 8, 3, 3] w = random(1, -0.2, 0.2)>
			{ y = Conv <pads = [1, 1, 1, 1], group = 3> (x, w) }`},
		{"conv dilated, uneven pads", "f32_conv", `g (float[1, 16, 12, 12] x) => (float[1, 16, 11, 10] y) <float[16, 16, 3, 2] w = random(1, -0.2, 0.2)>
			{ y = Conv <pads = [2, 0, 1, 0], dilations = [2, 2]> (x, w) }`},
		{"conv SAME_LOWER", "f32_conv", `g (float[1, 8, 7, 7] x) => (float[1, 8, 4, 4] y) <float[8, 8, 2, 2] w = random(1)>
			{ y = Conv <auto_pad = "SAME_LOWER", strides = [2, 2]> (x, w) }`},
		{"conv of a line", "f32_conv", `g (float[2, 8, 21] x) => (float[2, 12, 11] y) <float[12, 8, 5] w = random(1, -0.3, 0.3), float[12] b = random(2)>
			{ y = Conv <pads = [2, 2], strides = [2]> (x, w, b) }`},
		{"conv of a volume", "reference", `g (float[1, 2, 4, 4, 4] x) => (float[1, 3, 2, 2, 2] y) <float[3, 2, 3, 3, 3] w = random(1)> { y = Conv (x, w) }`},
		{"conv with a weight that is computed", "reference", `g (float[1, 2, 4, 4] x, float[2, 2, 1, 1] w) => (float[1, 2, 4, 4] y) { y = Conv (x, w) }`},
		{"conv between convs needs another border", "f32_", `g (float[1, 16, 8, 8] x) => (float[1, 16, 8, 8] y)
			<float[16, 16, 3, 3] w = random(1, -0.1, 0.1), float[16, 16, 5, 5] v = random(2, -0.1, 0.1)>
			{ a = Conv <pads = [1, 1, 1, 1]> (x, w)
			  b = Relu (a)
			  c = Conv <pads = [2, 2, 2, 2]> (b, v)
			  d = Conv <pads = [1, 1, 1, 1]> (b, w)
			  e = Add (c, d)
			  y = Add (e, x) }`},

		{"gemm", "f32_gemm", `g (float[3, 24] x) => (float[3, 37] y) <float[24, 37] w = random(1), float[37] b = random(2)> { y = Gemm (x, w, b) }`},
		{"gemm, B and A transposed, alpha, beta", "f32_gemm", `g (float[24, 5] x) => (float[5, 10] y) <float[10, 24] w = random(1), float[1, 10] b = random(2)>
			{ y = Gemm <transA = 1, transB = 1, alpha = 0.5, beta = 2.0> (x, w, b) }`},
		{"gemm with a bias of rows", "f32_gemm", `g (float[3, 24] x) => (float[3, 7] y) <float[24, 7] w = random(1), float[3, 1] b = random(2)> { y = Gemm <beta = 0.5> (x, w, b) }`},
		{"gemm with a scalar bias", "f32_gemm", `g (float[3, 24] x) => (float[3, 7] y) <float[24, 7] w = random(1), float b = {0.5}> { y = Gemm (x, w, b) }`},
		{"gemm of two inputs and a third", "f32_gemm", `g (float[3, 24] x, float[24, 7] w, float[3, 7] c) => (float[3, 7] y) { y = Gemm (x, w, c) }`},
		{"gemm of two inputs with alpha", "reference", `g (float[3, 24] x, float[24, 7] w) => (float[3, 7] y) { y = Gemm <alpha = 2.0> (x, w) }`},
		{"gemm without rows", "f32_gemm", `g (float[0, 4] x) => (float[0, 7] y) <float[4, 7] w = random(1)> { y = Gemm (x, w) }`},
		{"gemm without a sum", "f32_gemm", `g (float[2, 0] x) => (float[2, 7] y) <float[0, 7] w = {}, float[7] b = random(1)> { y = Gemm (x, w, b) }`},
		{"matmul by a weight", "f32_gemm", `g (float[2, 3, 24] x) => (float[2, 3, 17] y) <float[24, 17] w = random(1)> { y = MatMul (x, w) }`},
		{"matmul, batches", "f32_gemm", `g (float[2, 3, 5, 8] x, float[2, 3, 8, 7] z) => (float[2, 3, 5, 7] y) { y = MatMul (x, z) }`},
		{"matmul, batches broadcast", "f32_gemm", `g (float[2, 1, 5, 8] x, float[3, 8, 7] z) => (float[2, 3, 5, 7] y) { y = MatMul (x, z) }`},
		{"matmul, one A for many B", "f32_gemm", `g (float[5, 8] x, float[3, 8, 7] z) => (float[3, 5, 7] y) { y = MatMul (x, z) }`},
		{"matmul of a vector", "f32_gemm", `g (float[8] x, float[3, 8, 7] z) => (float[3, 7] y) { y = MatMul (x, z) }`},
		{"matmul by a vector", "f32_gemm", `g (float[3, 5, 8] x, float[8] z) => (float[3, 5] y) { y = MatMul (x, z) }`},
		{"matmul, constant batches", "f32_gemm", `g (float[3, 5, 8] x) => (float[3, 5, 7] y) <float[3, 8, 7] w = random(1)> { y = MatMul (x, w) }`},
		{"matmul with a bias", "f32_gemm", `g (float[2, 3, 24] x) => (float[2, 3, 37] y) <float[24, 37] w = random(1), float[37] b = random(2)> { y = fettle.MatMul (x, w, b) }`},
		{"matmul with a bias and GELU", "f32_gemm", `g (float[2, 9, 24] x) => (float[2, 9, 37] y) <float[24, 37] w = random(1), float[37] b = random(2)>
			{ y = fettle.MatMul <activation = "gelu"> (x, w, b) }`},
		{"matmul with a computed bias", "f32_gemm", `g (float[2, 3, 24] x, float[37] b) => (float[2, 3, 37] y) <float[24, 37] w = random(1)> { y = fettle.MatMul <activation = "silu"> (x, w, b) }`},
		{"matmul, batches with a bias", "f32_gemm", `g (float[3, 5, 8] x, float[3, 8, 7] z) => (float[3, 5, 7] y) <float[7] b = random(2)> { y = fettle.MatMul <activation = "relu"> (x, z, b) }`},
		{"heads are read where they lie", "-transpose", `g (float[2, 9, 12] q, float[2, 7, 12] k, float[2, 7, 12] v) => (float[2, 9, 12] y) <int64[4] s = {2, -1, 3, 4}, int64[3] j = {2, 9, 12}>
			{ a = Reshape (q, s)  b = Reshape (k, s)  c = Reshape (v, s)
			  d = Transpose <perm = [0, 2, 1, 3]> (a)  e = Transpose <perm = [0, 2, 3, 1]> (b)  f = Transpose <perm = [0, 2, 1, 3]> (c)
			  h = MatMul (d, e)  i = Softmax (h)  k2 = MatMul (i, f)  l = Transpose <perm = [0, 2, 1, 3]> (k2)  y = Reshape (l, j) }`},
		{"one head", "-transpose", `g (float[1, 5, 4] q, float[1, 1, 4] k) => (float[1, 5, 1, 4] y) <int64[4] s = {1, -1, 1, 4}>
			{ a = Reshape (q, s)  b = Reshape (k, s)  d = Transpose <perm = [0, 2, 1, 3]> (a)  e = Transpose <perm = [0, 2, 3, 1]> (b)  f = Transpose <perm = [0, 2, 1, 3]> (b)
			  h = MatMul (d, e)  i = MatMul (h, f)  y = Transpose <perm = [0, 2, 1, 3]> (i) }`},
		{"a transposed factor that two products read", "transpose", `g (float[2, 5, 3] x, float[2, 5, 7] z) => (float[2, 3, 7] y)
			{ a = Transpose <perm = [0, 2, 1]> (x)  b = MatMul (a, z)  c = MatMul (a, z)  y = Add (b, c) }`},
		{"both factors transposed, GELU, and the result", "-transpose", `g (float[2, 5, 3] x, float[2, 7, 5] z) => (float[3, 2, 7] y) <float[7] b = random(2)>
			{ a = Transpose <perm = [0, 2, 1]> (x)  c = Transpose <perm = [0, 2, 1]> (z)  d = fettle.MatMul <activation = "gelu"> (a, c, b)  y = Transpose <perm = [1, 0, 2]> (d) }`},
		{"a factor whose rows and columns both lie apart", "transpose", `g (float[5, 3, 2] x, float[2, 5, 7] z) => (float[2, 3, 7] y)
			{ a = Transpose <perm = [2, 1, 0]> (x)  y = MatMul (a, z) }`},
		{"a transposed factor of one matrix", "f32_gemm", `g (float[3, 2, 5] x) => (float[2, 3, 7] y) <float[5, 7] w = random(1)> { a = Transpose <perm = [1, 0, 2]> (x)  y = MatMul (a, w) }`},
		{"a result whose rows are columns then", "transpose", `g (float[2, 3, 5] x, float[2, 5, 7] z) => (float[2, 7, 3] y) { a = MatMul (x, z)  y = Transpose <perm = [0, 2, 1]> (a) }`},
		{"a result that is also an output", "transpose", `g (float[2, 3, 5] x, float[2, 5, 7] z) => (float[3, 2, 7] y, float[2, 3, 7] a) { a = MatMul (x, z)  y = Transpose <perm = [1, 0, 2]> (a) }`},
		{"a result without rows", "", `g (float[2, 0, 5] x, float[2, 5, 7] z) => (float[0, 2, 7] y) { a = MatMul (x, z)  y = Transpose <perm = [1, 0, 2]> (a) }`},
		{"matmul of integers", "reference", `g (int64[3, 5] x, int64[5, 2] z) => (int64[3, 2] y) { y = MatMul (x, z) }`},

		{"relu", "f32_relu", `g (float[2, 37] x) => (float[2, 37] y) { y = Relu (x) }`},
		{"leaky relu", "f32_leakyrelu", `g (float[3, 5] x) => (float[3, 5] y) { y = LeakyRelu <alpha = 0.3> (x) }`},
		{"clip", "f32_clip", `g (float[3, 5] x) => (float[3, 5] y) <float lo = {-0.5}, float hi = {0.25}> { y = Clip (x, lo, hi) }`},
		{"clip without bounds", "f32_clip", `g (float[3, 5] x) => (float[3, 5] y) { y = Clip (x) }`},
		{"sigmoid", "f32_sigmoid", `g (float[1, 3, 4, 5] x) => (float[1, 3, 4, 5] y) { y = Sigmoid (x) }`},
		{"hard sigmoid", "f32_hardsigmoid", `g (float[40] x) => (float[40] y) { y = HardSigmoid <alpha = 0.3> (x) }`},
		{"hard swish", "f32_hardswish", `g (float[40] x) => (float[40] y) { y = HardSwish (x) }`},
		{"tanh", "f32_tanh", `g (float[40] x) => (float[40] y) { y = Tanh (x) }`},
		{"exp", "f32_exp", `g (float[40] x) => (float[40] y) { y = Exp (x) }`},
		{"erf", "f32_erf", `g (float[40] x) => (float[40] y) { y = Erf (x) }`},
		{"gelu of ONNX Runtime", "f32_gelu", `g (float[1, 7, 5] x) => (float[1, 7, 5] y) { a = Mul (x, x)  b = com.microsoft.Gelu (a)  c = com.microsoft.FastGelu (b)  d = com.microsoft.Gelu (x)  y = Add (c, d) }`},
		{"fast gelu with a bias", "reference", `g (float[7, 5] x) => (float[7, 5] y) <float[5] b = random(1)> { y = com.microsoft.FastGelu (x, b) }`},
		{"sqrt of squares", "f32_sqrt", `g (float[40] x) => (float[40] y) { a = Mul (x, x)  y = Sqrt (a) }`},
		{"scalar", "f32_relu", `g (float x) => (float y) { y = Relu (x) }`},
		{"not a number", "f32_relu", `g (float[2, 3] x) => (float[2, 3] y) <float z = {0.0}, float lo = {-1.0}> { a = Div (x, z)  b = Mul (a, z)  c = Relu (b)  d = Clip (c, lo)  y = Max (d, x) }`},
		{"empty", "", `g (float[0, 3] x) => (float[0, 3] y) { y = Relu (x) }`},
		{"channels that fill no block, divided and taken the root of", "f32_", `g (float[1, 5, 6, 6] x) => (float[1, 4, 6, 6] y)
			<float[5, 5, 1, 1] w = random(1), float[4, 5, 3, 3] v = random(2)>
			{ a = Conv (x, w)  b = Exp (a)  c = Div (a, b)  d = Mul (c, c)  e = Sqrt (d)  y = Conv <pads = [1, 1, 1, 1]> (e, v) }`},

		{"add of blocks", "f32_add", `g (float[1, 16, 6, 6] x) => (float[1, 16, 6, 6] y) <float[16, 16, 1, 1] w = random(1)> { a = Conv (x, w)  y = Add (a, x) }`},
		{"sub, constant first", "f32_sub", `g (float[2, 3] x) => (float[2, 3] y) <float[2, 3] c = random(1)> { y = Sub (c, x) }`},
		{"mul by a scalar", "f32_mul", `g (float[2, 3, 5] x) => (float[2, 3, 5] y) <float c = {0.25}> { y = Mul (x, c) }`},
		{"div of a scalar", "f32_div", `g (float[2, 3, 5] x) => (float[2, 3, 5] y) <float c = {0.25}> { y = Div (c, x) }`},
		{"max and min", "f32_max", `g (float[2, 3] x, float[2, 3] z) => (float[2, 3] y) { a = Max (x, z)  y = Min (a, x) }`},
		{"max of three", "reference", `g (float[2, 3] x, float[2, 3] z) => (float[2, 3] y) { y = Max (x, z, x) }`},
		{"broadcast both ways", "f32_add_broadcast", `g (float[3, 1, 5] x, float[4, 1] z) => (float[3, 4, 5] y) { y = Add (x, z) }`},
		{"broadcast of a bias", "f32_add_broadcast", `g (float[2, 7, 33] x) => (float[2, 7, 33] y) <float[33] b = random(1)> { y = Add (x, b) }`},
		{"broadcast of a channel, row-major", "f32_mul", `g (float[2, 7, 3, 3] x) => (float[2, 7, 3, 3] y) <float[7, 1, 1] b = random(1)> { y = Mul (x, b) }`},
		{"scale of channels on blocks", "f32_mul_channel", `g (float[2, 20, 5, 5] x, float[2, 20, 1, 1] s) => (float[2, 20, 5, 5] y) <float[20, 20, 1, 1] w = random(1)>
			{ a = Conv (x, w)  y = Mul (s, a) }`},
		{"batch normalisation on blocks", "f32_scale_shift", `g (float[1, 20, 5, 5] x) => (float[1, 20, 5, 5] y)
			<float[20, 20, 1, 1] w = random(1), float[20] s = random(2), float[20] b = random(3), float[20] m = random(4), float[20] v = random(5, 0.5, 2)>
			{ a = Conv (x, w)  y = BatchNormalization (a, s, b, m, v) }`},
		{"batch normalisation, row-major", "f32_scale_shift", `g (float[2, 5, 3] x) => (float[2, 5, 3] y)
			<float[5] s = random(2), float[5] b = random(3), float[5] m = random(4), float[5] v = random(5, 0.5, 2)> { y = BatchNormalization <epsilon = 0.1> (x, s, b, m, v) }`},
		{"integers add by reference", "reference", `g (int64[2, 3] x) => (int64[2, 3] y) { y = Add (x, x) }`},

		{"softmax", "f32_softmax", `g (float[3, 19] x) => (float[3, 19] y) { y = Softmax (x) }`},
		{"softmax of another axis", "reference", `g (float[3, 4, 5] x) => (float[3, 4, 5] y) { y = Softmax <axis = 1> (x) }`},
		{"log softmax of large numbers", "f32_logsoftmax", `g (float[3, 19] x) => (float[3, 19] y) <float c = {100000.0}> { a = Add (x, c)  y = LogSoftmax (a) }`},
		{"log softmax", "f32_logsoftmax", `g (float[3, 19] x) => (float[3, 19] y) { y = LogSoftmax (x) }`},
		{"layer normalisation", "f32_layernorm", `g (float[2, 3, 24] x) => (float[2, 3, 24] y) <float[24] s = random(1), float[24] b = random(2)>
			{ y = LayerNormalization (x, s, b) }`},
		{"layer normalisation of two axes", "f32_layernorm", `g (float[2, 3, 4] x) => (float[2, 3, 4] y) <float[3, 4] s = random(1)> { y = LayerNormalization <axis = 1> (x, s) }`},

		{"layer normalisation of a sum", "f32_add_layernorm", `g (float[2, 3, 24] x, float[2, 3, 24] z) => (float[2, 3, 24] y) <float[24] s = random(1), float[24] b = random(2)>
			{ a = Add (x, z)  y = LayerNormalization (a, s, b) }`},
		{"layer normalisation of a sum that others read", "f32_add_layernorm", `g (float[2, 3, 24] x, float[2, 3, 24] z) => (float[2, 3, 24] y) <float[24] s = random(1)>
			{ a = Add (x, z)  c = LayerNormalization (a, s)  y = Add (a, c) }`},
		{"layer normalisation of a sum that is an output", "f32_add_layernorm", `g (float[2, 24] x, float[2, 24] z) => (float[2, 24] y, float[2, 24] a) <float[24] s = random(1)>
			{ a = Add (x, z)  y = LayerNormalization (a, s) }`},
		{"two normalisations of a sum", "f32_layernorm", `g (float[2, 24] x, float[2, 24] z) => (float[2, 24] y) <float[24] s = random(1), float[24] b = random(2)>
			{ a = Add (x, z)  c = LayerNormalization (a, s)  d = LayerNormalization (a, s, b)  y = Mul (c, d) }`},
		{"layer normalisation of a sum that broadcasts", "f32_layernorm", `g (float[2, 24] x, float[24] z) => (float[2, 24] y) <float[24] s = random(1)> { a = Add (x, z)  y = LayerNormalization (a, s) }`},
		{"layer normalisation with computed scale", "-f32_add_layernorm", `g (float[2, 24] x, float[24] s) => (float[2, 24] y) { a = Add (x, x)  y = LayerNormalization (a, s) }`},
		{"the sum is the scale", "-f32_add_layernorm", `g (float[24] x, float[24] z) => (float[24] y) { a = Add (x, z)  y = LayerNormalization (z, a) }`},
		{"max pool", "f32_maxpool", `g (float[1, 20, 9, 9] x) => (float[1, 20, 5, 5] y) { y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x) }`},
		{"max pool, ceil", "f32_maxpool", `g (float[1, 4, 8, 8] x) => (float[1, 4, 4, 4] y) { y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (x) }`},
		{"max pool, dilated", "f32_maxpool", `g (float[1, 4, 8, 8] x) => (float[1, 4, 4, 4] y) { y = MaxPool <kernel_shape = [3, 3], dilations = [2, 2]> (x) }`},
		{"max pool with indices", "reference", `g (float[1, 2, 4, 4] x) => (float[1, 2, 2, 2] y, int64[1, 2, 2, 2] i) { y, i = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x) }`},
		{"average pool", "f32_avgpool", `g (float[2, 20, 9, 9] x) => (float[2, 20, 5, 5] y) { y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x) }`},
		{"average pool counts padding", "f32_avgpool", `g (float[1, 4, 8, 8] x) => (float[1, 4, 5, 5] y)
			{ y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], count_include_pad = 1, ceil_mode = 1> (x) }`},
		{"average pool of a line", "reference", `g (float[1, 4, 8] x) => (float[1, 4, 4] y) { y = AveragePool <kernel_shape = [2], strides = [2]> (x) }`},
		{"global average", "f32_globalavgpool", `g (float[2, 20, 5, 7] x) => (float[2, 20, 1, 1] y) <float[20, 20, 1, 1] w = random(1)> { a = Conv (x, w)  y = GlobalAveragePool (a) }`},
		{"mean over the picture", "f32_globalavgpool", `g (float[2, 20, 5, 7] x) => (float[2, 20] y) <float[20, 20, 1, 1] w = random(1)>
			{ a = Conv (x, w)  y = ReduceMean <axes = [2, 3], keepdims = 0> (a) }`},

		{"concat of a part twice", "f32_concat_blocks", `g (float[2, 16, 4, 4] x) => (float[2, 52, 4, 4] y) <float[16, 16, 3, 3] w = random(1, -0.3, 0.3), float[20, 16, 3, 3] v = random(2, -0.3, 0.3)>
			{ a = Conv <pads = [1, 1, 1, 1]> (x, w)  b = Conv <pads = [1, 1, 1, 1]> (a, v)  y = Concat <axis = 1> (a, a, b) }`},
		{"concat of blocks in place, parts and whole read behind it", "-f32_concat", `g (float[2, 16, 5, 5] x) => (float[2, 32, 5, 5] y) <float[16, 16, 3, 3] w = random(1, -0.3, 0.3), float[32, 32, 3, 3] v = random(2, -0.2, 0.2), float[32, 16, 5, 5] u = random(3, -0.2, 0.2)>
			{ a = Conv <pads = [1, 1, 1, 1]> (x, w)  b = Relu (a)  c = Concat <axis = 1> (b, a)  d = Conv <pads = [1, 1, 1, 1]> (c, v)  e = Conv <pads = [2, 2, 2, 2]> (b, u)  f = Add (d, e)  y = Add (f, c) }`},
		{"concat of a concat", "f32_concat_blocks", `g (float[1, 16, 5, 5] x) => (float[1, 48, 5, 5] y) <float[16, 16, 3, 3] w = random(1, -0.3, 0.3)>
			{ a = Conv <pads = [1, 1, 1, 1]> (x, w)  b = Relu (a)  c = Concat <axis = 1> (b, a)  d = Sigmoid (a)  y = Concat <axis = 1> (c, d) }`},
		{"concat of blocks", "f32_concat_blocks", `g (float[1, 16, 4, 4] x) => (float[1, 34, 4, 4] y) <float[16, 16, 1, 1] w = random(1), float[18, 16, 3, 3] v = random(2)>
			{ a = Conv (x, w)  b = Conv <pads = [1, 1, 1, 1]> (x, v)  y = Concat <axis = 1> (a, b) }`},
		{"concat that cuts blocks", "concat", `g (float[1, 16, 4, 4] x) => (float[1, 34, 4, 4] y) <float[18, 16, 1, 1] w = random(1)> { a = Conv (x, w)  y = Concat <axis = 1> (a, x) }`},
		{"concat of a value with itself and a constant", "concat", `g (float[2, 3] x) => (float[2, 9] y) <float[2, 3] c = random(1)> { y = Concat <axis = -1> (x, c, x) }`},
		{"concat of integers", "concat", `g (int64[2, 3] x) => (int64[4, 3] y) { y = Concat <axis = 0> (x, x) }`},
		{"transpose", "transpose", `g (float[2, 3, 4, 5] x) => (float[2, 4, 3, 5] y) { y = Transpose <perm = [0, 2, 1, 3]> (x) }`},
		{"transpose of the last axis", "transpose", `g (float[2, 3, 4] x) => (float[4, 3, 2] y) { y = Transpose (x) }`},
		{"transpose of bytes", "transpose", `g (int8[3, 5] x) => (int8[5, 3] y) { y = Transpose (x) }`},
		{"gather of rows", "gather", `g (int64[2, 3] x) => (float[2, 3, 5] y) <float[100, 5] w = random(1)> { y = Gather (w, x) }`},
		{"gather of columns, negative", "gather", `g (float[3, 4, 2] x) => (float[3, 2, 2] y) <int32[2] i = {-1, 0}> { y = Gather <axis = 1> (x, i) }`},
		{"nearest upsampling", "f32_upsample", `g (float[1, 20, 3, 4] x) => (float[1, 20, 6, 12] y) <float[20, 20, 1, 1] w = random(1), float[4] s = {1.0, 1.0, 2.0, 3.0}>
			{ a = Conv (x, w)  y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (a, , s) }`},
		{"linear upsampling", "reference", `g (float[1, 2, 3, 4] x) => (float[1, 2, 6, 8] y) <float[4] s = {1.0, 1.0, 2.0, 2.0}> { y = Resize <mode = "linear"> (x, , s) }`},
		{"reshape and squeeze are free", "-reference", `g (float[1, 6, 4, 1] x) => (float[4, 6] y) <int64[2] s = {6, 4}, int64[2] p = {0, 3}>
			{ a = Squeeze (x, p)  b = Reshape (a, s)  c = Identity (b)  y = Transpose (c) }`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, header+c.graph)
			p := check(t, m, inputs(t, m, 5), 2e-5)
			kernel, absent := strings.CutPrefix(c.kernel, "-")
			found := false
			for _, s := range p.Steps {
				found = found || strings.HasPrefix(s.Kernel, kernel)
			}
			if kernel != "" && found == absent {
				t.Errorf("kernel %q: found %t, among\n%s", kernel, found, steps(p))
			}
		})
	}
}

const header = "<ir_version: 8, opset_import: [\"\": 17, \"fettle\": 1, \"com.microsoft\": 1]>\n"
