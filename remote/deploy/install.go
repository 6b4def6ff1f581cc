package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/remote/agentbin"
	"fettle/remote/board"
	"fettle/remote/sshx"
)

// place is where agent and models lie on a board.
type place struct {
	bin   string // folder with the agent's program, "" for this computer
	store string
	dirs  []string // folders of ours, to be removed when they are empty
	notes []string
}

// probeScript looks at a board with what any POSIX shell has; it leaves nothing behind. Its lines start with a word of
// ours, so that the greeting of a login shell is not taken for them.
//
// A folder counts only if it is ours and no link: one of a known name in /tmp may be a trap of another user.
const probeScript = `umask 077
say() { printf 'fettle-probe\t%s\t%s\t%s\n' "$1" "$2" "$3"; }
say os "$(uname -s)"; say machine "$(uname -m)"
command -v gzip >/dev/null 2>&1 && say gzip yes
try() {
	[ -e "$1" ] || [ -L "$1" ] || new=1
	e=$(mkdir -p "$1" 2>&1) || { say bad "$1" "$e"; return; }
	if [ -L "$1" ] || [ ! -O "$1" ]; then say bad "$1" 'belongs to somebody else'; return; fi
	t=$1/.try-$$
	e=$({ printf '#!/bin/sh\nexit 0\n' >"$t"; } 2>&1) || { rm -f "$t"; say bad "$1" "$e"; return; }
	chmod 700 "$1" "$t"
	if "$t" 2>/dev/null; then say exec "$1"; else say data "$1"; fi
	rm -f "$t"
	for f in "$1"/bin/agent-*; do [ -x "$f" ] && say agent "$f"; done
}
look() { new=; try "$1"; [ -z "$new" ] || rmdir "$1" 2>/dev/null; }
u=$(id -u)
[ -z "$XDG_DATA_HOME" ] || look "$XDG_DATA_HOME/fettle"
[ ! -d "$HOME/.local/share" ] || look "$HOME/.local/share/fettle"
look "$HOME/.fettle"
for d in /var/tmp /tmp /dev/shm "/run/user/$u"; do [ ! -d "$d" ] || look "$d/fettle-$u"; done
exit 0`

// installScript takes the program on its input. Words: folder, part file, final file, hash, unpacker. It exits with 21
// if it cannot be written, 22 if it cannot run, 23 if it is not what was sent; then nothing of it stays. The rename is
// last; a cut upload gives a wrong hash. The program before stays, as another desk may be using it; older ones go.
const installScript = `umask 077
dir=$1 part=$2
end() { rm -f "$part"; rmdir "$dir" "${dir%/bin}" 2>/dev/null; exit "$1"; }
mkdir -p "$dir" || end 21
rm -f "$dir"/part-*
if [ "$5" = gzip ]; then gzip -dc >"$part"; else cat >"$part"; fi || end 21
chmod 700 "$part" || end 21
h=$("$part" hash) || end 22
[ "$h" = "$4" ] || end 23
mv -f "$part" "$3" || end 21
cd "$dir" && ls -t agent-* | tail -n +3 | while read -r f; do rm -f "$f"; done
exit 0`

// probe is what probeScript found.
type probe struct {
	os, machine string
	gzip        bool
	exec, data  []string // folders that may hold programs, and those that may hold data only
	bad         []string // others, with their reason
	agents      []string // programs that are there
}

func look(ctx context.Context, c *sshx.Client) (*probe, error) {
	r, err := c.Run(ctx, nil, "sh", "-c", probeScript)
	if err != nil {
		return nil, err
	}
	p := &probe{}
	for _, l := range strings.Split(string(r.Stdout), "\n") {
		w := strings.Split(l, "\t")
		if len(w) != 4 || w[0] != "fettle-probe" {
			continue
		}
		switch w[1] {
		case "os":
			p.os = board.Printable(w[2])
		case "machine":
			p.machine = board.Printable(w[2])
		case "gzip":
			p.gzip = true
		case "exec":
			p.exec, p.data = append(p.exec, w[2]), append(p.data, w[2])
		case "data":
			p.data = append(p.data, w[2])
			p.bad = append(p.bad, w[2]+": programs may not run there")
		case "bad":
			p.bad = append(p.bad, w[2]+": "+w[3])
		case "agent":
			p.agents = append(p.agents, w[2])
		}
	}
	if p.machine == "" {
		return nil, fail.New(fail.Unsupported, "its shell does not run a POSIX script: exit %d, %s", r.Exit, firstLine(r.Stderr)).Try("give the user a POSIX shell: chsh -s /bin/sh")
	}
	return p, nil
}

// answerWithin is how long a new agent may take to say hello before the one before it comes back.
const answerWithin = 10 * time.Second

// unanswered is an agent that was put on the board and does not answer there.
type unanswered struct {
	cause  error
	at     place
	name   string
	before []string // programs that are there
}

func (u *unanswered) Error() string { return u.cause.Error() }
func (u *unanswered) Unwrap() error { return u.cause }

// begin puts the agent on the board and starts it. The error is an *unanswered where it is there and does not answer.
func begin(ctx context.Context, c *sshx.Client, find func(string) (*agentbin.Agent, error), o Options) (*session, error) {
	p, err := look(ctx, c)
	if err != nil {
		return nil, err
	}
	arch := agentbin.Arch(p.machine)
	if p.os != "Linux" || arch == "" {
		return nil, fail.New(fail.Unsupported, "there is no agent for %s on %s", p.os, p.machine).Try("boards with Linux on %s can be used", strings.Join(agentbin.Arches(), ", "))
	}
	agent, err := find(arch)
	if err != nil {
		return nil, err
	}
	if len(p.exec) == 0 {
		return nil, p.nowhere()
	}
	name := "agent-" + agent.SHA256[:16]
	within := o.answer
	if within == 0 {
		within = answerWithin
	}
	open := func(at place) (*session, error) {
		limit, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		s, err := start(limit, c, at, name, agent.SHA256)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		if limit.Err() != nil {
			err = fail.New(fail.Unreachable, "the agent %.12s did not say hello within %v", agent.SHA256, within).Try("see whether the board hangs or is overloaded")
		}
		return nil, &unanswered{err, at, name, p.agents}
	}
	for _, file := range p.agents {
		if !strings.HasSuffix(file, "/bin/"+name) {
			continue
		}
		// what is there may have been damaged: then it is put there again
		if s, err := open(p.at(strings.TrimSuffix(file, "/bin/"+name))); err == nil || ctx.Err() != nil || c.Err() != nil {
			return s, err
		}
	}
	var first error
	for _, dir := range p.exec {
		at := p.at(dir)
		err := install(ctx, c, p, at.bin, name, agent, o.Progress)
		if err == nil {
			return open(at)
		}
		if first == nil {
			first = err // later folders are worse ones; why they failed helps less
		}
		if !fail.Is(err, fail.NoSpace) && !fail.Is(err, fail.Denied) {
			break
		}
	}
	return nil, first
}

// revert takes an agent away that does not answer, and starts one from before it.
func (u *unanswered) revert(ctx context.Context, c *sshx.Client) (*session, error) {
	const script = `rm -f "$1"; rmdir "${1%/*}" "${1%/bin/*}" 2>/dev/null; exit 0`
	if _, err := c.Run(ctx, nil, "sh", "-c", script, "sh", u.at.bin+"/"+u.name); err != nil {
		return nil, err
	}
	for _, file := range u.before {
		i := strings.LastIndex(file, "/bin/")
		if i < 0 || strings.HasSuffix(file, "/"+u.name) {
			continue
		}
		at := u.at
		at.bin = file[:i] + "/bin"
		s, err := start(ctx, c, at, file[i+len("/bin/"):], "")
		if err == nil {
			s.place.notes = append(s.place.notes, "the new agent was taken off the board again ("+fail.From(u.cause).Why+"); agent "+board.Printable(s.hello.Version)+" from before answers")
			return s, nil
		}
		if c.Err() != nil {
			break
		}
	}
	e := fail.From(u.cause)
	return nil, fail.New(e.Kind, "%s; it was taken off the board again, and no agent from before answers", e.Why).Try("%s", e.Fix)
}

// nowhere says why no folder will do.
func (p *probe) nowhere() error {
	kind, fix := fail.Denied, "let the user write to its home folder, or mount /tmp or /var/tmp without noexec"
	if strings.Contains(strings.Join(p.bad, " "), "No space left") {
		kind, fix = fail.NoSpace, "free some space on the board: the agent needs less than 15 MB"
	}
	return fail.New(kind, "no folder of the board can hold the agent (%s)", board.Printable(strings.Join(p.bad, "; "))).Try("%s", fix)
}

// at chooses folders: the program in dir, the models in the first that may be written.
func (p *probe) at(dir string) place {
	at := place{bin: dir + "/bin", store: p.data[0] + "/store", dirs: []string{dir, p.data[0]}}
	for _, gone := range []string{"/tmp/fettle-", "/dev/shm/fettle-", "/run/user/"} {
		if strings.HasPrefix(at.store, gone) {
			at.notes = append(at.notes, "models lie in "+at.store+" and are lost when the board restarts; make the home folder writable to keep them")
		}
	}
	return at
}

func install(ctx context.Context, c *sshx.Client, p *probe, bin, name string, a *agentbin.Agent, progress task.Progress) error {
	var src io.Reader = bytes.NewReader(a.Gzip)
	total, how := int64(len(a.Gzip)), "gzip"
	if !p.gzip {
		var err error
		if src, err = a.Open(); err != nil {
			return err
		}
		total, how = a.Size, "plain"
	}
	part := bin + "/part-" + name
	r, err := c.Run(ctx, &meter{src, 0, total, progress}, "sh", "-c", installScript, "sh", bin, part, bin+"/"+name, a.SHA256, how)
	if err != nil {
		return err
	}
	said := firstLine(r.Stderr)
	switch {
	case r.Exit == 0:
		return nil
	case strings.Contains(r.Stderr, "No space left"), strings.Contains(r.Stderr, "quota exceeded"):
		return fail.New(fail.NoSpace, "the board's disk is full: %s", said).Try("free %d KiB on the board and try again", a.Size>>10)
	case r.Exit == 21:
		return fail.New(fail.Denied, "the agent cannot be written to %s: %s", bin, said).Try("let the user write to its home folder")
	case r.Exit == 22:
		return fail.New(fail.Denied, "the agent does not start: %s", said).Try("its folder may forbid programs, or its processor lacks what %s needs: see uname -a on the board", a.Arch)
	case r.Exit == 23:
		return fail.New(fail.Corrupt, "the agent arrived with other bytes").Try("try again; if it stays so, check the board's storage")
	}
	return fail.New(fail.Failed, "the agent could not be put on the board: exit %d, %s", r.Exit, said).Try("see whether its shell and disk are right")
}

// meter reports how much of the agent was taken.
type meter struct {
	r           io.Reader
	done, total int64
	progress    task.Progress
}

// Read passes bytes on.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.done += int64(n)
	m.progress.Report(m.done, m.total, "copy the agent")
	return n, err
}

// start runs the agent and speaks with it.
func start(ctx context.Context, c *sshx.Client, at place, name, want string) (*session, error) {
	s, err := c.Start(ctx, at.bin+"/"+name, "serve", "--store", at.store)
	if err != nil {
		return nil, err
	}
	conn, err := attach(ctx, s, want)
	if err != nil {
		if said := firstLine(s.Stderr()); said != "" && c.Err() == nil {
			err = because(err, said)
		} else if c.Err() != nil {
			err = c.Err()
		}
		return nil, err
	}
	conn.ssh, conn.place, conn.stderr = c, at, s.Stderr
	return conn, nil
}

// because types what the agent said before it ended.
func because(err error, said string) error {
	switch {
	case strings.Contains(said, "the disk is full"):
		return fail.New(fail.NoSpace, "%s", said).Try("free space on the board")
	case strings.Contains(said, "read-only"), strings.Contains(said, "permission denied"), strings.Contains(said, "belongs to another"):
		return fail.New(fail.Denied, "%s", said).Try("let the user write to its home folder")
	}
	e := fail.From(err)
	return fail.New(e.Kind, "%s; the agent said: %s", e.Why, said).Try("%s", e.Fix)
}

// RemoveAgent takes everything of Fettle off the board: deployments, the agent's program and its folders. The
// connection ends with it. On this computer only the deployments go.
func (c *Conn) RemoveAgent(ctx context.Context) error {
	const what = "remove the agent"
	if err := c.dropUnits(ctx); err != nil {
		return c.because(err, what)
	}
	if err := c.link().Do(ctx, "remove-all", nil, nil); err != nil {
		return c.because(err, what)
	}
	at := c.now()
	if at.ssh == nil {
		err := c.Close()
		if rerr := os.Remove(at.place.store); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) && err == nil {
			err = c.because(fail.New(fail.Failed, "something stays: %v", rerr), what)
		}
		return err
	}
	c.link().Close()
	// .try-* are of looks at the board that a reset or a cut stopped half way
	const script = `rm -f "$1"/agent-* "$1"/part-*
rmdir "$1" || exit 1
shift
[ ! -d "$1" ] || rmdir "$1" || exit 1
shift
for d do rm -f "$d"/.try-*; [ ! -d "$d" ] || rmdir "$d" || exit 1; done`
	r, err := at.ssh.Run(ctx, nil, append([]string{"sh", "-c", script, "sh", at.place.bin, at.place.store}, at.place.dirs...)...)
	if err == nil && r.Exit != 0 {
		err = fail.New(fail.Failed, "something stays on the board: %s", firstLine(r.Stderr)).Try("look into %s on the board", at.place.dirs[0])
	}
	if err != nil {
		at.ssh.Close()
		return c.because(err, what)
	}
	return at.ssh.Close()
}
