package bundle

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fettle/internal/cas"
	"fettle/internal/fail"
)

// Key signs manifests for its user. A board takes only manifests of the keys that it knows.
type Key struct{ private ed25519.PrivateKey }

const (
	keyKind = "FETTLE SIGNING KEY"
	keyWord = "ed25519:"
)

// Domains keep a signature of a manifest from being one of anything else, and one without a number from having one.
const (
	domain   = "fettle manifest 1\x00"
	numbered = "fettle manifest 2\x00"
)

// MaxNumber bounds the numbers of signatures: one a second for 30,000 years.
const MaxNumber = 1 << 40

// NewKey makes a key.
func NewKey() (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fail.New(fail.Internal, "make a signing key: %v", err)
	}
	return &Key{private}, nil
}

// OpenKey reads the key in a file, or makes one there that only its owner can read. One that others may read or that is a
// link is refused: a key that was seen signs for anybody.
func OpenKey(file string) (*Key, error) {
	where := fail.Where{File: file}
	st, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(file)
	}
	if err != nil {
		return nil, fail.New(fail.Denied, "%v", err).At(where).Doing("open the signing key")
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return nil, fail.New(fail.Denied, "others may read it, or it is a link").At(where).Doing("open the signing key").
			Try("if nobody had it: chmod 600 %s; else remove it, and have the boards trust the new one", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fail.New(fail.Denied, "%v", err).At(where).Doing("open the signing key")
	}
	p, _ := pem.Decode(b)
	if p == nil || p.Type != keyKind || len(p.Bytes) != ed25519.SeedSize {
		return nil, fail.New(fail.Corrupt, "it is no signing key").At(where).Doing("open the signing key").Try("remove it: a new one is made, which the boards have to trust anew")
	}
	return &Key{ed25519.NewKeyFromSeed(p.Bytes)}, nil
}

func createKey(file string) (*Key, error) {
	k, err := NewKey()
	if err != nil {
		return nil, err
	}
	// the temporary file has mode 0600, and the name is there whole or not at all
	text := pem.EncodeToMemory(&pem.Block{Type: keyKind, Bytes: k.private.Seed()})
	if err := cas.WriteFile(cas.OS{}, file, text); err != nil {
		return nil, fail.In(err, "make a signing key", fail.Where{File: filepath.Clean(file)})
	}
	return k, nil
}

// Public is the half that others may know: ed25519: and base64.
func (k *Key) Public() string {
	return keyWord + base64.StdEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
}

// Sign signs the JSON of a manifest, for any board and for ever: enough to measure with, not to install on a board that counts.
func (k *Key) Sign(raw []byte) Signature { return k.SignFor("", 0, raw) }

// SignFor signs words for one board, as number n of what it is told to do. The board takes each number once and only upwards, so
// that what was signed before cannot be brought again.
func (k *Key) SignFor(board string, n int64, raw []byte) Signature {
	s := Signature{Key: k.Public(), Board: board, Number: n}
	s.Sig = base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, s.words(raw)))
	return s
}

// Signature says who signed and proves it.
type Signature struct {
	Key    string `json:"key"` // as Public
	Sig    string `json:"sig"`
	Board  string `json:"board,omitempty"`  // the board that is meant; "" with Number 0
	Number int64  `json:"number,omitempty"` // 0: not numbered
}

// words are what is signed. A board's name is of letters and digits, so the parts cannot run into each other.
func (s Signature) words(raw []byte) []byte {
	if s.Number == 0 && s.Board == "" {
		return append([]byte(domain), raw...)
	}
	return append(fmt.Appendf(nil, "%s%s %d\x00", numbered, s.Board, s.Number), raw...)
}

// ParseKey checks a public key.
func ParseKey(s string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, keyWord))
	if !strings.HasPrefix(s, keyWord) || err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fail.New(fail.Usage, "%.80q is no signing key", s).Try("give what fettle key prints, as ed25519:…")
	}
	return b, nil
}

// Verify says whether s is a signature of raw by one of the known keys; with none known any key will do. Denied names the key.
func (s Signature) Verify(raw []byte, known []string) error {
	if s.Sig == "" {
		return fail.New(fail.Denied, "the manifest is not signed").Try("deploy with a release that signs, whose key this board trusts")
	}
	key, err := ParseKey(s.Key)
	if err != nil {
		return err
	}
	if s.Number < 0 || s.Number > MaxNumber || len(s.Board) > 64 || strings.ContainsAny(s.Board, " \x00") {
		return fail.New(fail.Invalid, "a signature has the number %d for board %.70q", s.Number, s.Board)
	}
	sig, err := base64.StdEncoding.DecodeString(s.Sig)
	if err != nil || !ed25519.Verify(key, s.words(raw), sig) {
		return fail.New(fail.Denied, "the signature is not that of this manifest: it or the manifest was altered (key %s)", s.Key).Try("deploy again from the desk that made it")
	}
	for _, k := range known {
		if k == s.Key {
			return nil
		}
	}
	if len(known) > 0 {
		return fail.New(fail.Denied, "the board does not trust key %s; it trusts %s", s.Key, strings.Join(known, ", ")).
			Try("on a desk that it trusts: fettle target trust BOARD %s", s.Key)
	}
	return nil
}

// TrustWords is what a known key signs to add or drop another.
func TrustWords(key string, drop bool) []byte {
	if drop {
		return []byte("distrust " + key)
	}
	return []byte("trust " + key)
}

// RollbackWords is what a known key signs to return to the version before.
func RollbackWords(name string) []byte { return []byte("rollback " + name) }
