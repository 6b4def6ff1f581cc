package boards

import (
	"slices"
	"testing"

	"fettle/app"
	"fettle/remote/board"
)

func yes(b bool) *bool          { return &b }
func number(v float64) *float64 { return &v }
func bytesOf(v int64) *int64    { return &v }

func pi() *app.TargetFacts {
	f := &app.TargetFacts{SoC: "Raspberry Pi 4 Model B", Arch: "arm64", ISA: []string{"fp", "asimd", "evtstrm", "crc32", "cpuid"}, MemoryBytes: 4 << 30, OS: "Debian 12", Kernel: "6.6.20"}
	for range 4 {
		f.Cores = append(f.Cores, board.Core{Part: "Cortex-A72", MaxHz: 1.8e9})
	}
	f.Governor, f.Hz, f.TemperatureC, f.Throttled, f.Load, f.MemoryFree = "performance", []int64{1.8e9, 1.8e9, 1.8e9, 1.8e9}, number(61), yes(false), number(.1), bytesOf(3.7e9)
	f.Runtimes = []board.Runtime{{Name: "fettle", Version: "0.1.0", Present: true}, {Name: "tflite", Present: false, Why: "no libtensorflowlite_c.so"}}
	return f
}

func TestCores(t *testing.T) {
	f := pi()
	f.Cores = append(f.Cores, board.Core{Part: "Cortex-A55"}, board.Core{Part: "Cortex-A55"})
	g := groupCores(f)
	if len(g) != 2 || g[0].n != 4 || g[1] != (cores{"Cortex-A55", 2, 0}) {
		t.Errorf("%+v", g)
	}
}

func TestPills(t *testing.T) {
	for _, c := range []struct {
		name, arch string
		isa, want  []string
	}{
		{"Pi 4", "arm64", pi().ISA, []string{"arm64", "neon"}},
		{"Pi 5", "arm64", []string{"asimd", "asimdhp", "fphp", "asimddp"}, []string{"arm64", "neon", "fp16", "dotprod"}},
		{"server", "amd64", []string{"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "amx_int8", "sse"}, []string{"amd64", "fma", "f16c", "avx512f", "avx512bw", "avx512vnni", "amx-int8"}},
		{"nothing said", "riscv64", nil, []string{"riscv64"}},
	} {
		if got := pills(&app.TargetFacts{Arch: c.arch, ISA: c.isa}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSeal(t *testing.T) {
	for _, c := range []struct {
		name, want string
		edit       func(*app.TargetFacts)
	}{
		{"all well", "green", func(*app.TargetFacts) {}},
		{"clock moves", "amber", func(f *app.TargetFacts) { f.Governor = "ondemand" }},
		{"clock not known", "amber", func(f *app.TargetFacts) { f.Governor = "" }},
		{"throttling not known is not green", "amber", func(f *app.TargetFacts) { f.Throttled = nil }},
		{"busy", "amber", func(f *app.TargetFacts) { f.Load = number(2) }},
		{"throttled", "red", func(f *app.TargetFacts) { f.Throttled = yes(true) }},
		{"weak power", "red", func(f *app.TargetFacts) { f.Undervoltage = yes(true) }},
	} {
		f := pi()
		c.edit(f)
		if got := seal(&app.Board{Facts: f}); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := seal(&app.Board{}); got != "" {
		t.Errorf("not asked yet: %q", got)
	}
}

func TestForm(t *testing.T) {
	known := []*app.Board{{Name: "local", Local: true}}
	for _, c := range []struct {
		name string
		f    app.AddBoardForm
		bad  []string
	}{
		{"complete", app.AddBoardForm{Name: "lab-pi4", Address: "pi@192.168.1.20"}, nil},
		{"with scheme and port", app.AddBoardForm{Name: "a", Address: "ssh://pi@host:2222"}, nil},
		{"empty", app.AddBoardForm{}, []string{"address", "name"}},
		{"name is taken", app.AddBoardForm{Name: "local", Address: "a@b"}, []string{"name"}},
		{"name is a path", app.AddBoardForm{Name: "../x", Address: "a@b"}, []string{"name"}},
		{"address with a path", app.AddBoardForm{Name: "x", Address: "a@b/c"}, []string{"address"}},
	} {
		var got []string
		for k := range checkForm(c.f, known) {
			got = append(got, k)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.bad) {
			t.Errorf("%s: %v, want %v", c.name, got, c.bad)
		}
	}
	for in, want := range map[string]string{"pi@raspberrypi.local:22": "raspberrypi", "ssh://root@10.0.0.7": "10.0.0.7", "board": "board"} {
		if got := nameFor(in); got != want {
			t.Errorf("name for %q is %q, want %q", in, got, want)
		}
	}
}

func TestProblemsWithAFixComeFirst(t *testing.T) {
	bad, good := problems([]app.TargetFinding{{Name: "a", OK: true}, {Name: "b"}, {Name: "c", Fix: "do"}})
	if len(good) != 1 || len(bad) != 2 || bad[0].Name != "c" {
		t.Errorf("%v %v", bad, good)
	}
}
