package wirescript

import (
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a directive before any block", "send", "before the first block"},
		{"a block that promises nothing", "block", "what it promises"},
		{"a block that does nothing", "block a\nblock b\nend", "empty"},
		{"an unknown directive", "block a\nexpect ReadyForQuery", "unknown directive"},
		{"an unknown message", "block a\nsend\nSelect {}", "unknown message"},
		{"a message of the server's", "block a\nsend\nReadyForQuery", "unknown message"},
		{"a message outside of send", "block a\nSync", "outside of send"},
		{"waiting for nothing", "block a\nuntil", "arguments"},
		{"waiting for what never comes", "block a\nuntil Query", "unknown message"},
		{"an unknown field", `block a` + "\nsend\n" + `Query {"SQL": "SELECT 1"}`, "unknown field"},
		{"two values", `block a` + "\nsend\n" + `Query {"String": "SELECT 1"} {}`, "more than one"},
		{"no JSON", "block a\nsend\nQuery SELECT 1", "invalid character"},
		{"a Describe of nothing", "block a\nsend\nDescribe", "ObjectType"},
		{"send no times", "block a\nsend 0\nSync", "how often"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.wire", tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestBrief(t *testing.T) {
	const transcript = "main: ErrorResponse ERROR 22012\t\"division by zero\" detail=\"\"\nmain: ReadyForQuery {}\n"
	if got, want := Brief(transcript), "main: ErrorResponse ERROR 22012\nmain: ReadyForQuery {}\n"; got != want {
		t.Errorf("Brief = %q, want %q", got, want)
	}
}
