// Package tflite reads and writes TensorFlow Lite files (FlatBuffer, version 3). Reading makes a model of ONNX operators with channels first,
// 8-bit values as pairs of QuantizeLinear and DequantizeLinear; writing goes the other way and stores pictures with channels last.
//
// The tables are described in schema.go, laid out by flat.go and read through access.go, which checks every offset: files are hostile input.
// It runs nothing and infers no shapes; what the writer has to know of a model comes in as Facts. Start reading at ReadFile and Write, then at
// file, what both sides share.
package tflite

import (
	"context"
	"os"
	"path/filepath"

	"fettle/internal/fail"
	"fettle/internal/mapped"
	"fettle/model"
)

// ReadFile opens the model at path. The file is mapped for as long as the model is used: constants alias it where they keep their order.
// Errors: fail.NotFound, fail.Invalid, fail.Corrupt, fail.TooBig, and fail.Unsupported naming an operator that is not read.
func ReadFile(ctx context.Context, path string, budget Budget) (*model.Model, error) {
	where := fail.Where{File: path}
	b, err := mapFile(path, budget.FileBytes)
	if err == nil {
		err = ctx.Err()
	}
	var m *model.Model
	if err == nil {
		m, err = Read(b, budget)
	}
	if err != nil {
		return nil, fail.In(err, "open "+filepath.Base(path), where)
	}
	m.Source.Path = path
	return m, nil
}

// Read reads a model from memory, which must not change while the model is used.
func Read(b []byte, budget Budget) (*model.Model, error) {
	b = b[:len(b):len(b)]
	f, err := decode(b, budget)
	if err != nil {
		return nil, err
	}
	m, err := f.model(budget)
	if err != nil {
		return nil, err
	}
	m.Source = &model.Source{Format: "tflite", Bytes: b}
	return m, nil
}

// mapFile maps a regular file read-only; the mapping is never undone.
func mapFile(path string, limit int64) ([]byte, error) {
	f, err := mapped.Open(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, fail.New(fail.NotFound, "there is no such file").Try("check the path")
		}
		return nil, fail.New(fail.Invalid, "%v", err)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, fail.New(fail.Denied, "%v", err)
	case !st.Mode().IsRegular() || st.Size() == 0:
		return nil, fail.New(fail.Invalid, "it is no regular file, or empty").Try("give a TensorFlow Lite file")
	case st.Size() > limit:
		return nil, fail.New(fail.TooBig, "the file has %d bytes, at most %d are read", st.Size(), limit)
	}
	b, err := mapped.File(f, st.Size())
	if err != nil {
		return nil, fail.New(fail.TooBig, "cannot map %d bytes: %v", st.Size(), err)
	}
	return b, nil
}
