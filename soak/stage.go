package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
)

const configuration = `listen: ["127.0.0.1:0"]
admin: 127.0.0.1:0
database: shop
policy: policy.yaml
tls: {cert: %[1]s/server.crt, key: %[1]s/server.key}
server: {host: 127.0.0.1, port: %[2]d, tls: verify-full, ca: %[1]s/ca.crt, login: %[3]s, password_file: password}
audit: {dir: audit}
key: key
sealing: {keys: keys.json, wrapped_by: {file: kek}}
limits: {plan_cache: 4194304}
`

// stage is a server and a pgveil in front of it.
type stage struct {
	server      *pgserver.Server
	work        string // configuration, policy, log
	pgveil      string
	policy      []byte
	cmd         *exec.Cmd
	addr, admin string
}

func newStage(ctx context.Context, pgveil string) (s *stage, err error) {
	s = &stage{}
	if s.pgveil, err = filepath.Abs(pgveil); err != nil {
		return nil, err
	}
	if s.work, err = os.MkdirTemp("", "pgveil-soak-"); err != nil {
		return nil, err
	}
	s.server, err = pgserver.Start(ctx, pgserver.Options{FastUnsafe: true, TLS: true, Settings: map[string]string{"autovacuum": "on"}})
	if err == nil {
		err = s.load(ctx)
	}
	if err == nil {
		err = s.start()
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// load makes the shop, and a table for whom nothing is kept from.
func (s *stage) load(ctx context.Context) error {
	if err := s.exec(ctx, "postgres", "CREATE DATABASE shop"); err != nil {
		return err
	}
	fixture := filepath.Join("testdata", "fixtures", "shop")
	for _, file := range []string{"schema.sql", "roles.sql", "rows.sql"} {
		text, err := os.ReadFile(filepath.Join(fixture, file))
		if err == nil {
			err = s.exec(ctx, "shop", string(text))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	policy, err := os.ReadFile(filepath.Join(fixture, "policy.yaml"))
	s.policy = []byte(withVault(string(policy)))
	return errors.Join(err, s.exec(ctx, "shop", "CREATE TABLE scratch (n int, about text); GRANT ALL ON scratch TO PUBLIC; "+vaultSchema))
}

func (s *stage) exec(ctx context.Context, database, sql string) error {
	conn, err := pgx.Connect(ctx, s.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

func (s *stage) logFile() string { return filepath.Join(s.work, "pgveil.log") }

// start starts pgveil and waits until it says where it listens.
func (s *stage) start() error {
	files := map[string]string{
		"pgveil.yaml": fmt.Sprintf(configuration, filepath.Dir(s.server.CAFile()), s.server.Port(), pgserver.Superuser),
		"key":         strings.Repeat("5e", 32), "kek": strings.Repeat("6b", 32), "password": s.server.Password(), "policy.yaml": string(s.policy),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.work, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := errors.Join(s.command("schema", "--apply"), s.keys("create", "vault_ssn", "vault_iban", "vault_born", "vault_income")); err != nil {
		return err
	}
	log, err := os.Create(s.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(s.pgveil, "serve", "--config", filepath.Join(s.work, "pgveil.yaml"))
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	return s.find()
}

// command runs a command of pgveil's that takes the configuration.
func (s *stage) command(args ...string) error {
	if out, err := exec.Command(s.pgveil, append(args, "--config", filepath.Join(s.work, "pgveil.yaml"))...).CombinedOutput(); err != nil {
		return fmt.Errorf("pgveil %s: %w\n%s", args[0], err, out)
	}
	return nil
}

var addresses = regexp.MustCompile(`msg=(listening|admin) address=(\S+)`)

func (s *stage) find() error {
	late := time.After(20 * time.Second)
	for tick := time.Tick(20 * time.Millisecond); ; {
		text, err := os.ReadFile(s.logFile())
		if err != nil {
			return err
		}
		found := addresses.FindAllSubmatch(text, -1)
		for _, m := range found {
			if string(m[1]) == "admin" {
				s.admin = string(m[2])
			} else {
				s.addr = string(m[2])
			}
		}
		if s.admin != "" && s.addr != "" {
			return nil
		}
		select {
		case <-tick:
		case <-late:
			return fmt.Errorf("pgveil does not start:\n%s", text)
		}
	}
}

// stop ends pgveil, reads its log for what somebody would have to act on, and
// verifies the access log.
func (s *stage) stop() error {
	err := s.end()
	text, readErr := os.ReadFile(s.logFile())
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "level=ERROR") {
			err = errors.Join(err, fmt.Errorf("pgveil says: %s", line))
		}
	}
	out, verifyErr := exec.Command(s.pgveil, "audit", "verify", "--dir", filepath.Join(s.work, "audit")).CombinedOutput()
	fmt.Printf("access log: %s", out)
	return errors.Join(err, readErr, verifyErr)
}

func (s *stage) end() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	late := time.AfterFunc(40*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
}

func (s *stage) close() error {
	err := s.end()
	if s.server != nil {
		err = errors.Join(err, s.server.Stop())
	}
	return errors.Join(err, os.RemoveAll(s.work))
}
