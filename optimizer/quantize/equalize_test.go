package quantize

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"fettle/model"
	"fettle/optimizer"
)

const chain = `g (float[1, 3, 8, 8] x) => (float[1, 5] y)
<float[8, 3, 3, 3] w1 = random(1, -0.5, 0.5), float[8] b1 = random(2), float[8, 1, 3, 3] w2 = random(3, -0.5, 0.5), float[8] b2 = random(4),
 float[6, 8, 1, 1] w3 = random(5, -0.5, 0.5), float[5, 96] w4 = random(6, -0.3, 0.3)>
{
  [one] a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
  b = Relu (a)
  [two] c = Conv <group = 8, pads = [1, 1, 1, 1]> (b, w2, b2)
  d = Relu (c)
  [three] e = Conv (d, w3)
  f = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (e)
  h = Flatten (f)
  [four] y = Gemm <transB = 1> (h, w4)
}`

// twisted multiplies channels by 2^k and divides what reads them, so that the function stays.
func twisted(t *testing.T) *model.Model {
	m := parse(t, chain)
	g := m.Graph
	w1, b1 := model.Data[float32](g.Init("w1")), model.Data[float32](g.Init("b1"))
	w2, b2 := model.Data[float32](g.Init("w2")), model.Data[float32](g.Init("b2"))
	w3 := model.Data[float32](g.Init("w3"))
	for c := range 8 {
		s := float32(math.Exp2(float64(c*5%13 - 6)))
		u := float32(math.Exp2(float64(c*7%13 - 6)))
		for i := range 27 {
			w1[c*27+i] *= s
		}
		b1[c] *= s
		for i := range 9 {
			w2[c*9+i] *= u / s
		}
		b2[c] *= u
		for o := range 6 {
			w3[o*8+c] /= u
		}
	}
	return m
}

func TestEqualizeRegainsAModelWhoseChannelsWereScaled(t *testing.T) {
	ctx := context.Background()
	plain, m := parse(t, chain), twisted(t)
	in, _ := optimizer.RandomInputs(m, 32, 3)
	if p, err := optimizer.Prove(ctx, optimizer.Reference{}, plain, m, in, optimizer.Rounding); err != nil || !p.Within {
		t.Fatalf("the scaled model is another function: %+v %v", p, err)
	}
	out, found, err := NewEqualize().Apply(ctx, &optimizer.Env{Data: items(in)}, m)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := optimizer.Prove(ctx, optimizer.Reference{}, m, out, in, optimizer.Rounding); err != nil || !p.Within {
		t.Errorf("not the same function: %+v %v", p, err)
	}
	if last := found[len(found)-2]; last.Outcome != optimizer.Applied || !strings.Contains(last.Reason, "held-out items") {
		t.Fatalf("%+v", found)
	}
	fresh, _ := optimizer.RandomInputs(m, 16, 9)
	e := map[string]float64{}
	for name, m := range map[string]*model.Model{"plain": plain, "scaled": m, "equalized": out} {
		q, _ := apply(t, m, nil)
		p, err := optimizer.Prove(ctx, optimizer.Reference{}, plain, q, fresh, optimizer.Scored)
		if err != nil {
			t.Fatal(err)
		}
		e[name] = p.MaxRel
	}
	if e["equalized"] > 1.5*e["plain"] || e["scaled"] < 3*e["plain"] {
		t.Errorf("errors as int8: %v", e)
	}
	// What is equal already is left alone.
	if again, found, err := NewEqualize().Apply(ctx, &optimizer.Env{Data: items(in)}, out); err != nil || again != out {
		t.Errorf("a second time: %v %+v", err, found)
	}
}

func TestEqualizeRefuses(t *testing.T) {
	for _, c := range []struct{ name, body, why string }{
		{"another function", "a = Conv (x, w)\n b = Sigmoid (a)\n y = Conv (b, v)", "Sigmoid follows"},
		{"two readers", "a = Conv (x, w)\n b = Conv (a, v)\n y = Add (a, b)", "2 nodes read"},
		{"shared weight", "a = Conv (x, w)\n y = Conv (a, w)", "read by more than one node"},
		{"clip", "a = Conv (x, w)\n b = Clip (a)\n y = Conv (b, v)", "Clip follows"},
	} {
		m := parse(t, "g (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y) <float[2, 2, 1, 1] w = random(1), float[2, 2, 1, 1] v = random(2)> {\n"+c.body+"\n}")
		out, found, err := NewEqualize().Apply(context.Background(), &optimizer.Env{}, m)
		if err != nil || out != m || !strings.Contains(found[0].Reason, c.why) {
			t.Errorf("%s: %v %+v", c.name, err, found)
		}
	}
}

const lifted = `g (float[1, 3, 6, 6] x) => (float[1, 4, H, W] y)
<float[6, 3, 1, 1] w1 = random(1, -0.2, 0.2), float[6] b1 = random(2, -0.1, 0.1), float[4, 6, 1, 1] w2 = random(3, -0.5, 0.5), float[4] b2 = random(4, -0.1, 0.1)>
{
  [one] a = Conv (x, w1, b1)
  b = Relu (a)
  [two] y = Conv %s (b, w2, b2)
}`

// TestEqualizeAbsorbsHighBiases: channels that lie far above zero waste most of their range.
func TestEqualizeAbsorbsHighBiases(t *testing.T) {
	ctx := context.Background()
	lift := func(attrs string) *model.Model {
		m := parse(t, fmt.Sprintf(lifted, attrs))
		for c, b := range model.Data[float32](m.Graph.Init("b1")) {
			model.Data[float32](m.Graph.Init("b1"))[c] = b + float32(3+c)
			for o := range 4 { // and the next layer takes it away again
				model.Data[float32](m.Graph.Init("b2"))[o] -= float32(3+c) * model.Data[float32](m.Graph.Init("w2"))[o*6+c]
			}
		}
		return m
	}
	m := lift("")
	in, _ := optimizer.RandomInputs(m, 32, 3)
	out, found, err := NewEqualize().Apply(ctx, &optimizer.Env{Data: items(in)}, m)
	if err != nil {
		t.Fatal(err)
	}
	if last := found[len(found)-1]; last.Label != "high biases" || last.Outcome != optimizer.Applied || !strings.Contains(last.Reason, "6 channels") {
		t.Fatalf("%+v", last)
	}
	fresh, _ := optimizer.RandomInputs(m, 32, 9)
	near := func(x *model.Model) float64 {
		var all [2][][]*model.Tensor
		for i, x := range []*model.Model{m, x} {
			if all[i], err = outputs(ctx, &optimizer.Env{}, x, fresh); err != nil {
				t.Fatal(err)
			}
		}
		return compare(all[0], all[1]).SQNR
	}
	if db := near(out); db < 30 {
		t.Errorf("another function: %v dB", db)
	}
	before, _ := apply(t, m, nil)
	after, _ := apply(t, out, nil)
	if a, b := near(before), near(after); b < a+6 {
		t.Errorf("as int8: %v dB before, %v after", a, b)
	}
	// Zeros beyond the border would lack the shift.
	_, found, err = NewEqualize().Apply(ctx, &optimizer.Env{Data: items(in)}, lift("<pads = [1, 1, 1, 1]>"))
	if last := found[len(found)-1]; err != nil || last.Outcome != optimizer.Nothing || !strings.Contains(last.Reason, "without padding") {
		t.Errorf("padded: %+v %v", last, err)
	}
}
