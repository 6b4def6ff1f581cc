package pack

// Pixels lays the three planes of a row of a picture side by side: dst has three elements for each of red.
func Pixels(dst, red, green, blue []float32) {
	green, blue, dst = green[:len(red)], blue[:len(red)], dst[:3*len(red)]
	for x := pixels(dst, red, green, blue); x < len(red); x++ {
		p := dst[3*x : 3*x+3 : 3*x+3]
		p[0], p[1], p[2] = red[x], green[x], blue[x]
	}
}

// Pixels8 is Pixels for bytes, each exclusive or flip.
func Pixels8(dst, red, green, blue []uint8, flip uint8) {
	green, blue, dst = green[:len(red)], blue[:len(red)], dst[:3*len(red)]
	for x := pixels8(dst, red, green, blue, flip); x < len(red); x++ {
		p := dst[3*x : 3*x+3 : 3*x+3]
		p[0], p[1], p[2] = red[x]^flip, green[x]^flip, blue[x]^flip
	}
}
