package ops

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"fettle/model"
	"fettle/model/onnx"
)

// fed is a map as testdata/ort_maps.py takes it.
type fed struct {
	Key    string   `json:"key"`
	Value  string   `json:"value"`
	Keys   []string `json:"keys"`
	Values []string `json:"values"`
}

// given is a value as it gives it.
type given struct {
	Error string   `json:"error"`
	Kind  string   `json:"kind"`
	DType string   `json:"dtype"`
	Shape []int    `json:"shape"`
	Items []string `json:"items"`
	Parts []given  `json:"parts"`
}

// TestMapsAgainstONNXRuntime compares the operators on maps as TestAgainstONNXRuntime does the others, but through ONNX
// Runtime's C interface: the binding for node has no maps.
func TestMapsAgainstONNXRuntime(t *testing.T) {
	if testing.Short() {
		t.Skip("ONNX Runtime is not run with -short")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed: operators on maps are not compared with ONNX Runtime")
	}
	if out, err := exec.Command("../scripts/ort/install.sh").CombinedOutput(); err != nil {
		t.Skipf("onnxruntime-node cannot be installed: %s", out)
	}
	library, _ := filepath.Glob("../.cache/ort/node_modules/onnxruntime-node/bin/napi-v*/linux/" + map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH] + "/libonnxruntime.so.1")
	if len(library) == 0 {
		t.Skip("the package has no library for this computer")
	}
	dir := t.TempDir()
	var examples []*example
	var wants []*model.Tensor
	var feeds []*fed
	for _, op := range []string{"ZipMap", "DictVectorizer", "CastMap"} {
		def, err := Lookup(classic, op, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := &contest{def: def, name: classic + ":" + op}
		for range 2 * leastCompared {
			x, want := c.drawMaps()
			if x == nil {
				t.Fatalf("%s: %d draws and none that runs", op, c.tried)
			}
			feeds = append(feeds, storeMaps(t, dir, len(examples), x))
			examples, wants = append(examples, x), append(wants, want)
		}
	}
	b, err := json.Marshal(feeds)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "list.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("python3", "testdata/ort_maps.py", library[0], dir)
	run.Env = append(os.Environ(), "ORT_DISABLE_TELEMETRY=1")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(filepath.Join(dir, "results"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compared, refusal := map[string]int{}, map[string]string{}
	results := json.NewDecoder(f)
	for i, x := range examples {
		var got given
		if err := results.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Error != "" {
			refusal[x.node.Op] = got.Error
			continue
		}
		compared[x.node.Op]++
		if why := got.differs(wants[i]); why != "" {
			t.Errorf("%s\n%s", why, x)
		}
	}
	for _, op := range []string{"ZipMap", "DictVectorizer", "CastMap"} {
		if compared[op] < leastCompared {
			t.Errorf("%s: compared %d times, want %d; last refusal: %s", op, compared[op], leastCompared, refusal[op])
		}
	}
	t.Log("graphs compared: ", compared)
}

// drawMaps draws a graph that runs here.
func (c *contest) drawMaps() (*example, *model.Tensor) {
	for range 100 {
		x := (&draw{r: rand.New(rand.NewSource(int64(c.tried))), tame: true}).example(c.def)
		c.tried++
		if out, err := evaluated(x); err == nil && len(out) == 1 && x.inputs["x0_0"] != nil {
			return x, out[0]
		}
	}
	return nil, nil
}

// storeMaps writes example n: a tensor goes in as an initializer, a map is fed.
func storeMaps(t *testing.T, dir string, n int, x *example) *fed {
	t.Helper()
	in := x.inputs["x0_0"]
	g := &model.Graph{Name: "g", Nodes: x.m.Graph.Nodes}
	out := model.Value{Name: "y0_0"}
	var feed *fed
	if in.DType == model.Map {
		keys, values := in.Elems[0], in.Elems[1]
		feed = &fed{keys.DType.String(), values.DType.String(), written(keys), written(values)}
		g.Inputs = []model.Value{{Name: "x0_0", Type: model.TypeOf(in)}}
	} else {
		g.Inits = []*model.Init{{Name: "x0_0", Tensor: in}}
	}
	types, err := inferredTypes(t, x, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out.Type = types["y0_0"]; out.Type.Kind == model.KindTensor {
		out.Type = model.Type{DType: out.Type.DType}
	}
	g.Outputs = []model.Value{out}
	if err := onnx.WriteFile(filepath.Join(dir, strconv.Itoa(n)+".onnx"), x.m.WithGraph(g)); err != nil {
		t.Fatal(err)
	}
	return feed
}

// written are the elements of t as text.
func written(t *model.Tensor) []string {
	out := make([]string, t.Len())
	for i := range out {
		switch {
		case t.DType == model.String:
			out[i] = t.Strs[i]
		case t.DType.Float():
			out[i] = strconv.FormatFloat(t.Float64At(i), 'g', -1, 64)
		default:
			out[i] = strconv.FormatInt(t.Int64At(i), 10)
		}
	}
	return out
}

func (g *given) differs(want *model.Tensor) string {
	if want.DType.Composite() {
		if g.Kind != want.DType.String() || len(g.Parts) != len(want.Elems) {
			return fmt.Sprintf("a %s of %d, ONNX Runtime gives a %s of %d", want.DType, len(want.Elems), g.Kind, len(g.Parts))
		}
		for i := range g.Parts {
			if why := g.Parts[i].differs(want.Elems[i]); why != "" {
				return fmt.Sprintf("part %d: %s", i, why)
			}
		}
		return ""
	}
	if g.DType != want.DType.String() || fmt.Sprint(g.Shape) != fmt.Sprint(want.Shape) {
		return fmt.Sprintf("%s%v, ONNX Runtime gives %s%v", want.DType, want.Shape, g.DType, g.Shape)
	}
	for i, w := range written(want) {
		if want.DType.Float() {
			if v, err := strconv.ParseFloat(g.Items[i], 64); err != nil || v != want.Float64At(i) {
				return fmt.Sprintf("element %d is %s, ONNX Runtime gives %s", i, w, g.Items[i])
			}
		} else if g.Items[i] != w {
			return fmt.Sprintf("element %d is %q, ONNX Runtime gives %q", i, w, g.Items[i])
		}
	}
	return ""
}
