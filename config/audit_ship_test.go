package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const shipBase = "listen: ['127.0.0.1:0']\ndatabase: shop\npolicy: p\nkey: k\nserver: {host: localhost, login: x}\naudit: {dir: audit, ship: [%]}\n"

func loadShip(t *testing.T, ship string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgveil.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(shipBase, "%", ship, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestShip(t *testing.T) {
	c, err := loadShip(t, "{name: siem, syslog: {to: 'tls://logs:6514', tls: {ca: ca.crt}}}, {name: hook, timeout: 5s, webhook: {url: 'https://h/', token_file: t}}")
	if err != nil {
		t.Fatal(err)
	}
	siem, hook := c.Audit.Ship[0], c.Audit.Ship[1]
	if siem.Format != "pgveil" || siem.From != "start" || siem.Batch != 500 || siem.Timeout != 30*time.Second || siem.Syslog.Facility != 13 || siem.Syslog.MaxSize != 8192 {
		t.Errorf("%+v, %+v", siem, siem.Syslog)
	}
	if dir := filepath.Dir(c.File); siem.Syslog.TLS.CA != filepath.Join(dir, "ca.crt") || hook.Webhook.Token != filepath.Join(dir, "t") || hook.Webhook.Body != "array" || hook.Timeout != 5*time.Second {
		t.Errorf("%+v, %+v", siem.Syslog.TLS, hook.Webhook)
	}
}

func TestBadShip(t *testing.T) {
	for _, tt := range []struct{ name, ship, want string }{
		{"no name", "{file: {path: f}}", `name ""`},
		{"a path for a name", "{name: ../a, file: {path: f}}", `name "../a"`},
		{"two of a name", "{name: a, file: {path: f}}, {name: a, file: {path: g}}", "two sinks"},
		{"nowhere", "{name: a}", "it has one of"},
		{"to two places", "{name: a, file: {path: f}, webhook: {url: 'https://h/'}}", "it has one of"},
		{"a key of another kind", "{name: a, file: {path: f, index: i}}", "index"},
		{"an unknown format", "{name: a, format: cef, file: {path: f}}", `format "cef"`},
		{"an unknown beginning", "{name: a, from: yesterday, file: {path: f}}", `from "yesterday"`},
		{"an empty filter", "{name: a, only: [{}], file: {path: f}}", "chooses everything"},
		{"a filter of outcomes", "{name: a, only: [{kind: outcome}], file: {path: f}}", `kind "outcome"`},
		{"an unknown decision", "{name: a, only: [{decision: deny}], file: {path: f}}", `decision "deny"`},
		{"no path", "{name: a, file: {}}", "path is missing"},
		{"keep of nothing", "{name: a, file: {path: f, keep: 3}}", "goes with max_bytes"},
		{"syslog to the web", "{name: a, syslog: {to: 'https://x:1'}}", "is not tls://"},
		{"syslog without a port", "{name: a, syslog: {to: 'tls://x'}}", "no host:port"},
		{"a relative socket", "{name: a, syslog: {to: 'unix:dev/log'}}", "no path from the root"},
		{"the kernel's facility", "{name: a, syslog: {to: 'udp://x:514', facility: 24}}", "facility"},
		{"a datagram too large", "{name: a, syslog: {to: 'udp://x:514', max_size: 70000}}", "max_size"},
		{"a certificate in clear", "{name: a, syslog: {to: 'tcp://x:514', tls: {ca: c}}}", "goes with tls://"},
		{"a certificate without its key", "{name: a, syslog: {to: 'tls://x:514', tls: {cert: c}}}", "go together"},
		{"a token in clear", "{name: a, webhook: {url: 'http://h/', token_file: t}}", "in clear"},
		{"a password in the address", "{name: a, webhook: {url: 'https://u:p@h/'}}", "not in the address"},
		{"splunk without a token", "{name: a, splunk: {url: 'https://h:8088'}}", "token_file is missing"},
		{"no index", "{name: a, opensearch: {url: 'https://h:9200'}}", "index is missing"},
		{"two secrets", "{name: a, opensearch: {url: 'https://h', index: i, token_file: t, api_key_file: k}}", "has one of"},
		{"a user without a password", "{name: a, opensearch: {url: 'https://h', index: i, user: u}}", "has one of"},
		{"no brokers", "{name: a, kafka: {topic: t}}", "are needed"},
		{"a password in clear", "{name: a, kafka: {brokers: [b], topic: t, sasl: plain, user: u, password_file: p}}", "in clear"},
		{"an unknown mechanism", "{name: a, kafka: {brokers: [b], topic: t, sasl: gssapi, user: u, password_file: p}}", `"gssapi"`},
		{"a batch of too many", "{name: a, batch: 100000, file: {path: f}}", "batch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := loadShip(t, tt.ship); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load = %v, want %q", err, tt.want)
			}
		})
	}
}
