package conv

import "fettle/kernels/cpu"

// copyPlace lays out the copy of the rows and columns that the taps of a convolution read, a vector a pixel and block of channels.
type copyPlace struct {
	s       Shape
	in, out cpu.Layout
	vec     int  // bytes of a pixel in the copy
	apart   bool // even and odd columns lie in rows of their own

	rows, cols   int // that are copied
	step         int // rows of the input from one that is copied to the next
	row, odd     int // bytes of a row; from its even columns to its odd ones
	plane        int // bytes of a block of channels
	down, across int // bytes from a row of the output to the next, and from a pixel
}

func (c copyPlace) place() copyPlace {
	s := c.s
	c.rows, c.step = (c.out.H-1)*s.SH+(s.KH-1)*s.DH+1, 1
	if s.KH == 1 { // only these are read
		c.rows, c.step = c.out.H, s.SH
	}
	c.cols = (c.out.W-1)*s.SW + (s.KW-1)*s.DW + 1
	c.row = c.cols * c.vec
	if c.apart {
		c.odd = (c.cols + 1) / 2 * c.vec
	}
	c.plane = roundUp(c.rows*c.row, 64)
	c.down, c.across = s.SH*c.row, s.SW*c.vec
	if s.KH == 1 {
		c.down = c.row
	}
	if c.apart {
		c.across = c.vec
	}
	return c
}

// at is where step i (block*taps + tap) of a tile begins.
func (c copyPlace) at(i int) int64 {
	s := c.s
	taps := s.KH * s.KW
	ky, kx := i%taps/s.KW*s.DH, i%taps%s.KW*s.DW
	o := i/taps*c.plane + ky*c.row
	if c.apart {
		return int64(o + kx%2*c.odd + kx/2*c.vec)
	}
	return int64(o + kx*c.vec)
}

// deltas are the distances from each of n steps to the next.
func (c copyPlace) deltas(n int) []int64 {
	l := make([]int64, n)
	for i := range n - 1 {
		l[i] = c.at(i+1) - c.at(i)
	}
	return l
}
