package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// claims makes the application say, by a token signed with a key, who its user
// is.
func (t *tour) claims(ctx context.Context, c *caller, key, user string) (answer, error) {
	token, err := t.stand.pgveil(ctx, "token", "sign", "--key", t.stand.path(key), "--issuer", "crm", "--user", user, "--purpose", "support")
	if err != nil {
		return answer{}, err
	}
	token = strings.TrimSpace(token)
	t.out.statement(c.name, "SET pgveil.token = '"+token[:20]+"…'   -- signed with "+key+": "+user+", for support")
	a, err := c.ask(ctx, "SET pgveil.token = '"+token+"'")
	if err == nil && a.err != nil {
		t.showError(a.err)
	}
	return a, err
}

func (t *tour) endUsers(ctx context.Context) error {
	app, err := t.as(ctx, "crm_app", "")
	if err != nil {
		return err
	}
	sql := "SELECT id, first_name, region FROM crm.customers WHERE id IN (" + t.hero + ", " + t.stranger + ")"
	for _, user := range []struct{ name, region string }{{"alice", "EU"}, {"bob", "US"}} {
		if said, err := t.claims(ctx, app, "crm.key", user.name); err != nil || said.err != nil {
			return errors.Join(err, said.failed())
		}
		seen, err := t.show(ctx, app, sql)
		if err != nil {
			return err
		}
		stored, err := t.around().ask(ctx, sql+" AND region = '"+user.region+"' AND NOT restricted")
		if err != nil {
			return err
		}
		t.check("for "+user.name+" it sees the customers of "+user.region, seen.rows, stored.rows)
	}
	if _, err := t.show(ctx, app, "RESET pgveil.token"); err != nil {
		return err
	}
	nobody, err := t.show(ctx, app, sql)
	if err != nil {
		return err
	}
	t.refused("with nobody behind it, the login does not reach the table", nobody, "crm.customers")
	forged, err := t.claims(ctx, app, "forger.key", "alice")
	if err != nil {
		return err
	}
	t.holds("a forged token is refused", forged.err != nil, "an error", forged.String())
	if nobody, err = t.show(ctx, app, sql); err != nil {
		return err
	}
	t.refused("and nobody is served until it is known who asks", nobody, "it is not known who asks")
	return t.inLog(ctx, "the access log names the people, and the login that they came by", []string{"alice SELECT", "bob SELECT"}, "--login", "crm_app", "--kind", "statement")
}

// failed gives what was said to a statement as an error; nil when it went well.
func (a answer) failed() error {
	if a.err == nil {
		return nil
	}
	return a.err
}

// inLog checks that the log's entries that flags choose hold some, each as its
// user and the beginning of its shape.
func (t *tour) inLog(ctx context.Context, claim string, want []string, flags ...string) error {
	entries, err := t.entries(ctx, flags...)
	if err != nil {
		return err
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.User+" "+e.Shape)
	}
	slices.Sort(got)
	got = slices.Compact(got)
	missing := slices.ContainsFunc(want, func(w string) bool {
		return !slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, w) })
	})
	t.holds(claim, !missing, strings.Join(want, "; "), strings.Join(got, "; "))
	return nil
}

var secretLine = regexp.MustCompile(`Secret: ([A-Z2-7]+)`)

func (t *tour) secondFactor(ctx context.Context) error {
	t.out.shell("pgveil user totp bea --text")
	made, err := t.stand.pgveil(ctx, "user", "totp", "bea", "--text", "--config", t.stand.path("pgveil.yaml"))
	if err != nil {
		return err
	}
	secret := secretLine.FindStringSubmatch(made)
	if secret == nil {
		return fmt.Errorf("no secret in %q", made)
	}
	bea, err := t.as(ctx, "bea", "billing")
	if err != nil {
		return err
	}
	who, err := t.stored(ctx, "SELECT min(id) FROM crm.customers WHERE iban IS NOT NULL AND NOT restricted")
	if err != nil {
		return err
	}
	sql := "SELECT id, iban FROM crm.customers WHERE id = " + who[0]
	without, err := t.show(ctx, bea, sql)
	if err != nil {
		return err
	}
	t.refused("without it account numbers are refused, and the reason is said", without, "second factor", "PRIVACY MFA")
	code, wrong, err := totp(secret[1], time.Now())
	if err != nil {
		return err
	}
	if err := t.giveFactor(ctx, bea, code, wrong); err != nil {
		return err
	}
	with, err := t.show(ctx, bea, sql)
	if err != nil {
		return err
	}
	stored, err := t.stored(ctx, "SELECT id, left(iban, 4) || repeat('*', length(iban) - 8) || right(iban, 4) FROM crm.customers WHERE id = "+who[0])
	if err != nil {
		return err
	}
	t.check("then the policy's mask is shown", with.rows, [][]string{stored})
	return t.usedCode(ctx, code, sql)
}

// giveFactor gives a wrong code and the right one, and asks what the session may
// do then.
func (t *tour) giveFactor(ctx context.Context, c *caller, code, wrong string) error {
	a, err := t.show(ctx, c, "PRIVACY MFA "+wrong)
	if err != nil {
		return err
	}
	t.holds("a wrong code is refused", a.err != nil, "an error", a.String())
	if a, err = t.show(ctx, c, "PRIVACY MFA "+code); err != nil {
		return err
	}
	t.holds("the right one is accepted", a.err == nil, "no error", a.String())
	if a, err = t.show(ctx, c, "PRIVACY SHOW ACCESS"); err != nil {
		return err
	}
	given := slices.ContainsFunc(a.rows, func(r []string) bool { return slices.Equal(r, []string{"second factor", "given"}) })
	t.holds("the session can ask who it is, for what, and why", given, "second factor | given", a.String())
	return nil
}

// usedCode checks that a code which was accepted opens no other session.
func (t *tour) usedCode(ctx context.Context, code, sql string) error {
	conn, err := pgconn.Connect(ctx, t.connection("bea", "billing"))
	if err != nil {
		return err
	}
	other := &caller{"bea (another session)", conn}
	again, err := t.show(ctx, other, "PRIVACY MFA "+code)
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	seen, err := other.ask(ctx, sql)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	t.holds("the same code opens no other session", again.err != nil && seen.err != nil, "two errors", again.String()+" / "+seen.String())
	return t.inLog(ctx, "the access log knows that it was given, and no code", []string{"bea PRIVACY MFA ?"}, "--user", "bea", "--kind", "privacy")
}

// totp gives the code of RFC 6238 for a moment, and one that is wrong.
func totp(secret string, at time.Time) (code, wrong string, err error) {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return "", "", err
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/30)))
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & 0x7fffffff % 1_000_000
	return fmt.Sprintf("%06d", n), fmt.Sprintf("%06d", (n+500_000)%1_000_000), nil
}

func (t *tour) elevation(ctx context.Context) error {
	alice, err := t.as(ctx, "alice", "support")
	if err != nil {
		return err
	}
	asked, err := t.show(ctx, alice, "PRIVACY ELEVATE TO billing FOR 10m BECAUSE 'a customer disputes a letter'")
	if err != nil {
		return err
	}
	if len(asked.rows) != 1 {
		return fmt.Errorf("the elevation is %v", asked)
	}
	number := asked.rows[0][0]
	early, err := t.show(ctx, alice, "SET pgveil.purpose = 'billing'")
	if err != nil {
		return err
	}
	t.holds("asking gives nothing yet", early.err != nil, "an error", early.String())
	if err := t.approve(ctx, alice, number); err != nil {
		return err
	}
	sql := "SELECT id, credit_limit FROM crm.customers WHERE id = " + t.hero
	stored, err := t.stored(ctx, sql+" AND credit_limit <> 5000 * floor(credit_limit / 5000)")
	if err != nil {
		return err
	}
	before, err := t.show(ctx, alice, sql)
	if err != nil {
		return err
	}
	t.holds("for support the credit limit stays a round figure", len(before.rows) == 1 && before.String() != strings.Join(stored, " | "), "not "+stored[1], before.String())
	if _, err := t.show(ctx, alice, "SET pgveil.purpose = 'billing'"); err != nil {
		return err
	}
	during, err := t.show(ctx, alice, sql)
	if err != nil {
		return err
	}
	t.check("for billing she sees it as it is, while the elevation is in force", during.rows, [][]string{stored})
	return t.elevationOver(ctx, alice, number, sql)
}

// approve has a second person approve an elevation, for the first may not.
func (t *tour) approve(ctx context.Context, alice *caller, number string) error {
	petra, err := t.as(ctx, "petra", "privacy")
	if err != nil {
		return err
	}
	own, err := t.show(ctx, alice, "PRIVACY APPROVE "+number)
	if err != nil {
		return err
	}
	t.holds("nobody approves their own", own.err != nil, "an error", own.String())
	approved, err := t.show(ctx, petra, "PRIVACY APPROVE "+number+" BECAUSE 'ticket 4711'")
	if err != nil {
		return err
	}
	t.holds("the privacy office does", approved.err == nil, "no error", approved.String())
	return nil
}

// elevationOver gives an elevation back, and goes on with the work before.
func (t *tour) elevationOver(ctx context.Context, alice *caller, number, sql string) error {
	if _, err := t.show(ctx, alice, "PRIVACY REVOKE "+number+" BECAUSE 'done'"); err != nil {
		return err
	}
	over, err := t.show(ctx, alice, sql)
	if err != nil {
		return err
	}
	t.holds("when it is over the next statement goes without", over.err != nil, "an error", over.String())
	if _, err := t.show(ctx, alice, "SET pgveil.purpose = 'support'"); err != nil {
		return err
	}
	if err := t.inLog(ctx, "asking, approving and ending are in the access log", []string{
		"alice PRIVACY ELEVATE TO billing", "petra PRIVACY APPROVE", "alice PRIVACY REVOKE",
	}, "--kind", "privacy"); err != nil {
		return err
	}
	return t.inLog(ctx, "and what was seen by it", []string{"alice SELECT id, credit_limit"}, "--user", "alice", "--purpose", "billing", "--kind", "statement")
}

func (t *tour) restriction(ctx context.Context) error {
	sam, err := t.as(ctx, "sam", "sales")
	if err != nil {
		return err
	}
	dana, err := t.as(ctx, "dana", "privacy")
	if err != nil {
		return err
	}
	who, err := t.stored(ctx, "SELECT min(id) FROM crm.contacts")
	if err != nil {
		return err
	}
	sql := "SELECT id, full_name, email FROM crm.contacts WHERE id = " + who[0]
	stored, err := t.stored(ctx, sql)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		claim, command string
		want           [][]string
	}{
		{"sales sees a contact", "", [][]string{stored}},
		{"once restricted, the row is not there for it", "PRIVACY RESTRICT contact " + who[0] + " BECAUSE 'accuracy contested'", nil},
		{"once lifted, it is there again", "PRIVACY LIFT RESTRICTION contact " + who[0] + " BECAUSE 'settled'", [][]string{stored}},
	} {
		if step.command != "" {
			if a, err := t.show(ctx, dana, step.command); err != nil || a.err != nil {
				return errors.Join(err, a.failed())
			}
		}
		seen, err := t.show(ctx, sam, sql)
		if err != nil {
			return err
		}
		t.check(step.claim, seen.rows, step.want)
	}
	still, err := t.stored(ctx, sql)
	if err != nil {
		return err
	}
	t.check("nothing was changed in the table", still, stored)
	return t.inLog(ctx, "both commands are in the access log", []string{"dana PRIVACY RESTRICT contact ?", "dana PRIVACY LIFT RESTRICTION contact ?"}, "--user", "dana", "--kind", "privacy")
}
