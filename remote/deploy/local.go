package deploy

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/internal/sandbox"
	"fettle/remote/agentbin"
	"fettle/remote/bundle"
)

// LocalOptions say how this computer becomes a target.
type LocalOptions struct {
	Home string   // Fettle's folder; the deployments of this computer lie in it
	Self []string // how to start the running program as an agent, before "serve --store DIR"; nil: the embedded agent
	Env  []string // whole environment of the agent; nil: this process's
	Key  *bundle.Key
}

// Local starts the agent on this computer, over a pipe. name is what the trace calls the target.
func Local(ctx context.Context, name string, o LocalOptions) (*Conn, error) {
	where := fail.Where{Board: name}
	self, want := o.Self, ""
	if len(self) == 0 {
		file, agent, err := unpack(o.Home)
		if err != nil {
			return nil, fail.In(err, "start the agent", where)
		}
		self, want = []string{file}, agent.SHA256
	}
	store := filepath.Join(o.Home, "store")
	args := append(append([]string(nil), self[1:]...), "serve", "--store", store)
	connect := func(ctx context.Context) (*session, error) {
		// the child lives as long as the connection, not as long as the call that started it
		p, err := sandbox.Start(context.WithoutCancel(ctx), sandbox.Spec{Path: self[0], Args: args, Env: o.Env})
		if err != nil {
			return nil, fail.In(err, "start the agent", where)
		}
		s, err := attach(ctx, pipe{p.Stdout, p.Stdin}, want)
		if err != nil {
			p.Kill()
			if werr := p.Wait(); werr != nil && fail.Is(err, fail.Unreachable) {
				err = fail.New(fail.Failed, "%s", firstLine(p.Stderr())).Try("check that %s can be written", o.Home)
			}
			return nil, fail.In(err, "start the agent", where)
		}
		s.proc, s.stderr, s.place = p, p.Stderr, place{store: store}
		return s, nil
	}
	s, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	return &Conn{name: name, session: s, again: connect, key: o.Key}, nil
}

// pipe joins a child's output and input.
type pipe struct {
	io.ReadCloser
	in io.WriteCloser
}

// Write gives p to the child.
func (p pipe) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close ends both ways.
func (p pipe) Close() error {
	err := p.in.Close()
	if e := p.ReadCloser.Close(); err == nil {
		err = e
	}
	return err
}

// unpack puts the embedded agent of this computer's processor into home, once.
func unpack(home string) (string, *agentbin.Agent, error) {
	arch := runtime.GOARCH
	if arch == "arm" {
		arch = "armv7"
	}
	if runtime.GOOS != "linux" {
		return "", nil, fail.New(fail.Unsupported, "the embedded agents are for Linux, not %s", runtime.GOOS)
	}
	a, err := agentbin.For(arch)
	if err != nil {
		return "", nil, err
	}
	file := filepath.Join(home, "agent", "agent-"+a.SHA256[:16])
	if b, err := os.ReadFile(file); err == nil && cas.Of(b) == cas.Hash(a.SHA256) {
		return file, a, nil
	}
	r, err := a.Open()
	if err != nil {
		return "", nil, err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", nil, fail.New(fail.Corrupt, "the embedded agent: %v", err).Try("run make agents, then build again")
	}
	if err := cas.WriteFile(cas.OS{}, file, b); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(file, 0o700); err != nil {
		return "", nil, cas.Explain(err)
	}
	return file, a, nil
}
