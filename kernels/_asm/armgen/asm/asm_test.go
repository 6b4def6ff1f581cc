package asm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// forms emits every form, with several registers, elements and steps each.
func forms() *File {
	f := New("test")
	for _, r := range [][3]int{{0, 0, 0}, {15, 7, 3}, {5, 15, 12}, {1, 2, 9}} {
		d, n, m := Q(r[0]), Q(r[1]), Q(r[2])
		type op3 = func(d, n, m Reg)
		for _, op := range []op3{f.VADDF, f.VSUBF, f.VMLAF, f.VMLSF, f.VMULF, f.VMAXF, f.VMINF, f.VRECPSF, f.VCGTF, f.VAND, f.VORR, f.VEOR, f.VBIT} {
			op(d, n, m)
			op(d.Hi(), n.Lo(), m.Hi())
		}
		f.VPMAXF(d.Hi(), n.Lo(), m.Hi())
		for _, op := range []op3{f.VMLAF, f.VMLSF, f.VMULF} {
			for i := range 4 {
				op(d, n, Q(m7(r[2])).S(i))
				op(d.Lo(), n.Hi(), Q(m7(r[2])).S(i))
			}
		}
		for size := range uint32(3) {
			for _, op := range []func(size uint32, d, n, m Reg){f.VADD, f.VSUB, f.VMUL, f.VQADDS, f.VQSUBS, f.VMAXU, f.VMINU} {
				op(size, d, n, m)
				op(size, d.Lo(), n.Hi(), m.Hi())
			}
			f.VPADD(size, d.Lo(), n.Hi(), m.Lo())
			for _, op := range []func(size uint32, d, n, m Reg){f.VMULLS, f.VMLALS, f.VADDLU, f.VSUBLU} {
				op(size, d, n.Hi(), m.Lo())
			}
			f.VADDWS(size, d, n, m.Hi())
			f.VADDWU(size, d, n, m.Lo())
			f.VPADALS(size, d, m)
			f.VPADDLS(size, d.Hi(), m.Lo())
			for _, op := range []func(size uint32, d, m Reg){f.VTRN, f.VUZP, f.VZIP} {
				op(size, Q(r[0]), Q((r[0]+3)%16))
			}
			f.VTRN(size, d.Lo(), d.Hi())
			for _, op := range []func(size uint32, d, m Reg){f.VMOVN, f.VQMOVUN, f.VQMOVN} {
				op(size, d.Lo(), m)
				op(size, d.Hi(), n)
			}
			f.VMOVLS(size, d, m.Hi())
			f.VMOVLU(size, d, n.Lo())
			f.VDUPX(size, d, X(r[1]%13))
			f.VDUPX(size, d.Hi(), X(r[1]%13))
			f.VSHL(size, d, m, 7)
			f.VSHL(size, d.Lo(), m.Hi(), 0)
			f.VSHRU(size, d, m, 8)
			f.VSHRS(size, d, m, 8)
			f.VSHRS(size, d.Hi(), m.Lo(), 2)
			f.VSHRU(size, d.Lo(), m.Hi(), 1)
			for _, s := range []Step{Stay, Next, By(X(r[1] % 13))} {
				for k := 1; k <= 4; k++ {
					f.VLD1(size, D(min(28, int(m.n))), k, X(r[0]%13), s)
					f.VST1(size, D(min(28, int(d.n))), k, X(r[2]%13), s)
				}
				f.VST3(size, D(min(27, int(d.n))), 1, X(r[2]%13), s)
				f.VST3(size, D(min(27, int(d.n))), 2, X(r[2]%13), s)
				f.VLD1R(size, m, X(r[0]%13), s)
				f.VLD1R(size, d.Hi(), X(r[0]%13), s)
			}
		}
		for _, op := range []func(size uint32, d, n, m Reg){f.VMULLS, f.VMLALS} {
			for i := range 8 {
				op(1, d, n.Lo(), Q(m7(r[2])&3).H(i))
			}
			for i := range 4 {
				op(2, d, n.Hi(), Q(m7(r[2])).S(i))
			}
		}
		for _, op := range []func(d, m Reg){f.VCVTFS, f.VCVTSF, f.VRECPEF, f.VABSF, f.VNEGF} {
			op(d, m)
			op(d.Lo(), n.Hi())
		}
		for i := range 4 {
			f.VDIVS(Q(m7(r[0])).S(i), Q(m7(r[1])).S(3-i), Q(m7(r[2])).S(i))
			f.VDUP(d, m.S(i))
			f.VDUP(d.Hi(), m.S(i))
			f.VEXT(d, n, m, 4*i+3)
			f.VEXT(d.Lo(), n.Hi(), m.Lo(), 2*i)
			f.VTBL(d.Hi(), D(min(28, int(n.n))), i+1, m.Lo())
			f.VTBX(d.Lo(), D(min(28, int(n.n))), i+1, m.Hi())
		}
		for _, s := range []Step{Stay, Next, By(7)} {
			f.VLD1L(m.S(1), X(r[0]%13), s)
			f.VST1L(d.S(2), X(r[2]%13), s)
		}
		for _, s := range []Step{Stay, Next} {
			for _, k := range []int{1, 2, 7, 16} {
				f.VLDM(D(min(32-k, int(m.n))), k, X(r[0]%13), s)
				f.VSTM(D(min(32-k, int(d.n))), k, X(r[1]%13), s)
			}
		}
		for _, off := range []int{0, 4, 1020} {
			f.VLDR(m.Hi(), X(r[0]%13), off)
			f.VSTR(d.Lo(), 13, off)
		}
	}
	return f
}

func m7(i int) int { return i & 7 }

// Every form must be what binutils makes of its GNU spelling.
func TestForms(t *testing.T) {
	const as, objcopy = "arm-linux-gnueabihf-as", "arm-linux-gnueabihf-objcopy"
	if _, err := exec.LookPath(as); err != nil {
		t.Skip("forms are not compared: no arm-linux-gnueabihf-as (Debian: binutils-arm-linux-gnueabihf)")
	}
	f := forms()
	dir := t.TempDir()
	var src bytes.Buffer
	src.WriteString(".syntax unified\n.arch armv7-a\n.fpu neon\n.arm\n.text\n")
	for _, r := range f.Recs {
		fmt.Fprintln(&src, r.GNU)
	}
	in, obj, bin := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o"), filepath.Join(dir, "a.bin")
	if err := os.WriteFile(in, src.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{as, "-o", obj, in}, {objcopy, "-O", "binary", "-j", ".text", obj, bin}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%.3000s", c, err, out)
		}
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != 4*len(f.Recs) {
		t.Fatalf("%d bytes for %d instructions", len(b), len(f.Recs))
	}
	for i, r := range f.Recs {
		if w := binary.LittleEndian.Uint32(b[4*i:]); w != r.Word {
			t.Errorf("%s: %08x, binutils has %08x", r.GNU, r.Word, w)
		}
	}
	t.Logf("%d forms", len(f.Recs))
}

// What the instructions do not have must not be written.
func TestRefused(t *testing.T) {
	for name, emit := range map[string]func(f *File){
		"16-bit element beyond d7":  func(f *File) { f.VMLALS(1, Q(4), D(8), D(8).H(0)) },
		"32-bit element beyond d15": func(f *File) { f.VMLAF(Q(4), Q(5), D(16).S(0)) },
		"widths differ":             func(f *File) { f.VADDF(Q(0), Q(1), D(2)) },
		"bytes by element":          func(f *File) { f.VADDLU(0, Q(0), D(4), D(2).H(0)) },
		"register 32":               func(f *File) { f.VLDM(D(30), 3, 1, Stay) },
		"long load":                 func(f *File) { f.VLD1(2, D(0), 5, 1, Stay) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was written")
				}
			}()
			emit(New("test"))
		})
	}
}
