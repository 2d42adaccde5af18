package auth

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

const pencilText = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

func TestParseUsers(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // the names, or the error
	}{
		{"nothing", "", ""},
		{"remarks", "# alice x\n\n ; bob\n", ""},
		{"plain", "alice " + pencilText + "\n", "alice"},
		{"as in PgBouncer", `"alice" "` + pencilText + "\"\r\n", "alice"},
		{"spaces and tabs", "\t alice\t  " + pencilText + " ", "alice"},
		{"quotes in a name", `"a ""b""" ` + pencilText, `a "b"`},
		{"a name that begins as a remark", `"#a" ` + pencilText, "#a"},
		{"another kind of space in a name", "\u00a0alice " + pencilText, "\u00a0alice"},
		{"two that look alike", "alice " + pencilText + "\nAlice " + pencilText, "Alice,alice"},
		{"twice", "alice " + pencilText + "\n\"alice\" " + pencilText, "line 2: the name is there before"},
		{"a password", "# users\nalice secret", "line 2: parse verifier: not of the form"},
		{"MD5", `"alice" "md53175bce1d3201d16594cebf9d7eb3f9d"`, "line 1: parse verifier"},
		{"no verifier", "alice", "line 1: verifier: is missing"},
		{"an empty password", `"alice" ""`, "line 1: verifier: is empty"},
		{"no name", `"" ` + pencilText, "line 1: name: is empty"},
		{"more", "alice " + pencilText + " admin", "line 1: something stands behind the verifier"},
		{"no end of a quote", `"alice ` + pencilText, "line 1: name: a quote is not closed"},
		{"letters behind a quote", `"alice"x ` + pencilText, "line 1: name: something stands behind the quote"},
		{"a quote in a bare name", `al"ice ` + pencilText, "line 1: name: is missing, or holds a quote"},
		{"a name too long", strings.Repeat("a", 64) + " " + pencilText, "line 1: no role can have the name"},
		{"a zero in a name", "al\x00ice " + pencilText, "line 1: no role can have the name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			users, err := ParseUsers(tt.text)
			if err != nil {
				if tt.want == "" || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
					t.Errorf("ParseUsers = %v, want %q", err, tt.want)
				}
				return
			}
			if got := names(users); got != tt.want {
				t.Errorf("ParseUsers has %s, want %s", got, tt.want)
			}
			for name, v := range users {
				if !v.Own || !v.usable() {
					t.Errorf("the verifier of %q is not marked as pgveil's own, or not usable", name)
				}
			}
		})
	}
}

func names(u Users) string {
	return strings.Join(slices.Sorted(maps.Keys(u)), ",")
}

func TestUsersLookup(t *testing.T) {
	users, err := ParseUsers("alice " + pencilText)
	if err != nil {
		t.Fatal(err)
	}
	outage := errors.New("outage")
	var file, down Lookup = users.Lookup, func(context.Context, string) (Verifier, error) { return Verifier{}, outage }
	for _, tt := range []struct {
		name, user string
		lookup     Lookup
		want       error
	}{
		{"known", "alice", file, nil},
		{"unknown", "bob", file, ErrNoVerifier},
		{"other capitals", "Alice", file, ErrNoVerifier},
		{"in nothing", "alice", Users(nil).Lookup, ErrNoVerifier},
		{"the first knows", "alice", file.Else(down), nil},
		{"the second is asked", "bob", file.Else(down), outage},
		{"the second is not asked in an outage", "alice", down.Else(file), outage},
	} {
		if _, err := tt.lookup(t.Context(), tt.user); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestUserLine makes lines, reads them again, and has a server take the
// verifier in one as a password.
func TestUserLine(t *testing.T) {
	for _, name := range []string{"alice", `a "b" c`, "#x", "µ", strings.Repeat("a", 63)} {
		line, err := UserLine(name, "pencil", 4096)
		if err != nil {
			t.Fatal(err)
		}
		if users, err := ParseUsers(line); err != nil || names(users) != name {
			t.Errorf("the line of %q is read as %q, %v", name, names(users), err)
		}
	}
	for _, bad := range []struct {
		name, password string
		iterations     int
	}{{"", "x", 4096}, {"a\nb", "x", 4096}, {strings.Repeat("a", 64), "x", 4096}, {"a", "", 4096}, {"a", "x", 1}, {"a", "x", 1 << 30}} {
		if _, err := UserLine(bad.name, bad.password, bad.iterations); err == nil {
			t.Errorf("UserLine(%q, %q, %d) = nil, want an error", bad.name, bad.password, bad.iterations)
		}
	}
	line, err := UserLine("lina", "grün", 5000)
	if err != nil {
		t.Fatal(err)
	}
	_, verifier, _ := strings.Cut(line, " ")
	admin := pgtest.Connect(t, server(t).DSN("postgres", pgserver.Superuser))
	if _, err := admin.Exec(t.Context(), "CREATE ROLE lina LOGIN PASSWORD '"+verifier+"'"); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.ParseConfig(server(t).HostDSN("postgres", "lina", "grün"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		t.Fatalf("log in by the verifier: %v", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// FuzzUsers writes a line for any name and password, reads it, and reads any
// text: what is read is what was written, and no error tells of a password.
func FuzzUsers(f *testing.F) {
	f.Add("alice", "secret-password")
	f.Add(`a "b"`, "\"x\" \x00")
	f.Add("#", " ")
	f.Add("\f", "white space that is no blank")
	f.Fuzz(func(t *testing.T, name, password string) {
		line, err := UserLine(name, password, 4096)
		if err == nil {
			users, err := ParseUsers("# before\n" + line + "\n")
			if err != nil || names(users) != name {
				t.Errorf("the line of %q is read as %q, %v", name, names(users), err)
			}
		}
		if _, err := ParseUsers(name + "\n" + password); err != nil && len(password) > 12 && strings.Contains(err.Error(), password) {
			t.Errorf("ParseUsers quotes the text: %v", err)
		}
	})
}
