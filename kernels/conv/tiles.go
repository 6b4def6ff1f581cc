package conv

import "fettle/kernels/cpu"

// tileBuffer is what a worker's tile kernel needs for the sums of two tiles of 16 pixels x 32 outputs.
const tileBuffer = 2 * 16 * 32 * 4

func tileBuffers(workers int) []uint8 { return cpu.Aligned[uint8](workers * tileBuffer) }
