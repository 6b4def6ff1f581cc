package cpu

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/cpu"
)

func detect(f *Features) {
	x := &cpu.X86
	f.AVX2 = x.HasAVX2 && x.HasFMA
	f.AVX512 = f.AVX2 && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL
	f.VNNI = f.AVX512 && x.HasAVX512VNNI
	f.VBMI = f.VNNI && x.HasAVX512VBMI
	if x.HasAMXTile && f.VNNI {
		if f.NoTiles = permitTiles(); f.NoTiles == "" {
			f.AMXTile, f.AMXInt8, f.AMXBF16 = true, x.HasAMXInt8, x.HasAMXBF16
		}
	}
	l2, _ := os.ReadFile("/sys/devices/system/cpu/cpu0/cache/index2/size") // index 0 and 1 are the first level's halves
	f.L2 = cacheSize(string(l2))
	b, _ := os.ReadFile("/proc/cpuinfo") // absent outside Linux: the names stay empty
	f.Vendor, f.Model = infoField(string(b), "vendor_id"), infoField(string(b), "model name")
}

// cacheSize reads a size as Linux writes it, 512K; 0 where it is none.
func cacheSize(s string) int {
	n, ok := strings.CutSuffix(strings.TrimSpace(s), "K")
	v, err := strconv.Atoi(n)
	if !ok || err != nil || v < 0 || v > 1<<20 {
		return 0
	}
	return v << 10
}

// infoField returns the first value of a key of /proc/cpuinfo.
func infoField(s, key string) string {
	for line := range strings.Lines(s) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
