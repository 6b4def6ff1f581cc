package predict

import (
	"fmt"
	"strings"
)

// Gain is how much faster a float layer can become on 8-bit integers.
type Gain struct {
	Most    float64 // floor of floats by the direct way over that of integers; 0: not known
	Against float64 // the same against the best float algorithm, which Winograd may make; below 1, floats may stay faster
	Why     string  // the arithmetic, or why there is none
}

// Int8 reckons the gain of w, a layer of floats, on m. It bounds the products only: what conversions, waiting and memory take is left
// out, so a network gains less than its layers.
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
	saved, _ := algorithm(w)
	g := Gain{Most: q / f, Against: q / f / saved}
	g.Why = fmt.Sprintf("%g products of 8 bits a cycle where floats have %g%s", q, f, by(m))
	switch {
	case len(w.Window) == 0 && strings.Contains(w.Op, "Conv"):
		g.Against = g.Most
		g.Why += "; the kernel size is not known"
	case saved > 1 && g.Against < 1:
		g.Why += fmt.Sprintf("; Winograd needs up to %.3g times fewer products of floats, so floats may stay faster", saved)
	case saved > 1:
		g.Why += fmt.Sprintf("; Winograd needs up to %.3g times fewer products of floats", saved)
	}
	return g
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
