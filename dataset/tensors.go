package dataset

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"fettle/internal/fail"
	"fettle/model"
)

// ReadTensors reads a file of kind ".npy", ".wav" or ".pb" (one tensor, named "" or as the TensorProto says) or ".npz"
// (tensors by name).
func ReadTensors(ext string, b []byte, budget Budget) (map[string]*model.Tensor, error) {
	switch ext {
	case ".npy":
		t, err := ReadNpy(b)
		return map[string]*model.Tensor{"": t}, err
	case ".npz":
		return readNpz(b, budget)
	case ".pb":
		name, t, err := readTensorProto(b)
		return map[string]*model.Tensor{name: t}, err
	case ".wav":
		t, err := ReadWav(b)
		return map[string]*model.Tensor{"": t}, err
	}
	return nil, fail.New(fail.Unsupported, "files of kind %q hold no tensors", ext)
}

var npyKinds = map[string]model.DType{
	"f2": model.Float16, "f4": model.Float32, "f8": model.Float64, "i1": model.Int8, "i2": model.Int16, "i4": model.Int32,
	"i8": model.Int64, "u1": model.Uint8, "u2": model.Uint16, "u4": model.Uint32, "u8": model.Uint64, "b1": model.Bool,
	"c8": model.Complex64, "c16": model.Complex128,
}

var npyHeader = regexp.MustCompile(`^\s*\{\s*'descr'\s*:\s*'([<>|=])([a-z]\d+)'\s*,\s*'fortran_order'\s*:\s*(True|False)\s*,\s*'shape'\s*:\s*\(([0-9,\sL]*)\)\s*,?\s*\}\s*$`)

// ReadNpy reads a numpy array of versions 1 to 3, numbers and booleans of either byte order, in C or Fortran
// order. The bytes must fill the shape exactly.
//
// Source: NumPy, NEP 1 and numpy/lib/format.py.
func ReadNpy(b []byte) (*model.Tensor, error) {
	bad := func(off int, format string, args ...any) error {
		return fail.New(fail.Corrupt, format, args...).Doing("read npy").At(fail.Where{Offset: int64(off), HasOff: true})
	}
	if len(b) < 10 || string(b[:6]) != "\x93NUMPY" {
		return nil, bad(0, "is no npy file")
	}
	size, at := int(binary.LittleEndian.Uint16(b[8:])), 10
	switch b[6] {
	case 1:
	case 2, 3:
		if len(b) < 12 {
			return nil, bad(8, "the header is cut")
		}
		n := binary.LittleEndian.Uint32(b[8:])
		if n > 1<<16 {
			return nil, bad(8, "a header of %d bytes", n)
		}
		size, at = int(n), 12
	default:
		return nil, bad(6, "version %d is not known", b[6])
	}
	if len(b) < at+size {
		return nil, bad(at, "the header is cut")
	}
	h := npyHeader.FindStringSubmatch(string(b[at : at+size]))
	if h == nil {
		return nil, bad(at, "the header is not that of an array of numbers: %.80q", b[at:at+size])
	}
	at += size
	dt, ok := npyKinds[h[2]]
	if !ok {
		return nil, fail.New(fail.Unsupported, "arrays of type %s are not read", h[2]).Doing("read npy")
	}
	shape := []int{}
	for _, d := range strings.Split(h[4], ",") {
		d = strings.TrimSuffix(strings.TrimSpace(d), "L")
		if d == "" {
			continue
		}
		n, err := strconv.ParseInt(d, 10, 64)
		if err != nil || n > model.MaxElems {
			return nil, bad(at, "a dimension of %s", d)
		}
		shape = append(shape, int(n))
	}
	if len(shape) > 32 {
		return nil, bad(at, "%d dimensions", len(shape))
	}
	n, err := model.Count(shape)
	if err != nil {
		return nil, err
	}
	if want := dt.Bytes(n); len(b)-at != want {
		return nil, bad(at, "%d bytes of data for %s%v, want %d", len(b)-at, dt, shape, want)
	}
	t := model.NewTensor(dt, shape...)
	copy(t.Raw, b[at:])
	if h[1] == ">" {
		swap(t)
	}
	if h[3] == "True" {
		t = fromFortran(t)
	}
	return t, nil
}

func swap(t *model.Tensor) {
	w := t.DType.Bits() / 8
	if t.DType == model.Complex64 || t.DType == model.Complex128 {
		w /= 2
	}
	for i := 0; i+w <= len(t.Raw); i += w {
		for a, z := i, i+w-1; a < z; a, z = a+1, z-1 {
			t.Raw[a], t.Raw[z] = t.Raw[z], t.Raw[a]
		}
	}
}

// fromFortran turns column-major data, which t.Raw holds, into row-major.
func fromFortran(t *model.Tensor) *model.Tensor {
	r := len(t.Shape)
	if r < 2 {
		return t
	}
	out := model.NewTensor(t.DType, t.Shape...)
	w := t.DType.Bits() / 8
	index := make([]int, r)
	stride := make([]int, r)
	s := 1
	for i := range r {
		stride[i] = s
		s *= t.Shape[i]
	}
	for i := range t.Len() {
		at := 0
		for d := range r {
			at += index[d] * stride[d]
		}
		copy(out.Raw[i*w:(i+1)*w], t.Raw[at*w:])
		for d := r - 1; d >= 0; d-- {
			if index[d]++; index[d] < t.Shape[d] {
				break
			}
			index[d] = 0
		}
	}
	return out
}

func readNpz(b []byte, budget Budget) (map[string]*model.Tensor, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fail.New(fail.Corrupt, "%v", err).Doing("read npz")
	}
	out := map[string]*model.Tensor{}
	left := budget.Bytes
	if len(z.File) > 4096 {
		return nil, fail.New(fail.TooBig, "holds %d files", len(z.File)).Doing("read npz")
	}
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, fail.New(fail.Corrupt, "%v", err).Doing("read npz")
		}
		data, err := readAll(r, left)
		r.Close()
		if err != nil {
			return nil, fail.In(err, "read npz", fail.Where{Field: f.Name})
		}
		left -= int64(len(data))
		if out[name], err = ReadNpy(data); err != nil {
			return nil, fail.In(err, "read npz", fail.Where{Field: f.Name})
		}
	}
	if len(out) == 0 {
		return nil, fail.New(fail.Invalid, "holds no arrays").Doing("read npz")
	}
	return out, nil
}

// readTensorProto reads ONNX's TensorProto as test data sets hold it.
//
// Source: onnx/onnx.proto.
func readTensorProto(b []byte) (string, *model.Tensor, error) {
	bad := func(format string, args ...any) error {
		return fail.New(fail.Corrupt, format, args...).Doing("read TensorProto")
	}
	var name string
	var dims []int
	var raw []byte
	var dt model.DType
	var ints []int64
	var floats []float64
	var strs []string
	hasRaw := false
	for rest := b; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return "", nil, bad("damaged at byte %d", len(b)-len(rest))
		}
		rest = rest[n:]
		size := protowire.ConsumeFieldValue(num, typ, rest)
		if size < 0 {
			return "", nil, bad("field %d is cut at byte %d", num, len(b)-len(rest))
		}
		field := rest[:size]
		rest = rest[size:]
		payload := field
		if typ == protowire.BytesType {
			payload, _ = protowire.ConsumeBytes(field)
		}
		switch num {
		case 1, 5, 7, 11: // dims, int32_data, int64_data, uint64_data, packed or not
			for p := payload; len(p) > 0; {
				v, k := protowire.ConsumeVarint(p)
				if k < 0 {
					return "", nil, bad("field %d is damaged", num)
				}
				if p = p[k:]; num == 1 {
					if v > model.MaxElems || len(dims) > 64 {
						return "", nil, bad("a dimension of %d", int64(v))
					}
					dims = append(dims, int(v))
				} else {
					ints = append(ints, int64(v))
				}
			}
		case 2:
			v, _ := protowire.ConsumeVarint(payload)
			if typ != protowire.VarintType || v > 200 || !model.DType(v).Valid() {
				return "", nil, bad("element type %d is not known", v)
			}
			dt = model.DType(v)
		case 4:
			for p := payload; len(p) >= 4; p = p[4:] {
				floats = append(floats, float64(f32(binary.LittleEndian.Uint32(p))))
			}
		case 10:
			for p := payload; len(p) >= 8; p = p[8:] {
				floats = append(floats, f64(binary.LittleEndian.Uint64(p)))
			}
		case 6:
			strs = append(strs, string(payload))
		case 8:
			name = string(payload)
		case 9:
			raw, hasRaw = payload, true
		case 13, 14:
			if num == 14 && typ == protowire.VarintType && payload[0] == 0 {
				break
			}
			return "", nil, fail.New(fail.Unsupported, "the data lies in another file").Doing("read TensorProto")
		}
	}
	n, err := model.Count(dims)
	if err != nil {
		return "", nil, err
	}
	if !dt.Valid() {
		return "", nil, bad("no element type")
	}
	if dt == model.String {
		if len(strs) != n {
			return "", nil, bad("%d texts for shape %v", len(strs), dims)
		}
		return name, model.Strings(strs, dims...), nil
	}
	if hasRaw {
		if len(raw) != dt.Bytes(n) {
			return "", nil, bad("%d bytes for %s%v, want %d", len(raw), dt, dims, dt.Bytes(n))
		}
		t := model.NewTensor(dt, dims...)
		copy(t.Raw, raw)
		return name, t, nil
	}
	have := max(len(ints), len(floats))
	if dt.Bits() < 8 || dt == model.Complex64 || dt == model.Complex128 {
		return "", nil, fail.New(fail.Unsupported, "%s outside raw_data is not read", dt).Doing("read TensorProto")
	}
	if have != n {
		return "", nil, bad("%d elements for shape %v", have, dims)
	}
	t := model.NewTensor(dt, dims...)
	for i := range n {
		switch {
		case len(floats) > 0:
			t.SetFloat64(i, floats[i])
		case dt == model.Float16 || dt == model.BFloat16: // int32_data holds the bits
			binary.LittleEndian.PutUint16(t.Raw[2*i:], uint16(ints[i]))
		case dt.Bits() == 8:
			t.Raw[i] = byte(ints[i])
		default:
			t.SetInt64(i, ints[i])
		}
	}
	return name, t, nil
}

// WriteNpy writes t as numpy reads it. fail.Unsupported for types that numpy does not have.
func WriteNpy(w io.Writer, t *model.Tensor) error {
	descr := ""
	for k, d := range npyKinds {
		if d == t.DType {
			descr = "<" + k
			if d.Bits() == 8 {
				descr = "|" + k
			}
		}
	}
	if descr == "" {
		return fail.New(fail.Unsupported, "numpy has no %s", t.DType).Doing("write npy")
	}
	dims := ""
	for _, d := range t.Shape {
		dims += strconv.Itoa(d) + ", "
	}
	if len(t.Shape) > 1 {
		dims = strings.TrimSuffix(dims, ", ")
	} else {
		dims = strings.TrimSuffix(dims, " ")
	}
	h := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, dims)
	pad := 64 - (10+len(h)+1)%64
	h += strings.Repeat(" ", pad%64) + "\n"
	head := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(h)))
	if _, err := w.Write(append(head, h...)); err != nil {
		return fail.New(fail.Denied, "%v", err).Doing("write npy")
	}
	if _, err := w.Write(t.Raw); err != nil {
		return fail.New(fail.Denied, "%v", err).Doing("write npy")
	}
	return nil
}

// WriteNpz writes tensors by name, in the order of names, not compressed.
func WriteNpz(w io.Writer, names []string, ts map[string]*model.Tensor) error {
	z := zip.NewWriter(w)
	for _, n := range names {
		f, err := z.CreateHeader(&zip.FileHeader{Name: path.Clean(n) + ".npy", Method: zip.Store})
		if err != nil {
			return fail.New(fail.Denied, "%v", err).Doing("write npz")
		}
		if err := WriteNpy(f, ts[n]); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return fail.New(fail.Denied, "%v", err).Doing("write npz")
	}
	return nil
}
