// Package discover finds boards that a user may mean: hosts of ~/.ssh/config and known_hosts, and what answers in the local
// network to a question for SSH services (multicast DNS).
//
// It logs in nowhere and keeps nothing. Names from the network are words of strangers: bounded, printable, and no more than a
// proposal. Start reading at Look.
package discover

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fettle/internal/task"
	"fettle/remote/board"
	"fettle/remote/sshx"
)

// Sources of what was found.
const (
	FromConfig = "ssh config"
	FromKnown  = "known hosts"
	FromMDNS   = "local network"
)

// Found is a board that may be meant.
type Found struct {
	Address string   `json:"address"` // what target add takes, without a user where nobody says one
	Name    string   `json:"name"`
	Sources []string `json:"sources"`
	Detail  string   `json:"detail,omitempty"` // addresses, model
}

// Options say where to look. The zero value asks no network.
type Options struct {
	SSHDir string        // folder with config and known_hosts; "" leaves them out
	Home   string        // what ~ in the config is
	Known  []string      // more files like known_hosts
	MDNS   time.Duration // how long to listen for answers; 0: not at all
}

// limit bounds how many are listed.
const limit = 256

// Look gathers what is there. What cannot be read is in notes, and does not hide the rest.
func Look(ctx context.Context, o Options) (all []Found, notes []string) {
	var heard []Found
	g := task.NewGroup(ctx)
	if o.MDNS > 0 {
		g.Go("ask the local network", func(ctx context.Context) error {
			found, err := Ask(ctx, o.MDNS)
			heard = found
			return err
		})
	}
	if o.SSHDir != "" {
		cfg, err := sshx.ReadConfig(filepath.Join(o.SSHDir, "config"), o.Home)
		if err != nil {
			notes = append(notes, err.Error())
		} else {
			for _, h := range cfg.Hosts() {
				all = append(all, Found{Address: h.Alias, Name: h.Alias, Sources: []string{FromConfig}, Detail: h.Host})
			}
		}
		names, err := sshx.KnownNames(append([]string{filepath.Join(o.SSHDir, "known_hosts")}, o.Known...)...)
		if err != nil {
			notes = append(notes, err.Error())
		}
		for _, n := range names {
			all = append(all, Found{Address: n, Name: short(n), Sources: []string{FromKnown}})
		}
	}
	if err := g.Wait(); err != nil {
		notes = append(notes, err.Error())
	}
	return merge(append(all, heard...)), notes
}

// short is a name for an address: lab-pi.local:2222 gives lab-pi; numbers stay.
func short(address string) string {
	host, _, _ := strings.Cut(strings.Trim(address, "[]"), ":")
	if strings.Trim(host, "0123456789.") != "" {
		host, _, _ = strings.Cut(host, ".")
	}
	return host
}

// merge joins what two sources say of one address: by the address itself, or by the address that a host of the config has.
func merge(all []Found) []Found {
	var out []Found
	for _, f := range all {
		f.Address, f.Name, f.Detail = clean(f.Address), clean(f.Name), clean(f.Detail)
		if f.Address == "" || strings.ContainsAny(f.Address, " \t/'\"\\$`;&|<>") || strings.HasPrefix(f.Address, "-") {
			continue
		}
		i := slices.IndexFunc(out, func(g Found) bool {
			return strings.EqualFold(g.Address, f.Address) || slices.Contains(g.Sources, FromConfig) && strings.EqualFold(g.Detail, f.Address)
		})
		switch {
		case i >= 0:
			for _, s := range f.Sources {
				if !slices.Contains(out[i].Sources, s) {
					out[i].Sources = append(out[i].Sources, s)
				}
			}
			if out[i].Detail == "" {
				out[i].Detail = f.Detail
			}
		case len(out) < limit:
			out = append(out, f)
		}
	}
	return out
}

func clean(s string) string {
	s = board.Printable(s)
	if r := []rune(s); len(r) > 128 {
		s = string(r[:128])
	}
	return s
}
