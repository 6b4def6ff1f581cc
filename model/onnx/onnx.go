// Package onnx reads and writes ONNX files: a walker over the protocol buffer wire format with a budget, because models are
// hostile input and their weights are too large to copy.
//
// Weights stay in the mapped file. What the reader does not know is kept as bytes and written back; a model that was not
// changed is written byte for byte. Field numbers are those of onnx.proto3 of ONNX 1.20 (IR version 13). It runs nothing and
// knows no operator. Start reading at ReadFile, then decode.go; write.go is the way back.
package onnx

import (
	"context"
	"os"
	"path/filepath"

	"fettle/internal/fail"
	"fettle/internal/mapped"
	"fettle/model"
)

// ReadFile opens the model at path. The file is mapped, not copied, for as long as the model is used.
// Errors name file, and offset, field or node: fail.NotFound, fail.Invalid, fail.Corrupt, fail.TooBig.
func ReadFile(ctx context.Context, path string, budget Budget) (*model.Model, error) {
	where := fail.Where{File: path}
	data, err := mapFile(path, budget.FileBytes)
	if err != nil {
		return nil, fail.In(err, "open "+filepath.Base(path), where)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fail.In(fail.New(fail.Denied, "cannot open its folder: %v", err), "open "+filepath.Base(path), where)
	}
	defer root.Close()
	m, err := read(data.b, root, budget)
	if err != nil {
		return nil, fail.In(err, "open "+filepath.Base(path), where)
	}
	m.Source.Path = path
	return m, nil
}

// Read reads a model from memory, which must not change while the model is used. dir is the folder for external data, ""
// where there must be none.
func Read(b []byte, dir string, budget Budget) (*model.Model, error) {
	if dir == "" {
		return read(b, nil, budget)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fail.New(fail.NotFound, "cannot open the folder %s: %v", dir, err)
	}
	defer root.Close()
	return read(b, root, budget)
}

func read(b []byte, root *os.Root, budget Budget) (*model.Model, error) {
	if len(b) == 0 {
		return nil, fail.New(fail.Invalid, "the file is empty").Try("give an ONNX file")
	}
	b = b[:len(b):len(b)]
	r := &reader{acc: &account{Budget: budget}, base: b}
	m, err := r.model(b)
	if err != nil {
		return nil, err
	}
	m.Source = &model.Source{Format: "onnx", Bytes: b}
	if err := r.external(m.Graph, root); err != nil {
		return nil, err
	}
	model.AssignIDs(m.Graph, "")
	restoreOrigins(m.Graph)
	if err := m.Graph.Check(nil); err != nil {
		return nil, err
	}
	return m, nil
}

type mapping struct{ b []byte }

// mapFile maps a regular file read-only. The mapping is never undone: tensors of the model alias it, and pages that nobody
// reads cost no memory.
func mapFile(path string, limit int64) (mapping, error) {
	f, err := mapped.Open(path)
	if err != nil {
		return mapping{}, openError(err)
	}
	defer f.Close()
	return mapOpen(f, limit)
}

func mapOpen(f *os.File, limit int64) (mapping, error) {
	st, err := f.Stat()
	if err != nil {
		return mapping{}, fail.New(fail.Denied, "%v", err)
	}
	switch {
	case st.IsDir():
		return mapping{}, fail.New(fail.Invalid, "it is a folder").Try("give an ONNX file")
	case !st.Mode().IsRegular():
		return mapping{}, fail.New(fail.Invalid, "it is no regular file (%s)", st.Mode().Type()).Try("give an ONNX file")
	case st.Size() == 0:
		return mapping{}, fail.New(fail.Invalid, "the file is empty").Try("give an ONNX file")
	case st.Size() > limit:
		return mapping{}, fail.New(fail.TooBig, "the file has %d bytes, at most %d are read", st.Size(), limit)
	}
	b, err := mapped.File(f, st.Size())
	if err != nil {
		return mapping{}, fail.New(fail.TooBig, "cannot map %d bytes: %v", st.Size(), err)
	}
	return mapping{b}, nil
}

func openError(err error) error {
	switch {
	case os.IsNotExist(err):
		return fail.New(fail.NotFound, "there is no such file").Try("check the path")
	case os.IsPermission(err):
		return fail.New(fail.Invalid, "it may not be read").Try("check its permissions")
	}
	return fail.New(fail.Invalid, "%v", err)
}
