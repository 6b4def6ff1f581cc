package quantize

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"fettle/model"
	"fettle/optimizer"
)

// trained is a layer as training for integers exports it: weights and values are rounded in single operators.
const trained = `g (float[1, 3, 6, 6] x) => (float[1, 4, H, W] y)
<float[4, 3, 3, 3] w = random(1), float[4] b = random(2), float[4, 1, 1, 1] sw = {0.01, 0.02, 0.015, 0.03}, float[4, 1, 1, 1] rw = {100, 50, 66.666667, 33.333333},
 float sx = {0.03125}, float lo = {%v}, float hi = {%v}, float z = {%v}, float wlo = {%v}, float whi = {%v}>
{
  [xdiv] a = Div (x, sx)
%s
  [xmul] d = Mul (c, sx)
  [wdiv] e = %s
  [wround] f = Round (e)
  [wclip] h = Clip (f, wlo, whi)
  [wmul] i = Mul (h, sw)
  [conv] y = Conv (d, i, b)
}`

const (
	withZero    = "  [round] a1 = Round (a)\n  [add] a2 = Add (a1, z)\n  [clip] a3 = Clip (a2, lo, hi)\n  [sub] c = Sub (a3, z)"
	zeroBefore  = "  [add] a1 = Add (a, z)\n  [round] a2 = Round (a1)\n  [clip] a3 = Clip (a2, lo, hi)\n  [sub] c = Sub (a3, z)"
	withoutZero = "  [round] a1 = Round (a)\n  [clip] c = Clip (a1, lo, hi)"
	clipFirst   = "  [clip] a1 = Clip (a, lo, hi)\n  [round] c = Round (a1)"
)

func imported(t *testing.T, m *model.Model) (*model.Model, []optimizer.Finding) {
	t.Helper()
	out, found, err := NewImport().Apply(context.Background(), &optimizer.Env{}, m)
	if err != nil {
		t.Fatal(err)
	}
	return out, found
}

func TestImportQuantized(t *testing.T) {
	for _, c := range []struct {
		name        string
		lo, hi      float64
		z           float64
		wlo, whi    float64
		chain, wdiv string
		weights     model.DType
		clips       int
	}{
		{"uint8 with a zero", 0, 255, 120, -127, 127, withZero, "Div (w, sw)", model.Int8, 0},
		{"zero before rounding", 0, 255, 120, -127, 127, zeroBefore, "Div (w, sw)", model.Int8, 0},
		{"int8, symmetric", -128, 127, 0, -128, 127, withoutZero, "Div (w, sw)", model.Int8, 0},
		{"clip first", -128, 127, 0, -127, 127, clipFirst, "Div (w, sw)", model.Int8, 0},
		{"a product for the quotient", -128, 127, 0, -127, 127, withoutZero, "Mul (w, rw)", model.Int8, 0},
		{"narrow range of values", -60, 60, 0, -127, 127, withoutZero, "Div (w, sw)", model.Int8, 1},
		{"weights of 4 bits", -128, 127, 0, -8, 7, withoutZero, "Div (w, sw)", model.Int4, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, fmt.Sprintf(trained, c.lo, c.hi, c.z, c.wlo, c.whi, c.chain, c.wdiv))
			out, found := imported(t, m)
			for _, f := range found {
				if f.Outcome != optimizer.Applied {
					t.Errorf("%+v", f)
				}
			}
			if count(out, "QuantizeLinear") != 1 || count(out, "DequantizeLinear") != 3 || count(out, "Round") != 0 || count(out, "Clip") != c.clips {
				t.Errorf("%d nodes: %+v", len(out.Graph.Nodes), found)
			}
			if w := out.Graph.Init("w_q"); w == nil || w.DType != c.weights {
				t.Errorf("weights: %v", w)
			}
			in, _ := optimizer.RandomInputs(m, 8, 3)
			p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, out, in, optimizer.Scored)
			if err != nil || p.MaxRel > 1e-3 {
				t.Errorf("another function: %+v %v", p, err)
			}
			// What is an integer layer already is not quantized twice.
			again, more := apply(t, out, nil)
			if count(again, "QuantizeLinear") != 1 || !strings.Contains(more[0].Reason, "integers already") {
				t.Errorf("%+v", more)
			}
			same, _ := imported(t, out)
			if same != out {
				t.Error("a second import changes the model")
			}
		})
	}
}

// TestImportNearMisses: what only looks like rounding stays.
func TestImportNearMisses(t *testing.T) {
	text := func(lo, hi, z float64, chain, wdiv string) string {
		return fmt.Sprintf(trained, lo, hi, z, -127.0, 127.0, chain, wdiv)
	}
	for _, c := range []struct{ name, model, why string }{
		{"16 bits", text(-32768, 32767, 0, withoutZero, "Div (w, sw)"), "not those of 8 bits"},
		{"a limit between two integers", text(-127.5, 127, 0, withoutZero, "Div (w, sw)"), "no whole number"},
		{"the zero is outside", text(0, 255, 300, withZero, "Div (w, sw)"), "outside of"},
		{"another scale behind", strings.Replace(text(-128, 127, 0, withoutZero, "Div (w, sw)"), "d = Mul (c, sx)", "d = Mul (c, hi)", 1), ""},
		{"no rounding", text(-128, 127, 0, "  [clip] c = Clip (a, lo, hi)", "Div (w, sw)"), ""},
		{"no limits", text(-128, 127, 0, "  [round] c = Round (a)", "Div (w, sw)"), ""},
		{"zero on one side", text(0, 255, 9, "  [round] a1 = Round (a)\n  [add] a2 = Add (a1, z)\n  [clip] c = Clip (a2, lo, hi)", "Div (w, sw)"), ""},
		{"read elsewhere", strings.Replace(strings.Replace(text(-128, 127, 0, withoutZero, "Div (w, sw)"), "[conv] y = Conv (d, i, b)", "[conv] y0 = Conv (d, i, b)\n k = Conv (a1, w)\n y = Add (y0, k)", 1), "xx", "", 1), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, found := imported(t, parse(t, c.model))
			if count(out, "QuantizeLinear") != 0 {
				t.Fatalf("%+v", found)
			}
			if c.why != "" && !strings.Contains(fmt.Sprint(found), c.why) {
				t.Errorf("%+v", found)
			}
		})
	}
	out, found := imported(t, parse(t, net))
	if found[0].Outcome != optimizer.Nothing || count(out, "QuantizeLinear") != 0 {
		t.Errorf("%+v", found)
	}
}
