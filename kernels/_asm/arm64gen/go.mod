module fettle/kernels/_asm/arm64gen

go 1.26
