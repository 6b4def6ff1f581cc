package agentbin

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"io"
	"testing"
	"testing/fstest"

	"fettle/internal/fail"
)

func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFind(t *testing.T) {
	program := []byte("\x7fELF a program")
	whole := packed(t, program)
	cases := []struct {
		name string
		arch string
		file []byte
		want fail.Kind
	}{
		{"there", "arm64", whole, ""},
		{"not built", "arm64", nil, fail.NotFound},
		{"no such architecture", "mips", whole, fail.Unsupported},
		{"cut", "arm64", whole[:len(whole)-9], fail.Corrupt},
		{"not gzip", "arm64", program, fail.Corrupt},
		{"too big", "arm64", packed(t, make([]byte, MaxSize+1)), fail.TooBig},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := fstest.MapFS{}
			if c.file != nil {
				in["fettle-agent-linux-arm64.gz"] = &fstest.MapFile{Data: c.file}
			}
			a, err := find(in, c.arch)
			if fail.KindOf(err) != c.want {
				t.Fatalf("got %v, want kind %q", err, c.want)
			}
			if err != nil {
				if c.want == fail.NotFound && fail.From(err).Fix == "" {
					t.Error("it does not say what to do")
				}
				return
			}
			r, err := a.Open()
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(r); !bytes.Equal(got, program) || a.Size != int64(len(program)) {
				t.Errorf("unpacked %q of %d bytes", got, a.Size)
			}
		})
	}
}

// TestBuilt checks what `make agents` built: a static ELF program of its architecture within the size limit.
func TestBuilt(t *testing.T) {
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "armv7": elf.EM_ARM, "riscv64": elf.EM_RISCV}
	for _, arch := range Arches() {
		a, err := For(arch)
		if fail.Is(err, fail.NotFound) {
			t.Logf("no agent for %s: run make agents", arch)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", arch, err)
			continue
		}
		r, err := a.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r)
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil || f.Machine != machine[arch] {
			t.Errorf("%s: it is no program for this architecture: %v", arch, err)
			continue
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s: it wants a dynamic loader, so it is not static", arch)
			}
		}
		t.Logf("%s: %.1f MiB, %.1f MiB compressed", arch, float64(a.Size)/(1<<20), float64(len(a.Gzip))/(1<<20))
	}
}

func TestArch(t *testing.T) {
	for machine, want := range map[string]string{"aarch64": "arm64", "armv7l": "armv7", "armv6l": "", "x86_64": "amd64", "riscv64": "riscv64", "i686": ""} {
		if got := Arch(machine); got != want {
			t.Errorf("%s gives %q, want %q", machine, got, want)
		}
	}
}
