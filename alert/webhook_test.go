package alert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// verified does what docs/alerts.md tells receivers to do.
func verified(secret string, h http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, h.Get("webhook-id")+"."+h.Get("webhook-timestamp")+"."+string(body))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(want), []byte(h.Get("webhook-signature")))
}

// TestSign is the example that Standard Webhooks gives of itself.
func TestSign(t *testing.T) {
	secret, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
	if err != nil {
		t.Fatal(err)
	}
	got := Sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("Sign = %s, want %s", got, want)
	}
	for _, text := range []string{"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_%", "whsec_" + strings.Repeat("MfKQ", 30)} {
		if _, err := ParseSecret(text); err == nil || text != "" && text != "whsec_" && strings.Contains(err.Error(), text) {
			t.Errorf("ParseSecret(%q) = %v", text, err)
		}
	}
}

// TestWebhook posts an alert to a server that looks at all of it.
func TestWebhook(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	var got body
	var good, forged bool
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer token" || r.Header.Get("Webhook-Id") != "alert_1" {
			t.Errorf("%s %v, %v", r.Method, r.Header, err)
		}
		good = verified(secret, r.Header, text)
		forged = verified(secret, r.Header, []byte(strings.Replace(string(text), "warning", "notice", 1)))
		w.WriteHeader(http.StatusNoContent)
	}))
	a := newAuthority(t)
	server.TLS = a.server(t)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // a handshake is to fail
	server.StartTLS()
	defer server.Close()
	w := &Webhook{
		URL: server.URL, TLS: a.client(), Token: func() (string, error) { return "token", nil },
		Secret: func() ([]byte, error) { return ParseSecret(secret) },
	}
	if err := send(t, w, cruel(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if !good || forged {
		t.Errorf("the signature is right: %v; of another body: %v", good, forged)
	}
	d := got.Data
	if got.Type != "pgveil.alert" || d.Name != "login_lockout" || d.Severity != "warning" || d.Count != 3 || d.Meaning == "" || d.Details["n"] != -7.0 || d.Details["b"] != true || d.Details["nan"] != "NaN" || d.Login != cruel().Login {
		t.Errorf("%+v", got)
	}
	w.Secret = func() ([]byte, error) { return nil, errors.New("gone") }
	if err := send(t, w, cruel(), time.Second); err == nil || err.Error() != "gone" {
		t.Errorf("without its secret, Send = %v", err)
	}
	strangers := &Webhook{URL: server.URL, TLS: newAuthority(t).client()}
	if err := send(t, strangers, cruel(), time.Second); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("to a server of another authority, Send = %v", err)
	}
	if err := errors.Join(w.Close(), strangers.Close()); err != nil {
		t.Error(err)
	}
}

// TestAnswers says which answers are the last word. A redirect is not followed,
// and what the receiver writes is not told.
func TestAnswers(t *testing.T) {
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	status := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", other.URL)
		w.WriteHeader(status)
		if status/100 != 2 || status == 200 {
			io.WriteString(w, "secret words")
		}
	}))
	defer server.Close()
	for _, tt := range []struct {
		status int
		want   string // ok, last or again
	}{{200, "ok"}, {202, "ok"}, {204, "ok"}, {301, "last"}, {302, "last"}, {307, "last"}, {308, "last"}, {400, "last"}, {401, "again"}, {404, "again"}, {410, "last"}, {413, "last"}, {422, "last"}, {429, "again"}, {500, "again"}, {503, "again"}} {
		status = tt.status
		w := &Webhook{URL: server.URL + "/secret-path"}
		err := send(t, w, cruel(), 5*time.Second)
		got := "ok"
		if err != nil {
			got = "again"
			if errors.As(err, new(*Refused)) {
				got = "last"
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%d: %v", tt.status, err)
			}
		}
		if got != tt.want {
			t.Errorf("%d is %s, want %s", tt.status, got, tt.want)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if elsewhere != 0 {
		t.Errorf("%d alerts went elsewhere", elsewhere)
	}
}

// TestEndlessAnswer does not read more than it needs of who never stops.
func TestEndlessAnswer(t *testing.T) {
	asked := func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)) }
	address := serve(t, listen(t), func(c net.Conn) {
		asked(c)
		for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err == nil; _, err = io.WriteString(c, strings.Repeat("x", 1<<16)) {
		}
	})
	if err := send(t, &Webhook{URL: "http://" + address}, cruel(), 5*time.Second); err != nil {
		t.Errorf("Send = %v", err)
	}
	headers := serve(t, listen(t), func(c net.Conn) {
		asked(c)
		for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n"); err == nil; _, err = io.WriteString(c, "X: "+strings.Repeat("x", 1<<16)+"\r\n") {
		}
	})
	if err := send(t, &Webhook{URL: "http://" + headers}, cruel(), 5*time.Second); err == nil {
		t.Error("an endless header is an answer")
	}
}
