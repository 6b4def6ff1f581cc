package pixels

import (
	"bufio"
	"errors"
	"image"
	"image/color"
	"io"
)

var errPNM = errors.New("no portable pixmap")

// header is what a portable bitmap, graymap or pixmap begins with: P1 to P3 in text, P4 to P6 in bytes.
type header struct {
	kind       byte
	w, h, most int
}

func readHeader(r *bufio.Reader) (header, error) {
	var mark [2]byte
	if _, err := io.ReadFull(r, mark[:]); err != nil || mark[0] != 'P' || mark[1] < '1' || mark[1] > '6' {
		return header{}, errPNM
	}
	h := header{kind: mark[1], most: 1}
	fields := []*int{&h.w, &h.h, &h.most}
	if h.kind == '1' || h.kind == '4' {
		fields = fields[:2]
	}
	for _, f := range fields {
		n, err := number(r)
		if err != nil {
			return h, err
		}
		*f = n
	}
	if h.w < 1 || h.h < 1 || h.most < 1 || h.most > 65535 {
		return h, errPNM
	}
	return h, nil
}

// number reads one of the numbers in text, over blanks and comments, and the one byte behind it.
func number(r *bufio.Reader) (int, error) {
	n, any := 0, false
	for {
		c, err := r.ReadByte()
		switch {
		case err != nil && any:
			return n, nil
		case err != nil:
			return 0, err
		case c >= '0' && c <= '9':
			if n = 10*n + int(c-'0'); n > 1<<24 {
				return 0, errPNM
			}
			any = true
		case any:
			return n, nil
		case c == '#':
			if _, err := r.ReadString('\n'); err != nil {
				return 0, err
			}
		case c != ' ' && c != '\t' && c != '\n' && c != '\r':
			return 0, errPNM
		}
	}
}

func sizePNM(r io.Reader) (image.Config, error) {
	h, err := readHeader(bufio.NewReader(r))
	return image.Config{ColorModel: color.NRGBAModel, Width: h.w, Height: h.h}, err
}

func decodePNM(r io.Reader) (image.Image, error) {
	b := bufio.NewReader(r)
	h, err := readHeader(b)
	if err != nil {
		return nil, err
	}
	img := image.NewNRGBA(image.Rect(0, 0, h.w, h.h))
	for y := range h.h {
		var bits byte
		for x := range h.w {
			p := img.Pix[y*img.Stride+4*x:]
			p[3] = 255
			if h.kind == '1' || h.kind == '4' { // 1 is black; in bytes, rows begin anew
				v := byte(0)
				switch {
				case h.kind == '1':
					v, err = digit(b)
				case x%8 == 0:
					bits, err = b.ReadByte()
					v = bits >> 7
				default:
					v = bits >> (7 - x%8) & 1
				}
				if err != nil {
					return nil, err
				}
				p[0], p[1], p[2] = 255*(1-v), 255*(1-v), 255*(1-v)
				continue
			}
			for c := range 3 {
				if c > 0 && (h.kind == '2' || h.kind == '5') {
					p[c] = p[0]
					continue
				}
				v, err := h.level(b)
				if err != nil {
					return nil, err
				}
				p[c] = byte((v*255 + h.most/2) / h.most)
			}
		}
	}
	return img, nil
}

// level reads one level: in text, in a byte, or in two where they do not fit one.
func (h header) level(r *bufio.Reader) (int, error) {
	if h.kind < '4' {
		v, err := number(r)
		if v > h.most {
			return 0, errPNM
		}
		return v, err
	}
	c, err := r.ReadByte()
	v := int(c)
	if err == nil && h.most > 255 {
		c, err = r.ReadByte()
		v = v<<8 | int(c)
	}
	return min(v, h.most), err
}

// digit reads a 0 or 1 of a bitmap in text, where blanks may be left out.
func digit(r *bufio.Reader) (byte, error) {
	for {
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return 0, err
		case c == '0' || c == '1':
			return c - '0', nil
		case c != ' ' && c != '\t' && c != '\n' && c != '\r':
			return 0, errPNM
		}
	}
}
