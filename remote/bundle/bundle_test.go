package bundle

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"fettle/internal/cas"
	"fettle/internal/fail"
)

func field(num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
}

// onnxFile is a file with the given weights as initializers, a name and a node around them.
func onnxFile(weights ...[]byte) []byte {
	graph := field(1, append(field(4, []byte("Relu")), field(3, []byte("n"))...))
	for i, w := range weights {
		graph = append(graph, field(5, append(field(8, []byte{'w', byte('0' + i)}), field(9, w)...))...)
	}
	model := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 8)
	return append(append(model, field(7, graph)...), field(2, []byte("tests"))...)
}

func noise(n int, seed uint64) []byte {
	out := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

// together puts the chunks of b together again.
func together(b *Bundle) []byte {
	var out []byte
	for i := range b.Chunks {
		out = append(out, b.Bytes(i)...)
	}
	return out
}

func TestFromBytes(t *testing.T) {
	a, b, big := noise(5000, 1), noise(9000, 2), noise(2*MaxChunk+77, 3)
	cases := []struct {
		name   string
		data   []byte
		chunks int
	}{
		{"two tensors", onnxFile(a, b), 5}, // before, a, between, b, after
		{"a small tensor stays in the structure", onnxFile(a[:100], b), 3},
		{"a tensor over the limit of a chunk", onnxFile(big), 5},
		{"not ONNX", []byte("this is a text file"), 1},
		{"not ONNX and large", noise(MaxChunk*3/2, 9), 2},
		{"cut inside a tensor", onnxFile(a, b)[:8000], 1},
		{"one byte", []byte{7}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := FromBytes("net", c.data)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Chunks) != c.chunks {
				t.Errorf("%d chunks, want %d: %+v", len(got.Chunks), c.chunks, got.spans)
			}
			if !bytes.Equal(together(got), c.data) || got.SHA256 != cas.Of(c.data) || got.Size != int64(len(c.data)) {
				t.Error("its chunks do not give the file")
			}
			for i, ch := range got.Chunks {
				if cas.Of(got.Bytes(i)) != ch.SHA256 {
					t.Errorf("chunk %d has another hash", i)
				}
			}
		})
	}
	if _, err := FromBytes("net", nil); err == nil {
		t.Error("an empty file is taken")
	}
}

// TestOneLayer changes one tensor: one chunk differs, wherever the tensor lies and even if it grows.
func TestOneLayer(t *testing.T) {
	w := [][]byte{noise(5000, 1), noise(6000, 2), noise(7000, 3)}
	old, err := FromBytes("net", onnxFile(w...))
	if err != nil {
		t.Fatal(err)
	}
	known := old.Hashes()
	for i := range w {
		changed := slices.Clone(w)
		changed[i] = slices.Clone(w[i])
		changed[i][100] ^= 1
		b, err := FromBytes("net", onnxFile(changed...))
		if err != nil {
			t.Fatal(err)
		}
		var sent int64
		for _, c := range b.Chunks {
			if !known[c.SHA256] {
				sent += c.Len
			}
		}
		if sent != int64(len(w[i])) {
			t.Errorf("changing tensor %d of %d bytes sends %d bytes", i, len(w[i]), sent)
		}
	}
}

func TestManifest(t *testing.T) {
	b, err := FromBytes("net", onnxFile(noise(5000, 1)))
	if err != nil {
		t.Fatal(err)
	}
	b.Labels, b.Preprocess, b.Meta = []string{"a", "b"}, "size = [1, 1]", map[string]string{"recipe": "x"}
	raw, hash, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(raw)
	if err != nil || back.SHA256 != b.SHA256 || back.Labels[1] != "b" || back.Meta["recipe"] != "x" {
		t.Errorf("it comes back as %+v, %v", back, err)
	}
	if raw2, hash2, _ := back.Encode(); !bytes.Equal(raw, raw2) || hash != hash2 {
		t.Error("the same manifest has two forms")
	}
	change := func(f func(map[string]any)) []byte {
		var v map[string]any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		f(v)
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	chunk := func(key string, v any) []byte {
		return change(func(m map[string]any) { m["chunks"].([]any)[0].(map[string]any)[key] = v })
	}
	cases := []struct {
		name string
		raw  []byte
		want fail.Kind
	}{
		{"no JSON", []byte("{"), fail.Invalid},
		{"an unknown field", change(func(m map[string]any) { m["path"] = "/etc/passwd" }), fail.Invalid},
		{"another schema", change(func(m map[string]any) { m["schema"] = 2 }), fail.Unsupported},
		{"a name that leaves the folder", change(func(m map[string]any) { m["name"] = "../x" }), fail.Usage},
		{"a hash that leaves the folder", chunk("sha256", strings.Repeat("../", 21)+"x"), fail.Invalid},
		{"a hash in capitals", chunk("sha256", strings.Repeat("A", 64)), fail.Invalid},
		{"a negative length", chunk("len", -1), fail.Invalid},
		{"a chunk too long", chunk("len", MaxChunk+1), fail.Invalid},
		{"no chunks", change(func(m map[string]any) { m["chunks"] = []any{} }), fail.Invalid},
		{"another size", change(func(m map[string]any) { m["size"] = 1 }), fail.Invalid},
		{"too long", append(raw, bytes.Repeat([]byte(" "), maxManifest)...), fail.TooBig},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Decode(c.raw); fail.KindOf(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{"net": true, "a.b-c_9": true, "": false, ".": false, "..": false, ".hidden": false, "-x": false, "a/b": false,
		"a b": false, "a\x00": false, "ä": false, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// FuzzDecode reads any bytes as a manifest; what is taken is consistent and keeps its form.
func FuzzDecode(f *testing.F) {
	b, err := FromBytes("net", onnxFile(noise(5000, 1)))
	if err != nil {
		f.Fatal(err)
	}
	raw, _, _ := b.Encode()
	f.Add(raw)
	f.Add([]byte(`{"schema":1,"name":"a","sha256":"","size":9223372036854775807,"chunks":[{"sha256":"","len":9223372036854775807}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Decode(raw)
		if err != nil {
			if fail.KindOf(err) == fail.Internal {
				t.Errorf("got %v", err)
			}
			return
		}
		again, _, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil {
			t.Errorf("its own form is refused: %v", err)
		}
	})
}

// FuzzSpans cuts any file: the pieces follow each other and cover it.
func FuzzSpans(f *testing.F) {
	f.Add(onnxFile(noise(MinTensor, 1)))
	f.Add(onnxFile(noise(MinTensor, 1), noise(10, 2))[:3000])
	f.Add([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		b, err := FromBytes("net", data)
		if err != nil || !bytes.Equal(together(b), data) {
			t.Errorf("%v", err)
		}
	})
}
