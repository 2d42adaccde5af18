package rewrite

import "testing"

func TestSays(t *testing.T) {
	for _, tt := range []struct {
		text, beginning, value string
	}{
		{"SET pgveil.end_user = 'anna'", "SET pgveil.end_user = ", "anna"},
		{"set local PgVeil.Token to 'a.b-c_d';", "set local PgVeil.Token to ", "a.b-c_d"},
		{"SET SESSION pgveil.purpose TO 'x y'", "SET SESSION pgveil.purpose TO ", "x y"},
		{"SET  pgveil.end_user = 'anna'", "", ""},
		{"SET pgveil.end_user='anna'", "", ""},
		{"SET pgveil.end_user = 'anna', 'bert'", "", ""},
		{"SET pgveil.end_user = 'an''na'", "", ""},
		{`SET pgveil.end_user = 'an\na'`, "", ""},
		{"SET pgveil.end_user = 'änna'", "", ""},
		{"SET pgveil.end_user = ''", "", ""},
		{"SET pgveil.end_user = 'anna'; SELECT 'x'", "", ""},
		{"SET pgveil.end_user = 'anna' --'", "", ""},
		{"SET pgveil.end_user = 'anna", "", ""},
		{"SET pgveil.end_user = E'anna'", "", ""},
		{"SET pgveil.end_user = anna", "", ""},
		{"SET pgveil.end_user", "", ""},
		{"SET pgveil.mask_key_inner = 'x'", "", ""},
		{"SET LOCAL SESSION pgveil.end_user = 'x'", "", ""},
		{"SET ", "", ""},
		{"", "", ""},
	} {
		beginning, value, plain := says([]byte(tt.text))
		if string(beginning) != tt.beginning || string(value) != tt.value || plain != (tt.value != "") {
			t.Errorf("%s: %q, %q, %v", tt.text, beginning, value, plain)
		}
	}
}

func TestMaySay(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "/*": false, "/* pgveil */": true, "/* PgVeil.": true, "pgveil": false, "/* pgvei": false, "/* vvpgveil": true,
		"/* pgve il */ v": false, "SELECT v /* x */": false, "/*v*/ pgveil": true, "v/**/ pgveiL": true,
	} {
		if got := MaySay([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzReadComments(f *testing.F) {
	for _, seed := range []string{"SELECT 1 /* pgveil.end_user='a%20b',pgveil.token='x' */", "/*pgveil.purpose='a'*/ SELECT '/*pgveil.purpose=''b''*/'", "/* /* PGVEIL_ticket = '\\'' */ */"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		said, bare, ok, err := ReadComments([]byte(text))
		if !ok && (err != nil || said != Said{} || string(bare) != text) {
			t.Fatalf("says nothing, and %+v, %q, %v", said, bare, err)
		}
		if ok && err == nil && (said == Said{} || len(bare) > len(text)) {
			t.Fatalf("says something, and %+v, %q", said, bare)
		}
	})
}
