package quant

// Wide is the bytes of a line of an 8-bit block, one a channel, as cpu.Features.BlockI8.
const Wide = 16
