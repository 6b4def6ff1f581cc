//go:build !amd64 && !arm64 && !arm

package cpu

// detect finds nothing: other architectures run the portable kernels.
func detect(*Features) {}
