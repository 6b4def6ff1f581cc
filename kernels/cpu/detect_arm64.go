package cpu

import "golang.org/x/sys/cpu"

func detect(f *Features) {
	a := &cpu.ARM64
	f.NEON, f.DotProd, f.I8MM = a.HasASIMD, a.HasASIMDDP, a.HasI8MM
	f.FP16 = a.HasFPHP && a.HasASIMDHP
	l := MachineClusters()
	if len(l) == 0 || l[0].Part == 0 {
		return
	}
	// Clusters of a chip share their instructions, so the fastest one speaks for all.
	f.Part, f.Model = l[0].Part, l[0].Core
	if f.Model != "" {
		f.Vendor = "arm"
	}
}
