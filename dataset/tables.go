package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"fettle/internal/fail"
	"fettle/model"
)

func f32(b uint32) float32 { return math.Float32frombits(b) }
func f64(b uint64) float64 { return math.Float64frombits(b) }

// table is a file whose first axis counts items.
type table struct{ t *model.Tensor }

func (x *table) size() int { return len(x.t.Raw) / max(x.t.Shape[0], 1) }

func (x *table) bytes(i int) []byte { n := x.size(); return x.t.Raw[i*n : (i+1)*n] }

func (x *table) row(i int) *model.Tensor {
	t := &model.Tensor{DType: x.t.DType, Shape: x.t.Shape[1:], Raw: x.bytes(i)}
	return t.Clone()
}

// file opens one file that holds all items.
func (s *Set) file() error {
	b, err := s.load(s.root)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(strings.ToLower(filepath.Base(s.root)), ".gz")
	var labels []string
	var t *model.Tensor
	switch ext := filepath.Ext(name); {
	case ext == ".npy" || ext == ".npz":
		ts, err := ReadTensors(ext, b, s.opts.Budget)
		if err != nil {
			return err
		}
		for k, x := range ts {
			if len(ts) == 1 || k == "x" {
				t = x
			}
		}
		if y := ts["y"]; y != nil && y.DType.Integer() && len(ts) > 1 {
			for i := range y.Len() {
				labels = append(labels, strconv.FormatInt(y.Int64At(i), 10))
			}
		}
		if t == nil {
			return fail.New(fail.Invalid, "holds several arrays, none called x").Try("name the items x and the labels y")
		}
	case ext == ".csv":
		t, labels, err = readCSV(b)
	case strings.Contains(name, "idx"):
		if t, err = ReadIdx(b); err == nil {
			labels, err = s.idxLabels()
		}
	default:
		return fail.New(fail.Unsupported, "files of this kind are not read as data").Try("give a folder, or a .npy, .npz, .csv or idx file")
	}
	if err != nil {
		return err
	}
	if t.Rank() < 1 || t.DType == model.String {
		return fail.New(fail.Invalid, "%s%v has no axis that counts items", t.DType, t.Shape)
	}
	if labels != nil && len(labels) != t.Shape[0] {
		return fail.New(fail.Invalid, "%d labels for %d items", len(labels), t.Shape[0])
	}
	t = s.convert(t)
	s.whole = &table{t}
	known := map[string]int{}
	for _, l := range labels {
		if _, ok := known[l]; !ok {
			known[l] = 0
			s.classes = append(s.classes, l)
		}
	}
	sortLabels(s.classes)
	for i, c := range s.classes {
		known[c] = i
	}
	for i := range t.Shape[0] {
		it := item{row: i, label: -1}
		if labels != nil {
			it.label = known[labels[i]]
		}
		s.items = append(s.items, it)
	}
	return nil
}

// convert gives pixels of an idx or csv file the element type and shape of the only input, where the number of
// elements fits: 28x28 bytes become float32[1, 1, 28, 28] with the same values.
func (s *Set) convert(t *model.Tensor) *model.Tensor {
	if len(s.opts.Inputs) != 1 || !s.opts.Inputs[0].Type.Ranked {
		return t
	}
	in := s.opts.Inputs[0].Type
	shape := []int{t.Shape[0]}
	n := 1
	for i, d := range in.Shape {
		if i > 0 {
			shape = append(shape, d.N)
			n *= max(d.N, 0)
		}
	}
	each := t.Len() / max(t.Shape[0], 1)
	if n == each && len(in.Shape) > 0 {
		t = t.Reshaped(shape...)
	}
	if t.DType == model.Uint8 && in.DType == model.Float32 {
		c := model.NewTensor(model.Float32, t.Shape...)
		f := model.Data[float32](c)
		for i, v := range t.Raw {
			f[i] = float32(v)
		}
		return c
	}
	return t
}

// load reads a file, unpacking gzip within the budget.
func (s *Set) load(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fail.New(fail.NotFound, "%v", err)
	}
	defer f.Close()
	b, err := readAll(f, s.opts.Budget.Bytes)
	if err != nil || len(b) < 2 || b[0] != 0x1f || b[1] != 0x8b {
		return b, err
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fail.New(fail.Corrupt, "%v", err)
	}
	return readAll(z, s.opts.Budget.Bytes)
}

// idxLabels finds the labels beside …images-idx3…: …labels-idx1….
func (s *Set) idxLabels() ([]string, error) {
	dir, base := filepath.Split(s.root)
	other := strings.NewReplacer("images", "labels", "idx3", "idx1").Replace(base)
	if other == base {
		return nil, nil
	}
	b, err := s.load(dir + other)
	if fail.Is(err, fail.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fail.In(err, "", fail.Where{File: dir + other})
	}
	t, err := ReadIdx(b)
	if err != nil || t.Rank() != 1 || !t.DType.Integer() {
		return nil, fail.New(fail.Corrupt, "is no list of labels").At(fail.Where{File: dir + other})
	}
	out := make([]string, t.Len())
	for i := range out {
		out[i] = strconv.FormatInt(t.Int64At(i), 10)
	}
	return out, nil
}

var idxKinds = map[byte]model.DType{8: model.Uint8, 9: model.Int8, 11: model.Int16, 12: model.Int32, 13: model.Float32, 14: model.Float64}

// ReadIdx reads the format of the MNIST files: two zero bytes, element type, rank, dimensions, data, all big
// endian. The bytes must fill the shape exactly.
//
// Source: Y. LeCun, "THE MNIST DATABASE", file format section.
func ReadIdx(b []byte) (*model.Tensor, error) {
	bad := func(off int, format string, args ...any) error {
		return fail.New(fail.Corrupt, format, args...).Doing("read idx").At(fail.Where{Offset: int64(off), HasOff: true})
	}
	if len(b) < 4 || b[0] != 0 || b[1] != 0 {
		return nil, bad(0, "is no idx file")
	}
	dt, ok := idxKinds[b[2]]
	if !ok {
		return nil, bad(2, "element type %d is not known", b[2])
	}
	r := int(b[3])
	at := 4 + 4*r
	if r == 0 || len(b) < at {
		return nil, bad(3, "%d dimensions in %d bytes", r, len(b))
	}
	shape := make([]int, r)
	for i := range shape {
		shape[i] = int(binary.BigEndian.Uint32(b[4+4*i:]))
	}
	n, err := model.Count(shape)
	if err != nil {
		return nil, fail.In(err, "read idx", fail.Where{})
	}
	if len(b)-at != dt.Bytes(n) {
		return nil, bad(at, "%d bytes of data for %s%v, want %d", len(b)-at, dt, shape, dt.Bytes(n))
	}
	t := model.NewTensor(dt, shape...)
	copy(t.Raw, b[at:])
	swap(t)
	return t, nil
}

// readCSV reads rows of numbers. A first row that is no numbers names the columns; one called label is the label.
func readCSV(b []byte) (*model.Tensor, []string, error) {
	r := csv.NewReader(bytes.NewReader(b))
	r.ReuseRecord = true
	var values []float32
	var labels []string
	label, width, rows := -1, 0, 0
	for line := 1; ; line++ {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fail.New(fail.Corrupt, "%v", err).Doing("read csv")
		}
		if line == 1 {
			if _, err := strconv.ParseFloat(strings.TrimSpace(rec[0]), 32); err != nil {
				for i, c := range rec {
					if strings.EqualFold(strings.TrimSpace(c), "label") {
						label = i
					}
				}
				continue
			}
		}
		width = len(rec)
		for i, c := range rec {
			if i == label {
				labels = append(labels, strings.Clone(strings.TrimSpace(c)))
				continue
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(c), 32)
			if err != nil {
				return nil, nil, fail.New(fail.Invalid, "line %d, column %d: %q is no number", line, i+1, c).Doing("read csv")
			}
			values = append(values, float32(v))
		}
		rows++
	}
	if rows == 0 {
		return nil, nil, fail.New(fail.Invalid, "holds no rows").Doing("read csv")
	}
	if label >= 0 {
		width--
	}
	return model.Float32s(values, rows, width), labels, nil
}

// readLabels reads file,label rows; a first row "file,label" is a heading. Every file named has to be there.
func readLabels(f io.Reader, files []string) (map[string]string, error) {
	there := map[string]bool{}
	for _, x := range files {
		there[x] = true
	}
	where := fail.Where{File: "labels.csv"}
	r := csv.NewReader(f)
	r.FieldsPerRecord = 2
	out := map[string]string{}
	for line := 1; ; line++ {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fail.New(fail.Invalid, "%v", err).At(where).Try("write lines of file,label")
		}
		if line == 1 && rec[0] == "file" {
			continue
		}
		name := filepath.ToSlash(filepath.Clean(rec[0]))
		if !there[name] {
			return nil, fail.New(fail.NotFound, "line %d: %q is not in the folder", line, rec[0]).At(where)
		}
		out[name] = rec[1]
	}
}
