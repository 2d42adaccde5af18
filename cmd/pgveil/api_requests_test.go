package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/requests"
)

// TestAPIRequests takes requests from their receipt through everybody who looks at
// them.
func TestAPIRequests(t *testing.T) {
	url, a, auditDir, conn := clubAPI(t)
	long := strings.Repeat("x", 2000)
	for _, tt := range []struct {
		method, path, token, body string
		status                    int
		want                      string // in the answer
	}{
		{"POST", "/v1/requests", petrasToken, `{"what": "erasure", "subject": "member", "key": ["cat@example.org"], "by": "email", "channel": "portal", "reason": "letter"}`, 201, `"request_id":"1","status":"open"`},
		{"GET", "/v1/requests/1", petrasToken, "", 200, `"lacks":["a check of the identity by account","a plan","approvals: 1"]`},
		{"POST", "/v1/requests/1/run", petrasToken, "", 409, "the request lacks"},
		{"POST", "/v1/requests/1/verify", petrasToken, `{"identity": "contact"}`, 200, `"status":"in_progress","reason":"need_user_verification"`},
		{"POST", "/v1/requests/1/verify", petrasToken, `{"identity": "account", "evidence": "login"}`, 200, `"status":"in_progress","received_at"`},
		{"POST", "/v1/requests/1/verify", petrasToken, `{"identity": "me"}`, 400, "one of contact, account, document"},
		{"POST", "/v1/requests/1/plan", petrasToken, "", 200, `"plan_hash":"`},
		{"POST", "/v1/requests/1/plan", petrasToken, `{"reason": "x"}`, 400, "a field that is not for this"},
		{"POST", "/v1/requests/1/approve", petrasToken, "", 403, "nobody approves what they opened"},
		{"POST", "/v1/requests/1/approve", ritasToken, "", 404, "P0002"},
		{"POST", "/v1/requests/1/approve", paulsToken, `{"plan": "00000000"}`, 409, "the plan is another now"},
		{"POST", "/v1/requests/1/approve", paulsToken, `{"plan": "0"}`, 400, "not followed by the hash"},
		{"POST", "/v1/requests/1/approve", paulsToken, "", 200, `"state":"ready"`},
		{"POST", "/v1/requests/1/approve", paulsToken, `{"reason": "again"}`, 403, "already"},
		{"POST", "/v1/requests/1/extend", petrasToken, `{"reason": "many"}`, 200, `"extended":true`},
		{"POST", "/v1/requests/1/extend", petrasToken, `{}`, 400, "a reason is missing"},
		{"POST", "/v1/requests/1/deny", petrasToken, `{"code": "nomatch", "reason": "x"}`, 400, "did you mean no_match?"},
		{"POST", "/v1/requests/1/deny", petrasToken, `{"code": "legal_obligation", "reason": "tax"}`, 200, `"status":"denied","reason":"other"`},
		{"POST", "/v1/requests/1/cancel", petrasToken, `{"reason": "x"}`, 409, "it was denied"},

		{"POST", "/v1/requests", petrasToken, `{"what": "erasure", "subject": "member", "key": ["3"], "at_once": true, "identity": "account", "reason": "letter"}`, 201, `"lacks":["approvals: 1"]`},
		{"POST", "/v1/requests/2/cancel", petrasToken, `{"reason": "phone"}`, 200, `"status":"revoked"`},
		{"POST", "/v1/subjects/member/3/rectify", petrasToken, `{"changes": {"name": "Cäthe", "sponsor": null}, "reason": "letter"}`, 201, `"what":"rectification"`},
		{"POST", "/v1/requests", ritasToken, `{"what": "access", "subject": "member", "key": ["3"]}`, 201, `"request_id":"4"`},
		{"GET", "/v1/requests", ritasToken, "", 200, `"requests":[{"request_id":"4"`},
		{"GET", "/v1/requests?state=done", petrasToken, "", 200, `"status":"revoked"`},
		{"GET", "/v1/requests?state=queued", petrasToken, "", 200, `{"cut":false,"requests":[]}`},
		{"GET", "/v1/requests?state=strange", petrasToken, "", 400, "no requests are called that"},
		{"GET", "/v1/requests?state=open&state=done", petrasToken, "", 400, "42601"},
		{"GET", "/v1/requests?stat=open", petrasToken, "", 400, "42601"},
		{"POST", "/v1/requests?state=open", petrasToken, "{}", 404, "no such address"},
		{"GET", "/v1/requests/1?state=open", petrasToken, "", 404, "no such address"},
		{"GET", "/v1/requests/1", ritasToken, "", 404, "P0002"},
		{"GET", "/v1/requests", edsToken, "", 403, "may not serve data subjects"},
		{"GET", "/v1/requests/1", "", "", 401, "28000"},
		{"GET", "/v1/requests/99", petrasToken, "", 404, "P0002"},
		{"GET", "/v1/requests/one", petrasToken, "", 404, "P0002"},
		{"GET", "/v1/requests/01", petrasToken, "", 404, "P0002"},
		{"GET", "/v1/requests/-1", petrasToken, "", 404, "P0002"},
		{"GET", "/v1/requests/99999999999999999999", petrasToken, "", 404, "P0002"},
		{"GET", "/v1/requests/2/certificate", petrasToken, "", 404, "has no certificate"},
		{"GET", "/v1/requests/2/package", petrasToken, "", 404, "access and portability only"},
		{"GET", "/v1/requests/4/package", petrasToken, "", 409, "not completed"},

		{"POST", "/v1/requests", petrasToken, ``, 400, "what is asked for"},
		{"POST", "/v1/requests", petrasToken, `{"what": "erasure", "subject": "member"}`, 400, "whom it is about"},
		{"POST", "/v1/requests", petrasToken, `{"what": "erasure", "subject": "member", "key": [""]}`, 400, "whom it is about"},
		{"POST", "/v1/requests", petrasToken, `{"what": "erasure", "subject": "member", "key": "3"}`, 400, "not the JSON"},
		{"POST", "/v1/requests", petrasToken, `{"what": "erasure", "subject": "member", "key": ["99"]}`, 404, "no such member"},
		{"POST", "/v1/requests", petrasToken, `{"what": "access", "subject": "member", "key": ["3"], "at_once": true, "reason": "x"}`, 400, "only erasures and rectifications"},
		{"POST", "/v1/requests", petrasToken, `{"what": "access", "subject": "member", "key": ["3"], "identity": "x"}`, 400, "identity is not checked like that"},
		{"POST", "/v1/requests", petrasToken, `{"what": "access", "subject": "member", "key": ["3"], "received": "soon"}`, 400, "22P02"},
		{"POST", "/v1/requests", petrasToken, `{"what": "access", "subject": "member", "key": ["3"], "regime": "gpdr"}`, 400, "did you mean gdpr?"},
		{"POST", "/v1/requests", petrasToken, `{"what": "access", "subject": "member", "key": ["3"], "code": "other"}`, 400, "not for this"},
		{"POST", "/v1/requests", petrasToken, `{"what": "access", "subject": "member", "key": ["3"], "channel": "` + long + `"}`, 400, "too long"},
		{"POST", "/v1/requests", petrasToken, `{"what": "rectification", "subject": "member", "key": ["3"], "changes": {"name": "a", "name": "b"}}`, 400, "not the JSON"},
		{"POST", "/v1/requests", petrasToken, `{"what": "rectification", "subject": "member", "key": ["3"], "changes": {"name": "a\u0000"}}`, 400, "not text"},
		{"POST", "/v1/requests", petrasToken, `{"what": "rectification", "subject": "member", "key": ["3"], "changes": {"name": 7}}`, 400, "not the JSON"},
		{"POST", "/v1/requests", petrasToken, `{"what": "restriction", "subject": "member", "key": ["3"]}`, 400, "a reason is missing"},
		{"POST", "/v1/requests", edsToken, `{"what": "restriction", "subject": "member", "key": ["3"], "reason": "x"}`, 403, "42501"},
		{"POST", "/v1/requests", petrasToken, strings.Repeat(" ", 100_000), 400, "not the JSON"},
		{"PUT", "/v1/requests/1", petrasToken, "", 404, "no such address"},

		{"POST", "/v1/holds", petrasToken, `{"subject": "member", "key": ["3"], "reason": "case 7"}`, 200, `"number":"1"`},
		{"POST", "/v1/holds", petrasToken, `{"table": "public.visits", "until": "2999-01-01", "reason": "audit"}`, 200, `"table":"public.visits"`},
		{"POST", "/v1/holds", petrasToken, `{"table": "public.visits", "subject": "member", "key": ["3"], "reason": "audit"}`, 400, "what is held"},
		{"POST", "/v1/holds", petrasToken, `{"table": "public.visits"}`, 400, "a reason is missing"},
		{"GET", "/v1/holds", petrasToken, "", 200, `"matter":"case 7"`},
		{"GET", "/v1/holds", ritasToken, "", 403, "42501"},
		{"DELETE", "/v1/holds/1", petrasToken, `{"reason": "settled"}`, 200, `"number":"1"`},
		{"DELETE", "/v1/holds/1", petrasToken, `{"reason": "settled"}`, 404, "no such hold"},
		{"GET", "/v1/subjects/member/explain?as=pdf", petrasToken, "", 400, "42601"},
		{"GET", "/v1/subjects/nobody/explain", petrasToken, "", 400, "42704"},
		{"GET", "/v1/subjects/member/99/export", petrasToken, "", 404, "no such member"},
		{"GET", "/v1/subjects/member/3/export", edsToken, "", 403, "42501"},
		{"GET", "/v1/subjects/member/3/export", "", "", 401, "28000"},
		{"GET", "/v1/subjects/member/3/export", ritasToken, "", 200, `"cat@example.org"`},
	} {
		status, got := ask(t, tt.method, url+tt.path, tt.token, tt.body)
		if status != tt.status || !strings.Contains(got, tt.want) || !json.Valid([]byte(got)) {
			t.Errorf("%s %s %.120s = %d %s; want %d %q", tt.method, tt.path, tt.body, status, got, tt.status, tt.want)
		}
	}
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pgveil.requests").Scan(&n); err != nil || n != 4 {
		t.Errorf("%d requests were written down, %v", n, err)
	}
	recordedAll(t, a, auditDir)
}

// recordedAll looks whether the access log has all that was done about requests.
func recordedAll(t *testing.T, a *api, dir string) {
	t.Helper()
	logged := map[string]bool{}
	for r, err := range audit.Read(dir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		logged[r.Event] = true
		if text := r.Shape + r.Message; strings.Contains(text, "example.org") || strings.Contains(text, "letter") {
			t.Errorf("the log holds a value: %+v", r)
		}
	}
	views, _, err := a.service.Views(t.Context(), "all", requests.By{User: "test", May: func(string) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		v, err := a.service.Look(t.Context(), v.Number, requests.By{User: "test", May: func(string) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range v.Events {
			if !logged[e.Digest] {
				t.Errorf("the access log does not have that %s %s", e.Who, e.What)
			}
		}
	}
}

// TestAPIFiles sends certificates and packages as they are.
func TestAPIFiles(t *testing.T) {
	url, a, _, conn := clubAPI(t)
	for _, what := range []string{"access", "erasure", "portability"} {
		ask(t, "POST", url+"/v1/requests", petrasToken, `{"what": "`+what+`", "subject": "member", "key": ["3"]}`)
	}
	const signed = "{\"certificate\": true}\n"
	if _, err := conn.Exec(t.Context(), "UPDATE pgveil.requests SET state = 'completed', ended_at = now(), certificate = $1", []byte(signed)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.service.Packages, requests.PackageName(1)), bytes.Repeat([]byte("zip"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/v1/requests/2/certificate": signed, "/v1/requests/1/package": strings.Repeat("zip", 1<<20)} {
		if status, got := ask(t, "GET", url+path, petrasToken, ""); status != 200 || got != want {
			t.Errorf("%s: %d, %d bytes, %.80s", path, status, len(got), got)
		}
	}
	for path, want := range map[string]int{"/v1/requests/3/package": 404, "/v1/requests/2/package": 404} {
		if status, got := ask(t, "GET", url+path, petrasToken, ""); status != want {
			t.Errorf("%s: %d %.80s", path, status, got)
		}
	}
	a.service.Packages = ""
	if status, _ := ask(t, "GET", url+"/v1/requests/1/package", petrasToken, ""); status != 501 {
		t.Errorf("without a folder: %d", status)
	}
}

// TestAPIStreams reads an export for longer than an answer may take otherwise, and
// one that is cut off by the server.
func TestAPIStreams(t *testing.T) {
	url, _, auditDir, conn := clubAPI(t)
	if _, err := conn.Exec(t.Context(), "INSERT INTO visits SELECT i, 3, i FROM generate_series(100, 400100) AS i"); err != nil {
		t.Fatal(err)
	}
	get := func() *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/subjects/member/3/export", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+petrasToken)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	// The server waits for the client here, beyond its deadlines for other answers.
	resp := get()
	begin := make([]byte, 1<<10)
	if _, err := io.ReadFull(resp.Body, begin); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT pg_sleep(1.5)"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(resp.Body)
	var doc struct {
		Counts map[string]int64 `json:"counts"`
	}
	if err = errors.Join(err, json.Unmarshal(append(begin, rest...), &doc)); err != nil || doc.Counts["public.visits"] != 400001 {
		t.Errorf("read slowly: %v, counts %v", err, doc.Counts)
	}

	resp = get()
	if _, err := io.ReadFull(resp.Body, begin); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'").Scan(&n); err != nil || n != 1 {
		t.Fatalf("%d sessions were ended, %v", n, err)
	}
	if rest, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%d bytes of an answer that was cut off look like all of it", len(rest))
	}
	var done, failed int
	for r, err := range audit.Read(auditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Message == "done" {
			done++
		}
		if r.Message == "failed" {
			failed++
		}
	}
	if done != 1 || failed != 1 {
		t.Errorf("the access log has %d exports as done, and %d as failed", done, failed)
	}
}

// TestAPICertificates proves who asks by a certificate, until it is revoked.
func TestAPICertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key, crl := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "crl")
	roots := writeCertificate(t, cert, key)
	ca := authorityOf(t, cert, key)
	writeCRL(t, crl, ca, 6)
	server := newServer(t, false)
	s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0"]
tls: {cert: tls.crt, key: tls.key}
api: {listen: "127.0.0.1:0", cert: tls.crt, key: tls.key, client_ca: tls.crt, crl: crl, cert_users: [{match: "cn:portal", user: alice}, {match: "cn:old portal", user: gone}]}
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password_file}`, server.Port()))
	url := "https://" + s.wait(t, "msg=api address=")
	arrive := func(token string, shown ...tls.Certificate) (int, error) {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: shown}}}
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/holds", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := c.Do(r)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	for _, tt := range []struct {
		name, token string
		shown       []tls.Certificate
		want        int
	}{
		{"none", "", nil, 401},
		{"a user's, who may not", "", []tls.Certificate{client(t, ca, "portal")}, 403},
		{"nobody's", "", []tls.Certificate{client(t, ca, "alice")}, 401},
		{"of a user that the policy does not have", "", []tls.Certificate{client(t, ca, "old portal")}, 401},
		{"and a token that nobody has", petrasToken, []tls.Certificate{client(t, ca, "portal")}, 401},
	} {
		if got, err := arrive(tt.token, tt.shown...); got != tt.want || err != nil {
			t.Errorf("certificate %s: %d, %v, want %d", tt.name, got, err, tt.want)
		}
	}
	writeCRL(t, crl, ca, 6, 7)
	s.wait(t, "certificates in force")
	if got, err := arrive("", client(t, ca, "portal")); err == nil {
		t.Errorf("by a revoked certificate: %d", got)
	}
}

// TestAPITokenAndCertificate wants both to be of one user where both are shown.
func TestAPITokenAndCertificate(t *testing.T) {
	_, a, _, _ := clubAPI(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, cert, key)
	ca := authorityOf(t, cert, key)
	for _, tt := range []struct{ name, token, want string }{
		{"petra", petrasToken, "petra"}, {"paul", petrasToken, ""}, {"petra", "", "petra"}, {"", petrasToken, "petra"}, {"", "", ""},
	} {
		r := &http.Request{Header: http.Header{}, TLS: &tls.ConnectionState{}}
		if tt.name != "" {
			r.TLS.VerifiedChains = chainOf(t, client(t, ca, tt.name))
		}
		if tt.token != "" {
			r.Header.Set("Authorization", "Bearer "+tt.token)
		}
		got, err := a.user(r)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("certificate of %q, token %.4s: %q, %v; want %q", tt.name, tt.token, got, err, tt.want)
		}
	}
	ofTwo := &tls.ConnectionState{VerifiedChains: chainOf(t, client(t, ca, "portal"))}
	name := proxy.CertName{Kind: proxy.CommonName, Name: "portal"}
	for _, tt := range []struct {
		certs []proxy.CertUser
		want  string
	}{
		{[]proxy.CertUser{{CertName: name, User: "petra"}}, "petra"},
		{[]proxy.CertUser{{CertName: name, User: "petra"}, {CertName: name, User: "petra"}}, "petra"},
		{[]proxy.CertUser{{CertName: name, User: "petra"}, {CertName: name, User: "paul"}}, ""},
		{[]proxy.CertUser{}, ""},
	} {
		a.certs = tt.certs
		if got, shown := a.certUser(ofTwo); got != tt.want || !shown {
			t.Errorf("with the list %v the certificate is that of %q, %v; want %q", tt.certs, got, shown, tt.want)
		}
	}
}

func chainOf(t *testing.T, c tls.Certificate) [][]*x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return [][]*x509.Certificate{{leaf}}
}

// TestAPIKeepsQueriesOutOfTheLog: what stands behind the question mark is in the
// access log where it is a word that is known.
func TestAPIKeepsQueriesOutOfTheLog(t *testing.T) {
	url, _, auditDir, _ := clubAPI(t)
	if status, got := ask(t, "GET", url+"/v1/requests?state=cat@example.org", petrasToken, ""); status != 400 || !strings.Contains(got, "no requests are called that") {
		t.Errorf("%d %s", status, got)
	}
	err := filepath.WalkDir(auditDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("cat@example.org")) {
			t.Errorf("the access log has it: %s", filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
