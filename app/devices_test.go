//go:build unix

package app

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDevicesStay writes to a pipe with a name: it has to stay one. A rename over /dev/null, by a user who may, breaks the whole computer.
func TestDevicesStay(t *testing.T) {
	a := open(t)
	m, err := a.Sample("")
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(path string) error{
		"model":  func(path string) error { return a.Save(path, m) },
		"export": func(path string) error { return exportFile(path, []byte("x")) },
	} {
		pipe := filepath.Join(t.TempDir(), "pipe.onnx")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		got := make(chan int64, 1)
		go func() {
			f, err := os.Open(pipe)
			if err != nil {
				got <- -1
				return
			}
			defer f.Close()
			n, _ := io.Copy(io.Discard, f)
			got <- n
		}()
		if err := write(pipe); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		st, err := os.Stat(pipe)
		if err != nil || st.Mode()&os.ModeNamedPipe == 0 {
			t.Fatalf("%s: the pipe became %v, %v", name, st.Mode(), err)
		}
		if n := <-got; n <= 0 {
			t.Errorf("%s: %d bytes arrived", name, n)
		}
	}
}
