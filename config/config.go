// Package config is the process's own file, pgveil.yaml: where to listen, which
// server to relay to, where keys and the log are. It knows no behaviour; what
// may be seen is the policy's business.
//
// A file is read whole and strictly: an unknown key is an error, and every
// problem is reported at once. Paths are relative to the file.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Config is a valid configuration. Callers must not change it.
type Config struct {
	Listen   []string `yaml:"listen"`      // host:port, unix:/path, or unix:@name
	Mode     string   `yaml:"socket_mode"` // permissions of unix sockets, octal
	Overlap  bool     `yaml:"overlap"`     // another process may start with the same file while this one ends
	TLS      *TLS     `yaml:"tls"`         // towards clients; absent: in clear
	Admin    string   `yaml:"admin"`       // host:port of metrics and health; absent: none
	API      *API     `yaml:"api"`         // commands about data subjects and sessions over HTTP; absent: none
	Pprof    bool     `yaml:"pprof"`       // profiles on the admin address; they hold what is in memory
	Database string   `yaml:"database"`    // the database that the policy is for
	Policy   string   `yaml:"policy"`      // folder or file
	Server   Server   `yaml:"server"`
	Auth     Auth     `yaml:"auth"`
	Tokens   []Token  `yaml:"tokens"` // whose signed tokens count
	Audit    Audit    `yaml:"audit"`
	Key      string   `yaml:"key"`      // file with the secret that keyed masks are made with
	Counters Counters `yaml:"counters"` // where what the policy's limits count is kept
	Alerts   Alerts   `yaml:"alerts"`
	Limits   Limits   `yaml:"limits"`
	Log      Log      `yaml:"log"`

	DSAR DSAR `yaml:"dsar"` // requests of data subjects

	Sealing *Sealing `yaml:"sealing"` // the keys of sealed columns; absent: there are none

	Retention *Retention `yaml:"retention_schedule"` // absent: nothing is removed but by who asks for it

	Doors *SideDoors `yaml:"side_doors"` // connections around pgveil; absent: nobody looks for them

	File string `yaml:"-"` // where it was read from
}

// TLS names a certificate and its key, both PEM.
type TLS struct {
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	Optional bool   `yaml:"optional"`     // connections in clear are let in as well
	ClientCA string `yaml:"client_ca"`    // PEM file with who signs clients' certificates; absent: none are asked for
	Clients  string `yaml:"client_certs"` // optional, verify-ca or verify-full
	CRL      Words  `yaml:"crl"`          // files of revocation lists; absent: nothing is revoked

	CertUsers []CertUser `yaml:"cert_users"` // whose certificates are; absent: whom the common name says
}

// Server is the PostgreSQL server behind the proxy.
type Server struct {
	Host     Hosts         `yaml:"host"` // where it is: see Hosts
	Port     int           `yaml:"port"` // of hosts that name none
	Target   string        `yaml:"target_session_attrs"`
	Balance  string        `yaml:"load_balance"`    // disable or random
	Timeout  time.Duration `yaml:"connect_timeout"` // of each host, up to its first answer
	Keep     int           `yaml:"keep_after"`      // how often an unnamed statement comes until the server keeps it; 0: never
	TLS      string        `yaml:"tls"`             // verify-full, verify-ca, require or disable
	Direct   bool          `yaml:"tls_direct"`      // TLS from the first byte
	CA       string        `yaml:"ca"`              // PEM file; absent: the system's roots
	Cert     string        `yaml:"cert"`            // pgveil's own certificate, where the server wants one
	Key      string        `yaml:"key"`             // and its key
	Login    string        `yaml:"login"`           // pgveil's own, to read the catalog (and, with scram, the verifiers)
	Password string        `yaml:"password_file"`   // of that login; absent: none is needed
	Logins   []ServerLogin `yaml:"logins"`          // in place of clients' own proofs
}

// Auth says how clients prove who they are.
type Auth struct {
	Method string `yaml:"method"` // scram, passthrough, trust, oidc or oauth; absent, and without rules: scram
	Rules  []Rule `yaml:"rules"`  // in place of method
	Query  string `yaml:"query"`  // of scram: gives the verifier of login $1

	Users     string        `yaml:"users"`     // file with verifiers; absent: none
	Verifiers string        `yaml:"verifiers"` // where those of scram are: file, server or file-then-server
	Keep      time.Duration `yaml:"keep"`      // how long what the server said of a login counts
	Guard     Guard         `yaml:"guard"`     // against guessing

	AppendedCode bool `yaml:"appended_code"` // of passthrough: users with a second factor write a code behind their password
}

// Limits bound what clients can make the process hold, and how long it waits.
type Limits struct {
	LoginTimeout    time.Duration `yaml:"login_timeout"`
	Unauthenticated int           `yaml:"unauthenticated"`             // connections that are not logged in
	PerAddress      int           `yaml:"unauthenticated_per_address"` // of those, from one address; 0: as many
	Drain           time.Duration `yaml:"drain"`                       // how long a shutdown waits for transactions
	Refresh         time.Duration `yaml:"refresh"`                     // how often the catalog is looked at
	PlanCache       int           `yaml:"plan_cache"`                  // bytes of statements and plans kept
	Loops           int           `yaml:"loops"`                       // goroutines that relay sessions; 0: half as many as processors
}

// Log says what the process tells of itself, on standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// maxLoops is more than any machine has use for.
const maxLoops = 1024

func defaults() Config {
	return Config{
		Mode:   "0700",
		Server: Server{Port: 5432, TLS: "verify-full", Target: "any", Balance: "disable", Timeout: 10 * time.Second, Keep: 5},
		Auth:   Auth{Keep: time.Second, Guard: defaultGuard()},
		Audit:  Audit{Durability: "intent", Subjects: true, Checkpoint: 10 * time.Second},
		Alerts: defaultAlerts(),
		Limits: Limits{LoginTimeout: time.Minute, Unauthenticated: 200, PerAddress: 100, Drain: 30 * time.Second, Refresh: time.Minute, PlanCache: 64 << 20},
		Log:    Log{Level: "info", Format: "text"},
	}
}

// Load reads and checks a file.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c := defaults()
	if err := yaml.Load(text, &c, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.takeEmpty(text)
	c.File = path
	c.resolve(filepath.Dir(path))
	if c.Audit.Table != nil {
		c.Audit.Table.complete()
	}
	if c.Counters.Valkey != nil {
		c.Counters.Valkey.complete()
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.Auth.complete()
	return &c, nil
}

// takeEmpty makes lists with nothing behind their keys, as when every line of
// them is commented out, empty lists: they must not be taken for absent.
func (c *Config) takeEmpty(text []byte) {
	var raw struct {
		Auth map[string]any `yaml:"auth"`
		TLS  map[string]any `yaml:"tls"`
		API  map[string]any `yaml:"api"`
	}
	var top map[string]any
	if err := errors.Join(yaml.Load(text, &raw), yaml.Load(text, &top)); err != nil {
		return // it was read into c without one
	}
	if _, says := top["side_doors"]; says && c.Doors == nil {
		c.Doors = &SideDoors{}
	}
	if _, says := top["retention_schedule"]; says && c.Retention == nil {
		c.Retention = &Retention{}
	}
	if _, says := raw.Auth["rules"]; says && c.Auth.Rules == nil {
		c.Auth.Rules = []Rule{}
	}
	if _, says := raw.TLS["cert_users"]; says && c.TLS.CertUsers == nil {
		c.TLS.CertUsers = []CertUser{}
	}
	if _, says := raw.API["cert_users"]; says && c.API.CertUsers == nil {
		c.API.CertUsers = []CertUser{}
	}
}

// resolve makes paths relative to the file's folder.
func (c *Config) resolve(dir string) {
	paths := []*string{&c.Policy, &c.Key, &c.Server.CA, &c.Server.Cert, &c.Server.Key, &c.Server.Password, &c.Auth.Users}
	paths = append(append(append(paths, c.tokenPaths()...), c.Server.loginPaths()...), c.Audit.paths()...)
	paths = append(paths, c.Counters.paths()...)
	paths = append(paths, c.Alerts.paths()...)
	paths = append(paths, c.DSAR.paths()...)
	paths = append(paths, c.Sealing.paths()...)
	if c.TLS != nil {
		paths = append(paths, &c.TLS.Cert, &c.TLS.Key, &c.TLS.ClientCA)
		for i := range c.TLS.CRL {
			paths = append(paths, &c.TLS.CRL[i])
		}
	}
	if c.API != nil {
		paths = append(paths, c.API.paths()...)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	for i, a := range c.Listen {
		if path, ok := strings.CutPrefix(a, unixPrefix); ok && path != "" && path[0] != '@' && !filepath.IsAbs(path) {
			c.Listen[i] = unixPrefix + filepath.Join(dir, path)
		}
	}
}

// validate gives every problem, each with its key.
func (c *Config) validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	required := func(key, value string) {
		if value == "" {
			bad(key, "is missing")
		}
	}
	oneOf := func(key, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			bad(key, "%q is not one of %s", value, strings.Join(allowed, ", "))
		}
	}
	if len(c.Listen) == 0 {
		bad("listen", "is missing: give an address like 127.0.0.1:6432")
	}
	for _, a := range c.Listen {
		if _, _, err := Network(a); err != nil {
			bad("listen", "%v", err)
		}
	}
	if _, err := c.SocketMode(); err != nil {
		bad("socket_mode", "%v", err)
	}
	if c.API != nil {
		c.API.validate(bad)
	}
	if c.Admin != "" {
		if _, _, err := net.SplitHostPort(c.Admin); err != nil {
			bad("admin", "%v", err)
		}
	}
	required("database", c.Database)
	required("policy", c.Policy)
	required("server.host", strings.Join(c.Server.Host, ""))
	required("server.login", c.Server.Login)
	required("audit.dir", c.Audit.Dir)
	required("key", c.Key)
	oneOf("server.tls", c.Server.TLS, "verify-full", "verify-ca", "require", "disable")
	oneOf("server.target_session_attrs", c.Server.Target, "any", "read-write", "read-only", "primary", "standby", "prefer-standby")
	oneOf("server.load_balance", c.Server.Balance, "disable", "random")
	c.Auth.validate(bad)
	c.validateRules(bad)
	c.Audit.validate(bad)
	c.Counters.validate(bad)
	c.Alerts.validate(bad)
	c.DSAR.validate(bad)
	c.Sealing.validate(bad)
	c.validateRetention(bad)
	oneOf("audit.durability", c.Audit.Durability, "intent", "relaxed")
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	if c.TLS != nil {
		required("tls.cert", c.TLS.Cert)
		required("tls.key", c.TLS.Key)
		c.TLS.validate(bad)
	}
	c.Doors.validate(bad)
	c.Server.validate(bad)
	c.Server.validateLogins(bad)
	c.validateTokens(bad)
	c.validateMethods(bad)
	c.validateProofs(bad)
	if c.Limits.LoginTimeout <= 0 || c.Limits.Unauthenticated <= 0 || c.Limits.Refresh <= 0 || c.Limits.PlanCache <= 0 || c.Limits.Drain < 0 || c.Limits.PerAddress < 0 {
		bad("limits", "must be positive")
	}
	if c.Limits.Loops < 0 || c.Limits.Loops > maxLoops {
		bad("limits.loops", "%d is not a number from 0 to %d", c.Limits.Loops, maxLoops)
	}
	return errors.Join(errs...)
}

// validate checks where the server is and how it is reached.
func (s *Server) validate(bad func(key, format string, args ...any)) {
	if s.Port < 1 || s.Port > 65535 {
		bad("server.port", "%d is not a port", s.Port)
	}
	if _, err := s.Hosts(); err != nil && len(s.Host) > 0 {
		bad("server.host", "%v", err)
	}
	if s.Timeout <= 0 {
		bad("server.connect_timeout", "must be positive")
	}
	if s.Keep < 0 {
		bad("server.keep_after", "must not be negative")
	}
	if (s.Cert == "") != (s.Key == "") {
		bad("server.cert", "and server.key go together")
	}
	if s.TLS == "disable" && (s.Direct || s.Cert != "") {
		bad("server.tls", "disable leaves no use for tls_direct and cert")
	}
}
