package predict

import (
	"fmt"
	"strings"
)

// Gain is how much faster a float layer can become on 8-bit integers.
type Gain struct {
	Most    float64 // floor of floats over that of integers, both by the direct way; 0: not known
	Best    float64 // floor of floats by the direct way over that of the best algorithm of integers
	Against float64 // floor of the best algorithm of floats over that; below 1, floats may stay faster
	Why     string  // the arithmetic, or why there is none
}

// floatTiles and byteTiles are how many times fewer products the engine's Winograd algorithms need in 3x3 layers of stride 1: F(4x4,3x3) in
// floats, F(2x2,3x3) in whole numbers, whose products are words.
const floatTiles, byteTiles = 4, 2.25

// Int8 reckons the gain of w, a layer of floats, on m, with the algorithms that the engine has. It bounds the products only: what
// conversions, waiting and memory take is left out, so a network gains less than its layers.
func Int8(m Machine, w Work) Gain {
	if w.MACs <= 0 || !float(w.DType) {
		return Gain{Why: "it multiplies no floats that are counted"}
	}
	f, why := peak(m, "float32")
	if f == 0 {
		return Gain{Why: why}
	}
	q, why := peak(m, "int8")
	if q == 0 {
		return Gain{Why: why}
	}
	g := Gain{Most: q / f, Best: q / f, Against: q / f}
	g.Why = fmt.Sprintf("%g products of 8 bits a cycle where floats have %g%s", q, f, by(m))
	saved, _ := algorithm(w)
	switch {
	case len(w.Window) == 0 && strings.Contains(w.Op, "Conv"):
		g.Why += "; the kernel size is not known"
	case saved > 1:
		least := "directly"
		if tiles := words(m, q) * byteTiles; tiles > q {
			q, least = tiles, fmt.Sprintf("with Winograd of %g products of words", words(m, q))
		}
		g.Best, g.Against = q/f, q/(f*floatTiles)
		g.Why += fmt.Sprintf("; 3x3: floats %g with Winograd, 8 bits %.3g %s", f*floatTiles, q, least)
		if g.Against < 1 {
			g.Why += ", so floats may stay faster"
		}
	}
	return g
}

// words is how many products of 16 bits a cycle the engine's whole-number Winograd has, 0 where it has none: with VNNI, SDOT and tiles,
// products of bytes are faster. bytes are those of 8 bits: with AVX2 the engine widens them first, so there are as many.
func words(m Machine, bytes float64) float64 {
	switch by(m) {
	case " (AVX2)":
		return bytes
	case " (no SDOT)":
		return bytes / 2
	}
	return 0
}

// by names the instructions of the integers.
func by(m Machine) string {
	has := func(names ...string) bool {
		for _, n := range names {
			for _, f := range m.ISA {
				if f == n {
					return true
				}
			}
		}
		return false
	}
	switch {
	case m.Arch == "amd64" && has("amx_int8", "amx-int8"):
		return " (AMX)"
	case m.Arch == "amd64" && has("avx512_vnni", "avx512vnni", "avx_vnni", "avxvnni"):
		return " (VNNI)"
	case m.Arch == "amd64" && has("avx2"):
		return " (AVX2)"
	case m.Arch == "arm64" && has("asimddp"):
		return " (SDOT)"
	case m.Arch == "arm64":
		return " (no SDOT)"
	}
	return ""
}
