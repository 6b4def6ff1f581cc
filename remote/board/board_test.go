package board

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tree writes files under a new root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pi is what a Raspberry Pi 4 at rest shows.
func pi() map[string]string {
	return map[string]string{
		"proc/cpuinfo":                          strings.Repeat("processor\t: 0\nFeatures\t: fp asimd crc32\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n", 4) + "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
		"proc/meminfo":                          "MemTotal:        3885396 kB\nMemFree: 1 kB\nMemAvailable:    3434512 kB\n",
		"proc/loadavg":                          "0.08 0.03 0.05 1/189 1234\n",
		"proc/self/status":                      "Name:\tx\nCpus_allowed:\tf\nCpus_allowed_list:\t0-2,3\n",
		"proc/sys/kernel/osrelease":             "6.6.31-v8+\n",
		"etc/os-release":                        "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
		cpus + "/cpu0/cpufreq/scaling_cur_freq": "1500000\n", cpus + "/cpu1/cpufreq/scaling_cur_freq": "1500000\n",
		cpus + "/cpu2/cpufreq/scaling_cur_freq": "1500000\n", cpus + "/cpu3/cpufreq/scaling_cur_freq": "1500000\n",
		cpus + "/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n", cpus + "/cpu0/cpufreq/scaling_max_freq": "1500000\n",
		cpus + "/cpu1/cpufreq/scaling_max_freq":               "1500000\n",
		cpus + "/cpu0/cpufreq/scaling_governor":               "performance\n",
		"sys/class/thermal/thermal_zone0/temp":                "48312\n",
		"sys/class/thermal/thermal_zone0/type":                "cpu-thermal\n",
		"sys/class/thermal/thermal_zone1/temp":                "91000\n",
		"sys/class/thermal/thermal_zone1/type":                "wifi\n",
		"sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
	}
}

func with(base map[string]string, changes map[string]string) map[string]string {
	out := maps.Clone(base)
	for k, v := range changes {
		if v == "" {
			delete(out, k)
			continue
		}
		out[k] = v
	}
	return out
}

func TestRead(t *testing.T) {
	f := Read(tree(t, pi()))
	if f.SoC != "Raspberry Pi 4 Model B Rev 1.4" || len(f.Cores) != 4 || f.Cores[0] != (Core{"Cortex-A72", 1_800_000_000}) || f.Cores[1].MaxHz != 1_500_000_000 || f.Cores[3].MaxHz != 0 ||
		!slices.Equal(f.ISA, []string{"asimd", "crc32", "fp"}) || f.MemoryBytes != 3885396<<10 || f.OS != "Debian GNU/Linux 12 (bookworm)" || f.Kernel != "6.6.31-v8+" || len(f.Absent) != 2 { // caches and sensors of power
		t.Errorf("facts: %+v", f)
	}
	if f.Governor != "performance" || len(f.Hz) != 4 || f.Hz[0] != 1_500_000_000 || *f.TemperatureC != 48.312 || *f.Throttled || *f.Undervoltage || *f.PastThrottle ||
		*f.Load != 0.08 || *f.MemoryFree != 3434512<<10 || !slices.Equal(f.CoreIDs, []int{0, 1, 2, 3}) {
		t.Errorf("conditions: %+v", f.Conditions)
	}
}

// TestAbsent reads computers that say little: what is not there is absent, never zero.
func TestAbsent(t *testing.T) {
	f := Read(t.TempDir())
	if f.TemperatureC != nil || f.Throttled != nil || f.Undervoltage != nil || f.Load != nil || f.MemoryFree != nil || f.Governor != "" || f.Hz != nil || f.StorageFree != -1 || len(f.Absent) != 8 {
		t.Errorf("an empty computer: %+v", f)
	}
	for _, k := range []struct{ name, file, text string }{
		{"temperature", "sys/class/thermal/thermal_zone0/temp", "hot\n"},
		{"temperature beyond belief", "sys/class/thermal/thermal_zone0/temp", "9999999\n"},
		{"load", "proc/loadavg", "much\n"},
		{"flags", "sys/devices/platform/soc/soc:firmware/get_throttled", "no\n"},
		{"memory", "proc/meminfo", "MemTotal: -5 kB\nMemAvailable: 99999999999999999999 kB\n"},
	} {
		f := Read(tree(t, map[string]string{k.file: k.text}))
		if f.TemperatureC != nil || f.Load != nil || f.Throttled != nil || f.MemoryBytes != 0 || f.MemoryFree != nil {
			t.Errorf("nonsense for %s is taken: %+v", k.name, f.Conditions)
		}
	}
}

func TestThrottle(t *testing.T) {
	const firmware = "sys/devices/platform/soc/soc:firmware/get_throttled"
	const cooling = "sys/class/thermal/cooling_device"
	yes, no := true, false
	cases := []struct {
		name        string
		files       map[string]string
		now, before *bool
		volts       *bool
	}{
		{"cool", map[string]string{firmware: "0"}, &no, &no, &no},
		{"all at once", map[string]string{firmware: "50005"}, &yes, &yes, &yes},
		{"with 0x", map[string]string{firmware: "0x50005"}, &yes, &yes, &yes},
		{"only before", map[string]string{firmware: "50000"}, &no, &yes, &no},
		{"soft limit of temperature", map[string]string{firmware: "80008"}, &yes, &yes, &no},
		{"too little voltage only", map[string]string{firmware: "10001"}, &no, &yes, &yes},
		{"cooling device at rest", map[string]string{cooling + "0/type": "cpufreq-cpu0", cooling + "0/cur_state": "0"}, &no, nil, nil},
		{"second cooling device at work", map[string]string{cooling + "0/type": "thermal-cpufreq-0", cooling + "0/cur_state": "0", cooling + "1/type": "Processor", cooling + "1/cur_state": "3"}, &yes, nil, nil},
		{"a fan is no throttle", map[string]string{cooling + "0/type": "gpio-fan", cooling + "0/cur_state": "1"}, nil, nil, nil},
		{"nothing", map[string]string{}, nil, nil, nil},
	}
	same := func(a, b *bool) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Sense(tree(t, c.files))
			if !same(got.Throttled, c.now) || !same(got.PastThrottle, c.before) || !same(got.Undervoltage, c.volts) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestDoctor finds each thing that spoils measurements, and nothing on a board that is right.
func TestDoctor(t *testing.T) {
	right := with(pi(), map[string]string{cpus + "/cpu0/cpufreq/cpuinfo_max_freq": "1500000\n"})
	bad := func(files map[string]string) (out []string) {
		f := Read(tree(t, files))
		f.StorageFree = 1 << 30
		for _, r := range Doctor(f) {
			if !r.OK {
				out = append(out, r.Name)
				if r.Why == "" || r.Fix == "" && r.Name != "temperature" {
					t.Errorf("no reason or no fix: %+v", r)
				}
			}
		}
		return out
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"right", right, nil},
		{"ondemand", with(right, map[string]string{cpus + "/cpu0/cpufreq/scaling_governor": "ondemand"}), []string{"clock"}},
		{"slow and hot", with(right, map[string]string{cpus + "/cpu0/cpufreq/scaling_cur_freq": "600000", "sys/class/thermal/thermal_zone0/temp": "84500",
			"sys/devices/platform/soc/soc:firmware/get_throttled": "50005"}), []string{"speed", "throttling", "power", "temperature"}},
		{"busy", with(right, map[string]string{"proc/loadavg": "3.9 1 1 1/1 1"}), []string{"load"}},
		{"little memory", with(right, map[string]string{"proc/meminfo": "MemTotal: 100000 kB\nMemAvailable: 1000 kB\n"}), []string{"memory"}},
		{"mute", map[string]string{"proc/cpuinfo": right["proc/cpuinfo"]}, []string{"clock", "throttling", "temperature"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := bad(c.files); !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

func TestParseCPU(t *testing.T) {
	x86 := "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nflags\t\t: sse avx2 avx\n\nprocessor\t: 1\nmodel name\t: Some CPU @ 2.0GHz\nflags\t\t: other\n\n"
	soc, isa, cores := parseCPU(x86)
	if soc != "Some CPU @ 2.0GHz" || len(cores) != 2 || !slices.Equal(isa, []string{"avx", "avx2", "sse"}) {
		t.Errorf("x86: %q %v %v", soc, isa, cores)
	}
	big := "processor: 0\nCPU implementer: 0x41\nCPU part: 0xd05\n\nprocessor: 4\nCPU implementer: 0x41\nCPU part: 0xd0b\n\nprocessor: 5\nCPU implementer: 0x51\nCPU part: 0x804\n"
	if _, _, cores := parseCPU(big); len(cores) != 3 || cores[0].Part != "Cortex-A55" || cores[1].Part != "Cortex-A76" || cores[2].Part != "implementer 0x51 part 0x804" {
		t.Errorf("big and little: %+v", cores)
	}
	if _, _, cores := parseCPU("processor\t: 0\nhart\t: 0\nisa\t: rv64imafdc\nuarch\t: sifive,u74-mc\n"); len(cores) != 1 || cores[0].Part != "sifive,u74-mc" {
		t.Errorf("riscv: %+v", cores)
	}
}

func TestClean(t *testing.T) {
	f := Facts{SoC: "a\x1b[31mred\u202e\x00" + strings.Repeat("ü", 300), Absent: make([]string, 1000), ISA: []string{"x\ny"}, Runtimes: []Runtime{{Why: "\x07"}}}
	f.Clean()
	if strings.ContainsAny(f.SoC, "\x1b\x00\u202e") || len(f.SoC) > 200 || !strings.HasPrefix(f.SoC, "a[31mred") || !strings.HasSuffix(f.SoC, "ü") || len(f.Absent) > 64 || f.ISA[0] != "x y" || f.Runtimes[0].Why != "" {
		t.Errorf("%+v", f)
	}
}

// FuzzFacts reads any files of /proc: no panic, and nothing that a terminal must not see.
func FuzzFacts(f *testing.F) {
	f.Add("processor: 0\nCPU part: 0xd08\n", "0-3,7", "48312", "0x5")
	f.Add("\x00\xff", "9-1,-", "-1", "z")
	f.Fuzz(func(t *testing.T, cpu, list, temp, flags string) {
		dir := t.TempDir()
		for name, text := range map[string]string{"proc/cpuinfo": cpu, "proc/meminfo": cpu, "proc/self/status": "Cpus_allowed_list: " + list,
			"sys/class/thermal/thermal_zone0/temp": temp, "sys/devices/platform/soc/soc:firmware/get_throttled": flags} {
			p := filepath.Join(dir, name)
			if os.MkdirAll(filepath.Dir(p), 0o700) != nil || os.WriteFile(p, []byte(text), 0o600) != nil {
				t.Fatal("the test's own folder cannot be written")
			}
		}
		got := Read(dir)
		Doctor(got)
		for _, c := range got.Cores {
			if strings.ContainsAny(c.Part, "\x1b\x00\n") {
				t.Errorf("%q", c.Part)
			}
		}
		if len(got.CoreIDs) > 1024 {
			t.Error("the list of cores has no end")
		}
	})
}

// TestLongFlagLists: an x86 processor lists over a hundred flags; the vector ones stand late.
func TestLongFlagLists(t *testing.T) {
	list := "fpu"
	for i := range 120 {
		list += " flag" + strconv.Itoa(i)
	}
	_, isa, _ := parseCPU("processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: " + list + " avx2 fma\n")
	if !slices.Contains(isa, "avx2") || len(isa) != 123 {
		t.Errorf("%d flags, avx2 among them: %v", len(isa), slices.Contains(isa, "avx2"))
	}
}
