package cpu

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestEmulated runs the arm64 kernels against their portable twins on emulated processors, and shows that these stop a program which executes
// instructions that they lack. scripts/test-arm64.sh runs everything, in minutes.
func TestEmulated(t *testing.T) {
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		qemu, err = exec.LookPath("qemu-aarch64")
	}
	if err != nil || runtime.GOARCH == "arm64" {
		t.Skip("arm64 kernels are not run: no emulator here (Debian: qemu-user-static)")
	}
	if testing.Short() {
		t.Skip("-short was asked for: arm64 kernels are not run")
	}
	dir := t.TempDir()
	built, arm64 := map[string]string{}, []string{"GOARCH=arm64"}
	for _, c := range []struct{ pkg, core, run string }{
		{"conv", "cortex-a72", "^(TestInt8Rows|TestInt8Table|TestGuardPages|TestPlanPicksNEON|TestMeeting|TestTwos|TestOffsetsNEON|TestInt16Rows|TestInt16GuardPages|TestStripes)$"},
		{"conv", "max", "^(TestInt8Table|TestGuardPages|TestPlanPicksNEON|TestInt8Extremes)$"},
		{"conv", "cortex-a72", "^TestRows$/^(1x1|1x1,_one_pixel|1x1,_rows_of_6|1x1_stride_2|3x3|3x3_small_image|3x3_stride_2,_odd|first_layer_.*|dilation|groups_of_4_.ResNeXt.|depthwise_3x3|depthwise_3x3_s2|depthwise_5x5|depthwise_5x5_s2|batch)$"},
		{"conv", "max", "^(TestHalfRows|TestHalfGuardPages)$"},
		{"gemm", "cortex-a72", "."},
		{"gemm", "max", "^TestHalfRows$"},
		{"pool", "cortex-a72", "."},
		{"eltwise", "cortex-a72", "."},
		{"quant", "cortex-a72", "."},
		{"pack", "cortex-a72", "."},
		{"cpu", "cortex-a72", "^TestFillBorderKinds$"},
		{"../engine", "cortex-a72", "^(TestTableInStore|TestWordRows)$/^(SiLU_and_leaky_relu|another_reads_what_lies_between|two_functions_of_one_value|expand,_depthwise,_project_and_sum)$"},
		{"../engine", "cortex-a76", "^TestTableInStore$"},
	} {
		if built[c.pkg] == "" {
			built[c.pkg] = filepath.Join(dir, filepath.Base(c.pkg)+".test")
			command(t, arm64, "go", "test", "-c", "-o", built[c.pkg], "../"+c.pkg)
		}
		t.Run(c.pkg+" on "+c.core, func(t *testing.T) {
			command(t, arm64, qemu, "-cpu", c.core, built[c.pkg], "-test.short", "-test.run="+c.run)
		})
	}
	for _, c := range []struct {
		core, what string
		dies       bool
	}{{"cortex-a53", "dotprod", true}, {"cortex-a72", "dotprod", true}, {"cortex-a76", "i8mm", true}, {"cortex-a76", "dotprod", false}} {
		cmd := exec.Command(qemu, "-cpu", c.core, built["conv"], "-test.run=^TestAbsentInstructions$")
		cmd.Env = append(os.Environ(), "FETTLE_TEST_EXECUTE="+c.what)
		if out, err := cmd.CombinedOutput(); (err != nil) != c.dies {
			t.Errorf("an emulated %s executes %s: %v\n%.300s", c.core, c.what, err, out)
		}
	}
}
