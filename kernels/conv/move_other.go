//go:build !arm64

package conv

// moveUp moves n floats of each of some blocks, step floats apart, from from to to, which lies before it.
func moveUp(d []float32, to, from, n, blocks, step int) {
	for b := range blocks {
		copy(d[b*step+to:][:n], d[b*step+from:])
	}
}
