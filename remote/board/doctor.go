package board

import "fmt"

// Finding is one row of a check-up.
type Finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Why  string `json:"why"`
	Fix  string `json:"fix,omitempty"`
	Do   string `json:"do,omitempty"` // the fix that needs no terminal: deploy.Fixes
}

// Doctor says what of a board spoils measurements or deployments.
func Doctor(f Facts) []Finding {
	var out []Finding
	add := func(name string, ok bool, why, fix string) {
		if ok {
			fix = ""
		}
		out = append(out, Finding{Name: name, OK: ok, Why: why, Fix: fix})
	}
	does := func(fix string) { // of the row before, where it is not right
		if r := &out[len(out)-1]; !r.OK {
			r.Do = fix
		}
	}
	switch {
	case f.Governor == "":
		add("clock", false, "the board does not say how its clock is governed", "measurements get no green seal; on a Raspberry Pi use its own kernel")
	default:
		add("clock", f.Governor == "performance" || f.Governor == "userspace", "governor "+f.Governor,
			"sudo sh -c 'for g in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do echo performance >$g; done'")
		does("pin-clock")
	}
	if f.Pinned {
		add("pinned", true, "the clock was pinned from here; the governors of before are kept", "")
		out[len(out)-1].Do = "restore-clock"
	}
	if len(f.Hz) > 0 && len(f.Cores) > 0 && f.Cores[0].MaxHz > 0 {
		slow := false
		for i, hz := range f.Hz {
			slow = slow || (i < len(f.Cores) && hz < f.Cores[i].MaxHz*95/100)
		}
		add("speed", !slow, fmt.Sprintf("core 0 runs at %d of %d MHz", f.Hz[0]/1e6, f.Cores[0].MaxHz/1e6), "set the governor to performance, and cool the board")
	}
	switch {
	case f.Throttled == nil:
		add("throttling", false, "the board does not say whether it is throttled", "watch the canary of each run")
	default:
		why := map[bool]string{true: "the processor is slowed down now", false: "no throttling"}[*f.Throttled]
		add("throttling", !*f.Throttled, why, "cool the board: heat sink, fan, or a pause")
		does("cool-down")
	}
	if f.Undervoltage != nil {
		why := map[bool]string{true: "the supply voltage is too low", false: "the supply voltage is right"}[*f.Undervoltage]
		add("power", !*f.Undervoltage, why, "use a stronger power supply and a short cable")
	}
	if f.TemperatureC == nil {
		add("temperature", false, "the board has no thermal zone", "")
	} else {
		add("temperature", *f.TemperatureC < 75, fmt.Sprintf("%.1f C", *f.TemperatureC), "cool the board: many throttle at 80 C")
		does("cool-down")
	}
	if f.Load != nil && len(f.Cores) > 0 {
		per := *f.Load / float64(len(f.Cores))
		add("load", per < 0.1, fmt.Sprintf("%.2f of a core", per), "stop other programs, or wait")
	}
	if f.MemoryFree != nil {
		add("memory", *f.MemoryFree >= 64<<20, fmt.Sprintf("%d MiB free of %d", *f.MemoryFree>>20, f.MemoryBytes>>20), "stop other programs, or use a smaller model")
	}
	if f.StorageFree >= 0 {
		add("storage", f.StorageFree >= 32<<20, fmt.Sprintf("%d MiB free", f.StorageFree>>20), "remove old deployments: fettle deployments --remove")
		does("free-space")
	}
	if s := f.Storage; s != nil {
		add("storage speed", s.WriteBps >= 2e6, fmt.Sprintf("writes %.3g MB/s, reads %.3g MB/s, a flush takes %.3g ms", s.WriteBps/1e6, s.ReadBps/1e6, float64(s.FlushNs)/1e6), "use another SD card, or a disk")
	}
	if c := f.Clock; c != nil {
		off := max(c.AheadNs, -c.AheadNs)
		why := fmt.Sprintf("the board's clock is right within %.3g s", float64(off+c.WithinNs)/1e9)
		if off > 2e9+c.WithinNs {
			why = fmt.Sprintf("the board's clock is off by %.3g s", float64(c.AheadNs)/1e9)
		}
		add("time", off <= 2e9+c.WithinNs, why, "let the board set its clock: timedatectl set-ntp true; durations are measured by another clock and are right")
	}
	for _, r := range f.Runtimes {
		why := r.Name + " " + r.Version
		if !r.Present {
			why = r.Name + " is absent: " + r.Why
		}
		add("runtime "+r.Name, r.Present, why, "")
	}
	return out
}
