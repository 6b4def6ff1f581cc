package onnxgo

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/sample"
)

// TestDecodersAgree reads files with our reader and with onnx-go: operators, order, edges, attributes and weights must be
// the same.
func TestDecodersAgree(t *testing.T) {
	files := map[string][]byte{sample.Name: sample.Shapes()}
	for _, name := range []string{"resnet20", "squeezenet11", "mobilenetv2"} {
		m, err := sample.Build(name)
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if err := onnx.Write(&buf, m); err != nil {
			t.Fatal(err)
		}
		files[name] = buf.Bytes()
	}
	real, _ := filepath.Glob("../../../shared/data/models/*.onnx")
	if len(real) == 0 {
		t.Log("no ../shared/data/models: only our own files are compared")
	}
	for _, f := range real {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(f)] = b
	}
	compared := 0
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			d, err := Decode(b)
			if fail.Is(err, fail.Unsupported) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			m, err := onnx.Read(b, "", onnx.DefaultBudget())
			if err != nil {
				t.Fatal(err)
			}
			agree(t, m, d)
			compared++
		})
	}
	if compared < 4 {
		t.Errorf("only %d files were compared", compared)
	}
}

func agree(t *testing.T, m *model.Model, d *Decoded) {
	t.Helper()
	if len(m.Graph.Nodes) != len(d.Nodes) {
		t.Fatalf("%d nodes, onnx-go sees %d", len(m.Graph.Nodes), len(d.Nodes))
	}
	for i, n := range m.Graph.Nodes {
		o := d.Nodes[i]
		in := append([]string(nil), n.Inputs...)
		for len(in) > 0 && in[len(in)-1] == "" {
			in = in[:len(in)-1]
		}
		if n.Op != o.Op || !equal(in, o.Inputs) && len(in) > 0 || !equal(n.Outputs, o.Outputs) {
			t.Fatalf("node %d: %s %v -> %v, onnx-go sees %s %v -> %v", i, n.Op, in, n.Outputs, o.Op, o.Inputs, o.Outputs)
		}
		attrs := append([]model.Attr(nil), n.Attrs...)
		sort.Slice(attrs, func(a, b int) bool { return attrs[a].Name < attrs[b].Name })
		if len(attrs) != len(o.Attrs) {
			t.Fatalf("node %d (%s): %d attributes, onnx-go sees %d", i, n.Op, len(attrs), len(o.Attrs))
		}
		for k := range attrs {
			if !sameAttr(&attrs[k], &o.Attrs[k]) {
				t.Errorf("node %d (%s): attribute %s differs", i, n.Op, attrs[k].Name)
			}
		}
	}
	for _, w := range m.Graph.Inits {
		if w.Tensor.Len() == 0 {
			continue
		}
		o := d.Weights[w.Name]
		if o == nil || o.DType != w.Tensor.DType || !bytes.Equal(o.Raw, w.Tensor.Raw) {
			t.Errorf("weight %s differs", w.Name)
		}
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func sameAttr(a, b *model.Attr) bool {
	if a.Name != b.Name || a.Type != b.Type || a.I != b.I || math.Float32bits(a.F) != math.Float32bits(b.F) || !bytes.Equal(a.S, b.S) ||
		len(a.Ints) != len(b.Ints) || len(a.Floats) != len(b.Floats) || len(a.Strings) != len(b.Strings) {
		return false
	}
	for i := range a.Ints {
		if a.Ints[i] != b.Ints[i] {
			return false
		}
	}
	for i := range a.Floats {
		if a.Floats[i] != b.Floats[i] {
			return false
		}
	}
	return a.T == nil || b.T != nil && bytes.Equal(a.T.Raw, b.T.Raw)
}

// TestRecover holds the library's panics back: a bool tensor with raw bytes is valid and stops it.
func TestRecover(t *testing.T) {
	b := model.NewBuilder("bools", 9)
	flags := model.NewTensor(model.Bool, 3)
	w := b.Const("flags", flags)
	b.Output(b.Node("Not", "", []string{w}), model.Bool, model.FixedShape(3))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := onnx.Write(&buf, m); err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(buf.Bytes()); !fail.Is(err, fail.Corrupt) && !fail.Is(err, fail.Unsupported) {
		t.Errorf("got %v, want a typed error", err)
	}
}
