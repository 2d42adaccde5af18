package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const countersBase = `
listen: [127.0.0.1:6432]
database: crm
policy: policy
server: {host: db, login: pgveil}
audit: {dir: log}
key: key
`

func loadCounters(t *testing.T, section string) (*Config, string, error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "pgveil.yaml")
	if err := os.WriteFile(path, []byte(countersBase+section), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	return c, dir, err
}

func TestCounters(t *testing.T) {
	c, dir, err := loadCounters(t, "")
	if err != nil || c.CountersFile() != filepath.Join(dir, "log", "limits.journal") {
		t.Errorf("without a section: %v, %v", c, err)
	}
	c, dir, err = loadCounters(t, "counters: {file: counts}")
	if err != nil || c.CountersFile() != filepath.Join(dir, "counts") {
		t.Errorf("a file: %v, %v", c, err)
	}
	c, dir, err = loadCounters(t, "counters: {valkey: {address: \"counts:6379\", ca: ca.pem, password_file: secret}}")
	if err != nil {
		t.Fatal(err)
	}
	v := Valkey{
		Address: "counts:6379", TLS: "verify-full", CA: filepath.Join(dir, "ca.pem"), Password: filepath.Join(dir, "secret"),
		Timeout: 500 * time.Millisecond, OnFailure: "refuse",
	}
	if *c.Counters.Valkey != v {
		t.Errorf("a server is %+v, want %+v", *c.Counters.Valkey, v)
	}
}

func TestCountersRefused(t *testing.T) {
	for _, tt := range []struct{ section, want string }{
		{"{file: f, valkey: {address: \"a:1\"}}", "exclude each other"},
		{"{valkey: {}}", "counters.valkey.address"},
		{"{valkey: {address: \":6379\"}}", "counters.valkey.address"},
		{"{valkey: {address: \"a:1\", tls: require}}", "not one of verify-full, disable"},
		{"{valkey: {address: \"a:1\", tls: disable, ca: x}}", "no use for"},
		{"{valkey: {address: \"a:1\", cert: x}}", "go together"},
		{"{valkey: {address: \"a:1\", user: x}}", "needs a password_file"},
		{"{valkey: {address: \"a:1\", db: -1}}", "negative"},
		{"{valkey: {address: \"a:1\", timeout: 1us}}", "counters.valkey.timeout"},
		{"{valkey: {address: \"a:1\", timeout: 1h}}", "counters.valkey.timeout"},
		{"{valkey: {address: \"a:1\", on_failure: allow}}", "not one of refuse, local"},
		{"{valkey: {address: \"a:1\", sentinel: x}}", "sentinel"},
	} {
		if _, _, err := loadCounters(t, "counters: "+tt.section); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.section, err, tt.want)
		}
	}
}
