package main

import (
	"errors"
	"fmt"
	"strings"
)

// login is a caller whom the policy restricts.
type login struct {
	name, database, table string

	want   string   // the file with what a client should print
	policy string   // "": the fixture's
	hidden []string // columns of the customers that it must never see as they are
	kept   []string // further ones that it sees in part, and must not overwrite with that
}

var logins = []login{
	{"alice", "shop", "customers", "alice.want", "",
		[]string{"last_name", "email", "phone", "card", "ssn", "device_id", "last_ip", "birth_date", "notes"},
		[]string{"first_name", "postcode", "credit_limit"}},
	{"ana", "shop", "customers", "ana.want", "",
		[]string{"last_name", "email", "phone", "card", "ssn", "device_id", "loyalty_no", "last_ip", "birth_date", "notes"},
		[]string{"first_name", "postcode", "credit_limit"}},
	{"crm_app", "crm", "crm.customers", "crm_app.want", "",
		[]string{"last_name", "email", "phone", "card", "ssn", "iban", "birth_date", "(address).street"},
		[]string{"first_name", "notes", "credit_limit", "last_ip", "preferences", "address"}},
	{"crm_app", "shop", "customers", endUsers, "clients/endusers.yaml",
		[]string{"first_name", "last_name", "email", "phone", "card", "ssn", "device_id", "loyalty_no", "last_ip", "birth_date", "notes", "postcode"},
		[]string{"credit_limit"}},
}

// endUsers is what an application should print that signs who its end users are.
// Without pgveil there is nobody to tell, so it runs through it alone.
const endUsers = "endusers.want"

// shortest is the length from which on a value is long enough not to be in an
// output by chance.
const shortest = 5

// leaks finds hidden values in what a client printed.
func (l login) leaks(output string, rows [][]string) error {
	var errs []error
	for _, row := range rows {
		for _, value := range row[1 : 1+len(l.hidden)] {
			if len(value) >= shortest && strings.Contains(output, value) {
				errs = append(errs, fmt.Errorf("LEAK: a hidden value of row %s was printed: %q", row[0], value))
			}
		}
	}
	return errors.Join(errs...)
}

// unchanged tells whether the values are as they were.
func unchanged(before, after [][]string) error {
	var errs []error
	for i, row := range before {
		if i >= len(after) || strings.Join(row, "|") != strings.Join(after[i], "|") {
			errs = append(errs, fmt.Errorf("DAMAGE: values of row %s are no longer %q", row[0], row[1:]))
		}
	}
	return errors.Join(errs...)
}

// differ shows the first line in which two outputs differ.
func differ(wantName, want, gotName, got string) error {
	if want == got {
		return nil
	}
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := line(w, i), line(g, i)
		if a != b {
			return fmt.Errorf("line %d differs\n  %s: %s\n  %s: %s\n  after %s", i+1, wantName, a, gotName, b, heading(w, i))
		}
	}
	return nil
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(no more lines)"
}

// heading finds the title of the step that a line belongs to.
func heading(lines []string, i int) string {
	for i = min(i, len(lines)-1); i >= 0; i-- {
		if strings.HasPrefix(lines[i], "# ") {
			return lines[i]
		}
	}
	return "the start"
}
