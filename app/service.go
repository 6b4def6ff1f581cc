package app

import (
	"context"

	"fettle/remote/deploy"
)

// StartService keeps a deployment running on a target. The notes say what a user should know of it.
func (a *App) StartService(ctx context.Context, target, name string, asks Asks) (st *ServiceState, notes []string, err error) {
	err = a.with(ctx, target, asks, nil, func(c *deploy.Conn) error {
		got, n, err := c.StartService(ctx, name)
		st, notes = &got, n
		return err
	})
	return st, notes, err
}

// StopService ends it.
func (a *App) StopService(ctx context.Context, target, name string, asks Asks) error {
	return a.with(ctx, target, asks, nil, func(c *deploy.Conn) error { return c.StopService(ctx, name) })
}

// Services says how the services of a target go.
func (a *App) Services(ctx context.Context, target string, asks Asks) (list []ServiceState, err error) {
	list = []ServiceState{}
	err = a.with(ctx, target, asks, nil, func(c *deploy.Conn) error {
		got, err := c.Services(ctx)
		list = append(list, got...)
		return err
	})
	return list, err
}
