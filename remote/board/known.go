package board

import (
	"slices"
	"strings"
)

// Known is a board that many have: what its makers say of it, for a first answer before one is at hand. It says nothing of how a certain
// board is now.
type Known struct {
	Name   string // what a user types: pi4
	Title  string
	Facts  Facts
	Source string
}

// AllKnown are the boards that are built in.
func AllKnown() []Known {
	plain := []string{"aes", "asimd", "crc32", "fp", "pmull", "sha1", "sha2"}
	bare := []string{"asimd", "crc32", "fp"} // a Raspberry Pi 3 or 4 has no AES
	dot := []string{"aes", "asimd", "asimddp", "asimdhp", "atomics", "crc32", "fp", "fphp", "pmull", "sha1", "sha2"}
	make := func(name, title, source string, isa []string, cores ...[]Core) Known {
		return Known{name, title, Facts{SoC: title, Arch: "arm64", ISA: isa, Cores: slices.Concat(cores...), OS: "Linux", StorageFree: -1, Runtimes: []Runtime{},
			Absent: []string{"everything that changes: these are the maker's figures, no board was asked"}}, source}
	}
	n := func(n int, part string, mhz int64) []Core {
		return slices.Repeat([]Core{{Part: part, MaxHz: mhz * 1e6}}, n)
	}
	return []Known{
		make("pi3", "Raspberry Pi 3 Model B+", "Raspberry Pi documentation, BCM2837B0", bare, n(4, "Cortex-A53", 1400)),
		make("pi4", "Raspberry Pi 4 Model B", "Raspberry Pi documentation, BCM2711 with arm_boost", bare, n(4, "Cortex-A72", 1800)),
		make("pi5", "Raspberry Pi 5", "Raspberry Pi documentation, BCM2712", dot, n(4, "Cortex-A76", 2400)),
		make("rk3399", "Rockchip RK3399", "Rockchip RK3399 datasheet", plain, n(4, "Cortex-A53", 1416), n(2, "Cortex-A72", 1800)),
		make("rk3588", "Rockchip RK3588", "Rockchip RK3588 datasheet", dot, n(4, "Cortex-A55", 1800), n(4, "Cortex-A76", 2400)),
		make("jetson-nano", "NVIDIA Jetson Nano, processor only", "Jetson Nano datasheet", plain, n(4, "Cortex-A57", 1430)),
		make("jetson-orin-nano", "NVIDIA Jetson Orin Nano, processor only", "Jetson Orin Nano datasheet", dot, n(6, "Cortex-A78AE", 1510)),
		make("jetson-agx-orin", "NVIDIA Jetson AGX Orin, processor only", "Jetson AGX Orin datasheet", dot, n(12, "Cortex-A78AE", 2200)),
	}
}

// FindKnown finds one by its name, with the names of all for a message.
func FindKnown(name string) (k Known, names string, ok bool) {
	var all []string
	for _, b := range AllKnown() {
		all = append(all, b.Name)
		if strings.EqualFold(b.Name, name) {
			k, ok = b, true
		}
	}
	return k, strings.Join(all, ", "), ok
}
