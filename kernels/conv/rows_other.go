//go:build !amd64 && !arm64 && !arm

package conv

import "fettle/kernels/cpu"

const blk = 16 // channels a block, as cpu.Features.BlockF32

func families(cpu.Features) []map[int]*rows { return nil }

func dwFamilies(cpu.Features) []*dwRows { return nil }

func winoFamily(cpu.Features) *winoRows { return nil }

// archAlgorithms are algorithms that share nothing with the drivers of this package.
func archAlgorithms(Shape, cpu.Features) []*Algorithm { return nil }

func qFamilies(cpu.Features) []map[int]*rows { return nil }

func vnniDWKerns() []kern { return nil }

// wordKernels exist on amd64 and arm64 only.
func wordKernels(cpu.Features) *wordRows { return nil }

// conv16Rows and dw16Rows are the kernels of 16-bit values; they exist on amd64 and arm64 only.
func conv16Rows(cpu.Features) []*rows { return nil }
func dw16Rows(cpu.Features) []*rows16 { return nil }
