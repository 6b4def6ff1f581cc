package app

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/model/tflite"
	"fettle/optimizer"
	"fettle/optimizer/catalog"
	"fettle/sample"
)

// peer runs a file in TensorFlow Lite with its XNNPACK delegate; the test is skipped where that cannot be had.
func peer(t *testing.T) func(t *testing.T, file []byte, input []byte) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("TensorFlow Lite is not run with -short")
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("gcc is not installed: exported files are not run in TensorFlow Lite")
	}
	if out, err := exec.Command("../scripts/tflite/install.sh").CombinedOutput(); err != nil {
		t.Skipf("TensorFlow Lite cannot be installed: %s", out)
	}
	return func(t *testing.T, file, input []byte) []byte {
		t.Helper()
		dir := t.TempDir()
		for name, b := range map[string][]byte{"net.tflite": file, "in": input} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		program, _ := filepath.Abs("../.cache/tflite/peer")
		c := exec.Command(program, "net.tflite", "1", "-run", "in", "out")
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("TensorFlow Lite: %v: %s", err, out)
		}
		b, err := os.ReadFile(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// compute runs m on our engine and gives its outputs in order.
func compute(t *testing.T, m *model.Model, in map[string]*model.Tensor) []*model.Tensor {
	t.Helper()
	p, err := engine.Compile(context.Background(), m, engine.Options{Threads: 1, Features: cpu.Detect()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// channelsLast is a picture as the files of TensorFlow Lite want it.
func channelsLast(x *model.Tensor) *model.Tensor {
	d := x.Shape
	out := model.NewTensor(x.DType, d[0], d[2], d[3], d[1])
	for c := range d[1] {
		for i := range d[2] * d[3] {
			out.SetFloat64(i*d[1]+c, x.Float64At(c*d[2]*d[3]+i))
		}
	}
	return out
}

func floats(t *testing.T, b []byte) []float32 {
	t.Helper()
	return model.Data[float32](&model.Tensor{DType: model.Float32, Shape: []int{len(b) / 4}, Raw: b})
}

// distance is the largest difference, and how many numbers differ by more than step.
func distance(a, b []float32, step float64) (diff float64, off int) {
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if diff = max(diff, d); d > step || d != d {
			off++
		}
	}
	return diff, off
}

type oneInput []map[string]*model.Tensor

func (c oneInput) Len() int     { return len(c) }
func (c oneInput) Hash() string { return "random" }
func (c oneInput) Each(_ context.Context, limit int, visit func(int, map[string]*model.Tensor) error) error {
	for i, x := range c[:min(limit, len(c))] {
		if err := visit(i, x); err != nil {
			return err
		}
	}
	return nil
}

func derived(t *testing.T, m *model.Model, data optimizer.Data, steps ...optimizer.RecipeStep) *model.Model {
	t.Helper()
	a, err := Open(Options{Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	l, err := optimizer.Run(context.Background(), m, &optimizer.Recipe{Schema: 1, Seed: 1, Steps: steps}, optimizer.Env{Passes: catalog.Passes(), Data: data, Runner: engineRunner{a}})
	if err != nil {
		t.Fatal(err)
	}
	return l[len(l)-1].Model
}

// TestTFLite: what is written computes in TensorFlow Lite, and read again in our engine, what the model computes.
func TestTFLite(t *testing.T) {
	run := peer(t)
	networks := []string{"resnet20", "mobilenetv2", "efficientnet-b0"}
	if os.Getenv("FETTLE_TFLITE") == "all" { // minutes on a busy machine
		networks = append(networks, "squeezenet11", "efficientnet-lite0", "resnet50", "resnet18", "mobilenetv1")
	}
	for _, name := range networks {
		m, err := sample.Build(name)
		if err != nil {
			t.Fatal(err)
		}
		in, err := optimizer.RandomInputs(m, 2, 5)
		if err != nil {
			t.Fatal(err)
		}
		quantized := func(activations string) *model.Model {
			return derived(t, m, oneInput(in), optimizer.RecipeStep{Pass: "fold-batchnorm"},
				optimizer.RecipeStep{Pass: "quantize", Options: map[string]any{"calibration": "minmax", "correct_bias": false, "activations": activations}})
		}
		kinds := map[string]*model.Model{"float32": m, "int8": quantized("uint8")}
		if name == "resnet20" || name == "efficientnet-b0" { // fused sums and clamps, fused SiLU
			kinds["standard"] = derived(t, m, nil, catalog.Standard().Steps...)
		}
		if name == "resnet20" {
			kinds["signed"], kinds["int16"] = quantized("int8"), quantized("int16")
		}
		for kind, m := range kinds {
			t.Run(name+"/"+kind, func(t *testing.T) { compare(t, run, name, kind, m, in[0]) })
		}
	}
}

func compare(t *testing.T, run func(*testing.T, []byte, []byte) []byte, name, kind string, m *model.Model, in map[string]*model.Tensor) {
	b, notes, err := encodeTFLite(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range notes {
		if strings.Contains(n, "transposed") {
			t.Errorf("a network of convolutions needs no transposition: %s", n)
		}
	}
	want := model.Data[float32](compute(t, m, in)[0])
	x := channelsLast(in["input"])
	got := floats(t, run(t, b, x.Raw))
	again, err := tflite.Read(b, tflite.DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	ours := model.Data[float32](compute(t, again, map[string]*model.Tensor{"input": x})[0])
	if len(got) != len(want) || len(ours) != len(want) {
		t.Fatalf("%d and %d outputs, want %d", len(got), len(ours), len(want))
	}
	step, most := 1e-4, 0
	switch kind {
	case "int16": // hundreds of steps of 65,535 together
		step = 1e-3
	case "int8", "signed":
		// One step of 255. Each layer is within it, but for one element in ten thousand within half of it; 53 layers of random weights make more out of
		// such an element, so that MobileNetV2's answers get two.
		lo, hi := min(slices.Min(want), 0), max(slices.Max(want), 0)
		step, most = float64(hi-lo)/255*1.01, len(want)/100
		if name == "mobilenetv2" {
			step *= 2
		}
	}
	diff, off := distance(want, got, step)
	back, backOff := distance(want, ours, min(step, 1))
	t.Logf("differs by at most %.2g in TensorFlow Lite, %.2g read again; a step is %.2g", diff, back, step)
	if off > most || backOff > most {
		t.Errorf("%d of %d outputs are more than %.3g off in TensorFlow Lite (%.3g at most), %d read again (%.3g at most)", off, len(want), step, diff, backOff, back)
	}
}
