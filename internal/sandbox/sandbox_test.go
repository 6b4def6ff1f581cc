package sandbox

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
)

// TestMain is the child of these tests when it is told to be.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		child(os.Args[2])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(what string) {
	switch what {
	case "echo":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "fail":
		fmt.Fprintln(os.Stderr, "the first line names the cause")
		fmt.Fprintln(os.Stderr, strings.Repeat("a stack\n", 10_000))
		os.Exit(3)
	case "crash":
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill()
		select {}
	case "eat":
		fmt.Println("ready") // the limit is set by then or soon
		bufio.NewScanner(os.Stdin).Scan()
		var all [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			if len(all) > 64 {
				fmt.Fprintln(os.Stderr, "a gigabyte and nobody minds")
				os.Exit(9)
			}
		}
	case "talk":
		for {
			if _, err := fmt.Println(strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	case "hang":
		time.Sleep(time.Minute)
	}
}

func spec(what string) Spec {
	return Spec{Path: os.Args[0], Args: []string{"child", what}, Grace: 300 * time.Millisecond}
}

func TestRun(t *testing.T) {
	if r, err := Run(t.Context(), spec("echo"), []byte("hello"), 100); err != nil || string(r.Stdout) != "hello" {
		t.Errorf("%q, %v", r.Stdout, err)
	}
	cases := []struct {
		name, what string
		want       fail.Kind
		says       string
	}{
		{"a status", "fail", fail.Failed, "status 3: the first line names the cause"},
		{"a signal", "crash", fail.Failed, "killed"},
		{"endless output", "talk", fail.TooBig, "more than"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Run(t.Context(), spec(c.what), nil, 100_000)
			if !fail.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := Run(t.Context(), Spec{Path: "/nowhere/program"}, nil, 1); !fail.Is(err, fail.NotFound) {
		t.Errorf("no program: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Run(ctx, spec("hang"), nil, 1); !fail.Is(err, fail.Cancelled) || time.Since(start) > 3*time.Second {
		t.Errorf("a child that hangs: %v after %v", err, time.Since(start))
	}
}

func TestStart(t *testing.T) {
	p, err := Start(t.Context(), spec("echo"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p.Stdin, "a line\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(p.Stdout).ReadString('\n'); err != nil || line != "a line\n" {
		t.Errorf("%q, %v", line, err)
	}
	for range 2 {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
	if p, err = Start(t.Context(), spec("hang")); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if err := p.Wait(); !fail.Is(err, fail.Failed) {
		t.Errorf("a killed child: %v", err)
	}
}

// TestMemory gives a child less than it takes: it dies by itself, and the error says so.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory is limited on Linux only")
	}
	if raceDetector {
		t.Skip("the race detector takes more memory than the limit")
	}
	s := spec("eat")
	s.Memory = 200 << 20
	p, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(p.Stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p.Stdin, "go\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, p.Stdout)
	if err := p.Wait(); !fail.Is(err, fail.Failed) || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %v", err)
	}
}

func TestTail(t *testing.T) {
	tail := NewTail(40)
	for i := range 100 {
		fmt.Fprintf(tail, "line %d\n", i)
	}
	if s := tail.String(); len(s) != 40 || !strings.HasPrefix(s, "line 0\nlin") || !strings.HasSuffix(s, "line 99\n") {
		t.Errorf("%q", s)
	}
}
