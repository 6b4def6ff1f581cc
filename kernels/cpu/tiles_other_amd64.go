//go:build !linux

package cpu

func permitTiles() string { return "tile registers are used on Linux only" }
