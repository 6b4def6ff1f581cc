package mapped

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// TestNarrowProgram reads a byte of every 64 KB of the program in a process of its own, and sees that no more than a stripe came in for each.
func TestNarrowProgram(t *testing.T) {
	const apart = 64 << 10
	if os.Getenv("FETTLE_TEST_NARROW") == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestNarrowProgram$", "-test.v")
		c.Env = append(os.Environ(), "FETTLE_TEST_NARROW=1")
		if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "looked at") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	NarrowProgram()
	before := programRSS(t)
	var looks, size uintptr
	var sum byte
	program(func(from, to uintptr) {
		size += to - from
		for at := from; at < to; at += apart {
			sum += *(*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))) // not Go's memory: nothing moves
			looks++
		}
	})
	after := programRSS(t)
	t.Logf("looked at %d places of %d KB: %d KB before, %d KB after (%d)", looks, size>>10, before>>10, after>>10, sum)
	if size < 1<<20 || looks < 16 {
		t.Fatalf("only %d bytes of the program were found", size)
	}
	step := uintptr(max(stripe, os.Getpagesize()))
	if most := uintptr(before) + looks*step + 16*step; uintptr(after) > most { // what the test itself runs comes in too
		t.Errorf("%d KB are resident, %d at most with stripes of %d", after>>10, most>>10, step>>10)
	}
	ForgetProgram()
	if now := programRSS(t); now >= after-int64(size/8) {
		t.Errorf("%d KB are still there of %d", now>>10, after>>10)
	}
}

// programRSS is what is resident of the program's read-only mappings.
func programRSS(t *testing.T) (sum int64) {
	t.Helper()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skipf("what is resident is read from /proc: %v", err)
	}
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skipf("what is resident is read from /proc: %v", err)
	}
	ours := false
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 5 && !strings.HasSuffix(f[0], ":"):
			ours = len(f) == 6 && f[5] == exe && f[1][1] == '-'
		case ours && f[0] == "Rss:":
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += kb << 10
		}
	}
	return sum
}
