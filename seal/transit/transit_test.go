package transit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/seal"
)

// engine answers as Vault's transit engine does: it "encrypts" by base64.
func engine(w http.ResponseWriter, r *http.Request) {
	var in map[string]string
	switch {
	case r.Header.Get("X-Vault-Token") != "s.right":
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"errors":["permission denied"]}`))
	case json.NewDecoder(r.Body).Decode(&in) != nil || r.Method != http.MethodPost || r.Header.Get("X-Vault-Namespace") != "crm":
		w.WriteHeader(http.StatusBadRequest)
	case r.URL.Path == "/v1/keys/encrypt/pgveil":
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"ciphertext": "vault:v1:" + in["plaintext"], "key_version": 1}})
	case r.URL.Path == "/v1/keys/decrypt/pgveil":
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"plaintext": strings.TrimPrefix(in["ciphertext"], "vault:v1:")}})
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":["no handler for route"]}`))
	}
}

func start(t *testing.T, handler http.HandlerFunc, edit func(*Options)) *Transit {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	o := Options{Address: srv.URL, Mount: "keys", Key: "pgveil", Namespace: "crm", Token: func() (string, error) { return "s.right", nil }}
	if edit != nil {
		edit(&o)
	}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWraps(t *testing.T) {
	v := start(t, engine, nil)
	path := filepath.Join(t.TempDir(), "keys.json")
	f, err := seal.CreateFile(t.Context(), path, v)
	if err != nil {
		t.Fatal(err)
	}
	k, err := f.Create("birth", time.Now())
	if err == nil {
		err = f.Save()
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.OpenFile(t.Context(), path, v)
	if err != nil || again.Check(k.ID) != f.Check(k.ID) {
		t.Errorf("read again: %v", err)
	}
	if _, err := seal.OpenFile(t.Context(), path, seal.Local{Key: make([]byte, 32)}); err == nil {
		t.Error("a key at hand unwraps what Vault wrapped")
	}
}

func TestRefuses(t *testing.T) {
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = w.Write([]byte(text)) }
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		edit   func(*Options)
		want   string
		away   bool
	}{
		"a wrong token":   {engine, func(o *Options) { o.Token = func() (string, error) { return "s.wrong", nil } }, "may not decrypt", false},
		"no token":        {engine, func(o *Options) { o.Token = func() (string, error) { return "", errors.New("gone") } }, "reading the token: gone", false},
		"another key":     {engine, func(o *Options) { o.Key = "other" }, `is "other" a key`, false},
		"sealed":          {status(503, `{"errors":["Vault is sealed"]}`), nil, "Vault is sealed", true},
		"broken":          {status(500, `<html>`), nil, "status 500", true},
		"redirected":      {status(307, ``), nil, "status 307", false},
		"not Vault":       {status(200, `<html>`), nil, "is this Vault's address", false},
		"another answer":  {status(200, `{"data":{"plaintext":"AAAA"}}`), nil, "not a key", false},
		"an endless one":  {status(200, strings.Repeat(" ", 1<<20)), nil, "longer than", false},
		"a data of 17":    {status(200, `{"data":17}`), nil, "not understood", false},
		"an empty answer": {status(200, `{}`), nil, "not a key", false},
		"a cut-off answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = w.Write([]byte("{"))
		}, nil, "reading its answer", true},
	} {
		t.Run(name, func(t *testing.T) {
			v := start(t, tt.answer, tt.edit)
			key, err := v.Unwrap(t.Context(), "vault:v1:"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
			var away *seal.AwayError
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &away) != tt.away {
				t.Errorf("%x, %v", key, err)
			}
		})
	}
}

func TestHangs(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	v := start(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var away *seal.AwayError
	if _, err := v.Wrap(ctx, make([]byte, 32)); !errors.As(err, &away) {
		t.Errorf("error is %v", err)
	}
}

func TestOptions(t *testing.T) {
	token := func() (string, error) { return "s.right", nil }
	for _, o := range []Options{
		{Key: "k", Token: token},
		{Address: "vault.internal:8200", Key: "k", Token: token},
		{Address: "http://vault.internal:8200", Key: "k", Token: token},
		{Address: "https://u:p@vault.internal:8200", Key: "k", Token: token},
		{Address: "https://vault.internal:8200/?x=1", Key: "k", Token: token},
		{Address: "https://vault.internal:8200", Token: token},
		{Address: "https://vault.internal:8200", Key: "../sys", Token: token},
		{Address: "https://vault.internal:8200", Key: "k"},
		{Address: "https://vault.internal:8200", Key: "k", Token: token, CA: "/nowhere"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
