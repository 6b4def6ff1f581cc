package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// forms are all instructions, with registers and displacements on both sides of every change of the encoding.
func forms() []inst {
	regs := []reg{rAX, rCX, rDX, rBX, rSI, rDI, r8, r9, r10, r11, r12, r13, r15, {4, "SP", "rsp"}, {5, "BP", "rbp"}}
	var l []inst
	l = append(l, tilerelease())
	for t := range byte(8) {
		l = append(l, tilezero(t))
	}
	disps := []int32{0, 1, -1, 64, 127, 128, -128, -129, 1024, 1 << 20, -1 << 31}
	for i, b := range regs {
		for k, d := range disps {
			l = append(l, ldtilecfg(b, d), sttilecfg(b, d))
			s := regs[(i+k)%(len(regs)-2)]
			t := byte(i+k) % 8
			l = append(l, tileload(t, b, s, d), tileloadt1(7-t, b, s, d), tilestore(t, b, s, d))
		}
	}
	for c := range byte(8) {
		for a := range byte(8) {
			for b := range byte(8) {
				if c != a && a != b && b != c {
					l = append(l, tdpbssd(c, a, b), tdpbsud(c, a, b), tdpbusd(c, a, b), tdpbuud(c, a, b), tdpbf16ps(c, a, b))
				}
			}
		}
	}
	return l
}

// Every form has the bytes that GNU as writes for its GNU spelling.
func TestAgainstBinutils(t *testing.T) {
	as, err := exec.LookPath("as")
	if err != nil {
		t.Skip("no as (Debian: binutils)")
	}
	dir := t.TempDir()
	src, obj, raw := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o"), filepath.Join(dir, "a.bin")
	var text strings.Builder
	var want []byte
	for _, i := range forms() {
		fmt.Fprintln(&text, i.gnu)
		want = append(want, i.bytes...)
	}
	if err := os.WriteFile(src, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(as, "--64", "-o", obj, src).CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("unrecognized option")) || bytes.Contains(out, []byte("no such instruction")) {
			t.Skipf("as does not know the tiles of amd64: %.80s", out)
		}
		t.Fatalf("%v: %.400s", err, out)
	}
	if out, err := exec.Command("objcopy", "-O", "binary", "-j", ".text", obj, raw).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, i := range forms() {
		if end := at + len(i.bytes); end > len(got) || !bytes.Equal(got[at:end], i.bytes) {
			t.Fatalf("%s: %x here, as writes %x", i.gnu, i.bytes, got[at:min(len(got), at+12)])
		}
		at += len(i.bytes)
	}
	if len(got)-at > 15 {
		t.Errorf("as wrote %d bytes more", len(got)-at)
	}
}
