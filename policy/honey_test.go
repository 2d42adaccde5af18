package policy

import (
	"strings"
	"testing"
	"time"
)

const honeyPolicy = `
version: 1
subjects: {customer: {table: crm.customers, key: id}}
roles: {agent: {}, backup: {}, reporting: {}}
`

func TestHoney(t *testing.T) {
	set, _ := compileText(t, honeyPolicy+"honey: {then: [end, quarantine 24h], except: [backup, reporting]}")
	h := set.Honey()
	if !h.Wants() || !h.Then.End || len(h.Then.Quarantines) != 1 || h.Then.Quarantines[0].For != 24*time.Hour {
		t.Errorf("honey is read as %+v", h)
	}
	for _, tt := range []struct {
		roles []string
		want  bool
	}{
		{nil, false},
		{[]string{"agent"}, false},
		{[]string{"backup"}, true},
		{[]string{"backup", "reporting"}, true},
		{[]string{"agent", "backup"}, false},
	} {
		if got := h.Excepts(&Access{Roles: tt.roles}); got != tt.want {
			t.Errorf("roles %q are excepted: %t, want %t", tt.roles, got, tt.want)
		}
	}
	if (Honey{}).Wants() || (Honey{}).Excepts(&Access{Roles: []string{"backup"}}) {
		t.Error("the zero Honey wants something, or excepts somebody")
	}
}

func TestHoneyRefuses(t *testing.T) {
	for text, want := range map[string]string{
		honeyPolicy + "honey: {then: [shout]}":                        "unknown response",
		honeyPolicy + "honey: {except: [bakup]}":                      `did you mean "backup"`,
		honeyPolicy + "honey: {when: now}":                            `unknown key "when"`,
		"version: 1\nroles: {agent: {}}\nhoney: {then: [quarantine]}": "the policy has no subjects",
	} {
		if err := parseAndCompile("p.yaml", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
