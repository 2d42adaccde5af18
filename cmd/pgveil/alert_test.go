package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/internal/pgtest"
)

const alertSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// hook is a webhook that keeps what it is sent, with the path in front.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	says []string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	secret, err := alert.ParseSecret(alertSecret)
	if err != nil {
		t.Fatal(err)
	}
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		at, terr := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64)
		if err = errors.Join(err, terr); err != nil || r.Header.Get("Webhook-Signature") != alert.Sign(secret, r.Header.Get("Webhook-Id"), time.Unix(at, 0), body) {
			t.Errorf("%v %q, %v", r.Header, body, err)
		}
		var said struct {
			Data struct{ Name, Severity, User string }
		}
		if err := json.Unmarshal(body, &said); err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.says = append(h.says, fmt.Sprintf("%s %s %s %s", r.URL.Path, said.Data.Name, said.Data.Severity, said.Data.User))
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) has(line string) func() bool {
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, s := range h.says {
			if s == line {
				return true
			}
		}
		return false
	}
}

// TestAlertsGoOut guesses passwords, and changes where alerts go meanwhile.
func TestAlertsGoOut(t *testing.T) {
	server := pgtest.Server(t)
	h := newHook(t)
	more := fmt.Sprintf(byAddress, server.Port()) + "alerts: {sinks: [{name: hook, webhook: {url: '" + h.URL + "/one', secret_file: secret}}]}\n"
	s := newSite(t, server, pgtest.Database(t, "shop"), "127.0.0.1:0", more)
	if err := os.WriteFile(filepath.Join(s.dir, "secret"), []byte(alertSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := s.serve(t, "")
	address := p.address(t, listens)
	guess := func(from string) {
		for range 6 {
			if code := guesser(t, address, from, "wrong"); code != "28P01" {
				t.Errorf("a wrong password is %q", code)
			}
		}
	}
	guess("127.0.0.2")
	await(t, "the lockout is told", h.has("/one login_lockout warning alice"))
	s.edit(t, "/one", "/two")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the other sink is in force", func() bool { return strings.Contains(p.output.String(), "sinks of alerts in force") })
	guess("127.0.0.3")
	await(t, "the next lockout is told there", h.has("/two login_lockout warning alice"))
	if err := os.WriteFile(filepath.Join(s.dir, "secret"), []byte("no secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "a secret that is none is not put in force", func() bool { return strings.Contains(p.output.String(), "sinks of alerts not reloaded") })
	metric := p.metrics(t)
	if n := metric(`pgveil_alert_deliveries_total{outcome="sent",sink="hook"}`); n != 2 {
		t.Errorf("%v alerts are counted as sent", n)
	}
	if n := metric(`pgveil_alerts_total{name="login_lockout",severity="warning"}`); n < 2 {
		t.Errorf("%v lockouts are counted", n)
	}
	p.stop(t)
}

// TestAlertTest tries out sinks of every state.
func TestAlertTest(t *testing.T) {
	h := newHook(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "pgveil.yaml")
	for _, tt := range []struct {
		name, sinks, severity string
		code                  int
		want                  string
	}{
		{"none", "", "critical", 0, "has no sinks of alerts: they are in the log alone\n"},
		{"good", "{name: hook, webhook: {url: '" + h.URL + "/a', secret_file: secret}}", "warning", 0, "hook: taken after "},
		{"good and bad", "{name: hook, webhook: {url: '" + h.URL + "/b', secret_file: secret}}, {name: dead, webhook: {url: 'http://127.0.0.1:1/'}}", "critical", 1, `dead: failed: "dial tcp`},
		{"not severe enough", "{name: hook, least: critical, webhook: {url: '" + h.URL + "/c', secret_file: secret}}", "notice", 0, "hook: not sent: it takes what is critical at least\n"},
		{"no secret", "{name: hook, webhook: {url: '" + h.URL + "/d', secret_file: missing}}", "critical", 1, "no such file"},
		{"no severity", "", "urgent", 2, `severity "urgent" is not`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "listen: ['127.0.0.1:0']\ndatabase: shop\npolicy: p\nkey: k\nserver: {host: localhost, login: x}\naudit: {dir: audit}\nalerts: {sinks: [" + tt.sinks + "]}\n"
			if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.WriteFile(filepath.Join(dir, "secret"), []byte(alertSecret), 0o600)); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if code := run(t.Context(), []string{"alert", "test", "--config", file, "--severity", tt.severity}, &out, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit status %d, want %d: %s", code, tt.code, &out)
			}
		})
	}
	for _, want := range []string{"/a test warning ", "/b test critical "} {
		if !h.has(want)() {
			t.Errorf("there is no %q in %q", want, h.says)
		}
	}
	if len(h.says) != 2 {
		t.Errorf("it was told %q", h.says)
	}
}

func TestAlertList(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"alert", "list"}, &out, &out); code != 0 || strings.Count(out.String(), "\n") != len(alert.Kinds()) {
		t.Errorf("exit status %d: %s", code, &out)
	}
	for _, args := range []string{"alert", "alert what", "alert list what"} {
		if code := run(t.Context(), strings.Fields(args), io.Discard, io.Discard); code != 2 {
			t.Errorf("pgveil %s: exit status %d, want 2", args, code)
		}
	}
}

// TestTroublesGoOut has the disk of the access log be full, and the policy be
// broken: within seconds somebody is told.
func TestTroublesGoOut(t *testing.T) {
	h := newHook(t)
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0",
		"alerts: {sinks: [{name: hook, webhook: {url: '"+h.URL+"/', secret_file: secret}}]}\n")
	policy := filepath.Join(s.dir, "policy.yaml")
	text, err := os.ReadFile(filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"))
	if err = errors.Join(err, os.WriteFile(policy, text, 0o600), os.WriteFile(filepath.Join(s.dir, "secret"), []byte(alertSecret), 0o600), os.Mkdir(s.log(), 0o700)); err != nil {
		t.Fatal(err)
	}
	s.edit(t, filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), "policy.yaml")
	if err := unix.Mount("tmpfs", s.log(), "tmpfs", 0, "size=65m"); err != nil { // a segment, and nothing to come
		t.Skip("only root may mount a file system:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(s.log(), 0); err != nil {
			t.Error(err)
		}
	})
	p := s.serve(t, "")
	await(t, "the full disk is told", h.has("/ audit_disk_full critical "))
	if err := os.WriteFile(policy, []byte("version: none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the broken policy is told", h.has("/ reload_failed warning "))
	p.stop(t)
}
