package honey

import (
	"regexp"
	"testing"

	"github.com/pgveil/pgveil/catalog"
)

func field(name, typ, class string) Field {
	return Field{Column: catalog.Column{Name: name, Type: catalog.Type{Base: typ, Mod: -1}}, Class: class}
}

func TestGuess(t *testing.T) {
	for _, tt := range []struct {
		name, typ, class string
		want             what
	}{
		{"email", "text", "", isEmail},
		{"workEMail", "citext", "", isEmail},
		{"email_verified_at", "timestamptz", "", unknown},
		{"contact", "varchar", "email", isEmail},
		{"first_name", "text", "name", isFirst},
		{"familyName", "text", "", isLast},
		{"full_name", "text", "", isName},
		{"user_name", "text", "", unknown},
		{"mobile", "text", "", isPhone},
		{"last_ip", "inet", "", isAddress},
		{"last_seen", "timestamptz", "", unknown},
		{"dob", "date", "", isBirth},
		{"dob", "text", "", unknown},
		{"card", "text", "card", unknown},
	} {
		f := field(tt.name, tt.typ, tt.class)
		if got := f.guess(); got != tt.want {
			t.Errorf("%s %s of class %q is guessed %d, want %d", tt.name, tt.typ, tt.class, got, tt.want)
		}
	}
}

// TestValues has nothing copied that is not open, and NULL where it may be.
func TestValues(t *testing.T) {
	like := "AB-1234"
	open, must, may := field("tag", "text", "open"), field("number", "text", "secret"), field("number", "text", "secret")
	open.Open, must.NotNull = true, true
	who := newPerson([]string{"mail.example"})
	if got := open.value(who, &like, true); got == nil || *got != like {
		t.Errorf("an open column has %v", got)
	}
	if got := may.value(who, &like, true); got != nil {
		t.Errorf("a column that may be NULL has %q", *got)
	}
	for range 100 {
		got := must.value(who, &like, true)
		if got == nil || !regexp.MustCompile(`^[A-Z]{2}-[0-9]{4}$`).MatchString(*got) {
			t.Fatalf("a column that must have a value has %v", got)
		}
	}
	short := field("name", "varchar", "")
	short.Type.Mod = 4 + 3
	if got := short.value(who, nil, true); got == nil || len(*got) != 3 {
		t.Errorf("three characters are %v", got)
	}
}

// TestPhone has every number be of a range that is nobody's.
func TestPhone(t *testing.T) {
	for like, want := range map[string]string{
		"+442079460000": `^\+447700900\d{3}$`, "07700 900 123": `^\+447700900\d{3}$`, "+33612345678": `^\+3319900\d{4}$`,
		"+4915112345": `^\+493023125\d{3}$`, "": `^\+1[2-9]\d\d55501\d\d$`,
	} {
		for range 50 {
			if got := phone(like); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("like %q: %s", like, got)
			}
		}
	}
}
