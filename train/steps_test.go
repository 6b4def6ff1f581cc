package train

import (
	"context"
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// lesson makes a pupil with a teacher of fixed answers, and a function that takes steps.
func lesson(t *testing.T, how How) (*Pupil, func(n int, l Lesson)) {
	t.Helper()
	p, err := NewPupil(resnet(t, 1, 4, 8), 2, how)
	if err != nil {
		t.Fatal(err)
	}
	items := pictures(16, 8)
	return p, func(n int, l Lesson) {
		for range n {
			_, err := p.Step(context.Background(), items, [][]int{{3, 8, 8}}, l, 3e-3, func(_ context.Context, _, i int) (Want, error) {
				w := Want{Output: make([]float32, 10), Label: i % 10}
				w.Output[i%10] = 3
				return w, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func hashOf(t *testing.T, p *Pupil) string {
	t.Helper()
	m, err := p.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m.Hash()
}

// TestStateResumes: a pupil that takes a state goes on to the same bits as the one that gave it.
func TestStateResumes(t *testing.T) {
	for _, c := range []struct {
		name string
		how  How
	}{{"adamw", How{Decay: 0.01}}, {"sgd", How{Optimizer: "sgd"}}, {"averaged and bounded", How{Average: 0.99, Clip: 1}}} {
		t.Run(c.name, func(t *testing.T) {
			p, steps := lesson(t, c.how)
			steps(3, Lesson{Temperature: 2})
			kept, err := p.State()
			if err != nil {
				t.Fatal(err)
			}
			early := hashOf(t, p)
			steps(4, Lesson{Temperature: 2})
			want := hashOf(t, p)
			other, more := lesson(t, c.how)
			if err := other.Restore(kept); err != nil {
				t.Fatal(err)
			}
			if hashOf(t, other) != early {
				t.Error("the restored weights are others")
			}
			if more(4, Lesson{Temperature: 2}); hashOf(t, other) != want {
				t.Error("the restored pupil went another way")
			}
			fresh, only := lesson(t, c.how)
			if only(4, Lesson{Temperature: 2}); hashOf(t, fresh) == want {
				t.Error("four steps alone give the same: the state says nothing")
			}
		})
	}
	p, _ := lesson(t, How{})
	sgd, _ := lesson(t, How{Optimizer: "sgd"})
	kept, _ := p.State()
	for _, b := range [][]byte{nil, kept[:len(kept)/2], []byte("no state")} {
		if err := p.Restore(b); !fail.Is(err, fail.Invalid) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	if err := sgd.Restore(kept); !fail.Is(err, fail.Invalid) {
		t.Errorf("the state of another optimizer: %v", err)
	}
}

// TestClip: the first step of SGD is the rate times gradients of the norm that is allowed.
func TestClip(t *testing.T) {
	moved := func(clip float64) float64 {
		p, steps := lesson(t, How{Optimizer: "sgd", Clip: clip})
		before, _ := lesson(t, How{})
		steps(1, Lesson{Temperature: 2})
		sum := 0.0
		for i, q := range p.tapes[0].params {
			for k, v := range q.v.v {
				d := float64(v) - float64(before.tapes[0].params[i].v.v[k])
				sum += d * d
			}
		}
		return math.Sqrt(sum) / 3e-3
	}
	free := moved(0)
	if free < 0.1 {
		t.Fatalf("the norm of the gradients is %g, too small for this test", free)
	}
	for _, share := range []float64{0.5, 0.1} {
		if got := moved(free * share); math.Abs(got-free*share) > 0.02*free*share {
			t.Errorf("norm %g, %g were allowed", got, free*share)
		}
	}
	if got := moved(free * 10); math.Abs(got-free) > 1e-6*free {
		t.Errorf("a bound above the norm changes it: %g, %g", got, free)
	}
}

// TestAverage holds averaged weights against the sum written out.
func TestAverage(t *testing.T) {
	p, steps := lesson(t, How{Average: 0.5})
	q := p.tapes[0].byName["s0.0.a.w"]
	want := float64(q.v.v[3])
	for n := 1; n <= 6; n++ {
		steps(1, Lesson{Temperature: 2})
		keep := math.Min(0.5, float64(1+n)/float64(10+n))
		want = keep*want + (1-keep)*float64(q.v.v[3])
	}
	m, err := p.Model()
	if err != nil {
		t.Fatal(err)
	}
	if got := model.Data[float32](m.Graph.Init("s0.0.a.w"))[3]; got != float32(want) || got == q.v.v[3] {
		t.Errorf("the average is %g, want %g; the weight itself is %g", got, want, q.v.v[3])
	}
}

// TestLabelGradient holds the loss with labels against central differences.
func TestLabelGradient(t *testing.T) {
	y := newArray[float64](2, 4)
	copy(y.v, []float64{0.3, -1, 2, 0.1, 1, 1.5, -0.5, 0})
	want := []float32{1, 0, -1, 2}
	loss := func(dy *array[float64], label int) float64 {
		part, err := divergence(y, dy, 1, want, 3, 2)
		if err != nil {
			t.Fatal(err)
		}
		if part, err = withLabel(y, dy, 1, label, part, 0.7, 2); err != nil {
			t.Fatal(err)
		}
		return part
	}
	for _, label := range []int{-1, 0, 3} {
		dy := newArray[float64](2, 4)
		loss(dy, label)
		for c := range 4 {
			const h = 1e-6
			y.v[4+c] += h
			up := loss(newArray[float64](2, 4), label)
			y.v[4+c] -= 2 * h
			down := loss(newArray[float64](2, 4), label)
			y.v[4+c] += h
			if d := (up - down) / (2 * h); math.Abs(d-dy.v[4+c]) > 1e-8 {
				t.Errorf("label %d, class %d: gradient %g, central difference %g", label, c, dy.v[4+c], d)
			}
		}
	}
	if _, err := withLabel(y, newArray[float64](2, 4), 1, 4, 0, 0.5, 2); !fail.Is(err, fail.Invalid) {
		t.Errorf("a label beyond the classes: %v", err)
	}
}
