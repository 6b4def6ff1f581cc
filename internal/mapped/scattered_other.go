//go:build !linux

package mapped

func scattered([]byte) {}
