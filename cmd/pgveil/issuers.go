package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy/auth"
	"github.com/pgveil/pgveil/proxy/token"
)

// How keys from the network are kept.
const (
	keysRenewed = 15 * time.Minute // how often they are fetched
	keysRetried = 30 * time.Second // after a failure
	keysSpared  = 10 * time.Second // between two fetches, whatever tokens name
	keysKept    = 24 * time.Hour   // how long the last ones count while none can be fetched
)

// issuer is one issuer of tokens, and where its keys are from.
type issuer struct {
	config.Token
	keys   *token.Keys
	client *http.Client  // nil: its keys are in a file
	wake   chan struct{} // told that a token named a key that is not there
	next   time.Duration // until keys are fetched again
}

// issuers is all of them. Those of context tokens and those of logins are
// verified apart: one's tokens must not pass for the other's.
type issuers struct {
	all             []*issuer
	context, logins *token.Verifier
}

// newIssuers makes verifiers that have no keys yet.
func newIssuers(list []config.Token) (*issuers, error) {
	is := &issuers{}
	var context, logins []token.Issuer
	for _, t := range list {
		i := &issuer{Token: t, keys: &token.Keys{}, wake: make(chan struct{}, 1)}
		if t.SetURL != "" || t.Discover {
			client, err := keyClient(t.CA)
			if err != nil {
				return nil, fmt.Errorf("tokens: %s: ca: %w", t.Issuer, err)
			}
			i.client = client
			i.keys.Wanted(i.want)
		}
		is.all = append(is.all, i)
		if t.Use == "login" {
			logins = append(logins, i.issuer())
		} else {
			context = append(context, i.issuer())
		}
	}
	var err [2]error
	is.context, err[0] = token.New(context...)
	is.logins, err[1] = token.New(logins...)
	if err := errors.Join(err[:]...); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	return is, nil
}

// issuer gives what package token knows of it.
func (i *issuer) issuer() token.Issuer {
	t := token.Issuer{
		Name: i.Issuer, Use: token.Context, Audience: i.Audience, Algorithms: i.algorithms(), Keys: i.keys,
		MaxAge: i.MaxAge, Logins: i.Logins, User: i.User, Groups: i.Groups, Names: i.Names,
	}
	if i.Use == "login" {
		t.Use = token.Login
	}
	if i.Leeway != nil {
		if t.Leeway = *i.Leeway; t.Leeway == 0 {
			t.Leeway = -1
		}
	}
	return t
}

func (i *issuer) algorithms() (list []jose.SignatureAlgorithm) {
	for _, a := range i.Algorithms {
		list = append(list, jose.SignatureAlgorithm(a))
	}
	return list
}

// want asks for other keys. It does not wait.
func (i *issuer) want() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// provider gives where clients get tokens for logins: of the first issuer that
// can be asked.
func (is *issuers) provider() auth.Provider {
	for _, i := range is.all {
		if i.Use == "login" && config.CheckURL(i.Issuer) == nil {
			return auth.Provider{Configuration: i.configuration(), Scope: i.Scope}
		}
	}
	return auth.Provider{}
}

// configuration gives the address of an OpenID provider's configuration.
func (i *issuer) configuration() string {
	return strings.TrimSuffix(i.Issuer, "/") + "/.well-known/openid-configuration"
}

// load reads all keys that are in files, and puts them in force together or not
// at all.
func (is *issuers) load() error {
	sets := make([]*token.KeySet, len(is.all))
	for n, i := range is.all {
		if i.client != nil {
			continue
		}
		var err error
		if sets[n], err = i.read(); err != nil {
			return fmt.Errorf("tokens: %s: %w", i.Issuer, err)
		}
	}
	for n, i := range is.all {
		if sets[n] != nil {
			i.keys.Put(sets[n], time.Time{})
		}
	}
	return nil
}

// read reads the keys of one issuer from its file. Others must not be able to
// read a file from which tokens could be signed.
func (i *issuer) read() (*token.KeySet, error) {
	path, parse := i.KeyFile, token.ParseKey
	if i.SetFile != "" {
		path, parse = i.SetFile, func(text []byte) (*token.KeySet, error) { return token.ParseSet(text, true) }
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set, err := parse(text)
	if err == nil {
		err = set.Fits(i.algorithms())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if info, err := os.Stat(path); set.Secret() && (err != nil || info.Mode().Perm()&0o077 != 0) {
		return nil, fmt.Errorf("%s may be read by others, who could sign with it: chmod 600 it", path)
	}
	return set, nil
}

// distant runs something for every issuer whose keys are in the network, all at
// once, and waits for them.
func (is *issuers) distant(run func(*issuer)) {
	var tasks sync.WaitGroup
	for _, i := range is.all {
		if i.client != nil {
			tasks.Go(func() { run(i) })
		}
	}
	tasks.Wait()
}

// first fetches keys from the network once. Without them pgveil does start, and
// refuses tokens until it has them.
func (is *issuers) first(ctx context.Context, log *slog.Logger) {
	is.distant(func(i *issuer) { i.try(ctx, log) })
}

// keepFresh fetches keys again, on a timer and when a token names one that is
// not there, until the context ends.
func (is *issuers) keepFresh(ctx context.Context, log *slog.Logger) {
	is.distant(func(i *issuer) {
		for i.rest(ctx) {
			i.try(ctx, log)
		}
	})
}

// try fetches keys once, within a time that a start can wait for.
func (i *issuer) try(ctx context.Context, log *slog.Logger) {
	i.next = keysRenewed
	limited, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	if err := i.renew(limited); err != nil && ctx.Err() == nil {
		log.Error("fetching keys: those in force stay in force for a while", "issuer", i.Issuer, "err", err)
		i.next = keysRetried
	}
}

// rest waits until keys shall be fetched again; false when never.
func (i *issuer) rest(ctx context.Context) bool {
	spared, due := time.NewTimer(keysSpared), time.NewTimer(i.next)
	defer spared.Stop()
	defer due.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-spared.C:
	}
	select {
	case <-ctx.Done():
		return false
	case <-due.C:
	case <-i.wake:
	}
	return true
}

// renew fetches keys, and puts them in force.
func (i *issuer) renew(ctx context.Context) error {
	now := time.Now()
	set, err := i.fetch(ctx)
	if err == nil {
		err = set.Fits(i.algorithms())
	}
	if err != nil {
		return err
	}
	i.keys.Put(set, now.Add(keysKept))
	return nil
}
