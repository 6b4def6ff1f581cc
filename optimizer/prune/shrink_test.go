package prune

import (
	"context"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
	"fettle/train"
)

func shrunk(t *testing.T, m *model.Model, set func(*Shrink)) (*model.Model, []optimizer.Finding) {
	t.Helper()
	in, err := optimizer.RandomInputs(m, 72, 3)
	if err != nil {
		t.Fatal(err)
	}
	p := NewShrink().(*shrink)
	p.o.Batch, p.o.Epochs, p.o.Minutes = 16, 10, 100
	set(&p.o)
	out, found, err := p.Apply(context.Background(), &optimizer.Env{Data: items(in), Seed: 1}, m)
	if err != nil {
		t.Fatal(err)
	}
	return out, found
}

func inner(m *model.Model) (n int) {
	for _, id := range []string{"a0.w", "a1.w"} {
		n += m.Graph.Init(id).Shape[0]
	}
	return n
}

// TestShrink: more strength leaves fewer channels, none leaves all, and the models run.
func TestShrink(t *testing.T) {
	m := chain(t, 2)
	last := 17
	for _, strength := range []float64{0, 2, 5, 40} {
		out, found := shrunk(t, m, func(o *Shrink) { o.Strength = strength })
		n := inner(out)
		t.Logf("strength %g: %d of 16 inner channels, %s", strength, n, found[len(found)-1].Reason)
		switch {
		case strength == 0 && n != 16:
			t.Errorf("%d channels are left without a pull", n)
		case strength == 40 && n != 2:
			t.Errorf("%d channels are left of two groups that are pulled beyond all measure", n)
		case n > last:
			t.Errorf("strength %g leaves %d channels, a weaker pull left %d", strength, n, last)
		}
		last = n
		x, _ := optimizer.RandomInputs(out, 1, 9)
		if _, err := ops.Evaluate(context.Background(), out, x[0]); err != nil {
			t.Fatal(err)
		}
		if strength == 5 && (n < 3 || n > 15) {
			t.Errorf("%d channels are left: the pull says nothing of which matter", n)
		}
	}
}

// TestShrinkTakesWhatNobodyNeeds: channels that are nearly zero become zero first, and others stay.
func TestShrinkTakesWhatNobodyNeeds(t *testing.T) {
	m := chain(t, 1)
	small := &model.Patch{}
	for name, inner := range map[string]int{"b0.w": 9, "a0.w": 72, "a.bn0.s": 1, "a.bn0.b": 1} {
		w := m.Graph.Init(name).Clone()
		for i := range w.Len() {
			if c := i / inner % 8; c == 2 || c == 5 {
				model.Data[float32](w)[i] *= 0.02
			}
		}
		small.Inits = append(small.Inits, &model.Init{Name: name, Tensor: w})
	}
	m, err := m.Apply(small)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSpace(m)
	if err != nil {
		t.Fatal(err)
	}
	of, _ := s.pulled(&optimizer.Env{}, false)
	if len(of) != 8 {
		t.Fatalf("%d channels are pulled", len(of))
	}
	p, err := train.NewPupil(m, 1, train.How{})
	if err != nil {
		t.Fatal(err)
	}
	var roots []int
	for a := range s.same {
		if of[a] != nil {
			roots = append(roots, a)
		}
	}
	shrinker, err := train.NewShrinker(p, s.lines(roots))
	if err != nil {
		t.Fatal(err)
	}
	zeros := 0
	for range 200 {
		if zeros = shrinker.Step(0.01); zeros >= 2 {
			break
		}
	}
	trained, err := p.Model()
	if err != nil {
		t.Fatal(err)
	}
	gone := s.zeros(trained, of)
	readers := lines(trained.Graph.Init("b0.w"), 1)
	for c, l := range readers {
		sum := float32(0)
		for _, x := range l {
			sum += x * x
		}
		if zero := sum == 0; zero != (c == 2 || c == 5) {
			t.Errorf("channel %d is zero: %v", c, zero)
		}
	}
	if len(gone) != 2 || zeros != 2 {
		t.Errorf("%d channels may go, %d are zero", len(gone), zeros)
	}
}

func TestShrinkRefuses(t *testing.T) {
	m := chain(t, 1)
	if _, _, err := NewShrink().Apply(context.Background(), &optimizer.Env{}, m); !fail.Is(err, fail.Usage) {
		t.Errorf("without data: %v", err)
	}
	in, _ := optimizer.RandomInputs(m, 24, 3)
	p := NewShrink().(*shrink)
	p.o.Labels = 0.5
	if _, _, err := p.Apply(context.Background(), &optimizer.Env{Data: items(in)}, m); !fail.Is(err, fail.Usage) {
		t.Errorf("labels of data without: %v", err)
	}
	p = NewShrink().(*shrink)
	if _, _, err := p.Apply(context.Background(), &optimizer.Env{Data: items(in[:5])}, m); !fail.Is(err, fail.Usage) {
		t.Errorf("five items: %v", err)
	}
	found, err := NewShrink().Check(&optimizer.Env{}, m)
	if err != nil || len(found) == 0 || !strings.Contains(found[len(found)-1].Reason+found[0].Reason, "sum") {
		t.Errorf("%v, %v", found, err)
	}
}
