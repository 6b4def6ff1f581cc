// Package packed owns the form of a model file in which constants of few distinct bytes are Huffman coded, each with a code of its
// own: what the codebooks of cluster-weights and integers of few bits leave to gain on the way to a board. Unpack gives the file
// back byte for byte.
//
// It knows no ONNX: the caller says which stretches of the file are constants. Start reading at Pack.
//
//	"FETTLEPK" 1 | length of the file (8 bytes) | SHA-256 of the file | number of stretches (4)
//	for each stretch: offset (8), length (8), coded bytes (8), 256 lengths of codes in 4 bits (128 bytes), codes
//	the rest of the file, without the stretches
//
// Numbers are little endian. A stretch is coded only where that is smaller.
package packed

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"fettle/internal/fail"
)

// Magic begins a packed file.
const Magic = "FETTLEPK"

const version, header, perStretch, tableBytes = 1, len(Magic) + 1 + 8 + 32 + 4, 24, 128

// Is reports whether b begins as a packed file.
func Is(b []byte) bool { return bytes.HasPrefix(b, []byte(Magic)) }

// Stretch is a part of a file that is one constant.
type Stretch struct{ At, Len int }

// Size is the number of bytes that data takes in a packed file: coded with its table, or as it is where that is less.
func Size(data []byte) int {
	if n := coded(data, lengths(data)); n < len(data) {
		return n
	}
	return len(data)
}

// coded is the size of data with a table of code lengths.
func coded(data []byte, l [256]uint8) int {
	bits := 0
	for s, n := range histogram(data) {
		bits += n * int(l[s])
	}
	return perStretch + tableBytes + (bits+7)/8
}

func histogram(data []byte) (n [256]int) {
	for _, b := range data {
		n[b]++
	}
	return n
}

// Pack codes the stretches of file, which must not overlap.
func Pack(file []byte, stretches []Stretch) ([]byte, error) {
	stretches = slices.Clone(stretches)
	slices.SortFunc(stretches, func(a, b Stretch) int { return a.At - b.At })
	out := append([]byte(Magic), version)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(file)))
	sum := sha256.Sum256(file)
	out = append(out, sum[:]...)
	count := len(out)
	out = binary.LittleEndian.AppendUint32(out, 0)
	var rest []byte
	at, n := 0, 0
	for _, s := range stretches {
		if s.At < at || s.Len < 0 || s.At+s.Len > len(file) {
			return nil, fail.New(fail.Internal, "stretches of a file overlap or lie outside")
		}
		data := file[s.At:][:s.Len]
		l := lengths(data)
		if coded(data, l) >= len(data) {
			continue
		}
		rest = append(rest, file[at:s.At]...)
		at = s.At + s.Len
		out = append(out, section(s, data, l)...)
		n++
	}
	binary.LittleEndian.PutUint32(out[count:], uint32(n))
	return append(append(out, rest...), file[at:]...), nil
}

func section(s Stretch, data []byte, l [256]uint8) []byte {
	codes := codesOf(l)
	out := make([]byte, 0, len(data))
	acc, have := uint64(0), 0
	for _, b := range data {
		acc = acc<<l[b] | uint64(codes[b])
		for have += int(l[b]); have >= 8; have -= 8 {
			out = append(out, byte(acc>>(have-8)))
		}
	}
	if have > 0 {
		out = append(out, byte(acc<<(8-have)))
	}
	head := binary.LittleEndian.AppendUint64(nil, uint64(s.At))
	head = binary.LittleEndian.AppendUint64(head, uint64(s.Len))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(out)))
	for i := 0; i < 256; i += 2 {
		head = append(head, l[i]|l[i+1]<<4)
	}
	return append(head, out...)
}

// Unpack gives the file that Pack was given. fail.TooBig beyond limit bytes, fail.Corrupt for what Pack did not write.
func Unpack(b []byte, limit int64) ([]byte, error) {
	bad := func(format string, args ...any) error { return fail.New(fail.Corrupt, format, args...).Doing("unpack") }
	if !Is(b) || len(b) < header || b[len(Magic)] != version {
		return nil, bad("is no packed model of version %d", version)
	}
	p := b[len(Magic)+1:]
	size := binary.LittleEndian.Uint64(p)
	sum := p[8:40]
	n := int(binary.LittleEndian.Uint32(p[40:]))
	p = b[header:]
	if size > uint64(limit) {
		return nil, fail.New(fail.TooBig, "unpacks to %d bytes, at most %d are read", size, limit).Doing("unpack")
	}
	// A code has at least one bit.
	if size > 8*uint64(len(b)) {
		return nil, bad("%d bytes cannot hold %d", len(b), size)
	}
	type part struct {
		Stretch
		codes []byte
		l     [256]uint8
	}
	var parts []part
	at := 0
	for range n {
		if len(p) < perStretch+tableBytes {
			return nil, bad("a stretch is cut")
		}
		from, length, codes := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:]), binary.LittleEndian.Uint64(p[16:])
		if from < uint64(at) || length > size || from > size-length || codes > uint64(len(p)-perStretch-tableBytes) {
			return nil, bad("a stretch lies outside the file")
		}
		x := part{Stretch: Stretch{int(from), int(length)}, codes: p[perStretch+tableBytes:][:codes]}
		for i := range 128 {
			x.l[2*i], x.l[2*i+1] = p[perStretch+i]&15, p[perStretch+i]>>4
		}
		p = p[perStretch+tableBytes+int(codes):]
		at = x.At + x.Len
		parts = append(parts, x)
	}
	out := make([]byte, 0, size)
	for _, x := range parts {
		gap := x.At - len(out)
		if gap > len(p) {
			return nil, bad("the file is cut")
		}
		out = append(out, p[:gap]...)
		p = p[gap:]
		var ok bool
		if out, ok = decode(out, x.codes, x.l, x.Len); !ok {
			return nil, bad("the codes of the stretch at %d are damaged", x.At)
		}
	}
	out = append(out, p...)
	if got := sha256.Sum256(out); uint64(len(out)) != size || !bytes.Equal(got[:], sum) {
		return nil, bad("the contents are not those that were packed")
	}
	return out, nil
}
