package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/remote/board"
	"fettle/remote/wire"
)

// Fixes that need no terminal.
const (
	FixPin     = "pin-clock"     // governor performance on every core; FixRestore undoes it
	FixRestore = "restore-clock" // the governors of before FixPin
	FixCool    = "cool-down"     // wait until the processor is cool
	FixSpace   = "free-space"    // what can be made or sent again goes
)

// Fixes are all of them, with what undoes each; "" where nothing has to be undone.
func Fixes() map[string]string {
	return map[string]string{FixPin: FixRestore, FixRestore: FixPin, FixCool: "", FixSpace: ""}
}

// Fixed says what a fix changed.
type Fixed struct {
	Fix    string `json:"fix"`
	Before string `json:"before"`
	After  string `json:"after"`
	Undo   string `json:"undo,omitempty"` // the fix that brings the state before back
	Note   string `json:"note,omitempty"`
}

// FixOptions say how far a fix may go.
type FixOptions struct {
	// Password is asked for sudo, where the board wants one; nil: only what needs none is tried.
	Password func(ctx context.Context) (string, error)
	Cool     float64       // temperature to wait for in C, 0: 55
	Patience time.Duration // how long to wait for it, 0: ten minutes
	Progress task.Progress

	root string // of /sys, for tests
}

// Fix mends one thing on the board. Denied: the user may not, with what was tried. Unsupported: the board has no such thing.
func (c *Conn) Fix(ctx context.Context, what string, o FixOptions) (Fixed, error) {
	f, err := c.fix(ctx, what, o)
	f.Fix = what
	return f, c.because(err, what)
}

func (c *Conn) fix(ctx context.Context, what string, o FixOptions) (Fixed, error) {
	switch what {
	case FixPin, FixRestore:
		return c.governor(ctx, what, o)
	case FixCool:
		return c.cool(ctx, o)
	case FixSpace:
		before, err := c.Facts(ctx)
		if err != nil {
			return Fixed{}, err
		}
		var freed wire.Freed
		if err := c.link().Do(ctx, wire.VerbTidy, nil, &freed); err != nil {
			return Fixed{}, err
		}
		after, err := c.Facts(ctx)
		if err != nil {
			return Fixed{}, err
		}
		return Fixed{Before: fmt.Sprintf("%d KiB free", before.StorageFree>>10), After: fmt.Sprintf("%d KiB free", after.StorageFree>>10),
			Note: fmt.Sprintf("%d KiB of chunks and prepared plans were removed; they are made or sent again when they are needed", freed.Bytes>>10)}, nil
	}
	return Fixed{}, fail.New(fail.Usage, "%.40q is no fix", what).Try("known are %s, %s, %s and %s", FixPin, FixRestore, FixCool, FixSpace)
}

// governorScript sets the governor of every core and keeps those of before, which it does not overwrite, so that restoring brings back what the
// user had. Words: folder of the cores, governor or "restore", file of those of before. Its input is the password of sudo, or an empty line.
// It exits with 31 where there is no governor, 32 where it may not be changed, 33 where nothing is kept to restore.
const governorScript = `base=$1 want=$2 keep=$3
IFS= read -r pw
put() {
	{ printf '%s\n' "$1" >"$2"; } 2>/dev/null && return
	command -v sudo >/dev/null 2>&1 || return 1
	printf '%s\n' "$1" | sudo -n tee "$2" >/dev/null 2>&1 && return
	[ -n "$pw" ] || return 1
	printf '%s\n' "$pw" | sudo -S -p '' sh -c 'printf "%s\n" "$1" >"$2"' sh "$1" "$2" 2>/dev/null
}
now() { for g in "$base"/cpu[0-9]*/cpufreq/scaling_governor; do [ ! -e "$g" ] || printf '%s %s\n' "$g" "$(cat "$g")"; done; }
before=$(now)
[ -n "$before" ] || exit 31
say() { printf '%s\n' "$2" | while read -r f v; do printf 'fettle-fix\t%s\t%s\n' "$1" "$v"; done; }
say before "$before"
if [ "$want" = restore ]; then
	[ -s "$keep" ] || exit 33
	while read -r f v; do put "$v" "$f" || exit 32; done <"$keep"
	rm -f "$keep"
else
	umask 077
	[ -s "$keep" ] || printf '%s\n' "$before" >"$keep" || exit 34
	printf '%s\n' "$before" | while read -r f v; do put "$want" "$f" || exit 32; done || { rc=$?; [ "$(now)" != "$before" ] || rm -f "$keep"; exit $rc; }
fi
say after "$(now)"
exit 0`

func (c *Conn) governor(ctx context.Context, what string, o FixOptions) (Fixed, error) {
	want, undo := "performance", FixRestore
	if what == FixRestore {
		want, undo = "restore", FixPin
	}
	base := o.root + "/sys/devices/system/cpu"
	keep := c.now().place.store + "/governor.before"
	try := func(password string) (Fixed, int, error) {
		r, err := c.shell(ctx, password+"\n", "sh", "-c", governorScript, "sh", base, want, keep)
		f := Fixed{Undo: undo}
		for _, l := range strings.Split(string(r.Stdout), "\n") {
			switch w := strings.Split(l, "\t"); {
			case len(w) != 3 || w[0] != "fettle-fix":
			case w[1] == "before":
				f.Before = join1(f.Before, w[2])
			case w[1] == "after":
				f.After = join1(f.After, w[2])
			}
		}
		return f, r.Exit, err
	}
	f, exit, err := try("")
	if err == nil && exit == 32 && o.Password != nil {
		pw, perr := o.Password(ctx)
		switch {
		case perr == nil:
			f, exit, err = try(pw)
		case fail.Is(perr, fail.Cancelled):
			err = perr // else nobody is there to ask: what was tried says enough
		}
	}
	switch {
	case err != nil:
		return f, err
	case exit == 31:
		return f, fail.New(fail.Unsupported, "the board has no cpufreq: its clock cannot be pinned from here").Try("on a Raspberry Pi use its own kernel; runs stay amber")
	case exit == 32:
		return f, fail.New(fail.Denied, "this user may not change the governor: neither its file nor sudo let it").
			Try("give the user's password when it is asked for, or let sudo run without one; nothing was changed that was not put back")
	case exit == 33:
		return f, fail.New(fail.NotFound, "no governor of before is kept on the board: it was not pinned from here")
	case exit != 0:
		return f, fail.New(fail.Failed, "the governor could not be changed: exit %d", exit)
	}
	if what == FixPin && f.After != "performance" {
		return f, fail.New(fail.Failed, "the governor is %s afterwards", f.After).Try("another program on the board sets it; see cpufrequtils or power-profiles-daemon")
	}
	return f, nil
}

// join1 lists values that differ once.
func join1(list, v string) string {
	v = board.Printable(v)
	for _, have := range strings.Split(list, ", ") {
		if have == v {
			return list
		}
	}
	if list == "" {
		return v
	}
	return list + ", " + v
}

// cool waits until the board is cool. It changes nothing.
func (c *Conn) cool(ctx context.Context, o FixOptions) (Fixed, error) {
	goal, patience := o.Cool, o.Patience
	if goal == 0 {
		goal = 55
	}
	if patience == 0 {
		patience = 10 * time.Minute
	}
	var f Fixed
	begin := time.Now()
	for first := true; ; first = false {
		facts, err := c.Facts(ctx)
		if err != nil {
			return f, err
		}
		if facts.TemperatureC == nil {
			return f, fail.New(fail.Unsupported, "the board does not say how hot it is").Try("let it rest for some minutes")
		}
		t := *facts.TemperatureC
		f.After = fmt.Sprintf("%.1f C", t)
		if first {
			f.Before = f.After
		}
		o.Progress.Report(int64(time.Since(begin)/time.Second), int64(patience/time.Second), "cool down: "+f.After)
		if t <= goal {
			return f, nil
		}
		if time.Since(begin) > patience {
			return f, fail.New(fail.Failed, "after %v it still has %.1f C, %.0f were wanted", patience, t, goal).Try("stop other programs, give it a heat sink or a fan, or accept a higher temperature")
		}
		select {
		case <-ctx.Done():
			return f, fail.From(ctx.Err())
		case <-time.After(min(2*time.Second, patience/10)):
		}
	}
}
