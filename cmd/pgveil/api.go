package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/docs"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

// api serves over HTTP what PRIVACY commands do about data subjects and sessions.
// Who asks is known by a token or a certificate, and may do what the policy's user
// may.
type api struct {
	service  *requests.Service
	server   *proxy.Server // whose sessions are contained; nil: none are
	log      *slog.Logger
	audit    *audit.Log
	database string
	tokens   string           // the file; "": nobody has one
	certs    []proxy.CertUser // whose certificates are; nil: whom the common name says
	turns    chan struct{}    // as many requests are served at once as it has room
	streams  chan struct{}    // and as many answers of any length
}

// What one request may take up.
const (
	maxAPIBody     = 64 << 10
	maxAPIHeader   = 16 << 10
	maxAPIRequests = 8
	maxTokens      = 1 << 20 // bytes of the tokens' file
)

// privacyService serves what is about data subjects, by the policy in force.
func (p *process) privacyService(key []byte) *requests.Service {
	data := &dsar.Service{Connect: p.own.open, Keep: max(1, p.cfg.DSAR.Running()), Current: func() (*policy.Set, *catalog.Snapshot) {
		e := p.enforcer.Engine()
		return e.Policy, e.Catalog
	}, Look: func(ctx context.Context) error {
		_, err := p.enforcer.Look(ctx)
		return err
	}, Shred: p.shredder(), Values: p.values()}
	store := &state.Store{Use: p.memory.use, Key: derive(key, "factors"), Alerts: p.alerts}
	return &requests.Service{Data: data, Store: store, Tokens: store.SubjectTokens, Packages: p.cfg.DSAR.Packages}
}

// startAPI serves requests until the context ends, where any are to be served.
func (p *process) startAPI(ctx context.Context, tasks *sync.WaitGroup, failed chan<- error) error {
	if p.cfg.API == nil {
		return nil
	}
	serve, err := p.openAPI()
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	tasks.Go(func() { failed <- serve(ctx) })
	if lists := p.cfg.API.CRL; len(lists) > 0 {
		tasks.Go(func() { config.Watch(ctx, 2*time.Second, p.reloadTLS, lists...) })
	}
	return nil
}

// openAPI listens for requests. What it gives serves them until its context ends.
func (p *process) openAPI() (func(context.Context) error, error) {
	a := &api{
		service: p.privacy, server: p.server, log: p.log, audit: p.audit, database: p.cfg.Database, tokens: p.cfg.API.Tokens,
		turns: make(chan struct{}, maxAPIRequests), streams: make(chan struct{}, maxStreams),
	}
	var err error
	if a.certs, err = apiCertUsers(p.cfg.API); err != nil {
		return nil, err
	}
	if _, err := tokenUser(a.tokens, ""); err != nil && !errors.Is(err, errNoToken) {
		return nil, err
	}
	s := &http.Server{
		Handler: a.handler(), MaxHeaderBytes: maxAPIHeader, ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
	}
	if s.TLSConfig, err = p.apiTLS(); err != nil {
		return nil, err
	}
	d, err := open(p.cfg.API.Listen, 0, p.cfg.Overlap)
	if err != nil {
		return nil, err
	}
	var ln net.Listener = d
	if s.TLSConfig != nil {
		ln = tls.NewListener(d, s.TLSConfig)
	}
	p.log.Info("api", "address", d.Addr().String())
	return func(ctx context.Context) error { return serveHTTP(ctx, s, ln, p.log) }, nil
}

// serveHTTP serves until the context ends, and then what has begun.
func serveHTTP(ctx context.Context, s *http.Server, ln net.Listener, log *slog.Logger) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(closing); err != nil {
			log.Debug("closing the api", "err", err)
		}
	})
	err := s.Serve(ln)
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(docs.OpenAPI) // whoever went away gets none
	})
	for _, table := range []map[string]privacy.Verb{routes, requestRoutes} {
		for pattern, verb := range table {
			mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, verb) })
		}
	}
	for pattern, st := range streams {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.serveStream(w, r, st) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuseHTTP(w, http.StatusNotFound, privacy.Fail("42704", "see /v1/openapi.json", "there is no such address, or not by this method"))
	})
	return exactly(mux)
}

// exactly serves requests for what is there. The mux would send a client on to
// the address that a key with dots and slashes in it leads to, which may be
// another subject's, and what stands behind a question mark means nothing here.
func exactly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.EscapedPath(); p != path.Clean(p) || r.URL.RawQuery != "" && !asks(r) {
			refuseHTTP(w, http.StatusNotFound, privacy.Fail("42704", "a key with / in it is written with %2F; see /v1/openapi.json", "there is no such address"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// asks tells whether something may stand behind the question mark of a request.
func asks(r *http.Request) bool {
	p := r.URL.EscapedPath()
	return r.Method == http.MethodGet && (p == "/v1/requests" || strings.HasPrefix(p, "/v1/subjects/") && strings.HasSuffix(p, "/explain") && strings.Count(p, "/") == 4)
}

// errNoToken says that a request has no token that is known.
var errNoToken = errors.New("no token, or one that nobody has")

// tokenUser gives the policy's user of a token. The file is read each time, so
// that a token that is taken out of it is one no more. Every line is compared.
func tokenUser(file, token string) (string, error) {
	if file == "" {
		return "", errNoToken
	}
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("tokens_file: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTokens+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("tokens_file: %w", err)
	}
	if len(text) > maxTokens {
		return "", fmt.Errorf("tokens_file: it is longer than %d bytes", maxTokens)
	}
	asked, found := sha256.Sum256([]byte(token)), ""
	for n, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		digest, err := hex.DecodeString(fields[len(fields)-1])
		if len(fields) != 2 || err != nil || len(digest) != len(asked) {
			return "", fmt.Errorf("tokens_file: line %d is not a user and 64 hexadecimal digits", n+1)
		}
		if subtle.ConstantTimeCompare(digest, asked[:]) == 1 {
			found = fields[0]
		}
	}
	if found == "" || len(token) < 20 {
		return "", errNoToken
	}
	return found, nil
}

// user gives the policy's user who asks: whose the token is and, where there is
// one, the certificate.
func (a *api) user(r *http.Request) (string, error) {
	owner, shown := a.certUser(r.TLS)
	header := r.Header.Get("Authorization")
	if header == "" && shown {
		if owner == "" {
			return "", errNoToken
		}
		return owner, nil
	}
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return "", errNoToken
	}
	user, err := tokenUser(a.tokens, token)
	if err == nil && shown && user != owner {
		return "", errNoToken
	}
	return user, err
}

// caller gives who asks.
func (a *api) caller(r *http.Request) (by proxy.Officer, err error) {
	user, err := a.user(r)
	if err != nil {
		return by, err
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return by, fmt.Errorf("the client's address: %w", err)
	}
	set, _ := a.service.Data.Current()
	by.From = from.Addr().Unmap()
	by.Access, err = set.Decide(policy.Claim{Login: user, From: by.From})
	var unknown *policy.UnknownLoginError
	if errors.As(err, &unknown) {
		a.log.Error("api: a token or a certificate is of a user that the policy does not have", "user", user)
		return by, errNoToken
	}
	return by, err
}

// refuseHTTP answers with an error.
func refuseHTTP(w http.ResponseWriter, status int, e *privacy.Error) {
	answerHTTP(w, status, map[string]any{"error": map[string]string{"code": string(e.Code), "message": e.Message, "hint": e.Hint}})
}

func answerHTTP(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // whoever went away gets none
}

// statusOf gives the HTTP status for an SQLSTATE.
func statusOf(code privacy.Code) int {
	switch code {
	case privacy.NotAllowed:
		return http.StatusForbidden
	case privacy.NotFound:
		return http.StatusNotFound
	case privacy.Ambiguous, privacy.SchemaChanged:
		return http.StatusConflict
	case privacy.NotAvailable:
		return http.StatusNotImplemented
	default:
		return http.StatusBadRequest
	}
}
