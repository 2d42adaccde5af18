package ship

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// HTTP is how a target that speaks HTTP is reached. Redirects are not followed:
// what is sent must not go to where somebody else says.
type HTTP struct {
	URL    string // what a target posts to is below it
	TLS    *tls.Config
	Token  func() (string, error) // read for each request, so that it can be replaced; nil: none
	Scheme string                 // of the token: Bearer, Splunk, ApiKey or Basic (then it is user:password)

	client *http.Client
}

// answerMost is how many bytes of an answer are read.
const answerMost = 8 << 20

// statusError is an answer other than 2xx.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("the answer is %d: %s", e.code, e.text) }

// post sends a body and gives the answer's, if that is a 2xx.
func (h *HTTP) post(ctx context.Context, path, contentType string, body []byte, headers map[string]string) ([]byte, error) {
	url := h.URL
	if path != "" {
		url = strings.TrimSuffix(url, "/") + path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	if err := h.authorize(req); err != nil {
		return nil, err
	}
	resp, err := h.connection().Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read from
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerMost+1))
	switch {
	case resp.StatusCode/100 != 2:
		return nil, statusOf(resp, answer)
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", err)
	case len(answer) > answerMost:
		return nil, fmt.Errorf("the answer is longer than %d bytes", answerMost)
	}
	return answer, nil
}

func (h *HTTP) authorize(req *http.Request) error {
	if h.Token == nil {
		return nil
	}
	token, err := h.Token()
	if err != nil {
		return err
	}
	if h.Scheme == "Basic" {
		user, password, _ := strings.Cut(token, ":")
		req.SetBasicAuth(user, password)
		return nil
	}
	req.Header.Set("Authorization", h.Scheme+" "+token)
	return nil
}

func (h *HTTP) connection() *http.Client {
	if h.client == nil {
		h.client = &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: h.TLS, ForceAttemptHTTP2: true, MaxIdleConns: 2,
				IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return h.client
}

func (h *HTTP) Limit() int { return 0 }

func (h *HTTP) Close() error {
	if h.client != nil {
		h.client.CloseIdleConnections()
	}
	return nil
}

// statusOf makes an error of an answer: of one that says when to come again, or
// that it was too much, a special one.
func statusOf(resp *http.Response, answer []byte) error {
	err := error(&statusError{resp.StatusCode, excerpt(answer)})
	if resp.StatusCode == http.StatusRequestEntityTooLarge {
		return errors.Join(errTooLarge, err)
	}
	if after := retryAfter(resp.Header.Get("Retry-After")); after > 0 {
		return &busyError{after, err}
	}
	return err
}

func retryAfter(value string) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds < 1<<20 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at)
	}
	return 0
}

// excerpt is the beginning of what a server said, fit for a log.
func excerpt(answer []byte) string {
	text := strings.Map(func(c rune) rune {
		if isControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(string(answer[:min(len(answer), 300)]), "?"))
	return strings.TrimSpace(text)
}

// decode reads an answer that should be JSON.
func decode(answer []byte, into any) error {
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the answer is not understood: %w: %s", err, excerpt(answer))
	}
	return nil
}
