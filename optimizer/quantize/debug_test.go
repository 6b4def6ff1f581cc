package quantize

import (
	"context"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

func TestDebugFindsWhatIsBroken(t *testing.T) {
	ctx := context.Background()
	m := parse(t, net)
	quant, _ := apply(t, m, map[string]any{"correct_bias": false})
	in, _ := optimizer.RandomInputs(m, 8, 9)
	env := &optimizer.Env{Data: items(in)}
	good, err := Debug(ctx, env, m, quant, 8, 20)
	if err != nil {
		t.Fatal(err)
	}
	if good.First != nil || good.Items != 8 || len(good.Weights) != 3 || len(good.Values) < 8 {
		t.Fatalf("%+v", good)
	}
	for _, w := range good.Weights {
		if w.SQNR < 35 || w.Cosine < 0.9999 {
			t.Errorf("weight %+v", w)
		}
	}
	// One weight negated, one scale of values eight times too small.
	for name, damage := range map[string]func(*model.Tensor){
		"w2_q": func(x *model.Tensor) {
			for i := range x.Raw {
				x.Raw[i] = byte(-int8(x.Raw[i]))
			}
		},
		"b_scale": func(x *model.Tensor) { model.Data[float32](x)[0] /= 8 },
	} {
		found := false
		e := &edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}
		if x := quant.Graph.Init(name); x != nil {
			c := x.Clone()
			damage(c)
			e.inits[name], found = c, true
		}
		if !found {
			t.Fatalf("no %s", name)
		}
		broken := e.apply(quant)
		d, err := Debug(ctx, env, m, broken, 8, 10)
		if err != nil {
			t.Fatal(err)
		}
		if d.First == nil {
			t.Fatalf("%s: nothing found: %+v", name, d.Values)
		}
		switch name {
		case "w2_q":
			if d.First.Float != "c" || d.Weights[0].Float != "w2" || d.Weights[0].Cosine > -0.99 {
				t.Errorf("first %+v, worst weight %+v", d.First, d.Weights[0])
			}
		case "b_scale":
			most := 0.0
			which := ""
			for _, v := range d.Values {
				if v.Saturated != nil && *v.Saturated > most {
					most, which = *v.Saturated, v.Float
				}
			}
			if which != "b" || most < 0.2 {
				t.Errorf("%v of %q is beyond the ends", most, which)
			}
		}
	}
	if _, err := Debug(ctx, &optimizer.Env{}, m, quant, 8, 10); !fail.Is(err, fail.Usage) {
		t.Errorf("no data: %v", err)
	}
	other := parse(t, `g (float[1, 2] x) => (float[1, 2] y) { [n] y = Tanh (x) }`)
	if _, err := Debug(ctx, env, other, quant, 8, 10); !fail.Is(err, fail.Invalid) {
		t.Errorf("another model: %v", err)
	}
}
