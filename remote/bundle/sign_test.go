package bundle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/fail"
)

func TestKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "home", "signing.key")
	k, err := OpenKey(file)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	again, err := OpenKey(file)
	if err != nil || again.Public() != k.Public() {
		t.Errorf("opened again: %v", err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(file); !fail.Is(err, fail.Denied) || fail.From(err).Fix == "" {
		t.Errorf("a key that a group may read: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(link); !fail.Is(err, fail.Denied) {
		t.Errorf("a link: %v", err)
	}
	if err := os.WriteFile(file, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(file); !fail.Is(err, fail.Corrupt) {
		t.Errorf("a damaged key: %v", err)
	}
}

// TestVerify flips every bit of a manifest and of its signature: none is taken.
func TestVerify(t *testing.T) {
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte(`{"schema":1,"name":"net"}`)
	good := k.Sign(raw)
	if err := good.Verify(raw, nil); err != nil {
		t.Error(err)
	}
	if err := good.Verify(raw, []string{other.Public(), k.Public()}); err != nil {
		t.Error(err)
	}
	if err := good.Verify(raw, []string{other.Public()}); !fail.Is(err, fail.Denied) || !strings.Contains(err.Error(), k.Public()) || !strings.Contains(err.Error(), other.Public()) {
		t.Errorf("a key that is not known: %v", err)
	}
	for i := range 8 * len(raw) {
		bad := []byte(string(raw))
		bad[i/8] ^= 1 << (i % 8)
		if err := good.Verify(bad, nil); !fail.Is(err, fail.Denied) {
			t.Fatalf("bit %d of the manifest: %v", i, err)
		}
	}
	for i := range good.Sig {
		s := good
		c := byte('A')
		if s.Sig[i] == c {
			c = 'B'
		}
		s.Sig = s.Sig[:i] + string(c) + s.Sig[i+1:]
		if err := s.Verify(raw, nil); !fail.Is(err, fail.Denied) && i < len(good.Sig)-3 {
			t.Fatalf("character %d of the signature: %v", i, err)
		}
	}
	for name, s := range map[string]Signature{"none": {}, "no key": {Sig: good.Sig}, "another's name": {Key: other.Public(), Sig: good.Sig}, "no base64": {Key: k.Public(), Sig: "?"}} {
		if err := s.Verify(raw, nil); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
