// Package transit wraps files of keys under a key of HashiCorp Vault, or OpenBao.
package transit

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pgveil/pgveil/seal"
)

// Transit wraps under a key of a transit secrets engine, which never leaves Vault (or
// OpenBao). It is asked when a file of keys is made, changed or read, and at no other
// time.
type Transit struct {
	address   *url.URL
	mount     string
	key       string
	namespace string
	token     func() (string, error)
	client    *http.Client
}

// Options say where Vault is. The zero of each is its default, where there is one.
type Options struct {
	Address   string // https://host:port; http only on the loopback
	Mount     string // of the transit engine; transit
	Key       string // its name in the engine
	Namespace string // of Vault Enterprise; none
	CA        string // PEM file; the system's roots
	Token     func() (string, error)
}

const (
	within    = 10 * time.Second
	maxAnswer = 64 << 10 // bytes
	prefix    = "vault:"
)

// New checks the options. It does not ask Vault.
func New(o Options) (*Transit, error) {
	at, err := url.Parse(o.Address)
	switch {
	case err != nil, at.Host == "", at.Scheme != "https" && at.Scheme != "http":
		return nil, errors.New("vault: address is not as in https://vault.internal:8200")
	case at.User != nil, at.RawQuery != "", at.Fragment != "":
		return nil, errors.New("vault: address says more than where it is")
	case at.Scheme == "http" && !loopback(at.Hostname()):
		return nil, errors.New("vault: the token would go in clear: use https")
	case o.Key == "" || strings.ContainsAny(o.Key, "/?#%"):
		return nil, errors.New("vault: key is the name of a key of the transit engine")
	case o.Token == nil:
		return nil, errors.New("vault: there is no token")
	}
	if o.Mount == "" {
		o.Mount = "transit"
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.DisableKeepAlives = nil, true
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("vault: %s holds no certificate", o.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &Transit{
		address: at, mount: strings.Trim(o.Mount, "/"), key: o.Key, namespace: o.Namespace, token: o.Token,
		client: &http.Client{
			Transport: transport, Timeout: within,
			// A token is for the one it was given to.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// bound has what was wrapped here opened for nothing else, where the key derives.
var bound = base64.StdEncoding.EncodeToString([]byte("pgveil keys of sealed columns"))

// Wrap has Vault encrypt a key.
func (v *Transit) Wrap(ctx context.Context, key []byte) (string, error) {
	var out struct{ Ciphertext string }
	err := v.ask(ctx, "encrypt", map[string]string{"plaintext": base64.StdEncoding.EncodeToString(key), "context": bound}, &out)
	if err == nil && !strings.HasPrefix(out.Ciphertext, prefix) || strings.ContainsAny(out.Ciphertext, "\r\n") {
		err = errors.New("vault: its answer is not a ciphertext")
	}
	return out.Ciphertext, err
}

// Unwrap has Vault decrypt a key.
func (v *Transit) Unwrap(ctx context.Context, wrapped string) ([]byte, error) {
	if !strings.HasPrefix(wrapped, prefix) {
		return nil, errors.New("it was wrapped by something else than Vault")
	}
	var out struct{ Plaintext string }
	if err := v.ask(ctx, "decrypt", map[string]string{"ciphertext": wrapped, "context": bound}, &out); err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(out.Plaintext)
	if err != nil || len(key) != 32 {
		return nil, errors.New("vault: its answer is not a key")
	}
	return key, nil
}

func (v *Transit) ask(ctx context.Context, verb string, in map[string]string, out any) error {
	token, err := v.token()
	if err != nil {
		return fmt.Errorf("vault: reading the token: %w", err)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.address.JoinPath("v1", v.mount, verb, v.key).String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Vault-Token", token)
	r.Header.Set("X-Vault-Request", "true")
	r.Header.Set("Content-Type", "application/json")
	if v.namespace != "" {
		r.Header.Set("X-Vault-Namespace", v.namespace)
	}
	answer, err := v.client.Do(r)
	if err != nil {
		return &seal.AwayError{Err: fmt.Errorf("vault: %w", err)}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return &seal.AwayError{Err: fmt.Errorf("vault: reading its answer: %w", err)}
	}
	if len(text) > maxAnswer {
		return fmt.Errorf("vault: its answer is longer than %d bytes", maxAnswer)
	}
	if answer.StatusCode != http.StatusOK {
		return refusal(answer.StatusCode, text, verb, v.key)
	}
	data := struct{ Data any }{out}
	if err := json.Unmarshal(text, &data); err != nil {
		return errors.New("vault: its answer is not understood: is this Vault's address?")
	}
	return nil
}

// refusal is what a status means, with what Vault itself says. That is about the
// request, and never quotes what was to be encrypted.
func refusal(status int, text []byte, verb, key string) error {
	var said struct{ Errors []string }
	_ = json.Unmarshal(text, &said) // else it says nothing
	why := fmt.Errorf("vault: status %d %q", status, said.Errors)
	switch {
	case status == http.StatusForbidden:
		return fmt.Errorf("%w: the token may not %s under the key %q, or is over", why, verb, key)
	case status == http.StatusNotFound, status == http.StatusBadRequest:
		return fmt.Errorf("%w: is %q a key of the engine, and the one that wrapped this?", why, key)
	case status == http.StatusServiceUnavailable:
		return &seal.AwayError{Err: fmt.Errorf("%w: it is sealed, or not ready", why)}
	case status >= 500, status == http.StatusTooManyRequests, status == 472, status == 473:
		return &seal.AwayError{Err: why}
	default:
		return why
	}
}
