package datamap

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a value is, looking at it ends, and counts it at most once.
func FuzzProfile(f *testing.F) {
	for _, s := range []string{"", " ", "Anna Smith", "{\"a\": [1, {\"b\": \"x@example.com\"}]}", "{{{{", "[1,2", "\xff\xfeAnna", "(a,\"b\"\"c\",)", "C/ Mayor 12", "::1", "1.2.3.4/24", "\u2028", "A\xc3"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		p := newProfile(0)
		p.add(value)
		p.elements(elements(value))
		p.elements(fields(value))
		for s, n := range p.signs {
			if n > p.values {
				t.Errorf("sign %d is counted %d times in %d values", s, n, p.values)
			}
		}
	})
}

func BenchmarkProfile(b *testing.B) {
	var values [][]byte
	for _, s := range []string{"Anna", "Smith", "carl.muster42@example.com", "+49 30 1234567", "Hauptstraße 12, 10115 Berlin", "2024-06-01 10:11:12+00", "1234.50", "Spoke with Anna Smith about the late delivery, will call back tomorrow."} {
		values = append(values, []byte(s))
	}
	b.ReportAllocs()
	for b.Loop() {
		p := newProfile(0)
		for _, v := range values {
			p.add(v)
		}
	}
}

func TestTokens(t *testing.T) {
	for name, want := range map[string][]string{
		"firstName": {"first", "name"}, "first_name": {"first", "name"}, "FIRST_NAME": {"first", "name"}, "userIPAddress": {"user", "ip", "address"},
		"Straße Nr. 2": {"strasse", "nr", "2"}, "línea1": {"linea", "1"}, "E-Mail": {"e", "mail"}, "": nil, "__": nil, "Imię\n": {"imie"},
	} {
		if got := tokens(name); !slices.Equal(got, want) {
			t.Errorf("tokens(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, tt := range []struct {
		column string
		class  Class
		least  float64
		most   float64
	}{
		{"email", Email, 0.9, 1}, {"emailAddress", Email, 0.9, 1}, {"email_verified_at", Email, 0, 0.2}, {"is_email", Email, 0, 0.2}, {"customer_email", Email, 0.8, 1},
		{"name", Name, 0.4, 0.5}, {"product_name", Name, 0, 0.1}, {"Nachname", Name, 0.9, 1}, {"numéro_de_sécurité_sociale", NationalID, 0.9, 1}, {"num_secu", NationalID, 0.9, 1},
		{"staatsangehoerigkeit", Nationality, 0.9, 1}, {"revenue", "", 0, 0}, {"phone_type", Phone, 0, 0.2}, {"is_pregnant", Health, 0.9, 1}, {"qty", "", 0, 0},
	} {
		if got := named(tt.column); got.class != tt.class || got.weight < tt.least || got.weight > tt.most {
			t.Errorf("named(%q) = %+v, want %s of %v to %v", tt.column, got, tt.class, tt.least, tt.most)
		}
	}
}

// No phrase stands for two classes, nor a list of values' words for nothing.
func TestWords(t *testing.T) {
	seen := map[string]string{}
	each("columns", func(what, phrase string) {
		key := joined(phrased(phrase))
		class, _, _ := strings.Cut(what, " ")
		if other := seen[key]; other != "" && other != class {
			t.Errorf("%q is %s and %s", phrase, other, class)
		}
		if key == "" || !utf8.ValidString(phrase) {
			t.Errorf("%q says nothing", phrase)
		}
		seen[key] = class
	})
	for _, v := range vocabulary {
		if len(lexiconValues(v.list)) == 0 {
			t.Errorf("no words for %s", v.list)
		}
	}
}
