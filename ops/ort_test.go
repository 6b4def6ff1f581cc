package ops

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"fettle/model"
	"fettle/model/onnx"
)

// perOperator is how many random nodes of each operator ONNX Runtime runs too; FETTLE_ORT_NODES raises it.
const perOperator = 4

type described struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	File  string `json:"file"`
}

// TestAgainstONNXRuntime runs random nodes that the reference kernels take in ONNX Runtime. Where it runs them too, the
// results have to agree; what it refuses is counted.
func TestAgainstONNXRuntime(t *testing.T) {
	if testing.Short() {
		t.Skip("ONNX Runtime is not run with -short")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed: operators are not compared with ONNX Runtime")
	}
	if out, err := exec.Command("../scripts/ort/install.sh").CombinedOutput(); err != nil {
		t.Skipf("onnxruntime-node cannot be installed: %s", out)
	}
	dir := t.TempDir()
	var examples []*example
	var wants [][]*model.Tensor
	var feeds [][]described
	for _, def := range All() {
		if def.Exact == Random || def.Domain == fusedDomain {
			continue
		}
		for _, x := range comparable(def, nodesWanted()) {
			want, _ := evaluated(x)
			n := len(examples)
			feeds = append(feeds, store(t, dir, n, x, want))
			examples, wants = append(examples, x), append(wants, want)
		}
	}
	results := runAll(t, dir, feeds)
	ran, refused := map[string]int{}, map[string]string{}
	for i, r := range results {
		name := examples[i].node.Domain + ":" + examples[i].node.Op
		if r.Error != "" {
			refused[name] = r.Error
			continue
		}
		ran[name]++
		for k, o := range r.Outputs {
			if why := differs(wants[i][k], read(t, dir, o)); why != "" {
				t.Errorf("output %d: %s\n%s", k, why, examples[i])
			}
		}
	}
	var only []string
	for name, why := range refused {
		if ran[name] == 0 {
			only = append(only, name+": "+why)
		}
	}
	sort.Strings(only)
	t.Logf("%d nodes of %d operators; of %d operators ONNX Runtime took no node", len(examples), len(ran), len(only))
	for _, o := range only {
		t.Log(o[:min(len(o), 40)], "...", o[max(0, len(o)-160):])
	}
}

func nodesWanted() int {
	if n, err := strconv.Atoi(os.Getenv("FETTLE_ORT_NODES")); err == nil {
		return n
	}
	return perOperator
}

// comparable draws examples that run here and whose dtypes node can hold.
func comparable(def *Def, n int) []*example {
	h := fnv.New64a()
	h.Write([]byte("ort" + def.Domain + def.Name))
	var out []*example
	for i := 0; i < 30*n && len(out) < n; i++ {
		d := &draw{r: rand.New(rand.NewSource(int64(h.Sum64()) + int64(i))), tame: true}
		x := d.example(def)
		ok := x.node.Op != "Loop" && len(x.node.Outputs) > 0 && !otherwise(x)
		for _, v := range x.inputs {
			ok = ok && held(v)
		}
		if !ok {
			continue
		}
		res, err := evaluated(x)
		for _, v := range res {
			ok = ok && held(v)
		}
		if err == nil && ok {
			out = append(out, x)
		}
	}
	return out
}

// otherwise names what ONNX Runtime does in another way than the specification, or what has no defined result.
func otherwise(x *example) bool {
	first := x.inputs["x0_0"]
	switch x.node.Op {
	case "MaxUnpool": // indices count in the output shape instead of the inferred one
		return len(x.node.Inputs) > 2
	case "NonZero": // a scalar has one coordinate instead of none
		return first == nil || first.Rank() == 0
	case "BatchNormalization": // saved_var is the inverse deviation
		return x.m.Opset("") < 14 && len(x.node.Outputs) > 1
	case "HannWindow", "HammingWindow", "BlackmanWindow": // a symmetric window of one is 0/0
		return first == nil || first.Len() != 1 || first.Int64At(0) == 1
	case "Dropout": // draws, and old masks of zeros
		return len(x.node.Inputs) > 2 || x.m.Opset("") < 12
	case "RNN", "GRU", "LSTM": // a negative clip
		return x.node.Attr("clip") != nil && x.node.Float("clip", 0) <= 0
	case "Pad": // repeats more than once around read beyond the data
		return x.node.Str("mode", "") == "wrap"
	case "Pow": // integers to powers that are none
		return first == nil || first.DType.Integer()
	case "MatMul": // sums of nothing are not written
		return first == nil || first.Len() == 0
	case "Resize":
		switch x.node.Str("coordinate_transformation_mode", "") {
		case "align_corners": // lengths are rounded before they are used
			return true
		case "tf_crop_and_resize": // regions of pictures and channels do not count
			return true
		}
		return x.node.Int("antialias", 0) != 0 && (first == nil || first.DType.Integer()) // rounded after each axis
	case "Shrink": // lambd is cast to the integers' type
		return first == nil || first.DType.Integer()
	case "Mod": // fmod of integers goes through floats
		return x.node.Int("fmod", 0) != 0 && (first == nil || first.DType.Integer())
	case "ArgMin", "ArgMax", "ReduceMin", "ReduceMax", "ReduceMean": // empty inputs keep their shape, or have a mean
		return first == nil || first.Len() == 0
	case "SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss": // the sum of weights may be 0
		return len(x.node.Inputs) > 2
	case "QLinearSoftmax": // negative scales
		return true
	case "ReduceLogSum", "ReduceLogSumExp": // logarithms of integers
		return first == nil || !first.DType.Float()
	}
	return false
}

func held(t *model.Tensor) bool {
	switch t.DType {
	case model.Float32, model.Float64, model.Int8, model.Uint8, model.Int16, model.Uint16, model.Int32, model.Uint32, model.Int64, model.Uint64, model.Bool:
		return true
	}
	return false
}

func store(t *testing.T, dir string, n int, x *example, want []*model.Tensor) []described {
	t.Helper()
	g := &model.Graph{Name: "g", Nodes: x.m.Graph.Nodes}
	var row []described
	for _, v := range x.m.Graph.Inputs {
		in := x.inputs[v.Name]
		if !reads(x.node, v.Name) {
			continue
		}
		g.Inputs = append(g.Inputs, v)
		file := fmt.Sprintf("in-%d-%s", n, v.Name)
		if err := os.WriteFile(filepath.Join(dir, file), in.Raw, 0o644); err != nil {
			t.Fatal(err)
		}
		row = append(row, described{v.Name, in.DType.String(), append([]int{}, in.Shape...), file})
	}
	for i, o := range x.node.Outputs {
		g.Outputs = append(g.Outputs, model.Value{Name: o, Type: model.Type{DType: want[i].DType}})
	}
	if err := onnx.WriteFile(filepath.Join(dir, strconv.Itoa(n)+".onnx"), x.m.WithGraph(g)); err != nil {
		t.Fatal(err)
	}
	return row
}

func reads(n *model.Node, name string) bool {
	for _, r := range model.Reads(n) {
		if r == name {
			return true
		}
	}
	return false
}

type result struct {
	Error   string      `json:"error"`
	Outputs []described `json:"outputs"`
}

func runAll(t *testing.T, dir string, feeds [][]described) []result {
	t.Helper()
	b, err := json.Marshal(feeds)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "list.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	modules, _ := filepath.Abs("../.cache/ort/node_modules")
	var results []result
	for len(results) < len(feeds) {
		// A model that brings ONNX Runtime down ends its process; the next one begins behind it.
		c := exec.Command("node", "testdata/ort.js", dir, strconv.Itoa(len(results)))
		c.Env = append(os.Environ(), "NODE_PATH="+modules, "ORT_DISABLE_TELEMETRY=1")
		out, err := c.CombinedOutput()
		before := len(results)
		results = results[:0]
		if b, e := os.ReadFile(filepath.Join(dir, "results")); e == nil {
			for l := range strings.Lines(string(b)) {
				var r result
				if err := json.Unmarshal([]byte(l), &r); err != nil {
					t.Fatal(err)
				}
				results = append(results, r)
			}
		}
		if err == nil && len(results) < len(feeds) || len(results) < before {
			t.Fatalf("ONNX Runtime ran %d of %d models: %s", len(results), len(feeds), out)
		}
		if err != nil {
			line, _ := json.Marshal(result{Error: "the process ended: " + err.Error()})
			results = append(results, result{Error: "the process ended: " + err.Error()})
			appendTo(t, filepath.Join(dir, "results"), append(line, '\n'))
		}
	}
	return results
}

func appendTo(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir string, d described) *model.Tensor {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, d.File))
	if err != nil {
		t.Fatal(err)
	}
	dt, _ := model.ParseDType(d.DType)
	return &model.Tensor{DType: dt, Shape: d.Shape, Raw: raw}
}

// differs compares floats to a part in a thousand, and everything else exactly.
func differs(got, want *model.Tensor) string {
	if got.DType != want.DType || !sameDims(got.Shape, want.Shape) {
		return fmt.Sprintf("%s%v, ONNX Runtime gives %s%v", got.DType, got.Shape, want.DType, want.Shape)
	}
	for i := range want.Len() {
		if !want.DType.Float() {
			if a, b := got.Int64At(i), want.Int64At(i); a != b {
				return fmt.Sprintf("element %d is %d, ONNX Runtime gives %d", i, a, b)
			}
			continue
		}
		a, b := got.Float64At(i), want.Float64At(i)
		if a != b && !(math.IsNaN(a) && math.IsNaN(b)) && !(math.Abs(a-b) <= 1e-5+1e-3*math.Abs(b)) {
			return fmt.Sprintf("element %d is %g, ONNX Runtime gives %g", i, a, b)
		}
	}
	return ""
}
