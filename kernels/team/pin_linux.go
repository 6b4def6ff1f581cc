package team

import "golang.org/x/sys/unix"

// pin keeps the calling thread on a processor, if the operating system lets it.
func pin(processor int) {
	var set unix.CPUSet
	set.Set(processor)
	_ = unix.SchedSetaffinity(0, &set) // a processor that may not be used leaves the thread where it was
}

// Allowed tells whether this process may use a processor.
func Allowed() func(processor int) bool {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	return set.IsSet
}
