package state

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/privacy"
)

// After freeFailures wrong codes in a row none is taken for a while, which
// doubles with each further one. With three steps in force at a time, six digits
// are guessed in a day of trying with a probability of one in 3000.
const (
	freeFailures = 5
	countAttempt = `UPDATE pgveil.factors SET failures = failures + 1, blocked_until = CASE WHEN failures + 1 >= $2
			THEN clock_timestamp() + least(interval '15 minutes', interval '30 seconds' * power(2, least(failures + 1 - $2, 10))) END
		WHERE username = $1 AND (blocked_until IS NULL OR blocked_until <= clock_timestamp())
		RETURNING secret, algorithm, digits, period, failures`
	acceptStep = `UPDATE pgveil.factors SET last_step = $3, failures = 0, blocked_until = NULL, confirmed_at = coalesce(confirmed_at, now())
		WHERE username = $1 AND secret = $2 AND last_step < $3`
	acceptRecovery = `UPDATE pgveil.factors SET recovery = array_remove(recovery, $3), failures = 0, blocked_until = NULL
		WHERE username = $1 AND secret = $2 AND confirmed_at IS NOT NULL AND $3 = ANY (recovery)`
)

// CheckFactor tells whether a code is right: nil means that it is, and that it
// was used up with that. It may be a code of the authenticator or, of the length
// privacy.RecoveryDigits, a recovery code. A *privacy.Error says what is wrong.
//
// The attempt is counted before the code is looked at, and a code is used up by
// one statement that only one of all that bring it can win: trying many at once
// gives no more attempts, and two sessions do not share a code.
func (s *Store) CheckFactor(ctx context.Context, user, code string, now time.Time) error {
	f, sealed, err := s.attempt(ctx, user)
	if err != nil {
		return err
	}
	secret, err := s.open(f, sealed)
	if err != nil {
		s.tell(alert.Event{Name: "second_factor_unreadable", Message: "a second factor cannot be read"}, f)
		return privacy.Fail(privacy.NotAvailable, "an operator enrols you anew with pgveil user totp --reset", "your second factor cannot be read")
	}
	if len(code) == privacy.RecoveryDigits {
		err = s.recover(ctx, f, sealed, code)
	} else {
		err = s.accept(ctx, f, sealed, secret, code, now)
	}
	var said *privacy.Error
	if f.Failures >= freeFailures && errors.As(err, &said) {
		s.tell(alert.Event{Name: "second_factor_lockout", Message: "codes of a second factor are wrong too often"}, f)
	}
	return err
}

// attempt counts an attempt, and gives the factor with its sealed secret.
func (s *Store) attempt(ctx context.Context, user string) (f *Factor, sealed []byte, err error) {
	f = &Factor{User: user}
	err = s.use(ctx, "checking a second factor", func(c *pgx.Conn) error {
		err := c.QueryRow(ctx, countAttempt, user, freeFailures).Scan(&sealed, &f.Algorithm, &f.Digits, &f.Period, &f.Failures)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		var left float64
		err = c.QueryRow(ctx, `SELECT coalesce(extract(epoch FROM blocked_until - clock_timestamp()), 0)::float8 FROM pgveil.factors WHERE username = $1`, user).Scan(&left)
		if errors.Is(err, pgx.ErrNoRows) {
			return privacy.Fail(privacy.NotFound, "an operator enrols you with pgveil user totp", "you have no second factor here")
		}
		if err != nil {
			return err
		}
		wait := max(seconds(left), 0).Truncate(time.Second) + time.Second
		return privacy.Fail(privacy.NotAllowed, "", "after too many wrong codes none is taken for %s", wait)
	})
	return f, sealed, err
}

// accept uses a code of an authenticator up.
func (s *Store) accept(ctx context.Context, f *Factor, sealed, secret []byte, code string, now time.Time) error {
	step, ok, err := f.step(secret, code, now)
	if err != nil {
		return err
	}
	if !ok {
		return wrongCode()
	}
	n, err := s.exec(ctx, "accepting a code", acceptStep, f.User, sealed, step)
	if err == nil && n == 0 {
		return privacy.Fail(privacy.NotAllowed, "wait for the next one", "this one-time code, or a later one, was used already")
	}
	return err
}

// recover uses a recovery code up.
func (s *Store) recover(ctx context.Context, f *Factor, sealed []byte, code string) error {
	digest, err := s.digest(f.User, code)
	if err != nil {
		return err
	}
	n, err := s.exec(ctx, "accepting a recovery code", acceptRecovery, f.User, sealed, digest)
	if err == nil && n == 0 {
		return wrongCode()
	}
	if err == nil {
		s.tell(alert.Event{Name: "second_factor_recovery", Message: "a recovery code was used up"}, f)
	}
	return err
}

func wrongCode() error {
	return privacy.Fail(privacy.NotAllowed, "each code is good for a short time: is your device's clock right?", "the one-time code is not right")
}

// tell tells operators what they must look at.
func (s *Store) tell(e alert.Event, f *Factor) {
	if s.Alerts != nil {
		e.Severity, e.User, e.Details = alert.Warning, f.User, []slog.Attr{slog.Int("failures", f.Failures)}
		s.Alerts.Raise(e)
	}
}
