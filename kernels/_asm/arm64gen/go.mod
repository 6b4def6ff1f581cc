module fettle/kernels/arm64gen

go 1.26
