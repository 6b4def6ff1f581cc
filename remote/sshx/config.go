package sshx

import (
	"bytes"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// Config is a user's ~/.ssh/config. Of it Host, HostName, User, Port, IdentityFile, IdentitiesOnly and ProxyJump are
// used.
type Config struct {
	cfg     *ssh_config.Config
	home    string
	Ignored []string // what was left out, with its reason
}

// ReadConfig reads file; one that is not there is empty. home replaces ~ in it.
func ReadConfig(file, home string) (*Config, error) {
	c := &Config{home: home}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fail.New(fail.Denied, "%v", err).At(fail.Where{File: file})
	}
	if len(b) > 4<<20 {
		return nil, fail.New(fail.TooBig, "it has %d bytes", len(b)).At(fail.Where{File: file})
	}
	b = c.without(b, "match")
	if c.cfg, err = decode(b); err != nil {
		c.cfg, err = decode(c.without(b, "include")) // an included file may hold what the parser refuses
	}
	if err != nil {
		return nil, fail.New(fail.Invalid, "%v", err).At(fail.Where{File: file}).Try("mend the line, or name user, port and key on the command line")
	}
	return c, nil
}

// decode is the parser behind a guard: a file of the user never ends the program.
func decode(b []byte) (cfg *ssh_config.Config, err error) {
	err = task.Safely("read the SSH configuration", func() (err error) { cfg, err = ssh_config.DecodeBytes(b); return err })
	return cfg, err
}

// without drops Match blocks or Include lines: a Match that runs a command makes the whole file an error in the parser,
// and none is ever run for us.
func (c *Config) without(b []byte, keyword string) []byte {
	var out [][]byte
	skip := false
	for i, raw := range bytes.Split(b, []byte("\n")) {
		word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(strings.NewReplacer("=", " ", "\t", " ").Replace(string(raw)))), " ")
		switch {
		case word == keyword:
			c.Ignored = append(c.Ignored, "line "+strconv.Itoa(i+1)+": "+keyword+" is not used")
			skip = word == "match"
			raw = nil
		case word == "host":
			skip = false
		}
		if skip {
			raw = nil
		}
		out = append(out, raw)
	}
	return bytes.Join(out, []byte("\n"))
}

func (c *Config) get(alias, key string) string {
	if c == nil || c.cfg == nil {
		return ""
	}
	v, err := c.cfg.Get(alias, key)
	if err != nil {
		return ""
	}
	return v
}

// NamedHost is a Host line of a configuration.
type NamedHost struct {
	Alias string
	Host  string // HostName, or the alias itself
}

// Hosts lists the hosts that the file names without wildcards, in its order.
func (c *Config) Hosts() []NamedHost {
	if c == nil || c.cfg == nil {
		return nil
	}
	var out []NamedHost
	seen := map[string]bool{}
	for _, h := range c.cfg.Hosts {
		for _, p := range h.Patterns {
			alias := p.String()
			if alias == "" || strings.ContainsAny(alias, "*?!") || seen[alias] || len(out) >= 1000 {
				continue
			}
			seen[alias] = true
			host := strings.ReplaceAll(c.get(alias, "HostName"), "%h", alias)
			if host == "" {
				host = alias
			}
			out = append(out, NamedHost{alias, host})
		}
	}
	return out
}

// ParseTarget reads ssh://user@host:port, user@host:port or a Host of the config, and fills from the config what it
// does not say. user is who to be where nobody says.
func ParseTarget(s string, c *Config, user string) (Target, error) { return parseTarget(s, c, user, 0) }

// maxJumps bounds a chain of hosts: a config may name itself.
const maxJumps = 8

func parseTarget(s string, c *Config, user string, depth int) (Target, error) {
	bad := func(why string) (Target, error) {
		return Target{}, fail.New(fail.Usage, "%q is not a board's address: %s", s, why).Try("write ssh://user@host or ssh://user@host:port")
	}
	if depth > maxJumps {
		return bad("its chain of jump hosts has no end")
	}
	rest := s
	if !strings.Contains(rest, "://") {
		rest = "ssh://" + rest
	}
	u, err := url.Parse(rest)
	if err != nil || u.Scheme != "ssh" || u.Host == "" {
		return bad("it is no ssh:// address")
	}
	if _, secret := u.User.Password(); secret {
		return bad("a password does not belong in an address")
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return bad("something follows the host")
	}
	alias := u.Hostname()
	t := Target{User: u.User.Username(), Host: alias, Alias: alias, Port: 22}
	if h := c.get(alias, "HostName"); h != "" {
		t.Host = strings.ReplaceAll(h, "%h", alias)
	}
	port := u.Port()
	if port == "" {
		port = c.get(alias, "Port")
	}
	if port != "" {
		if t.Port, err = strconv.Atoi(port); err != nil || t.Port < 1 || t.Port > 65535 {
			return bad("the port is not from 1 to 65535")
		}
	}
	if t.User == "" {
		t.User = c.get(alias, "User")
	}
	if t.User == "" {
		t.User = user
	}
	if !plain(t.Host, ".:-_%[]") {
		return bad("the host has characters that no host has")
	}
	if !plain(t.User, ".-_@\\$+") {
		return bad("the user has characters that no user has")
	}
	t.Identity = c.identities(alias)
	t.OnlyThem = strings.EqualFold(c.get(alias, "IdentitiesOnly"), "yes")
	if jump := c.get(alias, "ProxyJump"); jump != "" && !strings.EqualFold(jump, "none") {
		if err := t.through(jump, c, user, depth); err != nil {
			return Target{}, err
		}
	}
	return t, nil
}

// Through sets the hosts to go through, as ProxyJump writes them: one or more addresses with commas between.
func (t *Target) Through(jump string, c *Config, user string) error {
	t.Jump = nil
	return t.through(jump, c, user, 0)
}

func (t *Target) through(jump string, c *Config, user string, depth int) error {
	for _, j := range strings.Split(jump, ",") {
		hop, err := parseTarget(strings.TrimSpace(j), c, user, depth+1)
		if err != nil {
			return err
		}
		t.Jump = append(t.Jump, hop.Jump...)
		hop.Jump = nil
		t.Jump = append(t.Jump, hop)
	}
	if len(t.Jump) > maxJumps {
		return fail.New(fail.Usage, "the chain of jump hosts of %s has no end", t.Alias).Try("mend ProxyJump in ~/.ssh/config")
	}
	return nil
}

// plain accepts ASCII letters, digits and the extra characters; nothing starts with a dash, which would be an option.
func plain(s, extra string) bool {
	if s == "" || len(s) > 255 || s[0] == '-' {
		return false
	}
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(extra, r) {
			return false
		}
	}
	return true
}

// identities are the files that the config names and that are there.
func (c *Config) identities(alias string) []string {
	if c == nil || c.cfg == nil {
		return nil
	}
	names, err := c.cfg.GetAll(alias, "IdentityFile")
	if err != nil {
		return nil
	}
	var out []string
	for _, n := range names {
		n = strings.ReplaceAll(strings.Trim(n, `"`), "%d", c.home)
		if rest, ok := strings.CutPrefix(n, "~/"); ok {
			n = filepath.Join(c.home, rest)
		}
		if st, err := os.Stat(n); err == nil && st.Mode().IsRegular() {
			out = append(out, n)
		}
	}
	return out
}

// DefaultIdentities are the usual key files in a user's .ssh folder that are there.
func DefaultIdentities(sshDir string) []string {
	var out []string
	for _, n := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		p := filepath.Join(sshDir, n)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			out = append(out, p)
		}
	}
	return out
}
