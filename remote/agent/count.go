package agent

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/remote/bundle"
)

// tally is what keeps signed words from being brought a second time: they name this store and carry a number that grows.
type tally struct {
	Board string `json:"board"`
	Last  int64  `json:"last"`
}

func (s *Store) countPath() string { return filepath.Join(s.dir, "count.json") }

// counting reads the count; a store that has none yet gives an empty one.
func (s *Store) counting() (tally, error) {
	var c tally
	b, err := os.ReadFile(s.countPath())
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, cas.Explain(err)
	}
	if json.Unmarshal(b, &c) != nil || c.Board == "" || c.Last < 0 || c.Last > bundle.MaxNumber {
		return c, fail.New(fail.Corrupt, "the count of signatures that this board has taken cannot be read").Try("take the agent off the board and add it again")
	}
	return c, nil
}

func (s *Store) writeCount(c tally) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	return cas.WriteFile(s.disk, s.countPath(), b)
}

// counted is what a desk has to know to sign: the store's name, which is made the first time, and the last number. A store that
// cannot say it says nothing; the first signature that it refuses tells why.
func (s *Store) counted() (board string, last int64) {
	c, err := s.counting()
	if err == nil && c.Board != "" {
		return c.Board, c.Last
	}
	unlock, err := s.lock(lockDeployments)
	if err != nil {
		return "", 0
	}
	defer unlock()
	if c, err = s.counting(); err != nil {
		return "", 0
	}
	if c.Board == "" {
		var id [16]byte
		_, _ = rand.Read(id[:]) // it never fails
		c.Board = hex.EncodeToString(id[:])
		if s.writeCount(c) != nil {
			return "", 0 // the disk is full or read-only: what comes next says so
		}
	}
	return c.Board, c.Last
}

// fresh refuses a signature that was meant for another board, or that this one has taken already, or one before it. What nobody
// signed is none of its business.
func (s *Store) fresh(sig bundle.Signature) error {
	if sig.Sig == "" || s.forgetful {
		return nil
	}
	c, err := s.counting()
	if err != nil {
		return err
	}
	switch {
	case sig.Number == 0 && c.Last == 0:
		return nil // a desk of before numbers, on a board that has seen none
	case sig.Number == 0:
		return fail.New(fail.Denied, "the signature has no number, and this board has counted to %d: it may be an old one", c.Last).Try("update this program, or deploy again from the desk that made it")
	case sig.Board != c.Board:
		return fail.New(fail.Denied, "it was signed for another board").Try("deploy to this one from the desk that made it")
	case sig.Number <= c.Last:
		return fail.New(fail.Denied, "it was signed as number %d, and the board has taken number %d already: it is an old one", sig.Number, c.Last).
			Try("deploy again from the desk that made it, which signs it anew")
	}
	return nil
}

// take is fresh, and from then on the number is used: on the disk before what it was for, so that no cut gives it back.
func (s *Store) take(sig bundle.Signature) error {
	if err := s.fresh(sig); err != nil || sig.Number == 0 {
		return err
	}
	return s.writeCount(tally{sig.Board, sig.Number})
}
