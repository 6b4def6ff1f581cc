package deploy

import (
	"cmp"
	"slices"
	"strings"

	"fettle/app"
)

// version is one deployment of a board as a row.
type version struct {
	app.Deployment
	open bool   // this is the model that is open
	sha  string // short
}

// versions are the deployments of a board, by name.
func versions(s *app.State, board string) []version {
	var out []version
	sha := ""
	if s.Doc != nil {
		sha = s.Doc.SHA256
	}
	for _, d := range s.Deploys {
		if d.Target == board {
			out = append(out, version{d, sha != "" && d.SHA256 == sha, short(d.SHA256)})
		}
	}
	slices.SortStableFunc(out, func(a, b version) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(b.Version, a.Version))
	})
	return out
}

// short is a hash as it is written between other words.
func short(hash string) string {
	h := strings.TrimPrefix(hash, "sha256:")
	if len(h) <= 12 {
		return h
	}
	return h[:8] + "…" + h[len(h)-2:]
}

// part is a line of what a bundle holds. bytes < 0: not known before it is packed.
type part struct {
	name  string // a key of the translations
	bytes int64
	note  string
}

// contents are what would be deployed, from the model after the last step.
func contents(d *app.Doc) []part {
	if d == nil || d.Info == nil {
		return nil
	}
	rest := d.Info.FileBytes - d.Info.WeightBytes
	out := []part{{"weights", d.Info.WeightBytes, "only changed tensors travel"}}
	if rest >= 0 {
		out = append(out, part{"graph", rest, "nodes, names, fused operators"})
	}
	return out
}

// total is the size of the model file.
func total(d *app.Doc) int64 {
	if d == nil || d.Info == nil {
		return -1
	}
	return d.Info.FileBytes
}

// nameFor proposes a name for a deployment: that of the file, with letters a board accepts.
func nameFor(d *app.Doc) string {
	if d == nil {
		return ""
	}
	name := strings.TrimSuffix(d.Name, ".onnx")
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, name)
	name = strings.Trim(name, "-.")
	if len(name) > 64 {
		name = name[:64]
	}
	return name
}

// Stages of a deployment, in order.
const (
	pack = iota
	send
	swap
	done
)

// run is the newest deployment to a board in the list of jobs, and how far it came.
type run struct {
	job   *app.Job
	stage int
}

// sending and trying say what the job counts: bytes on their way, or how far the board's own check of the version is.
func (r *run) sending() bool { return strings.HasPrefix(r.job.What, "send ") }
func (r *run) trying() bool  { return strings.HasPrefix(r.job.What, "try: ") }

// progress finds the run of a board; nil where none is known. The total of the job is what the board lacks.
func progress(jobs []*app.Job, board string) *run {
	for i := len(jobs) - 1; i >= 0; i-- {
		j := jobs[i]
		if j.Title != "Deploy" || !strings.HasSuffix(j.Detail, board) {
			continue
		}
		r := &run{job: j}
		switch {
		case !j.Running() && j.Err == nil:
			r.stage = done
		case r.trying(), r.sending() && j.Done >= j.Total:
			r.stage = swap
		case r.sending():
			r.stage = send
		}
		return r
	}
	return nil
}

// checkName says what is wrong with a name, as a key of the translations; "": nothing.
func checkName(name string) string {
	if name == "" {
		return "a name is needed"
	}
	if len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool {
		return !(r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}) {
		return "letters, digits, dots, dashes and underscores only"
	}
	return ""
}
