package cpu

import "testing"

func TestCacheSize(t *testing.T) {
	for s, want := range map[string]int{"512K\n": 512 << 10, "2048K": 2 << 20, "": 0, "2M": 0, "-1K": 0, "xK": 0, "99999999K": 0} {
		if got := cacheSize(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}
