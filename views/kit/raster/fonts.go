package raster

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/image/font/sfnt"
)

// Style is a weight.
type Style uint8

// The weights.
const (
	Regular Style = iota
	Bold
	styles
)

// Fonts is a fallback chain per style: the first face that has the rune wins.
type Fonts struct {
	chain [styles][]*sfnt.Font
}

// NewFonts reads a regular, a bold and a list of fallback fonts (TTF, OTF or TTC).
func NewFonts(regular, bold []byte, fallback ...[]byte) (*Fonts, error) {
	open := func(b []byte) (*sfnt.Font, error) {
		c, err := sfnt.ParseCollection(b)
		if err == nil {
			var f *sfnt.Font
			if f, err = c.Font(0); err == nil {
				return f, nil
			}
		}
		if b = realign(b); b != nil {
			if f, err := sfnt.Parse(b); err == nil {
				return f, nil
			}
		}
		return nil, fmt.Errorf("font: %w", err)
	}
	f := &Fonts{}
	for s, p := range [][]byte{regular, bold} {
		x, err := open(p)
		if err != nil {
			return nil, err
		}
		f.chain[s] = append(f.chain[s], x)
	}
	for _, p := range fallback {
		x, err := open(p)
		if err != nil {
			return nil, err
		}
		for s := range f.chain {
			f.chain[s] = append(f.chain[s], x)
		}
	}
	return f, nil
}

// realign rewrites the first face of a font file with every table on a four byte
// border; some widespread CJK collections are packed tighter and sfnt refuses them.
func realign(b []byte) []byte {
	u16 := func(o int) int { return int(b[o])<<8 | int(b[o+1]) }
	u32 := func(o int) int { return u16(o)<<16 | u16(o+2) }
	o := 0
	if len(b) > 16 && string(b[:4]) == "ttcf" {
		o = u32(12)
	}
	if o+12 > len(b) {
		return nil
	}
	n := u16(o + 4)
	end := 12 + 16*n
	if o+end > len(b) {
		return nil
	}
	out := append([]byte(nil), b[o:o+end]...)
	for i := range n {
		at, size := u32(o+12+16*i+8), u32(o+12+16*i+12)
		if at > len(b) || size > len(b)-at {
			return nil
		}
		for len(out)&3 != 0 {
			out = append(out, 0)
		}
		binary.BigEndian.PutUint32(out[12+16*i+8:], uint32(len(out)))
		out = append(out, b[at:at+size]...)
	}
	return out
}
