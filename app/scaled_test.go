package app

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"fettle/model"
	"fettle/model/onnx"
	"fettle/optimizer"
)

// someOf unpacks every nth picture of an archive beside the repository.
func someOf(t *testing.T, archive string, nth int) string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "shared", "data", "cifar10-jpeg", archive))
	if err != nil {
		t.Skipf("%s is not at hand", archive)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir, r := t.TempDir(), tar.NewReader(z)
	for n := 0; ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if n++; n%nth != 0 {
			continue
		}
		to := filepath.Join(dir, filepath.Base(filepath.Dir(h.Name)), filepath.Base(h.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// scaleChannels multiplies the channels between two convolutions by powers of two from 2^-6 to 2^6: the same function in floats.
func scaleChannels(m *model.Model, seed uint64) (pairs int) {
	r := rand.New(rand.NewPCG(seed, 1))
	g := m.Graph
	for _, n := range g.Nodes {
		if n.Op != "Conv" {
			continue
		}
		u := g.Users(n.Outputs[0])
		if len(u) == 1 && u[0].Op == "Relu" {
			u = g.Users(u[0].Outputs[0])
		}
		if len(u) != 1 || u[0].Op != "Conv" {
			continue
		}
		w1, w2 := g.Init(n.Inputs[1]), g.Init(u[0].Inputs[1])
		var b []float32
		if len(n.Inputs) > 2 {
			b = model.Data[float32](g.Init(n.Inputs[2]))
		}
		pairs++
		out, in := w1.Shape[0], w2.Shape[1]
		first, second := model.Data[float32](w1), model.Data[float32](w2)
		taps := w2.Shape[2] * w2.Shape[3]
		for c := range out {
			s := float32(math.Exp2(float64(r.IntN(13) - 6)))
			for i := range len(first) / out {
				first[c*len(first)/out+i] *= s
			}
			if b != nil {
				b[c] *= s
			}
			for o := range w2.Shape[0] {
				for i := range taps {
					second[(o*in+c)*taps+i] /= s
				}
			}
		}
	}
	return pairs
}

// TestScaledNetworkComesBack: a trained network whose channels were multiplied by 2^-6 to 2^6, which floats do not notice, is lost in 8 bits and
// comes back behind equalize. FETTLE_SCALED=FILE keeps the scaled network.
func TestScaledNetworkComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("-short was asked for: no trained network is quantized")
	}
	ctx := context.Background()
	train, test := someOf(t, "train-20000.tar.gz", 400), someOf(t, "test-5000.tar.gz", 50)
	a, err := Open(Options{Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	fold := optimizer.Recipe{Steps: []optimizer.RecipeStep{{Pass: "fold-batchnorm"}}}
	folded := func() *model.Model {
		base, err := a.Load(ctx, sharedModel(t, "resnet20_cifar10.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		steps, err := optimizer.Run(ctx, base, &fold, a.passEnv(nil))
		if err != nil {
			t.Fatal(err)
		}
		return steps[len(steps)-1].Model
	}
	plain, scaled := folded(), folded()
	if n := scaleChannels(scaled, 7); n < 9 {
		t.Fatalf("%d pairs of convolutions were scaled", n)
	}
	if file := os.Getenv("FETTLE_SCALED"); file != "" {
		if err := onnx.WriteFile(file, scaled); err != nil {
			t.Fatal(err)
		}
	}
	pre := filepath.Join(t.TempDir(), "pre.toml")
	block := "size = [32, 32]\nresize = \"none\"\ncrop = \"none\"\ncolour = \"rgb\"\nscale = 0.00392156862745098\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n"
	if err := os.WriteFile(pre, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	items := func(dir string) tensors {
		p, err := preprocessOf(plain, pre, dir)
		if err != nil {
			t.Fatal(err)
		}
		set, err := a.openData(dir, plain, p)
		if err != nil {
			t.Fatal(err)
		}
		var l tensors
		if err := set.Each(ctx, set.Len(), func(_ int, in map[string]*model.Tensor) error {
			c := map[string]*model.Tensor{}
			for k, v := range in {
				c[k] = v.Clone()
			}
			l = append(l, c)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return l
	}
	env := a.passEnv(nil)
	env.Data = items(train)
	judge := items(test)
	answers := func(m *model.Model) (l []int) {
		s, err := engineRunner{a}.Open(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, in := range judge {
			out, err := s.Run(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			best := 0
			y := model.Data[float32](out[0])
			for k := range y {
				if y[k] > y[best] {
					best = k
				}
			}
			l = append(l, best)
		}
		return l
	}
	float := answers(plain)
	same := func(m *model.Model, passes ...string) int {
		r := optimizer.Recipe{Seed: 1}
		for _, p := range passes {
			r.Steps = append(r.Steps, optimizer.RecipeStep{Pass: p})
		}
		steps, err := optimizer.Run(ctx, m, &r, env)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i, y := range answers(steps[len(steps)-1].Model) {
			if y == float[i] {
				n++
			}
		}
		return n
	}
	for i, y := range answers(scaled) {
		if y != float[i] {
			t.Fatalf("picture %d: the scaled network is another function", i)
		}
	}
	whole, lost, back := same(plain, "quantize"), same(scaled, "quantize"), same(scaled, "equalize", "quantize")
	t.Logf("of %d answers int8 keeps %d; with scaled channels %d; behind equalize %d", len(judge), whole, lost, back)
	if lost > len(judge)/2 || back < whole-1 {
		t.Errorf("of %d answers int8 keeps %d; with scaled channels %d; behind equalize %d", len(judge), whole, lost, back)
	}
}
