package asm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// forms emits every form, with several register and lane values each.
func forms() *File {
	f := New("test")
	for _, r := range [][3]int{{0, 0, 0}, {31, 15, 7}, {5, 31, 15}, {1, 2, 3}} {
		d, n, m := V[r[0]], V[r[1]], V[r[2]]
		type op3 = func(d, n, m Arr)
		for _, op := range []op3{f.FMLA, f.FMLS, f.FMUL} {
			op(d.S4, n.S4, m.S4)
			op(d.S2, n.S2, m.S2)
			op(d.D2, n.D2, m.D2)
			for l := range 4 {
				op(d.S4, n.S4, V[31-m.N].S(l))
				op(d.S2, n.S2, m.S(l))
			}
		}
		for _, op := range []op3{f.FMLA, f.FMLS, f.FMUL, f.FADD, f.FSUB, f.FMAX, f.FMIN, f.FMAXNM, f.FDIV, f.FRECPS, f.FCMGT} {
			op(d.H8, n.H8, m.H8)
			op(d.H4, n.H4, m.H4)
		}
		for _, op := range []op3{f.FMLA, f.FMLS, f.FMUL} {
			for l := range 8 {
				op(d.H8, n.H8, m.H(l))
				op(d.H4, n.H4, m.H(l))
			}
		}
		for _, op := range []func(d, n Arr){f.SCVTF, f.FCVTNS} {
			op(d.H8, n.H8)
			op(d.H4, n.H4)
		}
		f.FCVTN(d.H4, n.S4)
		f.FCVTN(d.H8, n.S4)
		f.FCVTN(d.S2, n.D2)
		f.FCVTN(d.S4, n.D2)
		f.FCVTL(d.S4, n.H4)
		f.FCVTL(d.S4, n.H8)
		f.FCVTL(d.D2, n.S2)
		f.FCVTL(d.D2, n.S4)
		f.BFMMLA(d.S4, n.H8, m.H8)
		for _, op := range []op3{f.FADD, f.FSUB, f.FMAX, f.FMIN, f.FMAXNM, f.FDIV, f.FRECPS, f.FCMGT} {
			op(d.S4, n.S4, m.S4)
			op(d.S2, n.S2, m.S2)
			op(d.D2, n.D2, m.D2)
		}
		for _, op := range []op3{f.ADD, f.SUB, f.ADDP, f.SQADD, f.SRSHL, f.SQRSHL, f.ZIP1, f.ZIP2, f.UZP1, f.UZP2, f.TRN1, f.TRN2} {
			op(d.B16, n.B16, m.B16)
			op(d.H8, n.H8, m.H8)
			op(d.S4, n.S4, m.S4)
			op(d.D2, n.D2, m.D2)
			op(d.B8, n.B8, m.B8)
			op(d.H4, n.H4, m.H4)
		}
		for _, op := range []op3{f.SMAX, f.SMIN, f.UMAX, f.UMIN, f.MUL, f.MLA} {
			op(d.B16, n.B16, m.B16)
			op(d.H8, n.H8, m.H8)
			op(d.S4, n.S4, m.S4)
			op(d.B8, n.B8, m.B8)
		}
		f.AND(d.B16, n.B16, m.B16)
		f.ORR(d.B16, n.B16, m.B16)
		f.EOR(d.B16, n.B16, m.B16)
		f.BSL(d.B16, n.B16, m.B16)
		f.BIT(d.B8, n.B8, m.B8)
		f.SQRDMULH(d.S4, n.S4, m.S4)
		f.SQRDMULH(d.H8, n.H8, m.H8)
		for _, op := range []op3{f.SMULL, f.SMLAL, f.SMLSL, f.SADDL, f.USUBL, f.UADDL} {
			op(d.H8, n.B8, m.B8)
			op(d.H8, n.B16, m.B16)
			op(d.S4, n.H4, m.H4)
			op(d.S4, n.H8, m.H8)
			op(d.D2, n.S2, m.S2)
			op(d.D2, n.S4, m.S4)
		}
		for _, op := range []op3{f.SMULL, f.SMLAL, f.SMLSL} {
			for l := range 8 {
				op(d.S4, n.H4, m.H(l))
				op(d.S4, n.H8, m.H(l))
			}
			for l := range 4 {
				op(d.D2, n.S2, V[31-m.N].S(l))
				op(d.D2, n.S4, m.S(l))
			}
		}
		for l := range 8 {
			f.SQRDMULH(d.H8, n.H8, m.H(l))
			f.SQRDMULH(d.S4, n.S4, m.S(l&3))
		}
		for _, op := range []op3{f.SADDW, f.UADDW} {
			op(d.H8, n.H8, m.B8)
			op(d.H8, n.H8, m.B16)
			op(d.S4, n.S4, m.H4)
			op(d.S4, n.S4, m.H8)
		}
		for _, op := range []func(d, n Arr){f.SADALP, f.SADDLP} {
			op(d.H8, n.B16)
			op(d.S4, n.H8)
			op(d.D2, n.S4)
			op(d.S2, n.H4)
		}
		for _, op := range []func(d, n Arr){f.SQXTN, f.SQXTUN, f.XTN} {
			op(d.B8, n.H8)
			op(d.B16, n.H8)
			op(d.H4, n.S4)
			op(d.H8, n.S4)
			op(d.S2, n.D2)
			op(d.S4, n.D2)
		}
		for _, op := range []func(d, n Arr){f.SCVTF, f.FCVTNS, f.FCVTZS, f.FABS, f.FNEG, f.FRINTN, f.FRECPE} {
			op(d.S4, n.S4)
			op(d.S2, n.S2)
			op(d.D2, n.D2)
		}
		for s := range 8 {
			f.SHL(d.B16, n.B16, s)
			f.SHL(d.S4, n.S4, 4*s+3)
			f.SSRA(d.S4, n.S4, 4*s+1)
			f.SSRA(d.H8, n.H8, s+1)
			f.SSRA(d.D2, n.D2, 64-s)
			f.SSRA(d.S2, n.S2, 32)
			f.SHL(d.D2, n.D2, 8*s+1)
		}
		f.UXTL(d.H8, n.B8)
		f.UXTL(d.H8, n.B16)
		f.UXTL(d.S4, n.H4)
		f.UXTL(d.S4, n.H8)
		f.SXTL(d.H8, n.B8)
		f.SXTL(d.H8, n.B16)
		f.SXTL(d.S4, n.H4)
		f.SXTL(d.S4, n.H8)
		f.SXTL(d.D2, n.S2)
		for s := 1; s <= 8; s++ {
			f.SQRSHRN(d.B8, n.H8, s)
			f.SQRSHRN(d.H4, n.S4, 2*s)
			f.SQRSHRN(d.H8, n.S4, s)
			f.RSHRN(d.S2, n.D2, 4*s)
		}
		for _, op := range []op3{f.SDOT, f.UDOT} {
			op(d.S4, n.B16, m.B16)
			op(d.S2, n.B8, m.B8)
			for l := range 4 {
				op(d.S4, n.B16, V[31-m.N].S(l))
				op(d.S2, n.B8, m.S(l))
			}
		}
		f.SMMLA(d.S4, n.B16, m.B16)
		for i := range 16 {
			f.EXT(d.B16, n.B16, m.B16, i)
			f.DUP(d.B16, n.B(i))
			f.DUP(d.H8, n.H(i/2))
			f.DUP(d.S4, n.S(i/4))
			f.DUP(d.D2, n.D(i/8))
		}
		f.DUPX(d.S4, X(r[1]%30))
		f.DUPX(d.B16, X(r[1]%30))
		f.DUPX(d.D2, X(r[1]%30))
		for k := 1; k <= 4; k++ {
			if r[1]+k <= 32 {
				t := V[r[1] : r[1]+k]
				f.TBL(d.B16, t, m.B16)
				f.TBL(d.B8, t, m.B8)
				f.TBX(d.B16, t, m.B16)
				f.TBX(d.B8, t, m.B8)
				f.LD1(t, X(r[2]))
				f.LD1P(t, X(r[2]), XZR)
				f.LD1P(t, X(r[2]), 17)
				f.ST1(t, X(r[2]))
				f.ST1P(t, X(r[2]), XZR)
				f.ST1P(t, X(r[2]), 17)
			}
		}
		if r[1]+4 <= 32 {
			t := V[r[1] : r[1]+4]
			f.ST4(t, V[0].S4, X(r[2]))
			f.ST4P(t, V[0].B16, X(r[2]), XZR)
			f.LD3P(t[:3], V[0].S4, X(r[2]), XZR)
			f.LD3P(t[:3], V[0].B16, X(r[2]), 9)
			f.ST3P(t[:3], V[0].S4, X(r[2]), XZR)
			f.ST3P(t[:3], V[0].B16, X(r[2]), 9)
			f.LDnR(t, V[0].S4, X(r[2]))
			f.LDnR(t[:1], V[0].B16, X(r[2]))
			for l := range 4 {
				f.ST4LP(t, l, X(r[2]))
			}
			for _, n := range []int{1, 2, 4} {
				f.LDnRP(t[:n], V[0].S4, X(r[2]), XZR)
				f.LDnRP(t[:n], V[0].S4, X(r[2]), 17)
				f.LDnRP(t[:n], V[0].B16, X(r[2]), 17)
			}
			f.ST2P(t[:2], V[0].D2, X(r[2]), XZR)
			f.ST2P(t[:2], V[0].S4, X(r[2]), 3)
		}
		f.LDnR([]VReg{d}, V[0].S4, X(r[2]))
		for _, off := range []int{0, 16, 1008, -1024, -16} {
			f.LDP(d, V[(d.N+1)%32], X(r[2]), off)
			f.STP(d, V[(d.N+7)%32], X(r[2]), off)
			f.LDPP(d, V[(d.N+1)%32], X(r[2]), off)
			f.STPP(d, n, X(r[2]), off)
		}
		for _, off := range []int{0, 16, 4096} {
			f.LDR(d, X(r[2]), off)
			f.STR(d, X(r[2]), off)
			f.PRFM(X(r[2]), off, 1)
			f.PRFM(X(r[2]), off, 2)
		}
		f.LDRP(d, X(r[2]), 16)
		f.STRP(d, X(r[2]), -16)
	}
	return f
}

func TestWordsAgainstBinutils(t *testing.T) {
	as, err := exec.LookPath("aarch64-linux-gnu-as")
	if err != nil {
		t.Skip("no aarch64-linux-gnu-as: install binutils-aarch64-linux-gnu")
	}
	f := forms()
	dir := t.TempDir()
	var src strings.Builder
	for _, r := range f.Recs {
		fmt.Fprintln(&src, r.GNU)
	}
	run := func(name string, arg ...string) {
		if out, err := exec.Command(name, arg...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	os.WriteFile(filepath.Join(dir, "x.s"), []byte(src.String()), 0o644)
	run(as, "-march=armv8.2-a+dotprod+i8mm+fp16+bf16", "-o", dir+"/x.o", dir+"/x.s")
	run("aarch64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", dir+"/x.o", dir+"/x.bin")
	b, _ := os.ReadFile(dir + "/x.bin")
	if len(b) != 4*len(f.Recs) {
		t.Fatalf("%d bytes for %d instructions", len(b), len(f.Recs))
	}
	kinds, bad := map[string]bool{}, 0
	for i, r := range f.Recs {
		kinds[strings.Fields(r.GNU)[0]] = true
		if w := binary.LittleEndian.Uint32(b[4*i:]); w != r.Word {
			if bad++; bad < 30 {
				t.Errorf("%s: have %08x, binutils %08x", r.GNU, r.Word, w)
			}
		}
	}
	t.Logf("%d instructions, %d mnemonics checked", len(f.Recs), len(kinds))
}

// The Go spelling must give the same word under the Go assembler.
func TestGoSpelling(t *testing.T) {
	f := forms()
	dir := t.TempDir()
	var src bytes.Buffer
	src.WriteString("#include \"textflag.h\"\nTEXT ·x(SB), NOSPLIT, $0-0\n")
	var want []Rec
	for _, r := range f.Recs {
		if r.Native() {
			fmt.Fprintf(&src, "\t%s\n", r.Go)
			want = append(want, r)
		}
	}
	os.WriteFile(dir+"/x.s", src.Bytes(), 0o644)
	root, _ := exec.Command("go", "env", "GOROOT").Output()
	cmd := exec.Command("go", "tool", "asm", "-I", strings.TrimSpace(string(root))+"/pkg/include", "-p", "x", "-o", dir+"/x.o", dir+"/x.s")
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		s := string(out)
		t.Fatalf("go tool asm: %v\n%s", err, s[:min(len(s), 3000)])
	}
	out, err := exec.Command("go", "tool", "objdump", dir+"/x.o").Output()
	if err != nil {
		t.Fatal(err)
	}
	var words []uint32
	for _, m := range regexp.MustCompile(`(?m)^\s+\S+:\d+\s+0x[0-9a-f]+\s+([0-9a-f]{8})\s`).FindAllStringSubmatch(string(out), -1) {
		w, _ := strconv.ParseUint(m[1], 16, 32)
		words = append(words, uint32(w))
	}
	if len(words) < len(want) {
		t.Fatalf("%d words, want %d", len(words), len(want))
	}
	bad := 0
	for i, r := range want {
		if words[i] != r.Word {
			if bad++; bad < 20 {
				t.Errorf("%s (%s): have %08x, Go %08x", r.Go, r.GNU, r.Word, words[i])
			}
		}
	}
	t.Logf("%d Go spellings checked", len(want))
}
