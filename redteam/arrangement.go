package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/internal/veil"
)

const configuration = `listen: ["127.0.0.1:0"]
database: %[1]s
policy: policy.yaml
server: {host: 127.0.0.1, port: %[2]d, tls: disable, login: %[3]s, password_file: password}
auth: {method: scram}
audit: {dir: audit, durability: relaxed}
key: key
log: {format: json}
`

// arrangement is what stands between clients and a database of its own: nothing,
// or pgveils.
type arrangement struct {
	name     string
	stage    *stage
	database string
	proxies  []*proxy
	shared   func(ctx context.Context, a *arrangement) (line string, err error) // where pgveils count together; nil: each by itself
	close    func() error                                                       // of what shared started; may be nil
}

// proxy is a pgveil that is started again on another port.
type proxy struct {
	binary, dir string

	mu    sync.Mutex // held while it is not there
	veil  *veil.Veil
	wrong error // of runs that have ended
}

// arrangements are what the red team runs against, the server itself first.
func arrangements(s *stage) []*arrangement {
	inFile := func(_ context.Context, a *arrangement) (string, error) {
		return "counters: {file: " + filepath.Join(s.work, a.database+".journal") + "}\n", nil
	}
	return []*arrangement{
		{name: direct, stage: s, database: "direct"},
		{name: "one", stage: s, database: "one", proxies: make([]*proxy, 1)},
		{name: "two, a file", stage: s, database: "two", proxies: make([]*proxy, 2), shared: inFile},
		{name: "three, Valkey", stage: s, database: "three", proxies: make([]*proxy, 3), shared: byValkey},
	}
}

const direct = "direct"

// byValkey starts a Valkey, or a Redis, by which pgveils count together.
func byValkey(ctx context.Context, a *arrangement) (string, error) {
	server, err := redisserver.Start(ctx, redisserver.Options{})
	if err != nil {
		return "", err
	}
	a.close = server.Stop
	return fmt.Sprintf("counters: {valkey: {address: %q, tls: disable, timeout: 5s}}\n", server.Addr()), nil
}

// start makes the database and starts the pgveils.
func (a *arrangement) start(ctx context.Context) error {
	if err := a.stage.exec(ctx, "postgres", "CREATE DATABASE "+a.database+" TEMPLATE template_crowd"); err != nil {
		return err
	}
	text := fmt.Sprintf(configuration, a.database, a.stage.server.Port(), pgserver.Superuser)
	if a.shared != nil {
		line, err := a.shared(ctx, a)
		if err != nil {
			return err
		}
		text += line
	}
	for i := range a.proxies {
		p := &proxy{binary: a.stage.pgveil, dir: filepath.Join(a.stage.work, fmt.Sprintf("%s-%d", a.database, i))}
		a.proxies[i] = p
		err := writeFiles(p.dir, map[string]string{"pgveil.yaml": text, "policy.yaml": a.stage.policy, "key": key, "password": a.stage.server.Password()})
		if err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, p.binary, "schema", "--apply", "--config", filepath.Join(p.dir, "pgveil.yaml")).CombinedOutput(); err != nil {
			return fmt.Errorf("pgveil schema: %w\n%s", err, out)
		}
		if p.veil, err = veil.Start(ctx, p.binary, p.dir); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the pgveils, and gives what they complained of.
func (a *arrangement) stop() error {
	var errs []error
	for _, p := range a.proxies {
		if p != nil && p.veil != nil {
			errs = append(errs, p.wrong, p.veil.Stop())
		}
	}
	if a.close != nil {
		errs = append(errs, a.close())
	}
	return errors.Join(errs...)
}

// port gives the port of one of those that take logins.
func (a *arrangement) port(n int) int {
	if len(a.proxies) == 0 {
		return a.stage.server.Port()
	}
	p := a.proxies[n%len(a.proxies)]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.veil.Port()
}

// restart ends a pgveil, by a signal that it hears or by one that it does not, and
// starts it again.
func (p *proxy) restart(ctx context.Context, kill bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if kill {
		err = p.veil.Kill()
	} else {
		err = p.veil.Stop()
	}
	if err != nil {
		return err
	}
	p.veil, err = veil.Start(context.WithoutCancel(ctx), p.binary, p.dir) // it outlives the evasion
	return err
}
