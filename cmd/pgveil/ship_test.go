package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// edit changes a site's configuration.
func (s *site) edit(t *testing.T, old, replacement string) {
	t.Helper()
	path := filepath.Join(s.dir, "pgveil.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), old, replacement, 1)
	if changed == string(text) {
		t.Fatalf("%q is not in the configuration", old)
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shipped counts how often each record is in a file, by log and seq, and checks
// that they first came in order.
func shipped(t *testing.T, path string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, last := map[string]int{}, map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		var e struct {
			Log string
			Seq uint64
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		id := fmt.Sprintf("%s %d", e.Log, e.Seq)
		if got[id]++; got[id] == 1 {
			if next := last[e.Log]; e.Seq != next {
				t.Fatalf("record %d of %s comes where %d should", e.Seq, e.Log, next)
			}
			last[e.Log]++
		}
	}
	return got
}

// mustHold compares what was shipped with the log.
func (s *site) mustHold(t *testing.T, path string) {
	t.Helper()
	want := map[string]bool{}
	for dir, name := range map[string]string{s.log(): "site.example/audit", filepath.Join(s.log(), besideDir): "site.example/audit/beside"} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		for r, err := range audit.Read(dir, 0) {
			if err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprintf("%s %d", name, r.Seq)] = true
		}
	}
	got := shipped(t, path)
	if !maps.EqualFunc(want, got, func(bool, int) bool { return true }) {
		t.Errorf("%d records of %d were shipped", len(got), len(want))
	}
	t.Logf("%d records", len(got))
}

// run runs statements through a process.
func (s *site) run(t *testing.T, addr string, n int) {
	t.Helper()
	conn, err := s.connect(t.Context(), addr, "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for range n {
		if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestShipKilled kills a process that ships, again and again. Beside the good
// sink there is one that hangs: statements go on, metrics tell, and the end
// comes in time. In the end every record is where it should be.
func TestShipKilled(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the system takes connections, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	s.edit(t, "anchors:", fmt.Sprintf("ship: [{name: good, batch: 7, file: {path: out.jsonl}}, {name: hung, timeout: 1s, webhook: {url: 'http://%s/'}}], anchors:", silent.Addr()))
	for range 5 {
		p := s.serve(t, "")
		s.run(t, p.address(t, listens), 50)
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.exited
	}
	p := s.serve(t, "")
	s.run(t, p.address(t, listens), 50)
	metric := func(name string) float64 {
		resp, err := http.Get("http://" + p.address(t, admin) + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("no %s in\n%s", name, text)
		}
		value, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	late := time.After(20 * time.Second)
	for tick := time.Tick(10 * time.Millisecond); metric(`pgveil_ship_errors_total{sink="hung"}`) == 0; <-tick {
		select {
		case <-late:
			t.Fatal("the sink that hangs has no errors")
		default:
		}
	}
	if lag, old := metric(`pgveil_ship_lag_records{sink="hung"}`), metric(`pgveil_ship_lag_seconds{sink="hung"}`); lag < 600 || old <= 0 {
		t.Errorf("the sink that hangs is %v records and %v s behind", lag, old)
	}
	begin := time.Now()
	p.stop(t)
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the end took %v", took)
	}
	s.mustHold(t, filepath.Join(s.dir, "out.jsonl"))
}

// TestShipOverlap has two processes on one site, and one sink.
func TestShipOverlap(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "overlap: true\n")
	s.edit(t, "anchors:", "ship: [{name: good, file: {path: out.jsonl}}], anchors:")
	first := s.serve(t, "")
	s.run(t, first.address(t, listens), 10)
	second := s.serve(t, "")
	s.run(t, second.address(t, listens), 10)
	s.run(t, first.address(t, listens), 10)
	first.stop(t)
	s.run(t, second.address(t, listens), 10)
	second.stop(t)
	s.mustHold(t, filepath.Join(s.dir, "out.jsonl"))
}

// TestAuditShip ships by hand.
func TestAuditShip(t *testing.T) {
	dir := t.TempDir()
	log, err := audit.Open(filepath.Join(dir, "audit"), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	appendLogins(t, log, 20)
	defer log.Close()
	file := filepath.Join(dir, "pgveil.yaml")
	out := filepath.Join(dir, "out.jsonl")
	write := func(ship string) {
		text := "listen: ['127.0.0.1:0']\ndatabase: shop\npolicy: p\nkey: k\nserver: {host: localhost, login: x}\naudit: {dir: audit, ship: [" + ship + "]}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{name: siem, file: {path: out.jsonl}}")
	for _, tt := range []struct {
		args string
		code int
		want int // lines in the file
	}{
		{"--sink siem --once", 0, 20},
		{"--sink siem --once", 0, 20},
		{"--sink siem --from 15", 0, 25},
		{"--sink siem --from start --dir " + filepath.Join(dir, "audit"), 0, 45},
		{"--sink siem --reset 18", 0, 45},
		{"--sink siem --once", 0, 47},
		{"--sink siem --reset start", 0, 47},
		{"--sink siem --once", 0, 67},
		{"--sink siem --reset now", 0, 67},
		{"--sink siem --once", 0, 67},
		{"--sink siem --forget", 0, 67},
		{"--sink siem --forget", 1, 67},
		{"--sink other --once", 1, 67},
		{"--sink siem --from 99", 1, 67},
		{"--sink siem --from x", 1, 67},
		{"--sink siem --dir x", 2, 67},
		{"--sink siem --from 1 --reset now", 2, 67},
		{"", 2, 67},
	} {
		auditRun(t, tt.code, append([]string{"ship", "--config", file}, strings.Fields(tt.args)...)...)
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n != tt.want {
			t.Fatalf("after %q there are %d lines, want %d", tt.args, n, tt.want)
		}
	}
	for _, tt := range []struct {
		name, ship string
		secret     string
		mode       os.FileMode
		want       string
	}{
		{"good", "{name: a, webhook: {url: 'https://x/', token_file: token}}", "t\n", 0o600, "1 sinks"},
		{"readable by others", "{name: a, webhook: {url: 'https://x/', token_file: token}}", "t\n", 0o644, "may be read by others"},
		{"empty", "{name: a, splunk: {url: 'https://x/', token_file: token}}", "\n", 0o600, "one line"},
		{"two lines", "{name: a, kafka: {brokers: [x], topic: t, sasl: scram-sha-256, user: u, password_file: token}}", "a\nb\n", 0o600, "one line"},
		{"missing", "{name: a, webhook: {url: 'https://x/', secret_file: nowhere}}", "t\n", 0o600, "nowhere"},
		{"no authority", "{name: a, syslog: {to: 'tls://x:6514', tls: {ca: token}}}", "t\n", 0o600, "has no certificate"},
		{"a bad pattern", "{name: a, file: {path: f}, only: [{column: '['}]}", "t\n", 0o600, "column pattern"},
	} {
		write(tt.ship)
		token := filepath.Join(dir, "token")
		if err := os.RemoveAll(token); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(token, []byte(tt.secret), tt.mode); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr strings.Builder
		code := runCheck(t.Context(), []string{"--config", file}, &stdout, &stderr)
		if said := stdout.String() + stderr.String(); !strings.Contains(said, tt.want) || (code == 0) != (tt.name == "good") {
			t.Errorf("%s: check = %d: %s", tt.name, code, said)
		}
	}
}

// TestShipPosts ships what a process records to a server, with a bearer token
// and a signature.
func TestShipPosts(t *testing.T) {
	got := make(chan string, 1000)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sesame" || !strings.HasPrefix(r.Header.Get("Pgveil-Signature"), "v1=") {
			t.Errorf("a request with %v", r.Header)
		}
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			got <- lines.Text()
		}
	}))
	defer web.Close()
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	s.edit(t, "anchors:", "ship: [{name: hook, format: ocsf, only: [{kind: statement}], webhook: {url: '"+web.URL+"', token_file: token, secret_file: token, body: lines}}], anchors:")
	if err := os.WriteFile(filepath.Join(s.dir, "token"), []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := s.serve(t, "")
	s.run(t, p.address(t, listens), 3)
	p.stop(t)
	close(got)
	var classes []int
	for line := range got {
		var e struct {
			Class int `json:"class_uid"`
			Query struct {
				Text string `json:"query_string"`
			} `json:"query_info"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || !strings.HasPrefix(e.Query.Text, "SELECT") {
			t.Errorf("%s: %v", line, err)
		}
		classes = append(classes, e.Class)
	}
	if !slices.Equal(classes, []int{6005, 6005, 6005, 6005, 6005, 6005}) {
		t.Errorf("of three statements and their outcomes, there are %v", classes)
	}
}
