package onnx

import (
	"encoding/binary"
	"strconv"

	pw "google.golang.org/protobuf/encoding/protowire"

	"fettle/internal/fail"
	"fettle/model"
)

// maxList bounds a list attribute.
const maxList = 1 << 24

func at(what string, i int) string { return what + "[" + strconv.Itoa(i) + "]" }

func (r *reader) init(b []byte) (*model.Init, error) {
	if err := r.spendValue(); err != nil {
		return nil, err
	}
	t, name, ext, err := r.tensor(b)
	if err != nil {
		return nil, fail.In(err, "", fail.Where{Tensor: name})
	}
	if name == "" {
		return nil, fail.New(fail.Invalid, "an initializer has no name")
	}
	return &model.Init{Name: name, Tensor: t, External: ext, Raw: b}, nil
}

func (r *reader) plainTensor(b []byte) (*model.Tensor, error) {
	t, _, ext, err := r.tensor(b)
	if err == nil && ext != nil {
		err = fail.New(fail.Unsupported, "a tensor attribute with external data")
	}
	return t, err
}

// tensor reads a TensorProto. Bytes of raw_data alias the file; typed fields are converted. For external data the tensor
// has no bytes yet.
func (r *reader) tensor(b []byte) (*model.Tensor, string, *model.External, error) {
	t := &model.Tensor{}
	var name string
	var dims []int64
	var f32, f64, i32, i64, u64 []byte // the typed fields, packed or as single elements joined
	var strs []string
	var ext *model.External
	hasRaw, external := false, false
	err := r.each(b, func(fd field) (err error) {
		switch fd.num {
		case 1:
			dims, err = varints(dims, fd, r.acc.Dims)
		case 2:
			if !model.DType(fd.u).Valid() || fd.u > 100 {
				return fail.New(fail.Invalid, "unknown element type %d", fd.u)
			}
			t.DType = model.DType(fd.u)
		case 4:
			f32 = packed(f32, fd)
		case 5:
			i32 = packed(i32, fd)
		case 6:
			if err = r.spendValue(); err == nil {
				strs = append(strs, string(fd.v))
			}
		case 7:
			i64 = packed(i64, fd)
		case 8:
			name, err = r.name(fd)
		case 9:
			if fd.typ != pw.BytesType {
				return fail.New(fail.Invalid, "raw_data is no byte string")
			}
			t.Raw, hasRaw = fd.v[:len(fd.v):len(fd.v)], true
		case 10:
			f64 = packed(f64, fd)
		case 11:
			u64 = packed(u64, fd)
		case 13:
			if ext == nil {
				ext = &model.External{Length: -1}
			}
			err = r.externalEntry(fd.v, ext)
		case 14:
			external = fd.u == 1
		}
		return err
	})
	if err != nil {
		return nil, name, nil, err
	}
	t.Shape = make([]int, len(dims))
	for i, d := range dims {
		if d < 0 || d > model.MaxElems {
			return nil, name, nil, fail.New(fail.Invalid, "dimension %d is %d", i, d).At(fail.Where{Field: "dims"})
		}
		t.Shape[i] = int(d)
	}
	n, err := model.Count(t.Shape)
	if err != nil {
		return nil, name, nil, fail.In(err, "", fail.Where{Field: "dims"})
	}
	if t.DType == model.Undefined {
		return nil, name, nil, fail.New(fail.Invalid, "has no element type")
	}
	if external {
		if ext == nil || ext.Location == "" {
			return nil, name, nil, fail.New(fail.Invalid, "external data without a location")
		}
		return t, name, ext, nil
	}
	if t.DType == model.String {
		t.Strs = strs
		return t, name, nil, t.Check()
	}
	if !hasRaw {
		if err := typed(t, n, f32, f64, i32, i64, u64); err != nil {
			return nil, name, nil, err
		}
	}
	return t, name, nil, t.Check()
}

// packed joins the pieces of a repeated number field: usually one packed piece, which stays where it is.
func packed(dst []byte, fd field) []byte {
	switch fd.typ {
	case pw.BytesType:
		if dst == nil {
			return fd.v[:len(fd.v):len(fd.v)]
		}
		return append(dst, fd.v...)
	case pw.Fixed32Type:
		return binary.LittleEndian.AppendUint32(dst, uint32(fd.u))
	case pw.Fixed64Type:
		return binary.LittleEndian.AppendUint64(dst, fd.u)
	}
	return pw.AppendVarint(dst, fd.u)
}

// typed fills t from the typed data fields, as the specification assigns element types to them.
func typed(t *model.Tensor, n int, f32, f64, i32, i64, u64 []byte) error {
	cut := func() error { return fail.New(fail.Corrupt, "the data does not fill %s%v", t.DType, t.Shape) }
	ints := func(src []byte, put func(i int, v uint64)) error {
		count := n
		if t.DType.Bits() == 4 {
			count = (n + 1) / 2 // two elements in each integer
		}
		if len(src) < count {
			return cut() // every varint takes a byte at least: nothing is allocated for a shape without data
		}
		t.Raw = model.Aligned(t.DType.Bytes(n))
		for i := range count {
			v, k := pw.ConsumeVarint(src)
			if k < 0 {
				return cut()
			}
			put(i, v)
			src = src[k:]
		}
		if len(src) != 0 {
			return cut()
		}
		return nil
	}
	switch t.DType {
	case model.Float32, model.Complex64:
		t.Raw = f32
		if t.Raw == nil {
			t.Raw = []byte{}
		}
		return nil // Check tells a wrong length
	case model.Float64, model.Complex128:
		t.Raw = f64
		if t.Raw == nil {
			t.Raw = []byte{}
		}
		return nil
	case model.Int64:
		return ints(i64, func(i int, v uint64) { binary.LittleEndian.PutUint64(t.Raw[8*i:], v) })
	case model.Uint64:
		return ints(u64, func(i int, v uint64) { binary.LittleEndian.PutUint64(t.Raw[8*i:], v) })
	case model.Uint32:
		return ints(u64, func(i int, v uint64) { binary.LittleEndian.PutUint32(t.Raw[4*i:], uint32(v)) })
	case model.Int32:
		return ints(i32, func(i int, v uint64) { binary.LittleEndian.PutUint32(t.Raw[4*i:], uint32(v)) })
	case model.Int16, model.Uint16, model.Float16, model.BFloat16:
		return ints(i32, func(i int, v uint64) { binary.LittleEndian.PutUint16(t.Raw[2*i:], uint16(v)) })
	}
	return ints(i32, func(i int, v uint64) { t.Raw[i] = byte(v) })
}

func (r *reader) externalEntry(b []byte, ext *model.External) error {
	var k, v string
	err := r.each(b, func(fd field) (err error) {
		switch fd.num {
		case 1:
			k, err = r.name(fd)
		case 2:
			v, err = r.name(fd)
		}
		return err
	})
	if err != nil {
		return err
	}
	number := func(dst *int64) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return fail.New(fail.Invalid, "external data with %s %q", k, v)
		}
		*dst = n
		return nil
	}
	switch k {
	case "location":
		ext.Location = v
	case "offset":
		return number(&ext.Offset)
	case "length":
		return number(&ext.Length)
	}
	return nil
}
