package dsar

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

// Seen is what the access log shows of who saw a subject's rows. It names roles
// and purposes, not persons: those who work for a controller are no recipients.
type Seen struct {
	Recorded bool      `json:"recorded"` // there is an access log, and it was read
	Since    time.Time `json:"since,omitzero"`
	By       []SeenBy  `json:"by"`
}

// SeenBy is one kind of recipient.
type SeenBy struct {
	Roles    string    `json:"roles"`
	Purpose  string    `json:"purpose,omitempty"`
	Certain  int64     `json:"statements"`                   // that returned or changed the subject's rows
	Possible int64     `json:"possible_statements,omitzero"` // that may have
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// Requests stands for the purpose of PRIVACY commands that were given without
// one.
const Requests = "requests of data subjects"

// seenThere tells whether the access log is in the database, for this login.
const seenThere = `SELECT CASE WHEN f IS NULL THEN false ELSE has_function_privilege(f, 'EXECUTE') END
	FROM to_regprocedure('pgveil.who_saw(text, text, timestamptz, timestamptz)') AS f`

const seenBy = `SELECT array_to_string(roles, ', '),
		CASE WHEN coalesce(purpose, '') = '' AND command = 'PRIVACY' THEN '` + Requests + `' ELSE coalesce(purpose, '') END,
		count(*) FILTER (WHERE certain), count(*) FILTER (WHERE NOT certain), min(at), max(at)
	FROM pgveil.who_saw($1, $2::text)
	GROUP BY 1, 2 ORDER BY 3 DESC, 4 DESC, 1, 2`

// seenSince gives from when on the log in the database is kept whole, if it is
// known.
const seenSince = `SELECT min(at) FROM pgveil.access_log`

func (p *packer) seen(ctx context.Context, tx pgx.Tx) (Seen, error) {
	is, err := p.graph.named(ctx, tx, p.subject)
	if err != nil {
		return Seen{}, err
	}
	if p.options.Seen != nil {
		return p.options.Seen(ctx, p.graph.Subject.Name, is.Name)
	}
	seen := Seen{By: []SeenBy{}}
	if err := tx.QueryRow(ctx, seenThere).Scan(&seen.Recorded); err != nil || !seen.Recorded {
		return seen, err
	}
	rows, err := tx.Query(ctx, seenBy, p.graph.Subject.Name, is.Name)
	if err != nil {
		return seen, err
	}
	var by SeenBy
	_, err = pgx.ForEachRow(rows, []any{&by.Roles, &by.Purpose, &by.Certain, &by.Possible, &by.First, &by.Last}, func() error {
		by.First, by.Last = by.First.UTC(), by.Last.UTC()
		seen.By = append(seen.By, by)
		return nil
	})
	if err != nil {
		return seen, err
	}
	var since *time.Time
	if err := tx.QueryRow(ctx, seenSince).Scan(&since); err != nil {
		return seen, err
	}
	if since != nil {
		seen.Since = since.UTC()
	}
	return seen, nil
}

// KeyText gives a subject's key as the access log's table of tokens has it.
func (g *Graph) KeyText(ctx context.Context, conn *pgx.Conn, key privacy.Key) (string, error) {
	found, err := g.resolve(ctx, conn, key)
	if err != nil {
		return "", fmt.Errorf("finding a %s: %w", g.Subject.Name, err)
	}
	return found.Name, nil
}
