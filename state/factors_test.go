package state_test

import (
	"context"
	"encoding/base32"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// now is the beginning of a time step.
var now = time.Unix(1_800_000_000, 0)

const step = 30 * time.Second

func enrol(t *testing.T, store *state.Store, user string) *state.Enrolment {
	t.Helper()
	e, err := store.Enrol(t.Context(), state.Factor{User: user, Algorithm: "SHA1", Digits: 6, Period: step}, false)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// codeAt gives what the authenticator shows.
func codeAt(t *testing.T, e *state.Enrolment, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCodeCustom(base32.StdEncoding.EncodeToString(e.Secret), at, totp.ValidateOpts{
		Period: uint(e.Period / time.Second), Digits: otp.Digits(e.Digits),
		Algorithm: map[string]otp.Algorithm{"SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256}[e.Algorithm],
	})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// wrongAt gives a code that is right at no step near a time.
func wrongAt(t *testing.T, e *state.Enrolment, at time.Time) string {
	t.Helper()
	right := []string{codeAt(t, e, at.Add(-step)), codeAt(t, e, at), codeAt(t, e, at.Add(step))}
	for i := range 4 {
		if code := fmt.Sprintf("%06d", i); !strings.Contains(strings.Join(right, " "), code) {
			return code
		}
	}
	panic("three codes are four")
}

func TestCheckFactor(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	e := enrol(t, store, "alice")
	enrol(t, store, "bob")
	for _, tt := range []struct {
		name, user, code string
		at               time.Time
		want             privacy.Code
	}{
		{"not enrolled", "carol", codeAt(t, e, now), now, privacy.NotFound},
		{"a right code", "alice", codeAt(t, e, now), now, ""},
		{"again", "alice", codeAt(t, e, now), now, privacy.NotAllowed},
		{"again, a step later", "alice", codeAt(t, e, now), now.Add(step), privacy.NotAllowed},
		{"the step before it", "alice", codeAt(t, e, now.Add(-step)), now, privacy.NotAllowed},
		{"the next, from a clock that is ahead", "alice", codeAt(t, e, now.Add(step)), now, ""},
		{"from a clock that is too far ahead", "alice", codeAt(t, e, now.Add(3*step)), now.Add(step), privacy.NotAllowed},
		{"from a clock that is behind", "alice", codeAt(t, e, now.Add(2*step)), now.Add(3 * step), ""},
		{"from a clock that is too far behind", "alice", codeAt(t, e, now.Add(3*step)), now.Add(5 * step), privacy.NotAllowed},
		{"another's", "bob", codeAt(t, e, now.Add(5*step)), now.Add(5 * step), privacy.NotAllowed},
		{"of another length", "alice", codeAt(t, e, now.Add(5*step)) + "00", now.Add(5 * step), privacy.NotAllowed},
		{"a clock that was set back", "alice", codeAt(t, e, now), now, privacy.NotAllowed},
		{"before there was a clock", "alice", "000000", time.Unix(-100, 0), privacy.NotAllowed},
		{"none", "alice", "", now, privacy.NotAllowed},
		{"spaces", "alice", "      ", now, privacy.NotAllowed},
		{"what is no digit", "alice", "１２", now, privacy.NotAllowed},
		{"a megabyte", "alice", strings.Repeat("1", 1<<20), now, privacy.NotAllowed},
		{"a name that is SQL", "alice' OR 'a' = 'a", codeAt(t, e, now.Add(4*step)), now.Add(4 * step), privacy.NotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.exec(t, "UPDATE pgveil.factors SET failures = 0, blocked_until = NULL")
			err := store.CheckFactor(t.Context(), tt.user, tt.code, tt.at)
			if got := code(t, err); got != tt.want {
				t.Errorf("CheckFactor = %v, want %q", err, tt.want)
			}
			if err != nil && tt.code != "" && strings.Contains(err.Error(), tt.code) {
				t.Errorf("the error has the code in it: %v", err)
			}
		})
	}
}

func TestOtherAuthenticators(t *testing.T) {
	store := newSite(t).store(t)
	for i, f := range []state.Factor{{Algorithm: "SHA256", Digits: 8, Period: time.Minute}, {Algorithm: "SHA1", Digits: 8, Period: step}} {
		f.User = fmt.Sprint("user", i)
		e, err := store.Enrol(t.Context(), f, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.CheckFactor(t.Context(), f.User, codeAt(t, e, now), now); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
		if digits, err := store.CodeDigits(t.Context(), f.User); digits != 8 || err != nil {
			t.Errorf("CodeDigits = %d, %v", digits, err)
		}
	}
	for _, f := range []state.Factor{
		{}, {User: "x", Algorithm: "MD5", Digits: 6, Period: step}, {User: "x", Algorithm: "SHA1", Digits: 7, Period: step},
		{User: "x", Algorithm: "SHA1", Digits: 6}, {Algorithm: "SHA1", Digits: 6, Period: step}, {User: "x", Algorithm: "SHA1", Digits: 6, Period: step + 1},
	} {
		if e, err := store.Enrol(t.Context(), f, true); err == nil {
			t.Errorf("Enrol(%+v) = %+v", f, e)
		}
	}
}

// Of sessions that bring one code at once, one has it accepted.
func TestOneCodeForOneSession(t *testing.T) {
	s := newSite(t)
	e := enrol(t, s.store(t), "alice")
	for round := range 5 {
		at := now.Add(time.Duration(round) * step)
		s.exec(t, "UPDATE pgveil.factors SET failures = 0, blocked_until = NULL")
		codes := together(t, s, 4, func(_ int, store *state.Store) error {
			return store.CheckFactor(t.Context(), "alice", codeAt(t, e, at), at)
		})
		if codes[""] != 1 || codes[privacy.NotAllowed] != 3 {
			t.Fatalf("round %d: %v", round, codes)
		}
		recovery := together(t, s, 4, func(_ int, store *state.Store) error {
			return store.CheckFactor(t.Context(), "alice", e.Recovery[round], at)
		})
		if recovery[""] != 1 || recovery[privacy.NotAllowed] != 3 {
			t.Fatalf("round %d: the recovery code: %v", round, recovery)
		}
	}
}

// Trying at once gives no more attempts than trying one after another.
func TestLockoutOfMany(t *testing.T) {
	s := newSite(t)
	e := enrol(t, s.store(t), "alice")
	wrong := wrongAt(t, e, now)
	said := make(chan string, 20)
	together(t, s, cap(said), func(_ int, store *state.Store) error {
		err := store.CheckFactor(t.Context(), "alice", wrong, now)
		said <- err.Error()
		return err
	})
	looked := 0
	for range cap(said) {
		if strings.Contains(<-said, "is not right") {
			looked++
		}
	}
	if looked != 5 {
		t.Errorf("%d codes were looked at, want 5", looked)
	}
}

func TestLockout(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	e := enrol(t, store, "alice")
	enrol(t, store, "bob")
	wrong := wrongAt(t, e, now)
	blocked := func(user string) time.Duration {
		t.Helper()
		all, err := store.Factors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.User == user {
				return f.Blocked.Round(10 * time.Second)
			}
		}
		t.Fatalf("%s is not enrolled", user)
		return 0
	}
	for i, want := range []time.Duration{0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900} {
		if got := code(t, store.CheckFactor(t.Context(), "alice", wrong, now)); got != privacy.NotAllowed {
			t.Fatalf("wrong code %d: %q", i+1, got)
		}
		if got := blocked("alice"); got != want*time.Second {
			t.Errorf("after %d wrong codes: blocked for %s, want %s", i+1, got, want*time.Second)
		}
		if want == 0 {
			continue
		}
		for _, right := range []string{codeAt(t, e, now), e.Recovery[0]} {
			err := s.store(t).CheckFactor(t.Context(), "alice", right, now)
			if code(t, err) != privacy.NotAllowed || !strings.Contains(err.Error(), "none is taken for") {
				t.Errorf("a right code after %d wrong ones: %v", i+1, err)
			}
		}
		if got := blocked("alice"); got != want*time.Second {
			t.Errorf("codes that nobody looked at make it %s", got)
		}
		s.exec(t, "UPDATE pgveil.factors SET blocked_until = clock_timestamp() - interval '1 millisecond' WHERE username = 'alice'")
	}
	if n := strings.Count(s.log.String(), "level=WARN msg=\"codes of a second factor are wrong too often\" alert=second_factor_lockout severity=warning user=alice"); n != 7 {
		t.Errorf("%d alerts, want 7:\n%s", n, s.log.String())
	}
	if got := blocked("bob"); got != 0 {
		t.Errorf("another user is blocked for %s", got)
	}
	if err := store.CheckFactor(t.Context(), "alice", codeAt(t, e, now), now); err != nil {
		t.Fatalf("a right code when time is up: %v", err)
	}
	if err := store.CheckFactor(t.Context(), "alice", wrong, now); !strings.Contains(err.Error(), "is not right") || blocked("alice") != 0 {
		t.Errorf("a right code does not begin anew: %v", err)
	}
}

// A sealed secret opens in its own row only.
func TestSealedSecretElsewhere(t *testing.T) {
	for name, change := range map[string]string{
		"moved":     "UPDATE pgveil.factors SET secret = (SELECT secret FROM pgveil.factors WHERE username = 'alice') WHERE username = 'bob'",
		"renamed":   "DELETE FROM pgveil.factors WHERE username = 'bob'; UPDATE pgveil.factors SET username = 'bob'",
		"changed":   "UPDATE pgveil.factors SET secret = set_byte(secret, 20, 255 - get_byte(secret, 20))",
		"cut":       "UPDATE pgveil.factors SET secret = substr(secret, 1, 5)",
		"weakened":  "UPDATE pgveil.factors SET digits = 8",
		"stretched": "UPDATE pgveil.factors SET period = interval '10 hours'",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			store := s.store(t)
			e := enrol(t, store, "alice")
			enrol(t, store, "bob")
			s.exec(t, change)
			if err := store.CheckFactor(t.Context(), "bob", codeAt(t, e, now), now); code(t, err) != privacy.NotAvailable {
				t.Errorf("CheckFactor = %v", err)
			}
			if !strings.Contains(s.log.String(), "alert=second_factor_unreadable severity=warning user=bob") {
				t.Errorf("no alert:\n%s", s.log.String())
			}
		})
	}
}

func TestRecoveryCodes(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	e := enrol(t, store, "alice")
	other := enrol(t, store, "bob")
	if got := code(t, store.CheckFactor(t.Context(), "alice", e.Recovery[0], now)); got != privacy.NotAllowed {
		t.Errorf("before the first right code: %q", got)
	}
	for _, of := range []*state.Enrolment{e, other} {
		if err := store.CheckFactor(t.Context(), of.User, codeAt(t, of, now), now); err != nil {
			t.Fatal(err)
		}
	}
	s.exec(t, "UPDATE pgveil.factors SET recovery = recovery || (SELECT recovery FROM pgveil.factors WHERE username = 'bob') WHERE username = 'alice'")
	for _, tt := range []struct {
		name, code string
		want       privacy.Code
	}{
		{"the last", e.Recovery[9], ""},
		{"again", e.Recovery[9], privacy.NotAllowed},
		{"the first", e.Recovery[0], ""},
		{"another's, moved here", other.Recovery[0], privacy.NotAllowed},
		{"made up", strings.Repeat("0", 16), privacy.NotAllowed},
	} {
		if err := store.CheckFactor(t.Context(), "alice", tt.code, now); code(t, err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if n := strings.Count(s.log.String(), "alert=second_factor_recovery severity=warning user=alice"); n != 2 {
		t.Errorf("%d alerts, want 2:\n%s", n, s.log.String())
	}
	if err := store.CheckFactor(t.Context(), "alice", codeAt(t, e, now.Add(step)), now); err != nil {
		t.Errorf("the authenticator no longer counts: %v", err)
	}
}

func TestEnrolment(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	lost := enrol(t, store, "alice")
	if digits, err := store.CodeDigits(t.Context(), "alice"); digits != 0 || err != nil {
		t.Errorf("before the first right code: CodeDigits = %d, %v", digits, err)
	}
	e := enrol(t, store, "alice") // the first did not count yet
	if err := store.CheckFactor(t.Context(), "alice", codeAt(t, lost, now), now); err == nil {
		t.Error("the secret that was replaced is good")
	}
	if err := store.CheckFactor(t.Context(), "alice", codeAt(t, e, now), now); err != nil {
		t.Fatal(err)
	}
	if digits, err := store.CodeDigits(t.Context(), "alice"); digits != 6 || err != nil {
		t.Errorf("CodeDigits = %d, %v", digits, err)
	}
	if _, err := store.Enrol(t.Context(), e.Factor, false); code(t, err) != privacy.NotAllowed {
		t.Errorf("a second factor that counts is replaced: %v", err)
	}
	s.exec(t, "UPDATE pgveil.factors SET failures = 7, blocked_until = 'infinity'")
	reset, err := store.Enrol(t.Context(), e.Factor, true)
	if err != nil {
		t.Fatal(err)
	}
	for name, old := range map[string]string{"code": codeAt(t, e, now.Add(step)), "recovery code": e.Recovery[0]} {
		if err := store.CheckFactor(t.Context(), "alice", old, now); code(t, err) != privacy.NotAllowed {
			t.Errorf("an old %s after a reset: %v", name, err)
		}
	}
	if err := store.CheckFactor(t.Context(), "alice", codeAt(t, reset, now), now); err != nil {
		t.Errorf("after a reset: %v", err)
	}
	enrol(t, store, "bob")
	all, err := store.Factors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Factor{
		{User: "alice", Algorithm: "SHA1", Digits: 6, Period: step, Confirmed: true, Recovery: 10},
		{User: "bob", Algorithm: "SHA1", Digits: 6, Period: step, Recovery: 10},
	}
	if diff := cmp.Diff(want, all, cmpopts.IgnoreFields(state.Factor{}, "Created")); diff != "" {
		t.Error(diff)
	}
	if err := store.RemoveFactor(t.Context(), "alice"); err != nil {
		t.Error(err)
	}
	if err := store.RemoveFactor(t.Context(), "alice"); code(t, err) != privacy.NotFound {
		t.Errorf("removing what is not there: %v", err)
	}
	if err := store.CheckFactor(t.Context(), "alice", codeAt(t, reset, now.Add(step)), now); code(t, err) != privacy.NotFound {
		t.Errorf("after removal: %v", err)
	}
}

// A code of a secret that is replaced while it is looked at does not count for
// the new one.
func TestResetOvertakesCheck(t *testing.T) {
	s := newSite(t)
	store, other := s.store(t), s.store(t)
	for name, late := range map[string]func(e *state.Enrolment) string{
		"code":          func(e *state.Enrolment) string { return codeAt(t, e, now) },
		"recovery code": func(e *state.Enrolment) string { return e.Recovery[0] },
	} {
		s.exec(t, "DELETE FROM pgveil.factors")
		e := enrol(t, store, "alice")
		s.exec(t, "UPDATE pgveil.factors SET confirmed_at = now()")
		uses, use := 0, store.Use
		overtaken := *store
		overtaken.Use = func(ctx context.Context, f func(*pgx.Conn) error) error {
			if uses++; uses == 2 {
				if _, err := other.Enrol(ctx, e.Factor, true); err != nil {
					return err
				}
			}
			return use(ctx, f)
		}
		if err := overtaken.CheckFactor(t.Context(), "alice", late(e), now); code(t, err) != privacy.NotAllowed || uses != 2 {
			t.Errorf("%s: %v after %d uses", name, err, uses)
		}
		if digits, err := store.CodeDigits(t.Context(), "alice"); digits != 0 || err != nil {
			t.Errorf("%s: the new secret counts: %d, %v", name, digits, err)
		}
	}
}

// Without a key, or without the tables, no code is accepted.
func TestNothingToCheckWith(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	e := enrol(t, store, "alice")
	for name, key := range map[string][]byte{"no key": nil, "a short key": make([]byte, 16), "another key": make([]byte, 32)} {
		other := s.store(t)
		other.Key = key
		if err := other.CheckFactor(t.Context(), "alice", codeAt(t, e, now), now); code(t, err) != privacy.NotAvailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := s.store(t)
	other.Key = nil
	if _, err := other.Enrol(t.Context(), e.Factor, true); err == nil {
		t.Error("without a key somebody is enrolled")
	}
	s.exec(t, "DROP SCHEMA pgveil CASCADE")
	if err := store.CheckFactor(t.Context(), "alice", codeAt(t, e, now), now); code(t, err) != privacy.NotAvailable {
		t.Errorf("without tables: %v", err)
	}
	if digits, err := store.CodeDigits(t.Context(), "alice"); err == nil {
		t.Errorf("without tables: CodeDigits = %d", digits)
	}
}
