// Package sandbox owns child processes: it starts one with limits on memory and time, and turns its death into a
// typed error. It is the only importer of os/exec.
//
// It knows nothing of what the child does. Start reading at Start and Run.
package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"fettle/internal/fail"
)

// Spec says what to start and what it may use.
type Spec struct {
	Path   string   // program
	Args   []string // arguments after the program's name
	Env    []string // whole environment; nil: this process's
	Dir    string
	Files  []*os.File    // its descriptors from 3 on
	Memory int64         // bytes of private memory that it may hold, 0: no limit
	Grace  time.Duration // how long it may take to end after its input closed or its context ended; 0: 2 s
}

// Process is a running child. Read Stdout, write Stdin, then Wait; Kill ends it.
type Process struct {
	Stdin  io.WriteCloser
	Stdout io.ReadCloser
	cmd    *exec.Cmd
	stderr *Tail
	name   string
	memory int64 // limit in bytes, 0: none
	ctx    context.Context
	once   sync.Once
	err    error
}

// Start runs spec; when ctx ends, the child is killed.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	cmd := exec.CommandContext(ctx, spec.Path, spec.Args...)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = spec.Env, spec.Dir, spec.Files
	cmd.WaitDelay = spec.Grace
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = 2 * time.Second
	}
	p := &Process{cmd: cmd, stderr: NewTail(8 << 10), name: filepath.Base(spec.Path), memory: spec.Memory, ctx: ctx}
	cmd.Stderr = p.stderr
	var err error
	if p.Stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fail.New(fail.Internal, "pipe to %s: %v", p.name, err)
	}
	if p.Stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, fail.New(fail.Internal, "pipe from %s: %v", p.name, err)
	}
	if err := cmd.Start(); err != nil {
		k := fail.Failed
		if errors.Is(err, os.ErrPermission) {
			k = fail.Denied
		} else if errors.Is(err, os.ErrNotExist) {
			k = fail.NotFound
		}
		return nil, fail.New(k, "%v", err).Doing("start %s", p.name).Try("check that the file is there, is for this processor, and lies on a disk that may execute")
	}
	if spec.Memory > 0 {
		limitMemory(cmd.Process.Pid, spec.Memory)
	}
	return p, nil
}

// Detached is a process that outlives the one that started it.
type Detached struct{ cmd *exec.Cmd }

// Detach starts spec in a session of its own, so that a signal to the starter's terminal or group does not reach it. It gets
// files as its descriptors from 3 on, errOut as its standard error, and nothing else; Memory and Grace do not apply.
func Detach(spec Spec, errOut *os.File, files ...*os.File) (*Detached, error) {
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env, cmd.Dir, cmd.Stderr, cmd.ExtraFiles = spec.Env, spec.Dir, errOut, files
	ownSession(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fail.New(fail.Failed, "%v", err).Doing("start %s", filepath.Base(spec.Path))
	}
	return &Detached{cmd}, nil
}

// Pid is its process id.
func (d *Detached) Pid() int { return d.cmd.Process.Pid }

// Wait waits for its end. Who does not outlive it has to, or it stays as a zombie.
func (d *Detached) Wait() { _ = d.cmd.Wait() } // how it ended is for those who watch it to judge

// Kill ends it and what it started in its session.
func (d *Detached) Kill() { killGroup(d.cmd.Process.Pid) }

// Pid is the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the child now; Wait still has to be called.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() } // an error says that it ended already

// Stderr is the last of what the child said on its standard error.
func (p *Process) Stderr() string { return p.stderr.String() }

// Wait closes the child's input, waits for its end and says how it died: killed for memory or by a signal, or an exit
// status. It may be called often.
func (p *Process) Wait() error {
	p.once.Do(func() {
		_ = p.Stdin.Close() // it may be closed already
		p.err = p.explain(p.cmd.Wait())
	})
	return p.err
}

func (p *Process) explain(err error) error {
	if err == nil {
		return nil
	}
	if p.ctx.Err() != nil {
		return fail.From(p.ctx.Err()).Doing("run %s", p.name)
	}
	var x *exec.ExitError
	if !errors.As(err, &x) {
		return fail.New(fail.Internal, "%v", err).Doing("run %s", p.name)
	}
	said := bytes.TrimSpace([]byte(p.Stderr()))
	if i := bytes.IndexByte(said, '\n'); i >= 0 {
		said = said[:i] // the first line names the cause; the rest is a stack
	}
	if ws, ok := x.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		why := "it was killed by " + ws.Signal().String()
		if ws.Signal() == syscall.SIGKILL {
			why += ", as the system does when memory is short"
		}
		return fail.New(fail.Failed, "%s; %s", why, said).Doing("run %s", p.name).Try("try a smaller model or batch; a crash of the same model again is a bug, please report it")
	}
	e := fail.New(fail.Failed, "it ended with status %d: %s", x.ExitCode(), said).Doing("run %s", p.name)
	e.Err = x
	// Where an allocation is refused, the C library of a program may fault instead of saying so.
	if p.memory > 0 && bytes.Contains(said, []byte("SIGSEGV")) {
		e = fail.New(fail.Failed, "it ended with status %d: %s, most likely out of memory: it may take %d MiB", x.ExitCode(), said, p.memory>>20).Doing("run %s", p.name).
			Try("try a smaller model or batch, or a higher limit")
	}
	return e
}

// Result is what Run collected.
type Result struct {
	Stdout []byte
	Stderr string
}

// Run starts spec, gives it stdin, collects at most limit bytes of its output and waits. More output is fail.TooBig.
func Run(ctx context.Context, spec Spec, stdin []byte, limit int64) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, spec.Path, spec.Args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = spec.Env, spec.Dir, 2*time.Second
	p := &Process{cmd: cmd, stderr: NewTail(8 << 10), name: filepath.Base(spec.Path), memory: spec.Memory, ctx: ctx}
	out := &capped{limit: limit, full: cancel}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), out, p.stderr
	if err := cmd.Start(); err != nil {
		return Result{}, fail.New(fail.NotFound, "%v", err).Doing("start %s", p.name)
	}
	if spec.Memory > 0 {
		limitMemory(cmd.Process.Pid, spec.Memory)
	}
	err := cmd.Wait()
	if out.over {
		return Result{}, fail.New(fail.TooBig, "%s wrote more than %d bytes", p.name, limit)
	}
	return Result{out.b.Bytes(), p.Stderr()}, p.explain(err)
}

// ExitCode is the status that a program of Run ended with, where that was why Run failed.
func ExitCode(err error) (int, bool) {
	var x *exec.ExitError
	if errors.As(err, &x) && x.ExitCode() >= 0 {
		return x.ExitCode(), true
	}
	return 0, false
}

type capped struct {
	b     bytes.Buffer
	limit int64
	over  bool
	full  func()
}

// Write keeps p within the limit and stops the child beyond it.
func (c *capped) Write(p []byte) (int, error) {
	if int64(c.b.Len()+len(p)) > c.limit {
		c.over = true
		c.full()
		return 0, io.ErrShortWrite
	}
	return c.b.Write(p)
}

// Tail keeps the first quarter and the last three quarters of what is written, n bytes in all: a crash names its cause
// first.
type Tail struct {
	mu         sync.Mutex
	n          int
	head, tail []byte
}

// NewTail keeps n bytes.
func NewTail(n int) *Tail { return &Tail{n: n} }

// Write keeps p or its end.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := p
	if k := t.n/4 - len(t.head); k > 0 {
		k = min(k, len(rest))
		t.head = append(t.head, rest[:k]...)
		rest = rest[k:]
	}
	t.tail = append(t.tail, rest...)
	if over := len(t.tail) - 3*t.n/4; over > 0 {
		t.tail = append(t.tail[:0], t.tail[over:]...)
	}
	return len(p), nil
}

// String is what was kept.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.head) + string(t.tail)
}
