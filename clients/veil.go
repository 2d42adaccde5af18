package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/veil"
)

// configuration is a pgveil as one would run it: SCRAM and TLS on both sides.
const configuration = `listen: ["127.0.0.1:0"]
database: %[1]s
policy: %[2]s
tls: {cert: %[3]s/server.crt, key: %[3]s/server.key}
server: {host: 127.0.0.1, port: %[4]d, tls: verify-full, ca: %[3]s/ca.crt, login: %[5]s, password_file: password}
auth: {method: scram}
audit: {dir: audit}
tokens: [{issuer: crm, audience: pgveil, algorithms: [HS256], key_file: %[6]s}]
key: key
log: {format: json}
`

// key is always the same, so that keyed masks are.
var key = strings.Repeat("5e", 32)

// behind makes the fixture's database anew, starts pgveil before it, with the
// fixture's policy or another, and calls use with pgveil's port.
func (s *stage) behind(ctx context.Context, fixture, policy string, use func(port int) error) error {
	if err := s.fresh(ctx, fixture); err != nil {
		return err
	}
	v, err := s.startVeil(ctx, fixture, policy)
	if err != nil {
		return err
	}
	return errors.Join(use(v.Port()), v.Stop())
}

// policy gives the fixture's own policy, a folder or a file.
func (s *stage) policy(fixture string) string {
	path := filepath.Join(s.fixture(fixture), "policy")
	if _, err := os.Stat(path); err != nil {
		path += ".yaml"
	}
	return path
}

// startVeil starts pgveil in a folder of its own.
func (s *stage) startVeil(ctx context.Context, fixture, policy string) (*veil.Veil, error) {
	dir, err := s.configure(fixture, policy)
	if err != nil {
		return nil, err
	}
	return veil.Start(ctx, s.pgveil, dir)
}

// configure writes what pgveil needs to a folder of its own.
func (s *stage) configure(fixture, policy string) (dir string, err error) {
	if dir, err = os.MkdirTemp(s.work, fixture+"-"); err != nil {
		return "", err
	}
	if policy == "" {
		policy = s.policy(fixture)
	} else {
		policy = filepath.Join(s.root, policy)
	}
	return dir, errors.Join(
		os.WriteFile(filepath.Join(dir, "pgveil.yaml"), fmt.Appendf(nil, configuration, fixture, policy, filepath.Dir(s.server.CAFile()), s.server.Port(), pgserver.Superuser, s.tokenKey()), 0o600),
		os.WriteFile(filepath.Join(dir, "key"), []byte(key), 0o600),
		os.WriteFile(filepath.Join(dir, "password"), []byte(s.server.Password()), 0o600))
}
