package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/seal"
)

// TestVaultWrapsKeys has Vault be away at the start, and when the file of keys has
// changed: what is in use stays, and the change is taken once Vault is back.
func TestVaultWrapsKeys(t *testing.T) {
	var away atomic.Bool
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		switch {
		case away.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.Header.Get("X-Vault-Token") != "the-token" || json.NewDecoder(r.Body).Decode(&in) != nil:
			w.WriteHeader(http.StatusForbidden)
		case strings.Contains(r.URL.Path, "/encrypt/"):
			_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"ciphertext": "vault:v1:" + in["plaintext"]}})
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"plaintext": strings.TrimPrefix(in["ciphertext"], "vault:v1:")}})
		}
	}))
	defer vault.Close()
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "vault"), "127.0.0.1:0", "sealing: {keys: keys.json, wrapped_by: {vault: {address: \""+vault.URL+"\", key: pgveil, token_file: token}}}\n")
	s.edit(t, filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), filepath.Join(pgtest.Fixture(t, "vault"), "policy.yaml"))
	s.put(t, "token", "the-token\n")
	if err := os.Chmod(filepath.Join(s.dir, "token"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.verb(t, 0, "keys", "create", "national_id", "visit_id", "account", "birth", "income", "notes", "phone", "allergy", "weight")
	keep := func(name string) string {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := keep("keys.json")
	s.verb(t, 0, "keys", "rotate", "account")
	second := keep("keys.json")
	s.put(t, "keys.json", first)

	away.Store(true)
	r := s.start(t, "")
	r.awaits(t, "waiting for what wraps the keys of sealed columns", func() {})
	away.Store(false)
	select {
	case <-r.says:
	case <-time.After(20 * time.Second):
		t.Fatalf("pgveil does not start once Vault is there:\n%s", r.output.String())
	}
	conn, err := s.connect(t.Context(), r.address(t, listens), "carla")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	works := func() {
		t.Helper()
		var iban string
		if err := conn.QueryRow(t.Context(), `INSERT INTO people (id, name, iban) VALUES (1, 'Ada', 'DE89') ON CONFLICT (id) DO UPDATE SET iban = excluded.iban RETURNING iban`).Scan(&iban); err != nil || iban != "DE89" {
			t.Errorf("got %q, %v", iban, err)
		}
	}
	works()
	away.Store(true)
	s.put(t, "keys.json", second)
	r.awaits(t, "keys of sealed columns not reloaded", works)
	r.awaits(t, "reload_failed", works)
	if strings.Contains(r.output.String(), "keys of sealed columns in use") {
		t.Error("keys are in use that Vault did not unwrap")
	}
	away.Store(false)
	r.awaits(t, "keys of sealed columns in use", works)
	works()
	s.put(t, "keys.json", first)
	r.awaits(t, "is older than what is in use (change 1, not 2)", works)
	works()
	r.stop(t)
}

func TestKeyChanges(t *testing.T) {
	key := func(id uint32, state seal.State) seal.Key {
		return seal.Key{ID: id, Class: "birth", State: state}
	}
	for _, tt := range []struct {
		name    string
		was, is []seal.Key
		want    string
	}{
		{"a start", nil, []seal.Key{key(1, seal.Enabled), key(2, seal.Primary)}, "; key 00000001 of birth is enabled; key 00000002 of birth is primary"},
		{"a rotation", []seal.Key{key(1, seal.Primary)}, []seal.Key{key(1, seal.Enabled), key(2, seal.Primary)}, "; key 00000001 of birth: primary -> enabled; key 00000002 of birth: new -> primary"},
		{"an end", []seal.Key{key(1, seal.Enabled), key(2, seal.Primary)}, []seal.Key{key(1, seal.Destroyed), key(2, seal.Primary)}, "; key 00000001 of birth: enabled -> destroyed"},
		{"another file", []seal.Key{key(1, seal.Primary)}, []seal.Key{key(3, seal.Primary)}, "; key 00000003 of birth: new -> primary; key 00000001 of birth: primary -> not in the file"},
		{"nothing", []seal.Key{key(1, seal.Primary)}, []seal.Key{key(1, seal.Primary)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := keyChanges(tt.was, tt.is); got != tt.want {
				t.Errorf("keyChanges says %q, want %q", got, tt.want)
			}
		})
	}
}
