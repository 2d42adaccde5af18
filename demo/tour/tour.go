package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5/pgconn"
)

// tour is the state of a walk through the steps.
type tour struct {
	stand   *stand
	out     *screen
	callers map[string]*caller // by login

	hero, stranger string // ids of the customers whom the steps are about
	refusal        string // the audit id of a refusal that a client was told

	held, broken int // claims
}

// step is one promise. run shows it and checks it; an error means that the
// step could not go on.
type step struct {
	title, promise string
	run            func(*tour, context.Context) error
}

func steps() []step {
	return []step{
		{"The same question, four callers",
			"Everybody connects with an ordinary PostgreSQL client and sends the same statement. What comes back is what the " +
				"policy shows to the caller's role, for its purpose; the server itself never returns more.", (*tour).fourCallers},
		{"Work goes on",
			"A masked column can still be searched for a value that the caller was given, where the policy says match: equality. " +
				"It stays masked in the answer, and cannot be searched by pieces.", (*tour).equality},
		{"Ways around",
			"Aliases, JSON, functions, conditions, statistics, copies, other roles: none of it leads to what is hidden.", (*tour).waysAround},
		{"No bulk export",
			"Support may look at customers, and may not carry the table away. COPY is refused, and the message names the " +
				"record in the access log.", (*tour).export},
		{"No purpose, no personal data",
			"Who has more than one purpose says which one it is. Until then only open columns are shown, and the refusal " +
				"says what to do.", (*tour).purpose},
		{"National identifiers are shown to nobody",
			"A rule that refuses wins over all others, for reading, filtering and sorting; it says why. SELECT * leaves the " +
				"column out.", (*tour).nationalID},
		{"A shared login, and who is behind it",
			"An application has one login for everybody. It signs, for each request, who its user is; pgveil shows what that " +
				"user may see, and believes nobody who cannot sign.", (*tour).endUsers},
		{"A password is not enough",
			"Account numbers need a second factor: a code from the user's authenticator, given in the session. A code is good " +
				"once.", (*tour).secondFactor},
		{"More, for half an hour, with a second person's word",
			"Support may ask for what billing sees, with a reason. Somebody else approves it, it ends, and all of it is in the " +
				"access log.", (*tour).elevation},
		{"A person wants their data left alone",
			"The privacy desk restricts processing with a command. It holds for the next statement of everybody, in sessions " +
				"that are open.", (*tour).restriction},
		{"A policy changes while people work",
			"Support shall no longer see whole e-mail addresses. The file is changed on disk; the session that is open sees the " +
				"new policy with its next statement. A file with a mistake changes nothing.", (*tour).reload},
		{"A form saves what it was shown",
			"The application reads a customer, masked e-mail, card and birth date included, changes the telephone number and saves " +
				"the whole form. The mask does not overwrite the data.", (*tour).writeBack},
		{"What the database does not know",
			"Account numbers of suppliers are sealed: pgveil encrypts them on their way to the server. The application notices " +
				"nothing; the server, its administrator and its backups never have them.", (*tour).sealing},
		{"Who saw what",
			"Every statement is in the access log before its answer leaves: who, why, which columns of which class, how they were " +
				"shown, how many rows. Values are not in it.", (*tour).accessLog},
		{"What nobody used",
			"A policy grants what somebody may need some day. The log tells what was needed, and what could go.", (*tour).unused},
		{"The log proves itself",
			"Each record is chained to those before it. A record that was changed, or an end that was cut off, is found, and " +
				"where.", (*tour).tampering},
		{"A login was stolen: what did they get?",
			"The log tells which data left, in clear or masked, and what was refused. The report says who has to be told by when, " +
				"and drafts it.", (*tour).breachReport},
		{"A person asks what is held on them",
			"The privacy office sends one command. The answer is a document with the person's rows from every table that leads to " +
				"them along foreign keys.", (*tour).privacyExport},
		{"A person asks to be forgotten",
			"A dry run says beforehand what an erasure would do, table by table, and changes nothing.", (*tour).privacyErase},
		{"And is forgotten",
			"One command erases what may go and anonymises what must stay. The whole database is searched for what they were known " +
				"by, and a certificate says so that anybody can check years later.", (*tour).privacyErased},
		{"What operators see",
			"Health, readiness and metrics, on an address of their own.", (*tour).operators},
	}
}

// walk goes through the steps until the context ends.
func (t *tour) walk(ctx context.Context) {
	all := steps()
	for i, s := range all {
		t.out.heading(i+1, len(all), s.title, s.promise)
		err := s.run(t, ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.fail("the step goes through", "no error", err.Error())
		}
	}
}

// check shows a claim, and whether it holds.
func (t *tour) check(claim string, got, want any) {
	g, w := fmt.Sprint(got), fmt.Sprint(want)
	if g != w {
		t.fail(claim, w, g)
		return
	}
	t.held++
	t.out.claim(claim)
}

// holds shows a claim that the caller has looked into.
func (t *tour) holds(claim string, ok bool, want, got string) {
	if !ok {
		t.fail(claim, want, got)
		return
	}
	t.held++
	t.out.claim(claim)
}

func (t *tour) fail(claim, want, got string) {
	t.broken++
	t.out.broken(claim, cmp.Or(want, "nothing"), cmp.Or(got, "nothing"))
}

// show asks as somebody, and shows the statement and the answer.
func (t *tour) show(ctx context.Context, c *caller, sql string, args ...string) (answer, error) {
	t.out.statement(c.name, sql)
	a, err := c.ask(ctx, sql, args...)
	switch {
	case err != nil:
	case a.err != nil:
		t.showError(a.err)
	case len(a.titles) > 0:
		t.out.table(a.titles, a.cells())
	default:
		t.out.lines(plain, "  ", a.tag)
	}
	return a, err
}

// showError shows an error as psql does.
func (t *tour) showError(e *pgconn.PgError) {
	t.out.lines(red, "  ", e.Severity+":  "+e.Message)
	for _, more := range []struct{ title, text string }{{"DETAIL", e.Detail}, {"HINT", e.Hint}} {
		if more.text != "" {
			t.out.lines(plain, "  ", more.title+":  "+more.text)
		}
	}
	t.out.blank()
}

// stored asks the server itself, around pgveil, for one row.
func (t *tour) stored(ctx context.Context, sql string, args ...string) ([]string, error) {
	a, err := t.around().ask(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	if len(a.rows) != 1 {
		return nil, fmt.Errorf("the server answers %q with %v", sql, a)
	}
	return a.rows[0], nil
}

// operators shows what is there for machines.
func (t *tour) operators(ctx context.Context) error {
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		url := "http://" + t.stand.proxy.admin + path
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		t.check("GET "+url+" answers", response.StatusCode, http.StatusOK)
		if err := response.Body.Close(); err != nil {
			return err
		}
	}
	return nil
}

// invite tells how to go on by hand.
func (t *tour) invite() {
	t.out.lines(bold, "", "\nEverything stays up. Try it yourself:\n")
	for _, who := range []struct{ name, purpose, about string }{
		{"alice", "support", "support, Europe"},
		{"bob", "support", "support, US"},
		{"sam", "sales", "sales"},
		{"bea", "billing", "billing"},
		{"ana", "analytics", "analyst"},
		{"max", "marketing", "marketing"},
		{"petra", "privacy", "privacy officer"},
		{"dora", "", "administrator"},
	} {
		t.out.offer(who.about, fmt.Sprintf("psql %q", t.connection(who.name, who.purpose)))
	}
	t.out.offer("the server, around pgveil", fmt.Sprintf("psql postgresql://dora:dora-password@%s/%s", t.stand.server.Addr(), database))
	t.out.offer("who does what, live", t.stand.binary+" audit tail --follow --dir "+t.stand.path("audit"))
	t.out.offer("the policy, to change it", t.stand.path("policy"))
	t.out.offer("metrics", "http://"+t.stand.proxy.admin+"/metrics")
	t.out.lines(bold, "", "\nCtrl-C stops it all and leaves nothing behind.")
}
