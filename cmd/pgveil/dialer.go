package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/state"
)

// dialer opens connections of pgveil's own to the governed database.
type dialer struct {
	base  *pgx.ConnConfig // all but the hosts
	hosts []config.Host   // as in upstream

	mu       sync.Mutex
	upstream proxy.Upstream
	opened   []ownConn
	logins   int64
	announce string // as whom it says at once which connections are its own; "": serve says so, or nobody looks
}

// ownConn is a connection of pgveil's own, as it tells it from those of others.
type ownConn struct {
	conn *pgconn.PgConn
	is   state.Backend
}

func newDialer(cfg *config.Config) (*dialer, error) {
	c, err := pgx.ParseConfig("")
	if err != nil {
		return nil, err
	}
	c.Database, c.User, c.Password = cfg.Database, cfg.Server.Login, ""
	c.ConnectTimeout, c.SSLNegotiation = cfg.Server.Timeout, ""
	c.RuntimeParams = map[string]string{"application_name": "pgveil", "search_path": "pg_catalog"}
	if cfg.Server.Direct {
		c.SSLNegotiation = "direct"
	}
	if cfg.Server.Password != "" {
		text, err := os.ReadFile(cfg.Server.Password)
		if err != nil {
			return nil, fmt.Errorf("server.password_file: %w", err)
		}
		c.Password = strings.TrimRight(string(text), "\r\n")
	}
	d := &dialer{base: c}
	if d.hosts, err = cfg.Server.Hosts(); err != nil {
		return nil, fmt.Errorf("server.host: %w", err)
	}
	if cfg.Doors != nil {
		d.announce = rand.Text()
	}
	d.upstream, err = upstream(&cfg.Server)
	return d, err
}

func (d *dialer) setTLS(c *tls.Config) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.upstream.TLS = c
}

// open connects to the first host that can be reached: one that takes writes,
// whose catalog is never behind, or else any.
func (d *dialer) open(ctx context.Context) (*pgx.Conn, error) {
	c := d.config()
	c.ValidateConnect = d.noting(nil)
	if len(d.hosts) > 1 {
		primary := c.Copy()
		primary.ValidateConnect = d.noting(pgconn.ValidateConnectTargetSessionAttrsReadWrite)
		if conn, err := pgx.ConnectConfig(ctx, primary); err == nil || ctx.Err() != nil {
			return d.said(ctx, conn, err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	return d.said(ctx, conn, err)
}

// said is say for a connection that was just opened.
func (d *dialer) said(ctx context.Context, conn *pgx.Conn, err error) (*pgx.Conn, error) {
	if err == nil {
		err = d.say(ctx, conn)
	}
	if err != nil && conn != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, err
}

// say tells the watchers of connections around pgveil, by one that may write,
// which connections are of this run of a verb. Where the tables are missing,
// nobody watches.
func (d *dialer) say(ctx context.Context, conn *pgx.Conn) error {
	if d.announce == "" {
		return nil
	}
	ours, n := d.backends()
	store := &state.Store{Use: func(_ context.Context, f func(*pgx.Conn) error) error { return f(conn) }}
	err := store.ReportProxy(ctx, state.Proxy{ID: d.announce, Name: "pgveil", Logins: n, Backends: ours})
	var missing *privacy.Error
	if errors.As(err, &missing) {
		return nil
	}
	return err
}

// openAt connects to one of the hosts.
func (d *dialer) openAt(ctx context.Context, host int) (*pgx.Conn, error) {
	c := d.config()
	c.ValidateConnect = d.noting(nil)
	if host > 0 {
		f := c.Fallbacks[host-1]
		c.Host, c.Port, c.TLSConfig = f.Host, f.Port, f.TLSConfig
	}
	c.Fallbacks = nil
	return pgx.ConnectConfig(ctx, c)
}

// noting is what a new connection goes through before anything else.
func (d *dialer) noting(validate pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	from := time.Now()
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		d.mu.Lock()
		d.opened = append(d.opened, ownConn{conn, state.Backend{PID: conn.PID(), From: from, Until: time.Now()}})
		d.logins++
		d.mu.Unlock()
		if validate == nil {
			return nil
		}
		return validate(ctx, conn)
	}
}

// backends gives the connections that are open, or were lately, and how many
// there have been.
func (d *dialer) backends() (all []state.Backend, logins int64) {
	const lately = 2 * time.Minute
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = slices.DeleteFunc(d.opened, func(o ownConn) bool {
		select {
		case <-o.conn.CleanupDone():
			return time.Since(o.is.Until) > lately
		default:
			return false
		}
	})
	for _, o := range d.opened {
		all = append(all, o.is)
	}
	return all, d.logins
}

// openBrief is open for statements that touch a few rows: who waits for one of
// them must not wait long for somebody else's lock.
func (d *dialer) openBrief(ctx context.Context) (*pgx.Conn, error) {
	conn, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "SET lock_timeout = '2s'; SET statement_timeout = '5s'"); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

func (d *dialer) config() *pgx.ConnConfig {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.base.Copy()
	c.Fallbacks, c.ValidateConnect = nil, nil
	for i, h := range d.hosts {
		f := &pgconn.FallbackConfig{Host: h.Name, Port: uint16(h.Port), TLSConfig: d.upstream.ClientTLS(d.upstream.Hosts[i])}
		if i == 0 {
			c.Host, c.Port, c.TLSConfig = f.Host, f.Port, f.TLSConfig
			continue
		}
		c.Fallbacks = append(c.Fallbacks, f)
	}
	return c
}

// connection is pgveil's own connection to the server, opened when it is
// needed and again when it broke.
type connection struct {
	open func(context.Context) (*pgx.Conn, error)
	turn chan struct{} // holds one while somebody has conn: who waits need not wait longer than they may
	conn *pgx.Conn
}

func newConnection(open func(context.Context) (*pgx.Conn, error)) *connection {
	return &connection{open: open, turn: make(chan struct{}, 1)}
}

func (c *connection) use(ctx context.Context, f func(*pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the connection: %w", ctx.Err())
	}
	defer func() { <-c.turn }()
	if c.conn == nil || c.conn.IsClosed() || c.conn.Ping(ctx) != nil {
		conn, err := c.open(ctx)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	return f(c.conn)
}

func (c *connection) close() error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.conn.Close(ctx)
}
