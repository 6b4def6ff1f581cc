package jobs

import (
	"time"

	"fettle/app"
	"fettle/internal/fail"
	"fettle/views/kit"
)

// row is a job as the panel shows it; texts are keys of the translations where a user wrote none of them.
type row struct {
	ID       int64
	Title    string
	Detail   string
	What     string
	Time     string
	Icon     string
	Token    string
	Progress float64 // 0 to 1; below zero: not known
	Running  bool
	Failed   string
	Err      *fail.Error
}

// rowsOf lists jobs, newest first, running ones on top.
func rowsOf(jobs []*app.Job, now time.Time) []row {
	var running, ended []row
	for i := len(jobs) - 1; i >= 0; i-- {
		j := jobs[i]
		r := row{ID: j.ID, Title: j.Title, Detail: j.Detail, What: j.What, Running: j.Running(), Progress: -1}
		switch {
		case j.Running():
			r.Icon, r.Token = "play", "primary"
			d := now.Sub(j.Started)
			r.Time = kit.Elapsed(d)
			if j.Total > 0 {
				r.Progress = min(float64(j.Done)/float64(j.Total), 1)
				// An estimate from the first percents would only jump.
				if r.Progress > 0.05 && r.Progress < 1 && d > 2*time.Second {
					r.Time += " · ~" + kit.Elapsed(time.Duration(float64(d)*(1-r.Progress)/r.Progress))
				}
			}
			running = append(running, r)
			continue
		case j.Err != nil && j.Err.Kind == "cancelled":
			r.Icon, r.Token, r.What = "stop", "text3", "stopped"
		case j.Err != nil:
			r.Icon, r.Token, r.Failed, r.Err = "error", "danger", j.Err.Error(), j.Err
		default:
			r.Icon, r.Token, r.What = "check", "success", ""
		}
		r.Time = kit.Elapsed(j.Ended.Sub(j.Started))
		ended = append(ended, r)
	}
	return append(running, ended...)
}
