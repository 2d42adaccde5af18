package twins

import (
	"bufio"
	"bytes"
	"io"
	"regexp"
)

// unsteady names what gives other results at another time, or in another session.
var unsteady = regexp.MustCompile(`(?i)\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random\w*|gen_random_uuid|` +
	`pg_backend_pid|age|pg_postmaster_start_time|pg_conf_load_time|inet_\w+|txid_\w+|pg_current_xact_id\w*|pg_sleep\w*|current_\w+|local\w+|` +
	`pg_\w*advisory\w*|pg_my_temp_schema|nextval|currval|lastval|setseed|xid\w*|xmin|xmax)\b`)

// sample is a sample of rows that is drawn anew each time.
var sample = regexp.MustCompile(`(?i)(tablesample (?:bernoulli|system) \([0-9.]+\))`)

// Smith gives the statements that sqlsmith prints, but for those that would not
// come out alike twice, which it counts.
func Smith(r io.Reader, dropped *int) Source {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	lines.Split(statementsOf)
	return func() (Statement, bool) {
		for lines.Scan() {
			if sql := lines.Text(); unsteady.MatchString(sql) {
				*dropped++
			} else {
				return Statement{Kind: "sqlsmith", SQL: sample.ReplaceAllString(sql, "$1 repeatable (1)")}, true
			}
		}
		return Statement{}, false
	}
}

// statementsOf splits where a line ends in a semicolon.
func statementsOf(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.Index(data, []byte(";\n")); i >= 0 {
		return i + 2, data[:i], nil
	}
	if atEOF {
		return len(data), nil, nil
	}
	return 0, nil, nil
}
