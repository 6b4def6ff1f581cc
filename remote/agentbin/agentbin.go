// Package agentbin holds the board agents that studio and command line carry with them, one for each architecture,
// compressed by gzip as `make agents` writes them.
//
// It knows nothing of how they reach a board. A build without them works; For then says what to do. Start reading
// at For.
package agentbin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"strings"

	"fettle/internal/fail"
)

// The pattern takes *.md and *.gz: a pattern that matches nothing is an error, and README.md is there in every checkout.
//
//go:embed *.[mg][dz]
var files embed.FS

// MaxSize bounds one agent, unpacked.
const MaxSize = 15 << 20

// Agent is one program for Linux.
type Agent struct {
	Arch   string // as Go names it, with armv7 for arm
	SHA256 string // of the unpacked program
	Size   int64  // bytes unpacked
	Gzip   []byte // the program, compressed
}

// Arches lists the architectures that Fettle has agents for.
func Arches() []string { return []string{"amd64", "arm64", "armv7", "riscv64"} }

// Arch translates what `uname -m` says; "" where Fettle has no agent. A 32-bit system on a 64-bit kernel says the
// kernel's word; the agents are static, so that is right for them.
func Arch(machine string) string {
	switch machine {
	case "x86_64", "amd64":
		return "amd64"
	case "aarch64", "arm64":
		return "arm64"
	case "armv7l", "armv8l":
		return "armv7"
	case "riscv64":
		return "riscv64"
	}
	return ""
}

// For gives the agent of an architecture. fail.NotFound: this program was built without it. fail.Unsupported: there is none.
func For(arch string) (*Agent, error) { return find(files, arch) }

func find(in fs.FS, arch string) (*Agent, error) {
	known := false
	for _, a := range Arches() {
		known = known || a == arch
	}
	if !known {
		return nil, fail.New(fail.Unsupported, "there is no agent for the architecture %.40q", arch).Doing("find the agent").
			Try("agents exist for Linux on %s", strings.Join(Arches(), ", "))
	}
	packed, err := fs.ReadFile(in, "fettle-agent-linux-"+arch+".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail.New(fail.NotFound, "this program was built without the agent for %s", arch).Doing("find the agent").
			Try("run make agents, then build again")
	}
	if err != nil {
		return nil, fail.New(fail.Internal, "%v", err).Doing("find the agent")
	}
	sum := sha256.New()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fail.New(fail.Corrupt, "%v", err).Doing("unpack the agent for %s", arch).Try("run make agents, then build again")
	}
	n, err := io.Copy(sum, io.LimitReader(z, MaxSize+1))
	if err != nil {
		return nil, fail.New(fail.Corrupt, "%v", err).Doing("unpack the agent for %s", arch).Try("run make agents, then build again")
	}
	if n > MaxSize {
		return nil, fail.New(fail.TooBig, "it has more than %d bytes", MaxSize).Doing("unpack the agent for %s", arch)
	}
	return &Agent{Arch: arch, SHA256: hex.EncodeToString(sum.Sum(nil)), Size: n, Gzip: packed}, nil
}

// Open gives the unpacked program.
func (a *Agent) Open() (io.Reader, error) {
	z, err := gzip.NewReader(bytes.NewReader(a.Gzip))
	if err != nil {
		return nil, fail.New(fail.Corrupt, "%v", err).Doing("unpack the agent for %s", a.Arch)
	}
	return io.LimitReader(z, a.Size), nil
}
