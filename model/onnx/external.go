package onnx

import (
	"os"

	"fettle/internal/fail"
	"fettle/internal/mapped"
	"fettle/model"
)

// external maps the data that initializers keep in files beside the model. A file is opened through root, so that no path
// and no link leads out of the model's folder, and must be a regular file with one link: a second name could let another
// user change it. Files are mapped once.
func (r *reader) external(g *model.Graph, root *os.Root) error {
	files := map[string][]byte{}
	var total int64
	for i, in := range g.Inits {
		e := in.External
		if e == nil {
			continue
		}
		where := fail.Where{Field: at("initializer", i), Tensor: in.Name, File: e.Location}
		if root == nil {
			return fail.New(fail.Unsupported, "the weights lie in another file, and this model was not opened from a folder").At(where)
		}
		data, ok := files[e.Location]
		if !ok {
			var err error
			if data, err = openBeside(root, e.Location, r.acc.ExtraBytes-total); err != nil {
				return fail.In(err, "", where)
			}
			files[e.Location] = data
			total += int64(len(data))
		}
		n, _ := model.Count(in.Tensor.Shape)
		want := int64(in.Tensor.DType.Bytes(n))
		if e.Length < 0 {
			e.Length = want
		}
		if e.Length != want || e.Offset > int64(len(data)) || e.Length > int64(len(data))-e.Offset {
			return fail.New(fail.Corrupt, "bytes %d to %d of a file of %d bytes do not fill %s%v", e.Offset, e.Offset+e.Length, len(data),
				in.Tensor.DType, in.Tensor.Shape).At(where)
		}
		in.Tensor.Raw = data[e.Offset : e.Offset+e.Length : e.Offset+e.Length]
	}
	return nil
}

func openBeside(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := mapped.OpenIn(root, name)
	if err != nil {
		return nil, fail.New(fail.Invalid, "the weights lie in %q: %v", name, err).Try("put the file beside the model, inside its folder")
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil {
		if n := mapped.Links(st); n > 1 && st.Mode().IsRegular() {
			return nil, fail.New(fail.Denied, "the file has %d names (hard links); only files with one are read", n).Try("copy it")
		}
	}
	m, err := mapOpen(f, limit)
	return m.b, err
}
