package onnx

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	pw "google.golang.org/protobuf/encoding/protowire"

	"fettle/internal/fail"
	"fettle/model"
)

// small builds a model with every kind of attribute, a subgraph and a function.
func small(t testing.TB) *model.Model {
	t.Helper()
	b := model.NewBuilder("small", 17).Import("custom", 1).Meta("k", "v")
	b.Function(&model.Function{Name: "F", Domain: "custom", Inputs: []string{"a"}, Outputs: []string{"b"}, Attrs: []string{"alpha"},
		Opsets: []model.Opset{{Domain: "", Version: 17}},
		Nodes:  []*model.Node{{Op: "LeakyRelu", Inputs: []string{"a"}, Outputs: []string{"b"}, Attrs: []model.Attr{model.RefAttr("alpha", model.AttrFloat, "alpha")}}}})
	x := b.Input("x", model.Float32, model.Shape{model.Sym("n"), model.Fixed(2)})
	c := b.Const("c", model.Float32s([]float32{1, 2, 3, 4}, 2, 2))
	y := b.Node("Gemm", "g", []string{x, c}, model.FloatAttr("alpha", 0.5), model.IntAttr("transB", 1))
	y = b.Node("custom:F", "f", []string{y}, model.FloatAttr("alpha", 0.25))
	sub := &model.Graph{Name: "then", Nodes: []*model.Node{{Op: "Neg", Inputs: []string{y}, Outputs: []string{"t"}}}, Outputs: []model.Value{{Name: "t"}}}
	cond := b.Const("cond", model.FromSlice(model.Bool, []bool{true}))
	z := b.Node("If", "i", []string{cond}, model.GraphAttr("then_branch", sub), model.GraphAttr("else_branch", sub))
	b.Node("Foo", "attrs", []string{z}, model.IntsAttr("ints", -1, 5), model.FloatsAttr("floats", 1, 2), model.StrAttr("s", "text"),
		model.TensorAttr("t", model.Int64s(7, 8)), model.Attr{Name: "strings", Type: model.AttrStrings, Strings: [][]byte{[]byte("a"), []byte("b")}})
	b.Output(z, model.Float32, model.Shape{model.Sym("n"), model.Fixed(2)})
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encode(t testing.TB, m *model.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	first := encode(t, small(t))
	m, err := Read(first, "", DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	if got := encode(t, m); !bytes.Equal(got, first) {
		t.Error("an unmodified model is not saved byte for byte")
	}
	// An edit that changes nothing writes every message anew; what it holds must stay.
	again, err := m.Apply(&model.Patch{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Read(encode(t, again), "", DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Graph.Nodes) != 4 || n.Graph.Nodes[3].Attr("strings") == nil || n.Functions[0].Nodes[0].Attrs[0].Ref != "alpha" || n.Meta("k") != "v" {
		t.Errorf("content was lost: %+v", n.Graph.Nodes)
	}
	if got := n.Graph.Init("c"); got == nil || model.Data[float32](got)[3] != 4 {
		t.Error("weights were lost")
	}
	if n.Opset("custom") != 1 || n.Graph.Inputs[0].Type.String() != "float32[n, 2]" {
		t.Errorf("declarations were lost: %v %v", n.Opsets, n.Graph.Inputs[0].Type)
	}
}

func TestUnknownFieldsSurvive(t *testing.T) {
	b := encode(t, small(t))
	b = pw.AppendTag(b, 999, pw.BytesType)
	b = pw.AppendBytes(b, []byte("future"))
	m, err := Read(b, "", DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	m, err = m.Apply(&model.Patch{Meta: []model.KV{{Key: "x", Value: "y"}}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(encode(t, m), []byte("future")) {
		t.Error("the unknown field is gone")
	}
}

func nest(n int) []byte {
	f := func(tag byte, b []byte) []byte { return append(pw.AppendVarint([]byte{tag}, uint64(len(b))), b...) }
	var b []byte
	for range n {
		b = f(0x32, f(0x0a, f(0x2a, b))) // attribute graph { node { attribute
	}
	return f(0x3a, b)
}

func TestHostileFiles(t *testing.T) {
	whole := encode(t, small(t))
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	dims := func(d ...uint64) []byte {
		var x []byte
		for _, v := range d {
			x = pw.AppendVarint(append(x, 0x08), v)
		}
		x = append(x, 0x10, 1, 0x42, 1, 'w')
		return pw.AppendBytes([]byte{0x3a}, pw.AppendBytes([]byte{0x2a}, x))
	}
	fifo := filepath.Join(dir, "fifo.onnx")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(dir, "loop.onnx")
	if err := os.Symlink("loop.onnx", loop); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		kind       fail.Kind
		want       string
	}{
		{"absent", filepath.Join(dir, "none"), fail.NotFound, "no such file"},
		{"folder", dir, fail.Invalid, "folder"},
		{"fifo", fifo, fail.Invalid, "no regular file"},
		{"symlink loop", loop, fail.Invalid, "too many"},
		{"empty", write("empty", nil), fail.Invalid, "empty"},
		{"text", write("text", []byte("# What lies here\n\nEverything a developer should have.\n")), fail.Invalid, ""},
		{"cut", write("cut", whole[:len(whole)*2/3]), fail.Invalid, "offset"},
		{"bomb of empty nodes", write("bomb", pw.AppendBytes([]byte{0x3a}, bytes.Repeat([]byte{0x0a, 0}, 10_000_000))), fail.Invalid, "without an operator"},
		{"bomb of small nodes", write("bomb2", pw.AppendBytes([]byte{0x3a}, bytes.Repeat([]byte{0x0a, 3, 0x22, 1, 'A'}, 4_000_000))), fail.TooBig, "nodes"},
		{"deep nesting", write("deep", nest(6000)), fail.TooBig, "deep"},
		{"2^62 dimensions", write("dims", dims(1<<62, 4)), fail.Invalid, "dimension"},
		{"product over 2^48", write("dims2", dims(1<<30, 1<<30)), fail.TooBig, "elements"},
		{"shape without data", write("dims3", dims(1<<20, 1<<20)), fail.Corrupt, "bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Now()
			_, err := ReadFile(context.Background(), c.path, DefaultBudget())
			if err == nil || !fail.Is(err, c.kind) && fail.KindOf(err) != fail.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v (%s), want %s with %q", err, fail.KindOf(err), c.kind, c.want)
			}
			if fail.ExitCode(err) != 3 {
				t.Errorf("exit code %d, want 3", fail.ExitCode(err))
			}
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func externalModel(t *testing.T, location string, length int) []byte {
	t.Helper()
	entry := func(k, v string) []byte {
		return pw.AppendBytes([]byte{0x6a}, append(pw.AppendBytes([]byte{0x0a}, []byte(k)), pw.AppendBytes([]byte{0x12}, []byte(v))...))
	}
	ten := append([]byte{0x08, byte(length), 0x10, 1, 0x42, 1, 'w'}, entry("location", location)...)
	ten = append(ten, 0x70, 1)
	node := append([]byte{0x0a, 1, 'w', 0x12, 1, 'y'}, pw.AppendBytes([]byte{0x22}, []byte("Neg"))...)
	g := append(pw.AppendBytes([]byte{0x0a}, node), pw.AppendBytes([]byte{0x2a}, ten)...)
	return append([]byte{0x08, 8}, pw.AppendBytes([]byte{0x3a}, g)...)
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	data := make([]byte, 16)
	data[0] = 7
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(dir, "w.bin"), data, 0o600))
	outside := filepath.Join(t.TempDir(), "secret")
	must(os.WriteFile(outside, data, 0o600))
	must(os.Symlink(outside, filepath.Join(dir, "link.bin")))
	must(os.WriteFile(filepath.Join(dir, "two.bin"), data, 0o600))
	must(os.Link(filepath.Join(dir, "two.bin"), filepath.Join(dir, "three.bin")))
	must(syscall.Mkfifo(filepath.Join(dir, "fifo.bin"), 0o600))
	for _, c := range []struct {
		name, location string
		length         int
		ok             bool
	}{
		{"beside", "w.bin", 4, true}, {"too short", "w.bin", 5, false}, {"parent", "../secret", 4, false}, {"absolute", outside, 4, false},
		{"symlink out", "link.bin", 4, false}, {"hard link", "two.bin", 4, false}, {"fifo", "fifo.bin", 4, false}, {"absent", "none.bin", 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := filepath.Join(dir, "m.onnx")
			must(os.WriteFile(p, externalModel(t, c.location, c.length), 0o600))
			m, err := ReadFile(context.Background(), p, DefaultBudget())
			if (err == nil) != c.ok {
				t.Fatalf("got %v", err)
			}
			if c.ok && m.Graph.Init("w").Raw[0] != 7 {
				t.Error("wrong bytes")
			}
		})
	}
}

func TestTensorFields(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want float64
	}{
		{"int32_data for int8, unpacked", []byte{0x08, 1, 0x10, 3, 0x28, 0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, -5},
		{"int32_data for float16, packed", []byte{0x08, 1, 0x10, 10, 0x2a, 2, 0x80, 0x78}, 1},
		{"float_data, packed", []byte{0x08, 1, 0x10, 1, 0x22, 4, 0, 0, 0, 0x40}, 2},
		{"int64_data", []byte{0x08, 1, 0x10, 7, 0x3a, 1, 9}, 9},
		{"uint64_data for uint32", []byte{0x08, 1, 0x10, 12, 0x5a, 1, 9}, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, _, err := ReadTensor(c.b)
			if err != nil || x.Float64At(0) != c.want {
				t.Errorf("got %v %v, want %g", x, err, c.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	whole := encode(f, small(f))
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(nest(10))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Read(b, "", DefaultBudget())
		if err != nil {
			if fail.Is(err, fail.Internal) {
				t.Fatalf("an internal error for a bad file: %v", err)
			}
			return
		}
		again, err := m.Apply(&model.Patch{})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Write(&out, again); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(out.Bytes(), "", DefaultBudget()); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
