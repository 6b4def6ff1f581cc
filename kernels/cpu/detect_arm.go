package cpu

import "golang.org/x/sys/cpu"

// detect asks what the operating system says of the processor (HWCAP). The kernels need the 32 registers of NEON, which its flag implies.
func detect(f *Features) {
	f.NEON = cpu.ARM.HasNEON
	l := MachineClusters()
	if len(l) == 0 || l[0].Part == 0 {
		return
	}
	f.Part, f.Model = l[0].Part, l[0].Core
	if f.Model != "" {
		f.Vendor = "arm"
	}
}
