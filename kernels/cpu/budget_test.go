package cpu

import (
	"debug/elf"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/budgets_*.txt anew")

// counted is a processor whose kernels are counted in an emulator.
type counted struct {
	name, qemu, core string
	suffix           string // of assembly's symbols: Go code calls it through a wrapper without
	env              []string
}

// TestBudgets counts what every kernel of arm64 and of 32-bit Arm executes for the fixed work of TestBudgetWork in its package, by symbol, in an
// emulator, and holds it to testdata/budgets_*.txt: counts of assembly are exact, so 2 % more is a kernel that became worse, and 2 % less a
// budget that no longer binds (go test ./kernels/cpu -run Budgets -update).
func TestBudgets(t *testing.T) {
	for _, c := range []counted{
		{"arm64", "qemu-aarch64", "max", ".abi0", []string{"GOARCH=arm64"}},
		{"armv7", "qemu-arm", "cortex-a7", "", []string{"GOARCH=arm", "GOARM=7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, tool := range []string{c.qemu, "gcc"} { // Debian's static qemu has no plugins
				if _, err := exec.LookPath(tool); err != nil || slices.Contains(c.env, "GOARCH="+runtime.GOARCH) {
					t.Skipf("instructions of %s kernels are not counted: no %s here that takes plugins (Debian: qemu-user, gcc)", c.name, tool)
				}
			}
			have, file := c.count(t), "testdata/budgets_"+c.name+".txt"
			if *update {
				writeBudgets(t, file, c.name, have)
				return
			}
			for _, s := range beyond(have, readBudgets(t, file)) {
				t.Error(s)
			}
		})
	}
}

// TestBudgetsBind: a count that changed by more than 2 % fails, up or down, and so does a kernel that is counted and not listed, or listed and not
// counted.
func TestBudgetsBind(t *testing.T) {
	for _, c := range []struct {
		name string
		have map[string]float64
		n    int
	}{
		{"same", map[string]float64{"a": 1000, "b": 500}, 0},
		{"within", map[string]float64{"a": 1019, "b": 491}, 0},
		{"worse", map[string]float64{"a": 1021, "b": 500}, 1},
		{"better", map[string]float64{"a": 1000, "b": 489}, 1},
		{"gone", map[string]float64{"a": 1000}, 1},
		{"new", map[string]float64{"a": 1000, "b": 500, "c": 1}, 1},
	} {
		if l := beyond(c.have, map[string]float64{"a": 1000, "b": 500}); len(l) != c.n {
			t.Errorf("%s: %d complaints, want %d: %q", c.name, len(l), c.n, l)
		}
	}
}

// beyond says what is more than 2 % off its budget, or has none.
func beyond(have, want map[string]float64) []string {
	var l []string
	for name, n := range want {
		if d := have[name]/n - 1; math.Abs(d) > 0.02 {
			l = append(l, fmt.Sprintf("%s executes %.0f instructions, the budget is %.0f (%+.1f %%)", name, have[name], n, 100*d))
		}
	}
	for name, n := range have {
		if want[name] == 0 {
			l = append(l, fmt.Sprintf("%s executes %.0f instructions and has no budget: go test ./kernels/cpu -run Budgets -update", name, n))
		}
	}
	slices.Sort(l)
	return l
}

// count runs the work of every package and returns the instructions by "package.symbol".
func (c counted) count(t *testing.T) map[string]float64 {
	t.Helper()
	dir := t.TempDir()
	plugin := filepath.Join(dir, "count.so")
	command(t, c.env, "gcc", "-O2", "-shared", "-fPIC", "../../scripts/arm/count.c", "-o", plugin)
	have := map[string]float64{}
	for _, pkg := range []string{"conv", "gemm", "quant", "eltwise", "pool", "pack", "cpu"} {
		if len(c.assembly(t, pkg)) == 0 {
			continue
		}
		program := filepath.Join(dir, pkg+".test")
		command(t, c.env, "go", "test", "-c", "-o", program, "../"+pkg)
		ranges := c.ranges(t, program, pkg)
		list, out := program+".ranges", program+".counts"
		if err := os.WriteFile(list, []byte(ranges), 0o644); err != nil {
			t.Fatal(err)
		}
		command(t, c.env, c.qemu, "-cpu", c.core, "-plugin", plugin+",out="+out+",ranges="+list, program, "-test.run=^TestBudgetWork$")
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(b)) {
			var name string
			var n float64
			if _, err := fmt.Sscan(l, &name, &n); err == nil && strings.Contains(name, ".") {
				have[name] = n
			}
		}
	}
	return have
}

func command(t *testing.T, env []string, name string, arg ...string) {
	t.Helper()
	cmd := exec.Command(name, arg...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arg, " "), err, out)
	}
}

// ranges lists "low high name" of a package's assembly; a symbol ends where the next begins.
func (c counted) ranges(t *testing.T, program, pkg string) string {
	t.Helper()
	ours := c.assembly(t, pkg)
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(l, func(a, b elf.Symbol) int {
		switch {
		case a.Value < b.Value:
			return -1
		case a.Value > b.Value:
			return 1
		}
		return 0
	})
	var s strings.Builder
	for i, sym := range l[:len(l)-1] {
		name, ok := strings.CutPrefix(sym.Name, "fettle/kernels/"+pkg+".")
		if !ok || !ours[name] {
			continue
		}
		name = strings.TrimSuffix(name, c.suffix)
		end := i + 1
		for end < len(l)-1 && l[end].Value == sym.Value {
			end++
		}
		fmt.Fprintf(&s, "%x %x %s.%s\n", sym.Value, l[end].Value, pkg, name)
	}
	if s.Len() == 0 {
		t.Fatalf("%s: no assembly among %d symbols", program, len(l))
	}
	return s.String()
}

// assembly is the symbols of a package's assembly, from its source: those of 32-bit Arm are called as Go code is and named so.
func (c counted) assembly(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../" + pkg + "/*_" + strings.TrimPrefix(c.env[0], "GOARCH=") + ".s")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(b)) {
			if name, ok := strings.CutPrefix(l, "TEXT ·"); ok {
				name, _, _ = strings.Cut(name, "(")
				names[name+c.suffix] = true
			}
		}
	}
	return names
}

func writeBudgets(t *testing.T, file, arch string, have map[string]float64) {
	t.Helper()
	var s strings.Builder
	fmt.Fprintf(&s, "# Instructions of each %s kernel for the work of TestBudgetWork: go test ./kernels/cpu -run Budgets -update\n", arch)
	names := make([]string, 0, len(have))
	for n := range have {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&s, "%s %.0f\n", n, have[n])
	}
	if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readBudgets(t *testing.T, file string) map[string]float64 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	for l := range strings.Lines(string(b)) {
		var name string
		var n float64
		if strings.HasPrefix(l, "#") {
			continue
		}
		if _, err := fmt.Sscan(l, &name, &n); err != nil || n <= 0 {
			t.Fatalf("%s: %q", file, l)
		}
		want[name] = n
	}
	return want
}
