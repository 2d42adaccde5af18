package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// vaultRenewed is how often passwords in a vault are looked at.
const vaultRenewed = time.Minute

// serverLogin is one way to log in to the server for clients, at work.
type serverLogin struct {
	config.ServerLogin
	client *http.Client // of the vault
	secret atomic.Pointer[auth.Secret]
}

// serverLogins is all of them, in the order of the configuration.
type serverLogins []*serverLogin

// newServerLogins reads every password, wherever it is. One that cannot be read
// is an error: there is none to go on with yet.
func newServerLogins(ctx context.Context, list []config.ServerLogin) (serverLogins, error) {
	var all serverLogins
	for _, l := range list {
		s := &serverLogin{ServerLogin: l}
		if l.Vault != nil {
			var err error
			if s.client, err = keyClient(l.Vault.CA); err != nil {
				return nil, fmt.Errorf("server.logins: vault.ca: %w", err)
			}
		}
		all = append(all, s)
	}
	return all, all.renew(ctx, func(*serverLogin) bool { return true })
}

// renew reads passwords again. What cannot be read stays as it was, and the
// error says which.
func (all serverLogins) renew(ctx context.Context, which func(*serverLogin) bool) error {
	var errs []error
	for i, l := range all {
		if !which(l) {
			continue
		}
		if err := l.renew(ctx); err != nil {
			errs = append(errs, fmt.Errorf("server.logins[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

func (l *serverLogin) renew(ctx context.Context) error {
	password, err := l.read(ctx)
	if err != nil {
		return err
	}
	if password == "" && (l.Password != "" || l.Env != "" || l.Vault != nil) {
		return errors.New("the password is empty")
	}
	secret := auth.PasswordSecret(password)
	l.secret.Store(&secret)
	return nil
}

// read gives the password from where the configuration says that it is; "" when
// it names no place.
func (l *serverLogin) read(ctx context.Context) (string, error) {
	switch {
	case l.Password != "":
		text, err := readSecret(l.Password)
		return strings.TrimRight(text, "\r\n"), err
	case l.Env != "":
		return os.Getenv(l.Env), nil
	case l.Vault != nil:
		return l.ask(ctx)
	default:
		return "", nil
	}
}

// ask reads a field of a secret from Vault. The token is read anew each time:
// an agent beside pgveil may renew it.
func (l *serverLogin) ask(ctx context.Context) (string, error) {
	v := l.Vault
	bearer, err := readSecret(v.Token)
	if err != nil {
		return "", fmt.Errorf("vault.token_file: %w", err)
	}
	headers := map[string]string{"X-Vault-Token": strings.TrimSpace(bearer), "X-Vault-Request": "true"}
	if v.Namespace != "" {
		headers["X-Vault-Namespace"] = v.Namespace
	}
	address := strings.TrimSuffix(v.Address, "/") + "/v1/" + strings.TrimPrefix(v.Path, "/")
	text, err := get(ctx, l.client, address, headers)
	if err != nil {
		return "", fmt.Errorf("vault: %w", err)
	}
	var doc struct {
		Data struct {
			Data map[string]any `json:"data"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return "", fmt.Errorf("vault: %s: not a secret of version 2", address)
	}
	password, ok := doc.Data.Data[v.Field].(string)
	if !ok {
		return "", fmt.Errorf("vault: %s has no text %q", address, v.Field)
	}
	return password, nil
}

// keepFresh looks at vaults on a timer until the context ends.
func (all serverLogins) keepFresh(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(vaultRenewed)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := all.renew(ctx, func(l *serverLogin) bool { return l.Vault != nil }); err != nil && ctx.Err() == nil {
			log.Error("passwords not renewed: those in force stay in force", "err", err)
		}
	}
}

// credential is a [proxy.Credentials].
func (all serverLogins) credential(login, database string) (*proxy.Credential, error) {
	for _, l := range all {
		if !l.Fits(login, database) {
			continue
		}
		c := &proxy.Credential{Login: l.As, Secret: *l.secret.Load(), SetRole: l.SetRole}
		if l.As == config.Same {
			c.Login = ""
		}
		return c, nil
	}
	return nil, nil
}
