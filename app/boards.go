package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"fettle/internal/fail"
	"fettle/internal/task"
	"fettle/model"
	"fettle/model/onnx"
	"fettle/remote/agent"
	"fettle/remote/agentbin"
	"fettle/remote/board"
	"fettle/remote/bundle"
	"fettle/remote/deploy"
	"fettle/runtimes"
	"fettle/runtimes/native"
)

// Asks are the questions that a login may put to a person. A nil function is not asked.
type Asks struct {
	HostKey    func(ctx context.Context, q HostKeyQuestion) (bool, error)
	Accept     string // fingerprint of the host key to accept without a question
	Password   func(ctx context.Context, user, host string) (string, error)
	Passphrase func(ctx context.Context, file string) (string, error)
}

// AgentMain makes this program an agent, for "this computer" where no agent is built in. words are those after the
// program's own "agent"; it gives the exit code.
func AgentMain(self, words []string, isa string, in io.ReadCloser, out io.WriteCloser, errOut io.Writer) int {
	rt, err := native.New(isa)
	if err != nil {
		return fail.ExitCode(err)
	}
	return agent.Main(agent.Config{Version: Version, Runtimes: []runtimes.Runtime{rt}, Self: self}, words, in, out, errOut)
}

// connect reaches a target; Close of what it gives ends the connection.
func (a *App) connect(ctx context.Context, name string, asks Asks, p task.Progress) (*deploy.Conn, error) {
	if err := a.ensureHome(); err != nil {
		return nil, err
	}
	if name == "" || name == LocalTarget {
		key, err := a.signingKey()
		if err != nil {
			return nil, err
		}
		o := deploy.LocalOptions{Home: a.home, Key: key}
		if _, err := agentbin.For(localArch()); err != nil || a.own {
			o.Self = a.self
		}
		return deploy.Local(ctx, LocalTarget, o)
	}
	t, err := a.target(name)
	if err != nil {
		return nil, err
	}
	c, err := a.dial(ctx, *t, asks, p)
	if err == nil {
		a.used(*t)
	}
	return c, err
}

// used notes that a board was reached, for the order in which boards are proposed.
func (a *App) used(t Target) {
	now := time.Now().Unix()
	if now-t.Used < 60 {
		return // good enough, and the file stays as it is
	}
	_ = a.editTargets(func(list []Target) []Target { // only an order
		for i := range list {
			if list[i].Name == t.Name {
				list[i].Used = now
			}
		}
		return list
	})
}

func (a *App) dial(ctx context.Context, t Target, asks Asks, p task.Progress) (*deploy.Conn, error) {
	key, err := a.signingKey()
	if err != nil {
		return nil, err
	}
	o := deploy.Options{Home: a.home, Key: key, Accept: asks.Accept, Password: asks.Password, Passphrase: asks.Passphrase, Progress: p}
	if asks.HostKey != nil {
		o.Ask = func(ctx context.Context, q deploy.Question) (bool, error) {
			return asks.HostKey(ctx, HostKeyQuestion{Name: t.Name, Address: q.Host, KeyType: q.KeyType, Fingerprint: q.Fingerprint})
		}
	}
	return deploy.Dial(ctx, deploy.Spec{Name: t.Name, Address: t.Address, Identity: t.Identity, Jump: t.Jump}, o)
}

// with runs f on a connection to a target.
func (a *App) with(ctx context.Context, name string, asks Asks, p task.Progress, f func(c *deploy.Conn) error) error {
	c, err := a.connect(ctx, name, asks, p)
	if err != nil {
		return err
	}
	err = f(c)
	if cerr := c.Close(); err == nil && cerr != nil && !fail.Is(cerr, fail.Cancelled) {
		err = cerr
	}
	return err
}

// AddTarget reaches a board, puts the agent there and keeps the board under its name.
func (a *App) AddTarget(ctx context.Context, t Target, asks Asks) (*TargetFacts, error) {
	if err := checkTargetName(t.Name); err != nil {
		return nil, fail.In(err, "add target", fail.Where{})
	}
	if err := a.ensureHome(); err != nil {
		return nil, err
	}
	c, err := a.dial(ctx, t, asks, nil)
	if err != nil {
		return nil, err
	}
	f, err := c.Facts(ctx)
	if cerr := c.Close(); err == nil && cerr != nil && !fail.Is(cerr, fail.Cancelled) {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	t.Used = time.Now().Unix()
	return f, a.keepTarget(t)
}

// TargetFacts asks what a target is and how it is now.
func (a *App) TargetFacts(ctx context.Context, name string, asks Asks) (f *TargetFacts, err error) {
	err = a.with(ctx, name, asks, nil, func(c *deploy.Conn) (err error) {
		f, err = c.Facts(ctx)
		return err
	})
	return f, err
}

// TargetDoctor says what of a target spoils measurements or deployments.
func (a *App) TargetDoctor(ctx context.Context, name string, asks Asks) ([]TargetFinding, error) {
	f, err := a.TargetFacts(ctx, name, asks)
	if err != nil {
		return nil, err
	}
	return board.Doctor(*f), nil
}

// ForgetTarget forgets a board and the host key that was accepted for it. remove takes the agent and all deployments off
// the board first; a board that does not answer is then kept, so that nothing stays there unnoticed.
func (a *App) ForgetTarget(ctx context.Context, name string, remove bool, asks Asks) error {
	if name == LocalTarget {
		if !remove {
			return fail.New(fail.Usage, "this computer is always a target").Try("with --remove its deployments are taken away")
		}
		c, err := a.connect(ctx, name, asks, nil)
		if err != nil {
			return err
		}
		return c.RemoveAgent(ctx)
	}
	t, err := a.target(name)
	if err != nil {
		return err
	}
	if remove {
		c, err := a.dial(ctx, *t, asks, nil)
		if err != nil {
			return fail.From(err).Try("forget it without --remove: the agent stays on the board")
		}
		if err := c.RemoveAgent(ctx); err != nil {
			return errors.Join(err, c.Close())
		}
	}
	if err := deploy.Forget(deploy.Spec{Name: t.Name, Address: t.Address, Jump: t.Jump}, deploy.Options{Home: a.home}); err != nil {
		return err
	}
	return a.dropTarget(name)
}

// pack makes a deployable of a model: the very bytes that Save would write.
func pack(name string, m *model.Model) (*bundle.Bundle, error) {
	if m.Source != nil && m.Source.Format == "onnx" {
		return bundle.FromBytes(name, m.Source.Bytes)
	}
	var b bytes.Buffer
	if err := onnx.Write(&b, m); err != nil {
		return nil, fail.In(err, "pack the model", fail.Where{})
	}
	return bundle.FromBytes(name, b.Bytes())
}

// Rollback returns a deployment to the version before.
func (a *App) Rollback(ctx context.Context, target, name string, asks Asks) (*Deployment, error) {
	var out *Deployment
	err := a.with(ctx, target, asks, nil, func(c *deploy.Conn) error {
		d, err := c.Rollback(ctx, name)
		if err == nil {
			out = &Deployment{Target: target, Deployment: d}
		}
		return err
	})
	return out, err
}

// Deployments lists what is deployed on a board.
func (a *App) Deployments(ctx context.Context, target string, asks Asks) ([]Deployment, error) {
	out := []Deployment{}
	err := a.with(ctx, target, asks, nil, func(c *deploy.Conn) error {
		list, err := c.List(ctx)
		for _, d := range list {
			out = append(out, Deployment{Target: target, Deployment: d})
		}
		return err
	})
	return out, err
}

// RemoveDeployment takes a deployment off a board and gives the bytes that are free again.
func (a *App) RemoveDeployment(ctx context.Context, target, name string, asks Asks) (freed int64, err error) {
	err = a.with(ctx, target, asks, nil, func(c *deploy.Conn) (err error) {
		freed, err = c.Remove(ctx, name)
		return err
	})
	return freed, err
}
