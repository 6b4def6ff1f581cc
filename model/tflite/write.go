package tflite

import (
	"fettle/internal/fail"
)

// maxFile bounds a file: offsets have 32 bits, of which readers take 31.
const maxFile = 1<<31 - 1

// encode lays the tables out as a file of version 3.
func (f *file) encode() ([]byte, error) {
	size := 0
	for _, t := range f.tensors {
		size += len(t.data) + 256
	}
	if size > maxFile-1<<20 {
		return nil, fail.New(fail.TooBig, "the weights take %d bytes; a TensorFlow Lite file holds 2 GB", size).Try("quantize the weights first")
	}
	buffers := [][]row{nil} // buffer 0 is empty: of values that steps make
	var tensors, ops, codes [][]row
	for _, t := range f.tensors {
		rows := []row{{0, t.shape}, {1, t.dtype}, {2, uint32(0)}, {3, t.name}}
		if t.data != nil {
			rows[2].v = uint32(len(buffers))
			buffers = append(buffers, []row{{0, blob(t.data)}})
		}
		if q := t.quant; q != nil {
			rows = append(rows, row{4, []row{{2, q.scale}, {3, q.zero}, {6, q.axis}}})
		}
		tensors = append(tensors, rows)
	}
	type key struct {
		code    code
		custom  string
		version int32
	}
	index := map[key]uint32{}
	for _, o := range f.ops {
		k := key{o.code, o.custom, o.version}
		i, ok := index[k]
		if !ok {
			i = uint32(len(codes))
			index[k] = i
			// Readers before 2021 know the field of 8 bits only, later ones take the larger of the two.
			rows := []row{{0, int8(min(o.code, 127))}, {2, o.version}, {3, int32(o.code)}}
			if o.custom != "" {
				rows = append(rows, row{1, o.custom})
			}
			codes = append(codes, rows)
		}
		rows := []row{{0, i}, {1, o.inputs}, {2, o.outputs}}
		if o.tag != 0 {
			var opts []row
			for id := range optionTypes[o.tag] {
				if v, ok := o.options[id]; ok {
					opts = append(opts, row{id, v})
				}
			}
			rows = append(rows, row{3, o.tag}, row{4, opts})
		}
		ops = append(ops, rows)
	}
	graph := []row{{0, tensors}, {1, f.inputs}, {2, f.outputs}, {3, ops}, {4, f.name}}
	var out flat
	out.b = make([]byte, 0, size+1<<16)
	out.file(identifier, []row{{0, uint32(3)}, {1, codes}, {2, [][]row{graph}}, {3, f.description}, {4, buffers}})
	if len(out.b) > maxFile {
		return nil, fail.New(fail.TooBig, "the file takes %d bytes, at most 2 GB can be read", len(out.b)).Try("quantize the weights first")
	}
	return out.b, nil
}
