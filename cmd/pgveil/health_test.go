package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "server or policy", http.StatusServiceUnavailable)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	with, without := configured(t, "admin: "+address+"\n"), configured(t, "")
	for _, tt := range []struct {
		name         string
		args         []string
		code         int
		stdout, says string
	}{
		{"well, by the address", []string{"--admin", address}, 0, "ok\n", ""},
		{"well, by the configuration", []string{"--config", with}, 0, "ok\n", ""},
		{"runs, but is not ready", []string{"--admin", address, "--ready"}, 1, "", "503 Service Unavailable: server or policy"},
		{"nobody there", []string{"--admin", "127.0.0.1:1"}, 1, "", "connection refused"},
		{"no admin address", []string{"--config", without}, 1, "", "has no admin address"},
		{"no configuration", []string{"--config", "none.yaml"}, 1, "", "none.yaml"},
		{"an argument too many", []string{"now"}, 2, "", `unknown argument "now"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := runHealth(t.Context(), tt.args, &stdout, &stderr)
			if code != tt.code || stdout.String() != tt.stdout || !strings.Contains(stderr.String(), tt.says) {
				t.Errorf("health %q = %d, %q, %q; want %d, %q, and an error with %q", tt.args, code, stdout.String(), stderr.String(), tt.code, tt.stdout, tt.says)
			}
		})
	}
}

// configured writes a configuration that is valid, with more lines.
func configured(t *testing.T, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgveil.yaml")
	text := "listen: [127.0.0.1:6432]\ndatabase: crm\npolicy: policy\nkey: key\nserver: {host: db, login: pgveil}\naudit: {dir: audit}\n" + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
