package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy/auth"
)

// verifiers gives where the verifiers of scram are looked up.
func (p *process) verifiers() (auth.Lookup, error) {
	if p.cfg.Auth.Verifiers == config.OfServer {
		return p.verify.Lookup, nil
	}
	users, err := readUsers(p.cfg.Auth.Users)
	if err != nil {
		return nil, err
	}
	p.users.Store(&users)
	var file auth.Lookup = func(ctx context.Context, user string) (auth.Verifier, error) {
		return p.users.Load().Lookup(ctx, user)
	}
	if p.cfg.Auth.Verifiers == config.OfFileThenServer {
		return file.Else(p.verify.Lookup), nil
	}
	return file, nil
}

func readUsers(path string) (auth.Users, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("auth.users: %w", err)
	}
	users, err := auth.ParseUsers(text)
	if err != nil {
		return nil, fmt.Errorf("auth.users: %s: %w", path, err)
	}
	return users, nil
}

// reloadUsers puts the users file in force as it now is, for logins from now
// on. One with a mistake in it leaves the old one in force.
func (p *process) reloadUsers() {
	if p.users.Load() == nil {
		return
	}
	users, err := readUsers(p.cfg.Auth.Users)
	if err != nil {
		p.log.Error("users not reloaded: those in force stay in force", "err", err)
		return
	}
	p.users.Store(&users)
	p.log.Info("users in force", "users", len(users))
}

// readSecret reads a file that only its owner may read.
func readSecret(path string) (text string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s may be read by others: chmod 600 it", path)
	}
	all, err := io.ReadAll(f)
	return string(all), err
}
