package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"fettle/internal/cas"
	"fettle/internal/fail"
	"fettle/remote/bundle"
	"fettle/remote/wire"
)

// maxKeys bounds the keys that a board knows.
const maxKeys = 64

// trustFile lists the keys whose manifests are taken. The first signed deployment puts its key there; from then on only
// known keys count, and a known one vouches for others.
type trustFile struct {
	Keys []string `json:"keys"`
}

func (s *Store) trustPath() string { return filepath.Join(s.dir, "trust.json") }
func (s *Store) signaturePath(name string, v int) string {
	return filepath.Join(s.deployment(name), strconv.Itoa(v)+".sig")
}

// Trusted lists the known keys.
func (s *Store) Trusted() ([]string, error) {
	b, err := os.ReadFile(s.trustPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, cas.Explain(err)
	}
	var f trustFile
	if json.Unmarshal(b, &f) != nil || len(f.Keys) == 0 || len(f.Keys) > maxKeys {
		return nil, fail.New(fail.Corrupt, "the list of signing keys that this board trusts cannot be read").Try("take the agent off the board and add it again")
	}
	return f.Keys, nil
}

// Vouched reads a manifest after checking who signed it. On a board that knows no key an unsigned one is taken: desks of
// before signatures send such.
func (s *Store) Vouched(raw []byte, sig bundle.Signature) (*bundle.Manifest, error) {
	known, err := s.Trusted()
	if err != nil {
		return nil, err
	}
	if len(known) > 0 || sig.Sig != "" || sig.Key != "" {
		if err := sig.Verify(raw, known); err != nil {
			return nil, fail.In(err, "check the signature", fail.Where{})
		}
	}
	return bundle.Decode(raw)
}

// pin makes key the known one where none is known.
func (s *Store) pin(key string) error {
	known, err := s.Trusted()
	if err != nil || len(known) > 0 || key == "" {
		return err
	}
	return s.writeTrust([]string{key})
}

func (s *Store) writeTrust(keys []string) error {
	b, err := json.Marshal(trustFile{keys})
	if err != nil {
		return fail.New(fail.Internal, "%v", err)
	}
	return cas.WriteFile(s.disk, s.trustPath(), b)
}

// Trust changes the known keys; a known one has to have signed the change.
func (s *Store) Trust(q wire.Trust) (wire.Trusted, error) {
	unlock, err := s.lock(lockDeployments)
	if err != nil {
		return wire.Trusted{}, err
	}
	defer unlock()
	known, err := s.Trusted()
	if err != nil || q.Change == "" {
		return wire.Trusted{Keys: append([]string{}, known...)}, err
	}
	if _, err := bundle.ParseKey(q.Change); err != nil {
		return wire.Trusted{}, err
	}
	sig := bundle.Signature(q.Vouch)
	if err := sig.Verify(bundle.TrustWords(q.Change, q.Drop), known); err != nil {
		return wire.Trusted{}, err
	}
	if err := s.take(sig); err != nil {
		return wire.Trusted{}, err
	}
	switch i := slices.Index(known, q.Change); {
	case q.Drop && len(known) == 1:
		return wire.Trusted{}, fail.New(fail.Usage, "it is the only key that the board trusts").Try("take the agent off the board instead: fettle target forget --remove")
	case q.Drop && i >= 0:
		known = slices.Delete(known, i, i+1)
	case !q.Drop && i < 0 && len(known) >= maxKeys:
		return wire.Trusted{}, fail.New(fail.TooBig, "the board trusts %d keys already", len(known))
	case !q.Drop && i < 0:
		known = append(known, q.Change)
		if !slices.Contains(known, q.Key) {
			known = append(known, q.Key) // the first one vouches for itself
		}
	}
	return wire.Trusted{Keys: known}, s.writeTrust(known)
}

// writeVersion stores a manifest and who signed it. The manifest is last: a version is there when it is.
func (s *Store) writeVersion(name string, v int, raw []byte, sig bundle.Signature) error {
	if sig.Sig != "" {
		b, err := json.Marshal(sig)
		if err != nil {
			return fail.New(fail.Internal, "%v", err)
		}
		if err := cas.WriteFile(s.disk, s.signaturePath(name, v), b); err != nil {
			return err
		}
	}
	return cas.WriteFile(s.disk, s.manifestPath(name, v), raw)
}

// version reads a stored version and checks again who signed it: somebody may have changed the file.
func (s *Store) version(name string, v int) (*bundle.Manifest, error) {
	raw, err := os.ReadFile(s.manifestPath(name, v))
	if err != nil {
		return nil, cas.Explain(err)
	}
	var sig bundle.Signature
	b, err := os.ReadFile(s.signaturePath(name, v))
	if err == nil && json.Unmarshal(b, &sig) != nil {
		return nil, fail.New(fail.Corrupt, "the signature of version %d of %s cannot be read", v, name).Try("deploy again")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, cas.Explain(err)
	}
	m, err := s.Vouched(raw, sig)
	if err == nil && m.Name != name {
		err = fail.New(fail.Corrupt, "the manifest of %s is that of %s", name, m.Name).Try("deploy again")
	}
	return m, err
}
