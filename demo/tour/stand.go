package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/demo"
	"github.com/pgveil/pgveil/internal/pgserver"
)

const (
	database  = "crm"
	customers = 2000
	seed      = 1

	// service is pgveil's own login. It reads the catalog, the verifiers of
	// passwords, and for data subject requests the data; it changes nothing but
	// the tables of its own in which it remembers.
	service         = "pgveil_service"
	servicePassword = "service-password"
)

// lead is somebody with two roles, so that no purpose is implied. The sample
// policy has no such user; a file beside its files adds one.
const (
	leadRole = `CREATE ROLE lena LOGIN PASSWORD 'lena-password' IN ROLE alice`
	leadFile = `version: 1

# A team lead who answers customers and writes the monthly report as well: she
# has to say which of the two she is doing.
users:
  lena: {roles: [support_agent, analyst], region: EU, trained_until: 2027-06-30}
`
)

// accessFile is what of the tour's policy is given by more than a password, or
// for a time, or taken away by a command.
const (
	accessRole = `CREATE ROLE dana LOGIN PASSWORD 'dana-password'`
	accessFile = `version: 1

second_factor: {classes: [account], for: 8h}

elevations:
  - {role: support_agent, to: billing, for: 30m, by: privacy_officer}
rules:
  - {role: support_agent, for: billing, on: [name, credit], show: clear}

subjects:
  contact: {table: crm.contacts, key: id, ledger: true}
roles:
  privacy_desk: {purposes: [privacy], privacy: [restrict], tables: [{on: [crm.consents], do: [select]}]}
users:
  dana: {roles: [privacy_desk]}
`
)

const serviceRole = `CREATE ROLE ` + service + ` LOGIN PASSWORD '` + servicePassword + `';
GRANT pg_read_all_data, pg_write_all_data TO ` + service + `;
GRANT SELECT ON pg_catalog.pg_authid TO ` + service + `;
GRANT CREATE ON DATABASE ` + database + ` TO ` + service

const configuration = `# What the tour runs pgveil with.
listen: ["127.0.0.1:%d"]
admin: 127.0.0.1:0
database: ` + database + `
policy: policy
key: pgveil.key
sealing: {keys: keys.json, wrapped_by: {file: keys.kek}}

server:
  host: 127.0.0.1
  port: %d
  tls: verify-full
  ca: %s
  login: ` + service + `
  password_file: service.password

auth: {method: scram}
tokens: [{issuer: crm, audience: pgveil, algorithms: [HS256], key_file: crm.key}]
audit: {dir: audit, key: audit.key, origin: demo.example/crm, checkpoint: 1s}
log: {format: json}
`

// stand is what the tour shows pgveil on: a PostgreSQL of its own that holds
// the CRM, and a folder with all that pgveil needs.
type stand struct {
	binary string // pgveil
	dir    string
	server *pgserver.Server
	proxy  *proxy
	admin  *pgx.Conn // to the server itself, around pgveil
}

// build brings everything up. What is up when it fails is for close to stop.
func (s *stand) build(ctx context.Context, port int, say func(format string, args ...any)) (err error) {
	if s.dir, err = os.MkdirTemp("", "pgveil-demo-"); err != nil {
		return err
	}
	say("starting a PostgreSQL of its own")
	if s.server, err = pgserver.Start(ctx, pgserver.Options{FastUnsafe: true, TLS: true}); err != nil {
		return err
	}
	say("loading a CRM of %d customers", customers)
	if err := s.load(ctx); err != nil {
		return err
	}
	say("making a key, and writing the configuration and the sample policy")
	if err := s.configure(ctx, port); err != nil {
		return err
	}
	say("starting pgveil serve")
	s.proxy, err = startProxy(ctx, s.binary, s.dir)
	return err
}

// load makes the database and fills it.
func (s *stand) load(ctx context.Context) error {
	first, err := pgx.Connect(ctx, s.server.DSN("postgres", pgserver.Superuser))
	if err != nil {
		return err
	}
	_, err = first.Exec(ctx, "CREATE DATABASE "+database)
	if err := errors.Join(err, first.Close(ctx)); err != nil {
		return err
	}
	if s.admin, err = pgx.Connect(ctx, s.server.DSN(database, pgserver.Superuser)); err != nil {
		return err
	}
	if err := demo.Load(ctx, s.admin.PgConn(), demo.Generate(seed, customers)); err != nil {
		return err
	}
	for _, sql := range []string{leadRole, accessRole, sealedRole, serviceRole} {
		if _, err := s.admin.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("making the logins: %w", err)
		}
	}
	return nil
}

// configure writes pgveil's folder.
func (s *stand) configure(ctx context.Context, port int) error {
	if err := os.Mkdir(s.path("policy"), 0o755); err != nil {
		return err
	}
	files := map[string]string{
		"policy/lead.yaml":   leadFile,
		"policy/access.yaml": accessFile,
		"policy/sealed.yaml": sealedFile,
		"service.password":   servicePassword,
		"pgveil.yaml":        fmt.Sprintf(configuration, port, s.server.Port(), s.server.CAFile()),
	}
	err := fs.WalkDir(demo.Policy, "policy", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := demo.Policy.ReadFile(name)
		files[name] = string(text)
		return err
	})
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"keygen", s.path("pgveil.key")},
		{"audit", "key", s.path("audit.key"), "--origin", "demo.example/crm"},
		{"token", "key", s.path("crm.key")},
		{"token", "key", s.path("forger.key")},
		{"keygen", s.path("keys.kek")},
		{"schema", "--apply", "--config", s.path("pgveil.yaml")},
		{"keys", "create", "--config", s.path("pgveil.yaml"), "supplier_account", "supplier_since"},
	} {
		if _, err := s.pgveil(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (s *stand) path(name string) string { return filepath.Join(s.dir, name) }

// amend changes a file of the policy, as an editor does: the new one takes the
// place of the old one in one step.
func (s *stand) amend(name, old, replacement string) error {
	path := s.path(name)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if strings.Count(string(text), old) != 1 {
		return fmt.Errorf("%s does not hold %q once", name, old)
	}
	fresh := path + ".new" // not .yaml: not read
	if err := os.WriteFile(fresh, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// close stops what runs and leaves nothing behind.
func (s *stand) close() error {
	var errs []error
	if s.admin != nil {
		errs = append(errs, s.admin.Close(context.Background()))
	}
	if s.proxy != nil {
		errs = append(errs, s.proxy.stop())
	}
	if s.server != nil {
		errs = append(errs, s.server.Stop())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
