package cpu

import (
	"fmt"
	"syscall"
)

// permitTiles asks Linux once for the tile registers of AMX: the state of a thread grows by 8 KiB, so a process must want it
// (Linux 5.16 and newer). Later threads and forked children inherit the permission. It returns why not, or "".
func permitTiles() string {
	const reqPerm, tileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
	if _, _, e := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, reqPerm, tileData, 0); e != 0 {
		return fmt.Sprintf("Linux does not permit the tile registers: %v", e)
	}
	return ""
}
