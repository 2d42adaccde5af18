package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy/token"
)

// Bounds of what an issuer may answer.
const (
	keysTimeout = 10 * time.Second
	maxKeysText = 1 << 20
)

// keyClient makes a client for one issuer. It follows no redirects: keys are
// where the configuration or the issuer itself says that they are.
func keyClient(ca string) (*http.Client, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if ca != "" {
		roots, err := readRoots(ca)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = roots
	}
	return &http.Client{
		Transport: t, Timeout: keysTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// fetch gets an issuer's keys from the network.
func (i *issuer) fetch(ctx context.Context) (*token.KeySet, error) {
	address := i.SetURL
	if i.Discover {
		var err error
		if address, err = i.discover(ctx); err != nil {
			return nil, err
		}
	}
	text, err := get(ctx, i.client, address, nil)
	if err != nil {
		return nil, err
	}
	set, err := token.ParseSet(text, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return set, nil
}

// discover asks an OpenID provider where its keys are. It must call itself what
// the configuration calls it, or it speaks for somebody else.
func (i *issuer) discover(ctx context.Context) (string, error) {
	address := i.configuration()
	text, err := get(ctx, i.client, address, nil)
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return "", fmt.Errorf("%s: not the configuration of a provider", address)
	}
	if doc.Issuer != i.Issuer {
		return "", fmt.Errorf("%s: it is the configuration of another issuer, %q", address, doc.Issuer)
	}
	if err := config.CheckURL(doc.Keys); err != nil {
		return "", fmt.Errorf("%s: jwks_uri: %w", address, err)
	}
	return doc.Keys, nil
}

// get gives a document of limited size. Its errors show nothing of the headers.
func get(ctx context.Context, c *http.Client, address string, headers map[string]string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := c.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKeysText+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	if len(text) > maxKeysText {
		return nil, fmt.Errorf("%s: more than %d bytes", address, maxKeysText)
	}
	return text, nil
}
