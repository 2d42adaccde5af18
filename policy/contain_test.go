package policy

import "testing"

// TestContainIsARight has the right to contain users given by its name alone, and
// kept from who lacks a second factor, though they hold it.
func TestContainIsARight(t *testing.T) {
	s, _ := compileText(t, `
version: 1
purposes: {p: {basis: contract}}
roles:
  officer: {purposes: p, privacy: [contain]}
  served:  {purposes: p, privacy: [export, erase, rectify, restrict, consent, audit]}
  dba:     {unrestricted: true}
users: {olga: {roles: officer}, sam: {roles: served}, dora: {roles: dba}, both: {roles: [dba, officer]}}
second_factor: {privacy: [contain]}
`)
	for _, tt := range []struct {
		login             string
		second            bool
		holds, may, lacks bool
	}{
		{"olga", false, true, false, true},
		{"olga", true, true, true, false},
		{"sam", true, false, false, false},
		{"dora", true, false, false, false},
		{"both", true, true, true, false},
	} {
		a, err := s.Decide(Claim{Login: tt.login, Second: tt.second})
		if err != nil {
			t.Fatal(err)
		}
		if a.Holds("contain") != tt.holds || a.May("contain") != tt.may || a.Lacks("contain") != tt.lacks {
			t.Errorf("%s, second factor %t: holds %t, may %t, lacks %t", tt.login, tt.second, a.Holds("contain"), a.May("contain"), a.Lacks("contain"))
		}
	}
	if Nobody(Claim{Login: "olga"}).Holds("contain") {
		t.Error("who was refused holds a right")
	}
	if !s.Knows("olga") || s.Knows("nemo") || s.Knows("officer") {
		t.Error("the policy does not know its users")
	}
}
