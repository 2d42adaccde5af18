package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/docs"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

const (
	petrasToken = "0123456789abcdef0123456789abcdef"
	edsToken    = "fedcba9876543210fedcba9876543210"
	ritasToken  = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
)

// clubAPI serves the API over a copy of the fixture with ledgers.
func clubAPI(t *testing.T) (url string, a *api, auditDir string, conn *pgx.Conn) {
	t.Helper()
	dsn := pgtest.Server(t).DSN(pgtest.Database(t, "ledger"), pgserver.Superuser)
	conn = pgtest.Connect(t, dsn)
	text, err := os.ReadFile(filepath.Join(pgtest.Fixture(t, "ledger"), "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "policy.yaml", Text: clubRights.Replace(string(text))})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), state.Schema(dsar.Ledgers(set)...)); err != nil {
		t.Fatal(err)
	}
	auditDir = t.TempDir()
	log, err := audit.Open(auditDir, audit.Options{SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	tokens := "# who may ask\n"
	for user, token := range map[string]string{"petra": petrasToken, "paul": paulsToken, "rita": ritasToken, "ed": edsToken, "nobody": strings.Repeat("n", 32)} {
		digest := sha256.Sum256([]byte(token))
		tokens += user + " " + hex.EncodeToString(digest[:]) + "\n"
	}
	connect := func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) }
	memory := newConnection(connect)
	store := &state.Store{Use: memory.use, Key: bytes.Repeat([]byte{7}, 32)}
	a = &api{
		service: &requests.Service{
			Data:  &dsar.Service{Connect: connect, Current: func() (*policy.Set, *catalog.Snapshot) { return set, cat }},
			Store: store, Tokens: store.SubjectTokens, Packages: t.TempDir(),
		},
		log: slog.New(slog.NewTextHandler(io.Discard, nil)), audit: log, database: "club",
		tokens: filepath.Join(t.TempDir(), "tokens"), turns: make(chan struct{}, maxAPIRequests), streams: make(chan struct{}, maxStreams),
	}
	if err := os.WriteFile(a.tokens, []byte(tokens), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(a.handler())
	// What goes on for longer than this has deadlines of its own.
	s.Config.ReadTimeout, s.Config.WriteTimeout = time.Second, time.Second
	s.Config.ErrorLog = slog.NewLogLogger(a.log.Handler(), slog.LevelError)
	s.Start()
	t.Cleanup(func() {
		s.Close()
		if err := errors.Join(memory.close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	return s.URL, a, auditDir, conn
}

// ask sends a request and gives the status and the body.
func ask(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestAPI(t *testing.T) {
	url, _, auditDir, conn := clubAPI(t)
	one := "/v1/subjects/member/3"
	for _, tt := range []struct {
		method, path, token, body string
		status                    int
		want                      string // in the answer
	}{
		{"POST", one + "/consents", petrasToken, `{"consent": "letters", "method": "web form", "wording": "v3", "until": "2099-01-01"}`, 200, `"type":"given"`},
		{"POST", one + "/consents", petrasToken, `{"consent": "letters"}`, 200, "in force already"},
		{"POST", one + "/consents", petrasToken, `{"consent": "letters", "withdraw": true, "reason": "secret"}`, 200, `"type":"withdrawn"`},
		{"GET", one + "/consents", petrasToken, "", 200, `"notice":"v3"`},
		{"POST", one + "/restrictions", petrasToken, `{"reason": "contested"}`, 200, `"of":"every purpose"`},
		{"POST", one + "/objections", petrasToken, `{"purpose": "newsletter", "reason": "letter"}`, 200, `"type":"objected"`},
		{"GET", one + "/restrictions", petrasToken, "", 200, `"kind":"restriction"`},
		{"DELETE", one + "/restrictions", petrasToken, `{"reason": "settled"}`, 200, `"type":"restriction lifted"`},
		{"DELETE", one + "/objections", petrasToken, `{"purpose": "newsletter", "reason": "asked to"}`, 200, `"type":"objection lifted"`},
		{"POST", "/v1/subjects/patron/O%27Hara/consents", petrasToken, `{"consent": "letters"}`, 200, `"type":"given"`},

		{"POST", one + "/consents", "", `{"consent": "letters"}`, 401, "28000"},
		{"POST", one + "/consents", "no token that anybody has", `{"consent": "letters"}`, 401, "28000"},
		{"POST", one + "/consents", strings.Repeat("n", 32), `{"consent": "letters"}`, 401, "28000"},
		{"POST", one + "/consents", edsToken, `{"consent": "letters"}`, 403, "42501"},
		{"GET", one + "/consents", edsToken, "", 403, "42501"},
		{"POST", "/v1/subjects/member/99/consents", petrasToken, `{"consent": "letters"}`, 404, "P0002"},
		{"POST", "/v1/subjects/membr/3/consents", petrasToken, `{"consent": "letters"}`, 400, "did you mean member?"},
		{"POST", "/v1/subjects/member/x/consents", petrasToken, `{"consent": "letters"}`, 400, "22P02"},
		{"POST", one + "/consents", petrasToken, `{"consent": "leters"}`, 400, "did you mean letters?"},
		{"POST", one + "/consents", petrasToken, `{"consent": "letters", "purpose": "desk"}`, 400, "42601"},
		{"POST", one + "/consents", petrasToken, `{"consent": "letters", "withdraw": true, "until": "2099-01-01"}`, 400, "42601"},
		{"POST", one + "/consents", petrasToken, `{"consent": "letters", "surprise": 1}`, 400, "42601"},
		{"POST", one + "/consents", petrasToken, `{"consent": "letters"} {}`, 400, "42601"},
		{"POST", one + "/consents", petrasToken, `{"consent": "letters", "method": "a\u0000b"}`, 400, "42601"},
		{"POST", one + "/consents", petrasToken, `{"consent": "letters", "wording": "` + strings.Repeat("x", 100_000) + `"}`, 400, "42601"},
		{"POST", one + "/consents", petrasToken, "", 400, "42601"},
		{"POST", one + "/restrictions", petrasToken, `{}`, 400, "a reason is missing"},
		{"POST", one + "/objections", petrasToken, `{"reason": "x"}`, 400, "the purpose is missing"},
		{"POST", one + "/objections", petrasToken, `{"purpose": "desk", "reason": "x"}`, 403, "there is no objection to it"},
		{"POST", one + "/consents", petrasToken, `{"consent": "others", "consent": "letters"}`, 400, "42601"},
		{"POST", one + "/consents", petrasToken, `{"Consent": "letters"}`, 400, "42601"},
		{"POST", one + "/consents", petrasToken, "{\"consent\": \"letters\", \"wording\": \"\xff\"}", 400, "42601"},
		{"POST", one + "/consents", petrasToken, `{"consent": "letters", "wording": "\ud800"}`, 400, "42601"},
		{"POST", "/v1/subjects/member/x/../3/consents", petrasToken, `{"consent": "letters"}`, 404, "no such address"},
		{"POST", "/v1/subjects/member//3/consents", petrasToken, `{"consent": "letters"}`, 404, "no such address"},
		{"POST", "//v1/subjects/member/3/consents", petrasToken, `{"consent": "letters"}`, 404, "no such address"},
		{"POST", one + "/restrictions?purpose=desk", petrasToken, `{"reason": "x"}`, 404, "no such address"},
		{"PUT", one + "/consents", petrasToken, `{}`, 404, "no such address"},
		{"GET", "/v1/openapi.json", "", "", 200, `"openapi"`},
	} {
		status, got := ask(t, tt.method, url+tt.path, tt.token, tt.body)
		if status != tt.status || !strings.Contains(got, tt.want) || !json.Valid([]byte(got)) {
			t.Errorf("%s %s %.80s = %d %s; want %d %q", tt.method, tt.path, tt.body, status, got, tt.status, tt.want)
		}
	}
	n, last, err := state.VerifyEvents(t.Context(), conn)
	if n != 8 || err != nil {
		t.Errorf("VerifyEvents = %d, %v", n, err)
	}
	found := false
	for r, err := range audit.Read(auditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		found = found || r.Event == hex.EncodeToString(last) && r.User == "petra" && r.App == "api"
		if strings.Contains(r.Shape+r.Message, "secret") {
			t.Errorf("the log holds a value: %+v", r)
		}
	}
	if !found {
		t.Error("no record holds the last event's digest")
	}
}

// TestAPITokens takes a token away, and breaks the file: nobody gets in by either.
func TestAPITokens(t *testing.T) {
	url, a, _, _ := clubAPI(t)
	for text, want := range map[string]int{
		"":                           401,
		"petra 00":                   500,
		"petra\n":                    500,
		"# petra only\n":             401,
		strings.Repeat("#\n", 1<<20): 500,
	} {
		if err := os.WriteFile(a.tokens, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, body := ask(t, "GET", url+"/v1/subjects/member/3/consents", petrasToken, ""); got != want {
			t.Errorf("with tokens %.20q: %d %s, want %d", text, got, body, want)
		}
	}
}

// The document describes every request that is served, and no other, with the
// fields that are read and answered.
func TestOpenAPI(t *testing.T) {
	type schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	var doc struct {
		Paths      map[string]map[string]json.RawMessage `json:"paths"`
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(docs.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			if regexp.MustCompile("^(get|post|put|delete)$").MatchString(method) {
				described[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	served := slices.Concat(slices.Collect(maps.Keys(routes)), slices.Collect(maps.Keys(requestRoutes)), slices.Collect(maps.Keys(streams)), []string{"GET /v1/openapi.json"})
	for _, pattern := range served {
		if !described[pattern] {
			t.Errorf("%s is not described", pattern)
		}
		delete(described, pattern)
	}
	for pattern := range described {
		t.Errorf("%s is described, and not served", pattern)
	}
	fields := map[string][]string{"Request": fieldsOfType(requests.View{}), "RequestEvent": fieldsOfType(requests.EventView{}), "Hold": requests.Columns(privacy.Command{Verb: privacy.VerbHold})}
	for name, verb := range map[string]privacy.Verb{
		"Open": privacy.VerbOpen, "Rectify": privacy.VerbRectify, "Verify": privacy.VerbVerify, "Deny": privacy.VerbDenyRequest,
		"Because": privacy.VerbCancelRequest, "Approve": privacy.VerbApproveRequest, "Run": privacy.VerbRunRequest, "MakeHold": privacy.VerbHold,
	} {
		fields[name] = fieldsOf(verb)
	}
	for name, want := range fields {
		got := slices.Sorted(maps.Keys(doc.Components.Schemas[name].Properties))
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s is described with %q, and has %q", name, got, want)
		}
	}
	for _, name := range regexp.MustCompile(`#/components/schemas/(\w+)`).FindAllStringSubmatch(string(docs.OpenAPI), -1) {
		if _, ok := doc.Components.Schemas[name[1]]; !ok {
			t.Errorf("there is no schema %s", name[1])
		}
	}
}

// fieldsOfType names the fields that a struct has as JSON.
func fieldsOfType(v any) (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// TestAPIServes starts pgveil with the API, and asks it with no token that is
// known.
func TestAPIServes(t *testing.T) {
	server, dir := newServer(t, false), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tokens"), []byte("# nobody yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0"]
api: {listen: "127.0.0.1:0", tokens_file: tokens}
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password_file}`, server.Port()))
	url := "http://" + s.wait(t, "msg=api address=")
	if status, got := ask(t, "GET", url+"/v1/openapi.json", "", ""); status != 200 || got != string(docs.OpenAPI) {
		t.Errorf("the document: %d %.100s", status, got)
	}
	if status, got := ask(t, "GET", url+"/v1/subjects/member/1/consents", petrasToken, ""); status != 401 {
		t.Errorf("without a token that is known: %d %s", status, got)
	}
}
