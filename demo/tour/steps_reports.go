package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// breach is what a check reads of "pgveil audit breach".
type breach struct {
	Refused  int64
	Rows     int64
	Evidence []struct{ Verified bool }
	Kinds    []struct {
		Kind   string
		Named  int64
		AtMost int64 `json:"at_most"`
	} `json:"subjects_by_kind"`
	Classes []struct {
		Class         string
		Clear, Masked struct{ Rows int64 }
	}
	Subjects []struct{ Kind, Token, Key string }
}

// breachReport asks what a login got, as if it had been stolen.
func (t *tour) breachReport(ctx context.Context) error {
	args := []string{"audit", "breach", "--user", "alice", "--from", "1h", "--dir", t.stand.path("audit")}
	t.out.shell("pgveil audit breach --user alice --from 1h --out breach.html")
	page := t.stand.path("breach.html")
	if _, err := t.stand.pgveil(ctx, append(args, "--out", page)...); err != nil {
		return err
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	out, err := t.stand.pgveil(ctx, append(args, "--config", t.stand.path("pgveil.yaml"), "--identify", "--format", "json")...)
	if err != nil {
		return err
	}
	var b breach
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		return fmt.Errorf("reading the report: %w", err)
	}
	for _, k := range b.Kinds {
		atMost := fmt.Sprint("at most ", k.AtMost)
		if k.AtMost < 0 {
			atMost = "and any number that it does not name"
		}
		t.out.lines(plain, "  ", fmt.Sprintf("%s: the log names %d, %s", cmp.Or(k.Kind, "of a kind not recorded"), k.Named, atMost))
	}
	rows := map[string]bool{}
	for _, c := range b.Classes {
		rows[c.Class+" in clear"], rows[c.Class+" masked"] = c.Clear.Rows > 0, c.Masked.Rows > 0
		t.out.lines(plain, "  ", fmt.Sprintf("%-12s %4d rows in clear, %4d masked", c.Class, c.Clear.Rows, c.Masked.Rows))
	}
	t.out.lines(dim, "  ", fmt.Sprintf("a page of %d bytes, with who has to be told by when, and a draft of what to tell\n", len(text)))
	t.check("card numbers left masked only", []bool{rows["card in clear"], rows["card masked"]}, []bool{false, true})
	keys := map[string]bool{}
	for _, s := range b.Subjects {
		keys[s.Key] = true
	}
	t.holds("asked who they are, it names the customer whom alice looked at", keys[t.hero], t.hero, fmt.Sprint(b.Subjects))
	t.holds("what was refused is in it", b.Refused > 0, "some", fmt.Sprint(b.Refused))
	t.holds("it was made from a log that is as it was written", len(b.Evidence) > 0 && b.Evidence[0].Verified, "verified", fmt.Sprint(b.Evidence))
	t.holds("what nobody can know is left open", strings.Contains(string(text), "TO BE FILLED IN: "), "a gap", "none")
	return nil
}
