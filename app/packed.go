package app

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/model/packed"
)

// packedExt is the end of the names of files in which few distinct bytes are Huffman coded.
const packedExt = ".packed"

// mostPacked bounds what a packed file may unpack to: it lies in memory, not in a mapping.
const mostPacked = 4 << 30

// isPacked reports whether the file at path begins as a packed model.
func isPacked(path string) bool {
	head, ok := headOf(path, len(packed.Magic))
	return ok && packed.Is(head)
}

// headOf is the first n bytes of a regular file.
func headOf(path string, n int) ([]byte, bool) {
	if i, err := os.Stat(path); err != nil || !i.Mode().IsRegular() {
		return nil, false // to open a pipe would wait for a writer; the reader of models says what it is
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	head := make([]byte, n)
	_, err = io.ReadFull(f, head)
	return head, err == nil
}

// loadPacked unpacks a model.
func loadPacked(ctx context.Context, path string) (*model.Model, error) {
	b, err := readSmall(path, mostPacked)
	if err != nil {
		return nil, err
	}
	if b, err = packed.Unpack(b, mostPacked); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fail.From(err)
	}
	return onnx.Read(b, filepath.Dir(path), onnx.DefaultBudget())
}

// savePacked writes m with its constants of 8 and fewer bits Huffman coded, where that is smaller.
func savePacked(path string, m *model.Model) error {
	var b bytes.Buffer
	if err := onnx.Write(&b, m); err != nil {
		return err
	}
	file := b.Bytes()
	var s []packed.Stretch
	at := 0
	for _, in := range m.Graph.Inits {
		if in.Tensor == nil || in.External != nil || in.Tensor.DType.Bits() > 8 || len(in.Tensor.Raw) < 64 {
			continue
		}
		// The writer keeps the order of the constants; where it does not, a constant stays as it is.
		if i := bytes.Index(file[at:], in.Tensor.Raw); i >= 0 {
			s = append(s, packed.Stretch{At: at + i, Len: len(in.Tensor.Raw)})
			at += i + len(in.Tensor.Raw)
		}
	}
	out, err := packed.Pack(file, s)
	if err != nil {
		return err
	}
	return exportFile(path, out)
}

func wantsPacked(path string) bool { return strings.EqualFold(filepath.Ext(path), packedExt) }
