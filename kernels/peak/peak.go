// Package peak measures what one core's multipliers give: rounds of one instruction on registers. Benchmarks print times as a share
// of it, because clocks differ from machine to machine and from minute to minute. It knows no layers.
package peak

import (
	"time"

	"fettle/kernels/cpu"
)

// pargs is what a kernel reads. The offset is known to _asm/amd64gen/peak.go.
type pargs struct{ n int64 }

// unit is a kernel and the multiply-adds of one of its rounds.
type unit struct {
	isa  cpu.ISA
	f    func(*pargs)
	macs int
}

// Measure runs for about d and gives the multiply-adds a second of one core at the clock of that moment, for float32 or exact 8-bit
// products, and the instruction set; 0 where no kernel exists. clock says the time used, in nanoseconds.
func Measure(f cpu.Features, int8 bool, d time.Duration, clock func() int64) (float64, cpu.ISA) {
	u := pick(f, int8)
	if u == nil {
		return 0, cpu.Generic
	}
	const rounds = 20000
	best := 0.0
	for begin := time.Now(); time.Since(begin) < d; {
		p, t := pargs{rounds}, clock()
		u.f(&p)
		if used := clock() - t; used > 0 {
			best = max(best, float64(rounds)*float64(u.macs)*1e9/float64(used))
		}
	}
	return best, u.isa
}
