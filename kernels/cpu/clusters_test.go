package cpu

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// tree writes files under a fake root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, body := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestClusters(t *testing.T) {
	const sys = "sys/devices/system/cpu/"
	pi := map[string]string{sys + "online": "0-3"}
	rk3399 := map[string]string{sys + "online": "0-5"} // four A53 and two A72
	for i, n := range []string{"0", "1", "2", "3", "4", "5"} {
		midr, khz := "0x00000000410fd034", "1416000"
		if i >= 4 {
			midr, khz = "0x00000000410fd082", "1800000"
		}
		rk3399[sys+"cpu"+n+"/regs/identification/midr_el1"] = midr
		rk3399[sys+"cpu"+n+"/cpufreq/cpuinfo_max_freq"] = khz
		if i < 4 {
			pi[sys+"cpu"+n+"/regs/identification/midr_el1"] = "0x00000000410fd083"
			pi[sys+"cpu"+n+"/cpufreq/cpuinfo_max_freq"] = "1500000"
		}
	}
	capacities := map[string]string{sys + "online": "0-1,3", sys + "cpu0/cpu_capacity": "446", sys + "cpu1/cpu_capacity": "1024", sys + "cpu3/cpu_capacity": "446"}
	old := map[string]string{sys + "online": "0-1", "proc/cpuinfo": "processor\t: 0\nCPU part\t: 0xd03\n\nprocessor\t: 1\nCPU part\t: 0xd09\n"}
	exynos, info := map[string]string{sys + "online": "0-7"}, "" // of 32 bits: parts are in cpuinfo only
	for i, n := range []string{"0", "1", "2", "3", "4", "5", "6", "7"} {
		part, khz := "0xc07", "1400000"
		if i >= 4 {
			part, khz = "0xc0f", "2000000"
		}
		info += "processor\t: " + n + "\nCPU part\t: " + part + "\n\n"
		exynos[sys+"cpu"+n+"/cpufreq/cpuinfo_max_freq"] = khz
	}
	exynos["proc/cpuinfo"] = info
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []Cluster
		seats []Seat // of three workers
	}{
		{"nothing to read", nil, nil, nil},
		{"equal cores", pi, []Cluster{{[]int{0, 1, 2, 3}, 0xd08, "Cortex-A72", 1500000, 600}}, nil},
		{"two clusters", rk3399, []Cluster{{[]int{4, 5}, 0xd08, "Cortex-A72", 1800000, 720}, {[]int{0, 1, 2, 3}, 0xd03, "Cortex-A53", 1416000, 338}},
			[]Seat{{4, 720}, {5, 720}, {0, 338}}},
		{"capacities of the scheduler, a processor offline", capacities, []Cluster{{[]int{1}, 0, "", 0, 1024}, {[]int{0, 3}, 0, "", 0, 446}}, []Seat{{1, 1024}, {0, 446}, {3, 446}}},
		{"parts in cpuinfo only, too few processors", old, []Cluster{{[]int{1}, 0xd09, "Cortex-A73", 0, 4}, {[]int{0}, 0xd03, "Cortex-A53", 0, 2}}, nil},
		{"Cortex-A15 and A7 of 32 bits", exynos, []Cluster{{[]int{4, 5, 6, 7}, 0xc0f, "Cortex-A15", 2000000, 800}, {[]int{0, 1, 2, 3}, 0xc07, "Cortex-A7", 1400000, 84}},
			[]Seat{{4, 800}, {5, 800}, {6, 800}}},
		{"nonsense", map[string]string{sys + "online": "x,3-,5-2,-1"}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Clusters(tree(t, c.files))
			if !reflect.DeepEqual(got, c.want) {
				t.Fatalf("clusters %+v, want %+v", got, c.want)
			}
			if s := Seats(got, 3, nil); !reflect.DeepEqual(s, c.seats) {
				t.Errorf("seats %v, want %v", s, c.seats)
			}
		})
	}
	l := Clusters(tree(t, rk3399))
	if s := Seats(l, 2, func(cpu int) bool { return cpu < 5 }); !reflect.DeepEqual(s, []Seat{{4, 720}, {0, 338}}) {
		t.Errorf("a process that may not use processor 5 gets %v", s)
	}
	if s := Seats(l, 7, nil); s != nil {
		t.Errorf("seven workers on six processors get %v", s)
	}
}
