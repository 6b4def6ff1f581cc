package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/text"
)

var preparedKey = engine.Key{Model: "sha256:test", Build: "test"}

// prepare writes the prepared file of p.
func prepare(t testing.TB, p *engine.Plan) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.fplan")
	if err := p.WritePrepared(context.Background(), path, preparedKey); err != nil {
		t.Fatalf("write: %v", err)
	}
	return path
}

// samePlan fails where b is not the plan a but for where its weights lie.
func samePlan(t testing.TB, a, b *engine.Plan) {
	t.Helper()
	if a.Options.Threads == b.Options.Threads && a.ArenaBytes != b.ArenaBytes {
		t.Errorf("arenas of %d and %d bytes", a.ArenaBytes, b.ArenaBytes)
	}
	for _, c := range []struct {
		what string
		a, b any
	}{
		{"steps", a.Steps, b.Steps}, {"free nodes", a.Free, b.Free}, {"inputs", a.Inputs, b.Inputs}, {"outputs", a.Outputs, b.Outputs},
		{"packed bytes", a.PackBytes, b.PackBytes},
	} {
		if x, y := fmt.Sprintf("%+v", c.a), fmt.Sprintf("%+v", c.b); x != y {
			t.Errorf("%s differ:\n%s\n%s", c.what, x, y)
		}
	}
}

// runPlan runs p on in.
func runPlan(t testing.TB, p *engine.Plan, in map[string]*model.Tensor) []*model.Tensor {
	t.Helper()
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

// TestPrepared compiles networks, opens their prepared files with other numbers of threads, and compares plans and bits.
func TestPrepared(t *testing.T) {
	ctx := context.Background()
	type network struct {
		name string
		m    *model.Model
	}
	var nets []network
	for _, c := range []struct {
		name string
		size int
		int8 bool
	}{
		{"resnet18", 32, false}, {"resnet20", 0, true}, {"mobilenetv2", 64, true}, {"efficientnet-b0", 64, false}, {"squeezenet11", 64, false},
		{"yolov8n", 64, false}, {"bert-mini", 0, false},
	} {
		m := resized(t, c.name, c.size)
		nets = append(nets, network{c.name, optimized(t, m)})
		if c.int8 {
			nets = append(nets, network{c.name + " int8", quantized(t, m, nil)})
		}
	}
	if m, err := smallText(); err != nil {
		t.Fatal(err)
	} else {
		nets = append(nets, network{"weights that are folded, shared and read", m})
	}
	for _, n := range nets {
		t.Run(n.name, func(t *testing.T) {
			in := inputs(t, n.m, 4)
			opt := engine.Options{Threads: 2, Features: best(), Shapes: shapes(in)}
			p, err := engine.Compile(ctx, n.m, opt)
			if err != nil {
				t.Fatal(err)
			}
			want := runPlan(t, p, in)
			path := prepare(t, p)
			if err := engine.CheckPrepared(ctx, path); err != nil {
				t.Errorf("check: %v", err)
			}
			for threads := 1; threads <= 3; threads++ {
				opt.Threads = threads
				q, err := engine.OpenPrepared(ctx, path, preparedKey, opt)
				if err != nil {
					t.Fatalf("%d threads: %v", threads, err)
				}
				if !q.Prepared || p.Prepared {
					t.Error("who is prepared?")
				}
				samePlan(t, p, q)
				covered(t, q)
				if got := runPlan(t, q, in); !equalBits(want, got) {
					t.Errorf("%d threads: other bits than the compiled plan", threads)
				}
				if err := q.WritePrepared(ctx, path, preparedKey); !fail.Is(err, fail.Usage) {
					t.Errorf("written again: %v", err)
				}
			}
			if st, err := os.Stat(path); err != nil || st.Size() > p.PackBytes+p.PackBytes/10+storedBytes(n.m)+1<<20 {
				t.Errorf("%d bytes for %d packed: %v", st.Size(), p.PackBytes, err)
			}
		})
	}
}

// storedBytes are the bytes of tensors that a step may read as they are.
func storedBytes(m *model.Model) int64 {
	var n int64
	for _, in := range m.Graph.Inits {
		for _, u := range m.Graph.Users(in.Name) {
			switch u.Op {
			case "Conv", "Gemm", "MatMul", "DequantizeLinear":
				if len(in.Tensor.Raw) >= 64<<10 {
					continue
				}
			}
			n += int64(len(in.Tensor.Raw))
		}
	}
	return n
}

// smallText has large weights that are transposed before they are packed, that two kinds of nodes read, and that come out.
func smallText() (*model.Model, error) {
	return text.Parse(`<ir_version: 8, opset_import: ["": 17]>
g (float[20, 200] x, int64[3] i) => (float[20, 150] y, float[3, 200] e, float[150, 200] c)
<float[150, 200] w = random(1), float[200, 120] v = random(2), float[120, 150] u = random(3)>
{
  wt = Transpose <perm = [1, 0]> (w)
  a = MatMul (x, wt)
  e0 = Gather (w, i)
  b = MatMul (x, v)
  d = Gemm <alpha = 0.5> (b, u)
  y = Add (a, d)
  e = Relu (e0)
  c = Identity (w)
}`)
}

// TestPreparedKey opens a file for what it was not made for.
func TestPreparedKey(t *testing.T) {
	ctx := context.Background()
	m, err := smallText()
	if err != nil {
		t.Fatal(err)
	}
	opt := engine.Options{Threads: 1, Features: best()}
	p, err := engine.Compile(ctx, m, opt)
	if err != nil {
		t.Fatal(err)
	}
	path := prepare(t, p)
	poor := levels(t)[0]
	for name, c := range map[string]struct {
		key engine.Key
		opt engine.Options
	}{
		"other model":     {engine.Key{Model: "sha256:other", Build: "test"}, opt},
		"other program":   {engine.Key{Model: preparedKey.Model, Build: "next"}, opt},
		"other processor": {preparedKey, engine.Options{Threads: 1, Features: poor}},
		"small":           {preparedKey, engine.Options{Threads: 1, Features: best(), Small: true}},
		"fast":            {preparedKey, engine.Options{Threads: 1, Features: best(), Fast: true}},
		"half":            {preparedKey, engine.Options{Threads: 1, Features: best(), Half: true}},
		"other shape":     {preparedKey, engine.Options{Threads: 1, Features: best(), Shapes: map[string][]int{"i": {3}}}},
	} {
		if poor == best() && name == "other processor" {
			continue
		}
		if _, err := engine.OpenPrepared(ctx, path, c.key, c.opt); !fail.Is(err, fail.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if engine.PreparedName(c.key, c.opt) == engine.PreparedName(preparedKey, opt) {
			t.Errorf("%s has the same name", name)
		}
	}
	many := opt
	many.Threads = 4
	if engine.PreparedName(preparedKey, many) != engine.PreparedName(preparedKey, opt) {
		t.Error("threads change the name")
	}
	if _, err := engine.OpenPrepared(ctx, filepath.Join(t.TempDir(), "none"), preparedKey, opt); !fail.Is(err, fail.NotFound) {
		t.Errorf("no file: %v", err)
	}
}

// TestPreparedDamage cuts and changes a file: opening or checking it must say so.
func TestPreparedDamage(t *testing.T) {
	ctx := context.Background()
	m, err := smallText()
	if err != nil {
		t.Fatal(err)
	}
	opt := engine.Options{Threads: 1, Features: best()}
	p, err := engine.Compile(ctx, m, opt)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(prepare(t, p))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "damaged")
	at := func(b []byte) error {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := engine.CheckPrepared(ctx, path); err != nil {
			return err
		}
		_, err := engine.OpenPrepared(ctx, path, preparedKey, opt)
		return err
	}
	if err := at(whole); err != nil {
		t.Fatalf("the whole file: %v", err)
	}
	for _, n := range []int{0, 1, 63, 64, 100, 4096, len(whole) / 2, len(whole) - 1} {
		if err := at(whole[:n]); !fail.Is(err, fail.Corrupt) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if err := at(append(append([]byte{}, whole...), 0)); !fail.Is(err, fail.Corrupt) {
		t.Errorf("one byte more: %v", err)
	}
	headEnd := 4096
	for k := 0; k < len(whole); k += 997 {
		b := append([]byte{}, whole...)
		b[k] ^= 0x10
		err := at(b)
		padding := strings.Trim(string(whole[k:min(len(whole), (k/headEnd+1)*headEnd)]), "\x00") == ""
		if err == nil && !padding {
			t.Errorf("byte %d of %d changed: nobody noticed", k, len(whole))
		}
	}
}

// TestPreparedEverywhere sends the small graphs of the other tests through a prepared file on every instruction set.
func TestPreparedEverywhere(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(12) {
		m := parse(t, header+randomGraph(seed))
		in := inputs(t, m, seed)
		for _, f := range levels(t) {
			t.Run(fmt.Sprint(seed, f.Levels()), func(t *testing.T) {
				opt := engine.Options{Threads: 1, Features: f, Verify: true}
				p, err := engine.Compile(ctx, m, opt)
				if err != nil {
					t.Fatal(err)
				}
				q, err := engine.OpenPrepared(ctx, prepare(t, p), preparedKey, opt)
				if err != nil {
					t.Fatal(err)
				}
				samePlan(t, p, q)
				if !equalBits(runPlan(t, p, in), runPlan(t, q, in)) {
					t.Error("other bits than the compiled plan")
				}
			})
		}
	}
}
