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

var update = flag.Bool("update", false, "write testdata/budgets_arm64.txt anew")

const budgetFile = "testdata/budgets_arm64.txt"

// TestBudgets counts what every arm64 kernel executes for the fixed work of TestBudgetWork in its package, by symbol, in an emulator, and holds
// it to testdata/budgets_arm64.txt: counts of assembly are exact, so 2 % more is a kernel that became worse, and 2 % less a budget
// that no longer binds (go test ./kernels/cpu -run Budgets -update).
func TestBudgets(t *testing.T) {
	for _, tool := range []string{"qemu-aarch64", "gcc"} { // Debian's static qemu has no plugins
		if _, err := exec.LookPath(tool); err != nil || runtime.GOARCH == "arm64" {
			t.Skipf("instructions of arm64 kernels are not counted: no %s here that takes plugins (Debian: qemu-user, gcc)", tool)
		}
	}
	dir := t.TempDir()
	plugin := filepath.Join(dir, "count.so")
	command(t, "gcc", "-O2", "-shared", "-fPIC", "../../scripts/arm/count.c", "-o", plugin)
	have := map[string]float64{}
	for _, pkg := range []string{"conv", "gemm", "quant", "eltwise"} {
		program := filepath.Join(dir, pkg+".test")
		command(t, "go", "test", "-c", "-o", program, "../"+pkg)
		ranges := kernelRanges(t, program, pkg)
		list, out := program+".ranges", program+".counts"
		if err := os.WriteFile(list, []byte(ranges), 0o644); err != nil {
			t.Fatal(err)
		}
		command(t, "qemu-aarch64", "-cpu", "max", "-plugin", plugin+",out="+out+",ranges="+list, program, "-test.run=^TestBudgetWork$")
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
	if *update {
		writeBudgets(t, have)
		return
	}
	want := readBudgets(t)
	for name, n := range want {
		if d := have[name]/n - 1; math.Abs(d) > 0.02 {
			t.Errorf("%s executes %.0f instructions, the budget is %.0f (%+.1f %%)", name, have[name], n, 100*d)
		}
	}
	for name, n := range have {
		if want[name] == 0 {
			t.Errorf("%s executes %.0f instructions and has no budget: go test ./kernels/cpu -run Budgets -update", name, n)
		}
	}
}

func command(t *testing.T, name string, arg ...string) {
	t.Helper()
	c := exec.Command(name, arg...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arg, " "), err, out)
	}
}

// kernelRanges lists "low high name" of a package's assembly; a symbol ends where the next begins.
func kernelRanges(t *testing.T, program, pkg string) string {
	t.Helper()
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
		name, ok := strings.CutSuffix(sym.Name, ".abi0") // Go code calls it through a wrapper without that suffix
		name, ours := strings.CutPrefix(name, "fettle/kernels/"+pkg+".")
		if !ok || !ours {
			continue
		}
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

func writeBudgets(t *testing.T, have map[string]float64) {
	t.Helper()
	var s strings.Builder
	s.WriteString("# Instructions of each arm64 kernel for the work of TestBudgetWork: go test ./kernels/cpu -run Budgets -update\n")
	names := make([]string, 0, len(have))
	for n := range have {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&s, "%s %.0f\n", n, have[n])
	}
	if err := os.WriteFile(budgetFile, []byte(s.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readBudgets(t *testing.T) map[string]float64 {
	t.Helper()
	b, err := os.ReadFile(budgetFile)
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
			t.Fatalf("%s: %q", budgetFile, l)
		}
		want[name] = n
	}
	return want
}
