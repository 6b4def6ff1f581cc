package main

import "fmt"

// Byte offsets of the fields of kargs (conv/direct.go) and gargs (gemm/gemm.go); TestOffsets there compares them.
const (
	fA, fB, fC, fBias, fRes, fGroups, fNk, fCblk = 0, 8, 16, 24, 32, 40, 48, 56
	fTiles, fNt, fRblk, fAct, fLo, fHi           = 64, 72, 80, 88, 96, 100
	fPf, fPfStep                                 = 104, 112
	fScale, fRscale, fPs, fMr, fNb, fBuf, fLow   = 120, 128, 144, 152, 160, 192, 200
	fZero, fRzero                                = 184, 188

	gA, gB, gC, gBias, gK, gRs, gLdc, gNt  = 0, 8, 16, 24, 32, 40, 56, 64
	gAct, gLo, gHi, gAcc, gCur, gMask, gMr = 72, 80, 84, 88, 96, 112, 176
	gBuf, gLow                             = 200, 208

	actReLU, actClamp = 1, 2
	bufTile, pixel    = 2048, 128 // bytes of sums in the buffer: of sixteen pixels, of one with 32 outputs
	stepB             = 2048      // bytes of weights a step: 16 words of 32 outputs
)

// kind is what the two products differ in.
type kind struct {
	name string
	dot  func(c, a, b byte) inst
	bf16 bool
}

var (
	int8Kind = kind{"amxQ", tdpbusd, false}
	bf16Kind = kind{"amxB", tdpbf16ps, true}
)

// tileConfigs writes the configurations for 1 to 16 pixels: tiles 0..3 sums, 4 and 5 pixels, 6 and 7 weights of 16 words.
func (g *gen) tileConfigs() {
	for n := range uint64(17) {
		rows := uint64(16)<<56 | uint64(16)<<48
		for i := range 6 {
			rows |= n << (8 * i)
		}
		for i, v := range [8]uint64{1, 0, 0x40004000400040, 0x40004000400040, 0, 0, rows, 0} {
			fmt.Fprintf(&g.text, "DATA tileConfig<>+%d(SB)/8, $%#x\n", 64*int(n)+8*i, v)
		}
	}
	fmt.Fprintf(&g.text, "GLOBL tileConfig<>(SB), RODATA|NOPTR, $%d\n", 17*64)
}

// configure loads the configuration for the number of pixels in field mr.
func (g *gen) configure(mr int) {
	g.p("MOVQ %d(DI), AX", mr)
	g.p("SHLQ $6, AX")
	g.p("LEAQ tileConfig<>(SB), CX")
	g.p("ADDQ AX, CX")
	g.t(ldtilecfg(rCX, 0))
}

// multiply adds one step, 64 bytes a pixel by 32 outputs, for two tiles of pixels at R12 and R13 or for one. Weights lie at BX with rows
// of R9 = 128 bytes; R8 is the distance of pixels. bf16: weights are two parts, one behind the other, the pixels' second parts lie as far
// behind the first as the field low says; three of the four products are made.
func (g *gen) multiply(k kind, two bool, low int) {
	pass := func(a func(t byte, base reg), b int32) {
		if a != nil {
			a(4, r12)
		}
		g.t(tileload(6, rBX, r9, b))
		g.t(k.dot(0, 4, 6))
		g.t(tileload(7, rBX, r9, b+64))
		g.t(k.dot(1, 4, 7))
		if two {
			if a != nil {
				a(5, r13)
			}
			g.t(k.dot(2, 5, 6))
			g.t(k.dot(3, 5, 7))
		}
	}
	pass(func(t byte, base reg) { g.t(tileload(t, base, r8, 0)) }, 0)
	if k.bf16 {
		pass(nil, stepB)
		pass(func(t byte, base reg) {
			g.p("MOVQ %s, AX", base.name)
			g.p("ADDQ %d(DI), AX", low)
			g.t(tileload(t, rAX, r8, 0))
		}, 0)
		g.p("ADDQ $%d, BX", stepB)
	}
	g.p("ADDQ $64, R12")
	if two {
		g.p("ADDQ $64, R13")
	}
	g.p("ADDQ $%d, BX", stepB)
}

// ahead prefetches what comes next into the second-level cache: from where R14 stands to the mark in field pf, which moves on by field
// pfStep bytes.
func (g *gen) ahead(name string) {
	g.p("MOVQ %d(DI), AX", fPf)
	g.p("ADDQ %d(DI), AX", fPfStep)
	g.p("MOVQ AX, %d(DI)", fPf)
	g.p("JMP %sreached", name)
	g.label(name + "ahead")
	g.p("PREFETCHT1 (R14)")
	g.p("ADDQ $64, R14")
	g.label(name + "reached")
	g.p("CMPQ R14, AX")
	g.p("JCS %sahead", name)
}

// spill writes the sums to the buffer at R15, 128 bytes a pixel.
func (g *gen) spill(two bool) {
	g.t(tilestore(0, r15, r9, 0))
	g.t(tilestore(1, r15, r9, 64))
	if two {
		g.t(tilestore(2, r15, r9, bufTile))
		g.t(tilestore(3, r15, r9, bufTile+64))
	}
}

func convKernels(g *gen) {
	g.tileConfigs()
	g.conv(int8Kind)
	g.conv(bf16Kind)
	g.split("kargs", splitFields{fA, fB, fC, fRes, fNt, fPs})
}

// conv is a direct convolution: nt tiles of mr <= 16 pixels x 32 outputs, two tiles at a time. A group of the sum is a run of steps of 64
// bytes of every pixel: channels, or taps of a row. The products go through the buffer to the store, which is that of the
// vector kernels: int8 requantises (y = (sum + bias)*scale (+ (res - rzero)*rscale), clamped, rounded to even, + zero), bf16 adds bias and
// residual and applies ReLU or a clamp. Tiles are configured and given back within the call.
func (g *gen) conv(k kind) {
	doc := "multiplies u8 pixels by s8 weights and requantises."
	if k.bf16 {
		doc = "multiplies pairs of bf16 and adds bias and residual in float32."
	}
	g.kernel(k.name, "kargs", doc)
	g.configure(fMr)
	g.p("MOVQ %d(DI), SI", fTiles)
	g.p("MOVQ %d(DI), DX", fNt)
	g.p("MOVQ %d(DI), R8", fPs)
	g.p("MOVQ $%d, R9", pixel)
	g.p("MOVQ %d(DI), R15", fBuf)
	g.p("MOVQ %d(DI), AX", fBias)
	g.p("VMOVUPS (AX), Z18")
	g.p("VMOVUPS 64(AX), Z19")
	if k.bf16 {
		g.bounds(fAct, fLo, fHi)
	} else {
		g.p("MOVQ %d(DI), AX", fScale)
		g.p("VMOVUPS (AX), Z16")
		g.p("VMOVUPS 64(AX), Z17")
		g.p("VBROADCASTSS %d(DI), Z20", fLo)
		g.p("VBROADCASTSS %d(DI), Z21", fHi)
		g.p("VBROADCASTSS %d(DI), Z22", fRscale)
		g.p("VPBROADCASTD %d(DI), Z23", fZero)
		g.p("VPBROADCASTD %d(DI), Z24", fRzero)
	}
	g.p("MOVQ %d(DI), R14", fPf)
	g.label("tile")
	g.p("MOVQ %d(DI), BX", fB)
	g.p("MOVQ %d(DI), R10", fGroups)
	g.p("MOVQ %d(DI), R11", fNk)
	g.t(tilezero(0))
	g.t(tilezero(1))
	g.p("CMPQ DX, $2")
	g.p("JLT one")
	g.t(tilezero(2))
	g.t(tilezero(3))
	for _, two := range []bool{true, false} {
		name := map[bool]string{true: "two", false: "one"}[two]
		g.label(name)
		g.p("MOVQ %d(DI), R12", fA)
		g.p("ADDQ (R10), R12")
		if two {
			g.p("MOVQ R12, R13")
			g.p("ADDQ 24(SI), R13")
		}
		g.p("ADDQ (SI), R12")
		g.p("MOVQ 8(R10), CX")
		g.p("SHRQ $4, CX")
		g.label(name + "step")
		g.ahead(name)
		g.multiply(k, two, fLow)
		g.p("DECQ CX")
		g.p("JNZ %sstep", name)
		g.p("ADDQ $16, R10")
		g.p("DECQ R11")
		g.p("JNZ %s", name)
		g.spill(two)
		if two {
			g.p("MOVQ $2, R11")
			g.p("JMP store")
		} else {
			g.p("MOVQ $1, R11")
		}
	}
	g.label("store")
	g.p("SUBQ R11, DX")
	g.p("MOVQ R15, BX")
	g.label("storetile")
	g.p("MOVQ %d(DI), R12", fC)
	g.p("ADDQ 8(SI), R12")
	g.p("MOVQ %d(DI), R13", fRes)
	g.p("TESTQ R13, R13")
	g.p("JZ begin")
	g.p("ADDQ 16(SI), R13")
	g.label("begin")
	if k.bf16 { // without a second block of outputs its line goes where the first one's goes next
		g.p("MOVQ %d(DI), R8", fCblk)
		g.p("MOVQ %d(DI), R10", fRblk)
		g.p("CMPQ %d(DI), $2", fNb)
		g.p("JGE both")
		g.p("XORQ R8, R8")
		g.p("XORQ R10, R10")
		g.label("both")
	}
	g.p("XORQ CX, CX")
	g.label("pixel")
	if k.bf16 {
		g.storeFloat()
	} else {
		g.storeByte()
	}
	g.p("ADDQ $%d, BX", pixel)
	g.p("INCQ CX")
	g.p("CMPQ CX, %d(DI)", fMr)
	g.p("JLT pixel")
	g.p("LEAQ %d(R15), BX", bufTile)
	g.p("ADDQ $24, SI")
	g.p("DECQ R11")
	g.p("JNZ storetile")
	if k.bf16 {
		g.p("MOVQ %d(DI), R8", fPs)
	}
	g.p("TESTQ DX, DX")
	g.p("JNZ tile")
	g.t(tilerelease())
	g.p("VZEROUPPER")
	g.p("RET")
}

// storeByte requantises the 32 sums at BX into the line at R12.
func (g *gen) storeByte() {
	g.p("VPADDD (BX), Z18, Z0")
	g.p("VPADDD 64(BX), Z19, Z1")
	g.p("VCVTDQ2PS Z0, Z0")
	g.p("VCVTDQ2PS Z1, Z1")
	g.p("VMULPS Z16, Z0, Z0")
	g.p("VMULPS Z17, Z1, Z1")
	g.p("TESTQ R13, R13")
	g.p("JZ clamp")
	for i := range 2 {
		g.p("VPMOVZXBD %d(R13), Z2", 16*i)
		g.p("VPSUBD Z24, Z2, Z2")
		g.p("VCVTDQ2PS Z2, Z2")
		g.p("VFMADD231PS Z2, Z22, Z%d", i)
	}
	g.p("ADDQ $64, R13")
	g.label("clamp")
	for i := range 2 {
		g.p("VMAXPS Z%d, Z20, Z%d", i, i)
		g.p("VMINPS Z%d, Z21, Z%d", i, i)
		g.p("VCVTPS2DQ Z%d, Z%d", i, i)
		g.p("VPADDD Z23, Z%d, Z%d", i, i)
		g.p("VPMOVUSDB Z%d, %d(R12)", i, 16*i)
	}
	g.p("ADDQ $64, R12")
}

// bounds sets Z20 and Z21 to what ReLU or a clamp leaves; without activation to the infinities.
func (g *gen) bounds(act, lo, hi int) {
	g.p("MOVL $0xff800000, AX")
	g.p("VPBROADCASTD AX, Z20")
	g.p("MOVL $0x7f800000, AX")
	g.p("VPBROADCASTD AX, Z21")
	g.p("MOVQ %d(DI), AX", act)
	g.p("CMPQ AX, $%d", actReLU)
	g.p("JNE norelu")
	g.p("VPXORD Z20, Z20, Z20")
	g.label("norelu")
	g.p("CMPQ AX, $%d", actClamp)
	g.p("JNE noclamp")
	g.p("VBROADCASTSS %d(DI), Z20", lo)
	g.p("VBROADCASTSS %d(DI), Z21", hi)
	g.label("noclamp")
}

// storeFloat writes the 32 sums at BX to the lines of two blocks, at R12 and R8 bytes behind; the residual lies at R13 and R10 bytes behind.
func (g *gen) storeFloat() {
	g.p("VADDPS (BX), Z18, Z0")
	g.p("VADDPS 64(BX), Z19, Z1")
	g.p("TESTQ R13, R13")
	g.p("JZ bound")
	g.p("VADDPS (R13), Z0, Z0")
	g.p("VADDPS (R13)(R10*1), Z1, Z1")
	g.p("ADDQ $64, R13")
	g.label("bound")
	for i := range 2 {
		g.p("VMAXPS Z%d, Z20, Z%d", i, i)
		g.p("VMINPS Z%d, Z21, Z%d", i, i)
	}
	g.p("VMOVUPS Z1, (R12)(R8*1)")
	g.p("VMOVUPS Z0, (R12)")
	g.p("ADDQ $64, R12")
}

// splitFields are the fields that split reads: two sources, two destinations, pixels, bytes between the pixels of the sources.
type splitFields struct{ a, b, hi, lo, n, stride int }

// split writes n pixels of two blocks of 16 float32 as 32 bf16 for the tiles: word i holds channel i of the first block (low half) and of
// the second. The sum of the two planes is the value up to 2^-17. Values that rounding could make infinite, infinities and
// NaN are cut and have no second part: a finite value never becomes an infinity.
func (g *gen) split(typ string, f splitFields) {
	g.kernel("amxSplit", typ, "splits float32 into sums of two bf16.")
	g.p("MOVQ %d(DI), SI", f.a)
	g.p("MOVQ %d(DI), BX", f.b)
	g.p("MOVQ %d(DI), R12", f.hi)
	g.p("MOVQ %d(DI), R13", f.lo)
	g.p("MOVQ %d(DI), CX", f.n)
	g.p("MOVQ %d(DI), R8", f.stride)
	for i, v := range []uint32{0x8000, 0xffff0000, 0x7fffffff, 0x7f7f8000} {
		g.p("MOVL $%#x, AX", v)
		g.p("VPBROADCASTD AX, Z%d", 16+i)
	}
	g.p("VPXORD Z20, Z20, Z20")
	g.label("pixel")
	for i, src := range []string{"SI", "BX"} {
		x, h, l := 3*i, 3*i+1, 3*i+2
		g.p("VMOVUPS (%s), Z%d", src, x)
		g.p("VPANDD Z%d, Z18, Z%d", x, l)
		g.p("VPCMPUD $5, Z19, Z%d, K1", l) // not below
		g.p("KNOTW K1, K2")
		g.p("VPADDD Z%d, Z16, Z%d", x, h)
		g.p("VADDPS Z%d, Z20, K1, Z%d", x, h) // a signalling NaN becomes quiet: its mark is in the upper half
		g.p("VPANDD Z%d, Z17, Z%d", h, h)
		g.p("VSUBPS.Z Z%d, Z%d, K2, Z%d", h, x, l)
		g.p("VPADDD Z%d, Z16, Z%d", l, l)
	}
	g.p("VPSRLD $16, Z1, Z1")
	g.p("VPORD Z1, Z4, Z1")
	g.p("VMOVDQU32 Z1, (R12)")
	g.p("VPSRLD $16, Z2, Z2")
	g.p("VPANDD Z5, Z17, Z5")
	g.p("VPORD Z2, Z5, Z2")
	g.p("VMOVDQU32 Z2, (R13)")
	g.p("ADDQ R8, SI")
	g.p("ADDQ R8, BX")
	g.p("ADDQ $64, R12")
	g.p("ADDQ $64, R13")
	g.p("DECQ CX")
	g.p("JNZ pixel")
	g.p("VZEROUPPER")
	g.p("RET")
}

func gemmKernels(g *gen) {
	g.tileConfigs()
	g.gemm(int8Kind)
	g.gemm(bf16Kind)
	g.split("gargs", splitFields{gA, gB, gC, gBias, gNt, gRs})
}

// gemm is a matrix product: nt tiles of mr <= 16 rows x 32 columns, two tiles at a time, C = act(A*B + bias (+ C)), columns by mask. k counts
// words of A, a multiple of 16.
func (g *gen) gemm(k kind) {
	doc := "multiplies u8 rows by s8 columns into int32."
	add, move := "VPADDD", "VMOVDQU32"
	if k.bf16 {
		doc = "multiplies float32 as three products of bf16."
		add, move = "VADDPS", "VMOVUPS"
	}
	g.kernel(k.name, "gargs", doc)
	g.configure(gMr)
	g.p("MOVQ %d(DI), DX", gNt)
	g.p("MOVQ %d(DI), R8", gRs)
	g.p("MOVQ $%d, R9", pixel)
	g.p("MOVQ %d(DI), R15", gBuf)
	g.p("KMOVW %d(DI), K1", gMask)
	g.p("KMOVW %d(DI), K2", gMask+4)
	g.p("VPXORD Z18, Z18, Z18")
	g.p("VPXORD Z19, Z19, Z19")
	g.p("MOVQ %d(DI), AX", gBias)
	g.p("TESTQ AX, AX")
	g.p("JZ nobias")
	g.p("%s.Z (AX), K1, Z18", move)
	g.p("%s.Z 64(AX), K2, Z19", move)
	g.label("nobias")
	if k.bf16 {
		g.bounds(gAct, gLo, gHi)
	}
	g.p("MOVQ %d(DI), SI", gA)
	g.p("MOVQ %d(DI), R10", gC)
	g.label("tile")
	g.p("MOVQ %d(DI), BX", gB)
	for t := range byte(4) {
		if t == 2 {
			g.p("MOVQ $1, R11")
			g.p("CMPQ DX, $2")
			g.p("JLT one")
			g.p("MOVQ $2, R11")
		}
		g.t(tilezero(t))
	}
	for _, two := range []bool{true, false} {
		name := map[bool]string{true: "two", false: "one"}[two]
		g.label(name)
		g.p("MOVQ SI, R12")
		if two {
			g.p("MOVQ %d(DI), R13", gMr)
			g.p("IMULQ R8, R13")
			g.p("ADDQ R12, R13")
		}
		g.p("MOVQ %d(DI), CX", gK)
		g.p("SHRQ $4, CX")
		g.p("JZ %sdone", name)
		g.label(name + "step")
		g.multiply(k, two, gLow)
		g.p("DECQ CX")
		g.p("JNZ %sstep", name)
		g.label(name + "done")
		g.spill(two)
		if two {
			g.p("JMP store")
		}
	}
	g.label("store")
	g.p("SUBQ R11, DX")
	g.p("MOVQ R15, BX")
	g.label("storetile")
	g.p("MOVQ %d(DI), CX", gMr)
	g.label("row")
	g.p("%s (BX), Z18, Z0", add)
	g.p("%s 64(BX), Z19, Z1", add)
	g.p("CMPQ %d(DI), $0", gAcc)
	g.p("JE bound")
	g.p("%s.Z (R10), K1, Z2", move)
	g.p("%s.Z 64(R10), K2, Z3", move)
	g.p("%s Z2, Z0, Z0", add)
	g.p("%s Z3, Z1, Z1", add)
	g.label("bound")
	if k.bf16 {
		for i := range 2 {
			g.p("VMAXPS Z%d, Z20, Z%d", i, i)
			g.p("VMINPS Z%d, Z21, Z%d", i, i)
		}
	}
	g.p("%s Z0, K1, (R10)", move)
	g.p("%s Z1, K2, 64(R10)", move)
	g.p("ADDQ $%d, BX", pixel)
	g.p("ADDQ %d(DI), R10", gLdc)
	g.p("ADDQ R8, SI")
	g.p("DECQ CX")
	g.p("JNZ row")
	g.p("LEAQ %d(R15), BX", bufTile)
	g.p("DECQ R11")
	g.p("JNZ storetile")
	g.p("TESTQ DX, DX")
	g.p("JNZ tile")
	g.t(tilerelease())
	g.p("VZEROUPPER")
	g.p("RET")
}
