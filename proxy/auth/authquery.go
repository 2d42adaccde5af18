package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// DefaultQuery finds the verifier of a role that may log in now. The name is
// compared as text: cast to a name, one that is too long would be cut short and
// be somebody else's.
//
// It needs the right to read pg_authid. A service login without it calls a
// SECURITY DEFINER function that does the same, including the check of
// rolvaliduntil: a query that leaves it out lets expired passwords in.
const DefaultQuery = `SELECT a.rolpassword
FROM pg_catalog.pg_authid AS a
WHERE a.rolname OPERATOR(pg_catalog.=) $1::pg_catalog.text
  AND a.rolcanlogin
  AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil OPERATOR(pg_catalog.>) pg_catalog.now())`

// AuthQuery looks verifiers up on the server, over one connection of pgveil's
// own that is opened when first needed and again when it broke. It may be used
// by many logins at once. Nothing that a client sends reaches the connection but
// the user name, as a parameter.
type AuthQuery struct {
	// Keep is how long what the server said of a user, be it that there is none,
	// counts without asking again. Until then a changed or expired password stays
	// valid. Zero asks every time. It is set before the first Lookup.
	Keep time.Duration

	open  func(context.Context) (*pgx.Conn, error)
	query string

	turn chan struct{} // holds one token: who has it may use conn
	conn *pgx.Conn     // nil before the first lookup

	mu   sync.Mutex
	kept [2]map[string]kept // those with a verifier, and those without: guesses fill only the latter
}

// maxKept bounds how many of each are kept.
const maxKept = 1000

// kept is what the server said of a user. Who has no verifier is kept as well,
// or the quicker answer would tell who has one.
type kept struct {
	Verifier
	none  error // why there is no verifier
	until time.Time
}

// NewAuthQuery returns an AuthQuery over connections that open makes. The query
// takes the user name as $1 and returns one column: the verifier, in no or in
// one row. An empty query is DefaultQuery.
func NewAuthQuery(open func(context.Context) (*pgx.Conn, error), query string) *AuthQuery {
	if query == "" {
		query = DefaultQuery
	}
	q := &AuthQuery{open: open, query: query, turn: make(chan struct{}, 1), kept: [2]map[string]kept{{}, {}}}
	q.leave()
	return q
}

// Lookup is a [Lookup]. A role whose password is not a SCRAM verifier counts as
// having none. Of several lookups of a user at once one asks, and those who wait
// for their turn behind it take its verifier.
func (q *AuthQuery) Lookup(ctx context.Context, user string) (Verifier, error) {
	if k, ok := q.recall(user); ok {
		return k.Verifier, k.none
	}
	if err := q.wait(ctx); err != nil {
		return Verifier{}, err
	}
	defer q.leave()
	if k, ok := q.recall(user); ok {
		return k.Verifier, k.none
	}
	asked := time.Now()
	text, err := q.ask(ctx, user)
	if err != nil && !errors.Is(err, ErrNoVerifier) {
		return Verifier{}, err
	}
	k := kept{none: err, until: asked.Add(q.Keep)}
	if err == nil {
		if k.Verifier, err = ParseVerifier(text); err != nil {
			k.none = fmt.Errorf("%w: %w", ErrNoVerifier, err)
		}
	}
	q.keep(user, k)
	return k.Verifier, k.none
}

// Close ends the connection. A later Lookup opens another.
func (q *AuthQuery) Close(ctx context.Context) error {
	if err := q.wait(ctx); err != nil {
		return err
	}
	defer q.leave()
	if q.conn == nil {
		return nil
	}
	return q.conn.Close(ctx)
}

// wait returns once the caller alone may use conn, until it calls leave.
func (q *AuthQuery) wait(ctx context.Context) error {
	select {
	case <-q.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for auth_query: %w", context.Cause(ctx))
	}
}

func (q *AuthQuery) leave() { q.turn <- struct{}{} }

// ask queries; the caller has its turn. A connection that turns out to be broken
// when used again is replaced once: the server may have restarted since.
func (q *AuthQuery) ask(ctx context.Context, user string) (string, error) {
	used := q.conn != nil && !q.conn.IsClosed()
	if err := q.connect(ctx); err != nil {
		return "", err
	}
	text, err := q.row(ctx, user)
	if err != nil && used && q.conn.IsClosed() && ctx.Err() == nil {
		if err := q.connect(ctx); err != nil {
			return "", err
		}
		text, err = q.row(ctx, user)
	}
	return text, err
}

func (q *AuthQuery) connect(ctx context.Context) error {
	if q.conn != nil && !q.conn.IsClosed() {
		return nil
	}
	conn, err := q.open(ctx)
	if err != nil {
		return fmt.Errorf("connect for auth_query: %w", err)
	}
	// A query of the operator's may leave schemas out: the path is ours,
	// whatever settings the role has.
	if _, err := conn.Exec(ctx, "SET search_path = pg_catalog"); err != nil {
		return errors.Join(fmt.Errorf("connect for auth_query: %w", err), conn.Close(ctx))
	}
	q.conn = conn
	return nil
}

// row returns the one value of the one row.
func (q *AuthQuery) row(ctx context.Context, user string) (string, error) {
	// One round trip, with nothing prepared that could be lost. The error comes
	// again from the rows.
	rows, _ := q.conn.Query(ctx, q.query, pgx.QueryExecModeExec, user)
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[*string])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", fmt.Errorf("%w: unknown, expired or not LOGIN", ErrNoVerifier)
	case err != nil:
		return "", fmt.Errorf("auth_query: %w", err)
	case text == nil:
		return "", fmt.Errorf("%w: role has no password", ErrNoVerifier)
	}
	return *text, nil
}

func (q *AuthQuery) recall(user string) (kept, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, all := range q.kept {
		if k, ok := all[user]; ok && now.Before(k.until) {
			return k, true
		}
	}
	return kept{}, false
}

// keep remembers what the server said of a user. Where there is no room left,
// one whose time is over, or else any, makes place.
func (q *AuthQuery) keep(user string, k kept) {
	if q.Keep <= 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, all := range q.kept {
		delete(all, user)
	}
	all := q.kept[0]
	if k.none != nil {
		all = q.kept[1]
	}
	if len(all) >= maxKept {
		now := time.Now()
		maps.DeleteFunc(all, func(_ string, k kept) bool { return !now.Before(k.until) })
	}
	for name := range all {
		if len(all) < maxKept {
			break
		}
		delete(all, name)
	}
	all[user] = k
}
