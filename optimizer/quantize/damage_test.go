package quantize

import (
	"context"
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// TestDamages: the layer whose inputs hold one huge channel is the worst as int8, and fewer bits cost more in every layer.
func TestDamages(t *testing.T) {
	m := parse(t, fragile)
	in, _ := optimizer.RandomInputs(m, 60, 3)
	env := &optimizer.Env{Data: items(in)}
	d, err := Damages(context.Background(), env, m, []string{"int8", "int4", "int2"}, 40)
	if err != nil {
		t.Fatal(err)
	}
	if len(d) != 3 {
		t.Fatalf("%d layers", len(d))
	}
	for _, l := range d {
		if len(l.At) != 3 || l.Bytes != 64 || l.At[0].Bytes >= l.Bytes || l.At[1].Bytes >= l.At[0].Bytes {
			t.Errorf("%+v", l)
		}
		if l.At[2].Damage.Damage() < l.At[1].Damage.Damage() {
			t.Errorf("%s: int2 costs %v, int4 %v", l.Name, l.At[2].Damage, l.At[1].Damage)
		}
		if l.Name != "three" && l.At[0].Damage.Damage() >= d[2].At[0].Damage.Damage() {
			t.Errorf("%s costs %v as int8, three %v", l.Name, l.At[0].Damage, d[2].At[0].Damage)
		}
	}
	if _, err := Damages(context.Background(), &optimizer.Env{}, m, []string{"int8"}, 40); !fail.Is(err, fail.Usage) {
		t.Errorf("without data: %v", err)
	}
}

// TestJudge: a model agrees with itself, and a worse one is judged worse.
func TestJudge(t *testing.T) {
	m := parse(t, net)
	in, _ := optimizer.RandomInputs(m, 40, 3)
	env := &optimizer.Env{}
	j, err := NewJudge(context.Background(), env, m, items(in), 16)
	if err != nil || j.Items() != 16 {
		t.Fatalf("%v", err)
	}
	of := func(options map[string]any) Fidelity {
		out, _ := apply(t, m, options)
		f, err := j.Of(context.Background(), out)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	own, err := j.Of(context.Background(), m)
	if err != nil || own.Damage() != 0 || own.SQNR != 200 || own.Drop() != 0 {
		t.Errorf("itself: %+v %v", own, err)
	}
	if a, b := of(nil), of(map[string]any{"weights": "int2", "activations": "none"}); a.Damage() >= b.Damage() || a.Damage() <= 0 {
		t.Errorf("int8 %v, int2 %v", a, b)
	}
}

// TestOneProbability: a single number from 0 to 1 is an answer of two classes; one beyond is none.
func TestOneProbability(t *testing.T) {
	row := func(v float32) []*model.Tensor { return []*model.Tensor{model.Float32s([]float32{v}, 1, 1)} }
	f := compare([][]*model.Tensor{row(.9), row(.2)}, [][]*model.Tensor{row(.4), row(.2)})
	if f.Same != .5 || math.Abs(f.Moved-.25) > 1e-6 || !(f.KL > 0) || f.drop() != 50 {
		t.Errorf("%+v", f)
	}
	if f = compare([][]*model.Tensor{row(.9)}, [][]*model.Tensor{row(.8)}); math.Abs(f.drop()-10) > 1e-4 {
		t.Errorf("the same answer, moved by a tenth: %v %%", f.drop())
	}
	if f = compare([][]*model.Tensor{row(0)}, [][]*model.Tensor{row(1)}); f.KL-f.KL != 0 {
		t.Errorf("%+v", f)
	}
	if f = compare([][]*model.Tensor{row(7)}, [][]*model.Tensor{row(6)}); !math.IsNaN(f.KL) {
		t.Errorf("%+v", f)
	}
}
