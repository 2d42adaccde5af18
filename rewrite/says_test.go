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
