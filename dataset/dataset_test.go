package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

var imageInput = model.Value{Name: "x", Type: model.TensorType(model.Float32, model.Shape{model.Sym("N"), model.Fixed(3), model.Fixed(2), model.Fixed(2)})}

func block(t *testing.T, edit func(*Preprocess)) *Preprocess {
	t.Helper()
	p := &Preprocess{Size: []int{2, 2}, Resize: "none", Crop: "none", Colour: "rgb", Scale: 1, Mean: []float64{0}, Std: []float64{1}}
	if edit != nil {
		edit(p)
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

func writePNG(t *testing.T, file string, pix func(x, y int) color.Color, w, h int) {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, pix(x, y))
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for k, name := range []string{"10/a.png", "10/b.png", "9/a.png", "9/b.png"} {
		writePNG(t, filepath.Join(dir, name), func(x, y int) color.Color { return color.NRGBA{uint8(10 * k), uint8(x), uint8(y), 128} }, 2, 2)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "9", "c.png")); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{Inputs: []model.Value{imageInput}, Preprocess: block(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Classes(), " "); got != "9 10" || s.Len() != 4 || !s.Labelled() {
		t.Fatalf("classes %q, %d items", got, s.Len())
	}
	var seen []string
	err = s.EachSample(context.Background(), 2, func(x Sample) error {
		v := model.Data[float32](x.Inputs["x"])
		seen = append(seen, x.File)
		if x.Inputs["x"].Shape[0] != 1 || v[4] != 0 || v[5] != 1 || v[10] != 1 {
			t.Errorf("%s: %v", x.File, v)
		}
		return nil
	})
	if err != nil || strings.Join(seen, " ") != "10/a.png 9/a.png" {
		t.Fatalf("%v: a limit does not spread over the classes: %v", err, seen)
	}
	if err := Disjoint(t.Context(), s, s); !fail.Is(err, fail.Invalid) || !strings.Contains(err.Error(), "4 of 4") {
		t.Fatalf("a set overlaps itself: %v", err)
	}
	if _, err := Open(t.TempDir(), Options{}); !fail.Is(err, fail.NotFound) {
		t.Fatalf("an empty folder: %v", err)
	}
	bare, _ := Open(dir, Options{Inputs: []model.Value{imageInput}})
	if err := bare.Each(context.Background(), 0, nil); err == nil || !strings.Contains(err.Error(), `resize = "bilinear"`) {
		t.Fatalf("pictures without a block: %v", err)
	}
	if s.Hash() == bare.Hash() {
		t.Fatal("the hash of a set does not depend on its preprocessing")
	}
}

func TestLabelsCSV(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "p", "a.png"), func(x, y int) color.Color { return color.Black }, 2, 2)
	write := func(s string) { os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(s), 0o644) }
	write("file,label\np/a.png,cat\n")
	s, err := Open(dir, Options{})
	if err != nil || s.Classes()[0] != "cat" {
		t.Fatalf("%v", err)
	}
	write("p/z.png,cat\n")
	if _, err := Open(dir, Options{}); !fail.Is(err, fail.NotFound) {
		t.Fatalf("a label of a file that is not there: %v", err)
	}
}

func TestPreprocessBlock(t *testing.T) {
	if _, err := ParsePreprocess([]byte(Example)); err != nil {
		t.Fatal(err)
	}
	p, _ := ParsePreprocess([]byte(Example))
	q, err := ParsePreprocess(p.Format())
	if err != nil || !bytes.Equal(p.Format(), q.Format()) {
		t.Fatalf("%v", err)
	}
	for _, c := range []struct{ name, edit, with, want string }{
		{"unknown key", "crop", "crp", "line 3, column 1"},
		{"wrong type", "scale = 0.00392156862745098", `scale = "x"`, "line 5"},
		{"absent", "scale = 0.00392156862745098", "", "absent: scale"},
		{"unknown word", `"rgb"`, `"hsv"`, "not one of"},
		{"zero deviation", "[0.229, 0.224, 0.225]", "[0.0, 1.0, 1.0]", "std"},
		{"two means", "[0.485, 0.456, 0.406]", "[0.1, 0.2]", "2 numbers for 3 channels"},
		{"one side", "[32, 32]", "[32]", "height, width"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParsePreprocess([]byte(strings.Replace(Example, c.edit, c.with, 1)))
			if !fail.Is(err, fail.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want ...%s", err, c.want)
			}
		})
	}
}

func TestTensor(t *testing.T) {
	img := &Picture{W: 2, H: 2, Pix: []byte{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 255}}
	typ := func(d model.DType, dims ...int) model.Value {
		return model.Value{Name: "x", Type: model.TensorType(d, model.FixedShape(dims...))}
	}
	for _, c := range []struct {
		name string
		edit func(*Preprocess)
		in   model.Value
		want []float64
	}{
		{"NCHW", func(p *Preprocess) { p.Scale, p.Mean, p.Std = 0.1, []float64{1, 0, 0}, []float64{0.5, 1, 1} }, typ(model.Float32, 1, 3, 2, 2),
			[]float64{-2, 4, 10, 16, 1, 4, 7, 10, 2, 5, 8, 25.5}},
		{"NHWC bgr uint8", func(p *Preprocess) { p.Colour = "bgr" }, typ(model.Uint8, 1, 2, 2, 3), []float64{20, 10, 0, 50, 40, 30, 80, 70, 60, 255, 100, 90}},
		{"int8 saturates", func(p *Preprocess) { p.Mean = []float64{128} }, typ(model.Int8, 3, 2, 2),
			[]float64{-128, -98, -68, -38, -118, -88, -58, -28, -108, -78, -48, 127}},
		{"gray", func(p *Preprocess) { p.Colour = "gray" }, typ(model.Float32, 1, 1, 2, 2), []float64{8, 38, 68, 115}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := block(t, c.edit).Tensor(img, c.in)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range c.want {
				if math.Abs(x.Float64At(i)-w) > 1e-5 {
					t.Fatalf("element %d is %v, want %v", i, x.Float64At(i), w)
				}
			}
		})
	}
	for _, in := range []model.Value{typ(model.Float32, 1, 3, 4, 4), typ(model.Float32, 8, 3, 2, 2), typ(model.Bool, 1, 3, 2, 2), {Name: "x"}} {
		if _, err := block(t, nil).Tensor(img, in); !fail.Is(err, fail.Invalid) {
			t.Errorf("%s: %v", in.Type, err)
		}
	}
}

func npy(t *testing.T, x *model.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteNpy(&b, x); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNpy(t *testing.T) {
	x := model.Float32s([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	y, err := ReadNpy(npy(t, x))
	if err != nil || !bytes.Equal(x.Raw, y.Raw) || len(npy(t, x))%64 != 24 {
		t.Fatalf("%v", err)
	}
	header := func(s string) []byte {
		return append(binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(s))), s...)
	}
	big := append(header("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }"), 0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6)
	z, err := ReadNpy(big)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if z.Int64At(i) != int64(i+1) {
			t.Fatalf("column-major, big endian: element %d is %d", i, z.Int64At(i))
		}
	}
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"empty", nil}, {"cut", npy(t, x)[:140]}, {"too long", append(npy(t, x), 0)}, {"object", header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")},
		{"huge", header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }")},
		{"code", header("{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os'),), }")},
		{"version 9", []byte("\x93NUMPY\x09\x00\x00\x00")},
	} {
		if _, err := ReadNpy(c.b); err == nil || fail.Is(err, fail.Internal) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTables(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	images := append([]byte{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2}, 1, 2, 3, 4)
	p := file("t-images-idx3-ubyte", images)
	file("t-labels-idx1-ubyte", []byte{0, 0, 8, 1, 0, 0, 0, 2, 7, 3})
	in := model.Value{Name: "x", Type: model.TensorType(model.Float32, model.FixedShape(1, 1, 1, 2))}
	s, err := Open(p, Options{Inputs: []model.Value{in}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = s.EachSample(context.Background(), 0, func(x Sample) error {
		n++
		if v := model.Data[float32](x.Inputs["x"]); v[0] != float32(2*x.Index+1) || s.Classes()[x.Label] != []string{"7", "3"}[x.Index] {
			t.Errorf("%v label %d", v, x.Label)
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Fatal(err, n)
	}
	s, err = Open(file("d.csv", []byte("a,label,b\n1,x,2\n3,y,4\n")), Options{})
	if err != nil || s.Len() != 2 || s.Classes()[1] != "y" || s.whole.row(1).Float64At(1) != 4 {
		t.Fatalf("%v", err)
	}
	if _, err := Open(file("bad.csv", []byte("a,b\n1,z\n")), Options{}); err == nil || !strings.Contains(err.Error(), "line 2, column 2") {
		t.Fatalf("%v", err)
	}
}

func TestBudget(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		t.Fatal(err)
	}
	bomb := b.Bytes()
	binary.BigEndian.PutUint32(bomb[16:], 60000)
	binary.BigEndian.PutUint32(bomb[20:], 60000)
	// The checksum of IHDR has to hold for the size to be believed at all.
	binary.BigEndian.PutUint32(bomb[29:], crc(bomb[12:29]))
	if _, err := DecodePicture(bomb, 1<<20); !fail.Is(err, fail.TooBig) {
		t.Fatalf("a bomb of 60000x60000: %v", err)
	}
	for _, junk := range [][]byte{nil, []byte("\xff\xd8"), []byte("BM"), []byte("\x89PNG\r\n\x1a\n"), []byte("RIFF1234WEBPVP8 "), []byte("hello")} {
		if _, err := DecodePicture(junk, 1<<20); err == nil || fail.Is(err, fail.Internal) {
			t.Errorf("%q: %v", junk, err)
		}
	}
}

func crc(b []byte) uint32 {
	c := ^uint32(0)
	for _, x := range b {
		c ^= uint32(x)
		for range 8 {
			c = c>>1 ^ 0xedb88320&-(c&1)
		}
	}
	return ^c
}

func FuzzNpy(f *testing.F) {
	var b bytes.Buffer
	_ = WriteNpy(&b, model.Float32s([]float32{1, 2}, 2))
	f.Add(b.Bytes())
	f.Add([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) { checkRead(t)(ReadNpy(b)) })
}

func FuzzIdx(f *testing.F) {
	f.Add([]byte{0, 0, 8, 1, 0, 0, 0, 2, 7, 3})
	f.Add([]byte{0, 0, 13, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) { checkRead(t)(ReadIdx(b)) })
}

func FuzzTensorProto(f *testing.F) {
	f.Add([]byte{8, 2, 16, 1, 0x4a, 8, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{16, 7, 8, 1, 0x3a, 1, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, x, err := readTensorProto(b)
		checkRead(t)(x, err)
	})
}

func FuzzPicture(f *testing.F) {
	var b bytes.Buffer
	_ = png.Encode(&b, image.NewGray(image.Rect(0, 0, 2, 2)))
	f.Add(b.Bytes())
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x10Exif\x00\x00MM\x00*\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePicture(b, 1<<16)
		if err == nil && len(p.Pix) != 3*p.W*p.H {
			t.Fatal("the pixels do not fill the picture")
		}
		if fail.Is(err, fail.Internal) {
			t.Fatal(err)
		}
	})
}

func checkRead(t *testing.T) func(*model.Tensor, error) {
	return func(x *model.Tensor, err error) {
		if err == nil {
			err = x.Check()
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if fail.Is(err, fail.Internal) {
			t.Fatalf("not a typed error: %v", err)
		}
	}
}
