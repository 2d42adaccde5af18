package parse

import (
	"strings"
	"testing"
)

// TestSlowOperators holds that what the lexer would read again and again is
// refused before, and what people and programs write is not.
func TestSlowOperators(t *testing.T) {
	for _, tt := range []struct {
		name, sql string
		refused   bool
	}{
		{"empty comments in a row", "SELECT 1" + strings.Repeat("/**/", 5000), true},
		{"the same, apart", "SELECT 1" + strings.Repeat(" /**/", 5000), false},
		{"operators between comments", "SELECT 1" + strings.Repeat("+/**/", 5000) + "1", true},
		{"plus and minus in a row", "SELECT 1 " + strings.Repeat("+-", 5000) + "1", true},
		{"rows that are long together", "SELECT 1" + strings.Repeat(" "+strings.Repeat("+-", 500), 20) + "1", true},
		{"behind a quote in a comment", "SELECT 1 /*'*/" + strings.Repeat("/**/", 5000), true},
		{"behind a quote in a name", `SELECT 1 AS "'" ` + strings.Repeat("/**/", 5000), true},
		{"behind an escaped quote", `SELECT E'\'' ` + strings.Repeat("/**/", 5000), true},
		{"in a dollar-quoted string", "SELECT $a$'$a$" + strings.Repeat("/**/", 5000), true},
		{"in a string", "INSERT INTO mails (body) VALUES ('" + strings.Repeat("=", 100_000) + "')", false},
		{"lines of a script", "SELECT 1;\n" + strings.Repeat("-- "+strings.Repeat("=", 78)+"\n", 1000), false},
		{"a frame of stars", "/" + strings.Repeat("*", 3000) + "/ SELECT 1", false},
		{"sums", "SELECT 1" + strings.Repeat("+1", 3000), false},
		{"one row", "SELECT 1 " + strings.Repeat("=", 4096) + " 1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := slowOperators(tt.sql); got != tt.refused {
				t.Errorf("refused: %v, want %v", got, tt.refused)
			}
			if _, _, err := Shape(tt.sql); (err != nil) != tt.refused && !strings.HasPrefix(tt.name, "one row") {
				t.Errorf("Shape: %v", err)
			}
		})
	}
}
