package tflite_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/model/tflite"
	"fettle/ops"
)

// some files, small and different: floats, moves, integers.
func files(t testing.TB) [][]byte {
	var out [][]byte
	for _, c := range cases {
		switch c.name {
		case "conv, stride 2, symmetric padding", "two groups", "concat, split, slice, pad", "attention", "int8 conv", "int8 pools and concat", "nearest by 2":
			b, err := write(t, parse(t, c.out, c.consts, c.body))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, b)
		}
	}
	return out
}

// check holds a file that may be anything to what the reader promises: a model whose graph is sound, or a typed error, soon.
func check(t *testing.T, b []byte) {
	begin := time.Now()
	m, err := tflite.Read(b, tflite.DefaultBudget())
	if d := time.Since(begin); d > 20*time.Second {
		t.Fatalf("%d bytes took %v to read", len(b), d)
	}
	if err != nil {
		if fail.Is(err, fail.Internal) || fail.From(err).Why == "" {
			t.Fatalf("an internal error for a bad file: %v", err)
		}
		return
	}
	_, _, _ = ops.Infer(m, nil) // may refuse shapes, must not panic
}

func TestHostile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, whole := range files(t) {
		if _, err := tflite.Read(whole, tflite.DefaultBudget()); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(whole); n += 1 + len(whole)/100 {
			check(t, whole[:n])
		}
		// Every word in front of the weights is made something else.
		for at := 0; at+4 <= len(whole); at += 4 * (1 + len(whole)/1600) {
			b := bytes.Clone(whole)
			for _, v := range []uint32{0, 0xffffffff, uint32(r.IntN(len(b)))} {
				binary.LittleEndian.PutUint32(b[at:], v)
				check(t, b)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	whole := files(t)[0]
	version := bytes.Clone(whole)
	for i := 8; i < 200; i++ { // the version is the first scalar of the root that holds 3
		if binary.LittleEndian.Uint32(version[i:]) == 3 && i%4 == 0 {
			version[i] = 2
			break
		}
	}
	budget := tflite.DefaultBudget()
	small := budget
	small.Tensors = 3
	short := budget
	short.NameBytes = 2
	for _, c := range []struct {
		name   string
		b      []byte
		budget tflite.Budget
		kind   fail.Kind
		says   string
	}{
		{"nothing", nil, budget, fail.Invalid, "TFL3"},
		{"an ONNX file", []byte("\x08\x08\x12\x06fettle and more"), budget, fail.Invalid, "TFL3"},
		{"another version", version, budget, fail.Unsupported, "version 2"},
		{"cut", whole[:len(whole)/3], budget, fail.Corrupt, ""},
		{"too many tensors", whole, small, fail.TooBig, "at most 3"},
		{"a long name", whole, short, fail.TooBig, "name"},
		{"a custom operator", custom(whole), budget, fail.Unsupported, "custom operator"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tflite.Read(c.b, c.budget)
			if fail.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

// custom makes the operators of a file CUSTOM: 3 (CONV_2D), the number that readers take, becomes 32 in the table of codes.
func custom(whole []byte) []byte {
	for at := 8; at+4 <= len(whole); at++ {
		b := bytes.Clone(whole)
		if b[at] != 3 {
			continue
		}
		b[at] = 32
		if l := tflite.Operators(b); len(l) == 2 && strings.HasPrefix(l[1], "custom") {
			return b
		}
	}
	return nil
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "net.tflite")
	whole := files(t)[0]
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := tflite.ReadFile(context.Background(), path, tflite.DefaultBudget())
	if err != nil || m.Source.Format != "tflite" || m.Source.Path != path {
		t.Fatalf("%v %+v", err, m)
	}
	var again bytes.Buffer
	if _, err := tflite.Write(&again, m, tflite.Facts{}); err != nil || !bytes.Equal(again.Bytes(), whole) {
		t.Errorf("an unmodified model is not saved byte for byte: %v", err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, kind := range map[string]fail.Kind{filepath.Join(dir, "none"): fail.NotFound, dir: fail.Invalid, fifo: fail.Invalid} {
		if _, err := tflite.ReadFile(context.Background(), path, tflite.DefaultBudget()); fail.KindOf(err) != kind || fail.From(err).Where.File != path {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := tflite.ReadFile(ctx, path, tflite.DefaultBudget()); fail.KindOf(err) != fail.Cancelled {
		t.Errorf("stopped: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, b := range files(f) {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(check)
}
