package dataset

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
)

// wave is a file of frames; each frame holds a number for each channel.
func wave(format, bits int, frames ...[]float64) []byte {
	var data []byte
	for _, f := range frames {
		for _, x := range f {
			switch {
			case format == 3 && bits == 32:
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(x)))
			case format == 3:
				data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
			case bits == 8:
				data = append(data, byte(int(x*128)+128))
			default:
				v := uint32(int32(x * (1 << 31)))
				for i := 4 - bits/8; i < 4; i++ {
					data = append(data, byte(v>>(8*i)))
				}
			}
		}
	}
	channels := len(frames[0])
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt ")
	head = binary.LittleEndian.AppendUint32(head, 16)
	head = binary.LittleEndian.AppendUint16(head, uint16(format))
	head = binary.LittleEndian.AppendUint16(head, uint16(channels))
	head = binary.LittleEndian.AppendUint32(head, 8000)
	head = binary.LittleEndian.AppendUint32(head, uint32(8000*channels*bits/8))
	head = binary.LittleEndian.AppendUint16(head, uint16(channels*bits/8))
	head = binary.LittleEndian.AppendUint16(head, uint16(bits))
	head = append(head, "LIST\x03\x00\x00\x00abc\x00data"...) // a part of odd length is padded
	head = binary.LittleEndian.AppendUint32(head, uint32(len(data)))
	return append(head, data...)
}

func TestReadWav(t *testing.T) {
	for _, c := range []struct {
		name string
		file []byte
	}{
		{"8 bits", wave(1, 8, []float64{0.5, 0.5}, []float64{-1, -1}, []float64{0, 0.5})},
		{"16 bits", wave(1, 16, []float64{0.5, 0.5}, []float64{-1, -1}, []float64{0, 0.5})},
		{"24 bits", wave(1, 24, []float64{0.5, 0.5}, []float64{-1, -1}, []float64{0, 0.5})},
		{"32 bits", wave(1, 32, []float64{0.5, 0.5}, []float64{-1, -1}, []float64{0, 0.5})},
		{"floats", wave(3, 32, []float64{0.5, 0.5}, []float64{-1, -1}, []float64{0, 0.5})},
		{"doubles", wave(3, 64, []float64{0.5, 0.5}, []float64{-1, -1}, []float64{0, 0.5})},
	} {
		got, err := ReadWav(c.file)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i, want := range []float32{0.5, -1, 0.25} {
			if v := model.Data[float32](got); len(v) != 3 || math.Abs(float64(v[i]-want)) > 1e-6 {
				t.Errorf("%s: %v", c.name, v)
			}
		}
		for n := range len(c.file) - 1 { // cut files are refused or shorter, never a panic
			if x, err := ReadWav(c.file[:n]); err == nil && x.Len() > 3 {
				t.Errorf("%s cut at %d: %v", c.name, n, x)
			}
		}
	}
	if _, err := ReadWav(wave(7, 8, []float64{0})); !fail.Is(err, fail.Unsupported) {
		t.Errorf("mu-law: %v", err)
	}
	if _, err := ReadWav([]byte("RIFF....AVI ")); !fail.Is(err, fail.Corrupt) {
		t.Errorf("another file: %v", err)
	}
}

func TestFolderOfSounds(t *testing.T) {
	dir := t.TempDir()
	for i, class := range []string{"no", "yes"} {
		if err := os.MkdirAll(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		frames := make([][]float64, 3+4*i)
		for k := range frames {
			frames[k] = []float64{0.25}
		}
		if err := os.WriteFile(filepath.Join(dir, class, "a.wav"), wave(1, 16, frames...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := model.Value{Name: "x", Type: model.TensorType(model.Float32, model.Shape{model.Fixed(1), model.Fixed(1), model.Fixed(5)})}
	s, err := Open(dir, Options{Inputs: []model.Value{in}})
	if err != nil || s.Len() != 2 || !s.Labelled() {
		t.Fatalf("%v %+v", err, s)
	}
	var sums []float32
	err = s.EachSample(context.Background(), 0, func(x Sample) error {
		sum := float32(0)
		for _, v := range model.Data[float32](x.Inputs["x"]) {
			sum += v
		}
		sums = append(sums, sum)
		if x.Inputs["x"].Len() != 5 || len(x.Inputs["x"].Shape) != 3 {
			t.Errorf("%v", x.Inputs["x"].Shape)
		}
		return nil
	})
	if err != nil || sums[0] != 0.75 || sums[1] != 1.25 {
		t.Errorf("%v %v", sums, err)
	}
}
