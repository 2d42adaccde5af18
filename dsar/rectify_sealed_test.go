package dsar

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/privacy"
)

// TestRectifySeals seals what is right, with the hash beside it.
func TestRectifySeals(t *testing.T) {
	conn, g := sealed(t, "")
	change := func(column, value string) Change {
		return Change{Table: "public.customers", Column: column, Value: value}
	}
	changes := []Change{change("phone", "+49 40 7"), change("born", "1981-03-01"), change("income", "99"), change("notes", "[]"), change("photo", `\x01`), change("allergy", "none")}
	done, err := Rectify(t.Context(), conn, g, byKey("1"), changes, RectifyOptions{Record: recordNothing})
	if err != nil {
		t.Fatal(err)
	}
	row := done.Rows[0]
	if len(row.Altered) > 0 {
		t.Errorf("altered: %v", row.Altered)
	}
	for _, clear := range []string{"+49 40 7", "1981-03-01", "+49 30 1", "1980-02-29"} {
		if strings.Contains(string(row.before)+string(row.after), clear) {
			t.Errorf("the record has %s in clear", clear)
		}
	}
	for _, c := range changes {
		if got := opens(t, conn, g, "public.customers."+c.Column, "id = 1"); !cmp.Equal(got, []string{c.Value}) {
			t.Errorf("%s is %v, want %s", c.Column, got, c.Value)
		}
	}
	found, err := g.resolve(t.Context(), conn, privacy.Key{Column: "phone", Values: []string{"+49 40 7"}})
	if err != nil || found.Name != "1" {
		t.Errorf("by the new number: %+v, %v", found, err)
	}
	_, err = g.resolve(t.Context(), conn, privacy.Key{Column: "phone", Values: []string{"+49 30 1"}})
	wantCode(t, err, privacy.NotFound, "no such customer")
	if _, err := Rectify(t.Context(), conn, g, byKey("1"), []Change{{Table: "public.customers", Column: "phone", Null: true}}, RectifyOptions{Record: recordNothing}); err != nil {
		t.Fatal(err)
	}
	if n := query[int](t, conn, "SELECT count(*)::int FROM customers WHERE id = 1 AND phone IS NULL AND phone_blind IS NULL"); n[0] != 1 {
		t.Error("the hash is left")
	}
	for _, tt := range []struct {
		change Change
		code   privacy.Code
		want   string
	}{
		{change("born", "the day before"), privacy.BadKey, "does not fit public.customers.born, which is date"},
		{change("phone_blind", `\x00`), privacy.NotAllowed, "holds hashes of another"},
		{change("seen", strings.Repeat("9", 99)), privacy.BadKey, "does not fit"},
	} {
		_, err := Rectify(t.Context(), conn, g, byKey("1"), []Change{tt.change}, RectifyOptions{Record: recordNothing})
		wantCode(t, err, tt.code, tt.want)
	}
	g.Values = Values{}
	_, err = Rectify(t.Context(), conn, g, byKey("1"), changes, RectifyOptions{Record: recordNothing})
	wantCode(t, err, privacy.NotAvailable, "there are no keys here")
}

// TestRectifySealedCopies tells of values that are as wrong, though they look different.
func TestRectifySealedCopies(t *testing.T) {
	conn, g := sealed(t, "")
	for id, body := range map[int]string{20 + 100: "Dear ada", 21 + 100: "Dear bob"} {
		if _, err := conn.Exec(t.Context(), "INSERT INTO letters VALUES ($1, 1, $2)", id, sealedAt(t, g, "public.letters.body", body, id).text); err != nil {
			t.Fatal(err)
		}
	}
	done, err := Rectify(t.Context(), conn, g, byKey("1"), []Change{{Table: "public.letters", Row: byKey("10"), Column: "body", Value: "Dear Ada"}}, RectifyOptions{Record: recordNothing})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Copy{{"public.letters.body", "public.letters", "body", 1}}, done.Copies); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
