package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const alertsBase = "listen: ['127.0.0.1:0']\ndatabase: shop\npolicy: p\nkey: k\nserver: {host: localhost, login: x}\naudit: {dir: audit}\nalerts: {%}\n"

func loadAlerts(t *testing.T, alerts string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgveil.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(alertsBase, "%", alerts, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestAlerts(t *testing.T) {
	c, err := loadAlerts(t, `window: 1m, sinks: [
  {name: oncall, least: critical, timeout: 5s, webhook: {url: 'https://h/', secret_file: s, token_file: t, tls: {ca: ca}}},
  {name: siem, syslog: {to: 'tls://logs:6514', tls: {ca: ca}}},
  {name: mail, smtp: {host: mail.example.org, from: veil@example.org, to: anna@example.org, user: veil, password_file: p}},
  {name: more, smtp: {host: '::1', security: tls, from: veil@example.org, to: [anna@example.org, ben@example.org]}},
  {name: near, webhook: {url: 'http://127.0.0.1:9/'}}]`)
	if err != nil {
		t.Fatal(err)
	}
	dir, s := filepath.Dir(c.File), c.Alerts.Sinks
	in := func(name string) string { return filepath.Join(dir, name) }
	if c.Alerts.Window != time.Minute || s[0].Least != "critical" || s[0].Timeout != 5*time.Second || s[1].Least != "warning" || s[1].Timeout != 10*time.Second {
		t.Errorf("%+v", c.Alerts)
	}
	if w := s[0].Webhook; w.Secret != in("s") || w.Token != in("t") || w.TLS.CA != in("ca") || s[1].Syslog.TLS.CA != in("ca") || s[1].Syslog.MaxSize != 8192 {
		t.Errorf("%+v, %+v", w, s[1].Syslog)
	}
	if m := s[2].SMTP; m.Port != 587 || m.Security != "starttls" || m.Password != in("p") || len(m.To) != 1 || s[3].SMTP.Port != 465 || len(s[3].SMTP.To) != 2 {
		t.Errorf("%+v, %+v", m, s[3].SMTP)
	}
	if c, err := loadAlerts(t, ""); err != nil || c.Alerts.Window != 5*time.Minute {
		t.Errorf("without settings: %v", err)
	}
}

func TestBadAlerts(t *testing.T) {
	mail := func(keys string) string {
		return "sinks: [{name: a, smtp: {host: h, from: a@b.example, to: c@d.example, " + keys + "}}]"
	}
	for _, tt := range []struct{ name, alerts, want string }{
		{"an unknown key", "sink: []", "sink"},
		{"no window", "window: 0s", "alerts.window"},
		{"no name", "sinks: [{webhook: {url: 'https://h/'}}]", `name ""`},
		{"the log's name", "sinks: [{name: log, webhook: {url: 'https://h/'}}]", `"log"`},
		{"two of a name", "sinks: [{name: a, webhook: {url: 'https://h/'}}, {name: a, webhook: {url: 'https://h/'}}]", "two sinks"},
		{"nowhere", "sinks: [{name: a}]", "it has one of"},
		{"to two places", "sinks: [{name: a, webhook: {url: 'https://h/'}, syslog: {to: 'udp://x:514'}}]", "it has one of"},
		{"an unknown severity", "sinks: [{name: a, least: error, webhook: {url: 'https://h/'}}]", `least "error"`},
		{"a long time", "sinks: [{name: a, timeout: 1h, webhook: {url: 'https://h/'}}]", "timeout 1h"},
		{"alerts in clear", "sinks: [{name: a, webhook: {url: 'http://h/'}}]", "alerts name people"},
		{"a token in clear", "sinks: [{name: a, webhook: {url: 'http://h/', token_file: t}}]", "a secret would go"},
		{"a password in the address", "sinks: [{name: a, webhook: {url: 'https://u:p@h/'}}]", "not in the address"},
		{"no address", "sinks: [{name: a, webhook: {url: 'ftp://h/'}}]", "is not an address"},
		{"syslog to the web", "sinks: [{name: a, syslog: {to: 'https://x:1'}}]", "is not tls://"},
		{"a host with a port", "sinks: [{name: a, smtp: {host: 'h:25', from: a@b.example, to: c@d.example}}]", "smtp.host"},
		{"no host", "sinks: [{name: a, smtp: {from: a@b.example, to: c@d.example}}]", "smtp.host"},
		{"nobody", "sinks: [{name: a, smtp: {host: h, from: a@b.example}}]", "smtp.to is missing"},
		{"no sender", "sinks: [{name: a, smtp: {host: h, to: c@d.example}}]", `""`},
		{"a header in an address", "sinks: [{name: a, smtp: {host: h, from: a@b.example, to: \"c@d.example\\r\\nBcc: e@f.example\"}}]", "is not an address"},
		{"two in an address", "sinks: [{name: a, smtp: {host: h, from: a@b.example, to: 'c@d.example, e@f.example'}}]", "is not an address"},
		{"an unknown security", mail("security: ssl"), `security "ssl"`},
		{"a password in clear", mail("security: none, user: u, password_file: p"), "in clear"},
		{"a user without a password", mail("user: u"), "go together"},
		{"no port", mail("port: 70000"), "port 70000"},
		{"a certificate without its key", mail("tls: {cert: c}"), "go together"},
		{"everything at once", "window: 0s, sinks: [{name: a, least: x}]", "alerts.window: 0s is not a time from 1s to 24h\nalerts.sinks.a: least"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := loadAlerts(t, tt.alerts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load = %v, want %q", err, tt.want)
			}
		})
	}
}
