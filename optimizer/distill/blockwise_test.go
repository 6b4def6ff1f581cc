package distill

import (
	"context"
	"slices"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

func TestWaists(t *testing.T) {
	m := network(t)
	var nodes []string
	for _, v := range optimizer.Waists(m, nil) {
		nodes = append(nodes, string(m.Graph.Producer(v).ID))
	}
	want := []string{"one", "one.bn", "relu1", "sum", "relu3", "pool", "flat", "fc"} // between relu1 and sum two values are needed
	if !slices.Equal(nodes, want) {
		t.Errorf("waists behind %v, want %v", nodes, want)
	}
}

// TestBlockwise: blocks by themselves repair one damaged layer; taught the answers to other items, they do not.
func TestBlockwise(t *testing.T) {
	base, m, env, rest := setup(t)
	before := apart(t, base, m, rest)
	run := func(control bool) (float64, optimizer.Finding) {
		out, found, err := options(func(o *Options) { o.Blocks, o.Epochs, o.Rate, o.Control = 15, 1, 0.03, control }).Apply(context.Background(), env, m)
		if err != nil {
			t.Fatal(err)
		}
		return apart(t, base, out, rest), found[0]
	}
	after, f := run(false)
	if !(after < 0.2*before) || !strings.Contains(f.Reason, "blocks side by side") {
		t.Errorf("squared distance %.3g before, %.3g after: %s", before, after, f.Reason)
	}
	wrong, f := run(true)
	if wrong < 3*after || !strings.Contains(f.Reason, "CONTROL") {
		t.Errorf("taught the answers to other items the distance is %.3g, taught right ones %.3g: %s", wrong, after, f.Reason)
	}
}

// TestDataFree: without data, inputs come from the statistics of normalisations; the answer says so, and models without any are refused.
func TestDataFree(t *testing.T) {
	base, _, _, rest := setup(t)
	m := damaged(t, base)
	before := apart(t, base, m, rest)
	set := func(o *Options) { o.Inputs, o.Samples, o.Epochs, o.Rate = "synthesised", 64, 20, 0.03 }
	out, found, err := options(set).Apply(context.Background(), &optimizer.Env{Base: base, Seed: 4}, m)
	if err != nil {
		t.Fatal(err)
	}
	if after := apart(t, base, out, rest); !(after < 0.95*before) || !strings.HasPrefix(found[0].Reason, "data-free: 64 inputs") {
		t.Errorf("squared distance %.3g before, %.3g after: %s", before, after, found[0].Reason)
	}
	twin, _, err := fold(base)
	if err != nil {
		t.Fatal(err)
	}
	hurt, err := twin.Apply(&model.Patch{Inits: []*model.Init{{Name: "fc.b", Tensor: model.NewTensor(model.Float32, 4)}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := options(set).Apply(context.Background(), &optimizer.Env{Base: twin, Seed: 4}, hurt); !fail.Is(err, fail.Unsupported) {
		t.Errorf("without normalisations: %v", err)
	}
}
