package main

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// auditID is how a refusal names its record.
var auditID = regexp.MustCompile(`\(pgveil ([a-z2-7]+)\)`)

func (t *tour) export(ctx context.Context) error {
	alice, err := t.as(ctx, "alice", "support")
	if err != nil {
		return err
	}
	a, err := t.show(ctx, alice, "COPY crm.customers TO STDOUT")
	if err != nil {
		return err
	}
	t.refused("the export is refused", a, "COPY")
	if a.err == nil {
		return nil
	}
	if id := auditID.FindStringSubmatch(a.err.Hint); id != nil {
		t.refusal = id[1]
	}
	t.holds("the message names the record in the access log", t.refusal != "", "(pgveil …)", a.err.Hint)
	return nil
}

// refused checks that a statement was refused with a message or hint that
// holds the words.
func (t *tour) refused(claim string, a answer, words ...string) {
	want := "SQLSTATE 42501, with " + strings.Join(words, ", ")
	if a.err == nil {
		t.fail(claim, want, a.String())
		return
	}
	text := a.err.Message + " / " + a.err.Hint
	missing := slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
	t.holds(claim, a.err.Code == "42501" && !missing, want, a.err.Code+" "+text)
}

func (t *tour) purpose(ctx context.Context) error {
	lena, err := t.as(ctx, "lena", "")
	if err != nil {
		return err
	}
	const open, personal = "SELECT id, city, country FROM crm.customers WHERE id = ", "SELECT id, email FROM crm.customers WHERE id = "
	city, err := t.show(ctx, lena, open+t.hero)
	if err != nil {
		return err
	}
	without, err := t.show(ctx, lena, personal+t.hero)
	if err != nil {
		return err
	}
	var with [2]answer
	for i, purpose := range []string{"support", "analytics"} {
		if _, err := t.show(ctx, lena, "SET pgveil.purpose = '"+purpose+"'"); err != nil {
			return err
		}
		if with[i], err = t.show(ctx, lena, personal+t.hero); err != nil {
			return err
		}
	}
	stored, err := t.stored(ctx, "SELECT id, city, country, email FROM crm.customers WHERE id = "+t.hero)
	if err != nil {
		return err
	}
	t.check("without a purpose the open columns are shown", city.rows, [][]string{stored[:3]})
	t.refused("others are refused, and the hint names the purposes to choose from", without, "pgveil.purpose", "analytics, support")
	t.check("for support she sees the e-mail", with[0].rows, [][]string{{stored[0], stored[3]}})
	t.holds("for analytics she sees a token of it", len(with[1].rows) == 1 && !strings.Contains(with[1].String(), stored[3]), "a token", with[1].String())
	return nil
}

func (t *tour) nationalID(ctx context.Context) error {
	alice, err := t.as(ctx, "alice", "support")
	if err != nil {
		return err
	}
	for _, way := range []struct{ claim, sql string }{
		{"reading it is refused, and the reason is the policy's", "SELECT ssn FROM crm.customers WHERE id = " + t.hero},
		{"so is filtering by it", "SELECT id FROM crm.customers WHERE ssn LIKE '4%'"},
	} {
		a, err := t.show(ctx, alice, way.sql)
		if err != nil {
			return err
		}
		t.refused(way.claim, a, "crm.customers.ssn", "ask the privacy office")
		t.out.blank()
	}
	t.out.statement(alice.name, "SELECT * FROM crm.customers WHERE id = "+t.hero)
	all, err := alice.ask(ctx, "SELECT * FROM crm.customers WHERE id = "+t.hero)
	if err != nil {
		return err
	}
	t.out.lines(plain, "  ", strings.Join(all.titles, ", "))
	t.out.blank()
	t.check("SELECT * gives the other columns", len(all.titles) > 10 && !slices.Contains(all.titles, "ssn"), true)
	return nil
}
