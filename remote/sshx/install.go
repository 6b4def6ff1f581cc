package sshx

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"fettle/internal/cas"
	"fettle/internal/fail"
)

// UserKey gives the public half of a private key file as authorized_keys has it. A file that is not there is made, without a
// passphrase and readable by its owner only.
func UserKey(file string) (string, error) {
	where := fail.Where{File: file}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, gerr := ed25519.GenerateKey(rand.Reader)
		if gerr != nil {
			return "", fail.New(fail.Internal, "make a key: %v", gerr)
		}
		block, gerr := ssh.MarshalPrivateKey(key, "fettle")
		if gerr != nil {
			return "", fail.New(fail.Internal, "make a key: %v", gerr)
		}
		b = pem.EncodeToMemory(block)
		err = cas.WriteFile(cas.OS{}, file, b)
	}
	if err != nil {
		return "", fail.New(fail.Denied, "%v", err).At(where)
	}
	s, err := ssh.ParsePrivateKey(b)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && locked.PublicKey != nil {
		return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(locked.PublicKey))), nil
	}
	if err != nil {
		return "", fail.New(fail.Invalid, "it is not a private key that this program can read: %v", err).At(where)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))), nil
}

// allowScript adds a line to authorized_keys once, whole or not at all, and tells what it did.
const allowScript = `umask 077
d=$HOME/.ssh f=$HOME/.ssh/authorized_keys
mkdir -p "$d" || exit 21
[ -e "$f" ] && grep -qF -- "$1" "$f" && { echo there; exit 0; }
{ [ ! -e "$f" ] || cat "$f"; printf '%s\n' "$1"; } >"$f.fettle" && mv -f "$f.fettle" "$f" || { rm -f "$f.fettle"; exit 21; }
echo added`

// Allow lets the owner of a public key log in as this user from now on. It reports whether the key was new there.
func (c *Client) Allow(ctx context.Context, public string) (bool, error) {
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(public)); err != nil || strings.ContainsAny(public, "\r\n") {
		return false, fail.New(fail.Usage, "it is no public key of one line")
	}
	r, err := c.Run(ctx, nil, "sh", "-c", allowScript, "sh", public)
	if err != nil {
		return false, err
	}
	if r.Exit != 0 {
		return false, fail.New(fail.Denied, "authorized_keys cannot be written: %s", strings.TrimSpace(r.Stderr)).Try("let the user write to ~/.ssh on the board")
	}
	return strings.Contains(string(r.Stdout), "added"), nil
}
