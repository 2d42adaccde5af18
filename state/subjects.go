package state

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// tokenLen is the length of a token's random part, in bytes.
const tokenLen = 16

const (
	findSubjects = `SELECT key, token FROM pgveil.subjects WHERE kind = $1 AND key = ANY ($2::text[])`
	addSubjects  = `INSERT INTO pgveil.subjects (kind, key, token)
		SELECT $1, n.key, n.token FROM ROWS FROM (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) AS n (key, token)
		ON CONFLICT (kind, key) DO NOTHING RETURNING key, token`
)

// SubjectTokens gives what the access log calls the subjects of one kind, by
// their keys. Whoever has no token yet gets one, which is durable when this
// returns: what the log says must be understood for as long as the row is there.
func (s *Store) SubjectTokens(ctx context.Context, kind string, keys []string) (map[string]string, error) {
	var tokens map[string]string
	err := s.use(ctx, "naming data subjects for the access log", func(c *pgx.Conn) (err error) {
		tokens, err = subjectTokens(ctx, c, kind, keys)
		return err
	})
	return tokens, err
}

func subjectTokens(ctx context.Context, c *pgx.Conn, kind string, keys []string) (map[string]string, error) {
	tokens := make(map[string]string, len(keys))
	if err := readTokens(ctx, c, tokens, findSubjects, kind, keys); err != nil {
		return nil, err
	}
	missing := without(keys, tokens)
	if len(missing) == 0 {
		return tokens, nil
	}
	made := make([]string, len(missing))
	for i := range made {
		token, err := newToken()
		if err != nil {
			return nil, err
		}
		made[i] = token
	}
	if err := readTokens(ctx, c, tokens, addSubjects, kind, missing, made); err != nil {
		return nil, err
	}
	// Those that somebody else has added meanwhile.
	if missing = without(missing, tokens); len(missing) > 0 {
		if err := readTokens(ctx, c, tokens, findSubjects, kind, missing); err != nil {
			return nil, err
		}
	}
	if missing = without(missing, tokens); len(missing) > 0 {
		return nil, fmt.Errorf("%d subjects of kind %q were removed while they were named", len(missing), kind)
	}
	return tokens, nil
}

// ForgetSubject forgets whom a token stands for: records of the access log that
// name it are of somebody, and nobody can say whom.
func ForgetSubject(ctx context.Context, tx pgx.Tx, kind, token string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM pgveil.subjects WHERE kind = $1 AND token = $2", kind, token); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "UPDATE pgveil.requests SET key = NULL WHERE kind = $1 AND token = $2 AND ended_at IS NOT NULL AND key IS NOT NULL", kind, token)
	return err
}

// without gives the keys that have no token, each once and in order: whoever
// adds rows in another order could wait for us while we wait for them.
func without(keys []string, tokens map[string]string) (missing []string) {
	for _, k := range keys {
		if _, ok := tokens[k]; !ok {
			missing = append(missing, k)
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

func readTokens(ctx context.Context, c *pgx.Conn, tokens map[string]string, sql string, args ...any) error {
	// Planned each time: a plan that was made while the table was small reads all of it.
	rows, err := c.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		return err
	}
	var key, token string
	_, err = pgx.ForEachRow(rows, []any{&key, &token}, func() error {
		tokens[key] = token
		return nil
	})
	return err
}

func newToken() (string, error) {
	var b [tokenLen]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}
