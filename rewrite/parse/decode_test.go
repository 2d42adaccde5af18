package parse

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"
)

// checkDecoded compares the two forms of a text's tree, and tells whether the
// text has one.
func checkDecoded(t *testing.T, sql string) bool {
	t.Helper()
	want, err := pg_query.Parse(sql)
	json, jsonErr := parser.ParseToJSON(sql)
	if (err != nil) != (jsonErr != nil) {
		t.Errorf("%q: protobuf %v, JSON %v", sql, err, jsonErr)
	}
	if err != nil || jsonErr != nil {
		return false
	}
	got, err := decode(json)
	if err != nil {
		t.Errorf("%q: %v: %s", sql, err, json)
	} else if !proto.Equal(got, want) {
		t.Errorf("%q gives %v, want %v", sql, got, want)
	}
	return true
}

// eachText calls check with every paragraph of the case files, fixtures and
// documents, of which it says whether it is SQL.
func eachText(t *testing.T, check func(sql string) bool) {
	t.Helper()
	count := 0
	err := filepath.WalkDir("../../testdata", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, paragraph := range strings.Split(string(text), "\n\n") {
			sql, _, _ := strings.Cut(paragraph, "\n----")
			_, rest, _ := strings.Cut(sql, "\n") // the verb of a case stands above
			for _, s := range []string{sql, rest} {
				if checkDepth(s) == nil && check(s) {
					count++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d texts", count)
	if count < 500 {
		t.Error("that is too few to mean anything")
	}
}

func TestDecodeAsProtobuf(t *testing.T) {
	eachText(t, func(sql string) bool { return checkDecoded(t, sql) })
}

func TestDecodeText(t *testing.T) {
	for _, s := range []string{"", `"`, `\`, `\"`, "\b\f\n\r\t\x01\x1f\x7f", "<a>&'", "é漢🦄", `{"SelectStmt":{}}`, `","location":1`, "\u2028"} {
		checkDecoded(t, "SELECT "+quoted(s)+` AS "x`+strings.ReplaceAll(s, `"`, `""`)+`"`)
	}
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// TestDecodeRefuses gives what the C parser does not write.
func TestDecodeRefuses(t *testing.T) {
	const good = `{"version":170007,"stmts":[{"stmt":{"SelectStmt":{"limitOption":"LIMIT_OPTION_DEFAULT","op":"SETOP_NONE"}}}]}`
	if _, err := decode(good); err != nil {
		t.Fatalf("%s: %v", good, err)
	}
	for i := range good {
		if _, err := decode(good[:i]); err == nil {
			t.Errorf("%s: no error", good[:i])
		}
	}
	for _, bad := range []string{"", good + " ", " " + good, `{"version":1.5}`, `{"version":null}`, `{"version":"1"}`, `{"other":1}`, `{"stmts":null}`, `{"stmts":{}}`,
		strings.Replace(good, "SETOP_NONE", "SETOP_OTHER", 1), strings.Replace(good, "SelectStmt", "selectStmt", 1), strings.Replace(good, "[{", "[{},{", 1) + "}",
		strings.Replace(good, `"op"`, `"\u006fp"`, 1), strings.Replace(good, `"SETOP_NONE"`, `0`, 1), strings.Replace(good, `}}}]`, `,}}}]`, 1)} {
		if _, err := decode(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
