package cpu

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestEmulatedARMv7 runs the kernels of 32-bit Arm against their portable twins on an emulated Cortex-A7, and on a processor without NEON, which must
// never execute it. scripts/test-armv7.sh runs everything, in minutes.
func TestEmulatedARMv7(t *testing.T) {
	qemu, err := exec.LookPath("qemu-arm-static")
	if err != nil {
		qemu, err = exec.LookPath("qemu-arm")
	}
	if err != nil || runtime.GOARCH == "arm" {
		t.Skip("kernels of 32-bit Arm are not run: no emulator here (Debian: qemu-user-static)")
	}
	if testing.Short() {
		t.Skip("-short was asked for: kernels of 32-bit Arm are not run")
	}
	dir := t.TempDir()
	run := func(env []string, name string, arg ...string) ([]byte, error) {
		c := exec.Command(name, arg...)
		c.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM=7"), env...)
		return c.CombinedOutput()
	}
	conv := "^TestInt8Rows$/^(1x1|1x1_stride_2|3x3_7x7|3x3_stride_2,_odd|first_layer_3x3_s2|depthwise.*)$|^TestRows$/^(1x1|3x3_7x7|first_layer_3x3_s2|depthwise.*)$"
	for _, c := range []struct{ pkg, core, run string }{
		{"conv", "cortex-a7", conv},
		{"conv", "cortex-a7", "^TestPlan.*NEON$"},
		{"conv", "cortex-a9,neon=off", "^(TestPlan.*NEON|TestConcatInPlace)$"},
		{"gemm", "cortex-a7", "^TestRows$"},
		{"eltwise", "cortex-a7", "."},
		{"eltwise", "cortex-a9,neon=off", "."},
		{"quant", "cortex-a7", "."},
		{"pool", "cortex-a7", "."},
		{"pack", "cortex-a7", "."},
	} {
		program := filepath.Join(dir, c.pkg+".test")
		if _, err := os.Stat(program); err != nil {
			if out, err := run(nil, "go", "test", "-c", "-o", program, "../"+c.pkg); err != nil {
				t.Fatalf("%s: %v\n%s", c.pkg, err, out)
			}
		}
		t.Run(c.pkg+" on "+c.core, func(t *testing.T) {
			if out, err := run(nil, qemu, "-cpu", c.core, program, "-test.short", "-test.run="+c.run); err != nil {
				t.Errorf("%v\n%.3000s", err, out)
			}
		})
	}
	for core, dies := range map[string]bool{"cortex-a7": false, "cortex-a9,neon=off": true} {
		out, err := run([]string{"FETTLE_TEST_EXECUTE=neon"}, qemu, "-cpu", core, filepath.Join(dir, "conv.test"), "-test.run=^TestAbsentInstructions$")
		if (err != nil) != dies {
			t.Errorf("an emulated %s executes NEON: %v\n%.300s", core, err, out)
		}
	}
}
