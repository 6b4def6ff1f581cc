package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/model"
	"fettle/ops"
)

// TestIntegerSums runs products of bytes whose sums are the result, and what makes their inputs: the same bits as the reference kernels.
func TestIntegerSums(t *testing.T) {
	conv := func(x, w, y, attrs string) string {
		return "g (float" + x + " x) => (float" + y + " y)\n<int8" + w + " w = random(3, -127, 127)>\n{\n  q, s, z = DynamicQuantizeLinear (x)\n" +
			"  a = ConvInteger <" + attrs + "> (q, w, z)\n  y = Cast <to = 1> (a)\n}"
	}
	for _, c := range []struct{ name, kernel, graph string }{
		{"range and bytes", "f32_quantize_dynamic", "g (float[3, 70] x) => (uint8[3, 70] y, float s, uint8 z)\n{\n  y, s, z = DynamicQuantizeLinear (x)\n}"},
		{"range and bytes, large", "f32_quantize_dynamic", "g (float[3, 17000] x) => (uint8[3, 17000] y, float s, uint8 z)\n{\n  y, s, z = DynamicQuantizeLinear (x)\n}"},
		{"conv 3x3", "windows_", conv("[2, 5, 9, 7]", "[20, 5, 3, 3]", "[2, 20, 9, 7]", "pads = [1, 1, 1, 1]")},
		{"conv with strides and dilations", "windows_", conv("[1, 3, 17, 15]", "[24, 3, 3, 3]", "[1, 24, 8, 7]", "pads = [1, 1, 1, 1], strides = [2, 2], dilations = [2, 2]")},
		{"conv of a line", "windows_", conv("[1, 12, 130]", "[16, 12, 5]", "[1, 16, 130]", "pads = [2, 2]")},
		{"conv 1x1, windows in parts", "windows_", conv("[1, 300, 70, 70]", "[8, 300, 1, 1]", "[1, 8, 70, 70]", "")},
		{"depthwise", "qu8s8_group", conv("[1, 6, 9, 9]", "[6, 1, 3, 3]", "[1, 6, 5, 5]", "pads = [1, 1, 1, 1], strides = [2, 2], group = 6")},
		{"groups", "qu8s8_group", conv("[1, 6, 9, 9]", "[4, 3, 3, 3]", "[1, 4, 9, 9]", "pads = [1, 1, 1, 1], group = 2")},
		{"int32 sums, signed values, a known zero", "windows_", "g (int8[1, 5, 9, 7] x) => (int32[1, 20, 9, 7] y)\n<int8[20, 5, 3, 3] w = random(3, -128, 127), int8 z = {-7}>\n{\n  y = ConvInteger <pads = [1, 1, 1, 1]> (x, w, z)\n}"},
		{"uint8 weights around 128, no zero", "windows_", "g (uint8[1, 5, 9, 7] x) => (int32[1, 20, 7, 5] y)\n<uint8[20, 5, 3, 3] w = random(3, 0, 255), uint8 z = {0}, uint8 m = {128}>\n{\n  y = ConvInteger (x, w, z, m)\n}"},
		{"weights around another number", "reference", "g (uint8[1, 5, 9, 7] x) => (int32[1, 20, 7, 5] y)\n<uint8[20, 5, 3, 3] w = random(3, 0, 255), uint8 z = {0}, uint8 m = {120}>\n{\n  y = ConvInteger (x, w, z, m)\n}"},
		{"matmul", "qu8s8_gemm", "g (float[2, 3, 70] x) => (float[2, 3, 33] y)\n<int8[70, 33] w = random(3, -127, 127)>\n{\n  q, s, z = DynamicQuantizeLinear (x)\n  a = MatMulInteger (q, w, z)\n  y = Cast <to = 1> (a)\n}"},
		{"matmul, sums that two read", "qu8s8_gemm", "g (float[1, 70] x) => (float[1, 33] y, int32[1, 33] a)\n<int8[70, 33] w = random(3, -127, 127)>\n{\n  q, s, z = DynamicQuantizeLinear (x)\n  a = MatMulInteger (q, w, z)\n  y = Cast <to = 1> (a)\n}"},
		{"matmul of signed values", "qu8s8_gemm", "g (int8[4, 70] x) => (int32[4, 9] y)\n<int8[70, 9] w = random(3, -127, 127), int8 z = {5}>\n{\n  y = MatMulInteger (x, w, z)\n}"},
		{"matmul by a zero a row", "reference", "g (int8[2, 70] x) => (int32[2, 9] y)\n<int8[70, 9] w = random(3, -127, 127), int8[2] z = {5, 6}>\n{\n  y = MatMulInteger (x, w, z)\n}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, header+c.graph)
			in := inputs(t, m, 5)
			for i := range in["x"].Raw {
				if in["x"].DType != model.Float32 {
					in["x"].Raw[i] = byte(i * 37)
				}
			}
			want, err := ops.Evaluate(context.Background(), m, in)
			if err != nil {
				t.Fatalf("reference: %v", err)
			}
			for _, f := range levels(t) {
				for threads := 1; threads <= 3; threads++ {
					got, p := run(t, m, engine.Options{Threads: threads, Features: f, Verify: true}, in)
					if !equalBits(want, got) {
						t.Fatalf("%v, %d threads: other bits\n%s", f, threads, steps(p))
					}
					covered(t, p)
					found := false
					for _, s := range p.Steps {
						found = found || strings.HasPrefix(s.Kernel, c.kernel)
					}
					if !found {
						t.Fatalf("no kernel %q in\n%s", c.kernel, steps(p))
					}
				}
			}
		})
	}
}

// TestPackedWeights: products by weights of few bits run on the kernels of floats.
func TestPackedWeights(t *testing.T) {
	for _, c := range []struct{ name, kernel, graph string }{
		{"4 bits", "f32_gemm", "<uint8[33, 3, 16] w = random(3, 0, 255), float[99] s = random(4, 0.001, 0.02)>\n{\n  y = com.microsoft.MatMulNBits <K = 70, N = 33, bits = 4, block_size = 32> (x, w, s)\n}"},
		{"4 bits and zero points", "f32_gemm", "<uint8[33, 3, 16] w = random(3, 0, 255), float[99] s = random(4, 0.001, 0.02), uint8[66] z = random(5, 0, 255)>\n{\n  y = com.microsoft.MatMulNBits <K = 70, N = 33, bits = 4, block_size = 32> (x, w, s, z)\n}"},
		{"2 bits and a bias", "f32_gemm", "<uint8[33, 5, 4] w = random(3, 0, 255), float[165] s = random(4, 0.001, 0.02), uint8[66] z = random(5, 0, 255), float[33] b = random(6, -1, 1)>\n{\n  y = com.microsoft.MatMulNBits <K = 70, N = 33, bits = 2, block_size = 16> (x, w, s, z, , b)\n}"},
		{"8 bits", "f32_gemm", "<uint8[33, 5, 16] w = random(3, 0, 255), float[165] s = random(4, 0.001, 0.02)>\n{\n  y = com.microsoft.MatMulNBits <K = 70, N = 33, bits = 8, block_size = 16> (x, w, s)\n}"},
		{"float zero points", "reference", "<uint8[33, 3, 16] w = random(3, 0, 255), float[99] s = random(4, 0.001, 0.02), float[99] z = random(5, 7, 9)>\n{\n  y = com.microsoft.MatMulNBits <K = 70, N = 33, bits = 4, block_size = 32> (x, w, s, z)\n}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, rows := range []int{3, 130} { // few find floats, many unpack in each run
				m := parse(t, header+fmt.Sprintf("g (float[2, %d, 70] x) => (float[2, %d, 33] y)\n", rows, rows)+c.graph)
				in := inputs(t, m, 5)
				want, err := ops.Evaluate(context.Background(), m, in)
				if err != nil {
					t.Fatalf("reference: %v", err)
				}
				got, p := run(t, m, engine.Options{Threads: 2, Verify: true}, in)
				for i := range want[0].Len() {
					if d := want[0].Float64At(i) - got[0].Float64At(i); d > 1e-4 || d < -1e-4 {
						t.Fatalf("element %d: %v, not %v\n%s", i, got[0].Float64At(i), want[0].Float64At(i), steps(p))
					}
				}
				if !strings.HasPrefix(p.Steps[0].Kernel, c.kernel) {
					t.Errorf("no kernel %q in\n%s", c.kernel, steps(p))
				}
				if c.kernel == "f32_gemm" && (p.PackBytes == 0) != (rows == 130) {
					t.Errorf("%d rows: %d bytes of packed weights", rows, p.PackBytes)
				}
			}
		})
	}
}

// TestSteps16: 16-bit integers between float operators are floats on their steps, as one step of the plan, with the same bits.
func TestSteps16(t *testing.T) {
	for _, c := range []struct{ name, kernel, zero string }{
		{"int16", "f32_steps16", "int16 z = {0}"}, {"int16 around another number", "f32_steps16", "int16 z = {-700}"}, {"uint16", "f32_steps16", "uint16 z = {32000}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, header+"g (float[2, 20, 9, 7] x) => (float[2, 20, 9, 7] y)\n<float s = {0.00007}, "+c.zero+">\n{\n  q = QuantizeLinear (x, s, z)\n  y = DequantizeLinear (q, s, z)\n}")
			in := inputs(t, m, 5)
			v := model.Data[float32](in["x"])
			for i := range v {
				v[i] *= 1.5 // some lie outside
			}
			v[3], v[4] = 0.5*0.00007, -1.5*0.00007
			want, err := ops.Evaluate(context.Background(), m, in)
			if err != nil {
				t.Fatal(err)
			}
			got, p := run(t, m, engine.Options{Threads: 2, Verify: true}, in)
			if !equalBits(want, got) {
				t.Fatalf("other bits\n%s", steps(p))
			}
			covered(t, p)
			if p.Steps[0].Kernel != c.kernel || len(p.Steps) != 1 {
				t.Errorf("want one step %q\n%s", c.kernel, steps(p))
			}
		})
	}
}
