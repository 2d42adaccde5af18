package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Webhook posts each alert as JSON. Redirects are not followed: an alert must not
// go to where somebody else says.
type Webhook struct {
	URL   string
	TLS   *tls.Config
	Token func() (string, error) // of a bearer, read for each request; nil: none
	// Secret, when not nil, gives what Sign signs with, anew for each request.
	Secret func() ([]byte, error)

	client *http.Client
}

// The sizes of secrets, as Standard Webhooks has them.
const (
	secretPrefix = "whsec_"
	secretLeast  = 24 // bytes
	secretMost   = 64
)

// ParseSecret reads a secret as Standard Webhooks writes it: whsec_ and 24 to 64
// bytes in base64. An error does not tell what was read.
func ParseSecret(text string) ([]byte, error) {
	encoded, found := strings.CutPrefix(strings.TrimSpace(text), secretPrefix)
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(secret) < secretLeast || len(secret) > secretMost {
		return nil, fmt.Errorf("a secret is %s and %d to %d bytes in base64", secretPrefix, secretLeast, secretMost)
	}
	return secret, nil
}

// Sign signs a request as Standard Webhooks does: HMAC-SHA256 of its id, when it
// is sent in seconds since 1970, and its body, with dots between them.
func Sign(secret []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// body is what a webhook posts.
type body struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Severity string         `json:"severity"`
	Message  string         `json:"message"`
	Meaning  string         `json:"meaning,omitempty"`
	Time     time.Time      `json:"time"`
	Since    time.Time      `json:"since"`
	Count    int            `json:"count"`
	Host     string         `json:"host"`
	Login    string         `json:"login,omitempty"`
	User     string         `json:"user,omitempty"`
	Addr     string         `json:"addr,omitempty"`
	Session  string         `json:"session,omitempty"`
	App      string         `json:"app,omitempty"`
	Details  map[string]any `json:"details,omitempty"`
}

func (a *Alert) json() ([]byte, error) {
	d := data{
		ID: a.ID, Name: a.Name, Severity: a.Severity.String(), Message: a.Message, Meaning: Meaning(a.Name), Time: a.Time.UTC(),
		Since: a.Since.UTC(), Count: a.Count, Host: a.Host, Login: a.Login, User: a.User, Addr: a.Addr, Session: a.Session, App: a.App,
		Details: make(map[string]any, len(a.Details)),
	}
	for _, attr := range a.Details {
		d.Details[attr.Key] = attr.Value.Any()
	}
	return json.Marshal(body{Type: "pgveil.alert", Timestamp: a.Time.UTC(), Data: d})
}

// Send posts an alert. Any 2xx means that it was taken.
func (w *Webhook) Send(ctx context.Context, a *Alert) error {
	text, err := a.json()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "pgveil")
	if err := w.prove(req, a.ID, text); err != nil {
		return err
	}
	resp, err := w.connection().Do(req)
	if err != nil {
		return withoutAddress(err)
	}
	defer func() { _ = resp.Body.Close() }()           // it was only read from
	_, _ = io.CopyN(io.Discard, resp.Body, answerMost) // so that the connection can be used again
	return taken(resp.StatusCode)
}

// answerMost is how many bytes of an answer are read.
const answerMost = 64 << 10

// prove adds what says who sends a request.
func (w *Webhook) prove(req *http.Request, id string, text []byte) error {
	now := time.Now()
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if w.Secret != nil {
		secret, err := w.Secret()
		if err != nil {
			return err
		}
		req.Header.Set("Webhook-Signature", Sign(secret, id, now, text))
	}
	if w.Token != nil {
		token, err := w.Token()
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return nil
}

// taken tells what an answer means. What the receiver writes with it is not told:
// it may be anything.
func taken(status int) error {
	said := fmt.Sprintf("the answer is %d %s", status, http.StatusText(status))
	switch {
	case status/100 == 2:
		return nil
	case status/100 == 3:
		return &Refused{said + ": redirects are not followed"}
	case slices.Contains([]int{http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}, status):
		return &Refused{said}
	default:
		return errors.New(said)
	}
}

// withoutAddress takes the address out of an error: who knows it can post there.
func withoutAddress(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (w *Webhook) connection() *http.Client {
	if w.client == nil {
		w.client = &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: w.TLS.Clone(), ForceAttemptHTTP2: true, MaxIdleConns: 1,
				IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: answerMost,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return w.client
}

// Close ends connections that nothing uses.
func (w *Webhook) Close() error {
	if w.client != nil {
		w.client.CloseIdleConnections()
	}
	return nil
}
