package mapped

import "syscall"

func scattered(b []byte) { _ = syscall.Madvise(b, syscall.MADV_RANDOM) } // a hint
