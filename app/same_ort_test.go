package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/ops"
	"fettle/optimizer"
)

// sharedModel finds a network beside the repository.
func sharedModel(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join("..", "..", "shared", "data", "models", name)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("%s is not at hand", name)
	}
	return file
}

// ortAll runs a model in ONNX Runtime through node and gives its outputs by name, item after item.
func ortAll(t *testing.T, m *model.Model, inputs []map[string]*model.Tensor) []map[string]*model.Tensor {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(onnx.WriteFile(filepath.Join(dir, "model.onnx"), m))
	type described struct {
		Name  string `json:"name,omitempty"`
		DType string `json:"dtype"`
		Shape []int  `json:"shape"`
		File  string `json:"file"`
	}
	var list []map[string]described
	for i, in := range inputs {
		row := map[string]described{}
		for name, x := range in {
			f := fmt.Sprintf("in-%d-%d", i, len(row))
			must(os.WriteFile(filepath.Join(dir, f), x.Raw, 0o600))
			row[name] = described{DType: x.DType.String(), Shape: x.Shape, File: f}
		}
		list = append(list, row)
	}
	b, err := json.Marshal(list)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "list.json"), b, 0o600))
	c := exec.Command("node", "../scripts/ort/run.js", filepath.Join(dir, "model.onnx"), dir, dir)
	modules, err := filepath.Abs("../.cache/ort/node_modules")
	must(err)
	c.Env = append(os.Environ(), "NODE_PATH="+modules, "ORT_DISABLE_TELEMETRY=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("ONNX Runtime: %v: %s", err, out)
	}
	b, err = os.ReadFile(filepath.Join(dir, "outputs.json"))
	must(err)
	var rows [][]described
	must(json.Unmarshal(b, &rows))
	var all []map[string]*model.Tensor
	for _, row := range rows {
		out := map[string]*model.Tensor{}
		for _, d := range row {
			raw, err := os.ReadFile(filepath.Join(dir, d.File))
			must(err)
			dt, err := model.ParseDType(d.DType)
			must(err)
			out[d.Name] = &model.Tensor{DType: dt, Shape: d.Shape, Raw: raw}
		}
		all = append(all, out)
	}
	return all
}

// withIntegers is m with every value of 8-bit integers as a further output.
func withIntegers(t *testing.T, m *model.Model) *model.Model {
	t.Helper()
	inf, _, err := ops.Infer(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := *m.Graph
	out := &model.Graph{Name: g.Name, Nodes: g.Nodes, Inputs: g.Inputs, Inits: g.Inits, Values: g.Values}
	out.Outputs = append(out.Outputs, g.Outputs...)
	for _, n := range g.Nodes {
		if n.Op == "QuantizeLinear" && g.Output(n.Outputs[0]) == nil {
			out.Outputs = append(out.Outputs, model.Value{Name: n.Outputs[0], Type: inf.Types[n.Outputs[0]]})
		}
	}
	return m.WithGraph(out)
}

// TestSameAsONNXRuntime: on trained networks every integer between the layers is the same in ONNX Runtime and in this engine, up to one
// step in all but one of a thousand elements.
func TestSameAsONNXRuntime(t *testing.T) {
	if testing.Short() {
		t.Skip("ONNX Runtime is not run with -short")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed: exported files are not run in ONNX Runtime")
	}
	if out, err := exec.Command("../scripts/ort/install.sh").CombinedOutput(); err != nil {
		t.Skipf("onnxruntime-node cannot be installed: %s", out)
	}
	a, err := Open(Options{Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, c := range []struct {
		name  string
		items int
	}{{"resnet20_cifar10.onnx", 6}, {"resnet56_cifar10.onnx", 4}, {"mlperf_tiny_vww_mobilenetv1_025_96.onnx", 4}, {"ultraface_rfb_320.onnx", 1}, {"squeezenet_v1_0_imagenet.onnx", 1}, {"super_resolution_espcn.onnx", 1}, {"mnist_cntk.onnx", 4}} {
		t.Run(c.name, func(t *testing.T) {
			base, err := a.Load(context.Background(), sharedModel(t, c.name))
			if err != nil {
				t.Fatal(err)
			}
			in, err := optimizer.RandomInputs(base, 8+c.items, 11)
			if err != nil {
				t.Skip(err)
			}
			r := a.StandardRecipe()
			// ONNX Runtime adds products in 16 bits where the processor has AVX2 and no VNNI, which full 8-bit weights overflow.
			r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: "quantize", Options: map[string]any{"reduce_range": !cpu.Detect().Has(cpu.AVX512VNNI), "samples": 8}})
			env := a.passEnv(nil)
			env.Data = tensors(in[:8])
			steps, err := optimizer.Run(context.Background(), base, &r, env)
			if err != nil {
				t.Fatal(err)
			}
			m := withIntegers(t, steps[len(steps)-1].Model)
			s, err := engineRunner{a}.Open(context.Background(), m)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			want := ortAll(t, m, in[8:])
			all, off, far := 0, 0, 0
			worst, worstAt := 0.0, ""
			for i, item := range in[8:] {
				got, err := s.Run(context.Background(), item)
				if err != nil {
					t.Fatal(err)
				}
				for k, o := range m.Graph.Outputs {
					x, y := got[k], want[i][o.Name]
					if y == nil || x.DType != y.DType || len(x.Raw) != len(y.Raw) {
						t.Fatalf("output %s: %v and %v", o.Name, x.Shape, y)
					}
					if x.DType != model.Uint8 {
						continue
					}
					here := 0
					for e := range x.Raw {
						d := int(x.Raw[e]) - int(y.Raw[e])
						if d != 0 {
							off++
						}
						if d > 1 || d < -1 {
							here++
						}
					}
					all += len(x.Raw)
					far += here
					if share := float64(here) / float64(len(x.Raw)); share > worst {
						worst, worstAt = share, o.Name
					}
				}
			}
			t.Logf("%d integers: %.4f %% differ, %.4f %% by more than one step; worst value %s %.3f %%", all, 100*float64(off)/float64(all), 100*float64(far)/float64(all), worstAt, 100*worst)
			if all == 0 || float64(far) > .001*float64(all) {
				t.Errorf("%d of %d integers differ by more than one step", far, all)
			}
		})
	}
}

// tensors are items in the form of data.
type tensors []map[string]*model.Tensor

func (d tensors) Len() int     { return len(d) }
func (d tensors) Hash() string { return "tensors" }
func (d tensors) Each(_ context.Context, limit int, visit func(int, map[string]*model.Tensor) error) error {
	for i, x := range d[:min(limit, len(d))] {
		if err := visit(i, x); err != nil {
			return err
		}
	}
	return nil
}
