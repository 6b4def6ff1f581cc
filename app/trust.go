package app

import (
	"context"
	"path/filepath"

	"fettle/remote/bundle"
	"fettle/remote/deploy"
)

// signingKey is this user's key for what is deployed, made on first use.
func (a *App) signingKey() (*bundle.Key, error) {
	if err := a.ensureHome(); err != nil {
		return nil, err
	}
	return bundle.OpenKey(filepath.Join(a.home, "signing.key"))
}

// SigningKey is the public half: what a board has to trust.
func (a *App) SigningKey() (string, error) {
	k, err := a.signingKey()
	if err != nil {
		return "", err
	}
	return k.Public(), nil
}

// Trust has a board take deployments signed by key, or with drop no longer take them. Without a key it lists those that the
// board trusts. The first signed deployment makes its key a trusted one.
func (a *App) Trust(ctx context.Context, target, key string, drop bool, asks Asks) (keys []string, err error) {
	err = a.with(ctx, target, asks, nil, func(c *deploy.Conn) error {
		keys, err = c.Trust(ctx, key, drop)
		return err
	})
	return keys, err
}
