package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/pgveil/pgveil/audit"
)

// entries runs "pgveil audit query" and reads what it prints.
func (t *tour) entries(ctx context.Context, flags ...string) ([]audit.Entry, error) {
	args := append([]string{"audit", "query", "--dir", t.stand.path("audit"), "--json"}, flags...)
	out, err := t.stand.pgveil(ctx, args...)
	if err != nil {
		return nil, err
	}
	var entries []audit.Entry
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e audit.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("reading the access log: %w", err)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

func (t *tour) accessLog(ctx context.Context) error {
	t.out.shell("pgveil audit query --kind statement --class email --json")
	about, err := t.entries(ctx, "--kind", "statement", "--class", "email")
	if err != nil {
		return err
	}
	t.out.table(logTitles(), logCells(about))
	people := map[string]bool{}
	for _, e := range about {
		people[e.User] = true
	}
	t.check("it knows everybody who asked for e-mail addresses", people, map[string]bool{"dora": true, "alice": true, "ana": true, "max": true, "lena": true})
	if err := t.findRefusal(ctx); err != nil {
		return err
	}
	return t.noValues(ctx)
}

func (t *tour) findRefusal(ctx context.Context) error {
	t.out.shell("pgveil audit query --id", t.refusal)
	found, err := t.entries(ctx, "--id", t.refusal)
	if err != nil {
		return err
	}
	t.out.table(logTitles(), logCells(found))
	if len(found) != 1 {
		t.fail("the id of a refusal's message finds its record", "1 record", fmt.Sprintf("%d records", len(found)))
		return nil
	}
	e := found[0]
	t.check("the id of a refusal's message finds who it was and what", []string{e.User, e.Decision, e.Shape}, []string{"alice", "refuse", "COPY crm.customers TO STDOUT"})
	return nil
}

// noValues looks into the files themselves for what statements sent and saw.
func (t *tour) noValues(ctx context.Context) error {
	values, err := t.stored(ctx, "SELECT email, card, phone, first_name FROM crm.customers WHERE id = "+t.hero)
	if err != nil {
		return err
	}
	segments, err := os.ReadDir(t.stand.path("audit"))
	if err != nil {
		return err
	}
	found := ""
	for _, s := range segments {
		text, err := os.ReadFile(t.stand.path("audit/" + s.Name()))
		if err != nil {
			return err
		}
		for _, v := range values {
			if strings.Contains(string(text), v) {
				found += v + " "
			}
		}
	}
	t.check("no e-mail, card, telephone number or name of the customer is in it", found, "")
	return nil
}

func logTitles() []string {
	return []string{"time", "user", "purpose", "decision", "outcome", "columns, and how they were shown"}
}

// logCells shows each kind of entry once: the tour repeats itself.
func logCells(entries []audit.Entry) [][]cell {
	var rows [][]cell
	seen := map[string]bool{}
	for _, e := range entries {
		columns := used(e.Columns)
		if columns == "" {
			columns = e.Shape
		}
		key := e.User + e.Purpose + e.Decision + e.Command + columns
		if seen[key] || len(rows) == 12 {
			continue
		}
		seen[key] = true
		rows = append(rows, logRow(e, columns))
	}
	return rows
}

func logRow(e audit.Entry, columns string) []cell {
	outcome := e.SQLState
	if e.Outcome != nil {
		outcome = e.Outcome.Tag
	}
	r := row(e.Time.UTC().Format("15:04:05"), e.User, e.Purpose, e.Decision, outcome, columns)
	if e.Decision == "refuse" {
		r[3].hue = red
	}
	return r
}

// used lists columns without their tables, and how they were shown unless in
// clear.
func used(columns []audit.Column) string {
	var parts []string
	for _, c := range columns {
		name := c.Name[strings.LastIndexByte(c.Name, '.')+1:]
		switch {
		case c.Use == "write":
			name += " (written)"
		case c.Show != "clear":
			name += " (" + c.Show + ")"
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ", ")
}

var goodLog = regexp.MustCompile(`^good: \d+ records`)

func (t *tour) tampering(ctx context.Context) error {
	// A copy that is as good as the log was now, and lacks what comes after.
	earlier := t.stand.path("earlier")
	if err := os.CopyFS(earlier, os.DirFS(t.stand.path("audit"))); err != nil {
		return err
	}
	alice, err := t.as(ctx, "alice", "support")
	if err != nil {
		return err
	}
	if _, err := alice.ask(ctx, "SELECT card FROM crm.customers WHERE id = "+t.hero); err != nil {
		return err
	}
	head, err := t.stand.pgveil(ctx, "audit", "head", "--dir", t.stand.path("audit"))
	if err != nil {
		return err
	}
	out, err := t.verify(ctx, "", "audit")
	t.holds("the log is as it was written", err == nil && goodLog.MatchString(out), "good", out)
	tampered, err := t.tampered(`"user":"alice"`, `"user":"clara"`)
	if err != nil {
		return err
	}
	out, err = t.verify(ctx, "In a copy, somebody else is blamed: one record's user is changed from alice to clara.", "tampered")
	t.holds("the changed record is found", err != nil && strings.Contains(out, "record"), "the record's number", out)
	out, err = t.verify(ctx, "Another copy lacks the last statement, as if it had been cut off.", "earlier")
	t.holds("on its own, a shorter log looks good", err == nil, "good", out)
	out, err = t.verify(ctx, "", "earlier", "--head", strings.TrimSpace(head))
	t.holds("against a head that was kept elsewhere, it does not", err != nil, "an error", out)
	return os.RemoveAll(tampered)
}

// verify runs "pgveil audit verify" on a folder of the stand's, and shows it.
func (t *tour) verify(ctx context.Context, about, folder string, flags ...string) (string, error) {
	if about != "" {
		t.out.lines(plain, "", "\n"+about+"\n")
	}
	t.out.shell(append([]string{"pgveil audit verify --dir", folder}, flags...)...)
	out, err := t.stand.pgveil(ctx, append([]string{"audit", "verify", "--dir", t.stand.path(folder)}, flags...)...)
	out = strings.TrimSpace(strings.ReplaceAll(out, t.stand.dir+"/", ""))
	t.out.lines(plain, "  ", out)
	return out, err
}

// use is what a check reads of "pgveil audit unused".
type use struct {
	Items []struct{ Kind, Role, Purpose, Name, Verdict string }
}

func (t *tour) unused(ctx context.Context) error {
	args := []string{"audit", "unused", "--config", t.stand.path("pgveil.yaml"), "--since", "1h"}
	t.out.shell("pgveil audit unused --config pgveil.yaml --since 1h")
	text, err := t.stand.pgveil(ctx, args...)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines[max(0, len(lines)-shownLines):] {
		t.out.lines(plain, "  ", line)
	}
	t.out.lines(dim, "  ", fmt.Sprintf("the last of %d lines\n", len(lines)))
	out, err := t.stand.pgveil(ctx, append(args, "--format", "json", "--all")...)
	if err != nil {
		return err
	}
	var u use
	if err := json.Unmarshal([]byte(out), &u); err != nil {
		return fmt.Errorf("reading what was used: %w", err)
	}
	verdicts := map[string]string{}
	for _, i := range u.Items {
		verdicts[strings.TrimSpace(i.Kind+" "+strings.TrimSpace(i.Role+" "+i.Purpose)+" "+i.Name)] = i.Verdict
	}
	for _, c := range []struct{ claim, item, want string }{
		{"nobody has come for audit", "purpose  audit", "unused"},
		{"nobody has asked for salaries", "right analyst analytics salary", "unused"},
		{"one person has used the account numbers", "right billing billing account", "few"},
		{"and one the elevation", "elevation support_agent billing", "few"},
	} {
		t.check(c.claim, verdicts[c.item], c.want)
	}
	return nil
}
