package canvas

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"

	"fettle/app"
	"fettle/model"
	"fettle/optimizer"
	"fettle/profiler"
	"fettle/views/kit"
	"fettle/views/kit/graph"
)

func titles(rows []row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, strings.Repeat(".", r.depth)+r.title)
	}
	return out
}

func (d *drawing) item(t *testing.T, title string) int32 {
	t.Helper()
	for i := range d.items {
		if d.items[i].Name == title {
			return int32(i)
		}
	}
	t.Fatalf("no item %q", title)
	return -1
}

func TestRewrittenMarks(t *testing.T) {
	d := drawRewritten(rewrittenDoc(t))
	for _, c := range []struct {
		name string
		want graph.Diff
	}{{"conv1", graph.Changed}, {"relu1", graph.Same}, {"keep", graph.Removed}, {"conv2", graph.Same}, {"add", graph.Same}, {"cast", graph.Added}} {
		if it := d.items[d.item(t, c.name)]; it.Diff != c.want {
			t.Errorf("%s: mark %v, want %v", c.name, it.Diff, c.want)
		}
	}
	if s := d.items[d.item(t, "conv1")].Sub; s != "Conv + BN" {
		t.Errorf("the changed layer reads %q", s)
	}
	// the ghost hangs between the heirs of its neighbours
	ghost := d.item(t, "keep")
	var in, out bool
	for _, w := range d.tree.Wires {
		in = in || w == graph.Wire{From: d.item(t, "relu1"), To: ghost}
		out = out || w == graph.Wire{From: ghost, To: d.item(t, "conv2")}
	}
	if !in || !out {
		t.Errorf("the ghost is joined in %v, out %v", in, out)
	}
}

func TestPrunedWeightsAreAChange(t *testing.T) {
	doc := rewrittenDoc(t)
	doc.Model = doc.Base
	w := model.NewTensor(model.Float32, 4, 4, 3, 3)
	m, err := doc.Base.Apply(&model.Patch{Inits: []*model.Init{{Name: "w1", Tensor: w}}})
	if err != nil {
		t.Fatal(err)
	}
	doc.Model = m
	d := drawRewritten(doc)
	if got := d.items[d.item(t, "conv1")].Diff; got != graph.Changed {
		t.Errorf("conv1 with other weights: %v", got)
	}
	if got := d.items[d.item(t, "conv2")].Diff; got != graph.Same {
		t.Errorf("conv2: %v", got)
	}
}

// run is a profile of chain: the first convolution with its BatchNormalization and Relu as one step, then the others.
func chainRun() *app.Run {
	floor := 5e5
	p := &profiler.Profile{Layers: []profiler.Layer{
		{ID: "0", Name: "conv1", Op: "Conv", Origin: []string{"conv1", "bn1", "relu1"}, P50Ns: 2e6, Interval: [2]float64{1.9e6, 2.1e6}, FloorNs: &floor, DType: "float32", MACs: 9216},
		{ID: "1", Name: "reorder", Op: "Reorder", P50Ns: 1e5},
		{ID: "2", Name: "conv2", Op: "Conv", Origin: []string{"conv2"}, P50Ns: 1e6, MACs: 9216},
		{ID: "3", Name: "add", Op: "Add", Origin: []string{"add"}, P50Ns: 3e5},
	}}
	return &app.Run{ID: "r", Profile: p}
}

// of makes it a run of the document's model.
func of(r *app.Run, doc *app.Doc) *app.Run {
	r.Hash, r.SHA256 = doc.Model.Hash(), doc.SHA256
	return r
}

func TestTimesJoinByOrigin(t *testing.T) {
	doc := rewrittenDoc(t)
	d := drawOriginal(doc)
	ns, within := d.times(chainRun().Profile)
	for _, c := range []struct {
		name, in string
		ns       float64
	}{{"conv1", "", 2e6}, {"bn1", "conv1", math.NaN()}, {"relu1", "conv1", math.NaN()}, {"keep", "", math.NaN()}, {"conv2", "", 1e6}, {"add", "", 3e5}, {"input", "", math.NaN()}} {
		i := d.item(t, c.name)
		if ns[i] != c.ns && !(math.IsNaN(ns[i]) && math.IsNaN(c.ns)) {
			t.Errorf("%s: %v ns, want %v", c.name, ns[i], c.ns)
		}
		in := ""
		if within[i] >= 0 {
			in = d.items[within[i]].Name
		}
		if in != c.in {
			t.Errorf("%s: measured in %q, want %q", c.name, in, c.in)
		}
	}
}

func TestExecutedFollowsOrigins(t *testing.T) {
	d := drawExecuted(rewrittenDoc(t), chainRun().Profile)
	var got []string
	for _, w := range d.tree.Wires {
		got = append(got, d.items[w.From].Name+">"+d.items[w.To].Name)
	}
	// keep has no step: conv2 reads what keep read
	want := []string{"input>conv1", "conv1>reorder", "conv1>conv2", "conv1>add", "conv2>add", "add>add_out"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("wires %v\nwant  %v", got, want)
	}
}

// A quantized step lists the nodes around it; its time, its name and its wires are its own all the same.
func TestNeighboursInOrigins(t *testing.T) {
	doc := rewrittenDoc(t)
	p := &profiler.Profile{Layers: []profiler.Layer{
		{ID: "0", Name: "conv1", Op: "Conv", Origin: []string{"bn1", "conv1", "relu1"}, P50Ns: 1e6, DType: "int8"},
		{ID: "1", Name: "conv2", Op: "Conv", Origin: []string{"bn1", "conv1", "conv2", "relu1"}, P50Ns: 3e6, DType: "int8"},
		{ID: "2", Name: "add", Op: "Add", Origin: []string{"add", "conv2", "relu1"}, P50Ns: 1e5, DType: "int8"},
	}}
	d := drawOriginal(doc)
	ns, _ := d.times(p)
	if a, b := ns[d.item(t, "conv1")], ns[d.item(t, "conv2")]; a != 1e6 || b != 3e6 {
		t.Errorf("conv1 %v ns, conv2 %v ns", a, b)
	}
	e := drawExecuted(doc, p)
	var got []string
	for _, w := range e.tree.Wires {
		got = append(got, e.items[w.From].Name+">"+e.items[w.To].Name)
	}
	if want := []string{"input>conv1", "conv1>conv2", "conv1>add", "conv2>add", "add>add_out"}; !reflect.DeepEqual(got, want) {
		t.Errorf("wires %v\nwant  %v", got, want)
	}
	if s := e.items[e.item(t, "conv2")].Sub; s != "Conv 3×3 · 4→4 · BN ReLU" {
		t.Errorf("conv2 reads %q", s)
	}
}

func TestTreeRows(t *testing.T) {
	doc := openDoc(t, "resnet20")
	d := drawOriginal(doc)
	u := &kit.UI{}
	r := d.read(u, byWork, nil)
	closed := treeRows(d.tree, r, nil, nil, nil)
	if got := titles(closed); !reflect.DeepEqual(got, []string{"input", "conv", "bn", "relu", "layer1", "layer2", "layer3", "avgpool", "flatten", "fc", "fc_out"}) {
		t.Errorf("closed: %v", got)
	}
	if got := closed[4]; !got.group || got.value == "–" || got.share <= 0 {
		t.Errorf("the group has no sum: %+v", got)
	}
	opened := treeRows(d.tree, r, map[string]bool{"/layer2": true, "/layer2/0": true}, map[int32]bool{d.item(t, "layer2.0.conv"): true}, nil)
	got := strings.Join(titles(opened), " ")
	if !strings.Contains(got, "layer2 .layer2.0 ..conv ..bn") || strings.Contains(got, ".layer1.0") {
		t.Errorf("open: %s", got)
	}
	for _, w := range opened {
		if w.sel != (w.title == "conv" && w.depth == 2) {
			t.Errorf("row %q at %d: selected %v", w.title, w.depth, w.sel)
		}
	}
	found := treeRows(d.tree, r, nil, nil, d.matcher("layer3 3X3 16"))
	if len(found) != 0 {
		t.Errorf("found %v", titles(found))
	}
	found = treeRows(d.tree, r, nil, nil, d.matcher("layer3.1 3x3"))
	if got := titles(found); !reflect.DeepEqual(got, []string{"layer3", ".layer3.1", "..conv", "..conv2"}) {
		t.Errorf("filtered: %v", got)
	}
}

// A column in ms would be zeros for a network of microseconds.
func TestSmallTimesAreMicroseconds(t *testing.T) {
	doc := rewrittenDoc(t)
	run := chainRun()
	for _, c := range []struct {
		scale float64
		unit  string
		row   string
	}{{1, "ms", "2.00"}, {.01, "µs", "20.0"}} {
		r := *run.Profile
		r.Layers = append([]profiler.Layer(nil), r.Layers...)
		for i := range r.Layers {
			r.Layers[i].P50Ns *= c.scale
		}
		d := drawOriginal(doc)
		read := d.read(&kit.UI{}, byTime, &app.Run{Profile: &r})
		if s, _ := reading(read, graph.Ref(d.item(t, "conv1"))); read.Unit != c.unit || s != c.row {
			t.Errorf("scale %v: %q in %q", c.scale, s, read.Unit)
		}
	}
}

// Absent is not zero: without a run nothing has a time, and no bar.
func TestNotMeasured(t *testing.T) {
	d := drawOriginal(openDoc(t, "resnet20"))
	r := d.read(&kit.UI{}, byTime, nil)
	for _, w := range treeRows(d.tree, r, nil, nil, nil) {
		if w.value != "–" || w.share >= 0 {
			t.Errorf("%s: %q, bar %v", w.title, w.value, w.share)
		}
	}
	if !math.IsNaN(r.Total) {
		t.Errorf("sum %v", r.Total)
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		op   string
		want kind
	}{{"Conv", kindConv}, {"fettle:Conv", kindConv}, {"QLinearMatMul", kindMat}, {"ReduceMean", kindPool}, {"Cast", kindCast}, {"Flatten", kindShape}, {"MyOp", kindOther}} {
		if got := kindOf(c.op); got != c.want {
			t.Errorf("%s: %v, want %v", c.op, kindNames[got], kindNames[c.want])
		}
	}
}

func TestInspect(t *testing.T) {
	doc := rewrittenDoc(t)
	run := chainRun()
	d := drawOriginal(doc)
	s := d.inspect(doc, run, []int32{d.item(t, "conv1")}, "")
	if s.ns == nil || *s.ns != 2e6 || s.interval != [2]float64{1.9e6, 2.1e6} || s.floor == nil || *s.floor != 5e5 {
		t.Errorf("conv1: %+v", s)
	}
	if math.Abs(s.share-2e6/3.4e6) > 1e-9 || s.macs == nil || *s.macs != 9216 || s.weights == nil || *s.weights != 4*4*4*9 {
		t.Errorf("conv1: share %v, macs %v, weights %v", s.share, s.macs, s.weights)
	}
	if s := d.inspect(doc, run, []int32{d.item(t, "bn1")}, ""); s.ns != nil || s.within != "conv1" || s.floor != nil {
		t.Errorf("bn1 was measured with its convolution: %+v", s)
	}
	if s := d.inspect(doc, nil, []int32{d.item(t, "bn1")}, ""); s.ns != nil || s.within != "" {
		t.Errorf("without a run: %+v", s)
	}
	sum := d.inspect(doc, run, []int32{d.item(t, "conv1"), d.item(t, "bn1"), d.item(t, "conv2")}, "block")
	if sum.ns == nil || *sum.ns != 3e6 || sum.node != nil || len(sum.origins) != 3 {
		t.Errorf("sum: %+v", sum)
	}
}

func TestPorts(t *testing.T) {
	doc := rewrittenDoc(t)
	d := drawOriginal(doc)
	in, out := d.ports(doc.Base, doc.Base.Graph.Node("conv2"))
	want := []port{{"keep_out", "float32[1, 4, 8, 8]"}, {"w2", "float32[4, 4, 3, 3]"}}
	if !reflect.DeepEqual(in, want) || !reflect.DeepEqual(out, []port{{"conv2_out", "float32[1, 4, 8, 8]"}}) {
		t.Errorf("in %v, out %v", in, out)
	}
	if got := attributes(doc.Base.Graph.Node("conv2")); !reflect.DeepEqual(got, []pair{{"kernel_shape", "3, 3"}, {"pads", "1, 1, 1, 1"}}) {
		t.Errorf("attributes %v", got)
	}
}

func TestHistoryNamesTheStep(t *testing.T) {
	doc := rewrittenDoc(t)
	made := doc.Model.Graph.Nodes[0].ID
	doc.Steps = []app.StepResult{
		{Title: "Fold batch normalisation", Enabled: true, Proof: &optimizer.Proof{N: 4, MaxAbs: 1e-6, Within: true},
			Findings: []optimizer.Finding{{Outcome: optimizer.Applied, Made: []model.NodeID{made}, Reason: "scale moved into the weights"}}},
		{Title: "Remove what does nothing", Enabled: true, Findings: []optimizer.Finding{{Outcome: optimizer.Applied, Origin: []model.NodeID{"keep"}}}},
		{Title: "switched off", Findings: []optimizer.Finding{{Outcome: optimizer.Applied, Made: []model.NodeID{made}}}},
	}
	d := drawRewritten(doc)
	s := d.inspect(doc, nil, []int32{d.item(t, "conv1")}, "")
	if len(s.made) != 1 || s.made[0].step != "Fold batch normalisation" || s.made[0].reason == "" || s.made[0].proof == nil || s.made[0].proof.exact {
		t.Errorf("conv1 was made by %+v", s.made)
	}
	if s := d.inspect(doc, nil, []int32{d.item(t, "conv2")}, ""); len(s.made) != 0 {
		t.Errorf("conv2 was made by %+v", s.made)
	}
}

func TestDescribeTensor(t *testing.T) {
	v := []float32{0, 1, -1, 3, float32(math.Inf(1)), 0, float32(math.NaN()), 2}
	st, err := describeTensor(context.Background(), model.Float32s(v, 2, 4))
	if err != nil {
		t.Fatal(err)
	}
	mean := 5.0 / 6
	if st.n != 6 || st.bad != 2 || st.zeros != 2 || st.min != -1 || st.max != 3 || math.Abs(st.mean-mean) > 1e-12 {
		t.Errorf("%+v", st)
	}
	sum := 0.0
	for _, x := range []float64{0, 1, -1, 3, 0, 2} {
		sum += (x - mean) * (x - mean)
	}
	if math.Abs(st.std-math.Sqrt(sum/5)) > 1e-12 {
		t.Errorf("deviation %v, want %v", st.std, math.Sqrt(sum/5))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := describeTensor(ctx, model.NewTensor(model.Int8, 100)); err == nil {
		t.Error("a cancelled reading went on")
	}
}
