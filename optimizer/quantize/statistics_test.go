package quantize

import (
	"context"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

const normalised = `g (float[1, 3, 8, 8] x) => (float[1, 6, H, W] y)
<float[8, 3, 3, 3] w1 = random(1), float[8] s1 = random(2, 0.5, 1.5), float[8] b1 = random(3), float[8] m1 = random(4, -0.2, 0.2), float[8] v1 = random(5, 4, 9),
 float[6, 8, 3, 3] w2 = random(6), float[6] s2 = random(7, 0.5, 1.5), float[6] b2 = random(8), float[6] m2 = random(9, -0.2, 0.2), float[6] v2 = random(10, 9, 30)>
{
  [one] a = Conv (x, w1)
  [norm1] b = BatchNormalization (a, s1, b1, m1, v1)
  c = Relu (b)
  [two] d = Conv (c, w2)
  [norm2] e = BatchNormalization (d, s2, b2, m2, v2)
  y = Relu (e)
}`

func TestStatisticsFollowTheValues(t *testing.T) {
	ctx := context.Background()
	m := parse(t, normalised)
	in, _ := optimizer.RandomInputs(m, 48, 3)
	// A step that made weights smaller and moved them, as coarse rounding does.
	worse := func() *model.Model {
		ed := &edits{inits: map[string]*model.Tensor{}, nodes: map[model.NodeID]*model.Node{}}
		for _, w := range []string{"w1", "w2"} {
			ed.inits[w] = m.Graph.Init(w).Clone()
			for i, v := range model.Data[float32](ed.inits[w]) {
				model.Data[float32](ed.inits[w])[i] = 0.7*v + 0.01
			}
		}
		return ed.apply(m)
	}()
	env := &optimizer.Env{Data: items(in), Base: m}
	out, found, err := NewStatistics().Apply(ctx, env, worse)
	if err != nil {
		t.Fatal(err)
	}
	if last := found[len(found)-1]; len(found) != 3 || last.Outcome != optimizer.Applied || !strings.Contains(found[1].Reason, "means moved") {
		t.Fatalf("%+v", found)
	}
	fresh, _ := optimizer.RandomInputs(m, 16, 9)
	near := func(x *model.Model) float64 {
		var all [2][][]*model.Tensor
		for i, x := range []*model.Model{m, x} {
			if all[i], err = outputs(ctx, &optimizer.Env{}, x, fresh); err != nil {
				t.Fatal(err)
			}
		}
		return compare(all[0], all[1]).SQNR
	}
	if a, b := near(worse), near(out); b < a+6 {
		t.Errorf("%v dB before, %v after", a, b)
	}
	// What no step changed stays, and so does a model whose normalisations are folded.
	if same, found, err := NewStatistics().Apply(ctx, env, m); err != nil || same != m || found[0].Outcome != optimizer.Nothing {
		t.Errorf("%+v %v", found, err)
	}
	if same, found, err := NewStatistics().Apply(ctx, env, parse(t, net)); err != nil || found[0].Outcome != optimizer.Nothing || same == nil {
		t.Errorf("%+v %v", found, err)
	}
	if _, _, err := NewStatistics().Apply(ctx, &optimizer.Env{Base: m}, worse); !fail.Is(err, fail.Usage) {
		t.Errorf("no data: %v", err)
	}
}

// TestStatisticsRevert: statistics that come no closer are put back.
func TestStatisticsRevert(t *testing.T) {
	m := parse(t, normalised)
	in, _ := optimizer.RandomInputs(m, 16, 3)
	ed := &edits{inits: map[string]*model.Tensor{"b2": m.Graph.Init("b2").Clone()}, nodes: map[model.NodeID]*model.Node{}}
	model.Data[float32](ed.inits["b2"])[0] += 0.1 // nothing before a normalisation changed
	worse := ed.apply(m)
	out, found, err := NewStatistics().Apply(context.Background(), &optimizer.Env{Data: items(in), Base: m}, worse)
	if last := found[len(found)-1]; err != nil || out != worse || last.Outcome != optimizer.Refused || !strings.Contains(last.Reason, "reverted") {
		t.Errorf("%+v %v", found, err)
	}
}
