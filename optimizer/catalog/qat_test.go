package catalog

import (
	"context"
	"math"
	"testing"

	"fettle/model"
	"fettle/model/text"
	"fettle/ops"
	"fettle/optimizer"
)

// qat is what PyTorch's exporter writes of a network that was trained with fake quantization: float weights behind QuantizeLinear and
// DequantizeLinear along axis 0, values of 7 bits behind a Clip of their integers, scales and zeros as Constant nodes, float biases.
const qat = `<ir_version: 8, opset_import: ["" : 13]>
main_graph (float[1, 3, 8, 8] input) => (float[1, 5] output)
<float[4, 3, 3, 3] conv_weight = random(1, -0.4, 0.4), float[4] conv_bias = random(2, -0.2, 0.2), float[4] conv_scale = {0.0031, 0.0029, 0.0032, 0.003},
 int8[4] conv_zero = {0, 0, 0, 0}, float[5, 4] fc_weight = random(3, -0.6, 0.6), float[5] fc_bias = random(4, -0.2, 0.2), float fc_scale = {0.005}, int8 fc_zero = {0}>
{
  s0 = Constant <value_float = 0.0157> ()
  z0 = Constant <value = uint8 {128}> ()
  [input_q] a = QuantizeLinear (input, s0, z0)
  [input_dq] b = DequantizeLinear (a, s0, z0)
  [weight_q] wq = QuantizeLinear <axis = 0> (conv_weight, conv_scale, conv_zero)
  [weight_dq] wd = DequantizeLinear <axis = 0> (wq, conv_scale, conv_zero)
  [conv] c = Conv <pads = [1, 1, 1, 1], kernel_shape = [3, 3]> (b, wd, conv_bias)
  [relu] d = Relu (c)
  s1 = Constant <value_float = 0.02> ()
  z1 = Constant <value = uint8 {0}> ()
  [relu_q] e = QuantizeLinear (d, s1, z1)
  most = Constant <value = uint8 {127}> ()
  [relu_clip] e7 = Clip (e, , most)
  [relu_dq] f = DequantizeLinear (e7, s1, z1)
  [pool] g = GlobalAveragePool (f)
  s2 = Constant <value_float = 0.008> ()
  [pool_q] h = QuantizeLinear (g, s2, z1)
  [pool_dq] i = DequantizeLinear (h, s2, z1)
  [flat] j = Flatten (i)
  [fc_q] vq = QuantizeLinear (fc_weight, fc_scale, fc_zero)
  [fc_dq] vd = DequantizeLinear (vq, fc_scale, fc_zero)
  [fc] k = Gemm <transB = 1> (j, vd, fc_bias)
  s3 = Constant <value_float = 0.01> ()
  [out_q] l = QuantizeLinear (k, s3, z0)
  [out_dq] output = DequantizeLinear (l, s3, z0)
}`

// TestFakeQuantizedFile: the weights of a fake-quantized file become the integers that the training meant, biases become int32, and the
// outputs stay within a step.
func TestFakeQuantizedFile(t *testing.T) {
	m, err := text.Parse(qat)
	if err != nil {
		t.Fatal(err)
	}
	in, err := optimizer.RandomInputs(m, 6, 4)
	if err != nil {
		t.Fatal(err)
	}
	r := Standard()
	r.Steps = append([]optimizer.RecipeStep{{Pass: "eliminate-dead"}, {Pass: "import-quantized"}}, r.Steps...)
	steps, err := optimizer.Run(context.Background(), m, r, optimizer.Env{Passes: Passes()})
	if err != nil {
		t.Fatal(err)
	}
	out := steps[len(steps)-1].Model
	for _, n := range out.Graph.Nodes {
		if n.Op != "Conv" && n.Op != "Gemm" {
			continue
		}
		p := out.Graph.Producer(n.Inputs[1])
		if p == nil || p.Op != "DequantizeLinear" || out.Graph.Init(p.Inputs[0]) == nil || out.Graph.Init(p.Inputs[0]).DType != model.Int8 {
			t.Errorf("the weights of %s are no integers: %+v", n.Label(), p)
		}
		if b := out.Graph.Producer(n.Inputs[2]); b == nil || b.Op != "DequantizeLinear" || out.Graph.Init(b.Inputs[0]).DType != model.Int32 {
			t.Errorf("the bias of %s is no int32", n.Label())
		}
	}
	for _, x := range in {
		want, err := ops.Evaluate(context.Background(), m, x)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ops.Evaluate(context.Background(), out, x)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want[0].Len() {
			if d := math.Abs(want[0].Float64At(i) - got[0].Float64At(i)); d > 0.0101 {
				t.Errorf("output %d is off by %v, more than a step", i, d)
			}
		}
	}
}
