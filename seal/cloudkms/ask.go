// Package cloudkms wraps files of keys under a key of AWS KMS or Google Cloud KMS,
// which never leaves them. Either is asked when a file of keys is made, changed or
// read, and at no other time, by plain HTTP: two calls do not need their libraries.
//
// Whom pgveil is to them a file says, which is read each time, or the machine that it
// runs on: its role or service account.
package cloudkms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/pgveil/pgveil/seal"
)

const (
	within    = 10 * time.Second
	maxAnswer = 64 << 10 // bytes
	keyLen    = 32
)

// purpose is what wrapped keys are bound to: they open for nothing else.
const purpose = "pgveil keys of sealed columns"

func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.DisableKeepAlives = nil, true
	return &http.Client{
		Transport: transport, Timeout: within,
		// Who we are is for the one whom we asked.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// endpoint reads an address that credentials are sent to.
func endpoint(name, address string) (*url.URL, error) {
	at, err := url.Parse(address)
	switch {
	case err != nil, at.Host == "", at.Scheme != "https" && at.Scheme != "http", at.User != nil, at.RawQuery != "", at.Fragment != "":
		return nil, fmt.Errorf("%s: endpoint is not as in https://kms.internal", name)
	case at.Scheme == "http" && !loopback(at.Hostname()):
		return nil, fmt.Errorf("%s: what is sent would go in clear: use https", name)
	}
	return at, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// statusError is an answer that is not what was asked for.
type statusError struct {
	status int
	text   []byte
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d", e.status) }

// ask sends a request, and gives the answer's text.
func ask(client *http.Client, name string, r *http.Request) ([]byte, error) {
	answer, err := client.Do(r)
	if err != nil {
		return nil, &seal.AwayError{Err: fmt.Errorf("%s: %w", name, err)}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, &seal.AwayError{Err: fmt.Errorf("%s: reading its answer: %w", name, err)}
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("%s: its answer is longer than %d bytes", name, maxAnswer)
	case answer.StatusCode != http.StatusOK:
		return nil, &statusError{answer.StatusCode, text}
	}
	return text, nil
}

// askJSON is ask for an answer in JSON.
func askJSON(client *http.Client, name string, r *http.Request, out any) error {
	text, err := ask(client, name, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s: its answer is not understood: is this its address?", name)
	}
	return nil
}

// post makes a request with a body in JSON.
func post(ctx context.Context, at *url.URL, kind string, in any) (*http.Request, []byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", kind)
	return r, body, nil
}

// explained gives an error that says what a status means. said is what the other side
// says of it, which is about the request and never quotes what was to be encrypted.
func explained(name string, e *statusError, said string, hint string) error {
	err := fmt.Errorf("%s: status %d %q", name, e.status, said)
	if hint != "" {
		err = fmt.Errorf("%w: %s", err, hint)
	}
	if e.status >= 500 || e.status == http.StatusTooManyRequests {
		return &seal.AwayError{Err: err}
	}
	return err
}

// asStatus gives the answer that an error is about.
func asStatus(err error) (*statusError, bool) {
	var e *statusError
	ok := errors.As(err, &e)
	return e, ok
}
