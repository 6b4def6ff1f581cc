package deploy

import (
	"context"
	"fmt"
	"strings"

	"fettle/internal/fail"
	"fettle/internal/sandbox"
	"fettle/remote/board"
	"fettle/remote/bundle"
	"fettle/remote/sshx"
	"fettle/remote/wire"
)

// unitScript makes a systemd unit of the user. Words: name of the unit; its text comes on the input. It exits with 9 where there
// is no systemd for the user. Lingering keeps the service when nobody is logged in; who may not ask for it is told.
const unitScript = `command -v systemctl >/dev/null 2>&1 && systemctl --user show-environment >/dev/null 2>&1 || exit 9
d=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
mkdir -p "$d" && cat >"$d/$1.tmp" && mv -f "$d/$1.tmp" "$d/$1" || exit 21
systemctl --user daemon-reload && systemctl --user enable "$1" && systemctl --user restart "$1" || exit 22
loginctl enable-linger >/dev/null 2>&1 || echo no-linger
exit 0`

// dropScript takes the unit away; without one it does nothing.
const dropScript = `d=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
[ -e "$d/$1" ] || exit 0
systemctl --user disable --now "$1"
rm -f "$d/$1"
systemctl --user daemon-reload
rmdir "$d" "${d%/user}" 2>/dev/null
exit 0`

// unit is the text of the user's unit. It starts the newest agent that lies there, so that an upgrade takes hold at the next
// start.
func unit(name, bin, store string) string {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s) + `"`
	}
	return fmt.Sprintf(`[Unit]
Description=Fettle: %s
[Service]
ExecStart=/bin/sh -c 'exec "$$(ls -t "$$1"/agent-* | head -n 1)" service --store "$$2" --name "$$3"' sh %s %s %s
Restart=always
RestartSec=2
NoNewPrivileges=yes
UMask=0077
[Install]
WantedBy=default.target
`, name, quote(bin), quote(store), quote(name))
}

func unitName(name string) string { return "fettle-" + name + ".service" }

// shell runs a script where the agent runs.
func (c *Conn) shell(ctx context.Context, stdin string, argv ...string) (sshx.Result, error) {
	s := c.now()
	if s.ssh != nil {
		return s.ssh.Run(ctx, strings.NewReader(stdin), argv...)
	}
	r, err := sandbox.Run(ctx, sandbox.Spec{Path: "/bin/sh", Args: argv[1:]}, []byte(stdin), 64<<10)
	out := sshx.Result{Stdout: r.Stdout, Stderr: r.Stderr}
	if code, ok := sandbox.ExitCode(err); ok {
		out.Exit, err = code, nil
	}
	return out, err
}

// StartService keeps a deployment running for the programs of the board: by systemd of the user where that is, else by a
// process that starts it again when it dies. The notes say what a user should know of it.
func (c *Conn) StartService(ctx context.Context, name string) (wire.ServiceState, []string, error) {
	what := "start the service of " + name
	var st wire.ServiceState
	if err := bundle.CheckName(name); err != nil {
		return st, nil, c.because(err, what)
	}
	if c.now().hello.Protocol < 3 {
		return st, nil, c.because(fail.New(fail.Unsupported, "its agent (%s) knows no services", c.now().hello.Version), what)
	}
	var notes []string
	at := c.now().place
	ask := wire.ServiceAsk{Do: wire.ServiceStart, Name: name, Supervised: true}
	if at.bin != "" {
		// what is left of an earlier stop would end it at once
		if err := c.link().Do(ctx, wire.VerbService, wire.ServiceAsk{Do: wire.ServiceStop, Name: name}, nil); err != nil {
			return st, nil, c.because(err, what)
		}
		if _, err := c.shell(ctx, "", "sh", "-c", `rm -f "$1/run/$2.stop"`, "sh", at.store, name); err != nil {
			return st, nil, c.because(err, what)
		}
		r, err := c.shell(ctx, unit(name, at.bin, at.store), "sh", "-c", unitScript, "sh", unitName(name))
		switch {
		case err != nil:
			return st, nil, c.because(err, what)
		case r.Exit == 0:
			ask.Supervised = false
			if strings.Contains(string(r.Stdout), "no-linger") {
				notes = append(notes, "the service ends when the user logs out: sudo loginctl enable-linger on the board keeps it")
			}
		case r.Exit != 9:
			return st, nil, c.because(fail.New(fail.Failed, "systemd does not take its unit: %s", firstLine(r.Stderr)).Try("see systemctl --user status %s on the board", unitName(name)), what)
		}
	}
	if ask.Supervised {
		notes = append(notes, "the board has no systemd for its user: the service is started again when it dies, but not when the board restarts")
	}
	if err := c.link().Do(ctx, wire.VerbService, ask, &st); err != nil {
		return st, notes, c.because(err, what)
	}
	return clean(st), notes, nil
}

// StopService ends it.
func (c *Conn) StopService(ctx context.Context, name string) error {
	what := "stop the service of " + name
	if err := bundle.CheckName(name); err != nil {
		return c.because(err, what)
	}
	if c.now().place.bin != "" {
		if _, err := c.shell(ctx, "", "sh", "-c", dropScript, "sh", unitName(name)); err != nil {
			return c.because(err, what)
		}
	}
	return c.because(c.link().Do(ctx, wire.VerbService, wire.ServiceAsk{Do: wire.ServiceStop, Name: name}, nil), what)
}

// Services says how the services of the board go.
func (c *Conn) Services(ctx context.Context) ([]wire.ServiceState, error) {
	var all []wire.ServiceState
	if c.now().hello.Protocol < 3 {
		return nil, nil
	}
	err := c.link().Do(ctx, wire.VerbService, wire.ServiceAsk{Do: wire.ServiceList}, &all)
	for i := range all {
		all[i] = clean(all[i])
	}
	return all, c.because(err, "ask for services")
}

func clean(st wire.ServiceState) wire.ServiceState {
	for _, s := range []*string{&st.Name, &st.State, &st.Socket, &st.Note} {
		*s = board.Printable(*s)
	}
	return st
}

// dropUnits takes the units of all services away.
func (c *Conn) dropUnits(ctx context.Context) error {
	all, err := c.Services(ctx)
	if err != nil || c.now().place.bin == "" {
		return err
	}
	for _, st := range all {
		if bundle.CheckName(st.Name) != nil {
			continue
		}
		if _, err := c.shell(ctx, "", "sh", "-c", dropScript, "sh", unitName(st.Name)); err != nil {
			return err
		}
	}
	return nil
}
