// Package cpu says what kernels must know about the machine: which instructions it has, how blocked tensors lie in
// memory, and the few words (activation functions) that all kernel packages share.
//
// It knows no operator and no kernel. Start reading at Features; Layout is the contract of every kernel that reads or
// writes a picture.
package cpu

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
)

// ISA is an instruction set that a kernel needs. The order within one architecture is from poor to rich.
type ISA uint8

// Instruction sets. Names (String) end the names of kernels: f32_conv_14x32__avx512f.
const (
	Generic    ISA = iota // portable Go
	AVX2                  // amd64: AVX2 and FMA
	AVX512F               // amd64: AVX-512 F, BW, DQ, VL
	AVX512VNNI            // amd64: AVX512F and VNNI
	AMXInt8               // amd64: AVX512VNNI and products of tiles of 8-bit numbers
	AMXBF16               // amd64: AMXInt8 and products of tiles of bf16
	NEON                  // arm64, 32-bit Arm
	NEONFP16              // arm64: NEON with arithmetic in half precision
	NEONDot               // arm64: NEON with SDOT/UDOT
	NEONI8MM              // arm64: NEONDot with SMMLA
)

func isaNames() [10]string {
	return [...]string{"generic", "avx2", "avx512f", "avx512vnni", "amxint8", "amxbf16", "neon", "neonfp16", "neondot", "neoni8mm"}
}

func (i ISA) String() string {
	if n := isaNames(); int(i) < len(n) {
		return n[i]
	}
	return fmt.Sprintf("isa(%d)", uint8(i))
}

// Features are the abilities of a processor, or a part of them: tests and plans for other machines pass reduced ones.
type Features struct {
	Arch   string // GOARCH
	Vendor string // "AuthenticAMD", "arm"; "" if unknown
	Model  string // as the processor or the kernel names it, "" if unknown
	Part   uint32 // arm64: part number of MIDR_EL1 (0xd08 is Cortex-A72), 0 if unknown

	AVX2, AVX512, VNNI        bool // AVX2 includes FMA, AVX512 means F+BW+DQ+VL
	VBMI                      bool // amd64: permutes bytes; not a level of its own, goes with VNNI
	AMXTile, AMXInt8, AMXBF16 bool // only where the operating system lets this process use tiles
	NEON, DotProd, I8MM, FP16 bool

	L2      int    // amd64: bytes of a core's second-level cache, 0 if unknown
	NoTiles string // why the tiles that the processor has are not used; "" if they are or it has none
}

// Detect returns the features of this machine.
func Detect() Features { return detectOnce() }

var detectOnce = sync.OnceValue(func() Features {
	f := Features{Arch: runtime.GOARCH}
	detect(&f)
	return f
})

// Has tells whether kernels of an instruction set can run.
func (f Features) Has(i ISA) bool {
	switch i {
	case Generic:
		return true
	case AVX2:
		return f.Arch == "amd64" && f.AVX2
	case AVX512F:
		return f.Arch == "amd64" && f.AVX512
	case AVX512VNNI:
		return f.Arch == "amd64" && f.AVX512 && f.VNNI
	case AMXInt8:
		return f.Has(AVX512VNNI) && f.AMXTile && f.AMXInt8
	case AMXBF16:
		return f.Has(AMXInt8) && f.AMXBF16
	case NEON:
		return (f.Arch == "arm64" || f.Arch == "arm") && f.NEON
	case NEONFP16:
		return f.Arch == "arm64" && f.NEON && f.FP16
	case NEONDot:
		return f.Arch == "arm64" && f.NEON && f.DotProd
	case NEONI8MM:
		return f.Arch == "arm64" && f.NEON && f.DotProd && f.I8MM
	}
	return false
}

// Levels lists the instruction sets of f that can run on it, poorest first.
func (f Features) Levels() []ISA {
	var l []ISA
	for i := range isaNames() {
		if f.Has(ISA(i)) {
			l = append(l, ISA(i))
		}
	}
	return l
}

// Limit returns f without everything richer than i. It adds nothing that f lacks.
func (f Features) Limit(i ISA) Features {
	if i < AVX2 {
		f.AVX2 = false
	}
	if i < AVX512F {
		f.AVX512 = false
	}
	if i < AVX512VNNI {
		f.VNNI, f.VBMI = false, false
	}
	if i < AMXInt8 {
		f.AMXTile, f.AMXInt8 = false, false
	}
	if i < AMXBF16 {
		f.AMXBF16 = false
	}
	if i < NEON {
		f.NEON = f.NEON && f.Arch != "arm64" && f.Arch != "arm"
	}
	if i < NEONFP16 {
		f.FP16 = false
	}
	if i < NEONDot {
		f.DotProd = false
	}
	if i < NEONI8MM {
		f.I8MM = false
	}
	return f
}

// Parse applies a limit by name, as in the environment variable FETTLE_CPU; "" means no limit. Programs read the
// variable once, in main, and pass the result on.
func (f Features) Parse(limit string) (Features, error) {
	if limit == "" {
		return f, nil
	}
	n := isaNames()
	for i := range n {
		if n[i] == limit {
			return f.Limit(ISA(i)), nil
		}
	}
	return f, fmt.Errorf("unknown instruction set %q; known are %s", limit, strings.Join(n[:], ", "))
}

// BlockF32 is the number of channels in a block of float32 tensors: one vector line of the kernels of f.
func (f Features) BlockF32() int {
	if f.Arch == "arm64" || f.Arch == "arm" {
		return 4
	}
	return 16
}

// BlockI8 is the number of channels in a block of 8-bit tensors.
func (f Features) BlockI8() int {
	if f.Arch == "arm64" || f.Arch == "arm" {
		return 16
	}
	return 64
}

// BlockI16 is the number of channels in a block of 16-bit tensors.
func (f Features) BlockI16() int { return 2 * f.BlockF32() }

func (f Features) String() string {
	l := f.Levels()
	s := f.Arch + " " + l[len(l)-1].String()
	if f.Model != "" {
		s += " (" + f.Model + ")"
	}
	return s
}
