package distill

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// network is a small residual network with normalisations; gamma of its first channel is 0.
func network(t *testing.T) *model.Model {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	b := model.NewBuilder("net", 17)
	vector := func(name string, shift, spread float64, shape ...int) string {
		x := model.NewTensor(model.Float32, shape...)
		for i := range model.Data[float32](x) {
			model.Data[float32](x)[i] = float32(shift + spread*r.NormFloat64())
		}
		if strings.HasSuffix(name, ".gamma") {
			model.Data[float32](x)[0] = 0
		}
		return b.Const(name, x)
	}
	layer := func(name, x string, in, out int) string {
		y := b.Node("Conv", name, []string{x, vector(name+".w", 0, 0.4, out, in, 3, 3), vector(name+".b", 0, 0.1, out)}, model.IntsAttr("pads", 1, 1, 1, 1))
		v := model.NewTensor(model.Float32, out)
		for i := range model.Data[float32](v) {
			model.Data[float32](v)[i] = 0.5 + r.Float32()
		}
		return b.Node("BatchNormalization", name+".bn", []string{y, vector(name+".gamma", 1, 0.2, out), vector(name+".beta", 0, 0.2, out), vector(name+".mean", 0, 0.2, out), b.Const(name+".var", v)})
	}
	x := b.Input("x", model.Float32, model.Shape{model.Sym("n"), model.Fixed(2), model.Fixed(6), model.Fixed(6)})
	y := b.Node("Relu", "relu1", []string{layer("one", x, 2, 6)})
	z := b.Node("Relu", "relu2", []string{layer("two", y, 6, 6)})
	y = b.Node("Relu", "relu3", []string{b.Node("Add", "sum", []string{layer("three", z, 6, 6), y})})
	y = b.Node("Flatten", "flat", []string{b.Node("GlobalAveragePool", "pool", []string{y})})
	y = b.Node("Gemm", "fc", []string{y, vector("fc.w", 0, 1, 4, 6), vector("fc.b", 0, 0.2, 4)}, model.IntAttr("transB", 1))
	b.Output(y, model.Float32, model.Shape{model.Sym("n"), model.Fixed(4)})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// damaged is m with the weights of a layer scaled down.
func damaged(t *testing.T, m *model.Model) *model.Model {
	t.Helper()
	w := m.Graph.Init("two.w").Clone()
	for i := range model.Data[float32](w) {
		model.Data[float32](w)[i] *= 0.3
	}
	out, err := m.Apply(&model.Patch{Inits: []*model.Init{{Name: "two.w", Tensor: w}}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func evaluate(t *testing.T, m *model.Model, x map[string]*model.Tensor) []float32 {
	t.Helper()
	out, err := ops.Evaluate(context.Background(), m, x)
	if err != nil {
		t.Fatal(err)
	}
	return model.Data[float32](out[0])
}

// apart is the squared distance of two models over items.
func apart(t *testing.T, a, b *model.Model, in []map[string]*model.Tensor) float64 {
	t.Helper()
	sum := 0.0
	for _, x := range in {
		y := evaluate(t, b, x)
		for i, v := range evaluate(t, a, x) {
			sum += float64(v-y[i]) * float64(v-y[i])
		}
	}
	return sum
}

func TestFoldAndUnfold(t *testing.T) {
	m := network(t)
	in, err := optimizer.RandomInputs(m, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	twin, pairs, err := fold(m)
	if err != nil || len(pairs) != 3 {
		t.Fatalf("%d pairs, %v", len(pairs), err)
	}
	if d := apart(t, m, twin, in); d > 1e-8 {
		t.Errorf("the folded model is %g apart", d)
	}
	w := twin.Graph.Init("one.w").Clone() // trained: also the channel whose scale was 0
	for i := range model.Data[float32](w) {
		model.Data[float32](w)[i] += 0.1
	}
	trained, err := twin.Apply(&model.Patch{Inits: []*model.Init{{Name: "one.w", Tensor: w}}})
	if err != nil {
		t.Fatal(err)
	}
	back, err := unfold(m, trained, pairs)
	if err != nil {
		t.Fatal(err)
	}
	if d := apart(t, trained, back, in); d > 1e-8 {
		t.Errorf("the unfolded model is %g apart", d)
	}
	if len(back.Graph.Nodes) != len(m.Graph.Nodes) {
		t.Error("the unfolded model has other nodes")
	}
}

type items []map[string]*model.Tensor

func (d items) Len() int     { return len(d) }
func (d items) Hash() string { return "items" }
func (d items) Each(_ context.Context, limit int, visit func(int, map[string]*model.Tensor) error) error {
	for i, x := range d[:min(limit, len(d))] {
		if err := visit(i, x); err != nil {
			return err
		}
	}
	return nil
}

// liar gives what the teacher says of the opposite picture: a teacher of other items. It depends on the item alone, not on which
// worker asks in which order.
type liar struct{}

func (liar) Open(ctx context.Context, m *model.Model) (optimizer.Session, error) {
	s, err := optimizer.Reference{}.Open(ctx, m)
	if err == nil && len(m.Graph.Outputs) > 1 { // the teacher: it shows inner values too
		s = opposite{s}
	}
	return s, err
}

type opposite struct{ optimizer.Session }

func (o opposite) Run(ctx context.Context, in map[string]*model.Tensor) ([]*model.Tensor, error) {
	other := map[string]*model.Tensor{}
	for name, x := range in {
		x = x.Clone()
		for i := range model.Data[float32](x) {
			model.Data[float32](x)[i] *= -1
		}
		other[name] = x
	}
	return o.Session.Run(ctx, other)
}

func setup(t *testing.T) (base, m *model.Model, env *optimizer.Env, rest []map[string]*model.Tensor) {
	t.Helper()
	base = network(t)
	in, err := optimizer.RandomInputs(base, 140, 5)
	if err != nil {
		t.Fatal(err)
	}
	return base, damaged(t, base), &optimizer.Env{Base: base, Data: items(in[:120]), Seed: 4}, in[120:]
}

func options(set func(*Options)) *pass {
	p := New().(*pass)
	p.o.Epochs, p.o.Batch, p.o.Minutes, p.o.Rate = 12, 16, 10, 0.03
	if set != nil {
		set(&p.o)
	}
	return p
}

func TestDistillComesCloser(t *testing.T) {
	base, m, env, rest := setup(t)
	apply := func(env *optimizer.Env, set func(*Options)) (*model.Model, []optimizer.Finding) {
		out, found, err := options(set).Apply(context.Background(), env, m)
		if err != nil {
			t.Fatal(err)
		}
		return out, found
	}
	before := apart(t, base, m, rest)
	out, found := apply(env, nil)
	after := apart(t, base, out, rest)
	if !(after < 0.3*before) {
		t.Errorf("squared distance %.3g before, %.3g after", before, after)
	}
	if found[0].Outcome != optimizer.Applied || !strings.Contains(found[0].Reason, "held-out") || len(found[0].Nodes) != 4 {
		t.Errorf("the ledger says %s, %q of %d layers", found[0].Outcome, found[0].Reason, len(found[0].Nodes))
	}
	if again, _ := apply(env, nil); again.Hash() != out.Hash() {
		t.Error("the same seed gave other weights")
	}
	if other, _ := apply(env, func(o *Options) { o.Seed = 1 }); other.Hash() == out.Hash() {
		t.Error("another seed gave the same weights")
	}
	sgd, _ := apply(env, func(o *Options) { o.Optimizer, o.Rate, o.Features = "sgd", 5e-3, 0 })
	if d := apart(t, base, sgd, rest); !(d < 0.6*before) {
		t.Errorf("sgd, answers alone: squared distance %.3g before, %.3g after", before, d)
	}
	wrong := *env
	wrong.Runner = liar{}
	lied, _ := apply(&wrong, nil)
	if d := apart(t, base, lied, rest); d < 2*after {
		t.Errorf("with a teacher of other items the distance is %.3g, with the right one %.3g: the teacher is not used", d, after)
	}
	for _, n := range out.Graph.Nodes {
		if n.Op == "BatchNormalization" && out.Graph.Init(n.Inputs[3]).Float64At(0) != m.Graph.Init(n.Inputs[3]).Float64At(0) {
			t.Error("the statistics of a normalisation changed")
		}
	}
}

func TestDistillRefuses(t *testing.T) {
	base, m, env, _ := setup(t)
	out, found, err := options(nil).Apply(context.Background(), env, base)
	if err != nil || out != base || found[0].Outcome != optimizer.Refused {
		t.Errorf("the first model itself: %v, %v", found, err)
	}
	none := *env
	none.Data = nil
	if _, _, err := options(nil).Apply(context.Background(), &none, m); !fail.Is(err, fail.Usage) {
		t.Errorf("without data: %v", err)
	}
	few := *env
	few.Data = env.Data.(items)[:5]
	if _, _, err := options(nil).Apply(context.Background(), &few, m); !fail.Is(err, fail.Usage) {
		t.Errorf("with five items: %v", err)
	}
	out, found, err = options(func(o *Options) { o.Rate = 10; o.Optimizer = "sgd"; o.Epochs = 3 }).Apply(context.Background(), env, m)
	if err != nil || out != m || found[0].Outcome != optimizer.Refused {
		t.Errorf("a rate that diverges: %v, %v", found, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := options(nil).Apply(ctx, env, m); !fail.Is(err, fail.Cancelled) {
		t.Errorf("cancelled: %v", err)
	}
	b := model.NewBuilder("net", 17)
	y := b.Node("Floor", "odd", []string{b.Input("x", model.Float32, model.FixedShape(1, 4))})
	b.Output(y, model.Float32, model.FixedShape(1, 4))
	odd, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := options(nil).Apply(context.Background(), env, odd); !fail.Is(err, fail.Unsupported) || fail.From(err).Where.Op != "Floor" {
		t.Errorf("an operator without a gradient: %v", err)
	}
}

func TestStopsInTime(t *testing.T) {
	_, m, env, _ := setup(t)
	begin := time.Now()
	_, _, err := options(func(o *Options) { o.Epochs, o.Minutes = 10000, 0.01 }).Apply(context.Background(), env, m)
	if took := time.Since(begin); err != nil || took > 30*time.Second {
		t.Fatalf("0.6 seconds were allowed, it took %v (%v)", took, err)
	}
}

// TestJudgesAreSpread: folders come class by class, so the items that judge must not be the last ones.
func TestJudgesAreSpread(t *testing.T) {
	base, m, env, _ := setup(t)
	c, err := newCourse(context.Background(), &optimizer.Env{Base: base, Data: env.Data}, New().(*pass).o, m)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	data := env.Data.(items)
	quarter := map[int]bool{}
	for _, h := range c.held {
		for i, x := range data {
			if model.Data[float32](x["x"])[0] == h[0] {
				quarter[4*i/len(data)] = true
			}
		}
	}
	if len(c.held) != 12 || len(c.items) != 108 || len(quarter) != 4 {
		t.Errorf("%d judge, %d teach; the judges stand in %d of four quarters", len(c.held), len(c.items), len(quarter))
	}
}
