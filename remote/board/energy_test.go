package board

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMeter measures energy by a counter, by a sensor, and says why where there is neither. The counter may run over.
func TestMeter(t *testing.T) {
	const rapl = "sys/class/powercap/intel-rapl:0/"
	dir := tree(t, map[string]string{rapl + "name": "package-0\n", rapl + "energy_uj": "900\n", rapl + "max_energy_range_uj": "1000\n"})
	m := StartMeter(dir)
	if err := os.WriteFile(filepath.Join(dir, rapl, "energy_uj"), []byte("400\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if j, by, why := m.Joules(); math.Abs(j-500e-6) > 1e-12 || by != "counter" || why != "" {
		t.Errorf("counter: %g J by %q, %s", j, by, why)
	}
	dir = tree(t, map[string]string{"sys/class/hwmon/hwmon0/name": "ina219\n", "sys/class/hwmon/hwmon0/power1_input": "2000000\n"})
	m = StartMeter(dir)
	begin := time.Now()
	time.Sleep(60 * time.Millisecond)
	j, by, _ := m.Joules()
	if took := time.Since(begin).Seconds(); by != "sensor" || j < 2*0.06 || j > 2*took+0.01 {
		t.Errorf("sensor: %g J by %q in %g s of 2 W", j, by, took)
	}
	if w := Sense(dir).Watts; w == nil || *w != 2 {
		t.Errorf("watts: %v", w)
	}
	if j, by, why := StartMeter(t.TempDir()).Joules(); j != 0 || by != "" || why == "" {
		t.Errorf("nothing there: %g, %q, %q", j, by, why)
	}
}

// TestMemorySpeed reads and copies: the figures are those of a computer, and little memory is respected.
func TestMemorySpeed(t *testing.T) {
	m := MeasureMemory(64 << 20)
	if m.ReadBps < 1e8 || m.ReadBps > 1e13 || m.CopyBps < 1e8 || m.Bytes*int64(2*m.Cores) > 16<<20+2<<20 || m.Best() < m.ReadBps {
		t.Errorf("%+v", m)
	}
}
