module fettle/kernels/_asm/amxgen

go 1.26
