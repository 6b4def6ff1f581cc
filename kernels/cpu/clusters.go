package cpu

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Cluster is a group of equal cores.
type Cluster struct {
	CPUs  []int  // numbers of the operating system, ascending
	Part  uint32 // arm64: part number of MIDR_EL1, 0 if unknown
	Core  string // "Cortex-A72", "" if unknown
	KHz   int    // highest clock, 0 if unknown
	Speed int    // of a core, relative to those of the other clusters
}

// core is what is known of a core by its part number. Source: Arm's technical reference manuals and optimisation guides.
type core struct {
	part    uint32
	name    string
	macs    int  // float32 multiply-accumulates a cycle
	inOrder bool // waits for its loads
}

func cores() []core {
	return []core{
		{0xc05, "Cortex-A5", 1, true}, // of 32 bits
		{0xc07, "Cortex-A7", 1, true},
		{0xc08, "Cortex-A8", 2, true},
		{0xc09, "Cortex-A9", 2, false},
		{0xc0e, "Cortex-A17", 4, false},
		{0xc0f, "Cortex-A15", 4, false},
		{0xd03, "Cortex-A53", 4, true},
		{0xd04, "Cortex-A35", 2, true},
		{0xd05, "Cortex-A55", 4, true},
		{0xd07, "Cortex-A57", 4, false},
		{0xd08, "Cortex-A72", 4, false},
		{0xd09, "Cortex-A73", 4, false},
		{0xd0a, "Cortex-A75", 8, false},
		{0xd0b, "Cortex-A76", 8, false},
		{0xd0c, "Neoverse-N1", 8, false},
		{0xd41, "Cortex-A78", 8, false},
		{0xd44, "Cortex-X1", 16, false},
		{0xd46, "Cortex-A510", 4, true},
		{0xd47, "Cortex-A710", 8, false},
		{0xd48, "Cortex-X2", 16, false},
	}
}

// coreOf is the row of a part; an unknown one counts as a Cortex-A72.
func coreOf(part uint32) core {
	for _, c := range cores() {
		if c.part == part {
			return c
		}
	}
	return core{part: part, macs: 4}
}

// Clusters groups the processors that are online by part number, clock and capacity, fastest first. root is "/" but for tests. What
// cannot be read is 0; without any list of processors there are no clusters.
//
// Speeds are the scheduler's capacities where it knows them of all (cpu_capacity), else multiplications a cycle times clock, of
// cores that wait for their loads 60 % of it.
func Clusters(root string) []Cluster {
	sys := filepath.Join(root, "sys/devices/system/cpu")
	var l []Cluster
	parts := infoParts(filepath.Join(root, "proc/cpuinfo"))
	known := true
	for _, n := range cpuList(text(filepath.Join(sys, "online"))) {
		dir := filepath.Join(sys, "cpu"+strconv.Itoa(n))
		part := parts[n]
		if m, err := strconv.ParseUint(strings.TrimPrefix(text(filepath.Join(dir, "regs/identification/midr_el1")), "0x"), 16, 64); err == nil {
			part = uint32(m >> 4 & 0xfff)
		}
		capacity := number(filepath.Join(dir, "cpu_capacity"))
		known = known && capacity > 0
		c := Cluster{CPUs: []int{n}, Part: part, Core: coreOf(part).name, KHz: number(filepath.Join(dir, "cpufreq/cpuinfo_max_freq")), Speed: capacity}
		i := slices.IndexFunc(l, func(o Cluster) bool { return o.Part == c.Part && o.KHz == c.KHz && o.Speed == c.Speed })
		if i < 0 {
			l = append(l, c)
		} else {
			l[i].CPUs = append(l[i].CPUs, n)
		}
	}
	for i := range l {
		if c := coreOf(l[i].Part); !known {
			l[i].Speed = max(1, c.macs*max(1, l[i].KHz/10_000))
			if c.inOrder {
				l[i].Speed = max(1, l[i].Speed*3/5)
			}
		}
	}
	slices.SortStableFunc(l, func(a, b Cluster) int { return cmp.Compare(b.Speed, a.Speed) })
	return l
}

// MachineClusters are the clusters of this machine, read once.
func MachineClusters() []Cluster { return machineClusters() }

var machineClusters = sync.OnceValue(func() []Cluster { return Clusters("/") })

// Seat is a place for a worker: a processor and its relative speed.
type Seat struct{ CPU, Speed int }

// Seats gives n workers processors of their own, the fastest first, among those in allowed (nil: all). Where all cores are equal, or there are
// fewer than n, it gives none: the operating system does better then.
func Seats(l []Cluster, n int, allowed func(cpu int) bool) []Seat {
	if len(l) < 2 || n < 1 {
		return nil
	}
	var s []Seat
	for _, c := range l {
		for _, cpu := range c.CPUs {
			if len(s) < n && (allowed == nil || allowed(cpu)) {
				s = append(s, Seat{cpu, c.Speed})
			}
		}
	}
	if len(s) < n {
		return nil
	}
	return s
}

func text(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func number(file string) int {
	n, _ := strconv.Atoi(text(file)) // 0 if absent
	return n
}

// cpuList reads "0-3,6"; what is no range of processors is left out.
func cpuList(s string) []int {
	var l []int
	for _, r := range strings.Split(s, ",") {
		from, to, many := strings.Cut(r, "-")
		a, err := strconv.Atoi(from)
		if err != nil || a < 0 {
			continue
		}
		b := a
		if many {
			if b, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		for n := a; n <= b && len(l) < 1024; n++ {
			l = append(l, n)
		}
	}
	return l
}

// infoParts reads the part number of each processor from /proc/cpuinfo of an arm64 kernel, which old ones have alone.
func infoParts(file string) map[int]uint32 {
	parts := map[int]uint32{}
	cpu := -1
	for line := range strings.Lines(text(file)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			cpu = -1
			if n, err := strconv.Atoi(value); err == nil {
				cpu = n
			}
		case "CPU part":
			if p, err := strconv.ParseUint(strings.TrimPrefix(value, "0x"), 16, 32); err == nil && cpu >= 0 {
				parts[cpu] = uint32(p)
			}
		}
	}
	return parts
}
