package sshx

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"fettle/internal/fail"
)

// HostKeys is what is known of host keys: the user's known_hosts files, which are only read, and one of our own, which
// grows when a key is accepted.
//
// Rules, as OpenSSH's: a @revoked key is refused always. A key that a line of the host names is right, and so is one that
// a line without port names for the same host. A certificate is right if a @cert-authority line of the host signed it
// and it is valid for the host; one of another authority counts as its plain key. A host with lines but none for this
// key has changed: a hard stop. A host without lines is unknown: the user is asked once.
type HostKeys struct {
	own   string
	files []string // own first
	mu    sync.Mutex
}

// NewHostKeys reads own (which need not be there yet) and the user's files.
func NewHostKeys(own string, users ...string) *HostKeys {
	return &HostKeys{own: own, files: append([]string{own}, users...)}
}

// HostKey is what a host shows of itself.
type HostKey struct {
	Host        string // host:port
	Kind        string // ssh-ed25519
	Fingerprint string // SHA256:…
}

// AskHostKey decides about an unknown host key. nil accepts it and it is stored; an error refuses it.
type AskHostKey func(ctx context.Context, k HostKey) error

// AcceptFingerprint accepts one fingerprint, as the user gave it: SHA256:… in base64 without padding.
func AcceptFingerprint(fp string) AskHostKey {
	return func(_ context.Context, k HostKey) error {
		if k.Fingerprint != strings.TrimRight(fp, "=") {
			return fail.New(fail.Denied, "the host key of %s is %s, not %s", k.Host, k.Fingerprint, fp).Try("compare it with the board's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
		}
		return nil
	}
}

// UnknownHostKey is the cause of the Denied error for a host that nobody has accepted yet.
type UnknownHostKey struct {
	Key HostKey
	key ssh.PublicKey
}

// Error names host and fingerprint.
func (u *UnknownHostKey) Error() string {
	return "the host key of " + u.Key.Host + " is not known: " + u.Key.Kind + " " + u.Key.Fingerprint
}

// ChangedHostKey is the cause of the Denied error for a host that shows another key than before.
type ChangedHostKey struct {
	Key   HostKey
	Known []string // "file:line kind fingerprint"
}

// Error names what was known and what came.
func (c *ChangedHostKey) Error() string {
	return "the host key of " + c.Key.Host + " has changed: it shows " + c.Key.Kind + " " + c.Key.Fingerprint + ", known is " + strings.Join(c.Known, ", ")
}

type line struct {
	file   string
	number int
	marker string
	hosts  []string
	key    ssh.PublicKey
}

// lines reads all files. A line that cannot be read is skipped, as OpenSSH does, unless it revokes: then the file is
// refused, because skipping it would allow what it forbids.
func (h *HostKeys) lines() ([]line, error) {
	var out []line
	for _, file := range h.files {
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil { // fail closed: a file that cannot be read may forbid the key
			return nil, fail.New(fail.Denied, "%v", err).At(fail.Where{File: file}).Try("make the file readable: it says which host keys are right")
		}
		if len(b) > 16<<20 {
			return nil, fail.New(fail.TooBig, "it has %d bytes", len(b)).At(fail.Where{File: file})
		}
		got, err := parseLines(file, b)
		if err != nil {
			return nil, err
		}
		out = append(out, got...)
	}
	return out, nil
}

func parseLines(file string, b []byte) ([]line, error) {
	var out []line
	for n, raw := range bytes.Split(b, []byte("\n")) {
		raw = bytes.TrimSpace(raw)
		if len(raw) == 0 || raw[0] == '#' {
			continue
		}
		marker, hosts, key, _, _, err := ssh.ParseKnownHosts(raw)
		if err != nil {
			if bytes.HasPrefix(raw, []byte("@revoked")) {
				return nil, fail.New(fail.Invalid, "line %d revokes a key that cannot be read: %v", n+1, err).At(fail.Where{File: file}).Try("mend or remove the line")
			}
			continue
		}
		out = append(out, line{file, n + 1, marker, hosts, key})
	}
	return out, nil
}

// KnownNames lists the hosts that files like known_hosts name in clear, as host or host:port, each once. A file that is not there
// has none.
func KnownNames(files ...string) ([]string, error) {
	all, err := NewHostKeys("", files...).lines()
	var out []string
	seen := map[string]bool{}
	for _, l := range all {
		if l.marker != "" {
			continue
		}
		for _, p := range l.hosts {
			if strings.ContainsAny(p, "*?!|") {
				continue
			}
			if host, port, ok := strings.Cut(strings.TrimPrefix(p, "["), "]:"); ok {
				p = net.JoinHostPort(host, port)
			}
			if !seen[p] && len(out) < 1000 {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	return out, err
}

// matches reports whether the line's patterns name host:port.
func (l line) matches(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	name := strings.ToLower(host)
	if port != "22" {
		name = "[" + name + "]:" + port
	}
	hit := false
	for _, p := range l.hosts {
		if strings.HasPrefix(p, "|1|") {
			if hashed(p, name) {
				return true
			}
			continue
		}
		p, not := strings.CutPrefix(strings.ToLower(p), "!")
		if !wild(p, name) {
			continue
		}
		if not {
			return false
		}
		hit = true
	}
	return hit
}

// hashed checks |1|salt|hmac-sha1(salt, name).
func hashed(p, name string) bool {
	parts := strings.Split(p, "|")
	if len(parts) != 4 {
		return false
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[2])
	want, err2 := base64.StdEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil {
		return false
	}
	m := hmac.New(sha1.New, salt)
	m.Write([]byte(name))
	return hmac.Equal(m.Sum(nil), want)
}

// wild matches * and ? as OpenSSH does, in time len(p)·len(s).
func wild(p, s string) bool {
	i, j, star, mark := 0, 0, -1, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

const (
	markRevoked = "revoked"
	markCA      = "cert-authority"
)

// algorithms asks a known host only for kinds of keys that are known of it, so that a host with several keys is never
// taken for a changed one. nil: nothing is known, any kind will do.
func (h *HostKeys) algorithms(addr string) ([]string, error) {
	all, err := h.lines()
	if err != nil {
		return nil, err
	}
	authority := false
	var keys, hints []string
	for _, l := range all {
		here := l.matches(addr)
		if !here && !l.matches(portless(addr)) {
			continue
		}
		into := &keys
		switch {
		case l.marker == markRevoked:
			continue
		case l.marker == markCA:
			authority = true
			continue
		case !here:
			into = &hints // another server of the same host may have other kinds
		}
		kinds := []string{l.key.Type()}
		if l.key.Type() == ssh.KeyAlgoRSA {
			kinds = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256} // the same key, never with SHA-1
		}
		for _, k := range kinds {
			if !slices.Contains(*into, k) {
				*into = append(*into, k)
			}
		}
	}
	if len(keys) == 0 {
		if len(hints) == 0 || authority {
			return nil, nil // the library's own list has certificates first
		}
		for _, k := range ssh.SupportedAlgorithms().HostKeys {
			if !slices.Contains(hints, k) {
				hints = append(hints, k)
			}
		}
		return hints, nil
	}
	if authority {
		return append(certificates(), keys...), nil
	}
	return append(keys, certificates()...), nil // some hosts have no plain key beside their certificate
}

func certificates() []string {
	return []string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}
}

// portless is the same host on the usual port.
func portless(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return net.JoinHostPort(host, "22")
}

// hostCheck is one host key check; err is what it decided, in full.
type hostCheck struct {
	keys *HostKeys
	addr string
	err  error
}

func (c *hostCheck) callback(_ string, _ net.Addr, key ssh.PublicKey) error {
	c.err = c.check(key)
	return c.err
}

func (c *hostCheck) check(key ssh.PublicKey) error {
	all, err := c.keys.lines()
	if err != nil {
		return err
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		signed, err := c.certificate(all, cert)
		if signed || err != nil {
			return err
		}
		key = cert.Key // nobody known signed it: it is worth what its plain key is worth
	}
	return c.plain(all, key)
}

func (c *hostCheck) plain(all []line, key ssh.PublicKey) error {
	host := HostKey{c.addr, key.Type(), ssh.FingerprintSHA256(key)}
	if l := revoked(all, c.addr, key); l != nil {
		return fail.New(fail.Denied, "the host key %s is revoked by %s:%d", host.Fingerprint, l.file, l.number).Try("do not connect: somebody declared this key stolen or invalid")
	}
	var known []string
	elsewhere := false
	for _, l := range all {
		if l.marker != "" {
			continue
		}
		same := bytes.Equal(l.key.Marshal(), key.Marshal())
		if l.matches(c.addr) {
			if same {
				return nil
			}
			known = append(known, l.file+":"+strconv.Itoa(l.number)+" "+l.key.Type()+" "+ssh.FingerprintSHA256(l.key))
		}
		elsewhere = elsewhere || same && l.matches(portless(c.addr))
	}
	if elsewhere {
		return nil
	}
	if len(known) > 0 {
		return fail.New(fail.Denied, "%v", &ChangedHostKey{host, known}).
			Try("if the board was installed anew, check its fingerprint there and remove the old line; else somebody may be listening in")
	}
	return fail.New(fail.Denied, "%v", &UnknownHostKey{host, key}).Try("compare the fingerprint with the board's and accept it: --accept-host-key %s", host.Fingerprint)
}

// revoked gives the line that forbids a key for a host, on any of its ports.
func revoked(all []line, addr string, key ssh.PublicKey) *line {
	for i, l := range all {
		if l.marker == markRevoked && bytes.Equal(l.key.Marshal(), key.Marshal()) && (l.matches(addr) || l.matches(portless(addr))) {
			return &all[i]
		}
	}
	return nil
}

// certificate reports whether an authority that is known for the host signed cert. A revoked or wrong certificate of
// such an authority, and any that holds a revoked key, is an error.
func (c *hostCheck) certificate(all []line, cert *ssh.Certificate) (bool, error) {
	if revoked(all, c.addr, cert.SignatureKey) != nil || revoked(all, c.addr, cert.Key) != nil {
		return false, fail.New(fail.Denied, "the host certificate %s, or who signed it, is revoked", ssh.FingerprintSHA256(cert.Key)).Try("do not connect: somebody declared the key stolen or invalid")
	}
	authority := func(auth ssh.PublicKey, addr string) bool {
		for _, l := range all {
			if l.marker == markCA && (l.matches(addr) || l.matches(portless(addr))) && bytes.Equal(l.key.Marshal(), auth.Marshal()) {
				return true
			}
		}
		return false
	}
	if !authority(cert.SignatureKey, c.addr) {
		return false, nil
	}
	check := ssh.CertChecker{IsHostAuthority: authority}
	if err := check.CheckHostKey(c.addr, nil, cert); err != nil {
		return false, fail.New(fail.Denied, "the host certificate %s is not accepted: %v", ssh.FingerprintSHA256(cert.Key), err).Try("ask who signs the host certificates of this network")
	}
	return true, nil
}

// accept asks about an unknown key and stores it if the answer is yes.
func (h *HostKeys) accept(ctx context.Context, u *UnknownHostKey, ask AskHostKey) error {
	if err := ask(ctx, u.Key); err != nil {
		if fail.KindOf(err) == fail.Internal {
			return fail.New(fail.Denied, "%v", err)
		}
		return err
	}
	return h.add(u.Key.Host, u.key)
}

// add appends one line to our own file.
func (h *HostKeys) add(addr string, key ssh.PublicKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	host, port, err := net.SplitHostPort(addr)
	if err != nil || strings.ContainsAny(host, " ,*?!|#\t\r\n") {
		return fail.New(fail.Invalid, "%q is not a host and port", addr)
	}
	if port != "22" {
		host = "[" + host + "]:" + port
	}
	if err := os.MkdirAll(filepath.Dir(h.own), 0o700); err != nil {
		return fail.New(fail.Denied, "the accepted host key cannot be stored: %v", err).Try("set FETTLE_HOME to a folder that may be written")
	}
	f, err := os.OpenFile(h.own, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fail.New(fail.Denied, "the accepted host key cannot be stored: %v", err).Try("set FETTLE_HOME to a folder that may be written")
	}
	_, err = f.WriteString(strings.ToLower(host) + " " + string(ssh.MarshalAuthorizedKey(key)))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fail.New(fail.Denied, "the accepted host key cannot be stored: %v", err).Try("free space on this computer")
	}
	return nil
}

// Forget removes what our own file says of host:port; the user's files stay as they are.
func (h *HostKeys) Forget(addr string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, err := os.ReadFile(h.own)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail.New(fail.Denied, "%v", err)
	}
	var keep []byte
	for _, raw := range bytes.SplitAfter(b, []byte("\n")) {
		ls, err := parseLines(h.own, raw)
		if err == nil && len(ls) == 1 && ls[0].marker == "" && ls[0].matches(addr) {
			continue
		}
		keep = append(keep, raw...)
	}
	tmp := h.own + ".new"
	if err := os.WriteFile(tmp, keep, 0o600); err != nil {
		return fail.New(fail.Denied, "%v", err)
	}
	if err := os.Rename(tmp, h.own); err != nil {
		return fail.New(fail.Denied, "%v", err)
	}
	return nil
}
