package app

import (
	"context"
	"sync"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
)

// Studio is the document loop: the one goroutine that owns the State. Views send commands with Do and get published
// states through Subscribe; slow work runs as jobs whose results come back as commands.
type Studio struct {
	app    *App
	group  *task.Group
	inbox  chan func(*State)
	passes []PassInfo

	mu   sync.Mutex
	now  *State
	subs []func(*State)

	boards boardService
	asking chan struct{} // held while a question is shown

	// Only the loop's goroutine touches these.
	cancel   map[int64]context.CancelFunc // of running jobs
	nextID   int64
	first    string            // screen that the first model opened leads to; "": as always
	applyJob int64             // that derives the revision at the cursor, 0: none
	answer   chan reply        // to the question that is shown, nil: none
	secrets  map[string]string // passwords and passphrases that were typed, by board or key file
	lost     *fail.Error       // of a subscriber, for the log of the next state
}

// boardService is what the studio needs of boards: App, and a double in tests.
type boardService interface {
	AddTarget(ctx context.Context, t Target, asks Asks) (*TargetFacts, error)
	TargetFacts(ctx context.Context, name string, asks Asks) (*TargetFacts, error)
	ForgetTarget(ctx context.Context, name string, remove bool, asks Asks) error
	Deploy(ctx context.Context, q DeployRequest) (*Deployment, error)
	Rollback(ctx context.Context, target, name string, asks Asks) (*Deployment, error)
	Deployments(ctx context.Context, target string, asks Asks) ([]Deployment, error)
	RemoveDeployment(ctx context.Context, target, name string, asks Asks) (int64, error)
	Profile(ctx context.Context, q ProfileRequest) (*Profile, error)
	ComparePaired(ctx context.Context, q PairedRequest) (*Paired, error)
	Lease(ctx context.Context, target string, asks Asks) (*LeaseInfo, error)
	RequestLease(ctx context.Context, target string, asks Asks) error
	TakeLease(ctx context.Context, target string, asks Asks) error
	MeasureNoise(ctx context.Context, q ProfileRequest) (*NoiseFloor, error)
	AddBoard(ctx context.Context, t Target, o FirstOptions, asks Asks) (*First, error)
	TargetFactsAndSpeed(ctx context.Context, name string, asks Asks) (*TargetFacts, error)
	FixTarget(ctx context.Context, target, fix string, p task.Progress, asks Asks) (*FixRecord, error)
	FixLog(target string) ([]FixRecord, error)
	Trust(ctx context.Context, target, key string, drop bool, asks Asks) ([]string, error)
	SigningKey() (string, error)
	StartService(ctx context.Context, target, name string, asks Asks) (*ServiceState, []string, error)
	StopService(ctx context.Context, target, name string, asks Asks) error
	Services(ctx context.Context, target string, asks Asks) ([]ServiceState, error)
}

// NewStudio starts the loop. Close ends it and every job.
func (a *App) NewStudio(ctx context.Context) *Studio {
	s := &Studio{app: a, group: task.NewGroup(ctx), inbox: make(chan func(*State), 64), passes: a.Passes(), boards: a,
		asking: make(chan struct{}, 1), cancel: map[int64]context.CancelFunc{}, secrets: map[string]string{}}
	s.now = &State{Screen: "start", Settings: a.loadSettings(), Recent: a.loadRecent(), Boards: a.loadBoards(), Samples: a.Samples()}
	s.group.Go("studio", s.loop)
	return s
}

// Close cancels all jobs and waits for them.
func (s *Studio) Close() error {
	s.group.Cancel()
	return s.group.Wait()
}

// Done is closed when the studio ends.
func (s *Studio) Done() <-chan struct{} { return s.group.Context().Done() }

// State is the latest published state.
func (s *Studio) State() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Subscribe calls f with every new state, from the loop's goroutine: f must hand it on and return.
func (s *Studio) Subscribe(f func(*State)) {
	s.mu.Lock()
	s.subs = append(s.subs, f)
	now := s.now
	s.mu.Unlock()
	f(now)
}

func (s *Studio) loop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case edit := <-s.inbox:
			s.apply(edit)
		}
	}
}

// apply makes the next state from a copy; a command that panics leaves the old one.
func (s *Studio) apply(edit func(*State)) {
	next := *s.now
	next.Seq++
	if s.lost != nil {
		next.log(LogLine{At: time.Now(), Text: "Show a state", Err: s.lost})
		s.lost = nil
	}
	if err := task.Safely("command", func() error { edit(&next); return nil }); err != nil {
		next = *s.now
		next.Seq++
		s.notify(&next, err)
	}
	s.mu.Lock()
	s.now = &next
	subs := append([]func(*State){}, s.subs...)
	s.mu.Unlock()
	for _, f := range subs {
		// A bug in who looks on must not end the document. It shows with the next state: publishing again could repeat it.
		if err := task.Safely("show a state", func() error { f(&next); return nil }); err != nil {
			s.lost = fail.From(err)
		}
	}
}

// edit queues a change of the state. It never blocks for long: the loop only copies and assigns.
func (s *Studio) edit(f func(*State)) {
	select {
	case s.inbox <- f:
	case <-s.group.Context().Done():
	}
}

func (s *Studio) notify(st *State, err error) {
	s.nextID++
	st.Notices = append(append([]*Notice(nil), st.Notices...), &Notice{ID: s.nextID, Err: fail.From(err)})
	if n := len(st.Notices); n > 5 {
		st.Notices = st.Notices[n-5:]
	}
}

// Report shows an error of the window itself.
func (s *Studio) Report(err error) { s.fail(err) }

// fail shows an error.
func (s *Studio) fail(err error) {
	if err == nil || fail.Is(err, fail.Cancelled) {
		return
	}
	s.edit(func(st *State) { s.notify(st, err) })
}

// sayFor is how long good news stay; errors stay until they are closed.
const sayFor = 5 * time.Second

// say shows good news; text is a format and a key of the translations.
func (s *Studio) say(text string, args ...any) {
	s.edit(func(st *State) {
		s.nextID++
		id := s.nextID
		st.Notices = append(append([]*Notice(nil), st.Notices...), &Notice{ID: id, Text: text, Args: args})
		s.group.Go("notice", func(ctx context.Context) error {
			select {
			case <-time.After(sayFor):
				s.CloseNotice(id)
			case <-ctx.Done():
			}
			return nil
		})
	})
}

// CloseNotice removes a notice.
func (s *Studio) CloseNotice(id int64) {
	s.edit(func(st *State) {
		var keep []*Notice
		for _, n := range st.Notices {
			if n.ID != id {
				keep = append(keep, n)
			}
		}
		st.Notices = keep
	})
}

// job starts slow work. work gets a context that CancelJob ends and a progress to report to; it changes the state only
// through edit.
func (s *Studio) job(title, detail string, work func(ctx context.Context, p task.Progress) error) {
	s.edit(func(st *State) { s.begin(st, title, detail, work) })
}

// begin is job for the loop's own goroutine; it gives the job's id.
func (s *Studio) begin(st *State, title, detail string, work func(ctx context.Context, p task.Progress) error) int64 {
	s.nextID++
	id := s.nextID
	ctx, cancel := context.WithCancel(s.group.Context())
	s.cancel[id] = cancel
	st.Jobs = append(recentJobs(st.Jobs), &Job{ID: id, Title: title, Detail: detail, Started: time.Now()})
	st.log(LogLine{At: time.Now(), Text: title, Args: detail})
	s.group.Go(title, func(context.Context) error {
		defer cancel()
		var last time.Time
		err := task.Safely(title, func() error {
			return work(ctx, func(done, total int64, what string) {
				if t := time.Now(); t.Sub(last) > progressEvery || done == total {
					last = t
					s.edit(func(st *State) { s.update(st, id, func(j *Job) { j.Done, j.Total, j.What = done, total, what }) })
				}
			})
		})
		s.edit(func(st *State) { s.end(st, id, err) })
		return nil // the window lives on
	})
	return id
}

// progressEvery bounds how often a job redraws the window: it must not disturb a measurement on the same computer.
const progressEvery = 100 * time.Millisecond

// end closes a job. A failure is shown; a job that was stopped on request says so in its row only.
func (s *Studio) end(st *State, id int64, err error) {
	delete(s.cancel, id)
	s.update(st, id, func(j *Job) {
		j.Ended = time.Now()
		if err != nil {
			j.Err = fail.From(err)
			st.log(LogLine{At: j.Ended, Text: j.Title, Args: j.Detail, Err: j.Err})
		}
	})
	if err != nil && !fail.Is(err, fail.Cancelled) {
		s.notify(st, err)
	}
}

// log appends a line; the oldest go.
func (st *State) log(l LogLine) {
	st.Log = append(append([]LogLine(nil), st.Log...), l)
	if n := len(st.Log); n > logLimit {
		st.Log = st.Log[n-logLimit:]
	}
}

const logLimit = 500

// recentJobs drops the oldest ended jobs so that the panel stays short.
func recentJobs(jobs []*Job) []*Job {
	out := append([]*Job(nil), jobs...)
	for len(out) > 20 {
		cut := -1
		for i, j := range out {
			if !j.Running() {
				cut = i
				break
			}
		}
		if cut < 0 {
			break
		}
		out = append(out[:cut], out[cut+1:]...)
	}
	return out
}

// update replaces a job by a changed copy.
func (s *Studio) update(st *State, id int64, f func(*Job)) {
	jobs := append([]*Job(nil), st.Jobs...)
	for i, j := range jobs {
		if j.ID == id {
			c := *j
			f(&c)
			jobs[i] = &c
		}
	}
	st.Jobs = jobs
}

// CancelJob asks a job to stop.
func (s *Studio) CancelJob(id int64) {
	s.edit(func(*State) {
		if c := s.cancel[id]; c != nil {
			c()
		}
	})
}
