package dataset

import (
	"encoding/binary"
	"math"

	"fettle/internal/fail"
	"fettle/model"
)

// ReadWav reads a RIFF WAVE file of PCM of 8, 16, 24 or 32 bits or of floats: float32[samples] from -1 to 1 at the rate of the file, the
// mean of its channels. fail.Corrupt for damaged files, fail.Unsupported for other codings.
//
// Source: Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft 1991); WAVEFORMATEXTENSIBLE.
func ReadWav(b []byte) (*model.Tensor, error) {
	bad := func(off int, format string, args ...any) error {
		return fail.New(fail.Corrupt, format, args...).Doing("read wav").At(fail.Where{Offset: int64(off), HasOff: true})
	}
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, bad(0, "is no WAVE file")
	}
	var format, channels, bits int
	for at := 12; at+8 <= len(b); {
		kind, n := string(b[at:at+4]), binary.LittleEndian.Uint32(b[at+4:])
		size := int(min(uint64(n), math.MaxInt))
		body := at + 8
		if kind == "data" && (size == 0 || n == math.MaxUint32 || size > len(b)-body) { // written before its end was known
			size = len(b) - body
		}
		if size > len(b)-body {
			return nil, bad(at, "the part %q of %d bytes is cut", kind, size)
		}
		switch kind {
		case "fmt ":
			if size < 16 {
				return nil, bad(at, "a format of %d bytes", size)
			}
			f := b[body:]
			format, channels, bits = int(binary.LittleEndian.Uint16(f)), int(binary.LittleEndian.Uint16(f[2:])), int(binary.LittleEndian.Uint16(f[14:]))
			if format == 0xfffe && size >= 26 {
				format = int(binary.LittleEndian.Uint16(f[24:]))
			}
		case "data":
			if channels == 0 {
				return nil, bad(at, "the samples stand before the format")
			}
			return samples(b[body:body+size], format, channels, bits)
		}
		at = body + size + size%2
	}
	return nil, bad(len(b), "holds no samples")
}

func samples(b []byte, format, channels, bits int) (*model.Tensor, error) {
	var value func(b []byte) float64
	switch {
	case format == 1 && bits == 8:
		value = func(b []byte) float64 { return (float64(b[0]) - 128) / 128 }
	case format == 1 && bits == 16:
		value = func(b []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(b))) / (1 << 15) }
	case format == 1 && bits == 24:
		value = func(b []byte) float64 {
			return float64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
		}
	case format == 1 && bits == 32:
		value = func(b []byte) float64 { return float64(int32(binary.LittleEndian.Uint32(b))) / (1 << 31) }
	case format == 3 && bits == 32:
		value = func(b []byte) float64 { return float64(f32(binary.LittleEndian.Uint32(b))) }
	case format == 3 && bits == 64:
		value = func(b []byte) float64 { return f64(binary.LittleEndian.Uint64(b)) }
	default:
		return nil, fail.New(fail.Unsupported, "sounds of coding %d with %d bits are not read", format, bits).Doing("read wav").Try("convert them to PCM of 16 bits")
	}
	step := bits / 8
	n := len(b) / (step * channels)
	t := model.NewTensor(model.Float32, n)
	out := model.Data[float32](t)
	for i := range out {
		sum := 0.0
		for c := range channels {
			sum += value(b[(i*channels+c)*step:])
		}
		out[i] = float32(sum / float64(channels))
	}
	return t, nil
}

// FitSound gives samples the length that the last axis of the input has, cut or filled with silence at the end, and axes of one
// in front of it.
func FitSound(t *model.Tensor, in model.Type) *model.Tensor {
	t = lengthen(t, in)
	if in.Ranked {
		for len(t.Shape) < len(in.Shape) {
			t = t.Reshaped(append([]int{1}, t.Shape...)...)
		}
	}
	return t
}

// lengthen is FitSound but for the batch axis.
func lengthen(t *model.Tensor, in model.Type) *model.Tensor {
	if !in.Ranked || len(in.Shape) == 0 {
		return t
	}
	if last := in.Shape[len(in.Shape)-1]; last.Known() && last.N != t.Len() {
		out := model.NewTensor(model.Float32, last.N)
		copy(model.Data[float32](out), model.Data[float32](t))
		t = out
	}
	for len(t.Shape) < len(in.Shape)-1 {
		t = t.Reshaped(append([]int{1}, t.Shape...)...)
	}
	return t
}
