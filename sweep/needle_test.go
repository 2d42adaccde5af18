package sweep

import (
	"fmt"
	"strings"
	"testing"
)

func TestScan(t *testing.T) {
	for _, tt := range []struct {
		value string
		in    []string
		notIn []string
	}{
		{"Ada@Example.com", []string{"ADA@EXAMPLE.COM", "<ada@example.com>", "xada@example.com.au", `{"mail":"ada\u0040example.com"}`, "?to=ada%40example.com&x=1", `"a":"\"ada@example.com\""`}, []string{"ada@example.org", "ada @example.com"}},
		{"Anna", []string{"Anna", "to anna, again", "x:ANNA", "anna_b"}, []string{"Susanna", "Annas", "1Anna", "annä"}},
		{"Ann", nil, []string{"Ann", "ann"}},
		{"Élodie", []string{"éLODIE", "e\u0301lodie", `\u00c9lodie`, `\303\211lodie`}, []string{"elodie", "\xc9lodie"}},
		{"Zoë Li", []string{"zoë li", "ZOE\u0308 LI"}, []string{"zoë lim", "zoëli"}},
		{"+49 151 1234-5678", []string{"+4915112345678", "0049 151 12345678", "0151/12345678", "0151 1234 5678", "(0151) 12.34.56.78", "+49 (0)151 12345678", "15112345678", "call 015112345678 2026-01-01", "+49\u00a0151\u00a012345678", "0151–1234–5678"},
			[]string{"0151 123456789", "99999990151 1234567", "1511234567", "1234567890123415112345678"}},
		{"0151 12345678", []string{"+49 151 12345678", "015112345678"}, []string{"151 1234567"}},
		{"+1 (555) 123-4567", []string{"555.123.4567", "1-555-123-4567", "5551234567"}, []string{"555-123-45678"}},
		{"DE89 3704 0044 0532 0130 00", []string{"DE89370400440532013000", "de89-3704-0044-0532-0130-00", "iban:DE89370400440532013000x"}, []string{"DE89370400440532013001"}},
		{"4111111111111111", []string{"4111 1111 1111 1111", "4111-1111-1111-1111"}, []string{"41111111111111112"}},
		{"1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", []string{"1C1E3DD095314F30B24AC021CA3B95B8", "/files/1c1e3dd0-9531-4f30-b24a-c021ca3b95b8.pdf"}, []string{"1c1e3dd0-9531-4f30-b24a-c021ca3b95b9"}},
		{"42", nil, []string{"42", "customer 42"}},
		{"123456", nil, []string{"123456"}},
		{"1234567", []string{"no. 1234567", "1234567"}, []string{"12345678"}},
		{"", nil, []string{"", " ", "anything"}},
		{"   ", nil, []string{"", "      "}},
		{"O'Neil\\", []string{`o'neil\ x`, `{"n":"O'Neil\\"}`}, []string{"o'neil"}},
	} {
		s, vague := newScanner([]Needle{{Name: "it", Value: tt.value}})
		if short := tt.in == nil; short != (len(vague) == 1) {
			t.Errorf("%q: too short is %v", tt.value, vague)
		}
		for i, text := range append(append([]string{}, tt.in...), tt.notIn...) {
			found := false
			s.scan([]byte(text), func(int, int) { found = true })
			if want := i < len(tt.in); found != want {
				t.Errorf("%q in %q: %v, want %v", tt.value, text, found, want)
			}
		}
	}
}

func TestReferences(t *testing.T) {
	in := Column{Relation: "crm.notes", Name: "owner"}
	s, vague := newScanner([]Needle{{Name: "key", Value: "42", In: []Column{in}}, {Name: "id", Value: "a-b", In: []Column{in}}})
	if fmt.Sprint(vague) != "[key id]" {
		t.Errorf("too short are %v", vague)
	}
	for text, want := range map[string]string{
		"42": "[0]", "customer:42": "[0]", "{41,42}": "[0]", `{"id": 42, "x": [42]}`: "[0 0]", "A-B": "[1]",
		"420": "[]", "142": "[]", "4 2": "[]", "": "[]", "a": "[]", "b": "[]",
	} {
		found := []int{}
		s.references(in, []byte(text), func(n int) { found = append(found, n) })
		if fmt.Sprint(found) != want {
			t.Errorf("%q: %v, want %v", text, found, want)
		}
		s.references(Column{Relation: "crm.notes", Name: "body"}, []byte(text), func(int) { t.Errorf("%q is found in a column without references", text) })
	}
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		`a\nb`: "a\nb", `\`: `\`, `\\n`: `\n`, `\u00e9\u00E9`: "éé", `\ud83d\ude00!`: "😀!", `\ud83d`: "\ufffd", `\ude00`: "\ufffd", `\ud83d\u0041`: "\ufffdA",
		`\u00`: "u00", `\303\251`: "é", `\09`: "09", `100%`: "100%", "%4": "%4", "%zz": "%zz", "%C3%A9": "é", `\/`: "/",
	} {
		if got := string(unescape(nil, []byte(text))); got != want {
			t.Errorf("unescape(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestCopied(t *testing.T) {
	for text, want := range map[string]string{`a\tb\nc\\d\vx`: "a\tb\nc\\d\vx", `\\u0040`: `\u0040`, `x\`: `x\`} {
		if got := string(copied(nil, []byte(text))); got != want {
			t.Errorf("copied(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestFold(t *testing.T) {
	for text, want := range map[string]string{"ABC": "abc", "ÄÖ ß": "äö ß", "A\u0308": "ä", "\xffA\xfe": "\xffa\xfe", strings.Repeat("x", 100) + "É": strings.Repeat("x", 100) + "é"} {
		if got := string(fold(nil, []byte(text))); got != want {
			t.Errorf("fold(%q) = %q, want %q", text, got, want)
		}
	}
}
