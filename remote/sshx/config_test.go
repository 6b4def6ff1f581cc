package sshx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/fail"
)

func TestParseTarget(t *testing.T) {
	home := t.TempDir()
	for _, n := range []string{"key", "other key"} {
		if err := os.WriteFile(filepath.Join(home, n), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := `# boards
Host bar
	HostName bar.local
	User pi
	Port 2222
	IdentityFile ~/key
	IdentityFile ~/gone
	IdentitiesOnly yes
Host far
	HostName %h.example.com
	ProxyJump near,root@middle:2200
Host near
	User=me
Host loop
	ProxyJump loop
Host none
	ProxyJump none
Match exec "touch /tmp/never"
	User evil
Host after
	User after
Host *
	IdentityFile %d/key
`
	file := filepath.Join(home, "config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(file, home)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Ignored) != 1 || !strings.Contains(c.Ignored[0], "line 18") {
		t.Errorf("ignored: %q", c.Ignored)
	}
	cases := []struct {
		in   string
		want string // user@host:port of each hop and the target, then its keys
	}{
		{"bar", "pi@bar.local:2222 key key"},
		{"ssh://bar", "pi@bar.local:2222 key key"},
		{"root@bar", "root@bar.local:2222 key key"},
		{"ssh://root@bar:22/", "root@bar.local:22 key key"},
		{"far", "me@near:22 root@middle:2200 nobody@far.example.com:22 key"},
		{"none", "nobody@none:22 key"},
		{"after", "after@after:22 key"},
		{"10.0.0.7", "nobody@10.0.0.7:22 key"},
		{"ssh://pi@[fe80::1%25eth0]:2200", "pi@[fe80::1%eth0]:2200 key"},
		{"loop", "error: no end"},
		{"ssh://pi:secret@bar", "error: password"},
		{"http://bar", "error: ssh://"},
		{"bar/path", "error: follows"},
		{"bar:0", "error: port"},
		{"bar:99999", "error: port"},
		{"-oProxyCommand=x", "error: characters"},
		{"ssh://-x@bar", "error: characters"},
		{"ba r", "error: ssh://"},
		{"bar;reboot", "error: characters"},
		{"bär", "error: characters"},
		{"", "error: ssh://"},
	}
	for _, k := range cases {
		t.Run(k.in, func(t *testing.T) {
			got, err := ParseTarget(k.in, c, "nobody")
			if say, bad := strings.CutPrefix(k.want, "error: "); bad {
				if !fail.Is(err, fail.Usage) || !strings.Contains(err.Error(), say) || fail.From(err).Fix == "" {
					t.Fatalf("got %v, %v; want an error that says %q", got, err, say)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var words []string
			for _, h := range got.Jump {
				words = append(words, h.String())
			}
			words = append(words, got.String())
			for _, id := range got.Identity {
				words = append(words, filepath.Base(id))
			}
			if s := strings.Join(words, " "); s != k.want {
				t.Errorf("got  %s\nwant %s", s, k.want)
			}
			if got.OnlyThem != (got.Alias == "bar") {
				t.Error("IdentitiesOnly was not read")
			}
		})
	}
	tg, err := ParseTarget("bar", c, "nobody")
	if err != nil {
		t.Fatal(err)
	}
	if err := tg.Through("a@x, near", c, "nobody"); err != nil || len(tg.Jump) != 2 || tg.Jump[0].String() != "a@x:22" || tg.Jump[1].String() != "me@near:22" {
		t.Errorf("through gives %v, %v", tg.Jump, err)
	}
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	if c, err := ReadConfig(filepath.Join(dir, "none"), dir); err != nil || c.get("x", "User") != "" {
		t.Errorf("a file that is not there gives %v", err)
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("Host a\n\tUser\x00\n = = \nHost\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(bad, dir); err != nil && (!fail.Is(err, fail.Invalid) || fail.From(err).Fix == "") {
		t.Errorf("got %v", err)
	}
}

// FuzzConfig reads any configuration: it must neither panic nor give an address that an option could hide in.
func FuzzConfig(f *testing.F) {
	f.Add("Host a\n\tHostName b\n\tPort 22\n", "a")
	f.Add("Host *\n\tProxyJump x,y\n\tUser -l\nMatch all\nHostName z", "ssh://u@a:22")
	f.Add("Include /dev/null\nHost !a b*\nHostName %h%h", "b")
	f.Fuzz(func(t *testing.T, config, address string) {
		if strings.Contains(strings.ToLower(config), "include") {
			return // it would read the computer's files
		}
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(file, "/home/x")
		if err != nil {
			return
		}
		tg, err := ParseTarget(address, c, "me")
		if err != nil {
			return
		}
		for _, h := range append(tg.Jump, tg) {
			if h.Host == "" || h.Host[0] == '-' || h.User == "" || h.User[0] == '-' || h.Port < 1 || h.Port > 65535 || strings.ContainsAny(h.Host+h.User, " ;|&$\n'\"`") && !strings.Contains(h.User, "$") {
				t.Errorf("%q gives %+v", address, h)
			}
		}
	})
}

// FuzzKnownHosts reads any known_hosts file and asks it about a host.
func FuzzKnownHosts(f *testing.F) {
	const key = " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZhq0Zx7vfx0bJxZ7cJkUu3kG3oPgwF8v1nQyqDWb0e"
	f.Add("a" + key + "\n@revoked *" + key + "\n")
	f.Add("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=" + key)
	f.Add("@cert-authority *.x,!y,[z]:22" + key + "\n#\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := parseLines("f", []byte(text))
		if err != nil && !fail.Is(err, fail.Invalid) {
			t.Errorf("got %v", err)
		}
		for _, l := range lines {
			l.matches("a:22")
			l.matches("[::1]:2222")
		}
	})
}
