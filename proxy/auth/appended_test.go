package auth

import "testing"

func TestSplitCode(t *testing.T) {
	for _, tt := range []struct {
		password   string
		digits     int
		rest, code string
	}{
		{"secret123456", 6, "secret", "123456"},
		{"secret12345678", 8, "secret", "12345678"},
		{"secret12345678", 6, "secret12", "345678"},
		{"1234567", 6, "1", "234567"},
		{"pässwörd000000", 6, "pässwörd", "000000"},
		{"secret 123456", 6, "secret ", "123456"},
		{"123456", 6, "123456", ""}, // nobody's password is empty
		{"12345", 6, "12345", ""},
		{"", 6, "", ""},
		{"secret", 6, "secret", ""},
		{"secret12345", 6, "secret12345", ""},
		{"secret123456 ", 6, "secret123456 ", ""},
		{"secret１２３４５６", 6, "secret１２３４５６", ""}, // digits, but not those of codes
		{"secret１２", 6, "secret１２", ""},
		{"secret-12345", 6, "secret-12345", ""},
		{"secret123456", 0, "secret123456", ""},
		{"secret123456", -1, "secret123456", ""},
	} {
		rest, code, ok := SplitCode(tt.password, tt.digits)
		if rest != tt.rest || code != tt.code || ok != (tt.code != "") {
			t.Errorf("SplitCode(%q, %d) = %q, %q, %v", tt.password, tt.digits, rest, code, ok)
		}
	}
}
