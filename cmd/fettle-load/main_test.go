package main

import (
	"context"
	"os"
	"runtime"
	"slices"
	"testing"

	"fettle/runtimes"
	"fettle/runtimes/native"
)

// TestMain lets the test's program be the child, too.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-open") {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestMemory holds a process that runs a prepared MobileNetV2 to 1.1 x weights + arena + 5 MB and a tenth: the kernel decides how much of a
// program it maps, and the test's program is larger.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the peak of a process is read from Linux")
	}
	rt, err := native.New("")
	if err != nil {
		t.Fatal(err)
	}
	opt := runtimes.NewOptions()
	opt.ModelID, opt.Pack = "mobilenetv2", "fast"
	r, err := measure(context.Background(), rt, "mobilenetv2", "", 3, opt)
	if err != nil {
		t.Fatal(err)
	}
	if r.peak < r.last.Packed {
		t.Fatalf("a peak of %d bytes cannot be, the weights take %d", r.peak, r.last.Packed)
	}
	if most := r.bound + r.bound/10; r.peak > most {
		t.Errorf("peak %d bytes, at most %d (weights %d, arena %d; private %d, mapped %d)", r.peak, most, r.last.Packed, r.last.Arena, r.last.Anon, r.last.File)
	}
}
