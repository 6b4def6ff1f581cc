package board

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMore is about caches, sensors of power and libraries of other engines: each is there with its figure, or absent with the reason.
func TestMore(t *testing.T) {
	cache := cpus + "/cpu0/cache/index"
	files := with(pi(), map[string]string{
		cache + "0/level": "1\n", cache + "0/type": "Data\n", cache + "0/size": "32K\n",
		cache + "1/level": "2\n", cache + "1/type": "Unified\n", cache + "1/size": "1M\n",
		"sys/class/hwmon/hwmon0/name": "cpu_thermal\n", "sys/class/hwmon/hwmon0/temp1_input": "48000\n",
		"sys/class/hwmon/hwmon1/name": "ina3221\n", "sys/class/hwmon/hwmon1/in1_input": "5000\n", "sys/class/hwmon/hwmon1/curr1_input": "800\n", "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
		"sys/class/hwmon/hwmon2/name": "ina219\n", "sys/class/hwmon/hwmon2/power1_input": "3250000\n",
		"sys/class/hwmon/hwmon3/name": "liar\n", "sys/class/hwmon/hwmon3/power1_input": "-5\n",
	})
	f := Read(tree(t, files))
	if len(f.Caches) != 2 || f.Caches[0] != (Cache{1, "Data", 32 << 10}) || f.Caches[1] != (Cache{2, "Unified", 1 << 20}) {
		t.Errorf("caches %+v", f.Caches)
	}
	if len(f.Sensors) != 2 || f.Sensors[0].Watts != 4 || f.Sensors[0].Name != "VDD_IN" || f.Sensors[1].Watts != 3.25 || f.Sensors[1].Chip != "ina219" {
		t.Errorf("sensors %+v", f.Sensors)
	}
	bare := strings.Join(Read(tree(t, pi())).Absent, "\n")
	for _, want := range []string{"caches: ", "power: no power"} {
		if !strings.Contains(bare, want) {
			t.Errorf("no reason %q in %q", want, bare)
		}
	}
	for _, c := range []struct {
		file, link, name, version, soname string
	}{
		{"usr/lib/aarch64-linux-gnu/libncnn.so.20240102", "usr/lib/aarch64-linux-gnu/libncnn.so", "ncnn", "20240102", "libncnn.so"},
		{"opt/onnxruntime/lib/libonnxruntime.so.1.17.3", "", "ONNX Runtime", "1.17.3", "libonnxruntime.so.1.17.3"},
		{"home/pi/.local/lib/libarmnn.so.33", "", "Arm NN", "33", "libarmnn.so.33"},
		{"usr/lib/libtensorflowlite_c.so", "", "TensorFlow Lite", "", "libtensorflowlite_c.so"},
	} {
		dir := tree(t, map[string]string{c.file: "no ELF"})
		if c.link != "" {
			if err := os.Symlink(filepath.Join(dir, c.file), filepath.Join(dir, c.link)); err != nil {
				t.Fatal(err)
			}
		}
		got, why := Libraries(dir, "/home/pi")
		if len(got) != 1 || why != "" || got[0].Name != c.name || got[0].Version != c.version || got[0].Soname != c.soname || got[0].Path != "/"+c.file {
			t.Errorf("%s: %+v, %q", c.file, got, why)
		}
	}
	if got, why := Libraries(t.TempDir(), ""); got != nil || !strings.Contains(why, "ONNX Runtime") {
		t.Errorf("nothing there: %+v, %q", got, why)
	}
	// the soname of a real library of this computer, if one is found
	for _, f := range []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6"} {
		if _, err := os.Stat(f); err == nil && soname(f) != "libc.so.6" {
			t.Errorf("soname of %s: %q", f, soname(f))
		}
	}
}

// TestDoctorDoes says which findings can be mended from the desk.
func TestDoctorDoes(t *testing.T) {
	hot := Read(tree(t, with(pi(), map[string]string{cpus + "/cpu0/cpufreq/scaling_governor": "ondemand\n", "sys/class/thermal/thermal_zone0/temp": "84500\n",
		"sys/devices/platform/soc/soc:firmware/get_throttled": "4\n"})))
	hot.Pinned, hot.Clock, hot.StorageFree = true, &Clock{AheadNs: -3600e9, WithinNs: 1e6}, 1<<20
	do := map[string]string{}
	for _, r := range Doctor(hot) {
		do[r.Name] = r.Do
		if r.Name == "time" && (r.OK || !strings.Contains(r.Why, "3.6e+03")) {
			t.Errorf("an hour behind: %+v", r)
		}
	}
	for name, want := range map[string]string{"clock": "pin-clock", "temperature": "cool-down", "throttling": "cool-down", "storage": "free-space", "pinned": "restore-clock"} {
		if do[name] != want {
			t.Errorf("%s: %q, want %q", name, do[name], want)
		}
	}
	for _, r := range Doctor(Read(tree(t, pi()))) {
		if r.Do != "" {
			t.Errorf("a board at rest: %s wants %s", r.Name, r.Do)
		}
	}
}
