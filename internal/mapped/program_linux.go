package mapped

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"strconv"
	"syscall"
)

// stripe is what the kernel may map at once of a narrowed program: a few pages.
const stripe = 16 << 10

const dontDump = 16 // MADV_DONTDUMP, which package syscall lacks

// ForgetProgram drops this process's pages of its own program that were only read: much of what loading used is not used again, and what
// is comes back from the file.
func ForgetProgram() {
	program(func(from, to uintptr) { advise(from, to-from, syscall.MADV_DONTNEED) })
}

// NarrowProgram keeps the kernel from mapping what lies around each page of the program that is touched: 64 KB, on new kernels more,
// all of which counts as this process's memory, and code and tables of a Go program are touched here and there. The kernel
// never maps beyond an area, so every second stripe is advised otherwise, about dumps, which are never made of it. What was
// mapped before is dropped.
func NarrowProgram() {
	step := uintptr(max(stripe, os.Getpagesize()))
	program(func(from, to uintptr) {
		for at := from&^(step-1) + step; at < to; at += 2 * step {
			advise(at, min(step, to-at), dontDump)
		}
		advise(from, to-from, syscall.MADV_DONTNEED)
	})
}

// advise is a hint: without it the process only takes more.
func advise(at, n uintptr, advice int) {
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, at, n, uintptr(advice))
}

// program gives the ranges of addresses where this process has its program mapped and cannot write.
func program(each func(from, to uintptr)) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	var all [][2]uintptr // advice changes what is being read
	in := bufio.NewScanner(f)
	for in.Scan() {
		// 00400000-00a1c000 r-xp 00000000 fe:00 1234  /usr/bin/fettle
		span, rest, _ := bytes.Cut(in.Bytes(), []byte(" "))
		if len(rest) < 4 || rest[1] != '-' || rest[3] != 'p' || !bytes.HasSuffix(rest, []byte(" "+exe)) {
			continue // anything that may have been written keeps its pages
		}
		lo, hi, _ := bytes.Cut(span, []byte("-"))
		from, err1 := strconv.ParseUint(string(lo), 16, 64)
		to, err2 := strconv.ParseUint(string(hi), 16, 64)
		if err1 != nil || err2 != nil || to <= from || to > math.MaxUint>>1 {
			continue
		}
		if n := len(all); n > 0 && all[n-1][1] == uintptr(from) {
			all[n-1][1] = uintptr(to)
			continue
		}
		all = append(all, [2]uintptr{uintptr(from), uintptr(to)})
	}
	f.Close()
	for _, r := range all {
		each(r[0], r[1])
	}
}
