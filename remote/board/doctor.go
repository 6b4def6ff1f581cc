package board

import "fmt"

// Finding is one row of a check-up.
type Finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Why  string `json:"why"`
	Fix  string `json:"fix,omitempty"`
}

// Doctor says what of a board spoils measurements or deployments.
func Doctor(f Facts) []Finding {
	var out []Finding
	add := func(name string, ok bool, why, fix string) {
		if ok {
			fix = ""
		}
		out = append(out, Finding{name, ok, why, fix})
	}
	switch {
	case f.Governor == "":
		add("clock", false, "the board does not say how its clock is governed", "measurements get no green seal; on a Raspberry Pi use its own kernel")
	default:
		add("clock", f.Governor == "performance" || f.Governor == "userspace", "governor "+f.Governor,
			"sudo sh -c 'for g in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do echo performance >$g; done'")
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
	}
	if f.Undervoltage != nil {
		why := map[bool]string{true: "the supply voltage is too low", false: "the supply voltage is right"}[*f.Undervoltage]
		add("power", !*f.Undervoltage, why, "use a stronger power supply and a short cable")
	}
	if f.TemperatureC == nil {
		add("temperature", false, "the board has no thermal zone", "")
	} else {
		add("temperature", *f.TemperatureC < 75, fmt.Sprintf("%.1f C", *f.TemperatureC), "cool the board: many throttle at 80 C")
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
