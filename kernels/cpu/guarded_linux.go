package cpu

import "syscall"

// Guarded is size zero bytes with room more readable ones behind them, and then a page that nothing may touch: tests give kernels such memory, so
// that one which reads or writes beyond what it may ends the program. The block starts at a multiple of 64 bytes where size + room
// is one. It stays mapped as long as the program runs.
func Guarded(size, room int) ([]byte, error) {
	page := syscall.Getpagesize()
	n := (size + room + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, n+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, err
	}
	if err := syscall.Mprotect(m[n:], syscall.PROT_NONE); err != nil {
		return nil, err
	}
	at := n - size - room
	return m[at : at+size : at+size+room], nil
}
