package canvas

import (
	"testing"

	"fettle/app"
	"fettle/model"
	"fettle/profiler"
	"fettle/profiler/trace"
	"fettle/sample"
)

// openDoc is a built-in network as the studio opens it.
func openDoc(t testing.TB, network string) *app.Doc {
	t.Helper()
	m, err := sample.Build(network)
	if err != nil {
		t.Fatal(err)
	}
	in, err := app.Describe(m)
	if err != nil {
		t.Fatal(err)
	}
	return &app.Doc{ID: 1, Name: network, Base: m, BaseInfo: in, Model: m, Info: in, SHA256: m.Hash()}
}

// measured is a run of the document's model, with times in proportion to the work. A convolution covers what follows it
// up to the next layer with weights, as an engine that fuses does.
func measured(doc *app.Doc) *app.Run {
	p := &profiler.Profile{Schema: 1, ID: "B-0412", Complete: true, Model: trace.Model{SHA256: doc.SHA256}, Plan: trace.Plan{Threads: 4}}
	g := doc.Base.Graph
	total := 0.0
	follows := map[string]int{} // value -> layer that makes it
	for i, n := range g.Nodes {
		in := doc.BaseInfo.Layers[i]
		if at, ok := follows[n.Inputs[0]]; ok && len(g.Users(n.Inputs[0])) == 1 && (n.Op == "BatchNormalization" || n.Op == "Relu" || n.Op == "Clip") {
			p.Layers[at].Origin = append(p.Layers[at].Origin, string(n.ID))
			follows[n.Outputs[0]] = at
			continue
		}
		ns := float64(in.MACs)/30 + float64(in.ActivationBytes)/4 + 2e4
		floor := ns * .57
		p.Layers = append(p.Layers, profiler.Layer{ID: in.ID, Name: in.Name, Op: n.Op, Origin: []string{string(n.ID)}, Kernel: "igemm 8×8", DType: "float32", Threads: 4,
			P50Ns: ns, Interval: [2]float64{ns * .988, ns * 1.011}, MACs: in.MACs, Bytes: in.WeightBytes + in.ActivationBytes, FloorNs: &floor, FloorWhy: "direct f32"})
		follows[n.Outputs[0]] = len(p.Layers) - 1
		total += ns
	}
	for i := range p.Layers {
		p.Layers[i].Share = p.Layers[i].P50Ns / total
	}
	p.UnattributedNs = total * .017
	total *= 1.017
	p.Clean = profiler.Clean{N: 120, Launches: 3, P50Ns: &total}
	p.Conditions.Seal = profiler.Green
	return &app.Run{ID: p.ID, Label: "B-0412", Target: "lab-pi4", Hash: doc.Model.Hash(), SHA256: doc.SHA256, Profile: p}
}

// state has a document open.
func state(doc *app.Doc, runs ...*app.Run) *app.State {
	return &app.State{Seq: 1, Screen: name, Doc: doc, Runs: runs}
}

// chain builds a small network by hand: input, conv, bn, relu, conv, add, output, without scopes.
func chain(t testing.TB) *model.Model {
	t.Helper()
	b := model.NewBuilder("chain", 17)
	shape := model.FixedShape(1, 4, 8, 8)
	x := b.Input("input", model.Float32, shape)
	weight := func(n string) string { return b.Const(n, model.NewTensor(model.Float32, 4, 4, 3, 3)) }
	vec := func(n string) string { return b.Const(n, model.NewTensor(model.Float32, 4)) }
	pads := model.IntsAttr("pads", 1, 1, 1, 1)
	kernel := model.IntsAttr("kernel_shape", 3, 3)
	c := b.Node("Conv", "conv1", []string{x, weight("w1")}, kernel, pads)
	n := b.Node("BatchNormalization", "bn1", []string{c, vec("s"), vec("b"), vec("m"), vec("v")})
	r := b.Node("Relu", "relu1", []string{n})
	i := b.Node("Identity", "keep", []string{r})
	c2 := b.Node("Conv", "conv2", []string{i, weight("w2")}, kernel, pads)
	y := b.Node("Add", "add", []string{c2, r})
	b.Output(y, model.Float32, shape)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// rewrittenDoc is chain with the BatchNormalization folded into the first convolution, the Identity removed and a new
// node before the end.
func rewrittenDoc(t testing.TB) *app.Doc {
	t.Helper()
	base := chain(t)
	g := base.Graph
	conv := *g.Node("conv1")
	conv.ID, conv.Outputs, conv.Origin = model.Derive("fold", "conv1", "bn1"), []string{"folded"}, model.MergeOrigins(g.Node("conv1"), g.Node("bn1"))
	out := g.Node("add").Outputs[0]
	cast := &model.Node{ID: "cast", Name: "cast", Op: "Cast", Inputs: []string{"sum"}, Outputs: []string{out}, Origin: []model.NodeID{"add"},
		Attrs: []model.Attr{model.IntAttr("to", 1)}}
	add := *g.Node("add")
	add.Outputs = []string{"sum"}
	m, err := base.Apply(&model.Patch{Drop: []model.NodeID{"conv1", "bn1"}, Add: []*model.Node{&conv}, Redirect: map[string]string{g.Node("bn1").Outputs[0]: "folded"}},
		&model.Patch{Drop: []model.NodeID{"keep"}, Redirect: map[string]string{g.Node("keep").Outputs[0]: g.Node("relu1").Outputs[0]}},
		&model.Patch{Drop: []model.NodeID{"add"}, Add: []*model.Node{&add, cast}})
	if err != nil {
		t.Fatal(err)
	}
	d := &app.Doc{ID: 1, Name: "chain", Base: base, Model: m, SHA256: m.Hash()}
	if d.BaseInfo, err = app.Describe(base); err != nil {
		t.Fatal(err)
	}
	if d.Info, err = app.Describe(m); err != nil {
		t.Fatal(err)
	}
	return d
}
