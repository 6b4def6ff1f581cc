package sshx

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"fettle/internal/fail"
)

// authSet is the ways to log in, in order: keys of the agent and files, then the password.
type authSet struct {
	methods []ssh.AuthMethod
	tried   []string // for the error message
	skipped []string
	agent   net.Conn
}

func (a *authSet) close() {
	if a.agent != nil {
		a.agent.Close()
	}
}

// methods gathers keys before dialling: a wrong passphrase is said before the board is bothered.
func methods(ctx context.Context, t Target, o Options, clock *deadline) (*authSet, error) {
	a := &authSet{}
	var signers []ssh.Signer
	for _, file := range t.Identity {
		s, err := readKey(ctx, file, o)
		if err != nil {
			a.close()
			return nil, err
		}
		if s == nil {
			a.skipped = append(a.skipped, file+" (encrypted, no passphrase given)")
			continue
		}
		signers = append(signers, s)
		a.tried = append(a.tried, "key "+file)
	}
	if o.AgentSock != "" {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", o.AgentSock)
		if err != nil {
			a.skipped = append(a.skipped, "ssh agent ("+err.Error()+")")
		} else {
			a.agent = conn
			_ = conn.SetDeadline(time.Now().Add(o.Connect)) // an agent that hangs must not hang us
			if list, err := agent.NewClient(conn).Signers(); err != nil {
				a.skipped = append(a.skipped, "ssh agent ("+err.Error()+")")
			} else {
				signers = append(signers, chosen(list, t)...)
				a.tried = append(a.tried, "ssh agent")
			}
		}
	}
	if len(signers) > 0 {
		a.methods = append(a.methods, ssh.PublicKeys(signers...))
	}
	if o.Password != nil {
		asked := sync.OnceValues(func() (string, error) {
			clock.stop() // a person is typing
			defer clock.start()
			return o.Password(ctx, t.User, t.Addr())
		})
		a.methods = append(a.methods, ssh.PasswordCallback(asked), ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			if len(questions) == 0 {
				return nil, nil
			}
			if len(questions) > 1 || echos[0] {
				return nil, errors.New("the board asks more than a password")
			}
			pw, err := asked()
			return []string{pw}, err
		}))
		a.tried = append(a.tried, "password")
	}
	if len(a.methods) == 0 {
		a.close()
		return nil, fail.New(fail.Denied, "there is no key and no password to log in with%s", list("; skipped: ", a.skipped)).Try("give a key with --identity, load one into the ssh agent, or use --password-stdin")
	}
	return a, nil
}

// chosen leaves out keys of the agent that the target does not name: a server closes the door after a few wrong ones.
func chosen(all []ssh.Signer, t Target) []ssh.Signer {
	if !t.OnlyThem {
		return all
	}
	var out []ssh.Signer
	for _, file := range t.Identity {
		b, err := os.ReadFile(file + ".pub")
		if err != nil {
			continue // only the private half is there; it is tried itself
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(b)
		if err != nil {
			continue
		}
		for _, s := range all {
			if bytes.Equal(s.PublicKey().Marshal(), key.Marshal()) {
				out = append(out, s)
			}
		}
	}
	return out
}

// readKey gives nil for an encrypted file when there is nobody to ask.
func readKey(ctx context.Context, file string, o Options) (ssh.Signer, error) {
	where := fail.Where{File: file}
	st, err := os.Stat(file)
	if err != nil {
		return nil, fail.New(fail.NotFound, "%v", err).At(where).Try("name a private key file with --identity")
	}
	if !st.Mode().IsRegular() || st.Size() > 1<<20 {
		return nil, fail.New(fail.Invalid, "it is not a private key file").At(where)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fail.New(fail.Denied, "%v", err).At(where)
	}
	s, err := ssh.ParsePrivateKey(b)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		if o.Passphrase == nil {
			return nil, nil
		}
		pass, perr := o.Passphrase(ctx, file)
		if perr != nil {
			return nil, fail.New(fail.Denied, "no passphrase: %v", perr).At(where)
		}
		if s, err = ssh.ParsePrivateKeyWithPassphrase(b, []byte(pass)); err != nil {
			return nil, fail.New(fail.Denied, "the passphrase does not open the key").At(where).Try("try again, or load the key into the ssh agent: ssh-add %s", file)
		}
		return s, nil
	}
	if err != nil {
		return nil, fail.New(fail.Invalid, "it is not a private key that this program can read: %v", err).At(where)
	}
	return s, nil
}

// once asks for the passphrase of a file only once, however often a host is dialled and whatever hops need the same key.
func once(ask func(context.Context, string) (string, error)) func(context.Context, string) (string, error) {
	if ask == nil {
		return nil
	}
	known := map[string]string{}
	return func(ctx context.Context, file string) (string, error) {
		if pass, ok := known[file]; ok {
			return pass, nil
		}
		pass, err := ask(ctx, file)
		if err == nil {
			known[file] = pass
		}
		return pass, err
	}
}

// explain says what of a login failed.
func (a *authSet) explain(err error, t Target) error {
	if s := err.Error(); strings.Contains(s, "unable to authenticate") || strings.Contains(s, "no supported methods remain") {
		return fail.New(fail.Denied, "the board refused the login of %s (tried: %s%s)", t.User, strings.Join(a.tried, ", "), list("; skipped: ", a.skipped)).
			Try("check the user name, put the public key into the board's ~/.ssh/authorized_keys, or give a password")
	} else if strings.Contains(s, "no common algorithm") {
		return fail.New(fail.Unsupported, "%s", printable(err)).Try("update the board's SSH server: it offers only algorithms that are not safe any more, or no host key of a known kind")
	}
	return fail.New(fail.Unreachable, "the SSH handshake failed: %s", printable(err)).Try("check that this is the board's SSH port")
}

func list(before string, s []string) string {
	if len(s) == 0 {
		return ""
	}
	return before + strings.Join(s, ", ")
}
