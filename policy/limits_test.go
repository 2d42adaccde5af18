package policy

import (
	"fmt"
	"strings"
	"testing"
)

const limited = `
version: 1
purposes: {p: {basis: contract, limits: {bytes: {most: 1MB/hour, per: purpose}}}}
subjects: {customer: {table: crm.customers, key: id}}
classes: {email: [crm.customers.email]}
limits: {statements: {most: 10/second, then: slow, warn: 0}}
roles:
  a: {purposes: [p], tables: [{on: crm.customers}], limits: {subjects: [200/day, {most: 1000/day, per: role, of: customer, then: alert}]}}
  b: {purposes: [p], tables: [{on: crm.customers}], limits: {subjects: 150/day, values: {most: 99/week, of: email, then: step-up, per: address, warn: 50}}}
users:
  ann: {roles: [a, b]}
`

func TestLimits(t *testing.T) {
	s, _ := compileText(t, limited)
	var got []string
	for _, l := range mustAccess(t, s, "ann", "p").Limits.Each {
		got = append(got, fmt.Sprintf("%v, then %v, warn at %d", l, l.Then, l.Warn))
	}
	want := []string{
		"10 statements/second, then slow, warn at 0",
		"150 subjects/day, then refuse, warn at 120",
		"1000 subjects of customer/day per role a, then alert, warn at 800",
		"99 values of email/week per address, then step-up, warn at 50",
		"1048576 bytes/hour per purpose p, then refuse, warn at 838861",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("limits:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLimitsRefuse(t *testing.T) {
	for text, want := range map[string]string{
		"rows: 5":                               "a number and what it is counted over",
		"rows: 0/day":                           "not a whole number above 0",
		"rows: 5/fortnight":                     "unknown window",
		"rows: 9223372036854775808/day":         "not a whole number",
		"statements: 5/query":                   "a query is one statement",
		"values: 5/day":                         "says of which class",
		"values: {most: 5/day}":                 "says of which class",
		"values: {most: 5/day, of: emial}":      `unknown class "emial"; did you mean "email"?`,
		"values: {most: 5/day, of: open}":       "unknown class",
		"subjects: {most: 5/day, of: client}":   "unknown kind of data subjects",
		"rows: {most: 5/day, of: email}":        "rows are counted as they are",
		"rows: {most: 5/day, per: role}":        "per: role is for limits of a role",
		"rows: {most: 5/session, per: address}": "one user's",
		"rows: {most: 5/query, then: mask}":     "refuse or alert",
		"rows: {most: 5/day, then: cry}":        "unknown then",
		"rows: {most: 5/day, warn: 101}":        "percent",
		"rows: {then: mask}":                    `"most"`,
		"rows: {most: 5/day, because: why}":     "unknown key",
	} {
		_, err := compileError(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func compileError(limits string) (*Set, error) {
	d, err := Parse(File{"a.yaml", strings.Replace(limited, "statements: {most: 10/second, then: slow, warn: 0}", limits, 1)})
	if err != nil {
		return nil, err
	}
	return Compile(d, crm())
}
