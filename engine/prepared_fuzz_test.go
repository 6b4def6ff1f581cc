package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/model/text"
)

// fuzzNets are small graphs whose prepared files are where fuzzing starts: convolutions, products, folded and read weights.
var fuzzNets = []string{
	`<ir_version: 8, opset_import: ["": 17]>
g (float[1, 4, 6, 6] x) => (float[1, 4, 6, 6] y) <float[32, 4, 3, 3] w = random(1), float[4, 32, 1, 1] v = random(2), float[32] b = random(3)>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, w, b)
  c = Relu (a)
  y = Conv (c, v)
}`,
	`<ir_version: 8, opset_import: ["": 17]>
g (float[2, 130] x, int64[2] i) => (float[2, 130] y, float[2, 130] z) <float[130, 130] w = random(1)>
{
  wt = Transpose <perm = [1, 0]> (w)
  y = MatMul (x, wt)
  z = Gather (wt, i)
}`,
}

// split takes a prepared file into the parts that fuzzing changes.
func splitPrepared(t testing.TB, src string) (table, onnx, data []byte) {
	t.Helper()
	m, err := text.Parse(src)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(context.Background(), m, fuzzOptions())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "p")
	if err := p.WritePrepared(context.Background(), path, Key{}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := decodePrepared(b)
	if err != nil {
		t.Fatal(err)
	}
	table, err = json.Marshal(meta.table)
	if err != nil {
		t.Fatal(err)
	}
	return table, meta.onnx, b[meta.dataOff:]
}

func fuzzOptions() Options { return Options{Threads: 1, Features: cpu.Detect()} }

// FuzzPrepared opens files whose hashes are right and whose contents are not: it must refuse them or make a plan that runs,
// never read outside of them.
func FuzzPrepared(f *testing.F) {
	for _, src := range fuzzNets {
		table, onnx, data := splitPrepared(f, src)
		f.Add(table, onnx, data)
	}
	f.Fuzz(func(t *testing.T, table, onnx, data []byte) {
		if len(table)+len(onnx)+len(data) > 1<<20 {
			return
		}
		m := preparedMeta{onnx: onnx, dataLen: int64(len(data))}
		if json.Unmarshal(table, &m.table) != nil {
			return
		}
		m.table.OnnxLen, m.table.Key, m.table.Choices = len(onnx), Key{}, func() string { o := fuzzOptions(); return o.choices() }()
		w := preparedWriter{p: &Plan{Options: Options{Threads: 1}}, parts: [][]byte{data}, size: int64(len(data))}
		if err := w.hash(context.Background()); err != nil {
			t.Fatal(err)
		}
		m.hashes = w.meta.hashes
		head, err := m.encode()
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p, err := openPrepared(ctx, bytes.Join([][]byte{head, data}, nil), Key{}, fuzzOptions())
		if err != nil {
			return
		}
		var macs int64
		for _, s := range p.Steps {
			macs += s.MACs
		}
		if p.ArenaBytes > 64<<20 || macs > 1e9 {
			return
		}
		s, err := p.NewSession()
		if err != nil {
			return
		}
		defer s.Close()
		in := map[string]*model.Tensor{}
		for _, v := range p.Inputs {
			dims, ok := v.Type.Shape.Ints()
			if !ok || v.Type.Kind != model.KindTensor || v.Type.DType.Bits() == 0 {
				return
			}
			in[v.Name] = model.NewTensor(v.Type.DType, dims...)
		}
		if _, err := s.Run(ctx, in); fail.Is(err, fail.Internal) {
			t.Errorf("%v", err)
		}
	})
}

// TestPreparedLies changes single entries of the table under a right hash.
func TestPreparedLies(t *testing.T) {
	for i, src := range fuzzNets {
		table, onnx, data := splitPrepared(t, src)
		for name, lie := range map[string]func(*preparedTable){
			"a pack outside":          func(p *preparedTable) { p.Packs[0].Off = int64(len(data)) },
			"a pack too long":         func(p *preparedTable) { p.Packs[0].Words *= 1000 },
			"a pack less":             func(p *preparedTable) { p.Packs = p.Packs[1:] },
			"a pack more":             func(p *preparedTable) { p.Packs = append(p.Packs, p.Packs[0]) },
			"a pack not aligned":      func(p *preparedTable) { p.Packs[0].Off += 4 },
			"a pack before":           func(p *preparedTable) { p.Packs[0].Off = -64 },
			"another kernel":          func(p *preparedTable) { p.Packs[0].Kernel = "f32_conv_1x1" },
			"words that overflow":     func(p *preparedTable) { p.Packs[0].Words = 1 << (bits.UintSize - 2) },
			"a node less":             func(p *preparedTable) { p.Nodes = []preparedNode{{ID: "a"}} },
			"two nodes of one id":     func(p *preparedTable) { p.Nodes = slices.Repeat([]preparedNode{{ID: "a"}}, 3) },
			"a weight of other shape": func(p *preparedTable) { p.Consts[0].Shape = []int{int(p.Consts[0].Len / 4)} },
			"a weight too long":       func(p *preparedTable) { p.Consts[0].Len *= 2 },
			"a huge weight": func(p *preparedTable) {
				p.Consts[0].Shape = []int{1 << (bits.UintSize * 5 / 8), 1 << (bits.UintSize * 5 / 8)}
			},
			"a weight of no type":    func(p *preparedTable) { p.Consts[0].DType = 99 },
			"a weight without place": func(p *preparedTable) { p.Consts[0].Name = "nobody" },
			"a weight twice":         func(p *preparedTable) { p.Consts = append(p.Consts, p.Consts[0]) },
		} {
			var p preparedTable
			if err := json.Unmarshal(table, &p); err != nil {
				t.Fatal(err)
			}
			if i == 0 && len(p.Consts) == 0 {
				t.Fatal("no constants")
			}
			lie(&p)
			m := preparedMeta{table: p, onnx: onnx, dataLen: int64(len(data))}
			o := fuzzOptions()
			m.table.OnnxLen, m.table.Choices = len(onnx), o.choices()
			w := preparedWriter{p: &Plan{Options: Options{Threads: 1}}, parts: [][]byte{data}, size: int64(len(data))}
			if err := w.hash(context.Background()); err != nil {
				t.Fatal(err)
			}
			m.hashes = w.meta.hashes
			head, err := m.encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := openPrepared(context.Background(), bytes.Join([][]byte{head, data}, nil), Key{}, o); err == nil {
				t.Errorf("net %d: %s is believed", i, name)
			}
		}
	}
}
