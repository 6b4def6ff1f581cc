package distill

import (
	"context"
	"strings"
	"testing"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
	"fettle/train"
)

// killer keeps states and cancels the course at one of them, as a kill would.
type killer struct {
	at, saves int
	states    map[string][]byte
	kill      context.CancelFunc
}

func (k *killer) Get(key string) ([]byte, bool) { b, ok := k.states[key]; return b, ok }
func (k *killer) Put(key string, b []byte) error {
	if b == nil {
		delete(k.states, key)
		return nil
	}
	if k.saves++; k.saves == k.at {
		k.kill()
	}
	k.states[key] = b
	return nil
}

// TestKilledCourseGoesOn: a course that is killed after any step and started again ends with the bits of one that was not.
func TestKilledCourseGoesOn(t *testing.T) {
	_, m, env, _ := setup(t)
	o := options(func(o *Options) { o.Epochs, o.Average, o.Clip, o.Minutes = 4, 0.9, 5, 1000 }).o
	course := func(ctx context.Context, r optimizer.Keep, o Options) (*model.Model, string, error) {
		e := *env
		e.Keep = r
		c, err := newCourse(ctx, &e, o, m)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		c.keepEvery = 0
		return c.run(ctx)
	}
	whole, _, err := course(context.Background(), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{1, 7, 9} { // seven steps are a pass
		k := &killer{at: at, states: map[string][]byte{}}
		ctx, kill := context.WithCancel(context.Background())
		k.kill = kill
		if _, _, err := course(ctx, k, o); !fail.Is(err, fail.Cancelled) {
			t.Fatalf("killed at %d: %v", at, err)
		}
		if len(k.states) != 1 {
			t.Fatalf("%d states are left", len(k.states))
		}
		other := o
		other.Seed = 7
		if _, reason, err := course(context.Background(), &killer{states: k.states}, other); err != nil || strings.Contains(reason, "went on") {
			t.Errorf("a course with another seed: %q, %v", reason, err)
		}
		out, reason, err := course(context.Background(), k, o)
		if err != nil || out.Hash() != whole.Hash() || !strings.Contains(reason, "went on after step") {
			t.Errorf("killed at save %d: other bits, or from the start (%q, %v)", at, reason, err)
		}
		if len(k.states) != 0 {
			t.Error("the state is left behind")
		}
	}
	k := &killer{states: map[string][]byte{}}
	c, err := newCourse(context.Background(), &optimizer.Env{Base: env.Base, Data: env.Data, Seed: env.Seed}, o, m)
	if err != nil {
		t.Fatal(err)
	}
	k.states[c.key()] = []byte("rubbish")
	c.close()
	if out, reason, err := course(context.Background(), k, o); err != nil || out.Hash() != whole.Hash() || strings.Contains(reason, "went on") {
		t.Errorf("with a broken state: %q, %v", reason, err)
	}
}

// classed are items with right classes.
type classed struct {
	items
	of func(x map[string]*model.Tensor) int
}

func (classed) Labelled() bool { return true }
func (d classed) EachSample(ctx context.Context, limit int, visit func(dataset.Sample) error) error {
	return d.Each(ctx, limit, func(i int, in map[string]*model.Tensor) error {
		return visit(dataset.Sample{Index: i, Label: d.of(in), Inputs: in})
	})
}

// TestLabels: with labels of another rule than the teacher's, the pupil follows the labels as far as their share goes.
func TestLabels(t *testing.T) {
	base, m, env, rest := setup(t)
	largest := func(x map[string]*model.Tensor, m *model.Model) int {
		y := evaluate(t, m, x)
		best := 0
		for c, v := range y {
			if v > y[best] {
				best = c
			}
		}
		return best
	}
	classes := len(evaluate(t, base, rest[0]))
	swapped := classed{env.Data.(items), func(x map[string]*model.Tensor) int { return (largest(x, base) + 1) % classes }}
	follows := func(share float64) (right float64) {
		e := *env
		e.Data = swapped
		c, err := newCourse(context.Background(), &e, options(func(o *Options) { o.Labels, o.Features = share, 0 }).o, m)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if _, _, err := c.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		now, err := c.model() // the last weights: those nearest to the teacher are not the point here
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range swapped.items {
			if largest(x, now) == swapped.of(x) {
				right += 1 / float64(len(swapped.items))
			}
		}
		return right
	}
	if none, all := follows(0.001), follows(1); all < none+0.15 {
		t.Errorf("%.2f follow the labels with them alone, %.2f with the teacher alone", all, none)
	}
	_, _, err := options(func(o *Options) { o.Labels = 0.5 }).Apply(context.Background(), env, m)
	if !fail.Is(err, fail.Usage) {
		t.Errorf("labels of data without: %v", err)
	}
}

// TestSparsity: exactly the share asked for is zero in every layer, also behind normalisations, and answers stay nearer than when the same share is
// cut off at once; a kill on the way changes no bit.
func TestSparsity(t *testing.T) {
	base, _, env, rest := setup(t)
	o := options(func(o *Options) { o.Sparsity, o.Minutes, o.Epochs, o.Rate = 0.5, 1000, 12, 0.03 }).o
	course := func(ctx context.Context, keep optimizer.Keep) (*model.Model, error) {
		e := *env
		e.Keep = keep
		c, err := newCourse(ctx, &e, o, base)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		c.keepEvery = 0
		m, _, err := c.run(ctx)
		return m, err
	}
	out, err := course(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	hard, _, err := fold(base)
	if err != nil {
		t.Fatal(err)
	}
	p, err := train.NewPupil(hard, 1, train.How{})
	if err != nil {
		t.Fatal(err)
	}
	p.Thin(0.5)
	if hard, err = p.Model(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one.w", "two.w", "three.w", "fc.w"} {
		zeros, w := 0, out.Graph.Init(name)
		for _, v := range model.Data[float32](w) {
			if v == 0 {
				zeros++
			}
		}
		if zeros != w.Len()/2 {
			t.Errorf("%d of %d weights of %s are zero", zeros, w.Len(), name)
		}
	}
	if a, b := apart(t, base, hard, rest), apart(t, base, out, rest); !(b < 0.5*a) {
		t.Errorf("squared distance %.3g cut off at once, %.3g along the cube", a, b)
	}
	k := &killer{at: 17, states: map[string][]byte{}}
	ctx, kill := context.WithCancel(context.Background())
	k.kill = kill
	if _, err := course(ctx, k); !fail.Is(err, fail.Cancelled) {
		t.Fatal(err)
	}
	if again, err := course(context.Background(), k); err != nil || again.Hash() != out.Hash() {
		t.Errorf("killed on the way: other bits (%v)", err)
	}
}
