package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

// Factor is a user's second factor: an authenticator that shares a secret with
// pgveil and makes codes of it and of the time (RFC 6238).
type Factor struct {
	User      string
	Algorithm string        // SHA1 or SHA256
	Digits    int           // of a code: 6 or 8
	Period    time.Duration // after which there is another code
	Created   time.Time
	Confirmed bool          // a right code was given once
	Failures  int           // since the last right code
	Blocked   time.Duration // for how long no code is taken; not positive: codes are taken
	Recovery  int           // recovery codes that are left
}

// Enrolment is a second factor as its user gets it, once: neither the secret nor
// the recovery codes can be had again.
type Enrolment struct {
	Factor
	Secret   []byte
	Recovery []string
}

// recoveryCodes is how many a user gets.
const recoveryCodes = 10

// Enrol makes a second factor for a user. It counts from its first right code
// on. One that counts already stays, unless it is to be replaced.
func (s *Store) Enrol(ctx context.Context, f Factor, replace bool) (*Enrolment, error) {
	size, ok := secretSizes[f.Algorithm]
	if !ok || f.Digits != 6 && f.Digits != 8 || f.Period < 15*time.Second || f.Period%time.Second != 0 || f.User == "" {
		return nil, fmt.Errorf("no authenticator makes %d digits by %q every %s", f.Digits, f.Algorithm, f.Period)
	}
	e := &Enrolment{Factor: f, Secret: make([]byte, size)}
	if _, err := rand.Read(e.Secret); err != nil {
		return nil, err
	}
	sealed, err := s.seal(&f, e.Secret)
	if err != nil {
		return nil, fmt.Errorf("enrolling %s: %w", f.User, err)
	}
	digests := make([][]byte, recoveryCodes)
	for i := range digests {
		code, err := recoveryCode()
		if err == nil {
			digests[i], err = s.digest(f.User, code)
		}
		if err != nil {
			return nil, fmt.Errorf("enrolling %s: %w", f.User, err)
		}
		e.Recovery = append(e.Recovery, code)
	}
	const insert = `INSERT INTO pgveil.factors AS f (username, secret, algorithm, digits, period, recovery) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (username) DO UPDATE SET secret = excluded.secret, algorithm = excluded.algorithm, digits = excluded.digits,
			period = excluded.period, recovery = excluded.recovery, last_step = -1, failures = 0, blocked_until = NULL,
			confirmed_at = NULL, created_at = excluded.created_at
		WHERE $7 OR f.confirmed_at IS NULL`
	n, err := s.exec(ctx, "enrolling", insert, f.User, sealed, f.Algorithm, f.Digits, f.Period, digests, replace)
	if err == nil && n == 0 {
		err = privacy.Fail(privacy.NotAllowed, "--reset replaces it", "%s has a second factor", f.User)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// RemoveFactor takes a user's second factor away.
func (s *Store) RemoveFactor(ctx context.Context, user string) error {
	n, err := s.exec(ctx, "removing a second factor", `DELETE FROM pgveil.factors WHERE username = $1`, user)
	if err == nil && n == 0 {
		return privacy.Fail(privacy.NotFound, "", "%s has no second factor", user)
	}
	return err
}

// Factors gives every second factor, in order of the users' names.
func (s *Store) Factors(ctx context.Context) (all []Factor, err error) {
	err = s.use(ctx, "reading second factors", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT username, algorithm, digits, period, created_at, confirmed_at IS NOT NULL, failures,
			coalesce(extract(epoch FROM blocked_until - clock_timestamp()), 0)::float8, cardinality(recovery)
			FROM pgveil.factors ORDER BY username COLLATE "C"`)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Factor, err error) {
			var blocked float64
			err = row.Scan(&f.User, &f.Algorithm, &f.Digits, &f.Period, &f.Created, &f.Confirmed, &f.Failures, &blocked, &f.Recovery)
			f.Blocked = seconds(blocked)
			return f, err
		})
		return err
	})
	return all, err
}

// CodeDigits gives how long a user's codes are; 0 is for users whose second
// factor does not count yet, or who have none.
func (s *Store) CodeDigits(ctx context.Context, user string) (digits int, err error) {
	err = s.use(ctx, "reading a second factor", func(c *pgx.Conn) error {
		err := c.QueryRow(ctx, `SELECT digits FROM pgveil.factors WHERE username = $1 AND confirmed_at IS NOT NULL`, user).Scan(&digits)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return digits, err
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// exec runs a statement, and tells how many rows it changed.
func (s *Store) exec(ctx context.Context, doing, sql string, args ...any) (n int64, err error) {
	err = s.use(ctx, doing, func(c *pgx.Conn) error {
		tag, err := c.Exec(ctx, sql, args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}
