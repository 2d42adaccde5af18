package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

const (
	rolesFile = "policy/roles.yaml"
	oldRule   = "  - {role: support_agent, for: support, on: [name, email, phone], show: clear}\n"
	emailRule = "  - {role: support_agent, for: support, on: email, show: email, match: equality}\n"
	newRule   = "  - {role: support_agent, for: support, on: [name, phone], show: clear}\n" + emailRule
	wrongRule = "  - {role: support_agent, for: support, on: email, shw: email, match: equality}\n"
)

func (t *tour) reload(ctx context.Context) error {
	alice, err := t.as(ctx, "alice", "support")
	if err != nil {
		return err
	}
	sql := "SELECT id, first_name, email FROM crm.customers WHERE id = " + t.hero
	before, err := t.show(ctx, alice, sql)
	if err != nil {
		return err
	}
	if err := t.change(ctx, oldRule, newRule, "reloaded"); err != nil {
		return err
	}
	after, err := t.show(ctx, alice, sql)
	if err != nil {
		return err
	}
	stored, err := t.stored(ctx, `SELECT id, first_name, email, left(email, 1) || '***@' || split_part(email, '@', 2) FROM crm.customers WHERE id = `+t.hero)
	if err != nil {
		return err
	}
	t.check("before the change the session sees the e-mail", before.rows, [][]string{stored[:3]})
	t.check("after it, the same session sees the mask", after.rows, [][]string{{stored[0], stored[1], stored[3]}})
	return t.spoil(ctx, alice, sql, after)
}

// change amends the policy and waits until pgveil has dealt with it.
func (t *tour) change(ctx context.Context, old, replacement, outcome string) error {
	t.out.statement("diff", rolesFile)
	for _, side := range []struct {
		sign, text string
		hue        hue
	}{{"- ", old, red}, {"+ ", replacement, green}} {
		for line := range strings.Lines(side.text) {
			t.out.lines(side.hue, "  "+side.sign, strings.TrimSpace(line))
		}
	}
	if err := t.stand.amend(rolesFile, old, replacement); err != nil {
		return err
	}
	e, err := t.stand.proxy.await(ctx, "reloaded", reloadFailed)
	if err != nil {
		return err
	}
	if e.Message != outcome {
		return fmt.Errorf("pgveil says %q, want %q: %s", e.Message, outcome, e.Error)
	}
	t.out.lines(dim, "  ", strings.TrimSpace("pgveil: "+e.Message+"\n"+strings.ReplaceAll(e.Error, t.stand.dir+"/", "")))
	t.out.blank()
	return nil
}

// reloadFailed is what pgveil says of a policy that it does not take.
const reloadFailed = "reload failed: what was in force stays in force"

// spoil puts a mistake into the policy, and takes it out again.
func (t *tour) spoil(ctx context.Context, c *caller, sql string, want answer) error {
	t.out.blank()
	if err := t.change(ctx, emailRule, wrongRule, reloadFailed); err != nil {
		return err
	}
	got, err := c.ask(ctx, sql)
	if err != nil {
		return err
	}
	t.check("a policy with a mistake is not taken: what was in force stays", got.rows, want.rows)
	if err := t.stand.amend(rolesFile, wrongRule, emailRule); err != nil {
		return err
	}
	_, err = t.stand.proxy.await(ctx, "reloaded")
	return err
}

func (t *tour) writeBack(ctx context.Context) error {
	alice, err := t.as(ctx, "alice", "support")
	if err != nil {
		return err
	}
	fields := "SELECT phone, email, card, birth_date FROM crm.customers WHERE id = "
	before, err := t.stored(ctx, fields+t.hero)
	if err != nil {
		return err
	}
	form, err := t.show(ctx, alice, fields+t.hero)
	if err != nil {
		return err
	}
	if len(form.rows) != 1 {
		return fmt.Errorf("the form reads %v", form)
	}
	const phone = "+353 20 911 0000"
	shown := form.rows[0]
	saved, err := t.show(ctx, alice, "UPDATE crm.customers SET phone = $1, email = $2, card = $3, birth_date = $4 WHERE id = $5",
		phone, shown[1], shown[2], shown[3], t.hero)
	if err != nil {
		return err
	}
	t.out.lines(dim, "  ", fmt.Sprintf("with $1 = %s, and $2 to $4 as they were shown: %s, %s, %s", phone, shown[1], shown[2], shown[3]))
	after, err := t.stored(ctx, fields+t.hero)
	if err != nil {
		return err
	}
	t.out.blank()
	t.out.table([]string{"stored", "phone", "email", "card", "birth_date"}, [][]cell{row(append([]string{"before"}, before...)...), row(append([]string{"after"}, after...)...)})
	t.check("the form was saved", saved.tag, "UPDATE 1")
	t.check("the new telephone number is stored", after[0], phone)
	t.check("e-mail, card and birth date are what they were", after[1:], before[1:])
	return t.realChange(ctx, alice)
}

// realChange checks that the protection stands in nobody's way.
func (t *tour) realChange(ctx context.Context, c *caller) error {
	const address = "moved@example.org"
	if _, err := c.ask(ctx, "UPDATE crm.customers SET email = $1 WHERE id = $2", address, t.hero); err != nil {
		return err
	}
	stored, err := t.stored(ctx, "SELECT email FROM crm.customers WHERE id = "+t.hero)
	if err != nil {
		return err
	}
	t.check("an e-mail that is really new is stored", stored[0], address)
	return nil
}

// tampered is a copy of the access log in which somebody blames somebody else.
func (t *tour) tampered(from, to string) (dir string, err error) {
	dir = t.stand.path("tampered")
	if err := os.CopyFS(dir, os.DirFS(t.stand.path("audit"))); err != nil {
		return "", err
	}
	segments, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	path := dir + "/" + segments[0].Name()
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(text), from) {
		return "", fmt.Errorf("the access log does not hold %q", from)
	}
	return dir, os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600)
}
