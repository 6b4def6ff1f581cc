// Package board owns what is known of the computer that a model runs on: processor, clocks, memory, temperature, and
// what of that spoils a measurement.
//
// It reads plain files of /proc and /sys under a root that tests replace, and nothing else. What cannot be read is
// absent, never zero. Start reading at Read and Sense.
package board

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Facts are what does not change while a board runs, and how it is now.
type Facts struct {
	SoC         string   `json:"soc"`
	Arch        string   `json:"arch"` // as Go names it: arm64
	ISA         []string `json:"isa"`
	Cores       []Core   `json:"cores"`
	MemoryBytes int64    `json:"memory_bytes"`
	OS          string   `json:"os"`
	Kernel      string   `json:"kernel"`
	Conditions
	StorageFree int64        `json:"storage_free_bytes"` // of the disk of the agent's store, -1: not known
	Runtimes    []Runtime    `json:"runtimes"`
	Caches      []Cache      `json:"caches,omitempty"`
	Sensors     []Sensor     `json:"sensors,omitempty"`   // of power
	Libraries   []Library    `json:"libraries,omitempty"` // engines that lie there as shared libraries
	Storage     *Storage     `json:"storage,omitempty"`   // measured where it was asked for
	Memory      *MemorySpeed `json:"memory,omitempty"`    // measured where it was asked for
	NowNs       int64        `json:"now_ns,omitempty"`    // the board's clock when it answered
	Clock       *Clock       `json:"clock,omitempty"`     // set by the desk, which has another clock
	Agent       Agent        `json:"agent"`
	Pinned      bool         `json:"pinned,omitempty"` // the clock was pinned from a desk, and what was before is kept
	Lease       *Lease       `json:"lease,omitempty"`  // who measures now, nil: nobody
	Absent      []string     `json:"absent,omitempty"` // what could not be read, with the reason
}

// Core is one processor core.
type Core struct {
	Part  string `json:"part"`             // Cortex-A72
	MaxHz int64  `json:"max_hz,omitempty"` // 0: the system does not say
}

// Runtime is an inference engine found on the board.
type Runtime struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path,omitempty"`
	Present bool   `json:"present"`
	Why     string `json:"why,omitempty"`
}

// Clock is how far the board's clock is from the desk's.
type Clock struct {
	AheadNs  int64 `json:"ahead_ns"`
	WithinNs int64 `json:"within_ns"` // not better known than this: the time that the question took
}

// Lease says who measures on the board.
type Lease struct {
	Holder string `json:"holder"`
	ForS   int64  `json:"held_s"` // seconds so far
}

// Agent is the agent that answers.
type Agent struct {
	Version string   `json:"version"`
	SHA256  string   `json:"sha256"`
	Guards  []string `json:"guards,omitempty"` // what its processes gave up: resource limits, no_new_privs, landlock
}

// Conditions are what a board is like now. nil: the board does not say.
type Conditions struct {
	Governor     string   `json:"governor"` // "": the board does not say
	Hz           []int64  `json:"hz"`
	TemperatureC *float64 `json:"temperature_c"` // hottest zone of the processor
	Throttled    *bool    `json:"throttled"`     // slowed down now
	Undervoltage *bool    `json:"undervoltage"`  // too little voltage now
	PastThrottle *bool    `json:"throttled_before,omitempty"`
	Load         *float64 `json:"load"` // mean of one minute, processes
	MemoryFree   *int64   `json:"memory_free_bytes"`
	Watts        *float64 `json:"watts,omitempty"` // of all sensors of power together
	CoreIDs      []int    `json:"core_ids"`        // cores this process may use
}

// root is where /proc and /sys lie.
type root string

func (r root) read(parts ...string) (string, error) {
	f, err := os.Open(filepath.Join(append([]string{string(r)}, parts...)...))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, 256<<10) // files of the kernel; longer ones are cut
	n := 0
	for n < len(b) {
		k, err := f.Read(b[n:])
		n += k
		if err != nil || k == 0 {
			break
		}
	}
	return strings.TrimSpace(string(b[:n])), nil
}

func (r root) number(parts ...string) (int64, bool) {
	s, err := r.read(parts...)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

const cpus = "sys/devices/system/cpu"

// Read gathers the facts of the computer whose files lie under dir ("/" outside tests).
func Read(dir string) Facts {
	r := root(dir)
	f := Facts{Arch: runtime.GOARCH, OS: runtime.GOOS, StorageFree: -1, ISA: []string{}, Cores: []Core{}, Runtimes: []Runtime{}}
	f.Conditions = Sense(dir)
	cpuinfo, err := r.read("proc/cpuinfo")
	if err != nil {
		f.Absent = append(f.Absent, "processor: "+err.Error())
	}
	f.SoC, f.ISA, f.Cores = parseCPU(cpuinfo)
	if m, err := r.read("sys/firmware/devicetree/base/model"); err == nil {
		f.SoC = clean(m)
	}
	for i := range f.Cores {
		// what the core can do, before what a policy that may itself be throttled allows
		for _, file := range []string{"cpuinfo_max_freq", "scaling_max_freq"} {
			if khz, ok := r.number(cpus, fmt.Sprintf("cpu%d", i), "cpufreq", file); ok && khz > 0 {
				f.Cores[i].MaxHz = khz * 1000
				break
			}
		}
	}
	if v, ok := meminfo(r, "MemTotal"); ok {
		f.MemoryBytes = v
	} else {
		f.Absent = append(f.Absent, "memory: /proc/meminfo does not say")
	}
	var why string
	if f.Caches, why = caches(r); why != "" {
		f.Absent = append(f.Absent, why)
	}
	if f.Sensors, why = power(r); why != "" {
		f.Absent = append(f.Absent, why)
	}
	if s, err := r.read("etc/os-release"); err == nil {
		f.OS = osName(s)
	}
	if s, err := r.read("proc/sys/kernel/osrelease"); err == nil {
		f.Kernel = clean(s)
	}
	if f.Governor == "" {
		f.Absent = append(f.Absent, "clock: no cpufreq in /sys")
	}
	if f.TemperatureC == nil {
		f.Absent = append(f.Absent, "temperature: no thermal zone in /sys")
	}
	if f.Undervoltage == nil {
		f.Absent = append(f.Absent, "supply voltage: no firmware flags in /sys")
	}
	if f.Throttled == nil {
		f.Absent = append(f.Absent, "throttling: neither firmware flags nor a cooling device of the processor in /sys")
	}
	return f
}

// Sense reads the conditions of now. It takes well under a millisecond on a board.
func Sense(dir string) Conditions {
	r := root(dir)
	var c Conditions
	for i := 0; i < 1024; i++ {
		khz, ok := r.number(cpus, fmt.Sprintf("cpu%d", i), "cpufreq/scaling_cur_freq")
		if !ok {
			break
		}
		c.Hz = append(c.Hz, khz*1000)
	}
	if g, err := r.read(cpus, "cpu0/cpufreq/scaling_governor"); err == nil {
		c.Governor = clean(g)
	}
	c.TemperatureC = temperature(r)
	throttle(r, &c)
	if s, err := r.read("proc/loadavg"); err == nil {
		if w := strings.Fields(s); len(w) > 0 {
			if v, err := strconv.ParseFloat(w[0], 64); err == nil {
				c.Load = &v
			}
		}
	}
	if v, ok := meminfo(r, "MemAvailable"); ok {
		c.MemoryFree = &v
	}
	c.Watts = watts(r)
	if s, err := r.read("proc/self/status"); err == nil {
		c.CoreIDs = coreList(field(s, "Cpus_allowed_list"))
	}
	return c
}

// temperature is that of the hottest zone whose type speaks of a processor, else of any.
func temperature(r root) *float64 {
	var best, any *float64
	for i := 0; i < 64; i++ {
		zone := fmt.Sprintf("sys/class/thermal/thermal_zone%d", i)
		milli, ok := r.number(zone, "temp")
		if !ok || milli < -60_000 || milli > 250_000 {
			continue
		}
		v := float64(milli) / 1000
		kind, _ := r.read(zone, "type") // a zone without a type is any
		kind = strings.ToLower(kind)
		into := &any
		if strings.Contains(kind, "cpu") || strings.Contains(kind, "soc") || strings.Contains(kind, "pkg") || strings.Contains(kind, "core") {
			into = &best
		}
		if *into == nil || v > **into {
			*into = &v
		}
	}
	if best != nil {
		return best
	}
	return any
}

// throttle reads the flags of a Raspberry Pi's firmware: bit 0 undervoltage, 1 capped, 2 throttled, 3 soft limit; the
// same 16 bits higher for "since boot". Source: Raspberry Pi documentation, vcgencmd get_throttled.
// Elsewhere a cooling device of the processor that is not at rest says the same.
func throttle(r root, c *Conditions) {
	for _, p := range []string{"sys/devices/platform/soc/soc:firmware/get_throttled", "sys/devices/platform/soc/soc/soc:firmware/get_throttled"} {
		s, err := r.read(p)
		if err != nil {
			continue
		}
		v, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 32)
		if err != nil {
			continue
		}
		now, under, before := v&0b1110 != 0, v&1 != 0, v>>16&0xf != 0
		c.Throttled, c.Undervoltage, c.PastThrottle = &now, &under, &before
		return
	}
	for i := 0; i < 64; i++ {
		dev := fmt.Sprintf("sys/class/thermal/cooling_device%d", i)
		kind, err := r.read(dev, "type")
		if err != nil {
			break
		}
		k := strings.ToLower(kind)
		if !strings.Contains(k, "cpufreq") && !strings.Contains(k, "processor") {
			continue
		}
		if state, ok := r.number(dev, "cur_state"); ok {
			now := state > 0 || (c.Throttled != nil && *c.Throttled)
			c.Throttled = &now
		}
	}
}

func meminfo(r root, key string) (int64, bool) {
	s, err := r.read("proc/meminfo")
	if err != nil {
		return 0, false
	}
	kb, err := strconv.ParseInt(strings.TrimSuffix(field(s, key), " kB"), 10, 64)
	if err != nil || kb < 0 || kb > 1<<50 {
		return 0, false
	}
	return kb << 10, true
}

// field is the value of the first "key: value" line.
func field(s, key string) string {
	for _, l := range strings.Split(s, "\n") {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// coreList reads 0-3,6.
func coreList(s string) []int {
	var out []int
	for _, part := range strings.Split(s, ",") {
		lo, hi, ranged := strings.Cut(part, "-")
		a, err := strconv.Atoi(lo)
		if err != nil {
			return out
		}
		b := a
		if ranged {
			if b, err = strconv.Atoi(hi); err != nil {
				return out
			}
		}
		for i := a; i <= b && len(out) < 1024; i++ {
			out = append(out, i)
		}
	}
	return out
}

func osName(s string) string {
	for _, l := range strings.Split(s, "\n") {
		if v, ok := strings.CutPrefix(l, "PRETTY_NAME="); ok {
			return clean(strings.Trim(v, `"`))
		}
	}
	return runtime.GOOS
}

// clean keeps printable characters of a line that the board chose, 200 bytes at most.
func clean(s string) string {
	s = Printable(s)
	for len(s) > 200 {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

func parseCPU(s string) (soc string, isa []string, cores []Core) {
	isa, cores = []string{}, []Core{}
	var part, implementer, name string
	end := func() {
		if part != "" || name != "" {
			label := name
			if part != "" {
				label = partName(implementer, part)
			}
			cores = append(cores, Core{Part: label})
		}
		part, implementer, name = "", "", ""
	}
	for _, l := range append(strings.Split(s, "\n"), "") {
		k, v, ok := strings.Cut(l, ":")
		k = strings.TrimSpace(k)
		flags := v // x86 lists over a hundred, more than a name may be long
		v = clean(v)
		switch {
		case !ok:
			end()
		case k == "CPU part":
			part = strings.ToLower(v)
		case k == "CPU implementer":
			implementer = strings.ToLower(v)
		case k == "model name", k == "uarch":
			name = v
		case k == "Model", k == "Hardware":
			if soc == "" || k == "Model" {
				soc = v
			}
		case (k == "Features" || k == "flags" || k == "isa") && len(isa) == 0:
			isa = strings.Fields(Printable(flags))
			isa = isa[:min(len(isa), 1024)]
			slices.Sort(isa)
		}
	}
	if soc == "" && len(cores) > 0 {
		soc = cores[0].Part
	}
	return soc, isa, cores
}

// parts are core numbers of implementer 0x41 (Arm). Source: the MIDR_EL1 sections of Arm's technical reference manuals.
var parts = map[string]string{
	"0xc07": "Cortex-A7", "0xc08": "Cortex-A8", "0xc09": "Cortex-A9", "0xc0f": "Cortex-A15", "0xd01": "Cortex-A32",
	"0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
	"0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77",
	"0xd40": "Neoverse-V1", "0xd41": "Cortex-A78", "0xd42": "Cortex-A78AE", "0xd44": "Cortex-X1", "0xd46": "Cortex-A510",
	"0xd47": "Cortex-A710", "0xd49": "Neoverse-N2", "0xd4f": "Neoverse-V2",
}

func partName(implementer, part string) string {
	if n, ok := parts[part]; ok && (implementer == "0x41" || implementer == "") {
		return n
	}
	return "implementer " + implementer + " part " + part
}

// Printable is what a board said in one line that is fit for a terminal: control and direction characters are left out.
func Printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c:
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// Clean makes facts that came from a board fit to show: its words are bounded and printable, its lists short.
func (f *Facts) Clean() {
	for _, s := range []*string{&f.SoC, &f.Arch, &f.OS, &f.Kernel, &f.Governor, &f.Agent.Version, &f.Agent.SHA256} {
		*s = clean(*s)
	}
	f.ISA, f.Absent = f.ISA[:min(len(f.ISA), 256)], f.Absent[:min(len(f.Absent), 64)]
	f.Cores, f.Runtimes = f.Cores[:min(len(f.Cores), 1024)], f.Runtimes[:min(len(f.Runtimes), 64)]
	if f.Lease != nil {
		f.Lease.Holder = clean(f.Lease.Holder)
	}
	f.Agent.Guards = f.Agent.Guards[:min(len(f.Agent.Guards), 16)]
	for _, list := range [][]string{f.ISA, f.Absent, f.Agent.Guards} {
		for i := range list {
			list[i] = clean(list[i])
		}
	}
	for i := range f.Cores {
		f.Cores[i].Part = clean(f.Cores[i].Part)
	}
	f.Caches, f.Sensors, f.Libraries = f.Caches[:min(len(f.Caches), 16)], f.Sensors[:min(len(f.Sensors), 64)], f.Libraries[:min(len(f.Libraries), 64)]
	for i := range f.Caches {
		f.Caches[i].Kind = clean(f.Caches[i].Kind)
	}
	for i := range f.Sensors {
		s := &f.Sensors[i]
		s.Chip, s.Name, s.Path, s.Kind = clean(s.Chip), clean(s.Name), clean(s.Path), clean(s.Kind)
	}
	for i := range f.Libraries {
		l := &f.Libraries[i]
		l.Name, l.Soname, l.Version, l.Path = clean(l.Name), clean(l.Soname), clean(l.Version), clean(l.Path)
	}
	for i := range f.Runtimes {
		r := &f.Runtimes[i]
		for _, s := range []*string{&r.Name, &r.Version, &r.Path, &r.Why} {
			*s = clean(*s)
		}
	}
}
