module fettle/kernels/_asm/armgen

go 1.26
