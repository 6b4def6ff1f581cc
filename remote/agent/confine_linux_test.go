package agent

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConfine confines one thread, which ends with the test: it reads and writes in its places only, and reaches nobody. The
// control does the same before it is confined.
func TestConfine(t *testing.T) {
	store, read, other := t.TempDir(), t.TempDir(), t.TempDir()
	for _, dir := range []string{store, read, other} {
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	type row struct {
		name string
		want bool // may it once confined
		do   func() error
	}
	rows := []row{
		{"write in the store", true, func() error { return os.WriteFile(filepath.Join(store, "new"), nil, 0o600) }},
		{"read in the store", true, func() error { _, err := os.ReadFile(filepath.Join(store, "f")); return err }},
		{"make a folder in the store", true, func() error { return os.MkdirAll(filepath.Join(store, "d"), 0o700) }},
		{"rename in the store", true, func() error { return os.Rename(filepath.Join(store, "new"), filepath.Join(store, "d", "moved")) }},
		{"read where it may read", true, func() error { _, err := os.ReadFile(filepath.Join(read, "f")); return err }},
		{"write where it may read", false, func() error { return os.WriteFile(filepath.Join(read, "f"), nil, 0o600) }},
		{"read elsewhere", false, func() error { _, err := os.ReadFile(filepath.Join(other, "f")); return err }},
		{"write elsewhere", false, func() error { return os.WriteFile(filepath.Join(other, "new"), nil, 0o600) }},
		{"remove elsewhere", false, func() error { return os.Remove(filepath.Join(other, "f")) }},
		{"reach the network", false, func() error { return dialThread(port) }},
	}
	reset := func() {
		_ = os.RemoveAll(filepath.Join(store, "d"))
		_ = os.WriteFile(filepath.Join(other, "f"), []byte("x"), 0o600)
	}
	for _, r := range rows {
		if err := r.do(); err != nil {
			t.Fatalf("%s before it is confined: %v", r.name, err)
		}
	}
	reset()
	var g guards
	got := make([]error, len(rows))
	done := make(chan bool)
	go func() {
		runtime.LockOSThread() // never given back: the thread ends with this goroutine
		g = confineBy(places{write: []string{store}, read: []string{read}}, thisThread)
		for i, r := range rows {
			got[i] = r.do()
		}
		close(done)
	}()
	<-done
	if strings.Contains(strings.Join(g.Absent, " "), "landlock 0: the kernel has none") {
		t.Skip("this kernel has no Landlock")
	}
	if len(g.Absent) > 0 || len(g.Have) != 3 {
		t.Errorf("given up %v, not %v", g.Have, g.Absent)
	}
	old := strings.Contains(strings.Join(g.Have, " "), "landlock 1") || strings.Contains(strings.Join(g.Have, " "), "landlock 2") || strings.Contains(strings.Join(g.Have, " "), "landlock 3")
	for i, r := range rows {
		if old && r.name == "reach the network" {
			continue // since version 4
		}
		if (got[i] == nil) != r.want {
			t.Errorf("%s once confined: %v", r.name, got[i])
		}
	}
}

// dialThread connects on this very thread.
func dialThread(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}
